"""Which clips are chosen, against which motions a text must find its own, FIDs with intervals, jerk at seams."""

import numpy as np
import pytest

from mmm.evaluation.pools import right_answers
from mmm.lab.edits.held_out import EditConfig


def test_fewer_clips_are_some_of_the_same_with_the_same_captions(toy_held):
    few, more, every, other = toy_held(3, 3), toy_held(6, 3), toy_held(None, 3), toy_held(6, 4)
    usable = few.packed.lengths >= 40
    some = few.choose(usable)
    assert set(some) < set(more.choose(usable)) <= set(every.choose(usable)) == set(np.flatnonzero(usable))
    assert some == sorted(some) and len(some) == 3
    assert [c.text for c in few.captions] == [c.text for c in more.captions]
    assert more.choose(usable) != other.choose(usable)
    with pytest.raises(ValueError, match="none of the"):
        few.choose(np.zeros(len(few), bool))
    with pytest.raises(ValueError, match="clips is 0"):
        EditConfig(clips=0)


def test_distractors_are_wrong_answers_and_depend_on_text_and_item_alone(toy_held):
    held = toy_held(pool=5)
    right = right_answers([caption.text for caption in held.captions], held.shown)
    for item, caption in enumerate(held.captions):
        query = held.query(item)
        assert query.others.shape == (4, 6) and query.text.shape == (1, 6)
        own = held.real[right[item]]
        assert not (query.others[:, None] == own).all(-1).any(), caption.text
    assert held.query(4).others.equal(held.query(4, held.captions[4], held.shown[4]).others)
    assert not held.query(4).others.equal(held.query(5, held.captions[4], held.shown[4]).others)
    with pytest.raises(ValueError, match="a pool needs 99"):
        toy_held(pool=100).query(0)


def test_a_query_finds_a_motion_at_its_text_and_not_one_far_away(toy_held):
    query = toy_held().query(2)
    assert query.hits(query.text) == {"r1": 1.0, "r3": 1.0}
    assert query.hits(query.text + 1e3) == {"r1": 0.0, "r3": 0.0}
