"""Long sequences: how much does one see and measure of the places where one action becomes the next?

Three actions a sequence, texts and lengths from held-out clips. Around every place where two meet a window of 64
frames is cut out, and compared with windows out of the middle of single actions, real and generated, and with real
clips that are merely put one behind the other. Transitions of 0 to 16 tokens are made by `generate_long`'s own
function; the authors' release fills two tokens in one pass and with the left text only (REPRODUCTION.md, "Sampling").
"""

from __future__ import annotations

import itertools
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
from mmm.lab.edits.clips import HeldOut
from mmm.lab.edits.judge import Judge, fid, fids_less
from mmm.lab.edits.measures import jerk_by_frame, paired, summarise, world
from mmm.model import MMM
from mmm.motion import measures
from mmm.sampling import fill
from mmm.sequences import long_tokens
from mmm.text import TextEmbedding
from mmm.tokenizer.model import decode_in_pieces
from mmm.transformer import MASK

TRANSITIONS = (0, 2, 4, 8, 16)  # tokens
ACTIONS = 3  # in a sequence
WINDOW = 64  # frames around a place where two actions meet: as wide as the longest transition
CLOSE = 4  # frames to either side, where a cut would be seen
SEQUENCES = 60  # by default: 120 windows
MEASURES = ("seam_peak", "peak", "mean", "skating")
RELEASE = "2 tokens, the release's way"


@dataclass(frozen=True)
class Drawn:
    """Numbers of the clips whose captions and lengths make one sequence, and the sequence's own number."""

    number: int
    clips: tuple[int, ...]


def draw_sequences(
    held: HeldOut, count: int, longest: int, shortest: int = WINDOW + 8
) -> tuple[list[Drawn], list[int]]:
    """Sequences of three clips of one half of the split, and the clips of the other half, the reference of FID.

    Args:
        longest, shortest: frames that a clip may have: a model makes no longer ones, and the longest transition
            must leave something of every action.
    Returns:
        sequences; clips of the reference.
    Raises:
        ValueError: too few clips.
    """
    require(count >= 1, f"clips is {count}; give 1 or more sequences.")
    lengths = held.packed.lengths
    order = torch.randperm(len(held), generator=held.generator("order")).tolist()
    usable = [clip for clip in order if shortest <= lengths[clip] <= longest]
    require(
        len(usable) >= 2 * ACTIONS,
        f"{len(usable)} clips of this split of {held.folder.path} have {shortest} to {longest} frames, but "
        f"{2 * ACTIONS} are needed: three for a sequence and as many to compare with; take another split.",
    )
    half = len(usable) // 2
    own, reference = usable[:half], usable[half:]
    found = []
    for number in range(count):
        chosen = torch.randperm(half, generator=held.generator("pairs", number))[:ACTIONS].tolist()
        found.append(Drawn(number, tuple(own[i] for i in chosen)))
    return found, reference


def window(
    features: Float[np.ndarray, "t d"], middle: int, size: int = WINDOW
) -> Float[np.ndarray, "size d"]:
    """`size` frames around frame `middle` (the first behind the place that is looked at).

    Raises:
        ValueError: the motion has too few frames there.
    """
    start = middle - size // 2
    require(
        start >= 0 and start + size <= len(features),
        f"a window of {size} frames around frame {middle} does not fit into {len(features)} frames.",
    )
    return np.asarray(features[start : start + size], np.float32)


def window_numbers(
    piece: Float[np.ndarray, "t d"], fps: float = 20.0, skeleton: str = "humanml3d"
) -> dict[str, float]:
    """What is measured of a window.

    Returns:
        seam_peak: the largest jerk (mean over joints, m/s³) that holds frames of the CLOSE ones to either side of the
        middle; peak and mean of the whole window. skating of the window.
    """
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
    """Transitions in the release's way: two tokens, in one pass, with the left text only; both neighbours in sight.

    Args:
        tokens, bounds: of `long_tokens` without transitions. seed: as there. options: of the sampler.
    """
    tokens, options = tokens.clone(), {**options, "steps": 1}
    most = (model.transformer.config.max_tokens - 2) // 2
    for i, seam in enumerate(bounds[1:-1]):
        left, right = max(bounds[i], seam - 1 - most), min(bounds[i + 2], seam + 1 + most)
        canvas = tokens[None, :, left:right].clone()
        canvas[:, :, seam - 1 - left : seam + 1 - left] = MASK
        noise = [seed + 1_000_000 + i]
        size = torch.tensor([right - left], device=canvas.device)
        tokens[:, left:right] = fill(
            model.transformer, canvas, size, text[[i]], seeds=noise, **options
        ).tokens[0]
    return tokens


@dataclass(frozen=True)
class Place:
    """A place in a motion: the frame `middle` of `features`, and the frames of the action before it."""

    features: Float[np.ndarray, "_t d"]
    middle: int
    action: tuple[int, int]


