"""Pictures and sentences of chapter 09: what each network can see, quality by network evaluations, the two claims."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from torch import Tensor, nn

from mmm.lab.baselines.costs import ratio
from mmm.lab.baselines.diffusion import Denoiser
from mmm.lab.baselines.frames import RATIO
from mmm.text import TextEmbedding
from mmm.viz.style import panels, plain_numbers, styled

KINDS = ("masked", "autoregressive", "diffusion")


@torch.no_grad()
def influence(
    network: nn.Module,
    motion: Int64[Tensor, "p n"] | Float[Tensor, "t d"],
    text: TextEmbedding,
    time: int = 500,
) -> Float[np.ndarray, "n n"]:
    """How much output i (row) changes if input j (column) becomes another one: what the network can see.

    Args:
        network: a MaskedTransformer or Autoregressive, with the tokens of a motion; or a Denoiser, with raw features
            (whole groups of 4 frames). text: one. time: of the denoiser, the step of the forward process.
    Returns:
        for tokens the total variation of the predicted distributions of the first part; for features the root mean
        square of the change of x0 in a group of 4 frames, if every number of a group is raised by its standard
        deviation.
    """
    network.eval()
    if isinstance(network, Denoiser):
        n = len(motion) // RATIO
        inputs = network.normalise(motion)[None].repeat(n + 1, 1, 1)
        for j in range(n):
            inputs[j + 1, RATIO * j : RATIO * (j + 1)] += 1
        first = (inputs, torch.full((n + 1,), time), torch.full((n + 1,), n * RATIO))
    else:
        n = motion.shape[1]
        inputs = motion[None].repeat(n + 1, 1, 1)
        for j in range(n):
            inputs[j + 1, :, j] = (inputs[j + 1, :, j] + 1) % network.config.codes
        first = (inputs, torch.full((n + 1,), n))
    many = (text.words, text.mask, text.sentence)
    output = network(*first, *(y.expand(n + 1, *y.shape[1:]) for y in many))
    if isinstance(network, Denoiser):
        change = (output[1:] - output[:1]).square().unflatten(1, (n, RATIO)).mean((2, 3)).sqrt()
    else:
        chances = output[:, :, :n].softmax(-1)
        change = (chances[1:, 0] - chances[:1, 0]).abs().sum(-1) / 2
    return change.T.cpu().numpy()


@styled
def plot_influence(seen: Mapping[str, Float[np.ndarray, "_n _n"]]) -> Figure:
    """One panel for each network, relative to its strongest influence, on a log scale; white is exactly none."""
    figure, axes = panels((3.4 * len(seen), 3.3), columns=len(seen))
    for ax, (name, matrix) in zip(axes, seen.items(), strict=True):
        strength = np.ma.masked_equal(matrix / matrix.max(), 0)
        picture = ax.imshow(strength, cmap="viridis_r", norm=LogNorm(1e-4, 1, clip=True))
        ax.set(title=name, xlabel="input that is changed", ylabel="output")
    figure.colorbar(picture, ax=axes, label="relative change", shrink=0.8)
    return figure


@styled
def plot_speed_quality(
    rows: Mapping[str, Mapping[str, float]], measures: Mapping[str, str], real: str = "real"
) -> Figure:
    """Each measure by the network evaluations of a motion; bars are 95 % intervals, dashed is real motion.

    Args:
        rows: `rows` of results.json. measures: name → title.
    """
    figure, axes = panels((4.6 * len(measures), 3.4), columns=len(measures), grid=True)
    for ax, (measure, title) in zip(axes, measures.items(), strict=True):
        for number, kind in enumerate(KINDS):
            own = [row for name, row in rows.items() if name.startswith(kind) and "own-end" not in name]
            own = sorted((row for row in own if measure in row), key=lambda row: row["passes"])
            values = [[row[key] for row in own] for key in ("passes", measure)]
            half = [row.get(f"{measure}_half", 0.0) for row in own]
            ax.errorbar(*values, half, color=f"C{number}", marker="o", ms=4, lw=1.2, capsize=2, label=kind)
        if measure in rows.get(real, {}):
            ax.axhline(rows[real][measure], color="grey", ls="--", lw=1)
        ax.set(title=title, xlabel="network evaluations of one motion", xscale="log", xlim=(0.8, 1250))
    axes[0].legend()
    return figure


def answers(content: Mapping[str, Any], slow: str) -> dict[str, str]:
    """A sentence for each of the claims 1 and 4, out of results.json.

    Args:
        slow: the entrant that stands for diffusion, such as "diffusion-ddim-50".
    """
    rows, differences = content["rows"], content["differences"]

    def more(name: str, measure: str, digits: int = 2) -> str:
        row = differences[name]
        return f"{row[measure]:+.{digits}f} ± {row[f'{measure}_half']:.{digits}f}"

    took = {
        name: ratio(rows[name]["aits_all"], rows["masked"]["aits_all"]) for name in ("autoregressive", slow)
    }
    left, many = took.values()
    passes = {name: f"{rows[name]['passes']:.0f}" for name in ("masked", "autoregressive", slow)}
    auto = "autoregressive"
    return {
        "1, speed": (
            f"The masked model needs {passes['masked']} passes, the autoregressive one {passes[auto]} "
            f"({left.mean:.1f} ± {left.half:.1f} times the CPU time), diffusion {passes[slow]} "
            f"({many.mean:.1f} ± {many.half:.1f} times). FID against the masked model's "
            f"{rows['masked']['fid']:.2f}: autoregressive {more(auto, 'fid')}, diffusion {more(slow, 'fid')}; "
            f"R@1: {more(auto, 'r1', 3)}, {more(slow, 'r1', 3)}."
        ),
        "4, coherence": (
            f"Against the masked model, the autoregressive one has {more(auto, 'jerk_mean', 1)} m/s³ of jerk (masked "
            f"{rows['masked']['jerk_mean']:.1f}, real motion {rows['real']['jerk_mean']:.1f}) and "
            f"{more(auto, 'skating', 3)} of foot skating (masked {rows['masked']['skating']:.3f}, real "
            f"{rows['real']['skating']:.3f})."
        ),
    }


@styled
def plot_costs(table: Mapping[str, Mapping[str, Any]]) -> Figure:
    """CPU seconds of a motion by its length, and by the network evaluations (120 frames)."""
    figure, (by_length, by_passes) = panels((10.5, 3.4), columns=2, grid=True)
    for number, kind in enumerate(KINDS):
        own = sorted((row["passes"], name) for name, row in table.items() if name.startswith(kind))
        for (_, name), style in zip(own, ("-", "--", ":", "-.") * 4, strict=False):
            by_length.plot(
                *zip(*table[name]["seconds"].items(), strict=True), style, color=f"C{number}", label=name
            )
        points = [(passes, table[name]["seconds"][120]) for passes, name in own]
        by_passes.plot(*zip(*points, strict=True), "o-", color=f"C{number}", ms=4, label=kind)
    by_length.set(xlabel="frames", ylabel="CPU seconds of one motion", yscale="log")
    by_passes.set(xlabel="network evaluations of one motion", xscale="log", yscale="log", title="120 frames")
    for axis in (by_length.yaxis, by_passes.xaxis, by_passes.yaxis):
        plain_numbers(axis)
    figure.legend(*by_length.get_legend_handles_labels(), loc="outside right", fontsize=8)
    by_passes.legend(fontsize=8)
    return figure
