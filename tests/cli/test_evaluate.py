import json

import pytest
import torch

from mmm.cli import main
from mmm.evaluation.evaluator import EvaluatorConfig, MotionTextEvaluator, TrainedEvaluator
from mmm.evaluation.results import load_results

QUICK = ["--split", "train", "--pool", "8", "--repeats", "1", "--multimodality", "none", "--cpu"]


def run(*args: str) -> int:
    """Exit code of `mmm evaluate ARGS`."""
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", *args])
    return stop.value.code


@pytest.fixture(scope="module")
def evaluator(toy, tmp_path_factory) -> str:
    """An untrained evaluator of the toy data, on disk."""
    info = {"data": toy.name, "data_hash": toy.content_hash, "splits_hash": toy.splits_hash}
    info |= {"licence": "none", "text_encoder": "minilm", "hash": ""}
    network = MotionTextEvaluator(
        EvaluatorConfig(width=8, hidden=32, layers=1), torch.from_numpy(toy.mean), torch.from_numpy(toy.std)
    )
    folder = tmp_path_factory.mktemp("evaluator") / "model"
    TrainedEvaluator(network, info).save_pretrained(folder, "{data}", 0)
    return str(folder)


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
    assert [values[0] for values in again.rows["given"].values()] == [
        values[0] for values in results.rows["given"].values()
    ]
    capsys.readouterr()
    assert run(*given, *QUICK, "--temperature", "0.5", "--out", str(out)) == 2
    assert "temperature=1.0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--split", "val"], "2 clips of this split can be evaluated (2 in all, of at least 24 frames)"),
        (["--split", "dev"], "has no split 'dev'"),
        (["--repeats", "0"], "repeats is 0"),
        (["--evaluator", "nowhere"], "there is no evaluator for 'toy' in nowhere"),
        (["--data", "nowhere"], "there is no data folder nowhere"),
        (["--temperature", "0"], "temperature"),
    ],
)
def test_bad_requests_print_one_sentence_and_write_nothing(
    given, tmp_path, monkeypatch, capsys, args, message
):
    monkeypatch.chdir(tmp_path)
    assert run(*given, *QUICK, *args, "--out", "out") == 2
    printed = capsys.readouterr().err
    assert message in printed and "Traceback" not in printed and printed.count("\n") == 1
    assert not (tmp_path / "out").exists()
