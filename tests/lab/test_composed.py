"""Two actions in one text, on motions whose actions are known."""

import itertools
import json
from types import SimpleNamespace

import numpy as np
import pytest

from mmm import MMM
from mmm.data import Caption, Clip, write_folder
from mmm.data.captions import mirror_text
from mmm.datasets.compositions import follows, together
from mmm.datasets.synthetic.choreograph import dance
from mmm.datasets.synthetic.program import Action, Program, Segment
from mmm.lab import composed
from mmm.lab.by_length import ACTIONS
from mmm.motion import features_to_joints, joints_to_features, measures
from mmm.sequences import split_text

TEXTS = json.loads(composed.TEXTS.read_text())
STAND, WALK, RUN = Action("stand"), Action("walk", direction="forward"), Action("run", direction="forward")
LEFT, RIGHT = Action("raise", side="left"), Action("raise", side="right")
WAVE = Action("wave", side="left", count=4)


def joints_of(*rows, frames=60):
    """What (legs, arms) of each row do, one row after the other."""
    segments = tuple(Segment(legs, arms, i * frames, (i + 1) * frames) for i, (legs, arms) in enumerate(rows))
    return dance(Program(segments, len(rows) * frames, 7_000_000))[0]


MOTIONS = {
    "walk": joints_of((WALK, None)),
    "run": joints_of((RUN, None)),
    "raise-up-left-hand": joints_of((STAND, LEFT)),
    "wave-left-hand": joints_of((STAND, WAVE)),
    "walk, then raise": joints_of((WALK, None), (STAND, LEFT)),
    "walk, then raise right": joints_of((WALK, None), (STAND, RIGHT)),
    "raise, then walk": joints_of((STAND, LEFT), (WALK, None)),
    "run, then walk": joints_of((RUN, None), (WALK, None)),
    "walk, raising": joints_of((WALK, LEFT)),
    "walk, then wave": joints_of((WALK, None), (STAND, WAVE)),
    "walk, waving": joints_of((WALK, WAVE), frames=80),
}
PAIRS = {
    ("then", "walk|raise-up-left-hand"): "walk, then raise",
    ("then", "walk|raise-up-right-hand"): "walk, then raise right",
    ("then", "raise-up-left-hand|walk"): "raise, then walk",
    ("then", "run|walk"): "run, then walk",
    ("then", "walk|wave-left-hand"): "walk, then wave",
    ("while", "walk|raise-up-left-hand"): "walk, raising",
    ("while", "walk|wave-left-hand"): "walk, waving",
}


@pytest.fixture(autouse=True)
def few_cuts(monkeypatch):
    """Three times as fast."""
    monkeypatch.setattr(composed, "STEP", 12)


@pytest.fixture(scope="module")
def actions(tmp_path_factory):
    """A clip of each single action of MOTIONS."""
    clips = []
    for name in set(MOTIONS) & set(ACTIONS):
        features = np.asarray(joints_to_features(MOTIONS[name]), np.float32)
        clips.append(Clip(name, features, features_to_joints(features), [Caption(name)], {"content": name}))
    ids = [clip.id for clip in clips]
    info = {"name": "actions", "fps": 20.0, "skeleton": "humanml3d", "source": "", "licence": "", "seed": 0}
    splits = {"train": ids, "val": ids, "test": ids}
    return write_folder(tmp_path_factory.mktemp("actions") / "data", clips, splits, info)


@pytest.mark.parametrize(("kind", "pair"), PAIRS)
def test_a_pair_is_seen_in_its_own_motion_and_in_no_other(kind, pair):
    found = [name for name, joints in MOTIONS.items() if composed.verdict(joints, kind, pair)["right"]]
    assert found == [PAIRS[kind, pair]]


def test_what_is_seen_of_a_wrong_motion():
    def seen(name, kind="then", pair="walk|raise-up-left-hand"):
        return tuple(composed.verdict(MOTIONS[name], kind, pair).values())

    assert seen("walk, then raise") == (True, True, True)
    assert seen("walk") == (False, True, False) and seen("raise-up-left-hand") == (False, False, True)
    assert seen("walk, then raise right") == (False, True, False), "the other hand"
    assert seen("walk, then raise", "while") == (False, True, True), "both, but not at once"
    assert seen("run") == seen("run", "while") == (False, False, False)
    assert tuple(composed.verdict(MOTIONS["walk"][:40], "then", "walk|run").values()) == (False,) * 3, (
        "no cut"
    )


