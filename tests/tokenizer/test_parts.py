"""Body parts: each has its own features, so that editing one does not move the other."""

import dataclasses

import numpy as np
import pytest
import torch
from made_up.tokenizer import SMALL, noise, random_features, random_tokenizer

from mmm.motion import features_to_joints
from mmm.tokenizer import PRESETS, Tokenizer
from mmm.tokenizer import parts as body


@pytest.fixture(scope="module")
def two_parts() -> Tokenizer:
    return random_tokenizer(dataclasses.replace(SMALL, parts=2))


@pytest.fixture(scope="module")
def decoded(golden):
    """Features decoded from tokens, from the same with another upper part, and with another lower part."""
    arrays = golden("features_free")
    features = torch.from_numpy(np.concatenate([arrays[f"{i}/features"] for i in range(3)])).float()
    torch.manual_seed(0)
    config = dataclasses.replace(PRESETS["tiny"], parts=2)
    tokenizer = Tokenizer(config, features.mean(0), features.std(0).clamp(min=0.01)).eval()
    heights = body.relative_height_statistics(features)
    tokenizer.set_normalisation(tokenizer.mean, tokenizer.std, (heights[0], heights[1].clamp(min=0.01)))
    for quantizer in tokenizer.quantizers:
        quantizer.set_codebook(50 * torch.randn(128, 8))  # untrained decoders move little
    tokens = torch.randint(128, (2, 2, 12))
    upper, lower = tokens.clone(), tokens.clone()
    upper[:, 0], lower[:, 1] = (tokens[:, 0] + 17) % 128, (tokens[:, 1] + 17) % 128
    return [tokenizer.decode(some) for some in (tokens, upper, lower)]


def test_lower_joints_do_not_move_in_the_world_when_the_upper_tokens_change(decoded):
    before, after, _ = decoded
    assert torch.equal(before[..., body.LOWER], after[..., body.LOWER])
    assert (before != after)[..., body.UPPER].double().mean() > 0.9
    old, new = (features_to_joints(features.numpy()) for features in (before, after))
    lower = np.isin(np.arange(22), body.LOWER_JOINTS)
    assert np.array_equal(old[:, :, lower], new[:, :, lower])  # pelvis and path among them
    assert np.abs(old - new)[:, :, ~lower].max() > 0.01


def test_the_upper_body_keeps_its_pose_and_moves_with_the_root_when_the_lower_tokens_change(decoded):
    before, _, after = decoded
    own = [index for index in body.UPPER if index not in body.UPPER_HEIGHTS]
    assert torch.equal(before[..., own], after[..., own])
    change = after - before
    rise = change[..., body.ROOT_HEIGHT, None].expand(2, 48, 13)
    assert rise.abs().max() > 0.01
    torch.testing.assert_close(change[..., body.UPPER_HEIGHTS], rise, atol=1e-5, rtol=0)


def test_upper_tokens_do_not_depend_on_the_legs(two_parts):
    features = random_features(two_parts, 2, 32)
    legs = features.clone()
    legs[..., body.LOWER] += noise(2, 32, 107, seed=9)
    # the whole body is lifted: relative heights stay
    legs[..., body.ROOT_HEIGHT] = features[..., body.ROOT_HEIGHT] + 0.3
    legs[..., body.UPPER_HEIGHTS] += 0.3
    before, after = two_parts.encode(features), two_parts.encode(legs)
    assert torch.equal(before[:, 0], after[:, 0])
    assert (before[:, 1] != after[:, 1]).any()


def test_parts_cover_every_feature_once():
    assert sorted(body.UPPER + body.LOWER) == list(range(263))
    assert (len(body.UPPER), len(body.LOWER), len(body.UPPER_HEIGHTS)) == (156, 107, 13)
    assert body.UPPER_HEIGHTS[0] == 4 + 3 * 2 + 1  # y of joint 3, the first of the upper body


def test_split_and_merge_are_inverse(two_parts):
    m = two_parts
    x, statistics = noise(2, 8, 263), (m.mean, m.scale, m.upper_mean, m.upper_std)
    upper, lower = body.split(x, *statistics)
    torch.testing.assert_close(body.merge(upper, lower, *statistics), x, atol=1e-5, rtol=1e-5)


def test_statistics_of_heights_above_the_root():
    features = torch.zeros(3, 263)
    features[:, body.ROOT_HEIGHT] = torch.tensor([1.0, 2.0, 3.0])
    features[:, body.UPPER_HEIGHTS] = torch.tensor([1.5, 2.5, 3.8])[:, None] + torch.arange(13.0)
    mean, std = body.relative_height_statistics(features)
    torch.testing.assert_close(mean, 0.6 + torch.arange(13.0))
    torch.testing.assert_close(std, torch.full((13,), 0.03**0.5))
