import json
import shutil

import numpy as np
import pytest
from PIL import Image

from figures.blind import strips
from figures.blind.drawing import GAP, ROW, Pose, _rows, draw_strip, pose_count
from figures.blind.score import score
from figures.blind.strips import make_strips, spread
from mmm.data import MotionFolder
from mmm.motion import features_to_joints


@pytest.fixture
def empty_strips(monkeypatch):
    """Files without a picture: what is drawn is tested below."""
    monkeypatch.setattr(strips, "draw_strip", lambda joints, fps, path: path.write_bytes(b""))


def test_strips_are_shuffled_and_a_judgement_is_never_replaced(
    model, toy, tmp_path, monkeypatch, empty_strips
):
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    prompts = {
        "waves with the left hand": ("he says hi", "she says hi"),
        "walks forward": ("he strolls on", "she strolls on"),
    }
    monkeypatch.setattr(strips, "PROMPTS", prompts)
    monkeypatch.setattr(strips, "CONTENTS", {name: name for name in prompts})
    out = make_strips(model, toy, tmp_path / "blind", split="train", progress=False)
    key = json.loads((out / "key.json").read_text())
    generated = [row for row in key.values() if row["kind"] == "generated"]
    real = [row for row in key.values() if row["kind"] == "real"]
    assert sorted(row["text"] for row in generated) == sorted(
        text for pair in prompts.values() for text in pair
    )
    assert all(toy.program(row["clip"])["content"] == row["content"] for row in real)
    takes = [toy.program(row["clip"])["path"] for row in real]
    assert len(set(takes)) == len(takes) == 2  # each content of the toy is one take, cut into many clips
    assert sorted(p.stem for p in (out / "strips").iterdir()) == sorted(key)
    assert not (out / "motions").exists()
    shown = (out / "instructions.md").read_text() + (out / "answers.json").read_text()
    assert not any(row.get("text", row.get("clip")) in shown for row in key.values())
    with pytest.raises(ValueError, match="holds strips and perhaps answers"):
        make_strips(model, toy, out, split="train", progress=False)
    assert json.loads((out / "key.json").read_text()) == key


@pytest.fixture
def toy_contents(tmp_path, monkeypatch):
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    names = ("waves with the left hand", "walks forward")
    monkeypatch.setattr(strips, "CONTENTS", {name: name for name in names})


ASKED = [
    {"text": "she says hi", "contents": ["waves with the left hand"], "kind": "plain"},
    {
        "text": "strolls, says hi",
        "contents": ["walks forward", "waves with the left hand"],
        "kind": "two",
        "order": "then",
    },
]


def test_free_text_has_as_many_real_clips_and_hides_its_prompts(model, toy, tmp_path, toy_contents):
    how = {"seed": 5, "split": "train", "progress": False, "prompts": ASKED, "command": "make"}
    out = make_strips(model, toy, tmp_path / "free", **how)
    key = json.loads((out / "key.json").read_text())
    generated = {name: row for name, row in key.items() if row["kind"] == "generated"}
    assert sorted(key) == ["001", "002", "003", "004"] and len(generated) == 2
    assert sorted((row["number"], row["seed"]) for row in generated.values()) == [(1, 5), (2, 6)]
    for name, row in generated.items():
        assert row["prompt"] == ASKED[row["number"] - 1]
        joints = np.load(out / "motions" / f"{name}.npy")
        alone = model.generate(row["prompt"]["text"], seed=row["seed"])  # the model's own length
        np.testing.assert_allclose(joints, alone.joints, atol=1e-4)
    assert sorted(path.stem for path in (out / "motions").iterdir()) == sorted(generated)
    assert all(Image.open(out / "strips" / f"{name}.png").width > 500 for name in key)
    read = (out / "instructions.md").read_text()
    assert "+" in read and "`other`" in read
    assert not any(row["prompt"]["text"] in read for row in generated.values())
    told = json.loads((out / "manifest.json").read_text())
    assert (told["command"], told["seed"], told["data_hash"]) == ("make", 5, toy.content_hash)


def test_everyday_prompts_are_compared_with_clips_of_the_same_names(
    model, toy, tmp_path, monkeypatch, empty_strips
):
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    names = {"waves with the left hand": ("wave-left-hand",), "walks forward": ("walk", "walk-turn-left")}
    monkeypatch.setattr(strips, "CLASSES", names)
    prompts = [
        {"text": "she says hi", "kind": "single", "actions": [["wave-left-hand"]]},
        {
            "text": "strolls, says hi",
            "kind": "while",
            "actions": [["walk"], ["wave-left-hand"]],
            "order": "while",
        },
    ]
    out = make_strips(model, toy, tmp_path / "new", split="train", progress=False, prompts=prompts)
    key = json.loads((out / "key.json").read_text())
    real = {row["content"]: row for row in key.values() if row["kind"] == "real"}
    assert {name: tuple(row["actions"][0]) for name, row in real.items()} == names
    assert {row["like"] for row in real.values()} == {"single"}
    read = (out / "instructions.md").read_text()
    assert ", then " in read and "`tired`" in read and "`climb-up`" in read and "`bye`" not in read
    assert not any(row["prompt"]["text"] in read for row in key.values() if "prompt" in row)
    answers = tmp_path / "answers.json"
    answers.write_text(json.dumps(dict.fromkeys(key, "walk; sad")))
    marks = {row.get("content", number): mark for number, (row, mark) in _marks(out, answers).items()}
    assert sorted(marks.values()) == ["half", "right", "wrong", "wrong"] and marks["walks forward"] == "right"


