import pytest

from figures.blind.answers import ACTIONS, CLASSES, MANNERS, OTHER, STYLES, Answer, is_valid, mark_of, parse
from figures.blind.prompts import CONTENTS

TOLD = ({*CONTENTS, OTHER}, ("any",), ())  # readers of the earlier pages
ASKED = ({*ACTIONS, OTHER}, ("then", "while"), MANNERS)


def test_answers_that_say_the_same_are_read_as_the_same():
    assert (
        parse("walk ,then  bow ;sad") == parse("walk then bow; sad") == Answer(("walk", "bow"), "then", "sad")
    )
    assert (
        str(parse("wave-left-hand while walk"))
        == "walk while wave-left-hand"
        != str(parse("walk+wave-left-hand"))
    )
    assert str(parse("walk, then bow")) != str(parse("bow, then walk"))
    assert str(parse("bow + walk")) == "bow+walk" and str(parse(" walk ; old")) == "walk; old"


def test_valid_answers():
    assert all(is_valid(parse(name), *TOLD) for name in (*CONTENTS, OTHER, "walk+bow", "walk + bow"))
    for wrong in (
        "",
        "+",
        "walk+",
        "walk+walk",
        "walk+other",
        "walk+bow+run",
        "walks",
        "walk bow",
        "walk; sad",
        "stand",
    ):
        assert not is_valid(parse(wrong), *TOLD), wrong
    good = (
        "walk; tired",
        "other; sad",
        "stand",
        "run, then bow; angry",
        "run then bow",
        "walk while drink",
        "bow;",
    )
    assert all(is_valid(parse(text), *ASKED) for text in (*ACTIONS, *good))
    for wrong in (
        "bye",
        "walk+bow",
        "walk, then",
        "then bow",
        "walk, then stand",
        "walk; fast",
        "a, then b, then c",
    ):
        assert not is_valid(parse(wrong), *ASKED), wrong


@pytest.mark.parametrize(
    ("actions", "given", "expected"),
    [
        ([["walk"], ["bow"]], "walk+bow", "right"),
        ([["walk"], ["bow"]], "bow + walk", "right"),
        ([["walk"], ["bow"]], "bow", "half"),
        ([["walk"], ["bow"]], "bow+run", "half"),
        ([["walk"], ["bow"]], "run+dash", "wrong"),
        ([["walk"], ["bow"]], OTHER, "wrong"),
        ([["bye", "wave-left-hand"]], "wave-left-hand", "right"),
        ([["bye", "wave-left-hand"]], "wave-right-hand", "wrong"),
        ([["bow"]], "walk+bow", "half"),
        ([["bye", "wave-left-hand"]], "bye+wave-left-hand", "half"),  # one action was requested
        ([[]], OTHER, "wrong"),
    ],
)
def test_marks_without_an_order(actions, given, expected):
    assert mark_of({"actions": actions}, parse(given)) == expected


@pytest.mark.parametrize(
    ("order", "given", "expected"),
    [
        ("then", "run, then kick", "right"),
        ("then", "dash, then kick; sad", "right"),  # the manner was not requested
        ("then", "kick, then run", "half"),
        ("then", "kick while run", "half"),
        ("then", "run while kick", "half"),
        ("then", "kick", "half"),
        ("then", "run, then dash", "half"),
        ("then", "walk, then bow", "wrong"),
        ("while", "run while kick", "right"),
        ("while", "kick while dash", "right"),
        ("while", "run, then kick", "half"),
        ("any", "kick while run", "right"),
        ("any", "kick, then run", "right"),
    ],
)
def test_the_order_counts_where_it_is_stated(order, given, expected):
    assert mark_of({"actions": [["run", "dash"], ["kick"]], "order": order}, parse(given)) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("walk; sad", "right"),
        ("walk; tired", "right"),
        ("walk", "half"),
        ("walk; proud", "half"),
        ("run; sad", "half"),
        ("walk, then bow; sad", "half"),
        ("run", "wrong"),
    ],
)
def test_a_style_is_action_and_manner(given, expected):
    assert mark_of({"actions": [["walk"]], "manner": ["sad", "tired"]}, parse(given)) == expected
    assert mark_of({"actions": [["walk"]], "manner": ["normal"]}, parse("walk")) == "right"


def test_classes_and_styles_of_the_data_have_names():
    assert all(name in ACTIONS for names in CLASSES.values() for name in names)
    assert set(STYLES.values()) < set(MANNERS)
    assert set(CONTENTS) <= {*ACTIONS, *CLASSES}
