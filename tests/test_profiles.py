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


def test_a_chapter_gets_what_is_for_all_its_own_and_the_overrides(tmp_path):
    path = profile(tmp_path, 'settings:\n  all: {preset: tiny, steps: 1}\n  "02": {steps: 5, lr: 2e-4}\n')
    assert load_profile(path, "01") == {"preset": "tiny", "steps": 1}
    assert load_profile(path, "02", {"lr": 1}) == {"preset": "tiny", "steps": 5, "lr": 1}
    assert load_profile("mine", "02", folder=tmp_path)["lr"] == 2e-4, (
        "2e-4 is a number, whatever YAML 1.1 says"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("settings:\n  02: {steps: 5}\n", "two quoted digits .*found 2"),
        ("setings: {}\n", "expected the sections course, data, settings"),
        ("- a\n", "expected the sections"),
        ("settings: {all: {true: 3}}", "quote the name True"),
        ("settings: {all: 3}", "expected name: value pairs for 'all', found 3"),
    ],
)
def test_a_profile_with_a_slip_is_refused(tmp_path, text, words):
    with pytest.raises(ValueError, match=words):
        read_profile(profile(tmp_path, text))


def test_unknown_names_and_wrong_kinds_are_refused(tmp_path):
    path = profile(tmp_path, 'settings: {"02": {steps: 5, lr: 0.1, shown: true}}\n')
    with pytest.raises(
        ValueError, match="'stesp': chapter 02 has no such setting .* it has lr, shown, steps"
    ):
        load_profile(path, "02", {"stesp": 1})
    for bad in (1.5, "many", True):
        with pytest.raises(ValueError, match="steps: expected a whole number"):
            load_profile(path, "02", {"steps": bad})
    with pytest.raises(ValueError, match="lr: expected a number"):
        load_profile(path, "02", {"lr": "high"})
    with pytest.raises(FileNotFoundError, match="'nope': found no file .* one of mine"):
        read_profile("nope", tmp_path)


def test_assignments_are_read_as_in_the_profiles():
    given = ["steps=100", "02.lr=1e-3", "name=a b", "on=true", "precision=no", "init=null"]
    read = {"steps": 100, "02.lr": 0.001, "name": "a b", "on": True, "precision": "no", "init": None}
    assert parse_assignments(given) == read
    for bad in ("steps", "=3"):
        with pytest.raises(ValueError, match="expected name=value"):
            parse_assignments([bad])


def test_overrides_go_to_the_chapters_that_know_them():
    chapters = ["01", "02", "03"]
    assert route_overrides({"steps": 1}, CONTENT, chapters) == {
        "01": {},
        "02": {"steps": 1},
        "03": {"steps": 1},
    }
    assert route_overrides({"03.steps": 1}, CONTENT, chapters) == {"01": {}, "02": {}, "03": {"steps": 1}}
    for unknown in ("stesp", "01.steps", "04.steps"):
        with pytest.raises(ValueError, match=rf"--set {unknown}: .* 02.lr, 02.preset, 02.steps"):
            route_overrides({unknown: 1}, CONTENT, chapters)
    with pytest.raises(ValueError, match="whole number"):
        route_overrides({"steps": "x"}, CONTENT, chapters)


def test_the_two_profiles_of_the_project_offer_the_same_settings():
    quick, full = read_profile("quick"), read_profile("full")
    assert set(quick["course"]) == set(full["course"]) == {"cell_timeout", "notebook_timeout"}
    assert set(quick["data"]) == set(full["data"]) == set(PREPARED)
    assert quick["settings"].keys() == full["settings"].keys()
    for chapter, settings in quick["settings"].items():
        assert settings.keys() == full["settings"][chapter].keys(), f"chapter {chapter}"
        for name, value in settings.items():  # what --set may give must not hang on the profile
            kinds = {type(value), type(full["settings"][chapter][name])}
            assert kinds != {int, float}, f"{chapter}.{name} is a whole number in one profile only"
    notebooks = {path.name[:2] for path in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")}
    assert set(quick["settings"]) - {"all"} >= notebooks


def test_paths_of_a_notebook_count_from_the_project(tmp_path, monkeypatch):
    monkeypatch.chdir(NOTEBOOKS)
    assert project_path("runs/course") == NOTEBOOKS.parent / "runs" / "course"
    assert project_path(str(tmp_path)) == tmp_path


def test_each_chapter_notes_its_own_numbers(tmp_path):
    record_metrics(tmp_path / "run", "02", {"mpjpe": np.float32(0.5), "codes": 3})
    record_metrics(tmp_path / "run", "03", {"loss": 1.0})
    record_metrics(tmp_path / "run", "02", {"mpjpe": 0.25})
    path = tmp_path / "run" / "metrics.json"
    assert json.loads(path.read_text()) == {"02": {"mpjpe": 0.25}, "03": {"loss": 1.0}}
    with pytest.raises(ValueError, match="chapter 02: loss not finite"):
        record_metrics(tmp_path / "run", "02", {"loss": float("nan")})
    assert json.loads(path.read_text())["02"] == {"mpjpe": 0.25}


def test_a_figure_is_shown_as_it_is_kept(tmp_path):
    figure = Figure(figsize=(2, 1), dpi=50)
    figure.subplots().plot([0, 1])
    shown = keep_figure(figure, tmp_path, "02_line")
    assert (tmp_path / "figures" / "02_line.png").read_bytes() == shown.data
    assert Image.open(io.BytesIO(shown.data)).size == (100, 50)