def _marks(out, answers):
    return {name: (strip.row, strip.mark) for name, strip in score(out, [answers]).items()}


class Clips:
    """A data folder of clips that have nothing but a program: (class, style, take) of each."""

    path, of = "clips", {}

    def __init__(self, *clips):
        self.of = {
            f"{i}": dict(zip(("content", "style", "path"), c, strict=True)) for i, c in enumerate(clips)
        }

    def ids(self, split):
        return list(self.of)

    def program(self, clip):
        return self.of[clip] if self.of[clip]["content"] else {"segments": []}


def test_real_clips_are_spread_over_manners_for_the_styles_and_never_synthetic():
    clips = Clips(
        ("walk", "old", "a"),
        ("walk", "elderly", "a"),
        ("run", "sad", "b"),
        ("bow", "youthful", "c"),
        ("climb-ladder-up", None, "d"),
        ("sit-high", None, "e"),
        (None, None, "f"),
    )
    kinds = [{"kind": kind} for kind in ("style", "single", "style", "everyday")]
    for seed in range(5):
        rows = strips.real_like(kinds, clips, "val", np.random.default_rng(seed))
        assert [row["like"] for row in rows] == ["style"] * 2 + [row["like"] for row in rows[2:]]
        assert sorted(row["manner"] for row in rows[:2]) == [["old"], ["sad"]]
        assert sorted((row["content"], row["like"]) for row in rows[2:]) == [
            ("bow", "single"),
            ("climb-ladder-up", "everyday"),
        ]
        assert all(row["actions"] == [["climb-up"]] for row in rows if row["content"] == "climb-ladder-up")
    with pytest.raises(ValueError, match="real clips, expected as many as prompts"):
        strips.real_like([*kinds, {"kind": "single"}], clips, "val", np.random.default_rng(0))


@pytest.mark.parametrize(("kind", "key"), [("then", "a|b"), ("typed", "a")])
def test_captions_of_two_actions_and_typed_sentences_are_training_captions_too(
    model, toy, tmp_path, toy_contents, kind, key
):
    folder = tmp_path / "composed"
    shutil.copytree(toy.path, folder)
    table = {"then": {}, "while": {}, kind: {key: ["she strolls, then says hi"]}}
    (folder / "compositions.json").write_text(json.dumps(table))
    how = {
        "split": "train",
        "progress": False,
        "prompts": [{**ASKED[0], "text": "She strolls; then says hi!"}],
    }
    with pytest.raises(ValueError, match="is a training caption"):
        make_strips(model, MotionFolder.open(folder), tmp_path / "free", **how)


def test_a_strip_has_more_poses_for_a_longer_motion_in_rows_that_fit(golden, tmp_path):
    joints = np.asarray(features_to_joints(np.asarray(golden("features_free")["0/features"], np.float32)))
    sizes = []
    for frames in (12, len(joints)):
        draw_strip(joints[:frames], 20.0, tmp_path / "strip.png")
        with Image.open(tmp_path / "strip.png") as picture:
            sizes.append(picture.size)
    assert sizes[0][0] == sizes[1][0] and sizes[0][1] < sizes[1][1]
    assert [pose_count(seconds) for seconds in (0.5, 4.2, 20)] == [10, 18, 26]
    poses = [Pose(None, 0.0, [], [], width, "") for width in np.random.default_rng(0).uniform(0.75, 2, 24)]
    rows = _rows(poses)
    assert [pose for row in rows for pose in row] == poses
    assert all(row and sum(pose.width + GAP for pose in row) <= ROW for row in rows)


def test_what_cannot_be_shown_leaves_no_folder(model, toy, tmp_path, toy_contents, monkeypatch):
    how = {"split": "train", "progress": False}
    with pytest.raises(ValueError, match="is a training caption"):
        make_strips(
            model, toy, tmp_path / "free", prompts=[{**ASKED[0], "text": "A person walks forward!"}], **how
        )
    many = [{**ASKED[0], "text": f"says hi {'again ' * i}"} for i in range(3)]
    with pytest.raises(ValueError, match="there are 2 real clips, expected as many as prompts, 3"):
        make_strips(model, toy, tmp_path / "free", prompts=many, **how)

    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr(strips, "draw_strip", broken)
    with pytest.raises(OSError, match="disk full"):
        make_strips(model, toy, tmp_path / "free", prompts=ASKED, **how)
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_real_clips_are_spread_evenly_over_the_contents():
    takes = {"a": ["a1", "a2", "a3"], "b": ["b1"], "c": ["c1", "c2", "c3", "c4"]}
    for seed in range(5):
        picked = spread(takes, 6, np.random.default_rng(seed))
        assert len(set(picked)) == 6 and all(clip[0] == content for content, clip in picked)
        counts = [sum(content == name for content, _ in picked) for name in "abc"]
        assert counts in ([3, 1, 2], [2, 1, 3])
    seen = {spread(takes, 1, np.random.default_rng(seed))[0][0] for seed in range(20)}
    assert seen == {"a", "b", "c"}  # which come in the last round is drawn
    assert len(spread(takes, 8, np.random.default_rng(0))) == 8
