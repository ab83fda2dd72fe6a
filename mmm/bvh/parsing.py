"""The text of a BVH file: the tree of joints and the table of numbers.

Biovision, who made the format, never wrote it down. This module reads what programs commonly write: key words in
capitals or not, braces on lines of their own or not, tabs, any line ends, names with blanks ("Bip01 L Thigh"), UTF-8
and UTF-16, decimal commas, numbers that touch ("1.5-2.5"), rows that are broken over lines. What else a file holds is
refused with its line: a word that is skipped can move a foot by 10 cm.
"""

from __future__ import annotations

import codecs
import dataclasses
import re
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from mmm.errors import require

CHANNELS = tuple(f"{axis}{kind}" for kind in ("position", "rotation") for axis in "xyz")
MAX_JOINTS, MAX_NAME = 10_000, 200
LARGEST = 1e7  # of a number: 10 km in millimetres, and more turns than anybody makes
_NUMBER = r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?"
_GLUED = re.compile(rf"{_NUMBER}(?:(?=[+-]){_NUMBER})*")


@dataclasses.dataclass
class Tree:
    """What HIERARCHY says, in the unit and axes of the file: J joints in the order of the file, E End Sites.

    Attributes:
        names, parents, offsets: of each joint; the root's parent is -1, offsets are (x, y, z) from the parent.
        channels: of each joint, lower-case names such as "zrotation", in the order of its numbers.
        ends, end_parents: offsets of the End Sites from their joints, and these joints.
    """

    names: list[str] = dataclasses.field(default_factory=list)
    parents: list[int] = dataclasses.field(default_factory=list)
    offsets: list[list[float] | None] = dataclasses.field(default_factory=list)
    channels: list[tuple[str, ...]] = dataclasses.field(default_factory=list)
    ends: list[list[float] | None] = dataclasses.field(default_factory=list)
    end_parents: list[int] = dataclasses.field(default_factory=list)


def parse(data: bytes) -> tuple[Tree, Float[np.ndarray, "t c"], str, list[str]]:
    """Tree, rows of numbers, the word after 'Frame Time:', and notes on what was amiss but could be read.

    Raises:
        ValueError: the rest cannot be read; the sentence names the line and the word.
    """
    text, notes = _decode(data)
    lines = text.split("\n")
    words = [line.strip().upper() for line in lines]
    require("HIERARCHY" in words and "MOTION" in words, "it has no line HIERARCHY or no line MOTION")
    first, motion = words.index("HIERARCHY"), words.index("MOTION")
    require(first < motion, f"line {motion + 1}: MOTION stands before HIERARCHY")
    odd: set[str] = set()
    tree = _parse_tree(_words(lines, first + 1, motion), odd)
    table = [number for number in range(motion + 1, len(lines)) if words[number]]
    require(len(table) > 1, f"line {motion + 1}: nothing follows MOTION")
    frames, frame_time = _parse_head(lines, table[0], table[1])
    rows = _parse_rows(lines, table[2:], sum(map(len, tree.channels)), frames, odd, notes)
    return tree, rows, frame_time, notes + sorted(odd)


def _decode(data: bytes) -> tuple[str, list[str]]:
    """The text with \\n as line end, and notes."""
    notes, wide = [], data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    start = data[:200]
    if wide or max(start[0::2].count(0), start[1::2].count(0)) > 0.4 * len(start):
        order = "utf-16-le" if start[1::2].count(0) > start[0::2].count(0) else "utf-16-be"
        text = data.decode("utf-16" if wide else order, errors="replace")
        notes.append("the file is in UTF-16, which few programs read; it is read as it is meant")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:  # each byte a letter: names that differ stay different
            text = data.decode("latin-1")
    whole = text.rstrip("\0\x1a \t\r\n")
    rest = text[len(whole) :]
    if "\0" in rest or "\x1a" in rest:
        notes.append("the file ends in ^Z or NUL characters, which are left out")
    end = "\n" if "\n" in rest or "\r" in rest else ""
    return re.sub(r"\r\n?", "\n", whole) + end, notes


# ---------------------------------------------------------------------- HIERARCHY


def _words(lines: list[str], first: int, last: int) -> Iterator[tuple[int, str, str]]:
    """(line number, key word, rest of the line) with braces on lines of their own."""
    for number in range(first, last):
        for part in re.split(r"([{}])", lines[number]):
            if part.strip():
                word, *rest = part.split(maxsplit=1)
                yield number + 1, word, rest[0].strip() if rest else ""


