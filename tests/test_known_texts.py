"""A text far from everything learned is named as such, with the nearest known caption; nothing else changes."""

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mmm import MMM
from mmm.cli import main
from mmm.known_texts import FILE, FORMAT, KnownTexts, furthest_points, known_texts
from mmm.text import TextEmbedding

STRANGE = "the stock market fell by five percent"


class Points:
    """A text source whose sentences are points on a circle: caption "30" lies at 30 degrees."""

    name, width = "points", 2

    def lookup(self, captions):
        angles = torch.tensor([float(caption) for caption in captions]).deg2rad()
        sentence = 3 * torch.stack((angles.cos(), angles.sin()), -1)  # of any length, like CLIP's
        return TextEmbedding(sentence[:, None], torch.ones(len(captions), 1, dtype=torch.bool), sentence)


def degrees(first, last, step=1):
    return [str(angle) for angle in range(first, last, step)]


def test_each_next_caption_is_the_furthest_from_those_chosen():
    vectors = Points().lookup(degrees(0, 91)).sentence / 3
    chosen = furthest_points(vectors, 5)
    assert chosen[0] == 45 and set(chosen[1:3]) == {0, 90} and set(chosen[3:5]) == {22, 67}
    assert len(furthest_points(vectors, 500)) <= 91
    assert furthest_points(vectors[[3, 3, 50, 50]], 4) in ([0, 2], [2, 0]), "no caption twice"


def test_nearest_caption_and_cosine():
    known = known_texts(degrees(0, 91, 10), degrees(0, 91), Points())
    assert sorted(known.captions, key=int) == degrees(0, 91, 10)
    (near, cosine), (far, away) = known.nearest(Points().lookup(["32", "150"]).sentence)
    assert near == "30" and cosine == pytest.approx(np.cos(np.radians(2)), abs=0.01)
    assert far == "90" and away == pytest.approx(np.cos(np.radians(60)), abs=0.01)


def test_a_text_is_far_if_it_is_further_than_val_from_the_first_few():
    # 91 captions: the 9 first chosen ones are at most 6 degrees from any other; 2 % of val lie 40 degrees outside
    captions, val = degrees(0, 91), [*degrees(0, 91), "130"]
    known = known_texts(captions, val, Points())
    assert np.cos(np.radians(20)) < known.threshold < np.cos(np.radians(4))
    notes = known.notes(["45", "130"], Points().lookup(["45", "130"]).sentence)
    assert notes[0] == "" and '"130"' in notes[1] and '"90"' in notes[1] and "similarity 0.77" in notes[1]
    assert known_texts(captions, [], Points()).threshold >= known.threshold, (
        "without val: the captions themselves"
    )
    few = known_texts(captions, val, Points(), most=4)
    assert len(few.captions) == 4 and few.threshold < known.threshold


def test_a_file_comes_back_and_a_damaged_one_is_refused(tmp_path):
    known = known_texts(degrees(0, 91, 3), [], Points())
    known.save(tmp_path / FILE)
    again = KnownTexts.load(tmp_path / FILE)
    assert again.captions == known.captions and torch.equal(again.vectors, known.vectors)
    assert again.threshold == known.threshold
    content = (tmp_path / FILE).read_bytes()
    for _ in range(20):  # metadata of several entries would be written in any order
        known.save(tmp_path / "again")
        assert (tmp_path / "again").read_bytes() == content
    for damaged in (content[:-5], content.replace(b"mmm-known-1", b"mmm-known-9"), b""):
        (tmp_path / FILE).write_bytes(damaged)
        with pytest.raises(ValueError, match=FILE):
            KnownTexts.load(tmp_path / FILE)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        KnownTexts.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("wakls forwrd wavin", "walks forward waving"),
        ("A persn runing!", "A person running!"),
        ("a person walks forward", "a person walks forward"),
        ("kneels, knackered", "kneels, knackered"),  # English words that no caption has
        ("does a burpee", "does a burpee"),  # in no dictionary, and near no word of the captions
        ("bends teh knees", "bends teh knees"),  # too short to be sure
        ("Qwalks", "Qwalks"),  # the first letter is rarely wrong
        ("走路 wakls", "走路 walks"),
        ("doesn't, wasn’t, hadn't", "doesn't, wasn’t, hadn't"),  # "wasn" is one letter away from "wash"
        ("un señor, persón", "un señor, persón"),
    ],
)
def test_misspelled_words_are_read_as_words_of_the_captions(typed, read):
    captions = [
        "a person walks forward waving",
        "running",
        "raises the knees",
        "both",
        "boot",
        "both",
        "wash",
        "hand",
    ]
    known = KnownTexts(captions, torch.ones(len(captions), 2, dtype=torch.int8), 0.0)
    assert known.corrected(typed) == read
    assert known.corrected("boht") == "both", "the more frequent one"


