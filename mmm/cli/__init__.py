"""The command line, `mmm …`. Every command is a dataclass: its fields are the flags, its docstrings the help.

One file per command. They import what they need when they run: `mmm --help` should not wait for torch.
"""

from __future__ import annotations

import sys
from typing import Annotated

import tyro
from tyro.conf import OmitArgPrefixes, OmitSubcommandPrefixes, subcommand

from mmm.cli.bench import Bench
from mmm.cli.convert import Convert
from mmm.cli.course import Course
from mmm.cli.edit import EditCommand
from mmm.cli.evaluate import Evaluate
from mmm.cli.generate import Generate
from mmm.cli.import_ import Import
from mmm.cli.prepare import Prepare
from mmm.cli.train import Train

Command = (
    Annotated[Prepare, subcommand("prepare")]
    | Annotated[Import, subcommand("import")]
    | Annotated[Train, subcommand("train")]
    | Annotated[Generate, subcommand("generate")]
    | Annotated[EditCommand, subcommand("edit")]
    | Annotated[Evaluate, subcommand("evaluate")]
    | Annotated[Convert, subcommand("convert")]
    | Annotated[Bench, subcommand("bench")]
    | Annotated[Course, subcommand("course")]
)


def parse(args: list[str] | None = None) -> Command:
    """The command of a command line, by default that of this process."""
    return tyro.cli(
        OmitArgPrefixes[OmitSubcommandPrefixes[Command]],
        prog="mmm",
        description="Text to 3D human motion by masked modelling of motion tokens (MMM, CVPR 2024).",
        args=args,
    )


def main(args: list[str] | None = None) -> None:
    """Entry point of `mmm`. Bad input prints one sentence and exits 2; a failed course exits 1."""
    command = parse(args)
    try:
        sys.exit(command.run() or 0)
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"mmm: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as error:
        print(f"mmm: {error or 'interrupted'}", file=sys.stderr)
        sys.exit(130)
