"""Several processes: they share a batch, and together learn what one learns from the whole batch."""

import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from made_up.command import two_processes
from safetensors.torch import load_file

from mmm.training import loop as loop_module
from mmm.training.config import TrainConfig
from mmm.training.loop import train
from mmm.training.processes import (
    gather_items,
    mean_count,
    require_equal_slices,
    take_slice,
)
from mmm.training.run_folder import read_metrics

HERE = Path(__file__).parent
toy = SimpleNamespace(**runpy.run_path(str(HERE / "toy.py")))


def test_processes_share_a_batch():
    data = {"x": torch.arange(6), "texts": list("abcdef")}
    shares = [take_slice(data, rank, 2) for rank in (0, 1)]
    assert shares[0]["x"].tolist() == [0, 2, 4] and shares[1]["texts"] == ["b", "d", "f"]


def test_a_batch_that_cannot_be_divided_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    require_equal_slices(128, 4)
    three = SimpleNamespace(num_processes=3, device=torch.device("cpu"), is_main_process=True)
    monkeypatch.setattr(loop_module, "make_accelerator", lambda precision, cpu: three)
    with pytest.raises(ValueError, match="batch_size is 16 for 3 processes .* such as 18"):
        train(toy.toy(), toy.batch, toy.loss, TrainConfig(steps=1, batch_size=16), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_one_process_is_left_as_it_is():
    items = torch.arange(6).view(3, 2)
    assert gather_items(items) is items and mean_count(items) is items


def test_two_processes_learn_what_one_learns_from_the_whole_batch(tmp_path):
    """Real tokenizers (EMA, resets, windows that are mostly padding) and transformers: every step's numbers."""
    script = HERE / "joint.py"
    pair = two_processes([sys.executable, script, tmp_path / "two"])
    runpy.run_path(str(script))["learn"](tmp_path / "one")
    assert [process.wait(1200) for process in pair] == [0, 0]
    assert (tmp_path / "one" / "order").read_text() == "0" and (
        tmp_path / "two" / "order"
    ).read_text() == "01"
    finals = {}
    for run in sorted(place.parent for place in (tmp_path / "one").glob("*/model")):
        other = tmp_path / "two" / run.name
        assert json.loads((other / "manifest.json").read_text())["processes"] == 2
        one, two = (read_metrics(place / "metrics.jsonl") for place in (run, other))
        assert len(one) == len(two) >= 22
        for line, beside in zip(one, two, strict=True):
            assert line == pytest.approx(beside, abs=1e-5, rel=0), f"{run.name}, step {line['step']}"
        finals[run.name], beside = (
            load_file(place / "model" / "model.safetensors") for place in (run, other)
        )
        for name, weights in finals[run.name].items():
            torch.testing.assert_close(weights, beside[name], atol=1e-5, rtol=0)
    books = [
        finals[f"tokenizer, reset {rule}"]["quantizers.0.codebook"] for rule in ("none", "dead", "release")
    ]
    assert not torch.equal(books[0], books[1]) and not torch.equal(books[0], books[2])  # codes were replaced
