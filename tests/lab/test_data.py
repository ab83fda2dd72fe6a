"""Tables of a data set say what the clips' programs say; plots hold the numbers of their tables and arrays."""

import numpy as np
import pandas as pd
import pytest

from mmm.data import Caption, write_folder
from mmm.data.captions import untagged
from mmm.datasets.synthetic import make_clip
from mmm.lab import data as study
from mmm.lab.data import action_classes, combinations, survey_clips, survey_words
from mmm.motion import feature_slices, features_to_joints

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


def walker(frames: int = 30) -> np.ndarray:
    """Features of a body that walks ahead at 1 m/s and turns left at 90 degrees a second."""
    features = np.zeros((frames, 263), np.float32)
    features[:, 0] = -np.radians(90) / 20 / 2
    features[:, 2] = 1 / 20
    features[:, 3] = 0.9
    features[:, 4:67] = np.random.default_rng(0).normal(size=63)
    return features


def test_plots_of_a_data_set():
    actions = [("walk",), ("walk", "wave"), ("walk",), ("bow",)]
    splits = ["train", "train", "val", "train"]
    clips = pd.DataFrame({"seconds": [2.0, 3.0, 8.0, 4.0], "split": splits, "actions": actions})
    lengths, classes = study.plot_clips(clips).axes
    assert sum(bar.get_height() for bar in lengths.patches) == 4
    assert [bar.get_width() for bar in classes.patches] == [3, 1, 1]
    ax = study.plot_splits(clips).axes[0]
    assert ax.get_yticklabels()[-1].get_text() == "walk"
    assert [round(bars[-1].get_width()) for bars in ax.containers] == [67, 33]
    words = pd.DataFrame({"word": list("abcdef"), "tag": ["VERB", "NOUN"] * 3, "count": range(6, 0, -1)})
    assert [len(ax.patches) for ax in study.plot_words(words, shown=2).axes] == [2, 2, 0, 0]
    untagged = study.plot_words(words.assign(tag="OTHER"), shown=2).axes
    assert [label.get_text() for label in untagged[1].get_yticklabels()] == ["c", "d"]
    held_out = {("walk", "wave"): 2, ("walk", "clap"): 1}
    ax = study.plot_combinations({("walk", "clap"): 3}, held_out).axes[0]
    assert [text.get_text() for text in ax.texts if text.get_text()] == ["3", "0 | 2"]
    assert len(ax.patches) == 1


def test_plots_of_a_clip():
    features = walker()
    joints = features_to_joints(features)
    axes = study.plot_feature_map(features).axes
    images = [ax.images[0].get_array() for ax in axes if ax.images and ax.get_ylabel()]
    assert np.array_equal(np.concatenate(images[:5]), features.T), "all numbers once"

    path, root, feet, speed = study.plot_root_and_feet(features, joints).axes
    assert np.allclose(root.lines[0].get_ydata(), 90, atol=1e-3)
    assert np.allclose(speed.lines[0].get_ydata(), 1, atol=1e-6)
    assert path.xaxis_inverted() and path.lines[0].get_xdata()[-1] > 0  # left is +x, drawn at the left
    assert len(feet.lines) == 4

    moved = (joints + np.linspace(0, 1, len(joints))[:, None, None] * [1, 0, 0]).astype(np.float32)
    truth, line = study.plot_drift({"truth": joints, "moved": moved}, "truth").axes[1].lines
    assert not truth.get_ydata().any() and np.isclose(line.get_ydata()[-1], 100, atol=1e-3)

    std = np.full(263, 0.1)
    std[115:121] = 0  # these never change: triangles
    ax = study.plot_spread(std, np.full(263, 0.1)).axes[0]
    triangles = np.concatenate([line.get_xdata() for line in ax.lines if line.get_marker() == "v"])
    assert list(triangles) == list(range(115, 121))
    assert {text.get_text() for text in ax.get_legend().get_texts()} == set(feature_slices())
