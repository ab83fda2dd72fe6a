"""`mmm evaluate --edits`: what is written, read again, and refused."""

import json
from functools import partial

import numpy as np
import pandas as pd
import pytest
from made_up.command import exit_code
from made_up.evaluator import RandomEvaluator, write_untrained
from PIL import Image

from mmm.lab.edits import EditConfig, evaluate_edits, load_edits
from mmm.lab.edits.gaps import Gap
from mmm.lab.edits.run import STUDIES, markdown

run = partial(exit_code, "evaluate")

FILES = {"results.json", "results.md", "rows.csv", "figure.png", "manifest.json"}
SMALL = EditConfig(clips=1, pool=3)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr("mmm.lab.edits.metrics.RESAMPLES", 4)
    monkeypatch.setattr("mmm.lab.edits.metrics.SPLITS", 2)
    monkeypatch.setattr("mmm.lab.edits.gaps.GAPS", (Gap(fraction=0.5), Gap(frames=8), Gap(frames=16)))
    monkeypatch.setattr("mmm.lab.edits.long.TRANSITIONS", (0, 4))


@pytest.fixture(scope="module")
def flags(danced_folder, trained, tmp_path_factory):
    """Flags of `mmm evaluate` for the danced clips, with an untrained evaluator."""
    data = danced_folder
    evaluator = write_untrained(tmp_path_factory.mktemp("evaluator") / "model", data)
    files = ["--model", trained / "model_run", "--data", data.path, "--evaluator", evaluator]
    return [*files, "--pool", 3, "--clips", 1, "--other-splits"]


@pytest.mark.parametrize("kind", list(STUDIES))
def test_everything_is_written_and_read_again(kind, model, of_parts, danced_folder, tmp_path):
    edited_by = of_parts() if kind == "bodies" else model
    options = {"progress": False, "other_splits": True}
    out = tmp_path / kind
    results = evaluate_edits(kind, edited_by, danced_folder, RandomEvaluator(), SMALL, out, **options)
    assert {path.name for path in out.iterdir()} == FILES
    read = load_edits(out)
    assert read.kind == kind and read.config["clips"] == 1 and read.config["data"] == "synthetic"
    assert set(read.tables) == set(results.tables) and len(read.rows) == len(results.rows) > 0
    for name, table in results.tables.items():
        assert list(read.tables[name].columns) == list(table.columns)
        numbers = table.select_dtypes("number").columns
        stored = read.tables[name][numbers].astype(float)
        assert np.allclose(stored, table[numbers], atol=1e-5, equal_nan=True)
    content = json.loads((out / "results.json").read_text())
    assert "NaN" not in (out / "results.json").read_text()
    assert content["manifest"]["seed"] == 0 and content["manifest"]["model"] == read.config["model"]
    with Image.open(out / "figure.png") as picture:
        assert picture.width > 500 and len(picture.convert("RGB").getcolors(1 << 20)) > 4
    again = evaluate_edits(kind, edited_by, danced_folder, RandomEvaluator(), SMALL, out, **options)
    pd.testing.assert_frame_equal(again.rows, results.rows)


def test_the_command_evaluates_what_is_requested(flags, tmp_path, capsys):
    assert run(*flags, "--edits", "long", "--no-progress", "--out", tmp_path / "out") == 0
    printed = capsys.readouterr()
    assert "# Long sequences" in printed.out and "sequence" not in printed.err
    assert {path.name for path in (tmp_path / "out" / "long").iterdir()} == FILES


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["--edits", "gaps", "--repeats", "3"], "--repeats"),
        (["--edits", "bodies"], "2 body parts"),
        (["--edits", "gaps", "--split", "nowhere"], "nowhere"),
        ([], "--clips 1"),
    ],
)
def test_the_command_refuses_in_one_sentence(more, named, flags, tmp_path, capsys):
    assert run(*flags, *more, "--out", tmp_path / "out") == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("mmm: ") and named in message
    assert not (tmp_path / "out").exists()


def test_other_folders_are_left_alone(model, danced_folder, tmp_path):
    (tmp_path / "thesis.txt").write_text("all of it")
    data = (model, danced_folder, RandomEvaluator(), SMALL)
    with pytest.raises(ValueError, match=str(tmp_path)):
        evaluate_edits("gaps", *data, tmp_path, other_splits=True)
    with pytest.raises(ValueError, match="'hands'"):
        evaluate_edits("hands", *data, tmp_path / "out")
    with pytest.raises(ValueError, match="other_splits"):
        evaluate_edits("gaps", *data, tmp_path / "out")


@pytest.mark.parametrize(
    ("content", "error"),
    [(None, FileNotFoundError), ("{", ValueError), ('{"format": "mmm-evaluation-1"}', ValueError)],
)
def test_damaged_results_are_refused(tmp_path, content, error):
    if content:
        (tmp_path / "results.json").write_text(content)
    with pytest.raises(error, match="results.json"):
        load_edits(tmp_path)


def test_a_table_in_markdown():
    row = {"gap": "8", "clips": 5, "fid": 0.1234, "fid_half": 0.01, "jerk": np.nan}
    table = pd.DataFrame([row])
    assert markdown(table, ("gap", "clips", "fid", "jerk", "missing")).splitlines() == [
        "| gap | clips | fid | jerk |",
        "| --- | --- | ---: | ---: |",
        "| 8 | 5 | 0.123 ± 0.010 | – |",
    ]
