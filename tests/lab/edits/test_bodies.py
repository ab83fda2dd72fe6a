"""Upper-body edits: which pairs, what stays, what is seen, and who stands beside."""

import numpy as np
import pytest
import torch

from mmm.data import write_folder
from mmm.evaluation.pools import could_tell
from mmm.lab.edits.actions import (
    BANDAI_ARMS,
    SYNTHETIC_ARMS,
    Arms,
    arms_of,
    arms_seen,
    asked_of_arms,
    legs_of,
)
from mmm.lab.edits.bodies import body_numbers, body_tables, draw_pairs, measure_bodies, paste
from mmm.lab.edits.clips import HeldOut
from mmm.lab.oracle.recognition import recognise
from mmm.motion import features_to_joints
from mmm.tokenizer import parts

METHODS = {
    "unedited",
    "real",
    "pasted",
    "text alone",
    "edited, guidance 0",
    "edited, guidance 2",
    "edited, both told",
}


@pytest.fixture(scope="module")
def measured(of_parts, judge):
    return measure_bodies(of_parts(), judge, (0.0, 2.0), count=4, progress=False)


def test_pairs_are_clips_that_go_with_all_actions_of_the_arms(judge):
    pairs = draw_pairs(judge.held)
    assert {(p.legs, str(p.arms)) for p in pairs} == {
        (legs, str(arms)) for legs in ("walk", "run", "march") for arms in SYNTHETIC_ARMS
    }
    assert len({p.number for p in pairs}) == len(pairs)
    known = {(p.legs, p.arms.name) for p in pairs if p.trained}
    assert known == {("walk", "clap")}, "what the train split shows at once"
    some = draw_pairs(judge.held, 5)
    assert [p.text.text for p in some] == [p.text.text for p in pairs if p.number in {s.number for s in some}]
    with pytest.raises(ValueError, match="clips is 0; give 1 or more"):
        draw_pairs(judge.held, 0)


def test_the_oracle_sees_the_donor_on_the_spot_and_on_other_legs_and_not_in_the_unedited_clip(judge):
    for pair in draw_pairs(judge.held):
        legs = np.asarray(judge.held.packed.clip(pair.clip))
        on_the_spot, bare, pasted = (
            arms_seen(recognise(features_to_joints(f)), pair.arms)
            for f in (pair.donor, legs, paste(legs, pair.donor))
        )
        assert on_the_spot == (True, True) and bare == (False, False)
        if pair.arms.name != "clap":  # of a clap's hands little is above the swing of a run
            assert pasted == (True, True), (pair.legs, str(pair.arms))


def test_pasting_keeps_the_legs_to_the_bit_and_takes_the_arms(golden):
    free = golden("features_free")
    legs, donor = (np.asarray(free[f"{i}/features"][:80], np.float32) for i in (0, 1))
    made = paste(legs, donor)
    assert np.array_equal(made[:, parts.LOWER], legs[:, parts.LOWER])
    places = [4 + 3 * (j - 1) + axis for j in range(1, 22) if j not in parts.LOWER_JOINTS for axis in (0, 2)]
    assert np.abs(made[:, places] - donor[:, places]).max() < 1e-4
    heights = [4 + 3 * (j - 1) + 1 for j in range(1, 22) if j not in parts.LOWER_JOINTS]
    riding = donor[:, heights] - donor[:, 3:4] + legs[:, 3:4]
    assert np.abs(made[:, heights] - riding).max() < 1e-4
    short = paste(legs, donor[20:60])
    assert np.abs(short[:20, places] - donor[20, places]).max() < 1e-4, "the first pose is held"
    assert np.abs(short[20:60, places] - donor[20:60, places]).max() < 1e-4
    numbers = body_numbers(legs, made, Arms("wave", "left"))
    assert numbers["lower_error"] < 1e-6 < 1 < numbers["moved"]
    assert np.isnan(body_numbers(legs, donor, Arms("wave", "left"), on_legs=False)["lower_error"])
    assert body_numbers(legs, legs, Arms("wave", "left"))["moved"] == 0
    assert body_numbers(legs, donor, Arms("wave", "left"))["lower_error"] > 1, "other legs are not overlooked"


def test_every_pair_is_edited_in_every_way_and_the_legs_stay(measured):
    assert set(measured["method"]) == METHODS
    assert measured.groupby("method")["pair"].apply(set).map(len).eq(4).all()
    on_legs = measured[~measured.method.isin(["real", "text alone"])]
    assert on_legs["lower_error"].max() < 1e-3
    wide = measured.set_index(["pair", "method"])["skating"].unstack()
    edited = [name for name in wide if name.startswith(("edited", "pasted"))]
    assert all((wide[name] - wide["unedited"]).abs().max() == 0 for name in edited)
    assert (measured[measured.method.str.startswith("edited")]["moved"] > 0.1).all()
    assert (measured[measured.method == "real"]["done"] == 1).all()
    assert (measured[measured.method == "unedited"]["done"] == 0).all()
    texts = measured.set_index(["pair", "method"])["text"].unstack()
    assert (texts["edited, guidance 2"] == texts["text alone"]).all()
    assert (texts["edited, both told"] != texts["text alone"]).all()


