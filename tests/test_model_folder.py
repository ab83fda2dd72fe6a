"""A model folder: found in a run, read, refused where something is missing or damaged."""

import json

import pytest

from mmm.model import find_model, read_info, short_card, write_info

INFO = {"text_encoder": "minilm", "fps": 20.0, "skeleton": "humanml3d", "data": "toy"}


def make(folder):
    for part in ("tokenizer", "transformer"):
        (folder / part).mkdir(parents=True)
    write_info(folder, INFO, short_card(INFO, {"total": 1234567}))
    return folder


def test_a_model_is_found_in_its_folder_and_in_a_run(tmp_path):
    folder = make(tmp_path / "run" / "model")
    assert find_model(folder) == find_model(str(tmp_path / "run")) == folder
    assert read_info(folder) == {"format": "mmm-1", **INFO}
    card = (folder / "README.md").read_text()
    assert "- data: toy" in card and "total 1,234,567" in card


@pytest.mark.parametrize("missing", ["config.json", "tokenizer", "transformer"])
def test_what_is_missing_is_named(tmp_path, missing):
    folder = make(tmp_path / "m")
    (folder / missing).rename(tmp_path / "away")
    with pytest.raises(FileNotFoundError, match=f"there is no .*{missing}; give a model folder"):
        find_model(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "config.json is not valid JSON"),
        (json.dumps({"fps": 20}), "lacks text_encoder, skeleton"),
        (json.dumps(INFO | {"skeleton": "horse"}), "horse"),
    ],
)
def test_a_damaged_description_is_refused(tmp_path, text, message):
    folder = make(tmp_path / "m")
    (folder / "config.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_info(folder)
