import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up import guo as made_up

from mmm.data import Caption
from mmm.data.captions import parse_captions
from mmm.evaluation.guo_files import (
    CLASS_OF,
    CLASSES,
    LISTS,
    PLACES,
    WordVectorizer,
    framed,
    read_plain_pickle,
)

CAPTION = Caption(
    "a person walks slowly; xylophone",
    (("a", "DET"), ("person", "NOUN"), ("walk", "VERB"), ("slowly", "ADV"), ("xylophone", "NOUN")),
)


@pytest.fixture
def glove(tmp_path):
    return made_up.write_glove(tmp_path / "glove")


@pytest.fixture
def words(glove):
    return WordVectorizer.load(glove)


def vector(glove, word):
    """A word's vector, straight from the files."""
    index = pickle.loads((glove / "our_vab_idx.pkl").read_bytes())
    return torch.from_numpy(np.load(glove / "our_vab_data.npy")[index[word]]).float()


def test_a_captions_places_vectors_and_classes(glove, words):
    found = words([CAPTION])
    assert found.vectors.shape == (1, PLACES, 24) and found.classes.shape == (1, PLACES, 15)
    assert found.lengths.tolist() == [7]
    read = ["sos", "a", "person", "walk", "slowly", "unk", "eos"] + 15 * ["unk"]
    assert torch.equal(found.vectors[0], torch.stack([vector(glove, word) for word in read]))
    classes = [CLASSES[i] for i in found.classes[0].argmax(1).tolist()]
    # walk and slowly are in the lists; xylophone is no word of the vocabulary, whatever its tag
    assert classes == ["OTHER", "DET", "NOUN", "Act_VIP", "Desc_VIP"] + 17 * ["OTHER"]
    assert torch.equal(found.classes.sum(2), torch.ones(1, PLACES))


@pytest.mark.parametrize(
    ("word", "tag", "expected"),
    [
        ("left", "ADJ", "Loc_VIP"),
        ("hand", "NOUN", "Body_VIP"),
        ("walk", "NOUN", "Act_VIP"),
        ("wave", "VERB", "VERB"),
        ("person", "PROPN", "OTHER"),  # a tag that is none of the classes, as are those of "and" and "while"
        ("a", "CCONJ", "OTHER"),
        ("a", "SCONJ", "OTHER"),
        ("person", "", "OTHER"),
        ("unk", "NOUN", "NOUN"),
        ("chair", "NOUN", "OTHER"),  # in the lists, but not in this vocabulary
    ],
)
def test_classes(words, word, tag, expected):
    assert words.word_class(word, tag) == expected


def test_a_line_of_humanml3d_with_times_is_read_from_text_to_classes(glove, words):
    """A caption with start and end tells a piece of its clip; its words are read like any other's."""
    line = (
        "a person waves, walks.#a/DET person/NOUN wave/VERB and/CCONJ walk/VERB left/ADJ hand/NOUN#1.5#4.0\n"
    )
    (caption,) = parse_captions(line)
    assert (caption.text, caption.start, caption.end) == ("a person waves, walks.", 1.5, 4.0)
    found = words([caption])
    assert found.lengths.tolist() == [9]
    classes = [CLASSES[i] for i in found.classes[0, :9].argmax(1).tolist()]
    lists = ["Act_VIP", "Loc_VIP", "Body_VIP"]  # and/CCONJ is no word of this vocabulary, and no class either
    assert classes == ["OTHER", "DET", "NOUN", "VERB", "OTHER", *lists, "OTHER"]
    assert torch.equal(found.vectors[0, 7], vector(glove, "hand"))


def test_the_lists_are_disjoint_and_named_as_classes():
    assert sum(len(each.split()) for each in LISTS.values()) == len(CLASS_OF)
    assert tuple(LISTS) == CLASSES[9:14]
    # the checkpoint knows a class by its place alone
    order = "VERB NOUN DET ADP NUM AUX PRON ADJ ADV Loc_VIP Body_VIP Obj_VIP Act_VIP Desc_VIP OTHER"
    assert " ".join(CLASSES) == order


def test_long_captions_are_cut_to_twenty_words_and_keep_their_end(glove, words):
    long = Caption("walk " * 30, (("walk", "VERB"),) * 20 + (("hand", "NOUN"),) * 10)
    assert framed(long)[0] == ("sos", "OTHER") and framed(long)[-1] == ("eos", "OTHER")
    found = words([long, CAPTION])
    assert found.lengths.tolist() == [22, 7]
    assert torch.equal(found.vectors[0, 20], vector(glove, "walk"))
    assert torch.equal(found.vectors[0, 21], vector(glove, "eos"))