def test_a_pair_does_not_depend_on_the_others(measured, of_parts, judge):
    few = measure_bodies(of_parts(), judge, (0.0, 2.0), count=2, progress=False)
    both = few.merge(measured, on=["pair", "method"], suffixes=("", "_all"))
    assert len(both) == len(few) == 2 * len(METHODS)
    for name in ("done", "r1", "jerk", "moved", "skating"):
        assert np.array_equal(both[name], both[f"{name}_all"], equal_nan=True)


def test_a_model_that_predicts_the_upper_body_only_makes_no_motion_from_text_alone(of_parts, judge):
    found = measure_bodies(of_parts(1), judge, (2.0,), count=1, progress=False)
    assert set(found["method"]) == METHODS - {"text alone", "edited, guidance 0"}


def test_the_tables(measured):
    tables = body_tables(measured)
    assert set(tables["methods"].index) == METHODS
    assert tables["methods"].loc["real", "done"] == 1 and np.isnan(
        tables["methods"].loc["real", "lower_error"]
    )
    assert set(tables["arms"].index.get_level_values("arms")) == set(measured["arms"])
    assert set(tables["seen"].columns) == METHODS | {"pairs"} and tables["seen"]["pairs"].sum() == 4
    assert (tables["seen"]["real"] == 1).all() and (tables["seen"]["unedited"] == 0).all()
    less = tables["less"].set_index(["method", "measure"])
    assert less.loc[("real", "done"), "less"] == -1


def test_a_model_without_parts_is_refused_in_one_sentence(model, judge):
    with pytest.raises(
        ValueError, match=r"need a model with 2 body parts, .*; train a tokenizer with --parts 2\.$"
    ):
        measure_bodies(model, judge, progress=False)


def test_data_that_do_not_say_what_they_show_are_refused(toy):
    with pytest.raises(ValueError, match="can be judged on bandai and synthetic data, and .* is toy"):
        draw_pairs(HeldOut.open(toy, "train"))


def test_texts_tell_the_arms_and_nothing_else(toy):
    for arms in (*BANDAI_ARMS, *SYNTHETIC_ARMS):
        for seed in range(3):
            caption, told = asked_of_arms(arms, np.random.default_rng(seed))
            assert caption.text and could_tell(caption.text, told, told)
    bandai = {a.content: asked_of_arms(a, np.random.default_rng(0)) for a in BANDAI_ARMS}
    assert len(bandai) == 6
    for own, (caption, told) in bandai.items():
        others = [could_tell(caption.text, told, other) for name, (_, other) in bandai.items() if name != own]
        assert not any(others), caption.text
    assert legs_of({"content": "walk"}) == "walk" and legs_of({"content": "bow"}) is None


def test_hands_stretched_up_count_as_raised_for_bandai_only():
    from mmm.datasets.synthetic.program import Action, Segment
    from mmm.lab.oracle.recognition import Recognised

    stretch = Segment(Action("stand"), Action("stretch", side="both", direction="up"), 0, 60)
    seen = Recognised((stretch,))
    assert arms_seen(seen, Arms("raise", "both", "raise-up-both-hands")) == (True, True)
    assert arms_seen(seen, Arms("raise", "both")) == (False, False)
    wave = Segment(Action("stand"), Action("wave", side="left", count=2), 60, 90)
    assert arms_seen(Recognised((stretch, wave)), Arms("wave", "left")) == (True, False)


def test_a_split_without_an_action_is_refused(danced_folder, tmp_path):
    from mmm.data import Clip

    clips = [
        Clip(n, danced_folder.features(n), danced_folder.features(n)[:, :66].reshape(-1, 22, 3),
             danced_folder.captions(n), danced_folder.program(n))
        for n in ("walk", "run", "squat", "kick")
    ]  # fmt: skip
    info = {"name": "synthetic", "fps": 20.0, "skeleton": "humanml3d"}
    splits = {"train": ["kick"], "val": ["walk", "run"], "test": ["squat"]}
    folder = write_folder(tmp_path / "few", clips, splits, info)
    with pytest.raises(ValueError, match="no clip of .* shows 'wave left hand' and nothing else"):
        draw_pairs(HeldOut.open(folder))
    assert arms_of(folder) == SYNTHETIC_ARMS
    with pytest.raises(ValueError, match="none of the 1 clips of this split"):
        draw_pairs(HeldOut.open(folder, "test"))
    assert torch.is_tensor(HeldOut.open(folder).distractors(["x"], [("clip", "z")], [0], 2))