def test_one_after_the_other_means_not_at_once():
    """The legs stand while the arms act, and the arms hang while the legs go."""
    pair = ("then", "walk|raise-up-left-hand")
    goes_on = composed.joined(MOTIONS["walk"], MOTIONS["walk, raising"])
    assert composed.verdict(goes_on, *pair) == {"right": False, "first": True, "second": False}
    always_up = composed.joined(MOTIONS["walk, raising"][12:-12], MOTIONS["raise-up-left-hand"][12:])
    assert composed.verdict(always_up, *pair) == {"right": False, "first": False, "second": True}


def test_joined_motions_meet_in_place_and_direction():
    turned = MOTIONS["run"] @ np.array([[0, 0, 1.0], [0, 1, 0], [-1, 0, 0]]) + [5, 0, -3]
    assert abs(composed._heading(turned[0]) - composed._heading(MOTIONS["run"][0])) > 1.5
    motion = composed.joined(MOTIONS["walk"], turned)
    n = len(MOTIONS["walk"])
    np.testing.assert_array_equal(motion[:n], MOTIONS["walk"])
    np.testing.assert_allclose(motion[n, 0, [0, 2]], motion[n - 1, 0, [0, 2]])
    assert composed._heading(motion[n]) == pytest.approx(composed._heading(motion[n - 1]))
    np.testing.assert_allclose(motion[n:, :, 1], turned[..., 1])
    assert measures.turning(motion[n:]) == pytest.approx(float(measures.turning(turned)))
    assert measures.root_speed(motion[n:]) == pytest.approx(float(measures.root_speed(turned)))


def test_arms_on_longer_legs_are_held_up_for_longer():
    legs, arms = (np.asarray(joints_to_features(MOTIONS[name])) for name in ("walk", "raise-up-left-hand"))
    short = arms[::2]
    motion = composed.arms_on_legs(legs, short)
    assert len(motion) == len(legs)
    np.testing.assert_allclose(motion[:, 0], features_to_joints(legs)[:, 0], atol=1e-4)
    own = composed._up(np.asarray(features_to_joints(short), np.float64))[:, 0]
    up = composed._up(motion)[:, 0]
    assert up.sum() > 1.5 * own.sum() and not up[0] and not up[-1]


def test_the_check_of_the_rules_finds_made_pairs_and_nothing_else(actions):
    texts = {"then": {"walk|raise-up-left-hand": [], "run|walk": []}, "while": {"walk|wave-left-hand": []}}
    rates = composed.check_rules(actions, "val", texts, count=1)
    shares = {
        k: {p: {n: r["right"] for n, r in row.items()} for p, row in v.items()} for k, v in rates.items()
    }
    none = {"first": 0, "second": 0}
    assert shares == {
        "then": {
            "walk|raise-up-left-hand": {"made": 1, **none, "swapped": 0, "mirrored": 0, "other kind": 0},
            "run|walk": {"made": 1, **none, "swapped": 0},
        },
        "while": {"walk|wave-left-hand": {"made": 1, **none, "mirrored": 0, "other kind": 0}},
    }
    with pytest.raises(ValueError, match="no clip of bow in val"):
        composed.check_rules(actions, "val", {"then": {"walk|bow": []}})


def test_the_texts_name_known_pairs_and_sides_evenly():
    pairs = [(kind, pair, texts) for kind, rows in TEXTS.items() for pair, texts in rows.items()]
    assert {kind for kind, *_ in pairs} == {"then", "while"} and all(len(texts) == 2 for *_, texts in pairs)
    for kind, pair, texts in pairs:
        first, second = pair.split("|")
        assert {first, second} <= set(ACTIONS) and (follows if kind == "then" else together)(first, second)
        for text in texts if kind == "then" else ():
            assert len(split_text(text)) == 2, text
        hands = {side for side in ("left", "right") if f"{side}-hand" in pair}
        for text in texts:
            assert hands <= {side for side in ("left", "right") if side in text}, text
    words = " ".join(text for *_, texts in pairs for text in texts)
    assert words.count("left") == words.count("right") == mirror_text(words).count("left")
    every = list(itertools.chain.from_iterable(texts for *_, texts in pairs))
    assert len(set(every)) == len(every)


