"""Plots of the calibration chapter, on tables and arrays with known answers."""

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from mmm import calibration
from mmm.lab import calibration_plots as plots
from mmm.sampling import REMASKING


def drawn(figure):
    FigureCanvasAgg(figure).draw()
    return figure.axes


def curves(*axes):
    return {line.get_label(): list(line.get_ydata()) for ax in axes for line in ax.lines}


def test_calibration_by_ratio_and_by_pass():
    names = ["accuracy", "near", "confidence", "ece", "ece_calibrated", "auc", "auc_near", "auc_within"]
    table = pd.DataFrame({name: [0.1 * i, 0.1 * i + 0.05] for i, name in enumerate(names)}, index=[0.1, 1.0])
    bins = calibration.Bins(
        np.array([0.2, 0.5, 0.9]), np.array([0.1, 0.4, 0.0]), np.array([0.6, 0.395, 0.005])
    )
    diagram, means, gap, order = drawn(plots.plot_by_ratio(table, {0.1: bins, 1.0: bins}))
    assert [line.get_ydata().tolist() for line in diagram.lines[1:]] == [[0.1, 0.4]] * 2, "0.005 is too few"
    assert [text.get_text() for text in diagram.get_legend().get_texts()] == ["10%", "100%"]
    shown = curves(means, gap, order)
    assert shown["confidence"] == list(table.confidence) and shown["ECE"] == list(table.ece)
    assert shown["within 2 cm"] == list(table.auc_near) and shown["of a calibrated model"] == [0.4, 0.45]
    table = table.assign(answered=0.6, settled=0.2, settled_accuracy=0.3)
    counts, means, gap, order = drawn(plots.plot_passes(table))
    assert [bar.get_height() for bar in counts.patches] == [0.6, 0.6, 0.2, 0.2]
    assert [len(ax.lines) for ax in (means, gap, order)] == [4, 2, 4], "all columns of the table"


def test_cost_has_a_box_for_every_bin_in_use_and_counts_synonyms():
    confidence, error = torch.tensor([0.05, 0.15, 0.15, 0.95]), np.array([9.0, 4.0, 6.0, 0.0])
    cost = np.array([[0.0, 1.0, 1.5, 50.0], [0.0, 3.0, 60.0, 70.0]])
    left, right = drawn(plots.plot_cost(confidence, error, cost))
    medians = [line for line in left.lines if line.get_color() == plots.BAD]
    assert [line.get_ydata()[0] for line in medians] == [9.0, 5.0, 0.0]
    assert [line.get_xdata().mean() for line in medians] == pytest.approx([0.05, 0.15, 0.95])
    limits, counts = right.lines[0].get_data()
    assert counts[0] == 1, "at least the true code itself"
    assert counts[np.searchsorted(limits, 2.0)] == 2, "the median of 3 codes and of 1"


def test_temperature_shows_both_errors_and_the_fitted_temperatures():
    confidence, right = np.array([0.9] * 10), np.arange(10) < 5
    pairs = (confidence, right), (confidence - 0.4, right)
    bins = tuple(calibration.reliability(*pair) for pair in pairs)
    axes = drawn(plots.plot_temperature(*pairs, bins, {"val": ([0.5, 2.0], [3.0, 2.0])}, {"val": 1.7}))
    assert axes[0].get_title().endswith("confidence 0.90, accuracy 0.50; ECE 0.400")
    assert axes[1].get_title().endswith("confidence 0.50, accuracy 0.50; ECE 0.000")
    gaps, dots = axes[0].collections
    np.testing.assert_allclose(dots.get_offsets(), [[0.9, 0.5]])
    np.testing.assert_allclose(np.sort(gaps.get_paths()[0].vertices[:, 1]), [0.5, 0.9])
    curve, mark = axes[2].lines
    assert list(curve.get_ydata()) == [3.0, 2.0] and list(mark.get_xdata()) == [1.7, 1.7]
    assert [text.get_text() for text in axes[2].get_legend().get_texts()] == ["val, least at 1.70"]


def test_rules_have_a_curve_each_and_one_pass_is_a_line_of_its_own():
    keys = [(rule, count) for rule in REMASKING for count in (1, 5, 10)]
    index = pd.MultiIndex.from_tuples(keys, names=["rule", "passes"])
    table = pd.DataFrame({"value": [REMASKING.index(rule) + n for rule, n in keys], "half": 0.1}, index)
    axes = drawn(plots.plot_rules({"gap, cm": table, "R@1": table}, {"R@1": "more"}))
    assert [ax.get_title() for ax in axes] == ["gap, cm", "R@1\n(more is better)"]
    lines = [list(container.lines[0].get_ydata()) for container in axes[0].containers]
    assert lines == [[5, 10], [7, 12], [6, 11]], "least, random, most"
    assert curves(axes[0])["none: all in one pass"][0] == 1.0


def test_known_truth_shows_the_most_frequent_codes_first():
    truth = np.array([[0.0, 0.2, 0.8], [0.0, 0.6, 0.4]])
    predicted = np.array([[0.5, 0.5, 0.0], [0.5, 0.0, 0.5]])
    distances = pd.DataFrame({"model": [0.6, 0.4], "chance": [0.1, 0.1]}, index=["nothing", "one token"])
    lines = {"nothing shown": pd.DataFrame({"predicted": [0.01, 0.5], "true": [0.02, 0.4]})}
    example = truth, predicted
    diagram, bars, *matrices = drawn(plots.plot_known_truth(lines, distances, example, "bows", 2))[:4]
    for ax, values in zip(matrices, example, strict=True):
        np.testing.assert_allclose(ax.images[0].get_array(), np.maximum(values[:, [2, 1]].T, 1e-3))
    assert [bar.get_height() for bar in bars.patches] == [0.6, 0.4, 0.1, 0.1]
    assert curves(diagram)["nothing shown"] == [0.02, 0.4]
