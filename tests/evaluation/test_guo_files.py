"""The files of the evaluator of Guo et al.: where they are looked for, how they are read, and what is refused."""

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up import guo as made_up

from mmm.data import Caption, MotionFolder
from mmm.data.captions import parse_captions
from mmm.evaluation.guo import GuoEvaluator, GuoNetwork, load_guo
from mmm.evaluation.guo_files import (
    CLASS_OF,
    CLASSES,
    FILES,
    LISTS,
    POSITIONS,
    WordVectorizer,
    find_files,
    read_plain_pickle,
    what_is_missing,
)


@pytest.fixture(scope="module")
def states():
    torch.manual_seed(0)
    return made_up.states(GuoNetwork(made_up.SMALL))


@pytest.fixture(scope="module")
def files(states, tmp_path_factory):
    """Checkpoint, vocabulary, Mean and Std."""
    place = tmp_path_factory.mktemp("guo")
    return (
        made_up.write_checkpoint(place / "finest.tar", states),
        made_up.write_glove(place / "glove"),
        made_up.write_meta(place / "meta"),
    )


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("inside", [False, True])
def test_a_checkpoint_that_wants_to_run_code_is_refused_before_it_does(tmp_path, files, legacy, inside):
    marker, place = tmp_path / "executed", tmp_path / "finest.tar"
    trap = made_up.Trap(marker)
    torch.save({"text_encoder": trap} if inside else trap, place, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ValueError, match=r"finest\.tar .*open"):
        GuoEvaluator.load(place, *files[1:])
    assert not marker.exists()
    torch.load(place, weights_only=False)  # the trap works: elsewhere it would have
    assert marker.exists()


@pytest.mark.parametrize("content", [b"", b"nothing", -500, [1, 2], {"net": {}, "text_encoder": {}}])
def test_damaged_and_foreign_checkpoints_are_refused(tmp_path, files, content):
    place = tmp_path / "finest.tar"
    if isinstance(content, bytes | int):  # a number: so many bytes of a good one are missing
        place.write_bytes(files[0].read_bytes()[:content] if isinstance(content, int) else content)
    else:
        torch.save(content, place)
    named = "finest" if isinstance(content, bytes | int) else "finest.* motion_encoder"
    with pytest.raises(ValueError, match=named) as error:
        GuoEvaluator.load(place, *files[1:])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("text_encoder.hidden", None, "text_encoder.hidden"),
        ("movement_encoder.main.0.weight", None, "movement_encoder.main.0.weight"),
        ("movement_encoder.main.6.weight", torch.zeros(3), "movement_encoder.main.6.weight"),
        ("text_encoder.hidden", torch.zeros(2, 1, 3), r"text_encoder\.hidden.*2, 1, 3.*2, 1, 16"),
        ("text_encoder.pos_emb.bias", "text", "finest.tar"),
    ],
)
def test_missing_unknown_and_misshapen_arrays_are_named(tmp_path, files, states, name, value, named):
    state = {part: dict(arrays) for part, arrays in states.items()}
    part, _, array = name.partition(".")
    state[part] = {key: old for key, old in state[part].items() if key != array}
    state[part] |= {} if value is None else {array: value}
    with pytest.raises(ValueError, match=named) as caught:
        GuoEvaluator.load(made_up.write_checkpoint(tmp_path / "finest.tar", state), *files[1:])
    assert "\n" not in str(caught.value)


def test_mean_std_and_vocabulary_must_fit(tmp_path, files):
    checkpoint, glove, meta = files
    with pytest.raises(ValueError, match=r"mean\.npy .*\(251,\) .*\(263,\)"):
        GuoEvaluator.load(checkpoint, glove, made_up.write_meta(tmp_path / "kit", 251))
    other = made_up.write_meta(tmp_path / "zero")
    np.save(other / "std.npy", np.zeros(263))
    with pytest.raises(ValueError, match=r"std\.npy"):
        GuoEvaluator.load(checkpoint, glove, other)
    with pytest.raises(ValueError, match="9, .* 24"):
        GuoEvaluator.load(checkpoint, made_up.write_glove(tmp_path / "narrow", width=9), meta)
    for missing, paths in {
        "none.tar": (tmp_path / "none.tar", glove, meta),
        "mean.npy": (checkpoint, glove, tmp_path),
        VECTORS: (checkpoint, tmp_path, meta),
    }.items():
        with pytest.raises(FileNotFoundError, match=missing):
            GuoEvaluator.load(*paths)


