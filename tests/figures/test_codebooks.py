"""The sweep of codebook sizes and code widths: each row is trained at its size, and kept rows are not trained again."""

import json

import pytest
from made_up.evaluator import RandomEvaluator

from figures.recipes import codebooks
from figures.recipes.codebooks import Arguments
from mmm.pretrained import load_tokenizer


def test_each_row_has_its_size_and_is_trained_once(toy, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(codebooks, "load_evaluator", lambda folder: RandomEvaluator())
    monkeypatch.setattr(codebooks, "SIZES", (16, 32))
    monkeypatch.setattr(codebooks, "WIDTHS", (2, 4))
    monkeypatch.setattr(codebooks, "AGAIN", (32, 2))
    arguments = Arguments(data=toy.path, out=tmp_path / "out", preset="tiny", steps=2)
    arguments.run()
    assert "spread of three seeds" in capsys.readouterr().out
    assert (tmp_path / "out" / "codebooks.png").read_bytes()[:4] == b"\x89PNG"
    results = json.loads((tmp_path / "out" / "codebooks.json").read_text())["rows"]
    assert len(results) == 4 + 2
    for row in results.values():
        config = load_tokenizer(tmp_path / "out" / "{codes}-{width}-{seed}".format(**row["setting"])).config
        assert (config.codes, config.code_dim) == (row["setting"]["codes"], row["setting"]["width"])
        assert row["numbers"]["dead"] == pytest.approx(100 * (1 - row["numbers"]["usage"]))
    seeds = {row["setting"]["seed"]: row["numbers"]["mpjpe_local"] for row in results.values()
             if (row["setting"]["codes"], row["setting"]["width"]) == (32, 2)}  # fmt: skip
    assert len(set(seeds.values())) == 3

    monkeypatch.setattr(codebooks, "ablate_tokenizer", None)  # would fail
    arguments.run()
    arguments.steps = 3
    with pytest.raises(ValueError, match="was made with other steps"):
        arguments.run()
