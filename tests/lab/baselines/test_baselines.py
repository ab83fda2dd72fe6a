"""Baselines behind the interface of MMM: training by the command, evaluation beside the masked model, in-betweening."""

import copy
import dataclasses
import json

import numpy as np
import pytest
import torch
from made_up.evaluator import write_untrained
from matplotlib.figure import Figure

from mmm.lab.baselines.__main__ import main
from mmm.lab.baselines.autoregressive import Autoregressive
from mmm.lab.baselines.compare import models_of
from mmm.lab.baselines.costs import Entrant, budget_note, cost, training_cost
from mmm.lab.baselines.diffusion import Denoiser, DenoiserConfig
from mmm.lab.baselines.models import Baseline, load_network
from mmm.lab.edits import gaps, run
from mmm.motion import Motion
from mmm.transformer.model import MaskedTransformer, preset


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
def entrants(model, runs, trained):
    places, samplers = [runs / "autoregressive", runs / "diffusion"], ("ddim-2", "masked-1")
    models = models_of(model, places, samplers, {"masked": 3.0}, trained / "model_run")
    names = ["masked", "masked-1", "autoregressive", "autoregressive-own-end", "diffusion-ddim-2"]
    assert list(models) == names
    return models


@pytest.fixture(scope="module")
def baselines(entrants):
    return {name: entrant.model for name, entrant in entrants.items() if name != "masked-1"}


def loud(model):
    """A copy whose weights are so large that everything the network reads has an effect."""
    other = copy.copy(model)
    other.transformer = copy.deepcopy(model.transformer)
    torch.manual_seed(0)
    for name, parameter in other.transformer.named_parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=1.0 if "head" in name else 0.3)
    return other


def test_each_kind_has_a_guidance_of_its_own(entrants):
    assert {name: entrant.sampler for name, entrant in entrants.items()} == {
        "masked": {"guidance": 3.0},
        "masked-1": {"guidance": 3.0, "steps": 1},
        "autoregressive": {"guidance": 1.0},
        "autoregressive-own-end": {"guidance": 1.0},
        "diffusion-ddim-2": {"guidance": 2.5, "steps": 2},
    }


def test_the_table_says_whether_the_budgets_are_equal(entrants):
    assert entrants["autoregressive"].budget == {"steps": 3, "batch": 4}
    rows = {name: training_cost(entrant, 60) for name, entrant in entrants.items()}
    assert set(rows["masked"]) == {"parameters", "steps", "batch", "TFLOPs"}
    tokens = entrants["autoregressive"].model.transformer
    least = 3 * 2 * 12 * 15 * sum(weight.numel() for weight in tokens.blocks.parameters()) / 1e12
    assert least < rows["autoregressive"]["TFLOPs"] < 20 * least
    assert rows["diffusion-ddim-2"]["TFLOPs"] > 2 * rows["autoregressive"]["TFLOPs"], (
        "four times the positions"
    )
    same = {name: row | {"steps": 3, "batch": 4, "parameters": 2.5} for name, row in rows.items()}
    assert budget_note(same).startswith("Equal budgets: 3 steps of 4 clips")
    for change in ({"steps": 6}, {"batch": 8}, {"parameters": 2.7}):
        other = same | {"masked": same["masked"] | change}
        assert "DIFFER" in budget_note(other)
    unknown = training_cost(Entrant(entrants["masked"].model, {}), 60)
    assert "not known" in budget_note({"masked": unknown})


def test_parameters_of_the_shipped_size_differ_by_few_percent():
    sizes = preset("light", codes=512, code_dim=16, text_dim=384, parts=2)
    own = dataclasses.asdict(sizes) | {"codes": 1, "code_dim": 1, "parts": 1}
    codebook = torch.zeros(2, 512, 16)
    networks = (
        MaskedTransformer(sizes, codebook),
        Autoregressive(sizes, codebook),
        Denoiser(DenoiserConfig(**own, features=263), torch.zeros(263), torch.ones(263)),
    )
    counts = [sum(p.numel() for p in network.parameters()) for network in networks]
    assert max(counts) / min(counts) < 1.02


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


@pytest.mark.parametrize(("weight", "frames"), [(1.0, 24), (-1.0, 196)])
def test_own_end_ends_where_the_model_says(baselines, weight, frames):
    """With END certain from the first step on it is the shortest motion, with END impossible the longest."""
    model = copy.copy(baselines["autoregressive-own-end"])
    model.transformer = copy.deepcopy(model.transformer)
    codes = model.transformer.config.codes
    with torch.no_grad():
        model.transformer.norm.bias.fill_(10.0)
        model.transformer.head.weight[codes].fill_(weight)
    motions = model.generate_bulk(model.embed(["a person bows"] * 3), [40] * 3, range(3), precision="no")
    assert [len(motion) for motion in motions] == [frames] * 3
    assert len(model.generate("a person bows", 40, 0).features) == frames


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


