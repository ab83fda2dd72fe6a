"""Captions for Bandai-Namco Research Motiondataset, whose files only say an action and a style.

Every clip gets several captions from a small grammar: a subject (often described by the style), a verb phrase for
the action, and sometimes a manner. Verbs stand in angle brackets and are inflected, `{the}` becomes "the" or a
possessive: "<wave> {the} left hand" gives "a woman waves her left hand" or "an old man is waving his left hand".
"""

from __future__ import annotations

import functools
import re

import numpy as np

from mmm.data.captions import Caption, untagged
from mmm.datasets.grammar import inflect, phrase_table
from mmm.errors import require

# Phrases for each action class, by its name in the file names.
ACTION_CLASSES = phrase_table("""
walk: <walk> / <walk> forward / <walk> ahead / <walk> straight ahead / <walk> in a straight line / <stroll> forward
    / <take> several steps forward / <step> forward again and again / <pace> forward / <go> forward at a walking
    pace / <march> along on foot
run: <run> / <run> forward / <run> ahead / <run> straight ahead / <run> in a straight line / <jog> / <jog> forward /
    <jog> ahead / <run> along the way / <go> forward at a run
dash: <dash> / <dash> forward / <sprint> / <sprint> ahead / <run> as fast as possible / <rush> forward at full speed
    / <race> ahead / <run> very fast / <run> at top speed / <bolt> forward
walk-back: <walk> backward / <walk> backwards / <walk> back / <back> away / <back> up / <step> back several times /
    <take> several steps backward / <move> backward on foot / <retreat> / <walk> in reverse / <go> backwards
bow: <bow> / <bow> politely / <bow> deeply / <take> a bow / <make> a bow / <bend> forward in a bow / <bow> from the
    waist / <greet> somebody with a bow / <bend> the upper body forward and <straighten> up again / <lower> {the}
    head in a bow / <lean> forward to bow
bye: <wave> goodbye / <wave> goodbye with {the} right hand / <wave> bye with {the} right hand / <say> goodbye with a
    wave of {the} right hand / <wave> farewell with one hand / <lift> {the} right hand to say bye / <make> a small
    goodbye wave with {the} right hand / <see> somebody off with a wave of {the} right hand
byebye: <wave> goodbye with both hands / <wave> bye bye / <wave> bye bye with both hands / <say> goodbye with both
    hands / <wave> farewell with both arms / <lift> both hands to say bye bye / <see> somebody off by waving both
    hands
guide: <guide> somebody with {the} right arm / <guide> someone / <show> the way with {the} right hand / <show>
    somebody the way / <hold> out {the} right arm to show the way / <usher> somebody along with {the} right hand /
    <invite> somebody to come along with {the} right arm / <present> the way with an open right hand / <gesture> to
    the right side with {the} right hand / <direct> someone with {the} right hand
call: <lean> forward and <call> out / <call> somebody / <shout> to someone with raised hands
dance-short: <dance> / <dance> around with spins / <perform> a dance / <dance> and <spin> around
kick: <kick> / <do> spinning kicks / <practise> kicks while spinning around / <kick> in the air
punch: <punch> / <throw> punches / <box> / <fight> with {the} fists
respond: <answer> by raising {the} left hand / <respond> with {the} left hand up
slash: <slash> with a sword / <swing> a sword / <cut> with a long sword in both hands
""")
_SIDED = phrase_table("""
walk-turn-SIDE: <walk> and <turn> SIDE / <walk> and <turn> to the SIDE / <walk> forward, then <turn> to the SIDE /
    <walk> ahead and <make> a SIDE turn / <take> a SIDE turn while walking / <walk> in a curve to the SIDE / <walk>
    around a corner to the SIDE / <curve> to the SIDE while walking / <veer> SIDE while walking / <change> direction
    to the SIDE while walking / <step> forward and <go> around to the SIDE / <stroll> ahead and <turn> SIDE
walk-SIDE: <walk> SIDE / <walk> to the SIDE / <walk> sideways to the SIDE / <walk> diagonally to the SIDE /
    <sidestep> to the SIDE / <move> sideways to the SIDE / <shuffle> sideways to the SIDE / <strafe> SIDE / <step>
    sideways to the SIDE again and again / <go> sideways in the SIDE direction / <drift> to the SIDE while walking
wave-SIDE-hand: <wave> {the} SIDE hand / <wave> with {the} SIDE hand / <wave> {the} SIDE arm / <wave> using {the}
    SIDE arm / <raise> {the} SIDE hand and <wave> it / <hold> up {the} SIDE hand and <wave> / <greet> somebody by
    waving {the} SIDE hand / <swing> {the} raised SIDE hand from side to side / <lift> {the} SIDE arm and <wave> to
    someone / <use> {the} SIDE hand to wave hello / <shake> {the} SIDE hand in the air / <signal> with {the} SIDE
    hand
raise-up-SIDE-hand: <raise> {the} SIDE hand / <raise> {the} SIDE arm / <raise> up {the} SIDE hand / <lift> {the}
    SIDE arm / <lift> {the} SIDE hand above the head / <put> {the} SIDE hand up / <hold> {the} SIDE arm up high /
    <reach> up with {the} SIDE hand / <stretch> {the} SIDE arm upward / <bring> {the} SIDE arm up over the head /
    <stick> {the} SIDE hand up in the air / <raise> {the} SIDE hand once and <lower> it
""")
for _name, _phrases in _SIDED.items():
    for _side in ("left", "right"):
        ACTION_CLASSES[_name.replace("SIDE", _side)] = [phrase.replace("SIDE", _side) for phrase in _phrases]


