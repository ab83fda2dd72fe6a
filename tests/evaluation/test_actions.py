"""Generated motions against real ones of the same action class."""

import numpy as np
import pytest

from mmm.evaluation.actions import FEWEST, MEASURES, action_classes, by_class, class_table, mean_tables

CLASSES = ["bow"] * 8 + ["walk"] * 10 + ["wave"] * (FEWEST - 1) + [None] * 9


def numbers(**changes):
    """MEASURES of the motions of CLASSES: number i is i; some of them changed."""
    values = {name: np.arange(len(CLASSES), dtype=np.float64) for name in MEASURES}
    return values | {name: values[name] + change for name, change in changes.items()}


def test_medians_and_distances_within_each_class():
    other = numbers(speed=0.5, lean=-np.array([20.0] * 4 + [0.0] * (len(CLASSES) - 4)))
    table = by_class(CLASSES, numbers(), {"given": other})
    assert list(table) == ["bow", "walk"], "too few clips of wave, none of no class"
    assert [table[name]["clips"] for name in table] == [8, 10]
    assert table["bow"]["real"]["lean"] == 3.5 and table["walk"]["real"]["speed"] == 12.5
    assert table["walk"]["given"]["speed"] == {"median": 13.0, "distance": pytest.approx(0.5)}
    assert table["bow"]["given"]["lean"] == {
        "median": -6.5,
        "distance": pytest.approx(10),
    }  # half of them, by 20
    assert table["walk"]["given"]["lean"]["distance"] == 0


def test_the_distance_compares_distributions_not_pairs():
    shuffled = numbers()
    shuffled["speed"][:8] = shuffled["speed"][:8][::-1]
    table = by_class(CLASSES, numbers(), {"given": shuffled})
    assert table["bow"]["given"]["speed"] == {"median": 3.5, "distance": 0}
    spread = numbers()
    spread["turning"][8:18] = np.repeat((-90.0, 115.0), 5)  # the median stays
    found = by_class(CLASSES, numbers(), {"given": spread})["walk"]["given"]["turning"]
    assert found["median"] == 12.5 and found["distance"] > 90


def test_the_mean_over_repeats_of_those_that_have_a_class():
    one = by_class(CLASSES, numbers(), {"given": numbers(speed=1.0)})
    two = by_class(CLASSES[8:], *[{k: v[8:] for k, v in numbers().items()}] * 1, {
        "given": {k: v[8:] for k, v in numbers(speed=2.0).items()}
    })  # fmt: skip
    mean = mean_tables([one, two])
    assert mean["walk"]["given"]["speed"] == {"median": 14.0, "distance": pytest.approx(1.5)}
    assert mean["bow"] == one["bow"] and list(mean) == ["bow", "walk"]
    assert mean_tables([{}, {}]) == {}


def test_the_table_in_markdown():
    table = by_class(CLASSES, numbers(turning=-12.6), {"given": numbers(speed=0.257)})
    head, _, bow, walk = class_table(table, "given").split("\n")
    assert "speed (m/s)" in head and "right arm (°)" in head
    assert bow.startswith("| bow (8) | 3.50 → 3.76 (0.26) | -9 → 4 (13) |")
    assert "| 0 → 12 (13) |" in walk, "an angle of −0.1 is 0, not -0"
    assert class_table(table, "estimated") == class_table({}, "given") == ""


def test_classes_are_the_content_of_programs(toy):
    clips = toy.ids("train")
    assert action_classes(toy, [clips[0], "unknown@1"]) == ["walks forward", None]
