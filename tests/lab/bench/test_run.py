import json
import math
import os
import signal
import subprocess
import sys
import time

import pytest

from mmm.cli import main
from mmm.lab.bench import run
from mmm.lab.bench.report import read_results, table
from mmm.lab.bench.run import PARTS, TRAINING, BenchSettings, measure, processor_name, run_bench
from mmm.recipes import PRESETS


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    out = tmp_path_factory.mktemp("bench") / "tiny.json"
    settings = BenchSettings(preset="tiny", lengths=(40, 44), batch=3, precision="no").quick()
    measured = run_bench(settings, out, isolate=False)
    assert read_results(out) == json.loads(json.dumps(measured))
    return read_results(out)


def numbers(value):
    if isinstance(value, dict):
        return [n for item in value.values() for n in numbers(item)]
    if isinstance(value, list):
        return [n for item in value for n in numbers(item)]
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else []


def test_every_part_is_measured(results):
    assert not results["failed"]
    for part in PARTS:
        figures = numbers(results[part])
        assert len(figures) > 4 and all(math.isfinite(n) and n > 0 for n in figures), part
        assert results[part]["memory"]["device_peak"] is None


def test_figures_say_what_they_are_of(results):
    row = results["single"]["lengths"][0]
    assert (row["frames"], row["passes"]) == (40, 2)  # round(10 · 10 / 49)
    assert {"text_seconds", "precision", "guidance"} <= set(results["single"]) and "decode_seconds" in row
    assert results["single"]["aits"] == pytest.approx(row["seconds"])
    assert results["batch"]["batch"] == 3
    assert results["batch"]["aits"] == pytest.approx(results["batch"]["lengths"][0]["seconds"] / 3)
    assert results["single"]["parameters"]["transformer"] == results["transformer"]["parameters"]
    assert (results["tokenizer"]["batch_size"], results["length"]["batch_size"]) == (32, 128)
    assert results["transformer"]["precision"] == "float32"

    manifest = results["manifest"]
    assert manifest["packages"]["torch"] and manifest["processor"] and manifest["threads"] >= 1
    facts = {"git_revision", "git_dirty", "python", "platform", "device", "cores", "load_before"}
    assert facts <= set(manifest)
    assert results["settings"]["precision"] == "no" and results["settings"]["text"]


def test_a_process_for_each_part(tmp_path, capfd):
    settings = BenchSettings(preset="tiny", only=("length",)).quick()
    results = run_bench(settings, tmp_path / "one.json")
    assert results["length"]["steps_per_second"] > 0 and "single" not in results
    assert "steps per second" in capfd.readouterr().err  # the user sees figures as they come
    assert "| length |" in table([results])


def test_a_trained_model_with_the_users_data(model, toy, tmp_path, monkeypatch):
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    model.save_pretrained(tmp_path / "model")
    settings = BenchSettings(model=str(tmp_path / "model"), data=str(toy.path), only=("loading",)).quick()
    results = run_bench(settings, tmp_path / "one.json", isolate=False)
    assert results["name"] == "model" and results["loading"]["pack"]["seconds"] > 0
    assert os.environ["MMM_CACHE"] == str(tmp_path / "cache") and not (tmp_path / "cache").exists()


def test_training_on_the_users_data(toy, tmp_path):
    settings = BenchSettings(preset="tiny", data=str(toy.path), only=tuple(TRAINING), precision="no").quick()
    results = run_bench(settings, tmp_path / "one.json", isolate=False)
    assert all(results[part]["steps_per_second"] > 0 for part in TRAINING)


def test_a_part_that_fails_is_noted_and_the_rest_is_measured(tmp_path, monkeypatch):
    def fails(part, job):
        if part == "tokenizer":
            raise run.PartFailed(run.cause_of_death(-signal.SIGKILL))
        return measure(part, job)

    monkeypatch.setattr(run, "measure", fails)
    settings = BenchSettings(preset="tiny", only=("tokenizer", "length"), precision="no").quick()
    results = run_bench(settings, tmp_path / "one.json", isolate=False)
    assert "SIGKILL" in results["failed"]["tokenizer"] and results["length"]["steps_per_second"] > 0
    assert "tokenizer failed: the process was ended by SIGKILL, probably" in table([results])


def test_stopping_leaves_nothing_behind(tmp_path):
    command = [sys.executable, "-m", "mmm.cli", "bench", "--quick", "--out", str(tmp_path / "out.json")]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        next(line for line in process.stderr if line.startswith("[1/"))
        time.sleep(0.5)  # a child runs
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
    assert process.returncode == 130
    assert rest == "mmm: stopped; nothing was written\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--device", "tpu"], "'tpu'"),
        (["--precision", "fp16"], "cuda"),
        (["--preset", "huge"], "huge"),
        (["--only", "dancing"], "dancing"),
        (["--length", "300", "--only", "single"], "300"),
        (["--model", "nowhere"], "nowhere"),
        (["--data", "nowhere"], "nowhere"),
        (["--model", ".", "--only", "tokenizer"], "tokenizer"),
        (["--out", "."], "is a folder"),
        *((["--preset", preset, "--batch", "0"], "batch is 0") for preset in PRESETS),  # all are accepted
        (["--table", "nowhere.json"], "nowhere.json"),
    ],
)
def test_bad_flags_are_named_and_nothing_is_written(tmp_path, monkeypatch, capsys, args, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["bench", "--quick", *args])
    printed = "".join(capsys.readouterr())
    assert stop.value.code == 2 and message in printed and "Traceback" not in printed
    assert not list(tmp_path.iterdir())


def test_the_processors_name(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: A Fast One @ 3 GHz\nflags\t: fpu\n")
    assert processor_name(tmp_path / "cpuinfo") == "A Fast One @ 3 GHz"
    assert processor_name(tmp_path / "nothing")
