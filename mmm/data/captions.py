"""Captions as HumanML3D stores them: one line each, `text#word/TAG word/TAG …#start#end`.

A tag is the part of speech of its word. Only Guo et al.'s evaluator reads the tags, and its data sets (HumanML3D,
KIT-ML) bring them. The captions that this project writes are not tagged: see `untagged`.
"""

import dataclasses
import math
import re
from collections.abc import Iterator

from mmm.data.reading import Unusable

LATEST = 1e6  # seconds
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
    """A caption: its text, its (word, part of speech) pairs, its start and end in seconds (0, 0: the whole clip)."""

    text: str
    words: tuple[tuple[str, str], ...] = ()
    start: float = 0.0
    end: float = 0.0

    @property
    def is_part(self) -> bool:
        """Whether it describes only a part of its clip."""
        return not self.start == self.end == 0

    def part(self, fps: float, frames: int) -> tuple[int, int]:
        """First frame and the frame after the last of the part that it describes, in a clip of `frames` frames.

        As in Guo et al.'s loaders, both are rounded down, and what lies outside the clip is cut off.
        """
        if not self.is_part:
            return 0, frames
        first, last = (int(min(max(time * fps, 0), frames)) for time in (self.start, self.end))
        return first, max(first, last)


def untagged(text: str) -> Caption:
    """A caption whose words have no known part of speech: each gets the tag OTHER.

    OTHER is one of the classes of Guo et al.'s evaluator. A line needs some tag: readers of HumanML3D's layout split
    the second field at spaces and each word at "/", and fail on a word without a tag.
    """
    words = re.findall(r"[^\W_]+(?:'[^\W_]+)?", text.lower())
    return Caption(text, tuple((word, "OTHER") for word in words))


def parse_line(line: str) -> Caption:
    """A caption from its line.

    Raises:
        Unusable: the line does not have four fields, its times are not numbers, or its text is empty.
    """
    parts = line.strip().split("#")
    if len(parts) != 4:
        raise Unusable("malformed line", f"it has {len(parts)} of the 4 fields text#word/TAG …#start#end")
    text, words, *times = parts
    try:
        # HumanML3D writes nan for captions without times
        start, end = (0.0 if math.isnan(time) else time for time in map(float, times))
    except ValueError:
        start = end = math.inf
    if max(abs(start), abs(end)) > LATEST:
        raise Unusable("malformed line", f"start and end must be seconds, not {times[0]!r}, {times[1]!r}")
    if not text.strip():
        raise Unusable("empty caption", "there is no text before the first #")
    pairs = tuple(tuple(word.rsplit("/", 1)) for word in words.split(" ") if "/" in word)
    return Caption(text.strip(), pairs, start, end)


def numbered_lines(content: str) -> Iterator[tuple[int, str]]:
    """The lines of a `texts/ID.txt` that are not blank, counted from 1."""
    return ((number, line) for number, line in enumerate(content.splitlines(), 1) if line.strip())


def parse_captions(content: str, source: str = "captions", remedy: str = "correct the line") -> list[Caption]:
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
    """Swap left and right, clockwise and counterclockwise; capitals are kept."""

    def swap(match):
        word = match.group(0)
        other = _SWAP[word.lower()]
        return other.upper() if word.isupper() else other.capitalize() if word[0].isupper() else other

    return _SIDES.sub(swap, text)


def mirror_caption(caption: Caption) -> Caption:
    """The caption of the mirrored motion (HumanML3D doubles its data in this way)."""
    words = tuple((mirror_text(word), tag) for word, tag in caption.words)
    return dataclasses.replace(caption, text=mirror_text(caption.text), words=words)
