import pytest

from mmm.datasets.takes import cut, letters


@pytest.mark.parametrize("frames", [25, 196, 197, 198, 393, 394, 1267])
def test_a_take_is_cut_into_overlapping_pieces_of_allowed_length(frames):
    pieces = cut("take", frames)
    slices = list(pieces.values())
    assert slices[0].start == 0 and slices[-1].stop == frames
    assert all(24 <= piece.stop - piece.start - 1 <= 196 for piece in slices)
    assert all(a.stop - 1 == b.start for a, b in zip(slices[:-1], slices[1:], strict=True))
    assert list(pieces)[0] == ("take" if frames <= 197 else "take_a")


def test_pieces_of_the_longest_takes_have_names():
    names = [letters(number) for number in range(1000)]
    assert names[:9] == list("abcdefghi") and names[25:28] == ["z", "aa", "ab"] and len(set(names)) == 1000
