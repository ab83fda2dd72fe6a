"""Captions as HumanML3D stores them: one line each, `text#word/POS word/POS …#start#end`."""

import dataclasses
import re

from mmm.errors import require

_SWAP = {
    "left": "right",
    "clockwise": "counterclockwise",
    "leftward": "rightward",
    "leftwards": "rightwards",
    "lefthand": "righthand",
    "lefty": "righty",
}
_SWAP |= {there: here for here, there in _SWAP.items()}
_SIDES = re.compile(
    r"(?<![a-z])(" + "|".join(sorted(_SWAP, key=len, reverse=True)) + r")(?![a-z])", re.IGNORECASE
)


@dataclasses.dataclass(frozen=True)
class Caption:
    """One caption: its text, its (lemma, part of speech) pairs, and the seconds it speaks of (0, 0: the whole clip)."""

    text: str
    words: tuple[tuple[str, str], ...] = ()
    start: float = 0.0
    end: float = 0.0


def parse_captions(content: str, source: str = "captions") -> list[Caption]:
    """Captions of a `texts/ID.txt`.

    Raises:
        ValueError: a line does not have the four parts, or its times are no numbers.
    """
    captions = []
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        parts = line.strip().split("#")
        require(
            len(parts) == 4,
            f"{source}, line {number}: found {len(parts)} parts, expected text#word/POS …#start#end; mend the line.",
        )
        text, words, start, end = parts
        try:
            start, end = float(start), float(end)
        except ValueError:
            raise ValueError(
                f"{source}, line {number}: start and end must be seconds, found {start!r}, {end!r}."
            ) from None
        # HumanML3D writes nan for captions without times
        start, end = (0.0 if time != time else time for time in (start, end))
        pairs = tuple(tuple(word.rsplit("/", 1)) for word in words.split(" ") if "/" in word)
        captions.append(Caption(text.strip(), pairs, start, end))
    return captions


def format_caption(caption: Caption) -> str:
    """The line of a `texts/ID.txt`, without its newline."""
    words = " ".join(f"{word}/{tag}" for word, tag in caption.words)
    return f"{caption.text}#{words}#{caption.start}#{caption.end}"


def mirror_text(text: str) -> str:
    """Left becomes right, clockwise counterclockwise, and back; capitals are kept."""

    def swap(match):
        word = match.group(0)
        other = _SWAP[word.lower()]
        return other.upper() if word.isupper() else other.capitalize() if word[0].isupper() else other

    return _SIDES.sub(swap, text)


def mirror_caption(caption: Caption) -> Caption:
    """The caption of the mirrored motion (HumanML3D doubles its data in this way)."""
    words = tuple((mirror_text(word), tag) for word, tag in caption.words)
    return dataclasses.replace(caption, text=mirror_text(caption.text), words=words)