def test_all_files_are_recognised_in_unpacked_archives(toy, tmp_path):
    place = made_up.write_archives(tmp_path / "checkpoints")
    assert what_is_missing(toy, *find_files(toy, place)) == ""
    first = load_guo(toy, place)
    (place / "glove").rename(tmp_path / "glove")  # as the field has it
    (place / "t2m" / "Comp_v6_KLD01").rename(place / "t2m" / "Comp_v6_KLD005")
    assert load_guo(toy, place).name == first.name
    made_up.write_meta(place / "t2m" / "Comp_v6_KLD01" / "meta")
    assert load_guo(toy, place).name == first.name
    made_up.write_meta(place / "t2m" / "Comp_v6_KLD01" / "meta", seed=5)
    with pytest.raises(ValueError, match=r"Comp_v6_KLD005/meta .*Comp_v6_KLD01/meta"):
        load_guo(toy, place)


def test_missing_files_are_listed_with_where_they_come_from(toy, tmp_path):
    text = what_is_missing(toy, *find_files(toy, tmp_path))
    wanted = ["finest.tar (of t2m.zip)", "Comp_v6_KLD01/meta/mean.npy (of t2m.zip)", "std.npy (of t2m.zip)"]
    wanted += [f"glove/{name} (of glove.zip)" for name in FILES]
    assert all(each in text for each in wanted) and "6 files are missing" in text
    assert "github.com/EricGuo5513/text-to-motion" in text and "\n" not in text
    kit = MotionFolder(toy.path, toy.info | {"name": "kit", "skeleton": "kit"}, toy.mean, toy.std, toy.splits)
    missing = what_is_missing(kit, *find_files(kit, tmp_path))
    assert "kit/text_mot_match/model/finest.tar (of kit.zip)" in missing
    place = made_up.write_archives(tmp_path / "guo")
    (place / "glove" / FILES[1]).unlink()
    (place / "t2m" / "text_mot_match" / "model" / "finest.tar").unlink()
    with pytest.raises(FileNotFoundError, match="2 files .*finest.tar .*, .*our_vab_words.pkl") as error:
        load_guo(toy, place)
    assert str(place) in str(error.value) and "mean.npy" not in str(error.value)


def test_a_checkpoint_of_the_other_data_set_is_refused(toy, tmp_path):
    sizes = dataclasses.replace(made_up.SMALL, features=251)
    place = made_up.write_archives(tmp_path / "guo", sizes=sizes)
    with pytest.raises(ValueError, match=r"finest\.tar .*251 .*263"):
        load_guo(toy, place)


# --- The vocabulary --------------------------------------------------------------------------------------

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
    read = words([CAPTION])
    assert read.vectors.shape == (1, POSITIONS, 24) and read.classes.shape == (1, POSITIONS, 15)
    assert read.lengths.tolist() == [7]
    expected = ["sos", "a", "person", "walk", "slowly", "unk", "eos"] + 15 * ["unk"]
    assert torch.equal(read.vectors[0], torch.stack([vector(glove, word) for word in expected]))
    classes = [CLASSES[i] for i in read.classes[0].argmax(1).tolist()]
    # walk and slowly are in the lists; xylophone is no word of the vocabulary, whatever its tag
    assert classes == ["OTHER", "DET", "NOUN", "Act_VIP", "Desc_VIP"] + 17 * ["OTHER"]
    assert torch.equal(read.classes.sum(2), torch.ones(1, POSITIONS))


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
    read = words([caption])
    assert read.lengths.tolist() == [9]
    classes = [CLASSES[i] for i in read.classes[0, :9].argmax(1).tolist()]
    lists = ["Act_VIP", "Loc_VIP", "Body_VIP"]  # and/CCONJ is no word of this vocabulary, and no class either
    assert classes == ["OTHER", "DET", "NOUN", "VERB", "OTHER", *lists, "OTHER"]
    assert torch.equal(read.vectors[0, 7], vector(glove, "hand"))


