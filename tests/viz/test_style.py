"""The plot style: frame lines, colours, small PNG files."""

import io

import pytest
from matplotlib.figure import Figure
from PIL import Image

from mmm.viz.style import LEFT, bare, drawable, panels, rgb, small_png, styled


@pytest.mark.parametrize(("options", "hidden"), [({}, {"top", "right"}), ({"sides": ["left"]}, {"left"})])
def test_bare_hides_frame_lines(options, hidden):
    axes = Figure().subplots(1, 2)
    bare(axes, **options)
    for ax in axes:
        assert {name for name, spine in ax.spines.items() if not spine.get_visible()} == hidden
    bare(axes[0], "all")
    assert not any(spine.get_visible() for spine in axes[0].spines.values())


def test_the_style_is_that_of_one_function():
    framed = [make((1, 1))[1].spines["top"].get_visible() for make in (styled(panels), panels)]
    assert framed == [False, True], "the style of other figures stays as it is"


def test_rgb_mixes_with_white():
    assert rgb(LEFT) == pytest.approx([c / 255 for c in LEFT]) and rgb(LEFT, 0.0) == (1, 1, 1)


def test_small_png_has_few_colours():
    figure = Figure(figsize=(2, 1), dpi=50)
    figure.subplots().imshow([[0, 1], [2, 3]])
    picture = Image.open(io.BytesIO(small_png(figure, 16)))
    assert picture.size == (100, 50) and len(picture.convert("RGB").getcolors()) <= 16


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("a person walks", "a person walks"),
        ("Ein Mensch läuft – schnell", "Ein Mensch läuft – schnell"),
        ("walks\u2029and\x85waves\r\nand\u2028bows", "walks and waves and bows"),
        ("一个 👋\u200b", "□□ □"),
    ],
)
def test_a_text_is_drawn_in_one_line_with_boxes_for_what_the_font_lacks(text, drawn):
    assert drawable(text) == drawn
