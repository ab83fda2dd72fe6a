"""The page of free text: every prompt with its film strip, what the readers saw, and a few GIFs."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from figures.blind.prompts import KINDS, form_of, read_json, wanted_of
from figures.blind.score import Strip, score, table, tally
from mmm.data.reading import load_array
from mmm.errors import atomic_dir, check_replaceable, require
from mmm.motion import Motion
from mmm.training.run_folder import write_json
from mmm.viz.animation import animate
from mmm.viz.body import table as table_of_figure
from mmm.viz.style import ARROW, DARK, FLOOR, LEFT, PAPER, PATH, RIGHT
from mmm.viz.table import markdown_table

WIDTH = 720  # pixels of a strip on the page: 10 to 20 kB, and every limb can be seen
MIXTURES = (1.0, 0.6, 0.3)  # of a colour with the paper's: smooth edges, and the paths of the hands
LIGHTS = (1.1, 0.95, 0.8, 0.65, 0.5)  # how bright a part of the figure is
GIFS, FAILURES = 8, 2
GIF_BYTES = 700_000  # all together
# (pixels, step between frames), tried in this order until the GIFs are small enough: legible before smooth.
GIF_SIZES = ((200, 2), (160, 2), (160, 3), (140, 3), (120, 3), (100, 4))
MARK = "gifs/*.gif"  # only a page has them: a folder of strips is never taken for one and replaced
RULES = {
    "contents": "**Right**: the answer is one of the requested classes; of two requested actions, both. **Half**: one "
    "of two actions, or the requested action and another. Readers were not asked for the order of two actions, nor for "
    "the manner. If no class fits the request, no answer is right.",
    "actions": "**Right**: the answer is one of the names that were fixed for the request before any motion was made; "
    "of two requested actions both, in the requested order; for a style also the manner. **Half**: one of two actions, "
    "both in another order, the requested action beside another, or action without manner and the reverse. Real clips "
    "are captures of one action; those like a style are right if action and manner are.",
}
MARKS = {"right": "✔ **right**", "half": "½ **half**", "wrong": "✘ **wrong**"}


def choose(strips: Iterable[Strip], count: int = GIFS) -> list[int]:
    """Numbers of the prompts to show as GIFs: the first right one of each kind, two failures, then the first others.

    A failure is wrong, or half right if not enough are wrong.
    """
    rows = sorted((s.row["number"], s.row["prompt"]["kind"], s.mark) for s in strips)
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
    """Write README.md, strips/ and gifs/, and everything that is needed to score again.

    That is key.json, prompts.json, answers_1.json … (in the order of `answers`), instructions.md, manifest.json and
    result.json.

    Args:
        strips: what `make_strips` wrote for a file of prompts.
        gifs: numbers of prompts; see `choose` for the default.
        commands: shown after the one that made the strips.
    Raises:
        FileNotFoundError: no such strips, answers or motions.
        ValueError: as `score`; the strips are those of the built-in prompts; a number that no prompt has; `out` is
            something else than a page or the folder of the prompts alone.
    """
    strips, out = Path(strips), Path(out)
    scored = score(strips, answers)
    prompts = {strip.row["number"]: (name, strip) for name, strip in scored.items() if "prompt" in strip.row}
    require(prompts, f"{strips / 'key.json'} has no free text; it was made without --prompts.")
    listed = [prompts[number][1].row["prompt"] for number in sorted(prompts)]
    mark = "prompts.json" if _holds_only(out, listed) else MARK
    check_replaceable(out, mark)
    shown = sorted(set(gifs)) or choose(strip for _, strip in prompts.values())
    for number in shown:
        require(number in prompts, f"there is no prompt {number} to show as a GIF; give 1 to {len(prompts)}.")
    counts = tally(scored.values())
    manifest = read_json(strips / "manifest.json", dict, "the manifest that `blind make` writes")
    with atomic_dir(out, mark) as part:
        for name in ("key.json", "manifest.json", "instructions.md"):
            shutil.copyfile(strips / name, part / name)
        for number, path in enumerate(answers, 1):
            shutil.copyfile(path, part / f"answers_{number}.json")
        text = json.dumps(listed, indent=1, ensure_ascii=False)
        (part / "prompts.json").write_text(text + "\n", encoding="utf-8")
        write_json(part / "result.json", counts)
        (part / "strips").mkdir()
        for number, (name, _) in prompts.items():
            _shrink(strips / "strips" / f"{name}.png", part / "strips" / f"{number:02d}.png")
        _animate(strips, {number: prompts[number][0] for number in shown}, part / "gifs", manifest["fps"])
        text = _text(prompts, shown, len(answers), table(counts), manifest, commands)
        (part / "README.md").write_text(text, encoding="utf-8")
    return out


def _holds_only(out: Path, prompts: list[dict]) -> bool:
    """Is `out` a folder with the prompts of these strips and nothing else?"""
    alone = out.is_dir() and [path.name for path in out.iterdir()] == ["prompts.json"]
    return alone and read_json(out / "prompts.json", list, "a list of prompts") == prompts


def _shrink(source: Path, target: Path) -> None:
    """A strip at the width of the page, in few colours."""
    with Image.open(source) as picture:
        picture = picture.convert("RGB")
    height = round(picture.height * WIDTH / picture.width)
    small = picture.resize((WIDTH, height), Image.Resampling.BICUBIC)
    small.quantize(palette=_palette(), dither=Image.Dither.NONE).save(target, optimize=True)


def _palette() -> Image.Image:
    """Colours of a strip and their mixtures with the paper: a palette by area would turn the small arrow grey."""
    paper, solid = np.array(PAPER), (PAPER, FLOOR, DARK, PATH, ARROW, LEFT, RIGHT)
    mixed = [ratio * np.array(colour) + (1 - ratio) * paper for colour in solid for ratio in MIXTURES]
    lit = [light * np.array(colour) for colour in table_of_figure()["colours"].values() for light in LIGHTS]
    sheet = Image.new("P", (1, 1))
    sheet.putpalette(np.rint([*mixed, *lit]).clip(0, 255).astype(int).ravel().tolist())
    return sheet


def _animate(strips: Path, chosen: dict[int, str], out: Path, fps: float) -> None:
    """GIFs of the chosen prompts (number → strip), no more than GIF_BYTES together if possible."""
    motions = {number: load_array(strips / "motions" / f"{name}.npy") for number, name in chosen.items()}
    for size, step in GIF_SIZES:
        for number, joints in motions.items():
            animate(
                Motion.from_joints(joints, fps).every(step), out / f"{number:02d}.gif", title="", size=size
            )
        if sum(path.stat().st_size for path in out.iterdir()) <= GIF_BYTES:
            break


def _escaped(text: str) -> str:
    """A text in which Markdown and HTML see no markup."""
    return re.sub(r"([\\`*_{}\[\]<>()#+\-!|~&$])", r"\\\1", " ".join(text.split()))


def _text(
    prompts: dict[int, tuple[str, Strip]],
    shown: list[int],
    readers: int,
    counts: str,
    manifest: dict,
    commands: Sequence[str],
) -> str:
    """The page."""
    lines = [line for line in (manifest.get("command"), *commands) if line]
    real = "as many real clips"
    head = [
        f"# Free text: {len(prompts)} prompts, judged blind",
        f"The film strips of {len(prompts)} prompts that are no training captions, one attempt each, shuffled with "
        f"{real}, were named by {readers} readers who saw no prompt; the most frequent answer counts, in a tie the "
        "first reader's.",
        "\n".join(f"    {line}" for line in lines),
        counts,
        f"{RULES[form_of([strip.row['prompt'] for _, strip in prompts.values()])]} "
        f"Model {manifest.get('model')}, data {manifest.get('data')} {manifest.get('data_hash')}, git revision "
        f"{manifest.get('git_revision')}; [key](key.json), [instructions](instructions.md), [result](result.json).",
        _gallery(prompts, shown),
        _sample(prompts, shown),
        "## All prompts",
    ]
    return "\n\n".join([*head, *(_entry(number, prompts[number][1]) for number in sorted(prompts))]) + "\n"


def _sample(prompts: dict[int, tuple[str, Strip]], shown: list[int]) -> str:
    """How representative the GIFs are, which one sees first."""
    right = [number for number, (_, strip) in prompts.items() if strip.mark == "right"]
    return (
        f"These {len(shown)} are no fair sample: {len(set(right) & set(shown))} of them are right, of all "
        f"{len(prompts)} prompts {len(right)}."
    )


def _gallery(prompts: dict[int, tuple[str, Strip]], shown: list[int], columns: int = 4) -> str:
    """The GIFs with prompt and mark below each, several in a row."""
    lines = []
    for at in range(0, len(shown), columns):
        row = shown[at : at + columns]
        pictures = [f"![prompt {number}](gifs/{number:02d}.gif)" for number in row]
        words = [
            f"{number}. “{_escaped(strip.row['prompt']['text'])}” {MARKS[strip.mark]}"
            for number, strip in ((n, prompts[n][1]) for n in row)
        ]
        lines.append(markdown_table(pictures, [words], "l" * len(row)))
    return "\n\n".join(lines)


def _entry(number: int, strip: Strip) -> str:
    """One prompt: the request, what every reader saw, the mark, the strip."""
    prompt = strip.row["prompt"]
    saw = ", ".join(f"`{answer}`" for answer in strip.answers)
    shows = f"{_escaped(prompt['shows'])}\n\n" if "shows" in prompt else ""
    return (
        f"### {number}. “{_escaped(prompt['text'])}”\n\n{shows}"
        f"{MARKS[strip.mark]} · {prompt['kind']}, requested {_request(prompt)} · readers saw {saw}\n\n"
        f"![strip of prompt {number}](strips/{number:02d}.png)"
    )


def _request(prompt: dict) -> str:
    """The right names: "`run` or `dash`, then `kick`"."""
    either = [" or ".join(f"`{name}`" for name in names) for names in wanted_of(prompt)["actions"]]
    link = {"then": ", then ", "while": " while ", "any": " and "}[prompt.get("order", "any")]
    if "contents" in prompt:
        link = link.replace(",", "")
    manner = " or ".join(f"`{name}`" for name in prompt.get("manner", []))
    return (link.join(filter(None, either)) or "nothing that a class describes") + (
        f"; {manner}" if manner else ""
    )