def test_the_lists_are_disjoint_and_named_as_classes():
    assert sum(len(each.split()) for each in LISTS.values()) == len(CLASS_OF)
    assert tuple(LISTS) == CLASSES[9:14]
    # the checkpoint knows a class by its place alone
    order = "VERB NOUN DET ADP NUM AUX PRON ADJ ADV Loc_VIP Body_VIP Obj_VIP Act_VIP Desc_VIP OTHER"
    assert " ".join(CLASSES) == order


def test_long_captions_are_cut_to_twenty_words_and_captions_without_words_are_refused(glove, words):
    long = Caption("walk " * 30, (("walk", "VERB"),) * 20 + (("hand", "NOUN"),) * 10)
    read = words([long, CAPTION])
    assert read.lengths.tolist() == [22, 7]
    assert torch.equal(read.vectors[0, 20], vector(glove, "walk"))
    assert torch.equal(read.vectors[0, 21], vector(glove, "eos"))
    with pytest.raises(ValueError, match="'a person waves'"):
        words([CAPTION, Caption("a person waves")])


def test_the_hash_is_of_words_and_vectors(words, tmp_path):
    same = WordVectorizer.load(made_up.write_glove(tmp_path / "same"))
    other = WordVectorizer.load(made_up.write_glove(tmp_path / "other", seed=1))
    assert words.content_hash == same.content_hash != other.content_hash


WORDS, INDEX, VECTORS = "our_vab_words.pkl", "our_vab_idx.pkl", "our_vab_data.npy"


@pytest.mark.parametrize("name", [WORDS, INDEX])
@pytest.mark.parametrize(
    "wrap", [lambda trap: trap, lambda trap: ["walk", trap], lambda trap: {"walk": trap}]
)
def test_a_pickle_that_wants_to_run_code_is_refused_before_it_does(glove, tmp_path, name, wrap):
    marker = tmp_path / "executed"
    (glove / name).write_bytes(pickle.dumps(wrap(made_up.Trap(marker))))
    with pytest.raises(ValueError, match=rf"{name} .*\.open"):
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
def test_nothing_that_must_be_imported_is_read(tmp_path, value):
    (tmp_path / "other.pkl").write_bytes(pickle.dumps(value))
    with pytest.raises(ValueError, match=r"other\.pkl"):
        read_plain_pickle(tmp_path / "other.pkl")


@pytest.mark.parametrize(
    ("file", "content", "named"),
    [
        (INDEX, b"", INDEX),
        (INDEX, b"no pickle", INDEX),
        (INDEX, pickle.dumps(["unk"])[:-1], INDEX),
        (INDEX, ["unk"], INDEX),
        (INDEX, dict.fromkeys(made_up.VOCABULARY, 99), "11 of 11"),
        (INDEX, dict.fromkeys(made_up.VOCABULARY, -1), "11 of 11"),
        (WORDS, {"walk": 1}, WORDS),
        (WORDS, ["unk", 3], WORDS),
        (WORDS, ["walk"], "'unk'"),
        (WORDS, ["unk", "fly", "swim"], "2 of 3 .*'fly', 'swim'"),
        (VECTORS, np.zeros(3), VECTORS),
        (VECTORS, np.zeros((11, 2), int), VECTORS),
        (VECTORS, np.full((11, 2), np.nan), VECTORS),
        (VECTORS, np.array([made_up.Trap(Path("executed"))], dtype=object), VECTORS),
    ],
)
def test_files_that_are_damaged_or_do_not_fit_are_named(glove, monkeypatch, file, content, named):
    monkeypatch.chdir(glove)
    if isinstance(content, np.ndarray):
        np.save(glove / file, content, allow_pickle=True)
    else:
        (glove / file).write_bytes(content if isinstance(content, bytes) else pickle.dumps(content))
    with pytest.raises(ValueError, match=named):
        WordVectorizer.load(glove)
    assert not (glove / "executed").exists()
