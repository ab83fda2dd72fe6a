"""Plot style of the whole project: the palette, `@styled` for functions that draw, texts to draw, small PNG files."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import get_data_path, rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.ticker import FuncFormatter, MaxNLocator
from PIL import Image

if TYPE_CHECKING:
    from pandas import DataFrame

Colour = tuple[int, int, int]  # red, green, blue, 0 to 255

# Bodies. Blue and orange differ for every kind of colour blindness, and in grey.
LEFT: Colour = (31, 98, 214)
RIGHT: Colour = (240, 112, 28)
DARK: Colour = (45, 52, 66)
GROUND: Colour = (241, 243, 246)
FLOOR: Colour = (206, 212, 221)
PATH: Colour = (96, 106, 124)
ARROW: Colour = (46, 138, 87)
GENERATED: Colour = (250, 214, 120)
AMBER: Colour = (176, 118, 0)  # words about it
PAPER: Colour = (255, 255, 255)

# Plots. Matplotlib's cycle C0, C1, ... serves for lines without a meaning of their own.
GOOD, BAD, NEUTRAL = "#2a788e", "#e07b39", "#8a8f99"
MASKED, KEPT = "#c9ccd3", "#39445c"  # positions of a canvas
HELD_OUT = "#d1495b"
MARK = "#3b3f46"
DASHED = {"color": NEUTRAL, "linestyle": "--", "linewidth": 1}  # a line to compare with

# A decorator: everything that the function draws has this style.
styled = rc_context({
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "legend.title_fontsize": 8,
})  # fmt: skip


def rgb(colour: Colour, strength: float = 1.0) -> tuple[float, float, float]:
    """A colour as matplotlib takes it, 0 to 1, mixed with white if `strength` is below 1."""
    return tuple((strength * c + (1 - strength) * p) / 255 for c, p in zip(colour, PAPER, strict=True))


FONT = str(
    Path(get_data_path(), "fonts/ttf/DejaVuSans.ttf")
)  # comes with matplotlib: the same on every machine


def drawable(text: str) -> str:
    """A text in one line as the font can draw it, with a box for every character that it lacks.

    Separators of lines and other control characters, which word processors put into a text, would stop the layout.
    """
    shown = "".join(c if c.isprintable() else " " * c.isspace() for c in text)
    return " ".join("".join(c if c == " " or ord(c) in _characters() else "□" for c in shown).split())


@cache
def _characters() -> frozenset[int]:
    return frozenset(FT2Font(FONT).get_charmap())


def bare(axes: Axes | Iterable[Axes], sides: Iterable[str] = ("top", "right")) -> None:
    """Hide the frame lines of one or several axes: by default the top and right one, `sides="all"` for all four."""
    for ax in [axes] if isinstance(axes, Axes) else axes:
        ax.spines[list(ax.spines) if sides == "all" else list(sides)].set_visible(False)


def small_png(figure: Figure, colours: int = 64) -> bytes:
    """A figure as PNG with at most `colours` colours: a third of the size, with no visible difference.

    Colours with a meaning are among them, also if they cover little: of the shades of a body there are many more.
    """
    canvas = figure.canvas if isinstance(figure.canvas, FigureCanvasAgg) else FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    kept = np.array((PAPER, ARROW, PATH, GENERATED, DARK), np.uint8).tobytes()
    used = picture.quantize(colours - 5, dither=Image.Dither.NONE)
    palette = Image.new("P", (1, 1))
    palette.putpalette(used.getpalette() + list(kept))
    data = io.BytesIO()
    picture.quantize(palette=palette, dither=Image.Dither.NONE).save(data, "PNG", optimize=True)
    return data.getvalue()


def panels(
    size: tuple[float, float], rows: int = 1, columns: int = 1, grid: bool = False, **options: Any
) -> tuple[Figure, Any]:
    """A figure of `size` inches and its axes: one Axes, or an array of them; `options` are of `Figure.subplots`."""
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, **options)
    for ax in np.ravel(axes) if grid else ():
        ax.grid(alpha=0.3)
    return figure, axes


def plain_numbers(*axes: Axis) -> None:
    """1, 10, 100 in place of powers of ten, for `ax.xaxis` or `ax.yaxis`."""
    for axis in axes:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def whole_numbers(axis: Axis) -> None:
    """A few ticks at whole numbers only."""
    axis.set_major_locator(MaxNLocator(6, integer=True))


def lines(ax: Axes, table: DataFrame, columns: Mapping[str, tuple[str, str]]) -> None:
    """Columns of a table against its index, with a legend; `columns`: column → label and colour."""
    for column, (label, colour) in columns.items():
        ax.plot(table.index, table[column], "o-", markersize=3, color=colour, label=label)
    ax.set_xlabel(table.index.name or "")
    ax.legend()


def grouped_bars(ax: Axes, table: DataFrame, label_size: int = 8) -> None:
    """Bars with their numbers on top: a group for each row of a table, a colour for each column."""
    table.plot.bar(ax=ax, rot=0, width=0.8, legend=False)
    for bars in ax.containers:
        ax.bar_label(bars, fmt="%.2f", fontsize=label_size)
