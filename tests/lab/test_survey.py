"""The tables and pictures of notebook 01 say what the clips' programs say."""

import numpy as np
import pytest

from mmm.data import Caption, write_folder
from mmm.data.captions import untagged
from mmm.datasets.synthetic import make_clip
from mmm.lab import data as plots
from mmm.lab.data import combinations, contents_of, recording_of, survey_clips, survey_words

WAVE = Caption("a man waves", (("a", "DET"), ("man", "NOUN"), ("wave", "VERB")))
JUMP = Caption("a man jumps", (("a", "DET"), ("man", "NOUN"), ("jump", "VERB")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    clips = [make_clip(index) for index in range(24)]
    ids = [clip.id for clip in clips]
    splits = {"train": ids[:14], "val": ids[14:16], "test": ids[16:18], "test_compositional": ids[18:]}
    info = {"name": "synthetic", "fps": 20.0, "skeleton": "humanml3d"}
    return write_folder(tmp_path_factory.mktemp("survey") / "data", clips, splits, info)


def test_contents_come_from_the_program_else_from_the_captions():
    legs, arms = {"name": "walk"}, {"name": "wave"}
    stand = {"legs": {"name": "stand"}, "arms": None}
    assert contents_of({"segments": [{"legs": legs, "arms": arms}, stand]}, []) == ("walk", "wave")
    assert contents_of({"segments": [stand]}, []) == ("stand",)
    assert contents_of({"content": "bow", "path": "x.bvh"}, [WAVE]) == ("bow",)
    assert contents_of(None, [WAVE, JUMP, JUMP]) == ("jump",)
    assert contents_of(None, []) == ()
    assert contents_of({"path": "a.bvh"}, [untagged("a man waves"), untagged("she jumps and waves")]) == (
        "waves",
    )


def test_clips_of_one_take_have_one_recording():
    pieces = [{"path": "take.bvh", "content": "walk"}] * 2
    assert {recording_of(piece, clip) for piece, clip in zip(pieces, ("a", "b"), strict=True)} == {"take.bvh"}
    assert recording_of({"segments": []}, "000001") == "000001"


def test_one_row_per_clip_with_the_turn_and_the_way_that_were_danced(folder):
    clips = survey_clips(folder)
    assert list(clips.split.value_counts()[["train", "test_compositional"]]) == [14, 6]
    for clip, row in clips.iterrows():
        segments = folder.program(clip)["segments"]
        assert row.frames == len(folder.features(clip)) and row.captions == len(folder.captions(clip))
        # The features smooth the heading, so that a turn at an end of the clip is cut short.
        assert abs(row.degrees - sum(s["turn"] for s in segments)) < 45
        assert row.metres > 0.8 * sum(s["distance"] for s in segments) - 0.1
    turned = clips.degrees[
        [max(abs(s["turn"]) for s in folder.program(c)["segments"]) > 60 for c in clips.index]
    ]
    assert len(turned) > 0 and (abs(turned) > 30).all()


def test_words_are_counted_in_the_split_alone(folder):
    words = survey_words(folder, "val")
    captions = [caption for clip in folder.ids("val") for caption in folder.captions(clip)]
    assert words["count"].sum() == sum(len(caption.words) for caption in captions)
    assert words["count"].is_monotonic_decreasing


def test_combinations_count_clips(folder):
    pairs = combinations(folder, "train")
    expected = set()
    for clip in folder.ids("train"):
        expected |= {
            (s["legs"]["name"], s["arms"]["name"]) for s in folder.program(clip)["segments"] if s["arms"]
        }
    assert set(pairs) == expected and max(pairs.values()) <= 14


def test_pictures_show_every_clip(folder):
    clips = survey_clips(folder)
    lengths, contents = plots.plot_clips(clips).axes
    assert sum(bar.get_height() for bar in lengths.patches) == len(clips)
    assert len(contents.patches) == clips.contents.explode().nunique()
    shares = np.array([bar.get_width() for bar in plots.plot_splits(clips).axes[0].patches])
    assert np.isclose(shares.sum(), 100 * clips.contents.explode().nunique())


def test_words_are_drawn_by_part_of_speech_or_by_rank(folder):
    untagged_words = survey_words(folder)
    axes = plots.plot_words(untagged_words, shown=5).axes
    assert [len(ax.patches) for ax in axes] == [5, 5, 5, 5]
    assert [label.get_text() for label in axes[1].get_yticklabels()] == list(untagged_words.word[5:10])[::-1]
    tagged = untagged_words.assign(
        tag=["VERB", "NOUN"] * (len(untagged_words) // 2) + ["ADP"] * (len(untagged_words) % 2)
    )
    assert [len(ax.patches) for ax in plots.plot_words(tagged, shown=5).axes] == [5, 5, 0, 0]


def test_framed_are_the_combinations_that_train_lacks():
    axes = plots.plot_combinations({("walk", "clap"): 3}, {("walk", "wave"): 2, ("walk", "clap"): 1}).axes[0]
    assert [text.get_text() for text in axes.texts] == ["3", "0 | 2"]
    assert len(axes.patches) == 1
