"""The child process of a campaign: makes each input, gives it to the command line, and says what came of it.

The command runs in this process. `serve` limits its memory and the size of files, `call` its processor time.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from random import Random

import numpy as np
import torch
from safetensors.numpy import load_file
from tqdm import tqdm

from fuzz import inputs
from fuzz.run import GOOD
from mmm.cli import main

SECONDS, BYTES, FILE = 20, 2 << 30, 512 << 20  # of the processor, of memory beyond the imports', of a file
MEMORY = re.compile(r"MemoryError|[Aa]llocate|bad_alloc|File too large|Errno 27")
OF_THE_MACHINE = ("manifest.json", "timing.jsonl")  # files of a run that tell of the machine and the clock


# ---- one input


def attempt(kind: str, number: int, base: Path, place: Path) -> dict:
    """The outcome of one input: {"class", "why", "argv", "what"}."""
    for part in ("in", "out", "tmp", "cache"):
        (place / part).mkdir(parents=True)
    case = inputs.KINDS[kind](Random(f"{kind} {number}"), base, place)
    os.environ |= {"MMM_CACHE": str(place / "cache"), "TMPDIR": str(place / "tmp")}
    tempfile.tempdir = str(place / "tmp")
    os.chdir(place)
    with small_disk(case.disk):
        old = place / "out" / Path(case.argv[-1]).name
        if case.disk >= 16 and old.suffix:
            old.write_bytes(b"old")
        before = listing(place.parents[2])
        if case.kills:
            outcome, why = killed(case, base, Random(f"moments {kind} {number}"))
        else:
            code, printed, said, error = call(case.argv)
            outcome, why = judge(case, code, printed, said, error, old)
        if outcome in GOOD and (new := leftovers(before, listing(place.parents[2]), place, case, outcome)):
            outcome, why = "leftover", ", ".join(new[:3])
    return {"class": outcome, "why": why, "argv": case.argv, "what": case.what}


def call(argv: list[str]) -> tuple[int | None, str, str, str]:
    """Exit code (None after an exception), stdout, stderr and traceback of `mmm ARGV` in this process."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", "replace") for _ in "oe")
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + 1 + SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))
    code, error = None, ""
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("always")
        try:
            main(argv)
        except SystemExit as stop:
            code = stop.code
        except BaseException:
            error = traceback.format_exc()
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode("utf-8", "replace"))
    return code, *texts, error


def judge(case, code: int | None, printed: str, said: str, error: str, old: Path) -> tuple[str, str]:
    if error:
        frames = re.findall(r'File "[^"]*?/(mmm/[^"]+)", line (\d+)', error)
        where = ":".join(frames[-1]) if frames else "?"
        why = f"{error.strip().splitlines()[-1][:300]} at {where}"
        return ("memory" if MEMORY.search(error) else "traceback"), why
    if MEMORY.search(said):
        return "memory", said[-300:]
    sentence = said.split("mmm: ")[-1].strip() if "mmm: " in said else ""
    if code == 2:
        if not sentence:  # the box of the parser
            return ("clear error", said) if "───" in said else ("nonsense", f"no sentence: {said[-300:]!r}")
        bad = "\n" in sentence or len(sentence) > 1500 or len(sentence) < 15 or "Traceback" in said
        bad = bad or (case.disk and "out" not in sentence)
        if case.disk and old.is_file() and old.read_bytes() != b"old":
            return "leftover", f"the old {old.name} was replaced"
        return ("nonsense" if bad else "clear error"), sentence[:2000]
    if code not in (0, None) or "RuntimeWarning" in said:
        return "nonsense", f"exit code {code}: {said[-300:]}"
    if case.refuse:
        return "nonsense", f"accepted: {case.what}"
    return implausible(printed) or ("accepted", "")


def implausible(printed: str) -> tuple[str, str] | None:
    """What is wrong with what a command wrote and printed."""
    for path in Path("out").rglob("*"):
        if path.suffix == ".npy":
            arrays = {path.name: np.load(path)}
        elif path.suffix == ".safetensors":
            arrays = load_file(path)
        else:
            if (
                path.suffix == ".mp4"
                and b"moov" not in path.read_bytes()
                or path.is_file()
                and not path.stat().st_size
            ):
                return "nonsense", f"{path} is not whole"
            continue
        bad = [
            name
            for name, values in arrays.items()
            if values.dtype.kind == "f" and not np.isfinite(values).all()
        ]
        if bad:
            return "NaN", f"{path}: {bad[:3]}"
        if path == Path("out/a.npy") and (
            np.abs(arrays[path.name]).max() > 1e4 or len(arrays[path.name]) > 72_000
        ):
            return (
                "nonsense",
                f"{path}: {arrays[path.name].shape}, numbers up to {np.abs(arrays[path.name]).max():.3g}",
            )
    for pattern, least, most in (
        (r"body is ([\d.e+-]+) m", 0.4, 2.5),
        (r"frames +\d+ at (\S+) fps", 1, 1000),
    ):
        if (found := re.search(pattern, printed)) and not least <= float(found[1]) <= most:
            return "nonsense", found[0]
    return None