def test_words_are_stored_and_older_files_have_none(tmp_path):
    known = KnownTexts(["one caption"], torch.ones(1, 2, dtype=torch.int8), 0.5, ["many", "more"])
    known.save(tmp_path / FILE)
    assert KnownTexts.load(tmp_path / FILE).words == ["many", "more"]
    older = load_file(tmp_path / FILE)
    older.pop("words")
    save_file(older, tmp_path / FILE, {"format": FORMAT})
    assert KnownTexts.load(tmp_path / FILE).words == ["caption", "one"]


# ---------------------------------------------------------------------- in the model


def test_a_misspelled_text_gives_the_same_motion_and_a_note(model):
    typed = "a persn walks forwrad"
    assert model.estimate_length(typed) == model.estimate_length("a person walks forward")
    right, wrong = model.generate("a person walks forward", 60), model.generate(typed, 60)
    assert np.array_equal(right.features, wrong.features) and wrong.text == typed
    assert wrong.note == f'"{typed}" was read as "a person walks forward".'
    assert model.inbetween(right, (20, 40), typed).note == wrong.note


def test_training_writes_what_the_model_knows(model, toy, tmp_path):
    expected = {c.text for captions in toy.pack("train").captions for c in captions}
    assert expected <= set(model.known.captions)
    caption, cosine = model.nearest_caption("a person walks forward")
    assert caption == "a person walks forward" and cosine > 0.999
    model.save_pretrained(tmp_path / "m")
    assert MMM.from_pretrained(tmp_path / "m").nearest_caption("somebody walks") == model.nearest_caption(
        "somebody walks"
    )


def test_a_far_text_gets_a_note_and_the_same_motion(model, tmp_path):
    near, far = model.generate(["a person walks forward", STRANGE], 60, seed=3)
    assert near.note == "" and STRANGE in far.note and far.note.endswith(".") and "\n" not in far.note
    assert model.nearest_caption(STRANGE)[0] in far.note
    model.save_pretrained(tmp_path / "m", torch.float32)
    (tmp_path / "m" / FILE).unlink()
    without = MMM.from_pretrained(tmp_path / "m")
    same = without.generate([STRANGE], 60, seed=4)[0]
    assert same.note == "" and np.array_equal(same.features, far.features)
    with pytest.raises(ValueError, match=FILE):
        without.nearest_caption("bows")


def test_edits_and_long_sequences_have_notes_per_text(model):
    motion = model.generate("a person walks forward", 80)
    assert STRANGE in model.inbetween(motion, (20, 40), STRANGE).note
    assert model.inbetween(motion, (20, 40), "a person walks forward").note == ""
    assert model.inbetween(motion, (20, 40)).note == ""
    long = model.generate_long(["a person walks forward", STRANGE], [60, 60])
    assert STRANGE in long.note and "a person walks forward, then" not in long.note


def test_known_texts_of_another_encoder_are_refused(model):
    other = dataclasses.replace(model.known, vectors=model.known.vectors[:, :7])
    with pytest.raises(ValueError, match=FILE):
        MMM(model.tokenizer, model.transformer, None, model.info, known=other)


def test_the_command_line_says_it_once(trained, tmp_path, capsys):
    outs = ("--out", str(tmp_path / "a.npy"), "--out", str(tmp_path / "a.bvh"))
    with pytest.raises(SystemExit) as stop:
        main(
            [
                "generate",
                STRANGE,
                "a person walks forward",
                "--length",
                "40",
                "--model",
                str(trained / "model_run"),
                *outs,
            ]
        )
    assert not stop.value.code
    assert capsys.readouterr().err.count(STRANGE) == 1


def test_the_shipped_model_says_what_it_does_not_know():
    shipped = MMM.from_pretrained()
    texts = [
        "plays the violin",
        "the stock market fell by five percent",
        "someone walks forward",
        "a man waves with both hands",
    ]
    notes = shipped.known.notes(texts, shipped.embed(texts).sentence)
    assert [bool(note) for note in notes] == [True, True, False, False]
