"""Captions for Bandai-Namco Research Motiondataset, whose files only say content and style.

Every clip gets several phrasings drawn from a small grammar: a subject (often coloured by the style), a verb
phrase for the content, and sometimes a manner. Verbs stand in angle brackets and are inflected by the syntax:
"<wave> {the} left hand" becomes "a woman waves her left hand" or "an old man is waving his left hand".


What is said of Bandai-Namco Research Motiondataset: phrases for each content, words for each style.

Verbs stand in angle brackets, to be inflected; `{the}` becomes "the" or a possessive (`bandai_captions.py`).
"""

from __future__ import annotations

import functools
import re

import numpy as np

from mmm.data.captions import Caption
from mmm.errors import require

_TURN = [
    "<walk> and <turn> SIDE",
    "<walk> and <turn> to the SIDE",
    "<walk> forward, then <turn> to the SIDE",
    "<walk> ahead and <make> a SIDE turn",
    "<take> a SIDE turn while walking",
    "<walk> in a curve to the SIDE",
    "<walk> around a corner to the SIDE",
    "<curve> to the SIDE while walking",
    "<veer> SIDE while walking",
    "<change> direction to the SIDE while walking",
    "<step> forward and <go> around to the SIDE",
    "<stroll> ahead and <turn> SIDE",
]
_SIDEWAYS = [
    "<walk> SIDE",
    "<walk> to the SIDE",
    "<walk> sideways to the SIDE",
    "<walk> diagonally to the SIDE",
    "<sidestep> to the SIDE",
    "<move> sideways to the SIDE",
    "<shuffle> sideways to the SIDE",
    "<strafe> SIDE",
    "<step> sideways to the SIDE again and again",
    "<go> sideways in the SIDE direction",
    "<drift> to the SIDE while walking",
]
_WAVE = [
    "<wave> {the} SIDE hand",
    "<wave> with {the} SIDE hand",
    "<wave> {the} SIDE arm",
    "<wave> using {the} SIDE arm",
    "<raise> {the} SIDE hand and <wave> it",
    "<hold> up {the} SIDE hand and <wave>",
    "<greet> somebody by waving {the} SIDE hand",
    "<swing> {the} raised SIDE hand from side to side",
    "<lift> {the} SIDE arm and <wave> to someone",
    "<use> {the} SIDE hand to wave hello",
    "<shake> {the} SIDE hand in the air",
    "<signal> with {the} SIDE hand",
]
_RAISE = [
    "<raise> {the} SIDE hand",
    "<raise> {the} SIDE arm",
    "<raise> up {the} SIDE hand",
    "<lift> {the} SIDE arm",
    "<lift> {the} SIDE hand above the head",
    "<put> {the} SIDE hand up",
    "<hold> {the} SIDE arm up high",
    "<reach> up with {the} SIDE hand",
    "<stretch> {the} SIDE arm upward",
    "<bring> {the} SIDE arm up over the head",
    "<stick> {the} SIDE hand up in the air",
    "<raise> {the} SIDE hand once and <lower> it",
]


def _side(phrases: list[str], side: str) -> list[str]:
    return [phrase.replace("SIDE", side) for phrase in phrases]


def _both(phrases: list[str]) -> list[str]:
    plural = [re.sub(r"SIDE (hand|arm)", r"both \1s", phrase) for phrase in phrases]
    plural = [
        phrase.replace("{the} raised both", "both raised").replace("{the} both", "both") for phrase in plural
    ]
    return [phrase.replace(" it", " them") for phrase in plural]


