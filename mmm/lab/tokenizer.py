"""Chapter 02, tokenizer: reconstruction error by joint, action and frequency, and collapse on purpose.

*Reconstruction error*: everything looks at local positions, joints 1 to J-1 in the root's facing frame (features
4:67), in cm, as `measures.mpjpe_local` does. A clip is raw features (T, D). Reconstructions and clips are two lists.

*Collapse*: a large codebook needs three things (paper, section 3.1): codes in a *narrow* space (factorised look-up),
running means instead of gradients (*EMA*), and replacement of dead codes (*reset*). `race` trains a tokenizer for each
of the eight combinations, with the same seed and the same training budget, so that only the switches differ.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from scipy import fft
from torch import Tensor

from mmm.data import MotionFolder
from mmm.data.captions import Caption
from mmm.datasets.synthetic.program import Program
from mmm.errors import require
from mmm.fit import fit_tokenizer
from mmm.lab.data import action_classes
from mmm.motion import measures
from mmm.motion.features import feature_slices
from mmm.motion.measures import CENTIMETRES
from mmm.motion.skeleton import Skeleton, get_skeleton
from mmm.tokenizer import PRESETS
from mmm.training.run_folder import read_metrics

# The underscore: clips differ in length and are not compared with one another.
Clip = Float[Tensor, "_t _d"] | Float[np.ndarray, "_t _d"]

BANDS = (0.0, 0.5, 1.0, 2.0, 4.0, 10.0)  # Hz; at 20 frames a second nothing is faster than 10
NOTHING = 1e-6  # cm; a band in which less moves than this holds only rounding errors
EMA = 0.99
KINDS = {
    "narrow": {True: "narrow", False: "wide"},
    "ema": {True: "EMA", False: "gradient"},
    "reset": {True: "reset", False: "no reset"},
}


# ---------------------------------------------------------------------- by joint and action


def joint_errors(
    reconstructions: Sequence[Clip], clips: Sequence[Clip], skeleton: str | Skeleton = "humanml3d"
) -> Float[Tensor, " bones"]:
    """Mean error of each joint but the root over all frames, cm; its mean is the local MPJPE."""
    copies, originals = (np.concatenate(_positions(some, skeleton)) for some in (reconstructions, clips))
    return torch.from_numpy(np.linalg.norm(copies - originals, axis=-1).mean(0))


def clip_errors(
    reconstructions: Sequence[Clip], clips: Sequence[Clip], skeleton: str | Skeleton = "humanml3d"
) -> list[Float[Tensor, " _t"]]:
    """The local error of every frame of each clip, cm."""
    pairs = zip(reconstructions, clips, strict=True)
    return [measures.mpjpe_local(*(torch.tensor(np.asarray(x)) for x in pair), skeleton) for pair in pairs]


def frame_actions(program: dict[str, Any] | None, captions: Sequence[Caption], frames: int) -> list[str]:
    """The action of each frame: the main action of its segment (synthetic), or the action class of the clip.

    Args:
        program: of `MotionFolder.program`, or None; then it is the most frequent verb of the captions.
    """
    if not program or "segments" not in program:
        return [next(iter(action_classes(program, list(captions))), "all")] * frames
    segments = Program.from_dict(program).segments
    # The last frame of a capture has no step of its own, so the last segment ends with the clip.
    ends = [*(segment.end for segment in segments[:-1]), frames]
    return [segments[i].main.name for i in np.searchsorted(ends, np.arange(frames), side="right")]


def error_by_action(errors: Sequence[Float[Tensor, " _t"]], actions: Sequence[Sequence[str]]) -> pd.DataFrame:
    """Mean error of each action, worst first: index action; columns error (cm), frames, clips (that show it).

    Args:
        errors: of each clip, of every frame (`clip_errors`).
        actions: of each clip, of every frame (`frame_actions`).
    """
    frames = [
        pd.DataFrame({"action": labels, "error": error.double().numpy(), "clip": clip})
        for clip, (error, labels) in enumerate(zip(errors, actions, strict=True))
    ]
    groups = pd.concat(frames).groupby("action")
    table = groups.agg(error=("error", "mean"), frames=("error", "size"), clips=("clip", "nunique"))
    return table.sort_values("error", ascending=False)


# ---------------------------------------------------------------------- by frequency


def error_by_frequency(
    reconstructions: Sequence[Clip],
    clips: Sequence[Clip],
    fps: float = 20.0,
    edges: Sequence[float] = BANDS,
    skeleton: str | Skeleton = "humanml3d",
) -> pd.DataFrame:
    """How much clip, reconstruction and error move in each band of frequency.

    Each coordinate of each joint is transformed by the DCT-II over its clip: coefficient k of T belongs to
    k · fps / 2T Hz. The DCT continues a clip by its mirror image, so nothing jumps at the ends (a Fourier transform
    takes the first frame for the one after the last, and the jump looks like fast movement). It is orthonormal, so
    the squares of the bands add up to the square of the whole error. A swing leaks a little into other bands, because
    it has a bend where the mirror stands: of the power of 3 Hz over five seconds 2 %, and of 1 Hz less than 0.1 % into
    bands above 4 Hz.

    Args:
        edges: of the bands, Hz, rising. Frequencies outside are left out.

    Returns:
        index band; first "mean pose", the part that does not move in a clip (there `clip` and `reconstruction` are
        the distance from the mean pose of all clips' frames), then "0–0.5 Hz" and so on. Columns, cm, root mean square
        over frames and joints: clip, reconstruction, error (of their difference), and ratio, error / clip. At ratio 0
        a band is reconstructed, at 1 leaving it out would be as good. A reconstruction that moves less than the clip
        has lost movement, one that moves more has added it.

    """
    originals, copies = (_positions(some, skeleton) for some in (clips, reconstructions))
    every_frame = np.concatenate(originals)
    mean_pose, count = every_frame.mean(0), every_frame[..., 0].size  # of frames and joints
    powers = [
        np.stack([_powers(signal, fps, edges) for signal in (a - mean_pose, b - mean_pose, b - a)])
        for a, b in zip(originals, copies, strict=True)
    ]
    names = ["mean pose", *(f"{low:g}–{high:g} Hz" for low, high in zip(edges, edges[1:], strict=False))]
    columns = ["clip", "reconstruction", "error"]
    table = pd.DataFrame(np.sqrt(sum(powers) / count).T, index=names, columns=columns)
    table["ratio"] = table["error"] / table["clip"].where(table["clip"] > NOTHING)
    return table.rename_axis("band")


def _powers(signal: np.ndarray, fps: float, edges: Sequence[float]) -> np.ndarray:
    """(bands + 1,) squares of a signal (T, J-1, 3): of its mean, then in each band."""
    squares = np.square(fft.dct(signal, axis=0, norm="ortho")).sum((1, 2))
    frequency = np.arange(len(signal)) * fps / (2 * len(signal))
    band = np.searchsorted(edges, frequency, side="right")  # 1, 2, …; 0 and len(edges) lie outside
    inside = (band >= 1) & (band < len(edges))
    inside[0] = False  # the mean, which is no movement
    powers = np.bincount(band[inside], squares[inside], minlength=len(edges))
    powers[0] = squares[0]
    return powers


def _positions(clips: Sequence[Clip], skeleton: str | Skeleton) -> list[np.ndarray]:
    """Local positions (T, J-1, 3) of each clip, cm."""
    body = get_skeleton(skeleton)
    where = feature_slices(body)["positions"]
    return [
        np.asarray(clip)[:, where].astype(np.float64).reshape(len(clip), -1, 3) * CENTIMETRES[body.unit]
        for clip in clips
    ]


# ---------------------------------------------------------------------- collapse on purpose


def combinations() -> pd.DataFrame:
    """The eight combinations: index name ("narrow · EMA · reset"); columns narrow, ema, reset (True or False)."""
    table = pd.DataFrame(product((True, False), repeat=3), columns=list(KINDS))
    return table.set_axis(in_words(table).agg(" · ".join, axis=1))


def in_words(table: pd.DataFrame) -> pd.DataFrame:
    """The columns narrow, ema and reset as words."""
    return table[list(KINDS)].apply(lambda column: column.map(KINDS[column.name]))


def switches(preset: str, flags: pd.Series) -> dict[str, Any]:
    """A row of `combinations` as changes to the preset's `TokenizerConfig`.

    Narrow is the preset's own code width, wide is as wide as its network (no factorisation).
    """
    sizes = PRESETS[preset]
    width = sizes.code_dim if flags.narrow else sizes.width
    return {"code_dim": width, "ema": EMA if flags.ema else 0.0, "reset": "dead" if flags.reset else "none"}


def race(
    folder: MotionFolder,
    out: str | os.PathLike,
    preset: str = "tiny",
    codes: int = 512,
    options: Mapping[str, Any] | None = None,
    **changes: Any,
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Train the eight combinations, one run each in OUT. Runs are continued, and finished runs are only read.

    Args:
        codes: of each codebook; about twice the tokens of a batch, as in the paper (8,192 to 4,096).
        options: for `mmm.training.loop.train` (resume, cpu, progress).
        changes: to the preset's training options (steps, batch_size, lr, seed).
    Returns:
        a row for each combination: narrow, ema, reset (True or False); usage (ratio of the codes), perplexity,
        mpjpe_local and mpjpe_global (cm) of val. And the `usage_history` of each, by name.
    """
    table, metrics, histories = combinations(), {}, {}
    for name, flags in table.iterrows():
        run = Path(out) / name.replace(" · ", "-").replace(" ", "-")
        model = switches(preset, flags) | {"codes": codes}
        result = fit_tokenizer(folder, run, preset, model=model, options=dict(options or {}), **changes)
        metrics[name] = {key.removeprefix("val/"): value for key, value in result.metrics.items()}
        histories[name] = usage_history(run)
    return table.join(pd.DataFrame(metrics).T.drop(columns="turn_share")), histories


def usage_history(run: str | os.PathLike) -> pd.DataFrame:
    """The use of the codebook after every epoch, as a tokenizer's run has logged it: one row an epoch, index step.

    Columns: epoch, entropy (bits), perplexity and dead (codes) of the codes chosen in that epoch, and resets, the
    replacements since the start.

    Raises:
        ValueError: the run has logged no epoch.
    """
    lines = [line for line in read_metrics(Path(run) / "metrics.jsonl") if "epoch" in line]
    require(lines, f"the run in {run} has logged no epoch; train it for longer.")
    frame = pd.DataFrame(lines).set_index("step")
    return frame.rename(columns=lambda name: name.removeprefix("epoch/"))
