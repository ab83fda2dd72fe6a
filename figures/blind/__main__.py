"""Blind judgement: do readers who see no prompt recognise what was requested?

`python -m figures.blind make` draws film strips of generated and real motions, shuffled, and a key; readers name what
they see; `score` compares their answers with the key; `page` shows free text with all answers. This folder holds the
answers to the built-in prompts, ../free-text and ../free-text-60 those to free text.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import tyro

from figures.blind import score
from figures.blind.page import write_page
from figures.blind.prompts import read_prompts
from figures.blind.strips import make_strips
from mmm.data import MotionFolder
from mmm.model import MMM
from mmm.training.run_folder import write_json

PROGRAM = "python -m figures.blind"


@dataclasses.dataclass
class Make:
    """Write numbered strips for a reader, and the key."""

    model: Path
    data: Path
    """A data folder: real clips are drawn from its val split."""
    out: Path = Path("runs/blind")
    prompts: Path | None = None
    """Free text: a JSON list of {"text", "kind", "actions"}; the built-in prompts by default."""
    seed: int = 0
    """Of the first prompt; the next has one more."""
    best_of: int = 1
    """Candidates for each prompt, of which the shipped evaluator chooses one."""

    def run(self) -> None:
        prompts = None if self.prompts is None else read_prompts(self.prompts)
        model, data = MMM.from_pretrained(self.model), MotionFolder.open(self.data)
        how = {"prompts": prompts, "command": _command(), "best_of": self.best_of}
        out = make_strips(model, data, self.out, self.seed, **how)
        print(f"{out}: give instructions.md and strips/ to a reader, keep key.json for yourself")


@dataclasses.dataclass
class Score:
    """Compare readers' answers with the key; writes result.json (and confusion.png of the built-in prompts)."""

    strips: Path
    answers: tyro.conf.UseAppendAction[tuple[Path, ...]] = ()
    """A file of a reader, once for each; answers_*.json in the folder of strips by default."""

    def run(self) -> None:
        answers = list(self.answers) or score.find_answers(self.strips)
        strips = score.score(self.strips, answers).values()
        if score.is_free(score.read_key(self.strips)):
            result = score.tally(strips)
            print(score.table(result))
        else:
            result = score.count_contents(strips)
            score.draw_confusion(strips, self.strips / "confusion.png")
            print(json.dumps(result, indent=1))
        write_json(self.strips / "result.json", result)


@dataclasses.dataclass
class Page:
    """Write the page of free text: every prompt with its strip and what readers saw, GIFs, all files to score it."""

    strips: Path
    out: Path = Path("figures/free-text")
    answers: tyro.conf.UseAppendAction[tuple[Path, ...]] = ()
    """A file of a reader, once for each; answers_*.json in the folder of strips by default."""
    gif: tyro.conf.UseAppendAction[tuple[int, ...]] = ()
    """Number of a prompt to show as a GIF, once for each; by default a right one of each kind, and two failures."""

    def run(self) -> None:
        answers = list(self.answers) or score.find_answers(self.strips)
        out = write_page(self.strips, answers, self.out, self.gif, [_command()])
        size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
        print(f"{out / 'README.md'}, {size / 1000:.0f} kB with its pictures")


def _command() -> str:
    return shlex.join([*PROGRAM.split(), *sys.argv[1:]])


def main() -> None:
    """Run the command line; bad input is one sentence and exit 2."""
    sub = tyro.conf.subcommand
    commands = Annotated[Make, sub("make")] | Annotated[Score, sub("score")] | Annotated[Page, sub("page")]
    try:
        tyro.cli(tyro.conf.OmitSubcommandPrefixes[commands]).run()
    except (ValueError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
