import pytest

from mmm.datasets.grammar import inflect, split_phrases


@pytest.mark.parametrize(
    ("verb", "third", "ing"),
    [
        ("be", "is", "being"),
        ("carry", "carries", "carrying"),
        ("go", "goes", "going"),
        ("have", "has", "having"),
        ("punch", "punches", "punching"),
        ("run", "runs", "running"),
        ("say", "says", "saying"),
        ("see", "sees", "seeing"),
        ("side-step", "side-steps", "side-stepping"),
        ("wave", "waves", "waving"),
    ],
)
def test_verb_forms(verb, third, ing):
    assert (inflect(verb, "third"), inflect(verb, "ing")) == (third, ing)
    assert inflect(verb, "base") == ("are" if verb == "be" else verb)


def test_phrases_are_separated_by_slashes_and_may_be_wrapped():
    assert split_phrases("\n  <walk>\n  ahead / <run>|fast\n") == ["<walk> ahead", "<run>|fast"]