CONTENTS: dict[str, list[str]] = {
    "walk": [
        "<walk>",
        "<walk> forward",
        "<walk> ahead",
        "<walk> straight ahead",
        "<walk> in a straight line",
        "<stroll> forward",
        "<take> several steps forward",
        "<step> forward again and again",
        "<pace> forward",
        "<go> forward at a walking pace",
        "<march> along on foot",
    ],
    "run": [
        "<run>",
        "<run> forward",
        "<run> ahead",
        "<run> straight ahead",
        "<run> in a straight line",
        "<jog>",
        "<jog> forward",
        "<jog> ahead",
        "<run> along the way",
        "<go> forward at a run",
    ],
    "dash": [
        "<dash>",
        "<dash> forward",
        "<sprint>",
        "<sprint> ahead",
        "<run> as fast as possible",
        "<rush> forward at full speed",
        "<race> ahead",
        "<run> very fast",
        "<run> at top speed",
        "<bolt> forward",
    ],
    "walk-turn-left": _side(_TURN, "left"),
    "walk-turn-right": _side(_TURN, "right"),
    "walk-left": _side(_SIDEWAYS, "left"),
    "walk-right": _side(_SIDEWAYS, "right"),
    "walk-back": [
        "<walk> backward",
        "<walk> backwards",
        "<walk> back",
        "<back> away",
        "<back> up",
        "<step> back several times",
        "<take> several steps backward",
        "<move> backward on foot",
        "<retreat>",
        "<walk> in reverse",
        "<go> backwards",
    ],
    "wave-left-hand": _side(_WAVE, "left"),
    "wave-right-hand": _side(_WAVE, "right"),
    "wave-both-hands": _both(_WAVE),
    "raise-up-left-hand": _side(_RAISE, "left"),
    "raise-up-right-hand": _side(_RAISE, "right"),
    "raise-up-both-hands": _both(_RAISE),
    "bow": [
        "<bow>",
        "<bow> politely",
        "<bow> deeply",
        "<take> a bow",
        "<make> a bow",
        "<bend> forward in a bow",
        "<bow> from the waist",
        "<greet> somebody with a bow",
        "<bend> the upper body forward and <straighten> up again",
        "<lower> {the} head in a bow",
        "<lean> forward to bow",
    ],
    "bye": [
        "<wave> goodbye",
        "<wave> goodbye with {the} right hand",
        "<wave> bye with {the} right hand",
        "<say> goodbye with a wave of {the} right hand",
        "<wave> farewell with one hand",
        "<lift> {the} right hand to say bye",
        "<make> a small goodbye wave with {the} right hand",
        "<see> somebody off with a wave of {the} right hand",
    ],
    "byebye": [
        "<wave> goodbye with both hands",
        "<wave> bye bye",
        "<wave> bye bye with both hands",
        "<say> goodbye with both hands",
        "<wave> farewell with both arms",
        "<lift> both hands to say bye bye",
        "<see> somebody off by waving both hands",
    ],
    "guide": [
        "<guide> somebody with {the} right arm",
        "<guide> someone",
        "<show> the way with {the} right hand",
        "<show> somebody the way",
        "<hold> out {the} right arm to show the way",
        "<usher> somebody along with {the} right hand",
        "<invite> somebody to come along with {the} right arm",
        "<present> the way with an open right hand",
        "<gesture> to the right side with {the} right hand",
        "<direct> someone with {the} right hand",
    ],
    "call": ["<lean> forward and <call> out", "<call> somebody", "<shout> to someone with raised hands"],
    "dance-short": ["<dance>", "<dance> around with spins", "<perform> a dance", "<dance> and <spin> around"],
    "kick": ["<kick>", "<do> spinning kicks", "<practise> kicks while spinning around", "<kick> in the air"],
    "punch": ["<punch>", "<throw> punches", "<box>", "<fight> with {the} fists"],
    "respond": ["<answer> by raising {the} left hand", "<respond> with {the} left hand up"],
    "slash": ["<slash> with a sword", "<swing> a sword", "<cut> with a long sword in both hands"],
}

