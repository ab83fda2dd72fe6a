"""The commands of docs/REPRODUCE.md run end to end on tiny made-up files."""

import json
import re
import shlex
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up import release as made_up_release
from made_up import world

from mmm import MMM
from mmm.cli import main
from mmm.data import MotionFolder
from mmm.tokenizer import Tokenizer

ROOT = Path(__file__).resolve().parents[1]
SECTION = "# Reproduce the paper\n"
# Flags appended to a command to make it tiny; the last of two equal flags counts. Nothing else is changed, except the
# numbers of machines and processes. The first entry whose words are all in the command counts.
TINY = {
    "prepare humanml3d": "",
    "convert": "--text ./clip",
    "train length": "--steps 3 --cpu",
    "train tokenizer": "--preset tiny --steps 3 --batch-size 8 --precision no --cpu",
    "train transformer": "--preset tiny --steps 3 --batch-size 8 --precision no --text ./clip --cpu",
    "evaluate runs/paper-test": "--repeats 2 --steps 2 --multimodality none --precision no --cpu",
    "evaluate": "--repeats 2 --steps 2 --precision no --cpu",
    "course": "--only 01",
}
ROWS = ("real", "real_real", "reconstruction", "given", "estimated")
MEASURES = {"r1", "r2", "r3", "mm_dist", "fid", "diversity", "multimodality"}  # the paper's


def test_every_command_of_the_readme_works(tmp_path, monkeypatch):
    monkeypatch.chdir(world.write_world(tmp_path))
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    left = []
    for words in commands():
        RUN[words[0]](words)
        out = Path(words[words.index("--out") + 1]) if "--out" in words else Path("runs/course")
        CHECKS[str(out)](out)
        left.append(str(out))
    assert left == list(CHECKS)


# -- the commands of the page ------------------------------------------------------------------------------


def commands(page: Path = ROOT / "docs/REPRODUCE.md") -> list[list[str]]:
    """The words of each command of the section, in order; a backslash joins lines."""
    section = page.read_text(encoding="utf-8").split(SECTION)[1].split("\n## ")[0]
    lines = [line.strip() for line in section.replace("\\\n", " ").splitlines() if line.startswith("    ")]
    return [shlex.split(line, comments=True) for line in lines]


def tiny(words: list[str]) -> list[str]:
    """The arguments of `mmm` with the flags that make them small."""
    flags = next(flags for name, flags in TINY.items() if set(name.split()) <= set(words))
    return [*words, *flags.split()]


def launches(words: list[str], port: int) -> list[list[str]]:
    """`accelerate launch …` with two processes in all: the arguments of one launcher for each machine.

    On a CPU `--multi_gpu` stays: with `--cpu` accelerate 1.15 starts one process, whatever --num_processes says.
    """
    launcher, command = words[1 : words.index("-m")], tiny(words[words.index("-m") + 2 :])
    here = ["--num_processes", "2", "--main_process_ip", "127.0.0.1", "--main_process_port", str(port)]
    machines = int(re.search(r"--num_machines (\d+)", " ".join(launcher)).group(1))
    quiet = ["--mixed_precision", "no", "--dynamo_backend", "no"]
    return [
        [*launcher, *here, *quiet, "--machine_rank", str(rank), "-m", "mmm.cli", *command]
        for rank in range(machines)
    ]


# -- how each kind of command is run ----------------------------------------------------------------------


def mmm(words):
    """In this process, which saves the seconds of an import."""
    with pytest.raises(SystemExit) as ended:
        main(tiny(words[1:]))
    assert ended.value.code == 0, words


def accelerate(words):
    launcher = [sys.executable, "-m", "accelerate.commands.accelerate_cli"]
    machines = [subprocess.Popen([*launcher, *arguments]) for arguments in launches(words, free_port())]
    assert [machine.wait(1500) for machine in machines] == [0] * len(machines), words


def make(words):
    """The command that make would call, on the prepared folder, with the results here."""
    shown = subprocess.run([*words, "-n", "-C", ROOT], capture_output=True, text=True, check=True).stdout
    called = shlex.split(shown.splitlines()[-2 if "Leaving" in shown else -1])
    assert Path(called[0]).name == "mmm", shown
    mmm(["mmm", *called[1:], "--data", str(Path("data/humanml3d").resolve()), "--out", "runs/course"])


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


RUN = {"mmm": mmm, "accelerate": accelerate, "make": make}


# -- the results of each command -------------------------------------------------------------------------------------


def prepared(out):
    folder = MotionFolder.open(out)
    assert folder.source == Path("HumanML3D").resolve() and (out / "report.md").is_file()
    assert {split: len(folder.ids(split)) for split in world.SPLITS} == {
        k: 2 * n for k, n in world.SPLITS.items()
    }


def converted(out):
    """Every array of the authors' files is in the model."""
    model = MMM.from_pretrained(out)
    vq, net = made_up_release.make_parts(world.TOKENIZER, world.TRANSFORMER)
    for ours, theirs in ((model.tokenizer, vq), (model.transformer, net)):
        assert all(torch.equal(ours.get_parameter(name), value) for name, value in theirs.named_parameters())
    assert torch.equal(model.tokenizer.codebook, vq.codebook)
    assert model.transformer.config == net.config and not (out / "length").exists()


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
