"""What is said of Bandai-Namco Research Motiondataset: phrases for each content, words for each style.

Verbs stand in angle brackets, to be inflected; `{the}` becomes "the" or a possessive (`bandai_captions.py`).
"""

import re

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
