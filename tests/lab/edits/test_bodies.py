"""Upper-body edits: which pairs, what stays, what the oracle sees, and what they are compared with."""

import numpy as np
import pytest

from mmm.datasets.synthetic.program import Action, Segment
from mmm.evaluation.pools import could_tell
from mmm.lab.edits.actions import BANDAI_ARMS, SYNTHETIC_ARMS, Arms, arms_seen, caption_of_arms, legs_of
from mmm.lab.edits.bodies import body_numbers, body_tables, draw_pairs, evaluate_bodies, paste
from mmm.lab.oracle.recognition import Recognised, recognise
from mmm.motion import features_to_joints
from mmm.tokenizer import parts

METHODS = {"unedited", "real", "pasted", "text alone"}
METHODS |= {"edited, guidance 0", "edited, guidance 2", "edited, both told"}
WAVE = Arms("wave", "left")


@pytest.fixture(scope="module")
def rows(of_parts, held):
    return evaluate_bodies(of_parts(), held(4), (0.0, 2.0), progress=False)


def test_pairs_are_clips_that_walk_or_run_with_all_actions_of_the_arms(held):
    pairs = draw_pairs(held())
    expected = {(legs, str(arms)) for legs in ("walk", "run", "march") for arms in SYNTHETIC_ARMS}
    assert {(p.legs, str(p.arms)) for p in pairs} == expected
    assert len({p.number for p in pairs}) == len(pairs)
    assert {(p.legs, p.arms.name) for p in pairs if p.trained} == {("walk", "clap")}  # as in train
    some, every = draw_pairs(held(5)), {p.number: p for p in pairs}
    assert len(some) == 5 and all(p.text[0].text == every[p.number].text[0].text for p in some)


def test_the_oracle_sees_the_donor_on_its_own_and_on_other_legs_but_not_in_the_unedited_clip(held):
    held = held()
    for pair in draw_pairs(held):
        legs = np.asarray(held.packed.clip(pair.clip))
        donor, bare, pasted = (
            arms_seen(recognise(features_to_joints(f)), pair.arms)
            for f in (pair.donor, legs, paste(legs, pair.donor))
        )
        assert donor == (True, True) and bare == (False, False)
        if pair.arms.name != "clap":  # the hands of a clap hardly stand out from the swing of a run
            assert pasted == (True, True), (pair.legs, str(pair.arms))


def test_pasting_keeps_the_legs_bit_for_bit_and_takes_the_arms(golden):
    free = golden("features_free")
    legs, donor = (np.asarray(free[f"{i}/features"][:80], np.float32) for i in (0, 1))
    pasted = paste(legs, donor)
    assert np.array_equal(pasted[:, parts.LOWER], legs[:, parts.LOWER])
    upper = [4 + 3 * (j - 1) for j in range(1, 22) if j not in parts.LOWER_JOINTS]
    horizontal, heights = [i + axis for i in upper for axis in (0, 2)], [i + 1 for i in upper]
    assert np.abs(pasted[:, horizontal] - donor[:, horizontal]).max() < 1e-4
    above_root = donor[:, heights] - donor[:, 3:4] + legs[:, 3:4]
    assert np.abs(pasted[:, heights] - above_root).max() < 1e-4
    short = paste(legs, donor[20:60])
    assert np.abs(short[:20, horizontal] - donor[20, horizontal]).max() < 1e-4, "the first pose is held"
    assert np.abs(short[20:60, horizontal] - donor[20:60, horizontal]).max() < 1e-4
    numbers = body_numbers(legs, pasted, WAVE)
    assert numbers["lower_error"] < 1e-6 < 1 < numbers["moved"]
    assert np.isnan(body_numbers(legs, donor, WAVE, on_legs=False)["lower_error"])
    assert body_numbers(legs, legs, WAVE)["moved"] == 0
    assert body_numbers(legs, donor, WAVE)["lower_error"] > 1, "other legs are noticed"


def test_every_pair_is_edited_by_every_method_and_the_legs_stay(rows):
    tables = body_tables(rows)
    assert set(rows["method"]) == METHODS == set(tables["methods"].index) == set(tables["seen"]) - {"pairs"}
    assert rows.groupby("method")["pair"].nunique().eq(4).all()
    wide = rows.set_index(["pair", "method"]).unstack()
    on_legs = [name for name in METHODS if name.startswith(("edited", "pasted"))]
    for name in on_legs:
        assert wide["lower_error", name].max() < 1e-3
        assert wide["skating", name].equals(wide["skating", "unedited"])
        assert (wide["moved", name] > 0.1).all()
    assert (wide["done", "real"] == 1).all() and (wide["done", "unedited"] == 0).all()
    assert (wide["text", "edited, guidance 2"] == wide["text", "text alone"]).all()
    assert (wide["text", "edited, both told"] != wide["text", "text alone"]).all()


def test_a_pair_does_not_depend_on_the_other_pairs(rows, of_parts, held):
    few = evaluate_bodies(of_parts(), held(2), (0.0, 2.0), progress=False)
    both = few.merge(rows, on=["pair", "method"], suffixes=("", "_all"))
    assert len(both) == len(few) == 2 * len(METHODS)
    for name in ("done", "r1", "jerk", "moved", "skating"):
        assert np.array_equal(both[name], both[f"{name}_all"], equal_nan=True)


def test_captions_describe_the_arms_and_nothing_else():
    for arms in (*BANDAI_ARMS, *SYNTHETIC_ARMS):
        for seed in range(3):
            caption, meaning = caption_of_arms(arms, np.random.default_rng(seed))
            assert caption.text and could_tell(caption.text, meaning, meaning)
    bandai = [caption_of_arms(arms, np.random.default_rng(0)) for arms in BANDAI_ARMS]
    assert len(bandai) == 6
    for own, (caption, meaning) in enumerate(bandai):
        right = [could_tell(caption.text, meaning, other) for _, other in bandai]
        assert [i for i, answer in enumerate(right) if answer] == [own], caption.text
    assert legs_of({"content": "walk"}) == "walk" and legs_of({"content": "bow"}) is None


def test_hands_stretched_up_count_as_raised_for_bandai_only():
    stretch = Segment(Action("stand"), Action("stretch", side="both", direction="up"), 0, 60)
    seen = Recognised((stretch,))
    assert arms_seen(seen, Arms("raise", "both", "raise-up-both-hands")) == (True, True)
    assert arms_seen(seen, Arms("raise", "both")) == (False, False)
    wave = Segment(Action("stand"), Action("wave", side="left", count=2), 60, 90)
    assert arms_seen(Recognised((stretch, wave)), WAVE) == (True, False)


# ---------------------------------------------------------------------- refusals


def test_data_and_models_without_body_parts_or_actions_are_refused(model, held, toy_held):
    with pytest.raises(ValueError, match="--parts 2"):
        evaluate_bodies(model, held(), progress=False)
    with pytest.raises(ValueError, match="toy"):
        draw_pairs(toy_held())
    with pytest.raises(ValueError, match="wave left hand"):
        draw_pairs(held(split="test"))
