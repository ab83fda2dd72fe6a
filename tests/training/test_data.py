"""What training makes of a data set: tokens, weights, lengths, held-out clips."""

import numpy as np
import pytest
import torch

from mmm.data import Clip, write_folder
from mmm.motion import features_to_joints
from mmm.pretrained import load_tokenizer
from mmm.recipes import get_recipe
from mmm.training.data import balanced_weights, has_mirrored, held_out_clips, length_sets, token_sets


def mirrored_folder(toy, out):
    """The toy set with every clip of train a second time as "M" + id, as HumanML3D has it."""
    ids = toy.ids("train")
    clips = [
        Clip(name, x := toy.features(clip), features_to_joints(x), toy.captions(clip))
        for clip in toy.ids("all")
        for name in ([clip, f"M{clip}"] if clip in ids else [clip])
    ]
    splits = {
        "train": ids + [f"M{clip}" for clip in ids],
        **{name: toy.ids(name) for name in ("val", "test")},
    }
    return write_folder(out, clips, splits, {**toy.info, "name": "twice"})


def test_data_with_mirrored_clips_are_not_mirrored_again(toy, trained, tmp_path, monkeypatch):
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    twice, tokenizer = mirrored_folder(toy, tmp_path / "twice"), load_tokenizer(trained / "tokenizer")
    assert has_mirrored(twice) and not has_mirrored(toy)
    once = len(toy.ids("train"))
    for sets in (token_sets(twice, tokenizer), length_sets(twice, 4, 49)):
        assert len(sets[0]) == 2 * once and not any(name.startswith("MM") for name in sets[0].ids)


def test_phases_and_balance_follow_the_recipe(toy, trained, tmp_path, monkeypatch):
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    tokenizer = load_tokenizer(trained / "tokenizer")
    ours, val = token_sets(toy, tokenizer)
    release, _ = token_sets(toy, tokenizer, recipe=get_recipe("release"))
    assert len(ours.lengths) == 4 * len(ours) and len(release.lengths) == len(release) == len(ours)
    assert torch.equal(ours.tokens[ours.starts[:-1]], release.tokens)  # phase 0 is the clip as it is
    assert len(set(release.weights)) == 1 and len(set(ours.weights)) > 1
    assert len(val.lengths) == len(toy.ids("val"))


def test_lengths_without_tokens_are_those_of_the_tokens(toy, trained, tmp_path, monkeypatch):
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    tokenizer = load_tokenizer(trained / "tokenizer")
    recipe = get_recipe("ours", all_phases=False)
    encoded, bare = token_sets(toy, tokenizer, recipe=recipe), length_sets(toy, 4, 49)
    for one, other in zip(encoded, bare, strict=True):
        assert torch.equal(one.lengths, other.lengths) and one.ids == other.ids
        assert one.captions == other.captions
    # Every clip counts alike, whatever the transformer is shown more often.
    assert set(bare[0].weights) == {1.0}
    assert int(length_sets(toy, 4, 10)[0].lengths.max()) == 10  # longer clips are cut, as their tokens are


def test_whole_takes_are_held_out_and_always_the_same_ones():
    ids = [f"{i:06d}" for i in range(100)]
    everything = ids + [f"M{name}" for name in ids] + [f"{name}@1" for name in ids]
    chosen = held_out_clips(everything, 0.1)
    takes = {
        name.removeprefix("M").split("@")[0] for name, out in zip(everything, chosen, strict=True) if out
    }
    assert len(takes) == 10 and chosen.sum() == 30, "a mirror image or a piece of a take stayed in training"
    assert takes != set(ids[:10]), "in the order of their names"
    assert (held_out_clips(everything[::-1], 0.1)[::-1] == chosen).all()
    assert not held_out_clips(ids, 0).any() and held_out_clips(ids, 0.001).sum() == 1
    for ratio in (1.0, -0.1, 0.999):
        with pytest.raises(ValueError, match=f"held_out (is )?{ratio}"):
            held_out_clips(ids, ratio)


def test_weights_follow_action_classes(toy):
    packed = toy.pack("train")
    classes = [toy.program(clip)["content"] for clip in packed.ids]
    counts = {name: classes.count(name) for name in classes}
    assert len(set(counts.values())) == len(counts) > 1
    for power, expected in ((0.0, lambda n: 1 / len(counts)), (1.0, lambda n: n / len(classes))):
        weights = balanced_weights(toy, packed, np.ones(len(packed)), power)
        for name, count in counts.items():
            ratio = sum(w for w, own in zip(weights, classes, strict=True) if own == name) / weights.sum()
            assert ratio == pytest.approx(expected(count))
