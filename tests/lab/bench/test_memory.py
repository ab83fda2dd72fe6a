import time

import numpy as np
import pytest

from mmm.lab.bench.memory import STATM, PeakMemory

pytestmark = pytest.mark.skipif(not STATM.exists(), reason="peak memory is read from Linux' /proc")
SIZE = 200_000_000


def test_a_tensor_counts_also_when_it_is_gone_again():
    with PeakMemory() as memory:
        before = memory.peak
        held = np.ones(SIZE, np.uint8)
        assert held[-1] == 1
        memory._look()  # whether the thread was in time must not decide this test
        del held
    assert 0.95 * SIZE < memory.peak - before < 1.25 * SIZE


def test_a_mapped_file_does_not_count(tmp_path):
    np.ones(SIZE, np.uint8).tofile(tmp_path / "big")
    with PeakMemory() as memory:
        before = memory.peak
        mapped = np.memmap(tmp_path / "big", np.uint8, "r")
        assert mapped[::4096].sum() == -(-SIZE // 4096)  # every page is resident now
        memory._look()
    assert memory.peak - before < 0.25 * SIZE


def test_the_thread_looks_by_itself():
    with PeakMemory(interval=0.001) as memory:
        before = memory.peak
        # As large as above: what is smaller may come out of memory that an earlier test has left to this process.
        held = np.ones(SIZE, np.uint8)
        deadline = time.monotonic() + 60  # a busy machine may not wake the thread for a while
        while memory.peak - before < 0.9 * len(held) and time.monotonic() < deadline:
            time.sleep(0.001)
        seen = memory.peak - before
    assert seen >= 0.9 * SIZE