def gap_follows(model, monkeypatch, clip, other, where, deaf=False):
    """Whether what is generated in the gap (before it is joined) depends on the kept frames `where`.

    Args:
        deaf: the generator gets other frames in the place of the kept ones, always the same.
    """
    results, generate = [], type(model)._sampled

    def recorded(*inputs, prefixes=None, known=None, **options):
        if prefixes is not None:
            options["prefixes"] = [torch.zeros_like(row) if deaf else row for row in prefixes]
        if known is not None:
            options["known"] = [(torch.zeros_like(x) if deaf else x, mask) for x, mask in known]
        made = generate(model, *inputs, **options)
        results.append(made[0][0][:, 5:9].numpy() if model.tokens else made[0][20:36])
        return made

    monkeypatch.setattr(model, "_sampled", recorded)
    changed = clip.copy()
    changed[where] = other[where]
    for features in (clip, changed):
        model.edit(Motion(features, fps=20.0, skeleton="humanml3d"), (20, 36), text="a person walks", seed=0)
    return not np.allclose(*results, atol=1e-5)


@pytest.mark.parametrize(("name", "sees_behind"), [("autoregressive", False), ("diffusion-ddim-2", True)])
def test_the_gap_follows_the_kept_frames(baselines, toy, monkeypatch, name, sees_behind):
    packed = toy.pack("train")
    long = [i for i, length in enumerate(packed.lengths) if length >= 56]
    clip, other = (np.array(packed.clip(i), np.float32)[:56] for i in (long[0], long[-1]))
    model, before, behind = loud(baselines[name]), slice(0, 20), slice(40, 56)
    assert gap_follows(model, monkeypatch, clip, other, before)
    assert gap_follows(model, monkeypatch, clip, other, behind) == sees_behind
    for where in (before, behind):
        assert not gap_follows(model, monkeypatch, clip, other, where, deaf=True), (
            "the check sees a deaf model"
        )


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
    # its pictures, which take half of the time, are tested in tests/lab/edits
    monkeypatch.setattr(run.plots, "plot_gaps", lambda *args: Figure())
    monkeypatch.setattr(run, "small_png", lambda figure: b"")
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
    words += ["--run", runs / "autoregressive", "--run", runs / "diffusion", "--gaps"]
    words += ["--samplers", "ddim-2", "--samplers", "masked-1", "--guidance-diffusion", 1.5, "--timed", 2]
    words += ["--evaluator", write_untrained(tmp_path / "evaluator", toy), "--repeats", 2, "--pool", 8]
    words += ["--multimodality", "none", "--clips", 1, "--cpu"]
    main(["evaluate", *map(str, words)])
    printed = capsys.readouterr().out
    rows = json.loads((tmp_path / "table" / "results.json").read_text())
    assert list(rows["rows"]) == [
        "real",
        "masked",
        "masked-1",
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
        "aits",
        "parameters",
        "TFLOPs",
        "guidance",
        "fid_half",
    }
    for name, row in rows["rows"].items():
        assert name == "real" or expected <= set(row), (name, expected - set(row))
    assert {name: row["guidance"] for name, row in rows["rows"].items() if name != "real"} == {
        "masked": 2.0,
        "masked-1": 2.0,
        "autoregressive": 1.0,
        "autoregressive-own-end": 1.0,
        "diffusion-ddim-2": 1.5,
    }
    assert rows["rows"]["masked-1"]["passes"] == 1 and "DIFFER" in rows["budget"]
    difference = rows["differences"]["autoregressive"]
    means = [rows["rows"][name]["fid"] for name in ("autoregressive", "masked")]
    assert difference["fid"] == pytest.approx(means[0] - means[1]) and difference["fid_half"] >= 0
    methods = {"masked", "masked-1", "autoregressive", "diffusion-ddim-2"}
    assert {row["method"] for row in rows["gaps"]} == methods
    assert "±" in printed and json.loads((tmp_path / "table" / "manifest.json").read_text())["models"]
    assert "GFLOPs" in printed and "seam_jerk" in printed
    with pytest.raises(SystemExit):
        main(["evaluate", *map(str, words), "--run", str(runs / "diffusion")])
    assert "compare one run of each kind" in capsys.readouterr().err


def test_costs_by_the_command(trained, tmp_path, capsys):
    words = ["--model", trained / "model_run", "--out", tmp_path / "costs", "--samplers", "ddim-3"]
    main(["costs", *map(str, words), "--lengths", "24", "120", "--turns", "1"])
    table = json.loads((tmp_path / "costs" / "costs.json").read_text())
    passes = {name: row["passes"] for name, row in table.items()}
    assert passes == {"masked": 6, "autoregressive": 30, "diffusion-ddim-3": 3}
    assert all(set(row["seconds"]) == {"24", "120"} and row["parameters"] > 0 for row in table.values())
    assert (
        table["masked"]["times_masked"] == [1.0, 0.0] and "times the masked model" in capsys.readouterr().out
    )
    assert {"costs.png", "manifest.json"} <= {path.name for path in (tmp_path / "costs").iterdir()}
