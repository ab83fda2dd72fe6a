import dataclasses

import numpy as np
import pytest
import torch
from made_up.evaluator import RandomEvaluator

from mmm.datasets.synthetic import make_clip
from mmm.evaluation.protocol import ProtocolConfig, evaluate
from mmm.evaluation.results import ROWS
from mmm.lab import evaluation as plots
from mmm.lab.evaluation import best_and_worst, content_of, content_table, motions_of, ranks, sweep

CONFIG = ProtocolConfig(
    split="train", repeats=2, multimodality="none", pool=8, batch_size=4, precision="no", aits=False
)


@pytest.fixture(scope="module")
def results(model, toy, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        out = tmp_path_factory.mktemp("explore")
        patch.setenv("MMM_CACHE", str(out / "cache"))
        yield evaluate(model, toy, RandomEvaluator(), CONFIG, out / "run", progress=False, cpu=True)


def test_places_and_tables_agree_with_r_precision(results, toy):
    stored = results.stored(0)
    place = ranks(stored["text"], stored["given"], stored["distractors"])
    for k in (1, 3):
        assert float((place < k).double().mean()) == pytest.approx(results.rows["given"][f"r{k}"][0])
    table = content_table(results, toy)
    assert set(table.index) == {"walks forward", "waves with the left hand"}  # the train split of toy
    assert table["clips"].sum() == results.clips
    for row in ("real", "given"):
        mean = np.average(table[f"{row}/r1"], weights=table["clips"])
        assert mean == pytest.approx(np.mean(results.rows[row]["r1"]))


def test_best_are_nearer_than_worst_and_come_back_from_their_seeds(results, model, toy):
    best, worst = best_and_worst(results, toy, count=2)
    assert [e.distance for e in best] == sorted(e.distance for e in best)
    assert best[0].distance < worst[0].distance
    assert len({e.content for e in best}) == 2
    packed = toy.pack("train")
    generated, real = motions_of(results, model, packed, best)
    evaluator, stored = RandomEvaluator(), results.stored(0)
    for example, motion, clip in zip(best, generated, real, strict=True):
        features = torch.from_numpy(np.asarray(motion.features))[None]
        again = evaluator.embed_motion(features, torch.tensor([len(motion)]))[0]
        # generated again from seed and length: the motion that was evaluated
        torch.testing.assert_close(again, stored["given"][example.item], rtol=1e-3, atol=1e-3)
        assert np.array_equal(clip.features, packed.clip(int(stored["clip"][example.item])))
        assert motion.text == example.text


def test_contents_are_named_by_program(toy):
    assert content_of(toy.program(toy.ids("train")[0])) in ("walks forward", "waves with the left hand")
    names = {content_of(make_clip(index).program) for index in range(12)}
    assert len(names) > 6 and all(names)
    assert content_of(None) == "all"


def test_a_sweep_has_a_line_for_each_setting_and_is_not_computed_twice(model, toy, tmp_path, monkeypatch):
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    settings = {"steps 1": {"steps": 1}, "steps 2": {"steps": 2}}
    config = dataclasses.replace(CONFIG, repeats=1)
    table = sweep(model, toy, RandomEvaluator(), settings, config, tmp_path / "sweep")
    assert list(table.index) == list(settings) and {"fid", "r1", "jerk_mean"} <= set(table.columns)
    assert (table.loc["steps 1"] != table.loc["steps 2"]).any()

    def refuse(*args, **kwargs):
        raise AssertionError("computed twice")

    monkeypatch.setattr(model, "generate_bulk", refuse)
    again = sweep(model, toy, RandomEvaluator(), settings, config, tmp_path / "sweep")
    assert again.equals(table)
    shown = table.set_axis([1, 2]).assign(fid_half=0.5)  # of a single repeat there is no interval
    figure = plots.plot_sweep({"steps": shown}, {"fid": 1.0})
    [bars] = figure.axes[0].containers
    assert bars.lines[0].get_ydata().tolist() == table["fid"].tolist()
    first = bars.lines[2][0].get_segments()[0]
    assert first[1, 1] - first[0, 1] == pytest.approx(1.0)
    constant = [line.get_ydata()[0] for line in figure.axes[0].lines if len(set(line.get_ydata())) == 1]
    assert constant[-1] == 1.0


def test_pictures_show_what_the_results_say(results, toy):
    figure = plots.plot_results(results, ("r1", "fid"))
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == [ROWS[row] for row in ROWS if row in results.rows]
    dots = [container.lines[0].get_xdata()[0] for container in figure.axes[0].containers]
    assert dots[0] == pytest.approx(results.interval("real", "r1").mean)
    table = content_table(results, toy)
    ax = plots.plot_contents(table).axes[0]
    assert sorted(bar.get_width() for bar in ax.patches) == sorted([*table["real/r1"], *table["given/r1"]])
    assert ax.get_yticklabels()[0].get_text() == f"{table.index[0]} ({table['clips'].iloc[0]})"
