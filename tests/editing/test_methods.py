import numpy as np
import pytest

from mmm.motion import Motion


@pytest.fixture
def motion(golden):
    return Motion(golden("features_free")["1/features"], text="made up")  # 139 frames


def test_in_between(model, motion):
    made = model.inbetween(motion, (40, 80), "a person bows", seed=1)
    assert made.features.shape == motion.features.shape and made.text == "a person bows"
    assert np.abs(made.joints - motion.joints)[80:].max() < 1e-3
    several = model.inbetween(motion, [(20, 40), (60, 90)], seed=1)
    assert several.text == "made up"
    assert np.array_equal(several.features[40:59], motion.features[40:59])


def test_without_a_text_the_model_goes_by_what_is_kept(of_parts, motion):
    model = of_parts()  # the few steps of `model` have not taught it to read
    made, told = (model.edit(motion, (40, 80), text=text, seed=1) for text in (None, "a person bows"))
    assert not np.array_equal(made.tokens, told.tokens)
    unguided = model.edit(motion, (40, 80), text="a person bows", guidance=0.0, seed=1)
    assert np.array_equal(made.tokens, unguided.tokens), "no text is no guidance, whatever the text"


@pytest.mark.parametrize(("side", "place"), [("after", 0), ("before", 41), ("both", 20)])
def test_outpaint(model, motion, side, place):
    made = model.outpaint(motion, 180, "a person walks", side=side)
    assert len(made.features) == 180
    assert np.array_equal(made.features[place : place + 138], motion.features[:138])


def test_upper_and_lower_body(of_parts, motion):
    halves = of_parts()
    made = halves.edit_upper_body(motion, "waves with the left hand", seed=2)
    assert np.array_equal(made.joints[:, [0, 4, 5, 10, 11]], motion.joints[:, [0, 4, 5, 10, 11]])
    assert np.abs(made.joints - motion.joints)[:, 20].max() > 0.05
    assert np.array_equal(
        made.features, halves.edit_upper_body(motion, "waves with the left hand", (0, 139), 2).features
    )
    legs = halves.edit_lower_body(motion, "a person jumps", frames=(40, 90))
    assert np.abs(legs.features[:39] - motion.features[:39]).max() == 0
    assert np.abs(legs.features - motion.features)[45:85, :4].max() > 0.01
    assert of_parts(1).edit_upper_body(motion, "waves").features.shape == (139, 263)
    with pytest.raises(ValueError, match="predicts only the upper one"):
        of_parts(1).edit_lower_body(motion, "jumps")


def test_refusals(model, of_parts, motion):
    for part in ("upper", "lower"):
        with pytest.raises(
            ValueError, match=f"has no body parts .*so the {part} body cannot be edited alone"
        ):
            getattr(model, f"edit_{part}_body")(motion, "waves")
    with pytest.raises(ValueError, match="part is 'head', expected one of whole, upper, lower"):
        model.edit(motion, (40, 80), part="head")
    with pytest.raises(ValueError, match="no gap was given; say which frames"):
        model.edit(motion, text="waves")
    with pytest.raises(ValueError, match="the text ' ' is empty"):
        model.inbetween(motion, (40, 80), " ")
    with pytest.raises(ValueError, match="length is 100, but the motion has 139 frames already"):
        model.outpaint(motion, 100)
    with pytest.raises(ValueError, match="side is 'left', expected one of after, before, both"):
        model.outpaint(motion, 180, side="left")
    with pytest.raises(
        ValueError, match="is humanml3d at 30 frames per second, the model makes humanml3d at 20"
    ):
        model.inbetween(Motion(motion.features, fps=30), (40, 80))
    with pytest.raises(ValueError, match="the gap 100:150 is not inside the clip, which has frames 0:139"):
        model.inbetween(motion, (100, 150))
    with pytest.raises(ValueError, match="frames are added to the whole body"):
        of_parts().edit(motion, part="upper", after=40, text="waves")
    with pytest.raises(ValueError, match="frames are added to the whole body"):
        model.edit(motion, (40, 80), after=40, text="waves")
    for frames in (40, (40,), (40, 80, 90), (40.0, 80.0), [(40, 80), (90,)], slice(40, 80)):
        with pytest.raises(ValueError, match="expected \\(first, behind the last\\) of a gap"):
            model.inbetween(motion, frames)
    with pytest.raises(ValueError, match="blend is 1, expected 2 or more"):
        model.inbetween(motion, (40, 80), blend=1)


def test_gaps_may_come_in_any_kind_of_sequence(model, motion):
    once = model.inbetween(motion, (40, 80), "a person bows")
    for frames in (np.array([40, 80]), [[40, 80]], np.array([(40, 80)])):
        assert np.array_equal(model.inbetween(motion, frames, "a person bows").features, once.features)
