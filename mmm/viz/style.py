"""Plot style of the whole project: the palette, axes without a frame, small PNG files."""

from __future__ import annotations

import io
from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
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
