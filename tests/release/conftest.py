"""Checkpoints in the release's format with random weights, and a tiny CLIP."""

import dataclasses

import pytest
from made_up import clip as made_up_clip
from made_up import release as made_up


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return str(made_up_clip.write_clip(tmp_path_factory.mktemp("clip")))


@pytest.fixture(scope="module")
def whole():
    return made_up.make_parts()


@pytest.fixture(scope="module")
def upper():
    return made_up.make_parts(dataclasses.replace(made_up.TINY_TOKENIZER, parts=2), seed=1)


@pytest.fixture
def files(whole, tmp_path):
    return made_up.write_release(tmp_path / "release", *whole)
