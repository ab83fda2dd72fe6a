"""Peak memory of a process: resident, without mapped files."""

from __future__ import annotations

import os
import threading
from pathlib import Path

STATM = Path("/proc/self/statm")


class PeakMemory:
    """A context whose `peak` is the most memory this process held at once, in bytes; None without Linux' /proc.

    Counted are resident pages that belong to no file and are not shared (RssAnon of /proc/self/status): the
    heap, tensors, stacks. Weights or data that are mapped from a file do not count, since the system can drop
    them at any time. The kernel keeps no peak of this number, so a thread looks every `interval` seconds; what
    is allocated and freed between two looks is missed. One look takes a few microseconds.
    """

    def __init__(self, interval: float = 0.005) -> None:
        self.interval = interval
        self.peak: int | None = None
        self._stop = threading.Event()
        self._page = os.sysconf("SC_PAGE_SIZE") if STATM.exists() else 0
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        if self._page:
            self._file = os.open(STATM, os.O_RDONLY)
            self._look()
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._page:
            self._stop.set()
            self._thread.join()
            self._look()
            os.close(self._file)

    def _watch(self) -> None:
        while not self._stop.wait(self.interval):
            self._look()

    def _look(self) -> None:
        _, resident, shared, *_ = os.pread(self._file, 256, 0).split()  # pages; shared: of files or shared
        self.peak = max(self.peak or 0, (int(resident) - int(shared)) * self._page)
