"""Plot style of the whole project: the palette, axes without a frame, small PNG files."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from PIL import Image

Colour = tuple[int, int, int]  # red, green, blue, 0 to 255

# Bodies. Blue and orange differ for every kind of colour blindness, and in grey.
LEFT: Colour = (31, 98, 214)
RIGHT: Colour = (240, 112, 28)
FRONT: Colour = (176, 184, 198)
BACK: Colour = (112, 121, 138)
DARK: Colour = (45, 52, 66)
SKIN: Colour = (226, 214, 203)
NOSE: Colour = (150, 62, 62)
FLOOR: Colour = (221, 225, 231)
SHADOW: Colour = (204, 209, 217)
PATH: Colour = (96, 106, 124)
ARROW: Colour = (46, 138, 87)
PAPER: Colour = (255, 255, 255)

# Plots. Matplotlib's cycle C0, C1, ... serves for lines without a meaning of their own.
GOOD, BAD, NEUTRAL = "#2a788e", "#e07b39", "#8a8f99"
MASKED, KEPT = "#c9ccd3", "#39445c"  # positions of a canvas
HELD_OUT = "#d1495b"


def rgb(colour: Colour, strength: float = 1.0) -> tuple[float, float, float]:
    """A colour as matplotlib takes it, 0 to 1, mixed with white if `strength` is below 1."""
    return tuple((strength * c + (1 - strength) * p) / 255 for c, p in zip(colour, PAPER, strict=True))


def bare(axes: Axes | Iterable[Axes], sides: Iterable[str] = ("top", "right")) -> None:
    """Hide the frame lines of one or several axes: by default the top and right one, `sides="all"` for all four."""
    for ax in [axes] if isinstance(axes, Axes) else axes:
        ax.spines[list(ax.spines) if sides == "all" else list(sides)].set_visible(False)


def small_png(figure: Figure, colours: int = 64) -> bytes:
    """A figure as PNG with at most `colours` colours: a third of the size, with no visible difference."""
    canvas = figure.canvas if isinstance(figure.canvas, FigureCanvasAgg) else FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    data = io.BytesIO()
    picture.quantize(colours, dither=Image.Dither.NONE).save(data, "PNG", optimize=True)
    return data.getvalue()


def panels(size: tuple[float, float], rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    """A figure of `size` inches and its axes: one Axes, or an array of them; `options` are of `Figure.subplots`."""
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, **options)


def plain_numbers(*axes: Axis) -> None:
    """1, 10, 100 in place of powers of ten, for `ax.xaxis` or `ax.yaxis`."""
    for axis in axes:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def grouped_bars(
    ax: Axes, groups: Sequence[str], values: Mapping[str, Sequence[float]], label_size: int = 8
) -> None:
    """Bars side by side in groups: one colour and one legend entry for each kind, numbers on top.

    Args:
        groups: labels of the x axis.
        values: kind → one value for each group.
    """
    width = 0.8 / len(values)
    for number, (kind, heights) in enumerate(values.items()):
        x = np.arange(len(groups)) + (number - (len(values) - 1) / 2) * width
        bars = ax.bar(x, heights, 0.92 * width, color=f"C{number}", label=kind)
        ax.bar_label(bars, fmt="%.2f", fontsize=label_size)
    ax.set_xticks(range(len(groups)), groups)
