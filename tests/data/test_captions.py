import pytest

from mmm.data.captions import Caption, format_caption, mirror_caption, mirror_text, parse_captions, untagged

LINE = "a man waves his left hand.#a/DET man/NOUN wave/VERB his/DET left/ADJ hand/NOUN#0.0#0.0"


def test_a_line_is_read_and_written_back():
    (caption,) = parse_captions(LINE)
    assert caption.text == "a man waves his left hand."
    assert caption.words[2] == ("wave", "VERB")
    assert parse_captions(format_caption(caption)) == [caption]


def test_every_word_of_an_untagged_caption_can_be_read_by_others():
    caption = untagged("A person's walking left/right, über-fast 2 times.")
    _, tokens, *_ = format_caption(caption).split("#")
    words = [token.split("/") for token in tokens.split(" ")]  # as Guo et al.'s and T2M-GPT's loaders do
    expected = ["a", "person's", "walking", "left", "right", "über", "fast", "2", "times"]
    assert words == [[word, "OTHER"] for word in expected]
    assert parse_captions(format_caption(caption)) == [caption]


def test_times_and_nan():
    first, second = parse_captions("walks#walk/VERB#1.5#3.0\n\nruns#run/VERB#nan#nan\n")
    assert (first.start, first.end, second.start, second.end) == (1.5, 3.0, 0.0, 0.0)


@pytest.mark.parametrize(
    "line",
    [
        "only text", "a#b/NOUN#0", "a#b/NOUN#zero#0.0", " #a/DET#0.0#0.0", "a#b/NOUN#0.0#inf", "a#b/NOUN#-1e999#0",
        "a#b/NOUN#0#1e308",
    ],
)  # fmt: skip
def test_malformed_lines_are_named(line):
    with pytest.raises(ValueError, match="texts/1.txt, line 2: .*; correct it.$"):
        parse_captions(LINE + "\n" + line, "texts/1.txt", "correct it")


def test_mirror_swaps_sides_and_only_whole_words():
    assert mirror_text("Left foot, then RIGHT; clockwise") == "Right foot, then LEFT; counterclockwise"
    assert mirror_text("a bright day has leftovers") == "a bright day has leftovers"
    assert mirror_text("turns counterclockwise") == "turns clockwise"
    caption = parse_captions(LINE)[0]
    assert mirror_caption(caption).text == "a man waves his right hand."
    assert ("right", "ADJ") in mirror_caption(caption).words
    assert mirror_caption(mirror_caption(caption)) == caption


@pytest.mark.parametrize(
    ("start", "end", "frames"),
    [
        (0.0, 0.0, (0, 50)),
        (0.96, 1.99, (19, 39)),  # both ends floored
        (-1.0, 9.0, (0, 50)),
        (4.0, 9.0, (50, 50)),
        (2.0, 1.0, (40, 40)),
        (1e300, 1e308, (50, 50)),
    ],
)
def test_the_part_of_a_clip_that_a_caption_describes(start, end, frames):
    assert Caption("walks", (), start, end).part(20.0, 50) == frames
    assert Caption("walks", (), start, end).is_part == (frames != (0, 50) or start < 0)
