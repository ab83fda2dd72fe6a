"""The page of a judgement of free text: every prompt with its film strip, what readers saw, and a few GIFs."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from figures.blind.free_text import Judged, judge, table, tally
from figures.blind.prompts import KINDS, read_json
from mmm.data.reading import load_array
from mmm.errors import atomic_dir, check_replaceable, require
from mmm.motion import Motion
from mmm.training.run_folder import write_json
from mmm.viz.animation import animate
from mmm.viz.style import ARROW, BACK, DARK, FLOOR, FRONT, LEFT, NOSE, PAPER, PATH, RIGHT, SHADOW, SKIN

WIDTH = 880  # pixels of a strip on the page: 15 kB, and every limb can be told
SHARES = (1.0, 0.6, 0.3)  # of a colour in paper: smooth edges, and the ways of the hands
GIFS, FAILURES = 8, 2
GIF_BYTES = 700_000  # all together
# Pixels and every which frame, tried in this order until the GIFs are small enough: legible before smooth.
GIF_SIZES = ((200, 2), (160, 2), (160, 3), (140, 3), (120, 3), (100, 4))
MARK = "gifs/*.gif"  # only a page has them: a folder of strips is never taken for one and replaced
MARKS = {"right": "✔ **right**", "half": "½ **half**", "wrong": "✘ **wrong**"}


def choose(judged: Iterable[Judged], count: int = GIFS) -> list[int]:
    """Numbers of the prompts to show as GIFs: the first right one of each kind, two failures, then the first left.

    A failure is wrong, or half right where not enough are wrong.
    """
    rows = sorted((one.row["number"], one.row["prompt"]["kind"], one.mark) for one in judged)
    picked = [next((n for n, k, m in rows if (k, m) == (kind, "right")), None) for kind in KINDS]
    failures = [n for wanted in ("wrong", "half") for n, _, m in rows if m == wanted]
    best = [n for n in picked if n is not None][: max(0, count - len(failures[:FAILURES]))]
    order = [*best, *failures[:FAILURES], *(n for n, *_ in rows)]
    return sorted(list(dict.fromkeys(order))[:count])


def write_page(
    strips: str | os.PathLike,
    answers: Sequence[str | os.PathLike],
    out: str | os.PathLike,
    gifs: Sequence[int] = (),
    commands: Sequence[str] = (),
) -> Path:
    """Write README.md, strips/ and gifs/, and what the judgement can be scored again from.

    These are key.json, prompts.json, answers_1.json … (in the order given), instructions.md, manifest.json and
    result.json.

    Args:
        strips: what `make_strips` wrote for a file of prompts.
        gifs: numbers of prompts; see `choose` for the default.
        commands: what made the page, to be shown after the one that made the strips.
    Raises:
        FileNotFoundError: no such strips, answers or motions.
        ValueError: as `judge`; a number that no prompt has; `out` is something else than a page.
    """
    strips, out = Path(strips), Path(out)
    check_replaceable(out, MARK)
    judged = judge(strips, answers)
    asked = {one.row["number"]: (name, one) for name, one in judged.items() if "prompt" in one.row}
    shown = sorted(set(gifs)) or choose(one for _, one in asked.values())
    for number in shown:
        require(number in asked, f"there is no prompt {number} to show as a GIF; give 1 to {len(asked)}.")
    counts = tally(judged.values())
    manifest = read_json(strips / "manifest.json", dict, "the manifest that `blind make` writes")
    with atomic_dir(out, MARK) as part:
        for name in ("key.json", "manifest.json", "instructions.md"):
            shutil.copyfile(strips / name, part / name)
        for number, path in enumerate(answers, 1):
            shutil.copyfile(path, part / f"answers_{number}.json")
        prompts = [asked[number][1].row["prompt"] for number in sorted(asked)]
        listed = json.dumps(prompts, indent=1, ensure_ascii=False)
        (part / "prompts.json").write_text(listed + "\n", encoding="utf-8")
        write_json(part / "result.json", counts)
        (part / "strips").mkdir()
        for number, (name, _) in asked.items():
            _shrink(strips / "strips" / f"{name}.png", part / "strips" / f"{number:02d}.png")
        _animate(strips, {number: asked[number][0] for number in shown}, part / "gifs", manifest["fps"])
        text = _text(asked, shown, len(answers), table(counts), manifest, commands)
        (part / "README.md").write_text(text, encoding="utf-8")
    return out


def _shrink(source: Path, target: Path) -> None:
    """A strip at the width of the page, in few colours."""
    with Image.open(source) as picture:
        picture = picture.convert("RGB")
    height = round(picture.height * WIDTH / picture.width)
    small = picture.resize((WIDTH, height), Image.Resampling.BICUBIC)
    small.quantize(palette=_palette(), dither=Image.Dither.NONE).save(target, optimize=True)


def _palette() -> Image.Image:
    """The colours of a strip and their mixtures with paper: chosen by area, the small green arrow would turn grey."""
    solid = (PAPER, LEFT, RIGHT, FLOOR, DARK, PATH, ARROW, NOSE, SKIN, FRONT, BACK, SHADOW)
    mixed = [share * np.array(colour) + (1 - share) * np.array(PAPER) for colour in solid for share in SHARES]
    sheet = Image.new("P", (1, 1))
    sheet.putpalette(np.rint(mixed).astype(int).ravel().tolist())
    return sheet


def _animate(strips: Path, chosen: dict[int, str], out: Path, fps: float) -> None:
    """GIFs of the chosen prompts (number → strip), no more than GIF_BYTES together where that can be had."""
    motions = {number: load_array(strips / "motions" / f"{name}.npy") for number, name in chosen.items()}
    for size, step in GIF_SIZES:
        for number, joints in motions.items():
            animate(
                Motion.from_joints(joints, fps).every(step), out / f"{number:02d}.gif", title="", size=size
            )
        if sum(path.stat().st_size for path in out.iterdir()) <= GIF_BYTES:
            break


def _escaped(text: str) -> str:
    """A text of which Markdown and HTML take no letter for a sign of theirs."""
    return re.sub(r"([\\`*_{}\[\]<>()#+\-!|~&$])", r"\\\1", " ".join(text.split()))


def _text(
    asked: dict[int, tuple[str, Judged]],
    shown: list[int],
    readers: int,
    counts: str,
    manifest: dict,
    commands: Sequence[str],
) -> str:
    """The page."""
    made = [line for line in (manifest.get("command"), *commands) if line]
    real = "as many real clips"
    head = [
        f"# Free text: {len(asked)} prompts, judged blind",
        f"The film strips of {len(asked)} prompts that no training caption says, one try each, shuffled with {real}, "
        f"were named by {readers} readers who saw no prompt; the most frequent answer counts.",
        "\n".join(f"    {line}" for line in made),
        counts,
        "**Right**: the answer is one of the names asked for, of two actions both. **Half**: of two actions one, or "
        "the action asked for and another beside it. In which order two actions come, and manner, were not asked of "
        "the readers. Where no name tells what is asked for, no answer is right. "
        f"Model {manifest.get('model')}, data {manifest.get('data')} {manifest.get('data_hash')}, git revision "
        f"{manifest.get('git_revision')}; [key](key.json), [instructions](instructions.md), [result](result.json).",
        _gallery(asked, shown),
        _sample(asked, shown),
        "## All prompts",
    ]
    return "\n\n".join([*head, *(_entry(number, asked[number][1]) for number in sorted(asked))]) + "\n"


def _sample(asked: dict[int, tuple[str, Judged]], shown: list[int]) -> str:
    """How far the GIFs flatter, or the contrary: a reader sees them first."""
    right = [number for number, (_, one) in asked.items() if one.mark == "right"]
    return (
        f"These {len(shown)} are no fair sample: {len(set(right) & set(shown))} of them are right, of all "
        f"{len(asked)} prompts {len(right)}."
    )


def _gallery(asked: dict[int, tuple[str, Judged]], shown: list[int], columns: int = 4) -> str:
    """The GIFs with prompt and mark under each, some in a row."""
    lines = []
    for at in range(0, len(shown), columns):
        row = shown[at : at + columns]
        pictures = [f"![prompt {number}](gifs/{number:02d}.gif)" for number in row]
        words = [
            f"{number}. “{_escaped(one.row['prompt']['text'])}” {MARKS[one.mark]}"
            for number, (_, one) in ((n, asked[n]) for n in row)
        ]
        rule = ["---"] * len(row)
        lines.append("\n".join(f"| {' | '.join(cells)} |" for cells in (pictures, rule, words)))
    return "\n\n".join(lines)


def _entry(number: int, one: Judged) -> str:
    """One prompt: what was asked for, what every reader saw, the mark, the strip."""
    prompt = one.row["prompt"]
    names = [f"`{name}`" for name in prompt["contents"]]
    link = f" {prompt.get('order', 'and')} " if prompt["kind"] == "two" else " or "
    wanted = link.join(names) or "nothing that a name tells"
    saw = ", ".join(f"`{answer}`" for answer in one.given)
    return (
        f"### {number}. “{_escaped(prompt['text'])}”\n\n"
        f"{MARKS[one.mark]} · {prompt['kind']}, asked for {wanted} · readers saw {saw}\n\n"
        f"![strip of prompt {number}](strips/{number:02d}.png)"
    )
