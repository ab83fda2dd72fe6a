"""Baselines behind the interface of MMM: training by the command, evaluation beside the masked model, in-betweening."""

import json

import numpy as np
import pytest
import torch
from made_up.evaluator import write_untrained

from mmm.lab.baselines.__main__ import main
from mmm.lab.baselines.autoregressive import Autoregressive
from mmm.lab.baselines.compare import cost, models_of
from mmm.lab.baselines.models import Baseline, load_network
from mmm.lab.edits import gaps
from mmm.motion import Motion

pytestmark = pytest.mark.xdist_group("baselines")  # what they share is made once


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def runs(trained, toy, tmp_path_factory):
    """The runs of both baselines, by the command."""
    out = tmp_path_factory.mktemp("baselines")
    for kind in ("autoregressive", "diffusion"):
        words = [
            "--data",
            toy.path,
            "--model",
            trained / "model_run",
            "--out",
            out / kind,
            "--preset",
            "tiny",
        ]
        words += ["--steps", 3, "--batch-size", 4, "--precision", "no", "--cpu"]
        main(["train", kind, *map(str, words)])
    return out


@pytest.fixture(scope="module")
def baselines(model, runs):
    models = models_of(model, [runs / "autoregressive", runs / "diffusion"], ("ddim-2",))
    assert list(models) == ["masked", "autoregressive", "autoregressive-own-end", "diffusion-ddim-2"]
    return models


def test_sizes_and_conditions_are_those_of_the_masked_model(baselines):
    masked = baselines["masked"].transformer
    size = sum(p.numel() for p in masked.parameters())
    for name in ("autoregressive", "diffusion-ddim-2"):
        network = baselines[name].transformer
        for field in ("dim", "layers", "cross_layers", "heads", "text_dim", "max_tokens", "text_dropout"):
            assert getattr(network.config, field) == getattr(masked.config, field), (name, field)
        assert abs(sum(p.numel() for p in network.parameters()) / size - 1) < 0.25
    with pytest.raises(FileNotFoundError, match="no trained baseline"):
        load_network("nowhere")
    with pytest.raises(ValueError, match="another tokenizer's codebook"):
        other = Autoregressive(masked.config, torch.zeros_like(masked.codebook))
        Baseline(baselines["masked"], other)


@pytest.mark.parametrize("name", ["autoregressive", "diffusion-ddim-2"])
def test_the_motion_of_a_text_does_not_depend_on_the_others(baselines, name):
    model, texts, frames = baselines[name], ["a person bows", "someone waves", "a person walks"], [40, 24, 57]
    embedding = model.embed(texts)
    together = model.generate_bulk(embedding, frames, [1, 2, 3], batch_size=2, precision="no")
    assert [len(motion) for motion in together] == frames
    (alone,) = model.generate_bulk(embedding[1], [24], [2], batch_size=2, precision="no")
    assert np.array_equal(alone, together[1])
    motion = model.generate("a person bows", 40, 1)
    again = model.generate("a person bows", 40, 1)
    assert motion.features.shape == (40, 263) and np.array_equal(motion.features, again.features)


def test_own_end_gives_lengths_of_its_own(baselines):
    model = baselines["autoregressive-own-end"]
    motions = model.generate_bulk(model.embed(["a person bows"] * 8), [40] * 8, range(8), precision="no")
    assert len({len(motion) for motion in motions}) > 1 and min(map(len, motions)) >= 24


@pytest.mark.parametrize("name", ["autoregressive", "diffusion-ddim-2"])
@pytest.mark.parametrize("text", ["a person walks", None])
def test_a_gap_is_filled_and_the_rest_is_kept(baselines, toy, name, text):
    clip = np.array(toy.pack("train").clip(0), np.float32)[:56]
    motion = Motion(clip, fps=toy.fps, skeleton=toy.skeleton)
    results = [
        baselines[name].edit(motion, (20, 36), text=text, seed=seed).features.numpy() for seed in (0, 0, 1)
    ]
    assert np.array_equal(results[0][:19], clip[:19]) and np.array_equal(results[0][36:], clip[36:])
    assert np.array_equal(results[0], results[1]) and not np.allclose(results[0][20:36], results[2][20:36])
    assert not np.allclose(results[0][20:36], clip[20:36])
    with pytest.raises(ValueError, match="one gap"):
        baselines[name].edit(motion, [(4, 8), (20, 24)])


def test_passes_and_flops(baselines):
    costs = {name: cost(model, "a person bows", 40, {}) for name, model in baselines.items()}
    passes = {name: each["passes"] for name, each in costs.items()}
    own = passes.pop("autoregressive-own-end")
    assert passes == {"masked": 2, "autoregressive": 10, "diffusion-ddim-2": 2} and 6 <= own <= 50
    # two operations for each parameter that a pass multiplies with; the decoder comes on top
    network = baselines["autoregressive"].transformer
    least = 2 * 10 * sum(weight.numel() for weight in network.blocks.parameters()) / 1e9
    assert least < costs["autoregressive"]["GFLOPs"] < 20 * least


def test_all_models_in_one_table(runs, trained, toy, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(gaps, "GAPS", (gaps.Gap(fraction=0.5), gaps.Gap(frames=8)))
    words = [
        "--data",
        toy.path,
        "--model",
        trained / "model_run",
        "--out",
        tmp_path / "table",
        "--split",
        "train",
    ]
    words += ["--run", runs / "autoregressive", "--run", runs / "diffusion", "--samplers", "ddim-2", "--gaps"]
    words += ["--evaluator", write_untrained(tmp_path / "evaluator", toy), "--repeats", 1, "--pool", 8]
    words += ["--multimodality", "none", "--clips", 1, "--no-aits", "--cpu"]
    main(["evaluate", *map(str, words)])
    printed = capsys.readouterr().out
    rows = json.loads((tmp_path / "table" / "results.json").read_text())
    assert list(rows["rows"]) == [
        "real",
        "masked",
        "autoregressive",
        "autoregressive-own-end",
        "diffusion-ddim-2",
    ]
    expected = {
        "r1",
        "fid",
        "mm_dist",
        "diversity",
        "skating",
        "jerk_mean",
        "speed",
        "passes",
        "GFLOPs",
    }
    for name, row in rows["rows"].items():
        assert name == "real" or expected <= set(row), name
    assert {row["method"] for row in rows["gaps"]} == {"masked", "autoregressive", "diffusion-ddim-2"}
    assert "GFLOPs" in printed and "seam_jerk" in printed
    with pytest.raises(SystemExit):
        main(["evaluate", *map(str, words), "--run", str(runs / "diffusion")])
    assert "compare one run of each kind" in capsys.readouterr().err
