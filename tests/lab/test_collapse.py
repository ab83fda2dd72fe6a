"""Collapse on purpose: which eight are trained, what the race gives, and that nothing is trained twice."""

import json
from dataclasses import replace

import pytest

from mmm.fit import load_tokenizer
from mmm.lab.tokenizer import combinations, race, usage_history
from mmm.tokenizer import PRESETS

ALL = {
    "narrow · EMA · reset": (16, 0.99, "dead"),
    "narrow · EMA · no reset": (16, 0.99, "none"),
    "narrow · gradient · reset": (16, 0.0, "dead"),
    "narrow · gradient · no reset": (16, 0.0, "none"),
    "wide · EMA · reset": (64, 0.99, "dead"),
    "wide · EMA · no reset": (64, 0.99, "none"),
    "wide · gradient · reset": (64, 0.0, "dead"),
    "wide · gradient · no reset": (64, 0.0, "none"),
}


def test_the_eight_combinations_are_what_their_names_say():
    found = combinations("tiny")
    assert {name: (c["code_dim"], c["ema"], c["reset"]) for name, c in found.items()} == ALL
    for switches in found.values():
        replace(PRESETS["tiny"], **switches)  # each is a TokenizerConfig's
    wide = combinations("paper")["wide · EMA · reset"]
    assert wide["code_dim"] == 512
    with pytest.raises(ValueError, match="preset is 'huge', expected one of tiny, light, small, paper"):
        combinations("huge")


@pytest.fixture(scope="module")
def raced(toy, tmp_path_factory):
    out = tmp_path_factory.mktemp("race")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMM_CACHE", str(out / "cache"))
        yield out, lambda **changes: race(
            toy, out / "collapse", "tiny", codes=24, options={"progress": False, "cpu": True},
            **{"steps": 8, "batch_size": 4, "eval_every": 0, "precision": "no", **changes},
        )  # fmt: skip


def test_a_race_gives_a_row_and_a_history_each_and_is_read_again_without_training(raced, toy):
    out, go = raced
    table, histories = go()
    assert list(table.index) == list(ALL) == list(histories)
    for name, row in table.iterrows():
        assert tuple(row[["narrow", "ema", "reset"]]) == tuple(
            word in name.split(" · ") for word in ("narrow", "EMA", "reset")
        )
        assert 0 < row["usage"] <= 1 <= row["perplexity"] <= 24 and row["mpjpe_local"] > 0
        history = histories[name]
        assert list(history.columns) == ["epoch", "entropy", "perplexity", "dead", "resets"]
        assert history.index.name == "step" and len(history) >= 1 and history.index[-1] <= 8
    assert [str(table.dtypes[name]) for name in ("usage", "narrow")] == ["float64", "bool"]
    for name, (width, ema, reset) in ALL.items():
        place = out / "collapse" / name.replace(" · ", "-").replace(" ", "-")
        config = load_tokenizer(place).config
        assert (config.code_dim, config.ema, config.reset, config.codes) == (width, ema, reset, 24)
    files = sorted((out / "collapse").glob("*/checkpoints/*"))
    before = {file: file.stat().st_mtime_ns for file in files}
    assert before and all(json.loads((f.parents[1] / "metrics.json").read_text())["step"] == 8 for f in files)
    again, same = go()
    assert again.equals(table) and all(same[name].equals(histories[name]) for name in ALL)
    assert {file: file.stat().st_mtime_ns for file in files} == before, "finished runs are only read"


def test_the_same_seed_gives_equal_starts_and_another_race_is_refused(raced):
    _, go = raced
    _, histories = go()
    first = {name: tuple(history.iloc[0]) for name, history in histories.items()}
    # Of one width and one rule of learning, reset or not is the same until the first code is replaced.
    for kind in ("narrow · EMA", "narrow · gradient", "wide · EMA", "wide · gradient"):
        if histories[f"{kind} · reset"]["resets"].iloc[0] == 0:
            assert first[f"{kind} · reset"] == first[f"{kind} · no reset"]
        assert (histories[f"{kind} · no reset"]["resets"] == 0).all()
    with pytest.raises(ValueError, match="seed"):
        go(seed=5)


def test_a_run_without_notes_is_refused(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 20, "loss": 1.0}\n')
    with pytest.raises(ValueError, match="has noted no epoch; train it for longer, or anew"):
        usage_history(tmp_path)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(
            '{"step": 25, "epoch": 1.0, "epoch/entropy": 2.0, "epoch/perplexity": 4.0, "epoch/dead": 1.0}\n'
        )
    frame = usage_history(tmp_path)
    assert frame.loc[25].to_dict() == {"epoch": 1.0, "entropy": 2.0, "perplexity": 4.0, "dead": 1.0}
