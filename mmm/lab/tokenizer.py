"""Collapse on purpose: the eight tokenizers with and without each of the three things that keep a codebook alive.

Paper, section 3.1, holds that a large codebook lives by three means: codes in a *narrow* space (factorised look-up),
running means instead of gradients (*EMA*), and replacement of dead codes (*reset*). Each is switched off alone and
with the others, same seed, same budget, so that every difference is the switch's. Notebook 02 shows the figure.


What the tokenizer loses: errors of a reconstruction by joint, by content and by frequency (notebook 02).

All of it looks at local positions: joints 1 to J-1 in the root's facing frame (features 4:67), in cm, as
`measures.mpjpe_local` does. A clip is raw features (T, D); the true clips and the copies come as two lists.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from mmm.lab.data import contents_of
from mmm.motion import measures
from mmm.motion.features import feature_slices
from mmm.motion.measures import CENTIMETRES
from mmm.motion.skeleton import Skeleton, get_skeleton
from mmm.tokenizer import PRESETS as TOKENIZERS
from mmm.training.run_folder import read_metrics

if TYPE_CHECKING:
    from pandas import DataFrame

# The underscore: clips differ in length, and two that do not fit get a sentence of ours.
Clip = Float[Tensor, "_t _d"] | Float[np.ndarray, "_t _d"]

BANDS = (0.0, 0.5, 1.0, 2.0, 4.0, 10.0)  # Hz; at 20 frames a second nothing is faster than 10
NOTHING = 1e-6  # cm; a band in which less moves than this holds rounding, of which there is no share


def joint_errors(
    made: Sequence[Clip], true: Sequence[Clip], skeleton: str | Skeleton = "humanml3d"
) -> Float[Tensor, " bones"]:
    """Mean error of each joint but the root over all frames, cm; its mean is the local MPJPE.

    Raises:
        ValueError: not as many copies as clips, or of other lengths.
    """
    differences = _errors(made, true, skeleton)
    return torch.from_numpy(np.linalg.norm(np.concatenate(differences), axis=-1).mean(0))


def clip_errors(
    made: Sequence[Clip], true: Sequence[Clip], skeleton: str | Skeleton = "humanml3d"
) -> list[Float[Tensor, " _t"]]:
    """Of each clip the local error of every frame, cm."""
    _same_count(made, true)
    pairs = zip(made, true, strict=True)
    return [measures.mpjpe_local(*map(_tensor, pair), skeleton) for pair in pairs]


def frame_contents(program: dict[str, Any] | None, captions: Sequence[Caption], frames: int) -> list[str]:
    """What each frame of a clip shows: the main action of its segment (synthetic), else the content of the clip.

    Args:
        program: as `MotionFolder.program` gives it, or None; then the captions' most frequent verb has to do.
    """
    if program and "segments" in program:
        segments = Program.from_dict(program).segments
        names = [segment.main.name for segment in segments]
        # the last frame of a capture has no step of its own: the clip ends where its last segment does
        ends = [*(segment.end for segment in segments[:-1]), frames]
        return [names[int(np.searchsorted(ends, frame, side="right"))] for frame in range(frames)]
    return [next(iter(contents_of(program, list(captions))), "all")] * frames


def error_by_content(errors: Sequence[Float[Tensor, " _t"]], contents: Sequence[Sequence[str]]) -> DataFrame:
    """Mean error of each content, worst first: index content; columns error (cm), frames, clips (that show it).

    Args:
        errors: of each clip, of every frame (`clip_errors`).
        contents: of each clip, of every frame (`frame_contents`).

    Raises:
        ValueError: labels and errors do not belong together.
    """
    from pandas import DataFrame

    _same_count(errors, contents)
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0, 0])
    for clip, (error, labels) in enumerate(zip(errors, contents, strict=True)):
        require(
            len(error) == len(labels),
            f"clip {clip} has errors of {len(error)} frames, but contents of {len(labels)}; give one a frame",
        )
        for frame, label in zip(error.tolist(), labels, strict=True):
            sums[label][0] += frame
            sums[label][1] += 1
        for label in set(labels):
            sums[label][2] += 1
    rows = {name: (total / frames, frames, clips) for name, (total, frames, clips) in sums.items()}
    table = DataFrame.from_dict(rows, orient="index", columns=["error", "frames", "clips"])
    return table.rename_axis("content").sort_values("error", ascending=False)


def error_by_frequency(
    made: Sequence[Clip],
    true: Sequence[Clip],
    fps: float = 20.0,
    edges: Sequence[float] = BANDS,
    skeleton: str | Skeleton = "humanml3d",
) -> DataFrame:
    """How much moves, how much of it comes back and how much is wrong, band by band of frequency.

    Each coordinate of each joint is taken apart by the DCT-II over its clip: coefficient k of T belongs to
    k · fps / 2T Hz. It continues a clip by its own mirror image, so that nothing jumps at the ends (a Fourier transform
    takes the first frame for the one after the last, and the jump looks like fast movement); and it is orthonormal, so
    that the squares of the bands add up to the square of the whole error. A swing leaks a little into the bands beside
    its own, having a bend where the mirror stands: of the power of 3 Hz over five seconds 2 %, and of 1 Hz less than
    0.1 % into what is faster than 4 Hz.

    Args:
        edges: of the bands, Hz, rising. What is slower or faster than all of them is left out.

    Returns:
        index band; first "mean pose", what does not move in a clip (there `true` and `made` are the distance from
        the mean pose of all true frames), then "0–0.5 Hz" and so on. Columns, cm, root mean square over frames and
        joints: true, made (movement of clip and copy), error (of their difference), and ratio, error / true. At ratio
        0 a band comes back, at 1 one might as well have left it out; made below true is movement lost, above it
        movement invented.

    Raises:
        ValueError: clips and copies do not fit, edges do not rise, fps is not above 0.
    """
    from pandas import DataFrame

    require(
        len(edges) >= 2 and bool((np.diff(edges) > 0).all()) and edges[0] >= 0 and fps > 0,
        f"edges are {tuple(edges)} Hz at {fps} fps, expected two or more that rise from 0 or above, and fps above 0",
    )
    errors = _errors(made, true, skeleton)
    originals, copies = ([_positions(clip, skeleton) for clip in clips] for clips in (true, made))
    middle = np.concatenate(originals).mean(0)
    names = ["mean pose", *(f"{low:g}–{high:g} Hz" for low, high in zip(edges, edges[1:], strict=False))]
    squares = np.zeros((3, len(names)))
    for triple in zip(originals, copies, errors, strict=True):
        frames = len(triple[0])
        frequency = np.arange(frames) * fps / (2 * frames)
        band = np.searchsorted(edges, frequency, side="right")  # 1, 2, …; 0 and len(names) lie outside
        band[0] = len(names) + 1  # the mean, which is no movement
        for row, signal in enumerate(triple):
            size = np.square(fft.dct(signal - (middle if row < 2 else 0), axis=0, norm="ortho")).sum((1, 2))
            inside = (band >= 1) & (band < len(names))
            squares[row, 0] += size[0]
            squares[row] += np.bincount(band[inside], size[inside], minlength=len(names))
    count = sum(len(error) for error in errors) * errors[0].shape[1]
    table = DataFrame(np.sqrt(squares / count).T, index=names, columns=["true", "made", "error"])
    table["ratio"] = table["error"] / table["true"].where(table["true"] > NOTHING)
    return table.rename_axis("band")


def _errors(made: Sequence[Clip], true: Sequence[Clip], skeleton: str | Skeleton) -> list[np.ndarray]:
    """(T, J-1, 3) of each clip, cm."""
    _same_count(made, true)
    for number, (copy, clip) in enumerate(zip(made, true, strict=True)):
        require(
            tuple(copy.shape) == tuple(clip.shape),
            f"clip {number} has shape {tuple(clip.shape)}, its copy {tuple(copy.shape)}; cut the copy to its clip",
        )
    return [_positions(a, skeleton) - _positions(b, skeleton) for a, b in zip(made, true, strict=True)]


def _same_count(some: Sequence[Any], others: Sequence[Any]) -> None:
    require(
        some and len(some) == len(others),
        f"found {len(some)} and {len(others)} clips, expected as many of the one as of the other, at least one",
    )


def _positions(clip: Clip, skeleton: str | Skeleton) -> np.ndarray:
    body = get_skeleton(skeleton)
    place = feature_slices(body)["positions"]
    return _tensor(clip)[:, place].double().numpy().reshape(len(clip), -1, 3) * CENTIMETRES[body.unit]


def _tensor(clip: Clip) -> Tensor:
    return clip if isinstance(clip, Tensor) else torch.from_numpy(np.array(clip))


EMA = 0.99
FLAGS = tuple(product((True, False), repeat=3))  # narrow, EMA, reset of each combination


def combinations(preset: str) -> dict[str, dict[str, Any]]:
    """By name ("narrow · EMA · reset"): changes to the preset's `TokenizerConfig`.

    Narrow is the preset's own code width, wide is as wide as its network (no factorisation).

    Raises:
        ValueError: an unknown preset.
    """
    require(preset in TOKENIZERS, f"preset is {preset!r}, expected one of {', '.join(TOKENIZERS)}.")
    sizes, found = TOKENIZERS[preset], {}
    for narrow, ema, reset in FLAGS:
        name = " · ".join([
            "narrow" if narrow else "wide",
            "EMA" if ema else "gradient",
            "reset" if reset else "no reset",
        ])  # fmt: skip
        found[name] = {
            "code_dim": sizes.code_dim if narrow else sizes.width,
            "ema": EMA if ema else 0.0,
            "reset": "dead" if reset else "none",
        }
    return found


def race(
    folder: MotionFolder,
    out: str | os.PathLike,
    preset: str = "tiny",
    codes: int = 512,
    options: Mapping[str, Any] | None = None,
    **changes: Any,
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Train the eight, one run each in OUT (or go on with them; runs that are done are only read).

    Args:
        codes: of each codebook; about twice the tokens of a batch are the paper's proportion (8,192 to 4,096).
        options: for `mmm.training.loop.train` (resume, cpu, progress).
        changes: to the preset's `TrainConfig` (steps, batch_size, lr, seed).
    Returns:
        a row for each combination: narrow, ema, reset (True or False); usage (share of the codes), perplexity,
        mpjpe_local and mpjpe_global (cm) of val. And by name what each noted per epoch: index step, columns entropy
        (bits), perplexity, dead, resets.
    """
    rows, histories = {}, {}
    for (name, switches), (narrow, ema, reset) in zip(combinations(preset).items(), FLAGS, strict=True):
        place = Path(out) / name.replace(" · ", "-").replace(" ", "-")
        model = {**switches, "codes": codes}
        result = fit_tokenizer(folder, place, preset, model=model, options=dict(options or {}), **changes)
        flags = {"narrow": narrow, "ema": ema, "reset": reset}
        rows[name] = flags | {key.removeprefix("val/"): value for key, value in result.metrics.items()}
        histories[name] = usage_history(place)
    return pd.DataFrame(rows).T.drop(columns="turn_share").infer_objects(), histories


def usage_history(run: str | os.PathLike) -> pd.DataFrame:
    """What a tokenizer's run noted of its codebook after every epoch: index step, columns as in its metrics.jsonl.

    Columns: epoch, entropy (bits), perplexity and dead (codes) of the choices made in that epoch, and resets, the
    replacements since the start.

    Raises:
        ValueError: the run noted none (it is too short, or older than these notes).
    """
    lines = [line for line in read_metrics(Path(run) / "metrics.jsonl") if "epoch" in line]
    require(lines, f"the run in {run} has noted no epoch; train it for longer, or anew.")
    frame = pd.DataFrame(lines).set_index("step")
    return frame.rename(columns=lambda name: name.removeprefix("epoch/"))
