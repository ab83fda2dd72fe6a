"""Training of the tokenizer (paper section 3.1; REPRODUCTION, "Tokenizer") and the measures it is judged by.

Optimizer, steps, precision and so on are `TrainConfig`'s; here is what is particular to the tokenizer:
windows of motion drawn from a memory-mapped split.


What a reconstruction is worth in the world: places, speeds, accelerations and standing feet of recovered joints.

The paper's loss (section 3.1) compares features number by number. An error of the root's turn or step that is small
there is added up along the path, a joint that trembles by a millimetre hardly counts, and a foot slides as soon as
its own movement and the root's do not cancel. The terms below compare what is seen: the joints after recovery.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmm.data.batches import PackedSplit, draw_weighted
from mmm.errors import atomic_write, require
from mmm.motion import measures
from mmm.motion.features import features_to_joints
from mmm.motion.measures import CENTIMETRES, FOOT_HEIGHT, FOOT_SPEED
from mmm.motion.mirror import mirror_features
from mmm.motion.skeleton import Skeleton, get_skeleton
from mmm.tokenizer import parts
from mmm.tokenizer.codebook import codebook_report, usage_report
from mmm.tokenizer.model import Tokenizer, tokenizer_loss
from mmm.training.config import TrainConfig
from mmm.training.loop import TrainResult, train
from mmm.training.processes import mean_count

PLACE, SPEED, ACCELERATION = 0.1, 0.5, 5.0  # m, m/s, m/s²: what counts as 1 in the loss


@dataclasses.dataclass(frozen=True)
class Geometry:
    """Weights of the terms of `geometry_loss`, beside a reconstruction loss of about 0.1.

    Args:
        place: joints in the world, the path and the heading added up from the window's start.
        speed: their movement from frame to frame.
        acceleration: the change of that; what trembles has much of it.
        feet: speed over the ground of feet that stand in the real motion.
    """

    place: float = 0.5
    speed: float = 0.5
    acceleration: float = 0.25
    feet: float = 0.25


def geometry_loss(
    made: Float[Tensor, "b t d"],
    true: Float[Tensor, "b t d"],
    mask: Bool[Tensor, "b t"] | None,
    weights: Geometry,
    skeleton: str | Skeleton = "humanml3d",
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """How far the recovered joints of `made` are from those of `true`; differentiable.

    Smooth-L1 of places (in 10 cm) and speeds (in 0.5 m/s), L1 of accelerations (in 5 m/s²), and the mean speed over the
    ground (in 0.5 m/s) of the feet that stand in `true`: below 5 cm and slower than 0.5 m/s, the bounds of
    `mmm.motion.measures.foot_skating`.

    Args:
        made, true: raw features, T at least 3.
        mask: which frames are real, the first ones of each row; all when None.

    Returns:
        the weighted sum, and the terms, detached, for the log.
    """
    skeleton = get_skeleton(skeleton)
    metres, fps = CENTIMETRES[skeleton.unit] / 100, skeleton.fps
    real = torch.ones_like(true[..., 0]) if mask is None else mask.to(true.dtype)
    found, wanted = (features_to_joints(x, skeleton) * metres for x in (made, true))
    speed, speed_wanted = found.diff(dim=1) * fps, wanted.diff(dim=1) * fps
    change = (speed - speed_wanted).diff(dim=1) * fps

    feet = [joint for side in skeleton.feet for joint in side]
    low = wanted[:, :, feet, 1] < FOOT_HEIGHT / 100
    slow = speed_wanted[:, :, feet][..., [0, 2]].norm(dim=-1) < FOOT_SPEED / 100
    stand = (low[:, 1:] & low[:, :-1] & slow) * real[:, 1:, None]
    # the root of a sum that may be 0 has no gradient there
    slide = speed[:, :, feet][..., [0, 2]].square().sum(-1).add(1e-6).sqrt()

    terms = {
        "place": _mean(F.smooth_l1_loss(found / PLACE, wanted / PLACE, reduction="none").mean((2, 3)), real),
        "speed": _mean(
            F.smooth_l1_loss(speed / SPEED, speed_wanted / SPEED, reduction="none").mean((2, 3)), real[:, 1:]
        ),
        "acceleration": _mean((change / ACCELERATION).abs().mean((2, 3)), real[:, 2:]),
        "feet": _mean(slide / SPEED, stand),
    }
    loss = torch.stack([getattr(weights, name) * term for name, term in terms.items()]).sum()
    return loss, {name: term.detach() for name, term in terms.items()}


def _mean(error: Tensor, weight: Tensor) -> Tensor:
    """Mean by weight, over all processes' items (`mean_count`)."""
    return (error * weight).sum() / mean_count(weight.sum()).clamp(min=1)


