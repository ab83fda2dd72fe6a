"""A short campaign of bad input; `make fuzz MINUTES=30` is a long one, of the same inputs and more."""

import dataclasses
import json
import math
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz import inputs
from fuzz.child import judge
from fuzz.run import Campaign, can_mount
from mmm.data.captions import parse_captions
from mmm.storage import load_config

COUNTS = {
    "bvh": 60,
    "model": 16,
    "data": 10,
    "archive": 6,
    "checkpoint": 10,
    "prompt": 8,
    "kill": 2,
    "disk": 10,
}


@pytest.fixture(scope="module")
def campaign():
    campaign = Campaign()
    try:
        campaign.start()
        yield campaign
    finally:
        campaign.close()


@pytest.mark.parametrize("kind", COUNTS)
def test_bad_input_gets_a_sentence_or_is_read(kind, campaign):
    if kind == "disk" and not can_mount():
        pytest.skip("a small disk can be mounted by root only")
    commands = {campaign.try_one(kind, number)["argv"][0] for number in range(COUNTS[kind])}
    if kind == "disk":
        assert commands == {"generate", "edit", "import", "prepare", "train", "convert"}
    assert not [failure for failure in campaign.failures if failure["kind"] == kind], campaign.report()
    # a door that refuses everything, or nothing, would tell nothing
    assert campaign.counts[kind]["accepted"], campaign.report()
    assert campaign.counts[kind]["clear error"] or kind == "kill", campaign.report()


def test_kind_and_number_give_the_same_input(campaign, tmp_path):
    def made(kind, place):
        for part in ("in", "out"):
            (place / part).mkdir(parents=True)
        case = inputs.KINDS[kind](Random(f"{kind} 3"), campaign.scratch / "base", place)
        files = [
            path
            for path in sorted(place.rglob("*"))
            if path.suffix in (".bvh", ".json", ".npy", ".csv", ".txt")
        ]
        return case, {str(path.relative_to(place)): path.read_bytes() for path in files}

    for kind in inputs.KINDS:
        assert made(kind, tmp_path / f"{kind} 1") == made(kind, tmp_path / f"{kind} 2")


def test_faults_are_recognised(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    case, old = inputs.Case(["import"]), tmp_path / "none"
    trace = 'File "/x/mmm/errors.py", line 7, in y\n'
    for code, printed, said, error, found in (
        (None, "", "", trace + "KeyError: 3", "traceback"),
        (None, "", "", trace + "RuntimeError: can't allocate memory", "memory"),
        (2, "", "mmm: a.bvh holds nothing; export it again.", "", "clear error"),
        (2, "", "mmm: ", "", "nonsense"),
        (2, "", f"mmm: {'joint, ' * 900}", "", "nonsense"),
        (0, "the body is 8.1 m from ankle to head", "", "", "nonsense"),
        (0, "", "RuntimeWarning: overflow", "", "nonsense"),
        (0, "", "", "", "accepted"),
    ):
        assert judge(case, code, printed, said, error, old)[0] == found
    assert judge(dataclasses.replace(case, refuse=True), 0, "", "", "", old)[0] == "nonsense"
    np.save("out/a.npy", np.float32([1, np.nan]))
    assert judge(case, 0, "", "", "", old)[0] == "NaN"


@settings(deadline=None, derandomize=True)
@given(st.text() | st.lists(st.text(), min_size=4, max_size=4).map("#".join))
def test_any_line_is_a_caption_with_finite_times_or_refused(line):
    try:
        captions = parse_captions(line)
    except ValueError:
        return
    assert all(math.isfinite(caption.start) and math.isfinite(caption.end) for caption in captions)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.dictionaries(st.sampled_from(["max_tokens", "text_dim", "dropout", "x"]), VALUES) | VALUES)
def test_any_json_is_a_config_or_refused(tmp_path_factory, values):
    folder = tmp_path_factory.mktemp("config")
    (folder / "config.json").write_text(json.dumps(values))
    try:
        config = load_config(inputs.LengthConfig, folder)
    except ValueError as error:
        assert "config.json" in str(error)
    else:
        assert config == inputs.LengthConfig(**values) and config.text_dim > 0
