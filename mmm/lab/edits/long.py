"""Long sequences: how visible are the transitions from one action to the next?

Each sequence has three actions, with texts and lengths of held-out clips. A window of 64 frames around every transition
is compared with windows from the middle of single actions, real and generated, and with real clips that are simply
concatenated. Transitions of 0 to 16 tokens are generated as in `MMM.generate_long`. The authors' release fills two
tokens in one pass with the left text only (`release_tokens`; docs/REPRODUCTION.md, "Sampling").
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from tqdm import tqdm

from mmm.errors import require
from mmm.lab.edits.held_out import HeldOut
from mmm.lab.edits.metrics import fid, in_order, jerk_by_frame, paired, paired_fid, summarise, world
from mmm.model import MMM
from mmm.motion import measures
from mmm.sampling import fill
from mmm.sequences import long_tokens
from mmm.text import TextEmbedding
from mmm.tokenizer.model import decode_in_pieces
from mmm.transformer import MASK

TRANSITIONS = (0, 2, 4, 8, 16)  # tokens
ACTIONS = 3  # in a sequence
WINDOW = 64  # frames around a transition: as wide as the longest one
CLOSE = 4  # frames on either side of the middle, where a cut would be seen
SEQUENCES = 60  # by default: 120 windows
METRICS = ("seam_peak", "peak", "mean", "skating")
RELEASE = "2 tokens, the release's way"


@dataclass(frozen=True)
class Seam:
    """A frame `middle` of a motion at which a window is taken, and the (start, stop) of the action before it."""

    features: Float[np.ndarray, "_t d"]
    middle: int
    action: tuple[int, int]


def draw_sequences(
    held: HeldOut, longest: int, shortest: int = WINDOW + 8
) -> tuple[list[list[int]], list[int]]:
    """Sequences of three clips of one half of the split, and the clips of the other half, the reference of FID.

    Args:
        longest, shortest: frames that a clip may have: a model generates no longer ones, and the longest transition
            must leave something of every action.
    Returns:
        for each sequence its clips, whose captions and lengths it takes; clips of the reference.
    Raises:
        ValueError: too few clips.
    """
    lengths = held.packed.lengths
    order = torch.randperm(len(held), generator=held.generator("order")).tolist()
    usable = [clip for clip in order if shortest <= lengths[clip] <= longest]
    require(
        len(usable) >= 2 * ACTIONS,
        f"{len(usable)} clips of this split of {held.folder.path} have {shortest} to {longest} frames, but "
        f"{2 * ACTIONS} are needed: three for a sequence and as many to compare with; take another split.",
    )
    half = len(usable) // 2
    sequences = []
    for number in range(held.config.clips or SEQUENCES):
        chosen = torch.randperm(half, generator=held.generator("pairs", number))[:ACTIONS].tolist()
        sequences.append([usable[i] for i in chosen])
    return sequences, usable[half:]


def window(features: Float[np.ndarray, "t d"], middle: int) -> Float[np.ndarray, "size d"]:
    """WINDOW frames around the seam before frame `middle`."""
    start = middle - WINDOW // 2
    return np.asarray(features[start : start + WINDOW], np.float32)


def window_numbers(
    piece: Float[np.ndarray, "t d"], fps: float = 20.0, skeleton: str = "humanml3d"
) -> dict[str, float]:
    """METRICS of a window: peak jerk (mean over joints, m/s³) of the CLOSE frames on either side of the middle, peak
    and mean jerk of the whole window, foot skating."""
    joints = world(piece, skeleton)
    jerk = jerk_by_frame(joints, fps, skeleton)
    middle = len(piece) // 2
    return {
        "seam_peak": float(jerk[middle - CLOSE : middle + CLOSE - 3].max()),
        "peak": float(jerk.max()),
        "mean": float(jerk.mean()),
        "skating": float(measures.foot_skating(joints, fps, skeleton)),
    }


def release_tokens(
    model: MMM,
    tokens: Int64[Tensor, "p n"],
    bounds: Sequence[int],
    text: TextEmbedding,
    seed: int = 0,
    **options: Any,
) -> Int64[Tensor, "p n"]:
    """Transitions as in the release: two tokens, in one pass, with the left text only; both neighbours in sight.

    Args:
        tokens, bounds: of `long_tokens` without transitions. seed: as there. options: of the sampler.
    """
    tokens, options = tokens.clone(), {**options, "steps": 1}
    most = (model.transformer.config.max_tokens - 2) // 2
    for i, seam in enumerate(bounds[1:-1]):
        left, right = max(bounds[i], seam - 1 - most), min(bounds[i + 2], seam + 1 + most)
        canvas = tokens[None, :, left:right].clone()
        canvas[:, :, seam - 1 - left : seam + 1 - left] = MASK
        size, seeds = torch.tensor([right - left], device=canvas.device), [seed + 1_000_000 + i]
        filled = fill(model.transformer, canvas, size, text[[i]], seeds=seeds, **options)
        tokens[:, left:right] = filled.tokens[0]
    return tokens


# ---------------------------------------------------------------------- one sequence in every kind


def seams_of_sequence(
    model: MMM, held: HeldOut, number: int, clips: Sequence[int], transitions: Sequence[int]
) -> dict[str, list[Seam]]:
    """The two seams of a sequence in every kind of motion (`evaluate_long`)."""
    motions, ratio = [held.motion(clip) for clip in clips], model.tokenizer.config.ratio
    lengths, text = [len(motion) for motion in motions], model.embed([motion.text for motion in motions])
    # action i takes the seed + i
    options = {"guidance": model.guidance, "seed": held.noise(10 * number), **held.config.sampler()}
    tokens = {}
    for size in (0, *(size for size in transitions if size)):
        tokens[f"{size} tokens"], bounds = long_tokens(
            model.transformer, text, lengths, ratio=ratio, transition=size, **options
        )
    plain = tokens["0 tokens"]
    if 0 not in transitions:
        del tokens["0 tokens"]
    tokens[RELEASE] = release_tokens(model, plain, bounds, text, **options)
    starts = [ratio * bound for bound in bounds]
    seams = {kind: _between(_decode(model, x, sum(lengths)), starts) for kind, x in tokens.items()}
    alone = [_decode(model, plain[:, a:b], ratio * (b - a)) for a, b in itertools.pairwise(bounds)]
    real = [motion.features for motion in motions]
    seams["generated action"] = _within(alone, held.generator("windows", number))
    seams["real action"] = _within(real, held.generator("windows", number))
    seams["real, cut"] = _between(np.concatenate(real), [0, *itertools.accumulate(lengths)])
    return seams


def _between(features: np.ndarray, bounds: Sequence[int]) -> list[Seam]:
    """Where one action becomes the next."""
    return [Seam(features, b, (a, b)) for a, b in itertools.pairwise(bounds[:-1])]


def _within(actions: Sequence[np.ndarray], random: torch.Generator) -> list[Seam]:
    """A random frame of each action but the last."""
    return [Seam(action, _middle(len(action), random), (0, len(action))) for action in actions[:-1]]


def _middle(frames: int, random: torch.Generator) -> int:
    """The middle of a random window of a clip."""
    return WINDOW // 2 + int(torch.randint(frames - WINDOW + 1, (1,), generator=random))


def _decode(model: MMM, tokens: Int64[Tensor, "p n"], frames: int) -> Float[np.ndarray, "t d"]:
    return decode_in_pieces(model.tokenizer, tokens, frames).numpy()


# ---------------------------------------------------------------------- all sequences


def evaluate_long(
    model: MMM, held: HeldOut, transitions: Sequence[int] = TRANSITIONS, progress: bool = True
) -> tuple[pd.DataFrame, dict[str, Float[Tensor, "_n width"]]]:
    """Generate every sequence with every length of transition, and evaluate windows around the transitions.

    Returns:
        a row for each window: kind, window (its number; the same seam in all kinds), text and next (of the actions left
        and right of it), the METRICS, and r1, r3 of the whole action left of it with its text. And embeddings of the
        windows by kind. Kinds: "N tokens", RELEASE, "generated action" and "real action" (within single actions),
        "real, cut" (concatenated clips); "reference" (of other real clips, for FID) has no rows.
    Raises:
        ValueError: too few clips are long enough; bad options.
    """
    shortest = max(WINDOW, max(transitions, default=0) * model.tokenizer.config.ratio) + 8
    sequences, reference = draw_sequences(held, model.max_frames, shortest)
    rows, embeddings = [], defaultdict(list)
    for number, clips in enumerate(tqdm(sequences, "long sequences", unit="sequence", disable=not progress)):
        for kind, seams in seams_of_sequence(model, held, number, clips, transitions).items():
            for i, seam in enumerate(seams):
                piece = window(seam.features, seam.middle)
                embeddings[kind].append(held.embed(piece))
                numbers = window_numbers(piece, held.folder.fps, held.folder.skeleton)
                action = np.asarray(seam.features[slice(*seam.action)], np.float32)
                numbers |= held.query(clips[i]).hits(held.embed(action))
                about = {"kind": kind, "window": (ACTIONS - 1) * number + i}
                about |= {"text": held.captions[clips[i]].text, "next": held.captions[clips[i + 1]].text}
                rows.append(about | numbers)
    random = held.generator("windows", len(held))
    for i in range((ACTIONS - 1) * len(sequences)):
        clip = held.packed.clip(reference[i % len(reference)])
        embeddings["reference"].append(held.embed(window(clip, _middle(len(clip), random))))
    return in_order(pd.DataFrame(rows), "kind"), {kind: torch.cat(v) for kind, v in embeddings.items()}


def long_tables(
    rows: pd.DataFrame, embeddings: dict[str, Float[Tensor, "_n width"]], held: HeldOut
) -> dict[str, pd.DataFrame]:
    """The results of `evaluate_long` in two tables.

    Returns:
        summary: by kind, means of the METRICS, r1, r3 with intervals, and fid of the windows against the reference: as
        many windows of other real clips. "real action" is its floor. "real, cut" is what any transition between such
        actions costs at least, since no real clip shows two of them.
        less: how much smaller each metric is than that of a baseline ("0 tokens", RELEASE) at the same seam.
    """
    columns, kinds = [*METRICS, "r1", "r3"], list(rows["kind"].unique())
    summary = summarise(rows, ("kind",), columns)
    reference = embeddings["reference"]
    for kind in kinds:
        summary.loc[kind, "fid"] = fid(reference, embeddings[kind])
    pairs = [
        (kind, other) for kind in kinds for other in ("0 tokens", RELEASE) if kind != other and other in kinds
    ]
    less = paired(rows, "window", pairs, columns, "kind")
    by_kind = {kind: embeddings[kind] for kind in kinds}
    less += paired_fid(reference, by_kind, pairs, held.generator("bootstrap"), same_clips=False)
    return {"summary": summary, "less": pd.DataFrame(less)}
