"""Right actions by length, on motions whose actions are known."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from mmm import MMM
from mmm.data import Caption, Clip, write_folder
from mmm.datasets.synthetic.choreograph import dance
from mmm.datasets.synthetic.program import Action, Program, Segment
from mmm.lab import by_length
from mmm.motion import features_to_joints, joints_to_features

FRAMES = 60


def joints_of(legs, arms=None):
    return dance(Program((Segment(legs, arms, 0, FRAMES),), FRAMES, 7_000_000))[0]


def bowing(degrees):
    """Somebody who stands, and leans forward by so many degrees and back."""
    joints = joints_of(Action("stand"))[:1].repeat(FRAMES + 1, 0)
    angle = np.deg2rad(degrees) * np.sin(np.linspace(0, np.pi, FRAMES + 1))
    for joint in (3, 6, 9, 12, 13, 14, 15, 16, 17):
        away = joints[:, joint] - joints[:, 0]
        up, ahead = away[:, 1].copy(), away[:, 2].copy()
        joints[:, joint, 1] = joints[:, 0, 1] + np.cos(angle) * up - np.sin(angle) * ahead
        joints[:, joint, 2] = joints[:, 0, 2] + np.sin(angle) * up + np.cos(angle) * ahead
    return joints


MOTIONS = {
    "walk": joints_of(Action("walk", direction="forward")),
    "run": joints_of(Action("run", direction="forward")),
    "walk-back": joints_of(Action("walk", direction="backward")),
    "raise-up-left-hand": joints_of(Action("stand"), Action("raise", side="left")),
    "bow": bowing(40),
}


@pytest.fixture(scope="module")
def actions(tmp_path_factory):
    """A clip of each of MOTIONS, with two captions, and one of a class that nobody asks about."""
    clips = []
    for name, joints in (MOTIONS | {"dance-short": MOTIONS["run"]}).items():
        features = np.asarray(joints_to_features(joints), np.float32)
        captions = [Caption(f"a person does: {name}"), Caption(f"someone does: {name}")]
        clips.append(Clip(name, features, features_to_joints(features), captions, {"content": name}))
    ids = [clip.id for clip in clips]
    info = {"name": "actions", "fps": 20.0, "skeleton": "humanml3d", "source": "", "licence": "", "seed": 0}
    splits = {"train": ids, "val": ids, "test": ids[-1:]}
    return write_folder(tmp_path_factory.mktemp("actions") / "data", clips, splits, info)


class Parrot(MMM):
    """Generates what was asked for up to `longest` frames; above that, everybody walks."""

    max_frames = 100

    def __init__(self, longest):
        self.longest, self.calls, self.info = longest, [], {"fps": 20.0}

    def estimate_length(self, texts):
        return [FRAMES] * len(texts)

    def embed(self, texts):
        return texts

    def generate_bulk(self, texts, frames, seeds, **options):
        self.calls.append((list(texts), list(frames), list(seeds), options))
        motions = []
        for text, count in zip(texts, frames, strict=True):
            joints = MOTIONS[text.split(": ")[1] if count <= self.longest else "walk"]
            times = np.linspace(0, len(joints) - 1.001, count + 1)
            motions.append(np.asarray(joints_to_features(joints[times.astype(int)]), np.float32))
        return motions


def test_each_motion_shows_its_own_class_and_no_other():
    found = {(name, other): by_length.shows(MOTIONS[name], other) for name in MOTIONS for other in MOTIONS}
    assert found == {(name, other): name == other for name in MOTIONS for other in MOTIONS}
    assert not by_length.shows(bowing(15), "bow")
    assert set(MOTIONS) <= set(by_length.ACTIONS) and "dance-short" not in by_length.ACTIONS


def test_real_motions_at_other_lengths():
    walk = MOTIONS["walk"]
    assert np.array_equal(by_length.at_length(walk, 0.5, "walk"), walk[:30])
    assert by_length.at_length(walk, 1.2, "turn") is None
    assert len(by_length.at_length(walk, 0.1, "run")) == 24, "no model makes shorter ones"
    bow = MOTIONS["bow"]
    slow = by_length.at_length(bow, 121 / 61, "bow")
    np.testing.assert_allclose(slow[::2], bow, atol=1e-12)
    np.testing.assert_allclose(slow[1::2], (bow[1:] + bow[:-1]) / 2, atol=1e-12)


def test_the_recogniser_on_real_clips(actions):
    found = by_length.real_by_length(actions, "val", (0.6, 1.4))
    assert set(found) == {"walk", "run", "walk back", "raise", "bow"}
    assert set(found["walk"]) == {"whole", "0.6"} and set(found["bow"]) == {"whole", "0.6", "1.4"}
    assert all(
        row == {"right": 1, "judged": 1, "share": 1.0} for rows in found.values() for row in rows.values()
    )
    with pytest.raises(ValueError, match="no clip of an action class .* in test"):
        by_length.real_by_length(actions, "test")


def test_captions_of_each_class_first_captions_first(actions):
    texts = by_length.captions_by_class(actions, "val", 5)
    assert list(texts) == [name for name in by_length.ACTIONS if name in MOTIONS]
    assert texts["walk"] == ["a person does: walk", "someone does: walk"]
    assert by_length.captions_by_class(actions, "val", 1)["bow"] == ["a person does: bow"]


def test_shares_by_length_of_a_model_that_only_walks_when_it_has_time():
    model, texts = Parrot(longest=70), {"walk": ["a: walk", "b: walk"], "run": ["c: run"]}
    found = by_length.generated_by_length(model, texts, (0.1, 1.0, 2.0), seeds=(5, 6), guidance=1.5)
    shares = {action: [row["share"] for row in rows.values()] for action, rows in found.items()}
    assert shares == {"walk": [1.0, 1.0, 1.0], "run": [1.0, 1.0, 0.0]}
    assert [row["frames"] for row in found["run"].values()] == [24, 60, 100], "what the model can make"
    assert found["walk"]["2"]["judged"] == 4 and found["run"]["1"]["speed"] > 1.5 > found["run"]["2"]["speed"]
    ((asked, _, seeds, options),) = model.calls
    assert asked[:6] == ["a: walk"] * 2 + ["b: walk"] * 2 + ["c: run"] * 2
    assert seeds == [5, 6] * 9 and options == {"guidance": 1.5}


def test_the_command_writes_numbers_and_a_figure(actions, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(by_length, "MMM", SimpleNamespace(from_pretrained=lambda place: Parrot(70)))
    monkeypatch.setattr(by_length, "model_hash", lambda model: "parrot")
    by_length.Arguments(actions.path, tmp_path, captions=1, seeds=1, factors=(0.6, 1.4)).run()
    result = json.loads((tmp_path / "by_length.json").read_text())
    assert result["generated"]["run"]["1.4"]["share"] == 0 < result["generated"]["run"]["0.6"]["share"]
    assert json.loads((tmp_path / "manifest.json").read_text())["model"] == result["model"] == "parrot"
    assert (tmp_path / "by_length.png").read_bytes()[:4] == b"\x89PNG"
    assert "generated  run        0.6 100 % of 1   1.4 0 % of 1" in capsys.readouterr().out
    figure = by_length.plot_by_length(result)
    panel = next(ax for ax in figure.axes if ax.get_title() == "run")
    real, generated = panel.lines
    assert (real.get_xdata().tolist(), generated.get_ydata().tolist()) == ([0.6], [1.0, 0.0])
    with pytest.raises(ValueError, match="seeds 0"):
        by_length.Arguments(actions.path, tmp_path, seeds=0).run()