# The paper's: 256 windows a batch, short clips dropped (pass short="drop").
PAPER_TRAINING = TrainConfig(
    steps=300_000,
    batch_size=256,
    lr=2e-4,
    betas=(0.9, 0.99),
    warmup=1000,
    schedule="milestones",
    milestones=(2 / 3,),
    gamma=0.05,
    grad_clip=0.0,
)

NOTE_EVERY = (
    120  # steps at most between two notes of the codebook's use: an epoch of a large data set is long
)


@dataclasses.dataclass(frozen=True)
class WindowRule:
    """How windows are drawn.

    Args:
        window: frames, a multiple of 4.
        short: clips shorter than the window are padded by their last frame, and the padding counts neither in
            the loss nor in the codebook ("pad"); or are left out ("drop", the paper's rule, which loses 917
            of Bandai's 2,426 takes).
        mirror: mirror half of the windows.
    """

    window: int = 64
    short: Literal["pad", "drop"] = "pad"
    mirror: bool = True
    skeleton: str = "humanml3d"

    def __post_init__(self) -> None:
        require(self.short in ("pad", "drop"), f"short is {self.short!r}, expected 'pad' or 'drop'")
        require(
            self.window >= 4 and self.window % 4 == 0,
            f"window is {self.window}, expected a multiple of 4 frames",
        )