class Parrot(MMM):
    """On one canvas it does only what comes first in a text "FIRST, then SECOND"; everything at once it can do."""

    max_frames = 100

    def __init__(self):
        self.calls, self.info = [], {"fps": 20.0}

    def estimate_length(self, texts):
        return [120] * len(texts)

    def embed(self, texts):
        return texts

    def generate_bulk(self, texts, frames, seeds, **options):
        self.calls.append((list(texts), list(frames), list(seeds), options))
        return [joints_to_features(MOTIONS[text.split(", then")[0]]) for text in texts]

    def generate_long(self, text, seed, **options):
        self.calls.append((text, seed, options))
        return SimpleNamespace(features=joints_to_features(MOTIONS[text]))


CHOSEN = {
    "then": {"walk|raise-up-left-hand": ["walk, then raise"], "run|walk": ["run, then walk"]},
    "while": {"walk|wave-left-hand": ["walk, waving", "walk"]},
}


def test_shares_of_a_model_that_needs_a_canvas_for_each_action():
    model = Parrot()
    found = composed.measure(model, CHOSEN, seeds=2, guidance=3.0)
    assert list(found["then"]) == ["walk|raise-up-left-hand", "run|walk", "all"]
    assert found["then"]["all"] == {
        "right": 0, "judged": 4, "share": 0.0, "first": 1.0, "second": 0.0, "frames": 60,
    }  # fmt: skip
    assert found["while"]["all"]["share"] == 0.5 and found["while"]["all"]["first"] == 1.0
    assert model.calls == [
        (["walk, then raise"] * 2 + ["run, then walk"] * 2, [100] * 4, [0, 1] * 2, {"guidance": 3.0}),
        (["walk, waving"] * 2 + ["walk"] * 2, [100] * 4, [0, 1] * 2, {"guidance": 3.0}),
    ]
    model = Parrot()
    found = composed.measure(model, CHOSEN, seeds=2, long=True, steps=5)
    assert found["then"]["all"]["share"] == 1.0 and found["while"]["all"]["share"] == 0.5
    assert model.calls[1] == ("walk, then raise", 1, {"steps": 5}) and len(model.calls) == 5


def test_the_command_writes_numbers_and_a_manifest(actions, tmp_path, monkeypatch, capsys):
    model = Parrot()
    monkeypatch.setattr(composed, "MMM", SimpleNamespace(from_pretrained=lambda place: model))
    monkeypatch.setattr(composed, "model_hash", lambda model: "parrot")
    (tmp_path / "texts.json").write_text(json.dumps(CHOSEN))
    monkeypatch.setattr(composed, "TEXTS", tmp_path / "texts.json")
    composed.Arguments(tmp_path, data=actions.path, pairs=1, seeds=1, steps=7, temperature=0.5).run()
    result = json.loads((tmp_path / "composed.json").read_text())
    assert result["generated"]["while"]["walk|wave-left-hand"]["right"] == 1 and result["texts"] == CHOSEN
    assert result["rules"]["then"]["run|walk"]["made"]["share"] == 1
    assert model.calls[0][-1] == {"steps": 7, "temperature": 0.5}
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["model"] == "parrot" and manifest["content_hash"] == actions.content_hash
    assert (manifest["steps"], manifest["temperature"], manifest["long"]) == (7, 0.5, False)
    out = capsys.readouterr().out
    assert "real       then  run|walk                            made 1 of 1   first 0 of 1" in out
    assert (
        "generated  while all                                    1 of 2    first 100 %  second  50 %" in out
    )
    composed.Arguments(tmp_path, seeds=1, guidance=2.0, long=True).run()
    result = json.loads((tmp_path / "composed.json").read_text())
    assert "rules" not in result and result["guidance"] == 2.0
    assert list(result["generated"]) == ["then"] and result["generated"]["then"]["all"]["share"] == 1
    with pytest.raises(ValueError, match="seeds is 0"):
        composed.Arguments(tmp_path, seeds=0).run()
