import re

import numpy as np
import pytest

from mmm.datasets import bandai_captions
from mmm.datasets.bandai_captions import ACTION_CLASSES, STYLES, possible_classes, write_captions


@pytest.mark.parametrize("count", [0, 5000])
def test_more_captions_than_there_are_phrases_are_refused(count, monkeypatch):
    monkeypatch.setattr(bandai_captions, "TRIES", 3)
    with pytest.raises(ValueError, match=f"captions is {count}"):
        write_captions("respond", "normal", np.random.default_rng(0), count)


def test_captions_differ_and_name_the_side():
    rng = np.random.default_rng(0)
    for action in ACTION_CLASSES:
        for style in STYLES:
            texts = [caption.text for caption in write_captions(action, style, rng)]
            assert len(set(texts)) == 4
            assert not re.search(r"[<>{}]|SIDE|  ", " ".join(texts))
            for side, other in (("left", "right"), ("right", "left")):
                if side in action:
                    assert all(side in text and other not in text for text in texts), texts


def test_a_caption_can_be_of_its_own_action_class_and_style():
    rng = np.random.default_rng(3)
    for action in ACTION_CLASSES:
        for style in STYLES:
            for caption in write_captions(action, style, rng, 2):
                actions, styles = possible_classes(caption.text)
                assert actions == {action}, caption.text
                assert style in styles, caption.text


@pytest.mark.parametrize(
    ("text", "action", "styles"),
    [
        ("a person walks and turns left", "walk-turn-left", set(STYLES)),
        ("an old man raises the left hand and waves it", "wave-left-hand", {"old", "elderly"}),
        ("happily, someone is running", "run", {"happy"}),
        ("a man bows", "bow", {"masculine", "masculinity"}),
        ("someone juggles", None, set(STYLES)),
    ],
)
def test_the_classes_that_a_caption_could_be_of(text, action, styles):
    assert possible_classes(text) == ({action} - {None}, styles)
