"""`mmm evaluate --edits`: what is written, read again, and refused."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from made_up.evaluator import RandomEvaluator
from PIL import Image

from mmm.cli import main
from mmm.evaluation.evaluator import EvaluatorConfig, MotionTextEvaluator, TrainedEvaluator
from mmm.lab.edits.gaps import Gap
from mmm.lab.edits.report import markdown
from mmm.lab.edits.run import EditConfig, evaluate_edits, load_edits

FILES = {"results.json", "results.md", "rows.csv", "figure.png", "manifest.json"}
SMALL = EditConfig(clips=1, pool=3)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr("mmm.lab.edits.judge.RESAMPLES", 4)
    monkeypatch.setattr("mmm.lab.edits.judge.HALVINGS", 2)
    monkeypatch.setattr("mmm.lab.edits.gaps.GAPS", (Gap(share=0.5), Gap(frames=8), Gap(frames=16)))
    monkeypatch.setattr("mmm.lab.edits.long.TRANSITIONS", (0, 4))


@pytest.fixture(scope="module")
def given(danced_folder, trained, tmp_path_factory):
    """Flags of `mmm evaluate` for the danced clips, with an untrained evaluator."""
    data = danced_folder
    info = {"data": data.name, "data_hash": data.content_hash, "splits_hash": data.splits_hash}
    info |= {"licence": "none", "text_encoder": "minilm", "hash": ""}
    network = MotionTextEvaluator(
        EvaluatorConfig(width=8, hidden=32, layers=1), torch.from_numpy(data.mean), torch.from_numpy(data.std)
    )
    evaluator = tmp_path_factory.mktemp("evaluator") / "model"
    TrainedEvaluator(network, info).save_pretrained(evaluator, "{data}", 0)
    flags = {"model": trained / "model_run", "data": data.path, "evaluator": evaluator, "pool": 3, "clips": 1}
    return [str(word) for name, value in flags.items() for word in (f"--{name}", value)] + ["--other-splits"]


def run(*args):
    """Exit code of `mmm evaluate ARGS`."""
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", *args])
    return stop.value.code


@pytest.mark.parametrize("kind", ["gaps", "bodies", "long"])
def test_everything_is_written_and_read_again(kind, model, of_parts, danced_folder, tmp_path):
    held_by = of_parts() if kind == "bodies" else model
    how = {"progress": False, "other_splits": True}
    out = tmp_path / kind
    found = evaluate_edits(kind, held_by, danced_folder, RandomEvaluator(), SMALL, out, **how)
    assert {path.name for path in out.iterdir()} == FILES
    read = load_edits(out)
    assert read.kind == kind and read.config["clips"] == 1 and read.config["data"] == "synthetic"
    assert set(read.tables) == set(found.tables) and len(read.rows) == len(found.rows) > 0
    for name, table in found.tables.items():
        assert list(read.tables[name].columns) == list(table.columns)
        numbers = table.select_dtypes("number").columns
        assert np.allclose(
            read.tables[name][numbers].astype(float), table[numbers], atol=1e-5, equal_nan=True
        )
    told = json.loads((out / "results.json").read_text())
    assert "NaN" not in (out / "results.json").read_text()
    assert told["manifest"]["seed"] == 0 and told["manifest"]["model"] == read.config["model"]
    with Image.open(out / "figure.png") as picture:
        assert picture.width > 500 and len(picture.convert("RGB").getcolors(1 << 20)) > 4
    again = evaluate_edits(kind, held_by, danced_folder, RandomEvaluator(), SMALL, out, **how)
    pd.testing.assert_frame_equal(again.rows, found.rows)


def test_the_command_measures_what_is_asked(given, tmp_path, capsys):
    assert run(*given, "--edits", "long", "--no-progress", "--out", str(tmp_path / "out")) == 0
    said = capsys.readouterr()
    assert "# Long sequences" in said.out and "the release's way" in said.out and "sequence" not in said.err
    assert {path.name for path in (tmp_path / "out" / "long").iterdir()} == FILES


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--edits", "gaps", "--repeats", "3"], "--repeats has no meaning with --edits; leave it out"),
        (["--edits", "bodies"], "upper-body edits need a model with 2 body parts"),
        (["--edits", "gaps", "--split", "nowhere"], "nowhere"),
        ([], "--clips 1 is for --edits; the evaluation itself takes all clips"),
    ],
)
def test_the_command_refuses_in_one_sentence(flags, sentence, given, tmp_path, capsys):
    assert run(*given, *flags, "--out", str(tmp_path / "out")) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("mmm: ") and sentence in said
    assert not (tmp_path / "out").exists()


def test_other_folders_are_left_alone(model, danced_folder, tmp_path):
    (tmp_path / "thesis.txt").write_text("all of it")
    with pytest.raises(ValueError, match="exists and is none of ours"):
        evaluate_edits("gaps", model, danced_folder, RandomEvaluator(), SMALL, tmp_path, other_splits=True)
    with pytest.raises(ValueError, match="kind is 'hands', expected one of gaps, bodies, long"):
        evaluate_edits("hands", model, danced_folder, RandomEvaluator(), SMALL, tmp_path / "out")
    with pytest.raises(ValueError, match="was trained on other data or splits"):
        evaluate_edits("gaps", model, danced_folder, RandomEvaluator(), SMALL, tmp_path / "out")


def test_damaged_results_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="run `mmm evaluate --edits"):
        load_edits(tmp_path)
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(ValueError, match="is damaged"):
        load_edits(tmp_path)
    (tmp_path / "results.json").write_text('{"format": "mmm-evaluation-1"}')
    with pytest.raises(ValueError, match="is not of format 'mmm-edits-1'"):
        load_edits(tmp_path)


def test_a_table_in_markdown():
    table = pd.DataFrame(
        {"gap": ["8"], "clips": [5], "fid": [0.1234], "fid_half": [0.01], "jerk": [np.nan], "x": [9]}
    )
    assert markdown(table, ("gap", "clips", "fid", "jerk", "missing")).splitlines() == [
        "| gap | clips | fid | jerk |",
        "| --- | --- | --- | --- |",
        "| 8 | 5 | 0.123 ± 0.010 | – |",
    ]
