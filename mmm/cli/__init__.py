"""The command line, `mmm …`. Every command is a dataclass: its fields are the flags, its docstrings the help.

One file per command. They import what they need when they run: `mmm --help` should not wait for torch.
"""

from __future__ import annotations

import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import tyro
from tyro.conf import OmitArgPrefixes, OmitSubcommandPrefixes, subcommand

from mmm import __version__
from mmm.cli.bench import Bench
from mmm.cli.convert import Convert
from mmm.cli.course import Course
from mmm.cli.edit import EditCommand
from mmm.cli.evaluate import Evaluate
from mmm.cli.export import Export
from mmm.cli.generate import Generate
from mmm.cli.import_ import Import
from mmm.cli.prepare import Prepare
from mmm.cli.ranges import check_options
from mmm.cli.train import Train

LONGEST = 1200  # letters of a message

Command = (
    Annotated[Prepare, subcommand("prepare")]
    | Annotated[Import, subcommand("import")]
    | Annotated[Train, subcommand("train")]
    | Annotated[Generate, subcommand("generate")]
    | Annotated[EditCommand, subcommand("edit")]
    | Annotated[Evaluate, subcommand("evaluate")]
    | Annotated[Convert, subcommand("convert")]
    | Annotated[Export, subcommand("export")]
    | Annotated[Bench, subcommand("bench")]
    | Annotated[Course, subcommand("course")]
)


def parse(args: list[str] | None = None) -> Command:
    """The command of a command line, by default that of this process."""
    return tyro.cli(
        OmitArgPrefixes[OmitSubcommandPrefixes[Command]],
        prog="mmm",
        description="Text to 3D human motion by masked modelling of motion tokens (MMM, CVPR 2024). "
        "`mmm --version` prints the version.",
        args=args,
    )


def main(args: list[str] | None = None) -> None:
    """Entry point of `mmm`. Bad input prints one sentence and exits 2; a failed course exits 1."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a Chinese name must not stop a command on an old console
            stream.reconfigure(errors="backslashreplace")
    if (sys.argv[1:] if args is None else args) == ["--version"]:
        print(f"mmm {__version__}")
        sys.exit(0)
    try:
        with _stoppable():
            command = parse(args)
            check_options(command)
            sys.exit(command.run() or 0)
    except (ValueError, OSError, FloatingPointError) as error:
        said = str(error)  # it may quote a name of any length; what to do stands at the end
        _release_frames(error)
        print(
            f"mmm: {said if len(said) < LONGEST else f'{said[: LONGEST - 250]}…{said[-250:]}'}",
            file=sys.stderr,
        )
        sys.exit(2)
    except KeyboardInterrupt as error:
        _release_frames(error)
        print(f"mmm: {str(error) or 'interrupted'}", file=sys.stderr)
        sys.exit(130)


def _release_frames(error: BaseException | None) -> None:
    """Let go of what a failed command had: a progress bar is drawn once more when it ends, and the message is last."""
    while error:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM, and SIGHUP of a window that is closed, end a command as Ctrl-C does: it removes what it has begun.

    Rarely a library swallows the exception (2 of 100 commands that had just begun). So it is raised again after a
    second, unless the command is about to end: then an exception is being handled. So nothing here may clean up for
    long after it has left its `except`.
    """
    stops = []

    def stop(number: int, frame: Any) -> None:
        name = signal.Signals(number).name
        stops.append("interrupted" if name == "SIGINT" else f"interrupted by {name}")
        if timer:
            signal.setitimer(signal.ITIMER_REAL, 1, 1)
        raise KeyboardInterrupt(stops[0])

    def again(number: int, frame: Any) -> None:
        if sys.exc_info()[0] is None:
            raise KeyboardInterrupt(stops[0])

    handlers = {}  # those of before; nohup stays nohup, and Windows has no SIGHUP
    if threading.current_thread() is threading.main_thread():  # Python allows handlers only there
        numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
        usual = (signal.SIG_DFL, signal.default_int_handler)
        handlers = {number: old for number in numbers if (old := signal.getsignal(number)) in usual}
    timer = handlers and hasattr(signal, "setitimer") and signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
    for number in handlers:
        signal.signal(number, stop)
    if timer:
        handlers[signal.SIGALRM] = signal.signal(signal.SIGALRM, again)
    try:
        yield
    except Exception as error:
        if stops:  # a library in C may make another exception of it, such as a TypeError of NumPy's np.save
            raise KeyboardInterrupt(stops[0]) from error
        raise
    finally:
        if timer:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, old in handlers.items():
            signal.signal(number, old)
