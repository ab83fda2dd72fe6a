import threading

import numpy as np
import pytest

from mmm.data.batches import pack
from mmm.data.captions import Caption

CAPTIONS = [
    [Caption("walks", (("walk", "VERB"),)), Caption("goes")],
    [Caption("turns\x85 left", (("turn", "VERB"), ("and/or", "CCONJ")), 0.5, 3.0)],
    [Caption("läuft")],
]


def clips(value: float = 0.0):
    for number, captions in enumerate(CAPTIONS):
        yield f"{number}", np.full((number + 1, 4), number + value, np.float32), captions


def test_captions_come_back_as_they_were(tmp_path):
    for _ in ("written", "loaded"):
        packed = pack(tmp_path / "pack", clips())
        assert list(packed.captions) == CAPTIONS and len(packed.captions) == len(packed) == 3
        assert packed.captions[-1] == CAPTIONS[2] and packed.captions[np.int64(1)] == CAPTIONS[1]
        with pytest.raises(IndexError):
            packed.captions[3]
        assert packed.texts() == ["goes", "läuft", "turns\x85 left", "walks"]
        assert packed.lengths.tolist() == [1, 2, 3] and np.array_equal(packed.clip(2), np.full((3, 4), 2))


def test_the_first_of_several_processes_is_kept(tmp_path):
    """Another process has written the same pack meanwhile and may be reading it, so it stays."""

    def slowly():
        pack(tmp_path / "pack", clips())
        yield from clips(100)

    packed = pack(tmp_path / "pack", slowly())
    assert packed.features[0, 0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["pack"]


def test_many_threads_at_once(tmp_path):
    sums, start = [], threading.Barrier(8)

    def work():
        start.wait()
        sums.append(pack(tmp_path / "pack", clips()).features.sum())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sums == [32.0] * 8
    assert [path.name for path in tmp_path.iterdir()] == ["pack"]


def test_nothing_is_left_of_a_pack_that_fails(tmp_path):
    def broken():
        yield from clips()
        raise ValueError("0003.npy is bad")

    with pytest.raises(ValueError, match="0003.npy"):
        pack(tmp_path / "pack", broken())
    with pytest.raises(ValueError, match="no clips"):
        pack(tmp_path / "pack", iter(()))
    assert not list(tmp_path.iterdir())