# style: (subjects of its own, adjectives before a neutral subject, manners)
STYLES: dict[str, tuple[list[str], list[str], list[str]]] = {
    "normal": ([], [], ["", "normally", "in a normal way", "calmly"]),
    "active": ([], ["active", "lively", "energetic"], ["actively", "energetically", "with much energy"]),
    "angry": ([], ["angry", "furious"], ["angrily", "in anger", "furiously"]),
    "childish": (["a child", "a kid", "a little boy"], ["childish"], ["childishly", "like a child"]),
    "chimpira": (["a thug", "a hooligan"], ["rowdy", "tough"], ["with a swagger", "like a street thug"]),
    "elderly": (["an old man", "an old woman", "a senior"], ["elderly", "old"], ["like an old person"]),
    "exhausted": ([], ["exhausted", "tired"], ["in exhaustion", "wearily", "without any strength"]),
    "feminine": (["a woman", "a lady", "a girl"], ["feminine"], ["in a feminine way", "like a lady"]),
    "giant": (["a giant", "a huge man"], ["giant", "huge"], ["heavily", "like a giant"]),
    "happy": ([], ["happy", "cheerful", "joyful"], ["happily", "cheerfully", "with joy"]),
    "masculine": (
        ["a man", "a strong man"],
        ["masculine", "manly"],
        ["in a masculine way", "like a strong man"],
    ),
    "musical": ([], ["musical"], ["rhythmically", "to the music", "with a rhythm"]),
    "not-confident": ([], ["timid", "shy", "insecure"], ["timidly", "without confidence", "shyly"]),
    "old": (["an old man", "an old woman", "a senior"], ["old", "elderly"], ["like an old person"]),
    "proud": ([], ["proud", "confident"], ["proudly", "with pride"]),
    "sad": ([], ["sad", "unhappy", "depressed"], ["sadly", "in sorrow"]),
    "tired": ([], ["tired", "weary", "sleepy"], ["tiredly", "wearily", "with little energy"]),
    "youthful": (
        ["a young man", "a young woman", "a teenager"],
        ["young", "youthful"],
        ["like a young person"],
    ),
}
STYLES["masculinity"] = STYLES["masculine"]


NEUTRAL = ["person", "figure", "human", "character", "individual"]
PLAIN = [f"a {noun}" for noun in NEUTRAL[:2]] + [
    "someone",
    "somebody",
    "the person",
    "a human",
    "one person",
    "a person",
]
TRIES = 500  # draws per caption asked for: the grammar may not hold so many different ones
_MALE, _FEMALE = ("man", "boy", "thug", "hooligan"), ("woman", "lady", "girl")

_DOUBLED = {"jog", "run", "step", "sidestep", "cut", "put", "spin"}


def inflect(verb: str, form: str) -> str:
    """`verb` as "base", "s" (walks) or "ing" (walking)."""
    if form == "s":
        return verb + ("es" if verb.endswith(("sh", "ch", "x", "o")) else "s")
    if form == "ing":
        stem = verb[:-1] if verb.endswith("e") and not verb.endswith("ee") else verb
        return stem + (verb[-1] if verb in _DOUBLED else "") + "ing"
    return verb


_VERBS = sorted(
    {verb for phrases in CONTENTS.values() for p in phrases for verb in re.findall(r"<(\w+)>", p)}
)
_TAGS = {
    "DET": "a an the one both several any this that",
    "PRON": "someone somebody it them his her their",
    "AUX": "is are",
    "ADP": "with to in at from of by around along over off without above like out as on while up",
    "ADV": "forward ahead straight backward backwards back away again sideways diagonally very politely "
    "deeply normally calmly actively energetically angrily furiously childishly wearily tiredly "
    "heavily happily cheerfully rhythmically timidly shyly proudly sadly upward then once fast",
    "CCONJ": "and",
    "ADJ": "left right possible full top raised upper open small normal much little street old any huge "
    "strong masculine manly giant feminine young youthful musical active lively energetic angry "
    "furious childish rowdy tough elderly exhausted tired happy cheerful joyful timid shy insecure "
    "proud confident sad unhappy depressed weary sleepy long high spinning",
}
_PLURALS = {"arms": "arm", "fists": "fist", "hands": "hand", "times": "time"}
LEXICON = {word: (word, tag) for tag, words in _TAGS.items() for word in words.split()}
LEXICON |= {plural: (singular, "NOUN") for plural, singular in _PLURALS.items()}
for _verb in [*_VERBS, "come"]:
    for _form in ("base", "s", "ing"):
        LEXICON.setdefault(inflect(_verb, _form), (_verb, "VERB"))


def tag_words(text: str) -> tuple[tuple[str, str], ...]:
    """(lemma, part of speech) of each word, by this grammar's lexicon; what it does not list is a noun."""
    words = re.findall(r"[a-z]+", text.lower())
    return tuple(LEXICON.get(word, (word, "NOUN")) for word in words)


def _possessive(subject: str, rng: np.random.Generator) -> str:
    words = subject.split()
    own = "her" if words[-1] in _FEMALE else "his" if words[-1] in _MALE else "their"
    return str(rng.choice(["the", own]))