def _parse_tree(words: Iterator[tuple[int, str, str]], odd: set[str]) -> Tree:
    tree = Tree()
    opened: list[int | None] = []  # the joints whose braces are open; None for an End Site
    begun: list[int | None] = []  # the joint whose brace is to come
    for number, word, rest in words:
        key, line = word.upper(), f"line {number}: "
        inside = bool(opened)
        joint = opened[-1] if opened else None
        require(not begun or key == "{", f"{line}{shown(word)}, expected the opening brace of a joint")
        if key in ("ROOT", "JOINT"):
            require(key == "JOINT" or not tree.names, f"{line}a second ROOT; one body a file can be read")
            require(key == "ROOT" or joint is not None, f"{line}a JOINT that is in no joint")
            require(0 < len(rest) <= MAX_NAME, f"{line}a {key} with a name of {len(rest)} letters")
            require(len(tree.names) < MAX_JOINTS, f"{line}more than {MAX_JOINTS:,} joints")
            begun.append(len(tree.names))
            tree.parents.append(-1 if joint is None else joint)
            tree.names.append("".join(letter if letter.isprintable() else "\ufffd" for letter in rest))
            tree.offsets.append(None)
            tree.channels.append(())
        elif key == "END":
            require(joint is not None, f"{line}an End Site that is in no joint")
            require(len(tree.ends) < MAX_JOINTS, f"{line}more than {MAX_JOINTS:,} End Sites")
            begun.append(None)
            tree.ends.append(None)
            tree.end_parents.append(joint)
        elif key == "{":
            require(begun, f"{line}an opening brace without a joint or an End Site before it")
            opened.append(begun.pop())
        elif key == "}":
            require(inside, f"{line}a closing brace too many")
            offsets, which = (tree.ends, -1) if joint is None else (tree.offsets, joint)
            require(offsets[which] is not None, f"{line}the end of a joint or an End Site without OFFSET")
            opened.pop()
        elif key == "OFFSET":
            offsets, which = (tree.ends, -1) if joint is None else (tree.offsets, joint)
            require(inside and offsets[which] is None, f"{line}an OFFSET in no joint, or its second one")
            offset = _numbers(rest, number, odd)
            require(len(offset) == 3, f"{line}an OFFSET with {len(offset)} numbers, expected 3")
            offsets[which] = offset
        elif key == "CHANNELS":
            require(
                joint is not None and not tree.channels[joint], f"{line}CHANNELS in no joint, or its second"
            )
            count, *names = rest.lower().split() or [""]
            require(
                count == str(len(names)) and len(set(names)) == len(names) and set(names) <= set(CHANNELS),
                f"{line}{shown(f'CHANNELS {rest}')}, expected their number and so many different ones of "
                "Xposition … Zrotation",
            )
            tree.channels[joint] = tuple(names)
        else:
            require(False, f"{line}the word {shown(word)}, which HIERARCHY does not have")
    require(tree.names and not opened and not begun, f"{len(opened) + len(begun)} joints are not closed")
    return tree


def shown(word: str) -> str:
    """A word of a file for a message: in quotation marks, without control characters, not too long."""
    return repr(word if len(word) <= 60 else f"{word[:59]}…")


# ---------------------------------------------------------------------- MOTION


def _parse_head(lines: list[str], first: int, second: int) -> tuple[int, str]:
    """The number after 'Frames:' and the word after 'Frame Time:'."""
    frames = re.fullmatch(r"\s*frames\s*:\s*(\d{1,15})\s*", lines[first], re.IGNORECASE)
    time = re.fullmatch(r"\s*frame\s*time\s*:\s*(\S+)\s*", lines[second], re.IGNORECASE)
    for match, line, expected in ((frames, first, "Frames: 100"), (time, second, "Frame Time: 0.05")):
        require(match, f"line {line + 1}: {shown(lines[line].strip())}, expected a line such as '{expected}'")
    return int(frames[1]), time[1].replace(",", ".")


def _numbers(text: str, number: int, odd: set[str]) -> list[float]:
    """The numbers of a line. What is odd about them is added to `odd`."""
    words = text.split()
    try:
        if "_" in text:  # Python would take 1_000 for a number
            raise ValueError
        values = [float(word) for word in words]
    except ValueError:
        parts = []
        for word in words:
            require(_GLUED.fullmatch(word), f"line {number}: {shown(word)}, expected a number")
            parts += re.findall(_NUMBER, word)
            if re.search(r"[^eE][+-]", word):
                odd.add("the file has numbers that touch, such as 1.5-2.5; they are read as two")
        if "," in text:
            odd.add("the file has decimal commas, which are read as points")
        values = [float(part.replace(",", ".")) for part in parts]
    bad = next((value for value in values if not abs(value) <= LARGEST), None)
    require(bad is None, f"line {number}: the number {bad}, expected at most {LARGEST:,.0f} in size")
    return values


def _parse_rows(
    lines: list[str], table: list[int], width: int, frames: int, odd: set[str], notes: list[str]
) -> Float[np.ndarray, "t c"]:
    """The numbers, one row a frame: the whole rows that there are, whatever 'Frames:' says."""
    require(width > 0 and table, f"line {len(lines)}: no numbers, expected {frames} rows of {width}")
    cut_off = lines[-1] != ""  # the last line has no end
    parts = []
    for line in table:
        try:
            parts.append(np.array(_numbers(lines[line], line + 1, odd)))
        except ValueError:
            if not (cut_off and line == table[-1] and len(parts) < frames):
                raise
            parts.append(np.zeros(0))  # cut in a word
    sizes = np.array([len(part) for part in parts])
    ends = sizes.cumsum()
    count = int(ends[-1]) // width
    crossing = (ends - sizes) // width != (ends - 1) // width  # the line holds numbers of two rows
    wrapped = ends[-1] == frames * width and not (sizes == width).any()  # anywhere, with nothing lost
    if crossing[sizes > 0].any() and not wrapped:
        line = int((sizes != width).argmax())
        require(False, f"line {table[line] + 1} has {sizes[line]} numbers, expected {width} in a row")
    if ends[-1] % width or not sizes[-1]:
        notes.append(
            f"the file is cut off: its last row has {ends[-1] % width} of {width} numbers; it is left out"
        )
    elif cut_off and count < frames:
        count -= 1
        notes.append("the file is cut off in its last row, which is left out")
    require(count, f"line {table[0] + 1}: no whole row, expected {frames} rows of {width} numbers")
    if count != frames:
        notes.append(
            f"the file has {count:,} whole rows, its line 'Frames:' says {frames:,}; the rows are read"
        )
    return np.concatenate(parts)[: count * width].reshape(count, width)