def _both(templates: list[str]) -> list[str]:
    phrases = [re.sub(r"SIDE (hand|arm)", r"both \1s", phrase) for phrase in templates]
    phrases = [
        phrase.replace("{the} raised both", "both raised").replace("{the} both", "both") for phrase in phrases
    ]
    return [phrase.replace(" it", " them") for phrase in phrases]


ACTION_CLASSES["wave-both-hands"] = _both(_SIDED["wave-SIDE-hand"])
ACTION_CLASSES["raise-up-both-hands"] = _both(_SIDED["raise-up-SIDE-hand"])

# Style: (subjects of its own, adjectives before a neutral subject, manners).
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

SUBJECTS = "a person/a figure/someone/somebody/the person/a human/one person/a person".split("/")
NOUNS = ("person", "figure", "human")  # behind an adjective
_MALE, _FEMALE = ("man", "boy", "thug", "hooligan"), ("woman", "lady", "girl")
TRIES = 500  # draws for each caption: the grammar may not hold enough different ones


def write_captions(action: str, style: str, rng: np.random.Generator, count: int = 4) -> list[Caption]:
    """`count` different captions; the first names the style (unless it is "normal"), the last does not.

    Args:
        action: a key of ACTION_CLASSES. style: a key of STYLES. rng: decides every choice.
    Raises:
        ValueError: the grammar has fewer than `count` different captions of them.
    """
    texts: list[str] = []
    for _ in range(TRIES * count):
        if len(texts) == count:
            break
        styled = not texts or (len(texts) < count - 1 and rng.random() < 0.5)
        text = _sentence(action, style, rng, styled and style != "normal" or (styled and rng.random() < 0.5))
        if text not in texts:
            texts.append(text)
    require(
        0 < len(texts) == count,
        f"captions is {count}, but the grammar has only {len(texts)} for {action!r} ({style}); use 1 or more, and at "
        "most that many.",
    )
    return [untagged(text) for text in texts]


def _sentence(action: str, style: str, rng: np.random.Generator, styled: bool) -> str:
    own, adjectives, manners = STYLES[style]
    where = int(rng.integers(3)) if styled else -1  # the style shows in subject (0), manner (1) or both (2)
    subject, manner = str(rng.choice(SUBJECTS)), ""
    if where in (0, 2) and (own or adjectives):
        if own and (not adjectives or rng.random() < 0.5):
            subject = str(rng.choice(own))
        else:
            subject = _with_article(f"{rng.choice(adjectives)} {rng.choice(NOUNS)}")
    if where in (1, 2):
        manner = str(rng.choice(manners))
    form = str(rng.choice(["third", "third", "third", "ing"]))
    phrase = str(rng.choice(ACTION_CLASSES[action])).replace("{the}", _possessive(subject, rng))
    phrase = re.sub(r"<(\w+)>", lambda match: inflect(match[1], form), phrase)
    syntax = rng.random()
    if form == "ing" and syntax < 0.3:
        return f"{phrase} {manner}".strip()  # "waving the left hand happily"
    text = f"{subject} {'is ' if form == 'ing' else ''}{phrase}"
    if manner and syntax > 0.75:
        return f"{manner}, {text}"
    return f"{text} {manner}".strip()


def _with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _possessive(subject: str, rng: np.random.Generator) -> str:
    noun = subject.split()[-1]
    own = "her" if noun in _FEMALE else "his" if noun in _MALE else "their"
    return str(rng.choice(["the", own]))


@functools.lru_cache(1 << 16)
def possible_classes(text: str) -> tuple[frozenset[str], frozenset[str]]:
    """The action classes and the styles for which the grammar could have written `text`, one of its captions.

    The longest phrase in the text decides on the action class ("walks and turns left" is not "walks"). A style is
    excluded if the text names a style with a word that is not its own. Most captions name none, and "an old man" is
    both "old" and "elderly".
    """
    text = text.lower()
    lengths = {action: _longest_match(action, text) for action in ACTION_CLASSES}
    longest = max(lengths.values())
    actions = frozenset(action for action, length in lengths.items() if 0 < length == longest)
    named = {word for word, pattern in _style_patterns().items() if pattern.search(text)}
    # a word inside a longer match ("old" in "an old man") is not named on its own
    named = {word for word in named if not any(word != other and word in other for other in named)}
    return actions, frozenset(style for style in STYLES if named <= _style_words(style))


def _longest_match(action: str, text: str) -> int:
    """Length of the longest phrase of the action class in the text, 0 if there is none."""
    matches = (pattern.search(text) for pattern in _action_patterns(action))
    return max((len(match[0]) for match in matches if match), default=0)


@functools.cache
def _action_patterns(action: str) -> list[re.Pattern]:
    """One pattern for each phrase, with any form of its verbs and any possessive."""
    patterns = []
    for phrase in ACTION_CLASSES[action]:
        parts = re.split(r"<(\w+)>", phrase)  # every second part is a verb
        parts[1::2] = [
            f"({'|'.join(inflect(v, form) for form in ('base', 'third', 'ing'))})" for v in parts[1::2]
        ]
        parts[::2] = [re.escape(part).replace(r"\{the\}", "(the|their|his|her)") for part in parts[::2]]
        patterns.append(re.compile(rf"\b{''.join(parts)}\b"))
    return patterns


@functools.cache
def _style_words(style: str) -> frozenset[str]:
    return frozenset(word for words in STYLES[style] for word in words if word)


@functools.cache
def _style_patterns() -> dict[str, re.Pattern]:
    """A pattern for every word that names a style other than "normal"."""
    words = {word for style in STYLES for word in _style_words(style) - _style_words("normal")}
    return {word: re.compile(rf"\b{word}\b") for word in words}
