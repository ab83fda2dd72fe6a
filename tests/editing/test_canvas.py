import dataclasses

import pytest
import torch
from made_up.tokenizer import SMALL, made, raw

from mmm.editing import encode_kept, keep_outside, step_numbers
from mmm.motion.runs import runs
from mmm.transformer import MASK


def kept_of(frames, *gaps):
    return keep_outside(frames, gaps)[None]


@pytest.mark.parametrize(
    ("gaps", "sentence"),
    [
        ([(90, 120)], "the gap 90:120 is not inside the clip, which has frames 0:100; give 0 <= START < STOP <= 100"),
        ([(-5, 20)], "the gap -5:20 is not inside"),
        ([(40, 40)], "the gap 40:40 is not inside"),
        ([(60, 40)], "the gap 60:40 is not inside"),
        ([(50, 80), (20, 60)], "the gaps 20:60 and 50:80 overlap; join them or move one of them"),
        ([(0, 100)], "the gaps take all 100 frames, nothing is kept"),
        ([(0, 50), (50, 100)], "nothing is kept"),
        ([], "no gap was given"),
    ],
)  # fmt: skip
def test_gaps_that_make_no_sense_are_refused(gaps, sentence):
    with pytest.raises(ValueError, match=sentence):
        keep_outside(100, gaps)


def test_a_kept_stretch_gets_the_codes_that_it_has_alone():
    tokenizer = made()
    features = raw(tokenizer, 98)
    canvas = encode_kept(tokenizer, features, kept_of(98, (30, 50), (72, 80)))
    assert canvas.shape == (1, 1, 25)
    # 0:28 (29 and 30 share their token with the gap), 52:72, 80:98
    assert [(a, b) for a, b in runs(canvas[0, 0] != MASK)] == [(0, 7), (13, 18), (20, 25)]
    assert torch.equal(canvas[0, 0, 20:], tokenizer.encode(features[None, 80:])[0, 0])
    whole = tokenizer.encode(features[None])[0, 0]
    assert (canvas[0, 0, :7] != whole[:7]).any(), "codes of the whole clip would have seen the gap"


@pytest.mark.parametrize("parts", [1, 2])
def test_nothing_in_a_gap_bears_on_a_code(parts):
    tokenizer = made(dataclasses.replace(SMALL, parts=parts))
    features = raw(tokenizer, 98)
    kept = torch.cat([kept_of(98, (28, 52), (72, 80))] * parts)
    changed = features.clone()
    changed[~kept[0]] = raw(tokenizer, int((~kept[0]).sum()), seed=99)
    # the last kept frames' steps lead into the gaps: another first frame of the gap means another step
    for last in (27, 71):
        changed[last, step_numbers("humanml3d")] += 3.0
    assert torch.equal(encode_kept(tokenizer, features, kept), encode_kept(tokenizer, changed, kept))


def test_of_two_parts_one_can_be_kept_whole():
    tokenizer = made(dataclasses.replace(SMALL, parts=2))
    features = raw(tokenizer, 60)
    kept = torch.stack([kept_of(60, (20, 40))[0], torch.ones(60).bool()])
    canvas = encode_kept(tokenizer, features, kept)
    assert torch.equal(canvas[0, 1], tokenizer.encode(features[None])[0, 1])
    assert (canvas[0, 0] == MASK).nonzero()[:, 0].tolist() == [5, 6, 7, 8, 9]


def test_a_stretch_without_a_whole_token_is_refused():
    tokenizer = made()
    with pytest.raises(ValueError, match="of the kept frames 50:54 no whole token can be made"):
        encode_kept(tokenizer, raw(tokenizer, 100), kept_of(100, (20, 50), (54, 80)))
