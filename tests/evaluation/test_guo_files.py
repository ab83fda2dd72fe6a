"""The files of Guo et al.'s evaluator: what is refused and how it is told, and where they are looked for."""

import dataclasses

import numpy as np
import pytest
import torch
from made_up import guo as made_up

from mmm.data import MotionFolder
from mmm.evaluation.guo import GuoEvaluator, GuoNetwork, load_guo
from mmm.evaluation.guo_files import FILES, find_files, what_is_missing


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
    with pytest.raises(
        ValueError, match=r"finest\.tar wants to call \w+\.open, .*nothing of it was run; do not trust"
    ) as caught:
        GuoEvaluator.load(place, *files[1:])
    assert "\n" not in str(caught.value)
    assert not marker.exists()
    torch.load(place, weights_only=False)  # the trap works: elsewhere it would have
    assert marker.exists()


def test_damaged_and_foreign_checkpoints_are_refused(tmp_path, files):
    place = tmp_path / "finest.tar"
    for content in (b"", b"nothing", files[0].read_bytes()[:-500]):
        place.write_bytes(content)
        with pytest.raises(ValueError, match=r"finest\.tar cannot be read as a torch file") as caught:
            GuoEvaluator.load(place, *files[1:])
        assert "\n" not in str(caught.value)
    for foreign in ([1, 2], {"net": {}, "text_encoder": {}}):
        torch.save(foreign, place)
        with pytest.raises(
            ValueError, match=r"finest\.tar has no .*motion_encoder: it is no checkpoint of Guo"
        ):
            GuoEvaluator.load(place, *files[1:])
    with pytest.raises(FileNotFoundError, match="there is no file"):
        GuoEvaluator.load(tmp_path / "none.tar", *files[1:])


def test_missing_unknown_and_misshapen_arrays_are_listed(tmp_path, files, states):
    state = {part: dict(arrays) for part, arrays in states.items()}
    del state["text_encoder"]["hidden"], state["motion_encoder"]["gru.bias_hh_l0"]
    state["movement_encoder"]["main.6.weight"] = torch.zeros(3)
    place = made_up.write_checkpoint(tmp_path / "finest.tar", state)
    names = r"lacks motion_encoder\.gru\.bias_hh_l0, text_encoder\.hidden, and .* movement_encoder\.main\.6\.weight;"
    with pytest.raises(ValueError, match=names):
        GuoEvaluator.load(place, *files[1:])
    state = {part: dict(arrays) for part, arrays in states.items()}
    state["text_encoder"]["hidden"] = torch.zeros(2, 1, 3)
    state["text_encoder"]["pos_emb.bias"] = "text"
    made_up.write_checkpoint(place, state)
    with pytest.raises(
        ValueError, match=r"text_encoder\.hidden \(2, 1, 3\) instead of \(2, 1, 16\)"
    ) as caught:
        GuoEvaluator.load(place, *files[1:])
    assert "text_encoder.pos_emb.bias" in str(caught.value)


def test_mean_std_and_vocabulary_must_fit(tmp_path, files):
    checkpoint, glove, meta = files
    with pytest.raises(ValueError, match=r"mean\.npy has shape \(251,\) .*expected \(263,\)"):
        GuoEvaluator.load(checkpoint, glove, made_up.write_meta(tmp_path / "kit", 251))
    other = made_up.write_meta(tmp_path / "zero")
    np.save(other / "std.npy", np.zeros(263))
    with pytest.raises(ValueError, match=r"std\.npy"):
        GuoEvaluator.load(checkpoint, glove, other)
    with pytest.raises(FileNotFoundError, match=r"no file .*mean\.npy, nor Mean\.npy"):
        GuoEvaluator.load(checkpoint, glove, tmp_path)
    with pytest.raises(ValueError, match="word vectors have width 9, the evaluator reads 24"):
        GuoEvaluator.load(checkpoint, made_up.write_glove(tmp_path / "narrow", width=9), meta)


def test_everything_is_found_in_unpacked_archives(toy, tmp_path):
    place = made_up.write_archives(tmp_path / "checkpoints")
    assert what_is_missing(toy, *find_files(toy, place)) == ""
    first = load_guo(toy, place)
    (place / "glove").rename(tmp_path / "glove")  # as the field has it
    (place / "t2m" / "Comp_v6_KLD01").rename(place / "t2m" / "Comp_v6_KLD005")
    assert load_guo(toy, place).name == first.name
    made_up.write_meta(place / "t2m" / "Comp_v6_KLD01" / "meta")
    assert load_guo(toy, place).name == first.name
    made_up.write_meta(place / "t2m" / "Comp_v6_KLD01" / "meta", seed=5)
    with pytest.raises(
        ValueError, match=r"Comp_v6_KLD005/meta and of .*Comp_v6_KLD01/meta differ|differ; remove"
    ):
        load_guo(toy, place)


def test_missing_files_are_listed_with_where_they_come_from(toy, tmp_path):
    text = what_is_missing(toy)
    wanted = ["finest.tar (of t2m.zip)", "Comp_v6_KLD01/meta/mean.npy (of t2m.zip)", "std.npy (of t2m.zip)"]
    wanted += [f"glove/{name} (of glove.zip)" for name in FILES]
    assert all(each in text for each in wanted) and "6 files are missing" in text
    assert "github.com/EricGuo5513/text-to-motion" in text and "\n" not in text
    kit = MotionFolder(toy.path, toy.info | {"name": "kit", "skeleton": "kit"}, toy.mean, toy.std, toy.splits)
    assert "kit/text_mot_match/model/finest.tar (of kit.zip)" in what_is_missing(kit)
    place = made_up.write_archives(tmp_path / "guo")
    (place / "glove" / FILES[1]).unlink()
    (place / "t2m" / "text_mot_match" / "model" / "finest.tar").unlink()
    with pytest.raises(
        FileNotFoundError, match="2 files are missing: .*finest.tar .*, .*our_vab_words.pkl"
    ) as found:
        load_guo(toy, place)
    assert str(place) in str(found.value) and "mean.npy" not in str(found.value)
    # one that is named counts, the others are asked for
    assert "our_vab_data" not in what_is_missing(toy, glove=made_up.write_glove(tmp_path / "words"))


def test_a_checkpoint_of_the_other_data_set_is_refused(toy, tmp_path):
    sizes = dataclasses.replace(made_up.SMALL, features=251)
    place = made_up.write_archives(tmp_path / "guo", sizes=sizes)
    with pytest.raises(
        ValueError, match=r"finest\.tar judges motions of 251 numbers a frame, but .* has 263"
    ):
        load_guo(toy, place)
