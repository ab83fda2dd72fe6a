import pytest

from mmm.datasets.grammar import inflect, phrase_table


@pytest.mark.parametrize(
    ("verb", "third", "ing"),
    [
        ("be", "is", "being"),
        ("carry", "carries", "carrying"),
        ("have", "has", "having"),
        ("punch", "punches", "punching"),
        ("say", "says", "saying"),
        ("see", "sees", "seeing"),
        ("side-step", "side-steps", "side-stepping"),
    ],
)
def test_verb_forms(verb, third, ing):
    assert (inflect(verb, "third"), inflect(verb, "ing")) == (third, ing)
    assert inflect(verb, "base") == ("are" if verb == "be" else verb)


def test_a_table_of_phrases_may_be_wrapped():
    table = phrase_table("\ngo on: <walk>\n    ahead / <walk:ing>|fast\nrun: <run>\n")
    assert table == {"go on": ["<walk> ahead", "<walk:ing>|fast"], "run": ["<run>"]}
