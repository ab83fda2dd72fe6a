"""Give mutated inputs to the command line and count what comes of them.

    python tests/fuzz/run.py --minutes 30      all kinds in turn; exits 1 if anything but clear errors and accepted
    python tests/fuzz/run.py --first 10000     inputs that an earlier campaign did not try
    python tests/fuzz/run.py bvh 17            one input again, with what it printed

The commands run in a child process, many in each, with 20 s of processor time and 2 GB more memory than it has after
its imports. If it dies, another one takes over. Classes: clear error (exit code 2 and one sentence), accepted, nonsense
(accepted though it must be refused, implausible, or an error without a sentence), traceback, memory, hang, leftover (a
file where none should be), NaN (in a file that was written).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KINDS = "bvh model data archive checkpoint prompt kill disk".split()
GOOD = ("clear error", "accepted")
CLASSES = [*GOOD, "nonsense", "traceback", "memory", "hang", "leftover", "NaN"]
WAIT = 60  # seconds in which a child that does nothing is believed to hang
KEPT = ROOT / "runs" / "fuzz"  # inputs that failed


class Campaign:
    """Counts and failures of many inputs; `close` ends the child and removes what it wrote."""

    def __init__(self) -> None:
        self.scratch = Path(tempfile.mkdtemp(prefix="mmm-fuzz-")).resolve()
        self.counts: dict[str, Counter] = defaultdict(Counter)
        self.failures: list[dict] = []
        self.child: subprocess.Popen | None = None

    def start(self) -> None:
        env = {
            **os.environ,
            "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
            "OMP_NUM_THREADS": "1",
            "PYTHONFAULTHANDLER": "1",
        }
        env |= {
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "MPLBACKEND": "Agg",
            "PYTHONWARNINGS": "ignore",
        }
        argv = [sys.executable, str(Path(__file__).with_name("child.py")), str(self.scratch)]
        pipes = {
            "stdin": subprocess.PIPE,
            "stdout": subprocess.PIPE,
            "stderr": (self.scratch / "stderr").open("wb"),
        }
        self.child = subprocess.Popen(
            argv, env=env, start_new_session=True, cwd=self.scratch, text=True, **pipes
        )
        if self._reply() != "ready":
            raise RuntimeError((self.scratch / "stderr").read_text()[-3000:])

    def _reply(self) -> str | None:
        """A line of the child; "" if it died, None if it waits for something: the kernel ends one that computes."""
        used, since = -1.0, time.monotonic()
        while not select.select([self.child.stdout], [], [], 1)[0]:
            times = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
            if sum(map(int, times)) > used + 2:
                used, since = sum(map(int, times)), time.monotonic()
            elif time.monotonic() > since + WAIT:
                return None
        return self.child.stdout.readline().strip()

    def try_one(self, kind: str, number: int) -> dict:
        if self.child is None:
            self.start()
        place = self.scratch / "a/b/c" / f"{kind}-{number}"
        print(kind, number, place, file=self.child.stdin, flush=True)
        reply = self._reply()
        if reply:
            outcome = json.loads(reply)
        else:
            self._stop()
            code, end = self.child.returncode, (self.scratch / "stderr").read_text(errors="replace")[-1500:]
            hangs = reply is None or code == -signal.SIGXCPU
            outcome = {
                "argv": ["?"],
                "class": "hang" if hangs else "traceback",
                "why": f"the process ended with {code}: {end}",
            }
            self.child = None
        self.counts[kind][outcome["class"]] += 1
        if outcome["class"] not in GOOD:
            self.failures.append({"kind": kind, "number": number, **outcome})
            shutil.rmtree(KEPT / place.name, ignore_errors=True)
            if (place / "in").exists():
                with contextlib.suppress(OSError, shutil.Error):  # names that no other disk takes
                    shutil.copytree(place / "in", KEPT / place.name / "in", symlinks=True)
        remove(place)
        return outcome

    def _stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait()

    def close(self) -> None:
        if self.child is not None:
            self._stop()
        remove(self.scratch)

    def report(self) -> str:
        """A table of the counts, and each kind of failure once, with the command that repeats it."""
        lines = [f"{'':10}" + "".join(f"{name:>12}" for name in CLASSES)]
        for kind, counts in self.counts.items():
            lines.append(f"{kind:10}" + "".join(f"{counts[name]:12}" for name in CLASSES))
        alike = defaultdict(list)
        for failure in self.failures:
            why = re.sub(r"\d+", "0", failure["why"])
            alike[
                failure["kind"], failure["class"], why[-80:] if "traceback" in failure["class"] else why[:50]
            ].append(failure)
        for (kind, outcome, _), failures in sorted(alike.items(), key=lambda item: item[0]):
            first = failures[0]
            lines += [f"\n{outcome} ({len(failures)} times), {first.get('what', '')}: {first['why'][:700]}"]
            lines += [
                f"  python tests/fuzz/run.py {kind} {first['number']}    (mmm {' '.join(first.get('argv', []))[:200]})"
            ]
        return "\n".join(lines)


def remove(place: Path) -> None:
    for line in Path("/proc/mounts").read_text().splitlines():
        if line.split()[1].startswith(f"{place}/"):
            subprocess.run(["umount", "-l", line.split()[1]], check=False)
    shutil.rmtree(place, ignore_errors=True)


def can_mount() -> bool:
    """Whether this process may mount a small disk: as root, outside most containers."""
    with tempfile.TemporaryDirectory() as folder:
        done = shutil.which("mount") and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", folder], capture_output=True
        )
        if not done or done.returncode:
            return False
        return subprocess.run(["umount", folder], capture_output=True).returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", nargs="?", choices=KINDS)
    parser.add_argument("number", nargs="?", type=int)
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--count", type=int, help="so many inputs of each kind, however long it takes")
    parser.add_argument(
        "--first", type=int, default=0, help="number of the first input: others than those before"
    )
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # through `finally`
    campaign = Campaign()
    try:
        if args.number is not None:
            print(json.dumps(campaign.try_one(args.kind, args.number), indent=1, ensure_ascii=False))
            print((campaign.scratch / "stderr").read_text(errors="replace")[-2000:])
            return 0
        kinds = [args.kind] if args.kind else KINDS[: None if can_mount() else -1]
        campaign.start()
        used, end = dict.fromkeys(kinds, 0.0), time.time() + 60 * args.minutes
        while kinds and (args.count or time.time() < end):
            kind, start = min(kinds, key=used.get), time.time()  # all kinds get the same time
            campaign.try_one(kind, args.first + campaign.counts[kind].total())
            used[kind] += time.time() - start
            if campaign.counts[kind].total() == args.count:
                kinds.remove(kind)
        print(campaign.report())
        print(
            f"{sum(count.total() for count in campaign.counts.values())} inputs; those that failed are in {KEPT}"
        )
        return bool(campaign.failures)
    finally:
        campaign.close()


if __name__ == "__main__":
    sys.exit(main())
