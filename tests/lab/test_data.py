"""Tables of a data set say what the clips' programs say."""

import numpy as np
import pytest

from mmm.data import Caption, write_folder
from mmm.data.captions import untagged
from mmm.datasets.synthetic import make_clip
from mmm.lab.data import action_classes, combinations, survey_clips, survey_words

WAVE = Caption("a man waves", (("a", "DET"), ("man", "NOUN"), ("wave", "VERB")))
JUMP = Caption("a man jumps", (("a", "DET"), ("man", "NOUN"), ("jump", "VERB")))
STAND = {"legs": {"name": "stand"}, "arms": None}
WALK_AND_WAVE = {"legs": {"name": "walk"}, "arms": {"name": "wave"}}


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    clips = [make_clip(index) for index in range(24)]
    ids = [clip.id for clip in clips]
    splits = {"train": ids[:14], "val": ids[14:16], "test": ids[16:18], "test_compositional": ids[18:]}
    info = {"name": "synthetic", "fps": 20.0, "skeleton": "humanml3d"}
    return write_folder(tmp_path_factory.mktemp("survey") / "data", clips, splits, info)


@pytest.mark.parametrize(
    ("program", "captions", "expected"),
    [
        ({"segments": [WALK_AND_WAVE, STAND]}, [], ("walk", "wave")),
        ({"segments": [STAND]}, [], ("stand",)),
        ({"content": "bow", "path": "x.bvh"}, [WAVE], ("bow",)),
        ({"path": "a.bvh"}, [untagged("a man waves"), untagged("she jumps and waves")], ("waves",)),
        (None, [WAVE, JUMP, JUMP], ("jump",)),
        (None, [], ()),
    ],
)
def test_action_classes_come_from_the_program_or_the_captions(program, captions, expected):
    assert action_classes(program, captions) == expected


def test_one_row_for_each_clip_with_its_turn_and_distance(folder):
    clips = survey_clips(folder)
    assert list(clips.split.value_counts()[["train", "test_compositional"]]) == [14, 6]
    assert list(clips.recording) == list(clips.index)  # a synthetic clip is a recording of its own
    for clip, row in clips.iterrows():
        segments = folder.program(clip)["segments"]
        assert row.frames == len(folder.features(clip)) and row.captions == len(folder.captions(clip))
        # The features smooth the heading, so that a turn at an end of the clip is cut short.
        assert abs(row.degrees - sum(s["turn"] for s in segments)) < 45
        assert row.metres > 0.8 * sum(s["distance"] for s in segments) - 0.1
    turned = [max(abs(s["turn"]) for s in folder.program(c)["segments"]) > 60 for c in clips.index]
    assert any(turned) and (abs(clips.degrees[turned]) > 30).all()


def test_clips_of_one_take_have_one_recording(toy):
    assert set(survey_clips(toy).recording) == {"take-0", "take-1", "take-2"}


def test_words_are_counted_in_the_split_alone(folder):
    words = survey_words(folder, "val")
    captions = [caption for clip in folder.ids("val") for caption in folder.captions(clip)]
    assert words["count"].sum() == sum(len(caption.words) for caption in captions)
    assert words["count"].is_monotonic_decreasing


def test_combinations_count_clips(folder):
    pairs = combinations(folder, "train")
    segments = [s for clip in folder.ids("train") for s in folder.program(clip)["segments"]]
    assert set(pairs) == {(s["legs"]["name"], s["arms"]["name"]) for s in segments if s["arms"]}
    assert np.max(list(pairs.values())) <= 14