class Windows:
    """Draws batches of windows from a split.

    Args:
        weights: how often to draw each clip; None draws each *frame* equally often: the MPJPE counts frames.

    Raises:
        ValueError: with short="drop" no clip is left; weights do not fit the clips.
    """

    def __init__(
        self, packed: PackedSplit, rule: WindowRule, weights: Sequence[float] | np.ndarray | None = None
    ) -> None:
        self.packed, self.rule = packed, rule
        lengths = np.diff(packed.starts)
        if weights is None:
            # A clip of at least a window shows a window of its frames at a time, a shorter one all of them.
            weights = np.maximum(lengths, rule.window)
        weights = np.asarray(weights, dtype=np.float64)
        require(len(weights) == len(lengths), f"weights has {len(weights)} entries for {len(lengths)} clips")
        if rule.short == "drop":
            weights = np.where(lengths >= rule.window, weights, 0.0)
        require(
            weights.sum() > 0,
            f"no clip can be drawn: the longest has {lengths.max()} frames, the window {rule.window}; "
            "take short='pad' or a shorter window",
        )
        told = "\n".join(packed.ids).encode() + packed.starts.tobytes() + weights.tobytes()
        self.fingerprint = hashlib.sha256(told).hexdigest()[:16]  # of the clips, their lengths and weights
        self._weights = weights
        self._lengths, self._starts = torch.from_numpy(lengths), torch.from_numpy(packed.starts)

    def epoch(self, batch_size: int) -> int:
        """Steps in which as many windows are drawn as hold every clip's frames once, at least 1."""
        window = self.rule.window
        return max(1, round(-(-self._lengths // window).sum().item() / batch_size))

    def draw(
        self, count: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, "b t d"], Bool[Tensor, "b t"]]:
        """Raw features of `count` windows, and which of their frames are real."""
        u = torch.rand(3, count, generator=generator, dtype=torch.float64)
        clips = draw_weighted(self._weights, u[0])
        lengths, window = self._lengths[clips], self.rule.window
        first = (u[1] * (lengths - window + 1).clamp(min=1)).long()
        places = torch.arange(window)
        rows = torch.minimum(first[:, None] + places, lengths[:, None] - 1) + self._starts[clips][:, None]
        x = np.asarray(self.packed.features[rows.numpy()])
        if self.rule.mirror:
            sided = (u[2] < 0.5).numpy()
            x[sided] = mirror_features(x[sided], self.rule.skeleton)
        return torch.from_numpy(x), places < lengths[:, None]


def train_tokenizer(
    packed: PackedSplit,
    val: PackedSplit | None,
    tokenizer: Tokenizer,
    config: TrainConfig,
    out: str | Path,
    rule: WindowRule = WindowRule(),
    weights: Sequence[float] | np.ndarray | None = None,
    geometry: Geometry | None = None,
    code_noise: float | None = None,
    begun: bool = False,
    **options: Any,
) -> TrainResult:
    """Train `tokenizer` on windows of `packed` and write it to `out/model`.

    After every epoch (`Windows.epoch`), or `NOTE_EVERY` steps where it is longer, metrics.jsonl gets a line of how the
    codebook was used since the last one: epoch (which may be a fraction), epoch/entropy (bits), epoch/perplexity,
    epoch/dead (codes), and epoch/resets, the replacements so far; means over body parts.
    At the end `out/resets.npy` says how often each code was replaced, int64 (P, K).

    Args:
        val: judged every `config.eval_every` steps and at the end (`evaluate_tokenizer`).
        tokenizer: with its normalisation set (`Tokenizer.set_normalisation`).
        weights: see `Windows`.
        geometry: weights of what is seen in the world (`geometry_loss`); None: the paper's loss alone.
        code_noise: encoders and codebooks stay as they are, so that every clip keeps its tokens; the decoders alone
            learn, with that share of the tokens replaced by near ones (`Tokenizer.forward`).
        begun: the tokenizer was trained before, and keeps its normalisation (of two parts: its heights).
        options: passed to `mmm.training.loop.train` (resume, config_extra, manifest, cpu, progress).
    """
    if code_noise is not None:
        for module in (*tokenizer.encoders, *tokenizer.quantizers):
            module.requires_grad_(False)
    if tokenizer.config.parts == 2 and not begun:
        heights = parts.relative_height_statistics(torch.from_numpy(np.array(packed.features)))
        tokenizer.set_normalisation(tokenizer.mean.cpu(), tokenizer.std.cpu(), heights)
    windows = Windows(packed, rule, weights)

    def batch(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        features, real = windows.draw(config.batch_size, generator)
        return {"features": features, "real": real}

    def loss(
        model: nn.Module, data: dict[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        x = tokenizer.normalise(data["features"])
        out = model(x, data["real"], generator, code_noise)
        value, terms = tokenizer_loss(out, x, data["real"], tokenizer.config)
        if geometry is not None:
            made = tokenizer.denormalise(out.reconstruction)
            more, seen = geometry_loss(made, data["features"], data["real"], geometry, rule.skeleton)
            value, terms = value + more, terms | seen
        silent = {"loss"} if code_noise is None else {"loss", "commitment", "perplexity"}
        return value, {name: term for name, term in terms.items() if name not in silent}

    normalisation = torch.cat([tokenizer.mean, tokenizer.std]).cpu().numpy().tobytes()
    extra = {
        "tokenizer": dataclasses.asdict(tokenizer.config),
        "windows": dataclasses.asdict(rule),
        "data": windows.fingerprint,
        "mean_std_hash": hashlib.sha256(normalisation).hexdigest()[:16],
    }
    extra |= {} if geometry is None else {"geometry": dataclasses.asdict(geometry)}
    extra |= {} if code_noise is None else {"code_noise": code_noise}
    options = {**options, "config_extra": {**extra, **options.get("config_extra", {})}}
    judge = None if val is None else lambda model: evaluate_tokenizer(model, val, rule.skeleton)
    epoch = windows.epoch(config.batch_size)
    every = min(epoch, NOTE_EVERY)

    def watch(module: nn.Module, step: int) -> dict[str, float] | None:
        return usage_in_epoch(tokenizer, step / epoch) if step % every == 0 and code_noise is None else None

    result = train(tokenizer, batch, loss, config, out, judge, watch=watch, **options)
    if result.saves:
        tokenizer.save_pretrained(Path(out) / "model")
        with atomic_write(Path(out) / "resets.npy") as part:
            with part.open("wb") as file:
                np.save(file, torch.stack([q.resets for q in tokenizer.quantizers]).cpu().numpy())
    return result


def usage_in_epoch(tokenizer: Tokenizer, epoch: float) -> dict[str, float]:
    """How the codebooks were used in training since this was last asked, a line of metrics.jsonl."""
    reports = [usage_report(quantizer.take_usage()) for quantizer in tokenizer.quantizers]
    return {
        "epoch": epoch,
        **{
            f"epoch/{name}": float(np.mean([getattr(report, name) for report in reports]))
            for name in ("entropy", "perplexity", "dead")
        },
        "epoch/resets": float(np.mean([int(quantizer.resets.sum()) for quantizer in tokenizer.quantizers])),
    }


@torch.no_grad()
def evaluate_tokenizer(
    tokenizer: Tokenizer, packed: PackedSplit, skeleton: str = "humanml3d", batch_size: int = 32
) -> dict[str, float]:
    """Whole clips through the tokenizer and back (DESIGN, "Measures"); means are over frames.

    Returns:
        mpjpe_local, mpjpe_global (cm); turn_share, the share of the global error that goes when the
        reconstructed angular number is replaced by the true one; usage (share of the codes) and perplexity,
        means over body parts.
    """
    device = tokenizer.mean.device
    lengths = np.diff(packed.starts)
    order = np.argsort(lengths, kind="stable")
    sums, tokens = torch.zeros(3, dtype=torch.float64), []
    for chunk in np.split(order, range(batch_size, len(order), batch_size)):
        frames = torch.from_numpy(lengths[chunk])
        rows = np.minimum(np.arange(lengths[chunk].max()), lengths[chunk][:, None] - 1)
        true = torch.from_numpy(np.asarray(packed.features[rows + packed.starts[chunk][:, None]]))
        found = tokenizer.encode(true.to(device), frames.to(device))
        made = tokenizer.decode(found, frames.to(device))[:, : true.shape[1]].cpu()
        real = torch.arange(true.shape[1]) < frames[:, None]
        turned = measures.with_turning_of(made, true, skeleton)
        for place, error in enumerate(
            (
                measures.mpjpe_local(made, true, skeleton),
                measures.mpjpe_global(made, true, skeleton),
                measures.mpjpe_global(turned, true.double(), skeleton),
            )
        ):
            sums[place] += error[real].sum()
        counts = -(-frames // tokenizer.config.ratio)
        tokens += [row[:, :count].cpu() for row, count in zip(found, counts.tolist(), strict=True)]
    local, world, turned_world = (sums / lengths.sum()).tolist()
    reports = codebook_report(tokens, tokenizer.config.codes)
    return {
        "mpjpe_local": local,
        "mpjpe_global": world,
        "turn_share": 1 - turned_world / world if world else 0.0,
        "usage": float(np.mean([report.usage for report in reports])),
        "perplexity": float(np.mean([report.perplexity for report in reports])),
    }
