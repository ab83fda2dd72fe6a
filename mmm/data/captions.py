"""Captions as HumanML3D stores them: one line each, `text#word/POS word/POS …#start#end`."""

import dataclasses
import math
import re
from collections.abc import Iterator

from mmm.data.reading import Unusable

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

    @property
    def is_part(self) -> bool:
        """Does it speak of a part of its clip only?"""
        return not self.start == self.end == 0

    def part(self, fps: float, frames: int) -> tuple[int, int]:
        """First frame that it speaks of and the one after the last, in a clip of so many frames.

        As in Guo's loaders: both are floored, and what lies outside the clip is cut off.
        """
        if not self.is_part:
            return 0, frames
        first, last = (int(min(max(time * fps, 0), frames)) for time in (self.start, self.end))
        return first, max(first, last)


def parse_line(line: str) -> Caption:
    """A caption from its line.

    Raises:
        Unusable: the line does not have the four parts, its times are no numbers, or it says nothing.
    """
    parts = line.strip().split("#")
    if len(parts) != 4:
        raise Unusable("malformed line", f"found {len(parts)} parts, expected text#word/POS …#start#end")
    text, words, *times = parts
    try:
        # HumanML3D writes nan for captions without times
        start, end = (0.0 if math.isnan(time) else time for time in map(float, times))
    except ValueError:
        start = end = math.inf
    if math.isinf(start) or math.isinf(end):
        raise Unusable("malformed line", f"start and end must be seconds, found {times[0]!r}, {times[1]!r}")
    if not text.strip():
        raise Unusable("empty caption", "there is no text before the first #")
    pairs = tuple(tuple(word.rsplit("/", 1)) for word in words.split(" ") if "/" in word)
    return Caption(text.strip(), pairs, start, end)


def numbered_lines(content: str) -> Iterator[tuple[int, str]]:
    """The lines of a `texts/ID.txt` that are not blank, counted from 1."""
    return ((number, line) for number, line in enumerate(content.splitlines(), 1) if line.strip())


def parse_captions(content: str, source: str = "captions", remedy: str = "mend the line") -> list[Caption]:
    """Captions of a `texts/ID.txt`.

    Raises:
        ValueError: a line cannot be used, see `parse_line`; the sentence ends with `remedy`.
    """
    captions = []
    for number, line in numbered_lines(content):
        try:
            captions.append(parse_line(line))
        except Unusable as error:
            raise ValueError(f"{source}, line {number}: {error.detail}; {remedy}.") from None
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
