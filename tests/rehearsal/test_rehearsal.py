"""The README's way to the paper's table, walked from end to end in a made-up world, every command as it stands."""

import json
import runpy
import shlex
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmm import MMM
from mmm.cli import main
from mmm.data import MotionFolder
from mmm.release.tokenizer import to_release_state
from mmm.tokenizer import Tokenizer

HERE = Path(__file__).parent
readme = SimpleNamespace(**runpy.run_path(str(HERE / "readme.py")))
world = SimpleNamespace(**runpy.run_path(str(HERE / "world.py")))
ROWS = ("real", "real_real", "reconstruction", "given", "estimated")
MEASURES = {"r1", "r2", "r3", "mm_dist", "fid", "diversity", "multimodality"}  # the paper's


def test_every_command_of_the_readme_works(tmp_path, monkeypatch):
    monkeypatch.chdir(world.write_world(tmp_path))
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    left = []
    for words in readme.commands():
        RUN[words[0]](words)
        out = Path(words[words.index("--out") + 1]) if "--out" in words else Path("runs/course")
        CHECKS[str(out)](out)
        left.append(str(out))
    assert left == list(CHECKS)


# -- how each kind of command is run ----------------------------------------------------------------------


def mmm(words):
    """In this process: it is what the entry point calls, and saves the seconds of an import."""
    with pytest.raises(SystemExit) as ended:
        main(readme.tiny(words[1:]))
    assert ended.value.code == 0, words


def accelerate(words):
    launcher = [sys.executable, "-m", "accelerate.commands.accelerate_cli"]
    machines = [
        subprocess.Popen([*launcher, *arguments]) for arguments in readme.launches(words, free_port())
    ]
    assert [machine.wait(300) for machine in machines] == [0] * len(machines), words


def make(words):
    """What make would call, on the folder that is prepared already, and with the results here."""
    shown = subprocess.run(
        [*words, "-n", "-C", readme.ROOT], capture_output=True, text=True, check=True
    ).stdout
    called = shlex.split(shown.splitlines()[-2 if "Leaving" in shown else -1])
    assert Path(called[0]).name == "mmm", shown
    mmm(["mmm", *called[1:], "--data", str(Path("data/humanml3d").resolve()), "--out", "runs/course"])


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


RUN = {"mmm": mmm, "accelerate": accelerate, "make": make}


# -- what each leaves -------------------------------------------------------------------------------------


def prepared(out):
    folder = MotionFolder.open(out)
    assert folder.source == Path("HumanML3D").resolve() and (out / "report.md").is_file()
    assert {split: len(folder.ids(split)) for split in world.SPLITS} == {
        k: 2 * n for k, n in world.SPLITS.items()
    }


def converted(out):
    """Every array of the authors' files is in the model, and it moves by the evaluator's Mean and Std."""
    model = MMM.from_pretrained(out)
    states = {"vq": ("net", to_release_state(model.tokenizer))}
    states["trans"] = ("trans", world.transformer_to_release_state(model.transformer))
    for folder, (key, ours) in states.items():
        theirs = torch.load(Path("release") / folder / "net_last.pth", weights_only=True)[key]
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], value) for name, value in theirs.items())
    assert model.transformer.config == world.TRANSFORMER
    assert not (out / "length").exists()


def length_trained(out):
    assert (out / "metrics.jsonl").is_file()
    model = MMM.from_pretrained("runs/authors")
    assert 4 <= model.estimate_length("a person walks") <= 196


def evaluated(out, measures=MEASURES):
    results = json.loads((out / "results.json").read_text())
    protocol = results["config"]["protocol"]
    assert protocol["official"] and protocol["split"] == "test" and results["clips"] == 32
    assert results["config"]["evaluator"].startswith("guo-")
    assert tuple(results["rows"]) == ROWS
    for row in ("given", "estimated"):
        repeats = {name: len(results["rows"][row][name]["values"]) for name in measures}
        assert repeats == {name: 1 if name == "multimodality" else 2 for name in measures}
    assert {"r1", "mm_dist", "diversity"} <= results["rows"]["real"].keys()
    assert results["timing"]["aits"] > 0
    assert "| generated, given length |" in (out / "results.md").read_text()


def tokenizer_trained(processes):
    def check(out):
        config = (out / "config.yaml").read_text()
        assert "reset: release" in config and "feature_bias: 1.0" in config and "short: drop" in config
        tokenizer = Tokenizer.from_pretrained(out / "model")
        assert np.allclose(tokenizer.mean, np.load("data/guo/t2m/Comp_v6_KLD01/meta/mean.npy"))
        assert json.loads((out / "manifest.json").read_text())["processes"] == processes

    return check


def model_trained(processes):
    def check(out):
        assert "mask_schedule: uniform(0.5, 1)" in (out / "transformer" / "config.yaml").read_text()
        for part in ("transformer", "length"):
            assert json.loads((out / part / "manifest.json").read_text())["processes"] == processes
        model = MMM.from_pretrained(out)
        assert model.encoder.width == world.TEXT_WIDTH and model.info["guidance"] == 1
        assert len(model.generate("a person walks", seed=0)) >= 4  # its length is estimated

    return check


def course_run(out):
    [chapter] = json.loads((out / "course.json").read_text())["notebooks"]
    assert chapter["name"] == "01_data" and chapter["status"] == "ok"


CHECKS = {
    "data/humanml3d": prepared,
    "runs/authors": converted,
    "runs/authors-length": length_trained,
    "runs/authors-test": evaluated,
    "runs/paper/tokenizer": tokenizer_trained(1),
    "runs/paper/model_run": model_trained(1),
    "runs/paper-test": partial(evaluated, measures=MEASURES - {"multimodality"}),
    "runs/paper-4/tokenizer": tokenizer_trained(2),
    "runs/paper-4/model_run": model_trained(2),
    "runs/course": course_run,
}