def _article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _phrase(content: str, style: str, rng: np.random.Generator, styled: bool) -> str:
    own, adjectives, manners = STYLES[style]
    where = int(rng.integers(3)) if styled else -1  # the style colours subject, manner or both
    subject, manner = str(rng.choice(PLAIN)), ""
    if where in (0, 2) and (own or adjectives):
        if own and (not adjectives or rng.random() < 0.5):
            subject = str(rng.choice(own))
        else:
            subject = _article(f"{rng.choice(adjectives)} {rng.choice(NEUTRAL[:3])}")
    if where in (1, 2):
        manner = str(rng.choice(manners))
    form = str(rng.choice(["s", "s", "s", "ing"]))
    phrase = str(rng.choice(CONTENTS[content])).replace("{the}", _possessive(subject, rng))
    phrase = re.sub(r"<(\w+)>", lambda match: inflect(match.group(1), form), phrase)
    syntax = rng.random()
    if form == "ing" and syntax < 0.3:
        return f"{phrase} {manner}".strip()  # "waving the left hand happily"
    text = f"{subject} {'is ' if form == 'ing' else ''}{phrase}"
    if manner and syntax > 0.75:
        return f"{manner}, {text}"
    return f"{text} {manner}".strip()


def write_captions(content: str, style: str, rng: np.random.Generator, count: int = 4) -> list[Caption]:
    """`count` different captions of a take; the first names the style (unless it is "normal"), the last does not.

    Args:
        content: a key of CONTENTS. style: a key of STYLES. rng: decides every choice.
    Raises:
        ValueError: content or style is unknown, or the grammar has no `count` different captions of them.
    """
    require(content in CONTENTS, f"content {content!r} has no captions; known are {', '.join(CONTENTS)}.")
    require(style in STYLES, f"style {style!r} has no captions; known are {', '.join(STYLES)}.")
    texts: list[str] = []
    for _ in range(TRIES * count):
        if len(texts) == count:
            break
        styled = not texts or (len(texts) < count - 1 and rng.random() < 0.5)
        text = _phrase(content, style, rng, styled and style != "normal" or (styled and rng.random() < 0.5))
        if text not in texts:
            texts.append(text)
    require(
        0 < len(texts) == count,
        f"captions is {count}, but {len(texts)} different ones were found for {content!r} ({style}); ask for 1 or more "
        "and for fewer than that.",
    )
    return [Caption(text, tag_words(text)) for text in texts]


@functools.lru_cache(1 << 16)
def told_by(text: str) -> tuple[frozenset[str], frozenset[str]]:
    """The contents and the styles of which `text`, a caption of this grammar, could have been written.

    The longest phrase that is in the text decides on the content ("walks and turns left" is no "walks"). A style
    is excluded if the text names one by a word that is not its own; most captions name none, and "an old man" is
    both "old" and "elderly".
    """
    said = text.lower()
    lengths = {content: _phrase_length(content, said) for content in CONTENTS}
    longest = max(lengths.values())
    contents = {content for content, length in lengths.items() if 0 < length == longest}
    named = {word for word, pattern in _STYLE_WORDS.items() if pattern.search(said)}
    # what stands within a longer match ("old" in "an old man") is not named on its own
    named = {word for word in named if not any(word != other and word in other for other in named)}
    return frozenset(contents), frozenset(style for style in STYLES if named <= _style_words(style))


def _phrase_length(content: str, said: str) -> int:
    """Length of the longest phrase of `content` in the text, 0 if there is none."""
    found = (pattern.search(said) for pattern in _content_patterns(content))
    return max((len(match[0]) for match in found if match), default=0)


@functools.cache
def _content_patterns(content: str) -> list[re.Pattern]:
    """One pattern for each phrase, in any inflection and with any possessive."""
    patterns = []
    for phrase in CONTENTS[content]:
        parts = re.split(r"<(\w+)>", phrase)  # every second part is a verb
        parts[1::2] = [
            "(" + "|".join(inflect(verb, form) for form in ("base", "s", "ing")) + ")" for verb in parts[1::2]
        ]
        parts[::2] = [re.escape(part).replace(r"\{the\}", "(the|their|his|her)") for part in parts[::2]]
        patterns.append(re.compile(rf"\b{''.join(parts)}\b"))
    return patterns


@functools.cache
def _style_words(style: str) -> frozenset[str]:
    return frozenset(word for words in STYLES[style] for word in words if word)


_STYLE_WORDS = {
    word: re.compile(rf"\b{word}\b")
    for style in STYLES
    for word in _style_words(style) - _style_words("normal")
}
