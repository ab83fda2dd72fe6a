"""Lists of phrases and verb forms, for the captions of the synthetic data and of Bandai-Namco's."""

from __future__ import annotations

import re

# Verbs that double their last letter before -ing.
DOUBLED = set(
    """
    begin bid bob cap chop chug clap control cut dig dip drop fan flag flap flip flit flop forget
    get grab grip hit hop jab jog leg let lob pat plod plop pop prop put recap rub run scan scrub
    set shut sidestep sip sit skip slam slap slip slug spar spin split squat step stop strut swig
    tap tip trek trip trot uncap wag wet whip zip
    """.split()
)


def phrase_table(text: str) -> dict[str, list[str]]:
    """A table of phrases: each entry is `name: phrase / phrase / …`, its further lines are indented."""
    entries = re.findall(r"^(\S[^:]*): (.*(?:\n .*)*)", text, flags=re.MULTILINE)
    return {name: [" ".join(phrase.split()) for phrase in phrases.split("/")] for name, phrases in entries}


def inflect(verb: str, form: str) -> str:
    """`verb` in the form "base" (they walk), "third" (she walks) or "ing" (walking)."""
    if verb == "be":
        return {"base": "are", "third": "is", "ing": "being"}[form]
    if verb == "have" and form == "third":
        return "has"
    if form == "third":
        if verb.endswith(("s", "sh", "ch", "x", "z", "o")):
            return verb + "es"
        return verb[:-1] + "ies" if verb.endswith("y") and verb[-2] not in "aeiou" else verb + "s"
    if form == "ing":
        if verb in DOUBLED or verb.endswith("step"):
            return verb + verb[-1] + "ing"
        return verb[:-1] + "ing" if verb.endswith("e") and not verb.endswith("ee") else verb + "ing"
    return verb


# The possessive of a subject whose last word is one of these; of any other it is "their".
OWNER = dict.fromkeys(
    "man boy guy gentleman thug hooligan king grandpa grandfather lad bloke dad".split(), "his"
)
OWNER |= dict.fromkeys("woman lady girl queen grandma grandmother mom ballerina".split(), "her")