def listing(place: Path) -> dict[str, int]:
    """Sizes of everything below a folder, by path; links are not followed."""
    found = {}
    for folder, folders, files in os.walk(place):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            found[path] = 0 if name in folders else os.lstat(path).st_size
    return found


def leftovers(before: dict, after: dict, place: Path, case, outcome: str) -> list[str]:
    """Files that were written where nothing should be, or that nobody needs any more."""
    allowed = [f"{place}/cache/"] + [f"{place}/out/"] * (outcome == "accepted" or case.argv[0] == "train")
    new = [path for path in after if after[path] != before.get(path)]
    bad = [
        path for path in new if not path.startswith(tuple(allowed)) or re.search(r"\.part(\.\w+)?(/|$)", path)
    ]
    return sorted(path.removeprefix(f"{place}/") for path in bad)


@contextlib.contextmanager
def small_disk(size: int):
    """out/ on a disk of `size` kB of its own, if `size`."""
    if size:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", "out"], check=True)
    try:
        yield
    finally:
        if size:
            subprocess.run(["umount", "-l", "out"], check=True)


# ---- kill and resume


def forked(argv: list[str], kill_after: float | None = None, sign: int = 0) -> tuple[int, float]:
    """Run `mmm ARGV` in a process of its own, a copy of this one; its wait status and seconds."""
    start = time.monotonic()
    if not (process := os.fork()):
        os.setsid()
        with open("log", "a") as log:
            code, printed, said, error = call(argv)
            log.write(printed + said + error)
        os._exit(99 if code is None else code)
    while True:
        done, status = os.waitpid(process, os.WNOHANG)
        seconds = time.monotonic() - start
        if done:
            return status, seconds
        if kill_after is not None and seconds > kill_after:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, sign)
            kill_after = None
        if seconds > 300:
            os.killpg(process, signal.SIGKILL)
        time.sleep(0.002)


def reference(argv: list[str], base: Path) -> tuple[Path, float]:
    """The result of an uninterrupted run, which is kept for all inputs, and the seconds that it took."""
    there, here = base.parent / f"reference-{argv[1]}", Path.cwd()
    if not there.exists():
        (there / "part/out").mkdir(parents=True)
        os.chdir(there / "part")
        status, seconds = forked(argv)
        assert status == 0, Path("log").read_text()
        os.chdir(here)
        (there / "seconds").write_text(str(seconds))
        (there / "part/out").rename(there / "out")
    return there / "out", float((there / "seconds").read_text())


def killed(case, base: Path, rng: Random) -> tuple[str, str]:
    """Stop the command at random moments, let it run to its end, and compare its bytes with an uninterrupted run."""
    expected, seconds = reference(case.argv, base)
    moments, stopped = [], False
    for _ in range(case.kills):
        sign = rng.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT))
        moments.append(f"{sign.name} after {(after := rng.uniform(0, 0.8) * seconds):.2f} s")
        status, _ = forked(case.argv, after, sign)
        stopped |= status != 0
        if os.waitstatus_to_exitcode(status) not in (0, 130, 143, -sign):
            return (
                "traceback",
                f"{moments[-1]}: exit {os.waitstatus_to_exitcode(status)}: {Path('log').read_text()[-600:]}",
            )
    status, _ = forked(case.argv)
    told = f"{', '.join(moments)}{'' if stopped else ', each too late'}: "
    if status:
        return (
            "traceback",
            f"{told}then exit {os.waitstatus_to_exitcode(status)}: {Path('log').read_text()[-600:]}",
        )
    ours, theirs = (
        {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (Path("out"), expected)
    )
    # a checkpoint of the moment when it was stopped may stand beside the last one
    names = {name for name in {*ours, *theirs} if Path(name).name not in OF_THE_MACHINE}
    names = {name for name in names if "/step-" not in name or "/step-000000006/" in name}
    differ = sorted(name for name in names if ours.get(name) != theirs.get(name))
    Path("log").unlink()
    return ("nonsense", f"{told}{', '.join(differ[:4])} differ") if differ else ("accepted", told)


def serve(scratch: Path) -> None:
    """Read "KIND NUMBER" from stdin, write outcomes as JSON to stdout."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    os.cpu_count = lambda: 1  # no worker processes
    torch.set_num_threads(1)
    tqdm.monitor_interval = 0
    base = scratch / "base"
    if not (scratch / "made").exists():
        with contextlib.redirect_stdout(sys.stderr):
            os.environ["MMM_CACHE"] = str(scratch / "base-cache")
            inputs.make_base(base)
        (scratch / "made").touch()
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + BYTES, size + BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE, FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    print("ready", file=replies, flush=True)
    for line in sys.stdin:
        kind, number, place = line.split()
        print(json.dumps(attempt(kind, int(number), base, Path(place))), file=replies, flush=True)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
