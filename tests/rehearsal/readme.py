"""The commands of the README's section "Reproduce the paper", as one would type them, and how they are made small."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECTION = "## Reproduce the paper\n"
# What is put behind a command to make it tiny; the last of two equal flags counts. Nothing else is changed, but for the
# numbers of machines and processes. The first entry counts of which the command has all words.
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
KINDS = ("mmm", "accelerate", "make")


def commands(readme: Path = ROOT / "README.md") -> list[list[str]]:
    """The words of each command of the section, in order; a line that ends in a backslash goes on in the next."""
    section = readme.read_text(encoding="utf-8").split(SECTION)[1].split("\n## ")[0]
    lines = [line.strip() for line in section.replace("\\\n", " ").splitlines() if line.startswith("    ")]
    found = [shlex.split(line, comments=True) for line in lines]
    unknown = [words for words in found if words[0] not in KINDS]
    assert not unknown, f"who runs {unknown[0]}?"
    return found


def tiny(words: list[str]) -> list[str]:
    """The arguments of `mmm` with what makes them small."""
    behind = next(flags for name, flags in TINY.items() if set(name.split()) <= set(words))
    return [*words, *behind.split()]


def launches(words: list[str], port: int) -> list[list[str]]:
    """`accelerate launch …` with two processes in all: the arguments of one launcher for each machine.

    On a CPU `--multi_gpu` stands: with `--cpu` accelerate 1.15 starts one process, whatever --num_processes says.
    """
    launcher, command = words[1 : words.index("-m")], tiny(words[words.index("-m") + 2 :])
    here = ["--num_processes", "2", "--main_process_ip", "127.0.0.1", "--main_process_port", str(port)]
    machines = int(re.search(r"--num_machines (\d+)", " ".join(launcher)).group(1))
    quiet = ["--mixed_precision", "no", "--dynamo_backend", "no"]
    return [
        [*launcher, *here, *quiet, "--machine_rank", str(rank), "-m", "mmm.cli", *command]
        for rank in range(machines)
    ]
