"""What a repeat consists of: drawn alone, cut to what the model generates, and as Guo et al. draw it."""

import numpy as np
import torch

from mmm.evaluation.draws import draw_repeat
from mmm.evaluation.pools import meanings, right_answers


def test_a_repeat_is_drawn_alone(toy):
    packed = toy.pack("train")
    draws = {r: draw_repeat(toy, packed, repeat=r, pool=8) for r in (0, 1, 5, 1)}
    again = draw_repeat(toy, packed, repeat=5, pool=8)
    assert np.array_equal(draws[5].choice, again.choice)
    assert torch.equal(draws[5].distractors, again.distractors)
    assert not np.array_equal(draws[0].choice, draws[1].choice)
    assert not torch.equal(draws[0].distractors, draws[1].distractors)
    draw = draws[0]
    assert np.array_equal(draw.frames, packed.lengths) and not draw.starts.any()
    assert draw.captions == [packed.captions[i][c] for i, c in zip(draw.clips, draw.choice, strict=True)]
    ids = [packed.ids[i] for i in draw.clips]
    right = right_answers([caption.text for caption in draw.captions], meanings(toy, ids))
    assert not right[np.arange(22)[:, None], draw.distractors.numpy()].any()


def test_clips_longer_than_the_model_generates_are_cut(toy):
    packed = toy.pack("train")
    draw = draw_repeat(toy, packed, repeat=0, pool=8, max_frames=40)
    assert np.array_equal(draw.frames, np.minimum(packed.lengths, 40)) and (packed.lengths > 40).any()


def test_guos_pieces_and_pools(toy):
    packed = toy.pack("train")
    usable = np.flatnonzero(packed.lengths >= 40)
    draws = [draw_repeat(toy, packed, repeat=r, pool=4, official=True) for r in range(40)]
    for draw in draws:
        lengths = packed.lengths[draw.clips]
        assert len(draw) == len(usable) // 4 * 4 and set(draw.clips) <= set(usable)
        assert draw.distractors is None
        for starts, frames in ((draw.starts, draw.frames), (draw.other_starts, draw.other_frames)):
            assert (frames % 4 == 0).all() and (starts >= 0).all() and (starts + frames <= lengths).all()
            assert set(lengths // 4 * 4 - frames) <= {0, 4}
    shorter = np.concatenate([(packed.lengths[d.clips] // 4 * 4 - d.frames) > 0 for d in draws])
    assert 0.25 < shorter.mean() < 0.42  # one in three
    assert len({tuple(draw.clips) for draw in draws}) == 40
    spare = np.concatenate([packed.lengths[d.clips] - d.frames - d.starts for d in draws])
    assert spare.min() == 0 and spare.max() >= 4