def measure_long(
    model: MMM,
    judge: Judge,
    transitions: Sequence[int] = TRANSITIONS,
    count: int | None = None,
    progress: bool = True,
    **options: Any,
) -> tuple[pd.DataFrame, dict[str, Float[Tensor, "_n width"]]]:
    """Make every sequence with every length of transition, and measure windows around the transitions.

    Args:
        count: sequences, SEQUENCES by default; two windows each. options: of the sampler.
    Returns:
        a row for each window: kind, window (its number, the same place in all kinds), text and next (left and right of
        it), the MEASURES, and r1, r3 of the whole action left of it, as it came out, with its text. And embeddings of
        the windows by kind. Kinds: "N tokens", RELEASE, "generated action" and "real action" (somewhere within single
        ones), "real, cut" (clips one behind the other); "reference" (of other real clips, for FID) has no rows.
    Raises:
        ValueError: too few clips long enough; bad options.
    """
    held, rows, pieces = judge.held, [], {}
    shortest = max(WINDOW, max(transitions, default=0) * model.tokenizer.config.ratio) + 8
    sequences, reference = draw_sequences(held, count or SEQUENCES, model.max_frames, shortest)
    for sequence in tqdm(sequences, "long sequences", unit="sequence", disable=not progress):
        for kind, places in _places(model, held, sequence, transitions, options).items():
            for i, place in enumerate(places):
                left, right = sequence.clips[i : i + 2]
                piece = window(place.features, place.middle)
                pieces.setdefault(kind, []).append(piece)
                action = judge.embed([place.features[slice(*place.action)]])
                hits = judge.found(action, [held.captions[left]], [held.shown[left]], [left])
                rows.append(
                    {
                        "kind": kind,
                        "window": (ACTIONS - 1) * sequence.number + i,
                        "text": held.captions[left].text,
                        "next": held.captions[right].text,
                        **window_numbers(piece, held.folder.fps, held.folder.skeleton),
                        **{name: float(value[0]) for name, value in hits.items()},
                    }
                )
    random = held.generator("windows", len(held))
    others = [reference[i % len(reference)] for i in range((ACTIONS - 1) * len(sequences))]
    pieces["reference"] = [_somewhere(held.packed.clip(clip), random) for clip in others]
    table = pd.DataFrame(rows).sort_values(
        "kind", key=lambda kinds: kinds.map(list(pieces).index), kind="stable"
    )
    return table.reset_index(drop=True), {kind: judge.embed(found) for kind, found in pieces.items()}


def _places(
    model: MMM, held: HeldOut, sequence: Drawn, transitions: Sequence[int], options: dict[str, Any]
) -> dict[str, list[Place]]:
    """The two places of a sequence in every kind of motion."""
    clips, ratio = [held.motion(clip) for clip in sequence.clips], model.tokenizer.config.ratio
    lengths, text = [len(clip.features) for clip in clips], model.embed([clip.text for clip in clips])
    noise = held.noise(10 * sequence.number)  # segment i takes noise + i
    how = {"seed": noise, "guidance": model.info.get("guidance", 1.0), **options}
    plain, bounds = long_tokens(model.transformer, text, lengths, ratio=ratio, transition=0, **how)
    made = {"0 tokens": plain} if 0 in transitions else {}
    for size in transitions:
        if size:
            more = {"ratio": ratio, "transition": size, **how}
            made[f"{size} tokens"], _ = long_tokens(model.transformer, text, lengths, **more)
    made[RELEASE] = release_tokens(model, plain, bounds, text, **how)
    ends = [ratio * b for b in bounds]
    found = {kind: _seams(_decoded(model, tokens, sum(lengths)), ends) for kind, tokens in made.items()}
    alone = [_decoded(model, plain[:, a:b], ratio * (b - a)) for a, b in itertools.pairwise(bounds)]
    real = [np.asarray(clip.features, np.float32) for clip in clips]
    for kind, actions in (("generated action", alone), ("real action", real)):
        random = held.generator("windows", sequence.number)
        found[kind] = [
            Place(action, _middle(len(action), random), (0, len(action))) for action in actions[: ACTIONS - 1]
        ]
    found["real, cut"] = _seams(np.concatenate(real), [0, *itertools.accumulate(lengths)])
    return found


def _seams(features: np.ndarray, bounds: Sequence[int]) -> list[Place]:
    return [Place(features, b, (a, b)) for a, b in itertools.pairwise(bounds[:-1])]


def _decoded(model: MMM, tokens: Int64[Tensor, "p n"], frames: int) -> Float[np.ndarray, "t d"]:
    return decode_in_pieces(model.tokenizer, tokens, frames).numpy()


def _middle(frames: int, random: torch.Generator) -> int:
    """The middle of a window somewhere in so many frames."""
    return WINDOW // 2 + int(torch.randint(frames - WINDOW + 1, (1,), generator=random))


def _somewhere(features: np.ndarray, random: torch.Generator) -> np.ndarray:
    return window(features, _middle(len(features), random))


def long_tables(
    table: pd.DataFrame, embedded: dict[str, Float[Tensor, "_n width"]], held: HeldOut
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What `measure_long` found, in two tables.

    Returns:
        summary: by kind, means of the MEASURES, r1, r3 with intervals, and fid of the windows against the reference:
            as many windows of other real clips ("real action" is its floor; "real, cut" what any transition between
            such actions costs at least, since no real clip shows two of them).
        less: how much smaller each measure is than that of a baseline ("0 tokens", RELEASE) at the same place.
    """
    measured = [*MEASURES, "r1", "r3"]
    summary = summarise(table, ("kind",), measured)
    kinds = list(table["kind"].unique())
    for kind in kinds:
        summary.loc[kind, "fid"] = fid(embedded["reference"], embedded[kind])
    pairs = [(m, b) for m in kinds for b in ("0 tokens", RELEASE) if m != b and b in kinds]
    renamed = table.rename(columns={"kind": "method"}).assign(all="all")
    less = paired(renamed, ("all",), "window", pairs, measured).drop(columns="all")
    made = {kind: embedded[kind] for kind in kinds}
    differences = fids_less(embedded["reference"], made, pairs, held.generator("bootstrap"), same_clips=False)
    more = [[*pair, "fid", len(made[pair[0]]), *values] for pair, values in differences.items()]
    return summary, pd.concat([less, pd.DataFrame(more, columns=less.columns)], ignore_index=True)
