"""Words: inflection of verbs, and the lemma and part of speech that HumanML3D's texts give for every word."""

TAGS = {
    "NOUN": """person man guy boy gentleman adult woman girl lady human figure individual character performer
        athlete dancer place step stride semicircle line foot direction side way curve arc bow
        bend path corner turn u-turn run knee soldier parade spot quarter degree circle shoulder
        half about-face ground air leap jump leg frog squat hip crouch bend waist body audience
        head back trunk seat chair moment while stool kick ball hand arm hello goodbye wave
        crowd sky applause palm clap chest fist punch blow opponent something object baseball
        stone spear stretch ceiling surroundings road pace motion hurry speed manner bit effort
        distance power movement respect height shin time front reverse video scene somebody
        someone""",
    "ADJ": """still upright motionless idle several straight even curved sharp wide high raised vertical long
        upper slow low normal relaxed great possible short little small big young old stick full
        whole alternating invisible same other more both""",
    "ADV": """forward ahead backward backwards back away up down sideways around completely once twice all
        again politely respectfully together upward overhead overhand about slowly calmly gently
        lazily leisurely steadily casually naturally quickly fast rapidly briskly swiftly
        hastily slightly just halfway deeply very far powerfully subtly discreetly widely
        energetically then first afterwards finally next clockwise counterclockwise
        simultaneously left right when later also there where straight""",
    "ADP": """in to without at on with for along toward like into off over by from of above during near
        through onto""",
    "DET": "the a an this each any no every that his her their",
    "PRON": "he she they it who we which",
    "NUM": "one two three four five six seven eight nine ten ninety",
    "CCONJ": "and",
}
# Where the first listing above is not what HumanML3D's tagger (spaCy) would say.
_EXCEPTIONS = """
    someone:someone/PRON somebody:somebody/PRON something:something/PRON nothing:nothing/PRON
    both:both/DET while:while/SCONJ as:as/ADP after:after/ADP before:before/ADP feet:foot/NOUN
    using:use/VERB run:run/NOUN back:back/ADV surroundings:surrounding/NOUN is:be/AUX are:be/AUX
    can:can/AUX be:be/AUX raised:raise/VERB seen:see/VERB see:see/VERB stretch:stretch/NOUN
    face:face/VERB
"""
# Verbs that double their last letter before -ing.
_DOUBLED = set(
    "sit jog run step clap squat hop jab spin hit put get lob strut trot tip scan sidestep".split()
)


def inflect(verb: str, form: str) -> str:
    """`form` is "base", "third" (she walks) or "ing"."""
    if verb == "be":
        return {"base": "are", "third": "is", "ing": "being"}[form]
    if form == "base":
        return verb
    if form == "third":
        if verb in ("do", "go"):
            return verb + "es"
        if verb == "have":
            return "has"
        if verb.endswith(("s", "sh", "ch", "x", "z")):
            return verb + "es"
        return verb[:-1] + "ies" if verb.endswith("y") and verb[-2] not in "aeiou" else verb + "s"
    if verb.endswith("step") or verb in _DOUBLED:
        return verb + verb[-1] + "ing"
    return verb[:-1] + "ing" if verb.endswith("e") and not verb.endswith("ee") else verb + "ing"


LEXICON: dict[str, tuple[str, str]] = {}
for _tag, _words in TAGS.items():
    for _word in _words.split():
        LEXICON.setdefault(_word, (_word, _tag))
for _entry in _EXCEPTIONS.split():
    _word, _, _reading = _entry.partition(":")
    _lemma, _, _tag = _reading.partition("/")
    LEXICON[_word] = (_lemma, _tag)


def tag(word: str) -> tuple[str, str]:
    """(lemma, tag) of a word that is no inflected verb; plurals of known nouns count as known.

    Raises ValueError for a word that the lexicon lacks, so that no phrase is added without its tags.
    """
    if word in LEXICON:
        return LEXICON[word]
    for end, back in (("s", ""), ("es", ""), ("ies", "y")):
        stem = word.removesuffix(end) + back
        if word.endswith(end) and LEXICON.get(stem, ("", ""))[1] == "NOUN":
            return stem, "NOUN"
    raise ValueError(
        f"the word {word!r} of a caption is not in the lexicon; add it to mmm/datasets/synthetic/words.py."
    )
