"""Every number on the command line has a range, and one outside of it is refused before any work."""

import dataclasses
import typing

import pytest

from mmm.cli import Command, main
from mmm.cli.ranges import range_of
from mmm.recipes import OURS, RANGES, get_recipe
from mmm.training.config import TrainConfig


def hints(command: type) -> dict[str, object]:
    return typing.get_type_hints(command, localns=vars(typing))  # without what Annotated adds


def kinds(annotation: object) -> set:
    """The classes in an annotation: {int, NoneType} of int | None."""
    inner, origin = typing.get_args(annotation), typing.get_origin(annotation)
    if origin is typing.Literal:
        return set()
    inner = inner[:1] if origin is typing.Annotated else inner
    return set().union(*map(kinds, inner)) if inner else {annotation}


def commands(annotation: object) -> list[type]:
    """All commands and the commands below them."""
    found = [kind for kind in kinds(annotation) if dataclasses.is_dataclass(kind)]
    return found + [below for kind in found for hint in hints(kind).values() for below in commands(hint)]


def test_every_number_has_a_range():
    numbers = {
        (command, name)
        for command in commands(Command)
        for name, hint in hints(command).items()
        if kinds(hint) & {int, float} and not isinstance(getattr(command, name, None), property)
    }
    missing = {(command.__name__, name) for command, name in numbers if range_of(command, name) is None}
    assert len(numbers) > 80 and not missing


@pytest.mark.parametrize(
    "args",
    [
        "generate walks --steps 1000000000",
        "generate walks --length 1000000000",
        "generate walks --temperature nan",
        "generate walks --guidance inf",
        "generate walks --seed -1",
        "generate walks --seed 100000000000000000000000",
        "edit inbetween a.bvh --gap 0 1000000000",
        "edit outpaint a.bvh --length 1000000000",
        "edit long walks --transition 1000000000",
        "evaluate --repeats 0",
        "evaluate --pool 1000000000",
        "train tokenizer --steps 1000000000",
        "train tokenizer --codes 0",
        "train tokenizer --lr inf",
        "train tokenizer --window 1000000000",
        "train tokenizer --geometry 1 1 nan 1",
        "train transformer --drop-edge nan",
        "train transformer --typos -1",
        "train transformer --guidance inf",
        "train transformer --held-out nan",
        "train transformer --batch-size 1000000000",
        "train length --steps 0",
        "prepare synthetic --clips 1000000000",
        "prepare bandai --source . --limit 0",
        "prepare union --data a --data b --share nan --share 1",
        "import a --val nan",
        "bench --batch 0",
    ],
)
def test_a_number_out_of_its_range_is_refused(tmp_path, monkeypatch, capsys, args):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(args.split())
    printed = capsys.readouterr().err
    words = args.split()
    option = next(word for word in reversed(words) if word.startswith("--"))
    assert stop.value.code == 2 and printed.startswith(f"mmm: {option} is ") and printed.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_recipes_and_settings_of_training_have_ranges(value):
    for name in RANGES:
        bad = (value,) * 4 if name == "geometry" else value
        with pytest.raises(ValueError, match=f"{name} is"):
            get_recipe(OURS, **{name: bad})
    for name in ("lr", "weight_decay", "grad_clip", "ema"):
        with pytest.raises(ValueError, match=f"{name} is"):
            TrainConfig(steps=1, **{name: value})