def test_captions_without_parts_of_speech_are_refused(words):
    with pytest.raises(ValueError, match=r"'a person waves' has no words with parts of speech.*word/POS"):
        words([CAPTION, Caption("a person waves")])


def test_the_hash_is_of_words_and_vectors(words, tmp_path):
    same = WordVectorizer.load(made_up.write_glove(tmp_path / "same"))
    other = WordVectorizer.load(made_up.write_glove(tmp_path / "other", seed=1))
    assert words.content_hash == same.content_hash != other.content_hash


@pytest.mark.parametrize("name", ["our_vab_words.pkl", "our_vab_idx.pkl"])
@pytest.mark.parametrize(
    "wrap", [lambda trap: trap, lambda trap: ["walk", trap], lambda trap: {"walk": trap}]
)
def test_a_pickle_that_wants_to_run_code_is_refused_before_it_does(glove, tmp_path, name, wrap):
    marker = tmp_path / "executed"
    (glove / name).write_bytes(pickle.dumps(wrap(made_up.Trap(marker))))
    with pytest.raises(ValueError, match=rf"{name} asks for \w+\.open to be imported.*do not trust"):
        WordVectorizer.load(glove)
    assert not marker.exists()
    pickle.loads((glove / name).read_bytes())  # the trap works: elsewhere it would have
    assert marker.exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_pickles_of_every_protocol_are_read(tmp_path, protocol):
    value = {"walk": 3, "é": [1, 2.5, "x", None, True], "big": 2**80}
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(value, protocol))
    assert read_plain_pickle(tmp_path / "plain.pkl") == value


@pytest.mark.parametrize("value", [np.float64(1), np.arange(3), set, Path("x")])
def test_nothing_that_has_to_be_imported_is_read(tmp_path, value):
    (tmp_path / "other.pkl").write_bytes(pickle.dumps(value))
    with pytest.raises(ValueError, match="to be imported"):
        read_plain_pickle(tmp_path / "other.pkl")


def test_damaged_and_missing_files_are_named(glove):
    for content in (b"", b"no pickle", (glove / "our_vab_idx.pkl").read_bytes()[:-9]):
        (glove / "our_vab_idx.pkl").write_bytes(content)
        with pytest.raises(ValueError, match=r"our_vab_idx\.pkl is damaged or no pickle"):
            WordVectorizer.load(glove)
    (glove / "our_vab_idx.pkl").unlink()
    (glove / "our_vab_data.npy").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"lacks our_vab_data\.npy, our_vab_idx\.pkl; unpack glove\.zip"
    ):
        WordVectorizer.load(glove)


def test_pickled_arrays_are_refused(glove, tmp_path):
    trap = np.array([made_up.Trap(tmp_path / "executed")], dtype=object)
    np.save(glove / "our_vab_data.npy", trap, allow_pickle=True)
    with pytest.raises(ValueError, match=r"our_vab_data\.npy cannot be read"):
        WordVectorizer.load(glove)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("file", "value", "message"),
    [
        ("our_vab_words.pkl", {"walk": 1}, "holds no list of words"),
        ("our_vab_words.pkl", ["unk", 3], "holds no list of words"),
        ("our_vab_words.pkl", ["walk"], "does not know 'unk'"),
        ("our_vab_words.pkl", ["unk", "fly", "swim"], "2 of 3 words have no row.*'fly', 'swim'"),
        ("our_vab_idx.pkl", ["unk"], "holds no word → row"),
        ("our_vab_idx.pkl", dict.fromkeys(made_up.VOCABULARY, 99), "11 of 11 words have no row"),
        ("our_vab_idx.pkl", dict.fromkeys(made_up.VOCABULARY, -1), "11 of 11 words have no row"),
    ],
)
def test_files_that_do_not_fit_each_other(glove, file, value, message):
    (glove / file).write_bytes(pickle.dumps(value))
    with pytest.raises(ValueError, match=message):
        WordVectorizer.load(glove)


def test_vectors_must_be_a_table_of_numbers(glove):
    for bad in (np.zeros(3), np.zeros((11, 2), int), np.full((11, 2), np.nan)):
        np.save(glove / "our_vab_data.npy", bad)
        with pytest.raises(ValueError, match=r"expected \(words, width\) finite numbers"):
            WordVectorizer.load(glove)
