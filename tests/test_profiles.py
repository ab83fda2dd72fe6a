"""Profiles: settings by chapter, strict about names and kinds."""

import io
import json

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from mmm.course import PREPARED
from mmm.profiles import (
    NOTEBOOKS,
    keep_figure,
    load_profile,
    parse_assignments,
    project_path,
    read_profile,
    record_metrics,
    route_overrides,
)

CONTENT = {"settings": {"all": {"preset": "tiny"}, "02": {"steps": 5, "lr": 2e-4}, "03": {"steps": 9}}}


def profile(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return path


def test_settings_for_all_then_the_chapters_then_overrides(tmp_path):
    path = profile(tmp_path, 'settings:\n  all: {preset: tiny, steps: 1}\n  "02": {steps: 5, lr: 2e-4}\n')
    assert load_profile(path, "01") == {"preset": "tiny", "steps": 1}
    assert load_profile(path, "02", {"lr": 1}) == {"preset": "tiny", "steps": 5, "lr": 1}
    assert load_profile("mine", "02", folder=tmp_path)["lr"] == 2e-4  # YAML 1.1 reads a text


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("settings:\n  02: {steps: 5}\n", "2"),
        ("setings: {}\n", "setings"),
        ("- a\n", "'a'"),
        ("settings: {all: {true: 3}}", "True"),
        ("settings: {all: 3}", "'all'"),
    ],
)
def test_a_wrong_profile_is_refused(tmp_path, text, named):
    with pytest.raises(ValueError, match=f"mine.yaml.*{named}"):
        read_profile(profile(tmp_path, text))
    with pytest.raises(FileNotFoundError, match="'nope'.*mine"):
        read_profile("nope", tmp_path)


@pytest.mark.parametrize(("name", "value"), [("stesp", 1), ("steps", 1.5), ("steps", True), ("lr", "high")])
def test_unknown_names_and_wrong_kinds_are_refused(tmp_path, name, value):
    path = profile(tmp_path, 'settings: {"02": {steps: 5, lr: 0.1, shown: true}}\n')
    with pytest.raises(ValueError, match=name):
        load_profile(path, "02", {name: value})


def test_assignments_are_read_as_in_the_profiles():
    assignments = ["steps=100", "02.lr=1e-3", "name=a b", "on=true", "precision=no", "init=null"]
    values = {"steps": 100, "02.lr": 0.001, "name": "a b", "on": True, "precision": "no", "init": None}
    assert parse_assignments(assignments) == values
    for bad in ("steps", "=3"):
        with pytest.raises(ValueError, match=bad):
            parse_assignments([bad])


def test_overrides_go_to_the_chapters_that_know_them():
    chapters = ["01", "02", "03"]
    both = {"01": {}, "02": {"steps": 1}, "03": {"steps": 1}}
    assert route_overrides({"steps": 1}, CONTENT, chapters) == both
    assert route_overrides({"03.steps": 1}, CONTENT, chapters) == {"01": {}, "02": {}, "03": {"steps": 1}}
    for unknown in ("stesp", "01.steps", "04.steps"):
        with pytest.raises(ValueError, match=rf"{unknown}: .* 02.lr, 02.preset, 02.steps"):
            route_overrides({unknown: 1}, CONTENT, chapters)
    with pytest.raises(ValueError, match="steps"):
        route_overrides({"steps": "x"}, CONTENT, chapters)


def test_the_two_profiles_of_the_project_offer_the_same_settings():
    quick, full = read_profile("quick"), read_profile("full")
    assert set(quick["course"]) == set(full["course"]) == {"cell_timeout", "notebook_timeout"}
    assert set(quick["data"]) == set(full["data"]) == set(PREPARED)
    assert quick["settings"].keys() == full["settings"].keys()
    for chapter, settings in quick["settings"].items():
        assert settings.keys() == full["settings"][chapter].keys(), f"chapter {chapter}"
        for name, value in settings.items():  # the kind must not depend on the profile
            kinds = {type(value), type(full["settings"][chapter][name])}
            assert kinds != {int, float}, f"{chapter}.{name} is a whole number in one profile only"
    notebooks = {path.name[:2] for path in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")}
    assert set(quick["settings"]) - {"all"} <= notebooks


def test_paths_are_relative_to_the_project(tmp_path, monkeypatch):
    monkeypatch.chdir(NOTEBOOKS)
    assert project_path("runs/course") == NOTEBOOKS.parent / "runs" / "course"
    assert project_path(str(tmp_path)) == tmp_path


def test_metrics_of_each_chapter(tmp_path):
    record_metrics(tmp_path / "run", "02", {"mpjpe": np.float32(0.5), "codes": 3})
    record_metrics(tmp_path / "run", "03", {"loss": 1.0})
    record_metrics(tmp_path / "run", "02", {"mpjpe": 0.25})
    path = tmp_path / "run" / "metrics.json"
    assert json.loads(path.read_text()) == {"02": {"mpjpe": 0.25}, "03": {"loss": 1.0}}
    with pytest.raises(ValueError, match="02: loss"):
        record_metrics(tmp_path / "run", "02", {"loss": float("nan")})
    assert json.loads(path.read_text())["02"] == {"mpjpe": 0.25}


def test_a_figure_is_kept_and_shown(tmp_path):
    figure = Figure(figsize=(2, 1), dpi=50)
    figure.subplots().plot([0, 1])
    shown = keep_figure(figure, tmp_path, "02_line")
    assert (tmp_path / "figures" / "02_line.png").read_bytes() == shown.data
    assert Image.open(io.BytesIO(shown.data)).size == (100, 50)
