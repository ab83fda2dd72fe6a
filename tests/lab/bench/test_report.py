import copy
import json

import pytest

from mmm.cli import main
from mmm.lab.bench.report import read_results, table

TIMING = {"least": 0.01, "most": 0.03, "repeats": 5, "warmed": True}
MEMORY = {"peak": 1_500_000_000, "device_peak": None}


def made_up(name="tiny", device="cpu"):
    row = {
        "frames": 40,
        "passes": 2,
        "decode_seconds": 0.002,
        **TIMING,
        "seconds": 0.0205,
    }
    sampled = {
        "batch": 1,
        "precision": "float32",
        "text_seconds": 0.004,
        "parameters": {"total": 6_900_000},
        "aits": 0.0205,
        "lengths": [row],
        "memory": MEMORY,
    }
    many = {
        **sampled,
        "batch": 32,
        "text_seconds": 0.064,
        "aits": 0.01,
        "lengths": [{**row, "seconds": 0.32, "repeats": 2}],
    }
    rate = {"steps_per_second": 12.34, "repeats": 5, "batch_size": 64, "precision": "bf16", "memory": MEMORY}
    facts = {"processor": "A CPU", "device": "A GPU", "threads": 2, "cores": 4, "load_before": 0.25}
    facts |= {"packages": {"torch": "2.13.0"}, "git_revision": "0123456789", "git_dirty": True}
    return {
        "format": "mmm-bench-1",
        "name": name,
        "settings": {"device": device},
        "manifest": facts,
        "failed": {},
        "loading": {"import": {**TIMING, "seconds": 1.5}, "memory": MEMORY},
        "single": sampled,
        "batch": many,
        "tokenizer": rate,
        "seconds": 61.2,
    }


def test_one_result():
    lines = table([made_up()]).splitlines()
    assert lines[:2] == ["|  | tiny, cpu |", "| --- | ---: |"]
    assert "| parameters | 6.9 M |" in lines
    assert lines.index("| 40 frames | 20.5 ms |") > lines.index("| **one text to features (AITS)** |  |")
    assert [line for line in lines if "text encoder" in line][:2] == [
        "| the text encoder's part | 4 ms |",
        "| the text encoder's part | 2 ms |",
    ]
    assert "| **a text of 32, float32, in one `generate`** |  |" in lines
    assert "| 40 frames | 10 ms [2] |" in lines  # of a text, not of all 32; median of two only
    assert "| tokenizer | 12.3 (64, bf16) |" in lines
    assert "| import mmm, with torch | 1.5 s |" in lines
    assert "| train the tokenizer | 1,500 MB |" in lines
    assert (
        lines[-1]
        == "tiny, cpu: A CPU, 2 of 4 cores, load before 0.2; torch 2.13.0, revision 0123456+, 61 s in all."
    )


def test_several_results_stand_side_by_side():
    other = made_up("paper", "cuda")
    del other["batch"], other["loading"]
    other["single"]["memory"] = {"peak": 2_000_000_000, "device_peak": 3_000_000}
    other["single"]["lengths"][0]["frames"] = 196
    lines = table([made_up(), other]).splitlines()
    assert "|  | tiny, cpu | paper, cuda |" in lines
    assert "| 40 frames | 20.5 ms | – |" in lines and "| 196 frames | – | 20.5 ms |" in lines
    assert "| sample one text | 1,500 MB | 2,000 MB (3 MB) |" in lines
    assert any(line.startswith("paper, cuda: A GPU; A CPU") for line in lines)
    rows = [line for line in lines if line.startswith("|")]
    assert {line.count("|") for line in rows} == {4}


def test_headlines_without_figures_are_left_out():
    only = {name: value for name, value in made_up().items() if name not in ("single", "batch", "loading")}
    shown = table([only])
    assert "AITS" not in shown and "**loading**" not in shown and "parameters" not in shown
    assert "**training" in shown


def test_a_failure_is_told():
    results = copy.deepcopy(made_up())
    results["failed"]["transformer"] = "the process was ended by SIGKILL"
    assert (
        table([results]).splitlines()[-1]
        == "tiny, cpu: transformer failed: the process was ended by SIGKILL."
    )


def test_the_command_prints_files_as_one_table(tmp_path, capsys):
    for name in ("tiny", "small"):
        (tmp_path / f"{name}.json").write_text(json.dumps(made_up(name)))
    args = [flag for name in ("tiny", "small") for flag in ("--table", str(tmp_path / f"{name}.json"))]
    with pytest.raises(SystemExit) as stop:
        main(["bench", *args])
    assert stop.value.code == 0 and "|  | tiny, cpu | small, cpu |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"), [("{", "is not valid JSON"), ('{"a": 1}', "is no result of mmm bench")]
)
def test_other_files_are_refused(tmp_path, content, message):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_results(tmp_path / "a.json")


@pytest.mark.parametrize("name", ["tiny", "small", "paper"])
def test_stored_results_are_still_read(pytestconfig, name):
    shown = table([read_results(pytestconfig.rootpath / "figures" / "bench" / f"{name}.json")])
    assert f"|  | {name}, cpu |" in shown and "| first_motion" not in shown and "–" not in shown
