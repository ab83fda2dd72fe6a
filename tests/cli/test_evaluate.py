import json
from functools import partial

import pytest
from made_up.command import exit_code
from made_up.evaluator import write_untrained

from mmm.evaluation.results import load_results

run = partial(exit_code, "evaluate")

QUICK = ["--split", "train", "--pool", "8", "--repeats", "1", "--multimodality", "none", "--cpu"]


@pytest.fixture(scope="module")
def evaluator(toy, tmp_path_factory) -> str:
    """An untrained evaluator of the toy data, on disk."""
    return str(write_untrained(tmp_path_factory.mktemp("evaluator") / "model", toy))


@pytest.fixture
def given(toy, trained, evaluator, tmp_path, monkeypatch) -> list[str]:
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    return ["--model", str(trained / "model_run"), "--data", str(toy.path), "--evaluator", evaluator]


def test_it_prints_the_table_and_says_where_the_files_are(given, tmp_path, capsys):
    out = tmp_path / "found.json"
    assert run(*given, *QUICK, "--out", str(out)) == 0
    printed, results = capsys.readouterr().out, load_results(tmp_path / "found")
    assert results.table() in printed and str(out) in printed and "AITS" in printed
    assert json.loads(out.read_text()) == json.loads((tmp_path / "found" / "results.json").read_text())
    assert list(results.rows) == ["real", "real_real", "reconstruction", "given", "estimated"]
    # more repeats go on; another temperature is another evaluation
    assert run(*given, *QUICK, "--repeats", "2", "--out", str(out)) == 0
    again = load_results(tmp_path / "found")
    for metric, values in results.rows["given"].items():
        assert again.rows["given"][metric][0] == values[0]
    capsys.readouterr()
    assert run(*given, *QUICK, "--temperature", "0.5", "--out", str(out)) == 2
    assert "temperature=1.0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["--split", "val"], "2 clips"),
        (["--split", "dev"], "'dev'"),
        (["--repeats", "0"], "repeats is 0"),
        (["--evaluator", "nowhere"], "nowhere"),
        (["--data", "nowhere"], "nowhere"),
        (["--temperature", "0"], "temperature"),
    ],
)
def test_bad_requests_print_one_sentence_and_write_nothing(given, tmp_path, monkeypatch, capsys, args, named):
    monkeypatch.chdir(tmp_path)
    assert run(*given, *QUICK, *args, "--out", "out") == 2
    printed = capsys.readouterr().err
    assert named in printed and "Traceback" not in printed and printed.count("\n") == 1
    assert not (tmp_path / "out").exists()
