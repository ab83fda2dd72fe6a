"""Training and evaluation of the tokenizer (paper section 3.1; docs/REPRODUCTION.md, "Tokenizer").

Read first: `Windows` draws the batches, `train_tokenizer` says what the loss is, `evaluate_tokenizer` measures the
reconstruction. `geometry_loss` is ours: a loss on recovered joints, for a tokenizer that is trained further.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
from mmm.training.loop import TrainResult, train_and_save
from mmm.training.processes import mean_count

USAGE_EVERY = 120  # steps at most between two lines of codebook usage: an epoch of a large data set is long


class Windows:
    """Draws windows of motion from a split.

    Args:
        window: frames, a multiple of 4.
        short: `mmm.recipes.Recipe.short`. "pad" repeats the last frame; the padding counts neither in the loss nor in
            the codebook. "drop" leaves out clips that are shorter than the window (917 of Bandai's 2,426 takes).
        mirror: mirror half of the windows.
        weights: how often to draw each clip; None draws by length, as the MPJPE counts frames.

    Raises:
        ValueError: no such window; with short="drop" no clip is left; weights do not fit the clips.
    """

    def __init__(
        self,
        packed: PackedSplit,
        window: int = 64,
        short: str = "pad",
        mirror: bool = True,
        skeleton: str = "humanml3d",
        weights: Sequence[float] | np.ndarray | None = None,
    ) -> None:
        require(window >= 4 and window % 4 == 0, f"window is {window}, expected a multiple of 4 frames")
        self.packed = packed
        self.settings = {"window": window, "short": short, "mirror": mirror, "skeleton": skeleton}
        self.window, self.mirror, self.skeleton = window, mirror, skeleton
        lengths = packed.lengths
        # A clip of at least a window shows a window of its frames at a time, a shorter one all of them.
        weights = np.maximum(lengths, window) if weights is None else weights
        weights = np.asarray(weights, dtype=np.float64)
        require(len(weights) == len(lengths), f"weights has {len(weights)} entries for {len(lengths)} clips")
        if short == "drop":
            weights = np.where(lengths >= window, weights, 0.0)
        require(
            weights.sum() > 0,
            f"no clip can be drawn: the longest has {lengths.max()} frames, the window {window}; "
            "take short='pad' or a shorter window",
        )
        self.weights = weights
        self._lengths, self._starts = torch.from_numpy(lengths), torch.from_numpy(packed.starts)

    @property
    def fingerprint(self) -> str:
        """Changes with the clips, their lengths and weights."""
        content = "\n".join(self.packed.ids).encode() + self.packed.starts.tobytes() + self.weights.tobytes()
        return hashlib.sha256(content).hexdigest()[:16]

    def epoch(self, batch_size: int) -> int:
        """Steps that draw as many windows as cover every clip once; at least 1."""
        return max(1, round(-(-self._lengths // self.window).sum().item() / batch_size))

    def draw(
        self, count: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, "b t d"], Bool[Tensor, "b t"]]:
        """Raw features of `count` windows, and which of their frames are real (no padding)."""
        # one row of numbers for the clip, one for the first frame, one for mirroring
        u = torch.rand(3, count, generator=generator, dtype=torch.float64)
        clips = draw_weighted(self.weights, u[0])
        lengths = self._lengths[clips]
        first = (u[1] * (lengths - self.window + 1).clamp(min=1)).long()
        frame = torch.arange(self.window)
        # a clip that is shorter than the window repeats its last frame
        rows = torch.minimum(first[:, None] + frame, lengths[:, None] - 1) + self._starts[clips][:, None]
        x = np.asarray(self.packed.features[rows.numpy()])
        if self.mirror:
            mirrored = (u[2] < 0.5).numpy()
            x[mirrored] = mirror_features(x[mirrored], self.skeleton)
        return torch.from_numpy(x), frame < lengths[:, None]


def train_tokenizer(
    windows: Windows,
    val: PackedSplit | None,
    tokenizer: Tokenizer,
    config: TrainConfig,
    out: str | Path,
    geometry: tuple[float, float, float, float] | None = None,
    code_noise: float | None = None,
    pretrained: bool = False,
    **options: Any,
) -> TrainResult:
    """Train `tokenizer` on `windows` and write it to `out/model`.

    After every epoch (`Windows.epoch`), or after `USAGE_EVERY` steps where it is longer, metrics.jsonl gets a line
    about the use of the codebook since the last one: epoch (which may be a fraction), epoch/entropy (bits),
    epoch/perplexity, epoch/dead (codes), and epoch/resets, the replacements so far; means over body parts.
    At the end `out/resets.npy` says how often each code was replaced, int64 (P, K).

    Args:
        val: evaluated every `config.eval_every` steps and at the end (`evaluate_tokenizer`).
        tokenizer: with its normalisation set (`Tokenizer.set_normalisation`).
        geometry: weights of `geometry_loss`; None: the paper's loss alone.
        code_noise: encoders and codebooks stay as they are, so that every clip keeps its tokens. Only the decoders
            learn, with this ratio of the tokens replaced by near ones (`Tokenizer.forward`).
        pretrained: the tokenizer was trained before; its statistics of relative heights are not computed again.
        options: passed to `mmm.training.loop.train` (resume, config_extra, manifest, cpu, progress, stop).
    """
    if code_noise is not None:
        for module in (*tokenizer.encoders, *tokenizer.quantizers):
            module.requires_grad_(False)
    if tokenizer.config.parts == 2 and not pretrained:
        heights = parts.relative_height_statistics(torch.from_numpy(np.array(windows.packed.features)))
        tokenizer.set_normalisation(tokenizer.mean.cpu(), tokenizer.std.cpu(), heights)

    def batch(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        features, real = windows.draw(config.batch_size, generator)
        return {"features": features, "real": real}

    def loss(
        model: nn.Module, data: dict[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        x = tokenizer.normalise(data["features"])
        output = model(x, data["real"], generator, code_noise)
        value, terms = tokenizer_loss(output, x, data["real"], tokenizer.config)
        if geometry is not None:
            decoded = tokenizer.denormalise(output.reconstruction)
            more, more_terms = geometry_loss(
                decoded, data["features"], data["real"], geometry, windows.skeleton
            )
            value, terms = value + more, terms | more_terms
        silent = {"loss"} if code_noise is None else {"loss", "commitment", "perplexity"}
        return value, {name: term for name, term in terms.items() if name not in silent}

    def evaluate(model: nn.Module) -> dict[str, float]:
        return evaluate_tokenizer(model, val, windows.skeleton)

    epoch = windows.epoch(config.batch_size)

    def watch(module: nn.Module, step: int) -> dict[str, float] | None:
        due = step % min(epoch, USAGE_EVERY) == 0 and code_noise is None
        return codebook_usage(tokenizer, step / epoch) if due else None

    normalisation = torch.cat([tokenizer.mean, tokenizer.std]).cpu().numpy().tobytes()
    settings = {
        "tokenizer": dataclasses.asdict(tokenizer.config),
        "windows": windows.settings,
        "data": windows.fingerprint,
        "mean_std_hash": hashlib.sha256(normalisation).hexdigest()[:16],
        "geometry": geometry,
        "code_noise": code_noise,
    }
    options["watch"] = watch
    result = train_and_save(
        tokenizer, batch, loss, config, out, evaluate if val else None, settings, **options
    )
    if result.saves:
        with atomic_write(Path(out) / "resets.npy") as temporary:
            np.save(temporary, torch.stack([q.resets for q in tokenizer.quantizers]).cpu().numpy())
    return result


def codebook_usage(tokenizer: Tokenizer, epoch: float) -> dict[str, float]:
    """How the codebooks were used in training since the last call, a line of metrics.jsonl."""
    reports = [usage_report(quantizer.take_usage()) for quantizer in tokenizer.quantizers]
    means = {
        f"epoch/{name}": float(np.mean([getattr(report, name) for report in reports]))
        for name in ("entropy", "perplexity", "dead")
    }
    resets = float(np.mean([int(quantizer.resets.sum()) for quantizer in tokenizer.quantizers]))
    return {"epoch": epoch, **means, "epoch/resets": resets}


@torch.no_grad()
def evaluate_tokenizer(
    tokenizer: Tokenizer, packed: PackedSplit, skeleton: str = "humanml3d", batch_size: int = 32
) -> dict[str, float]:
    """Reconstruction of whole clips; means are over frames.

    Returns:
        mpjpe_local and mpjpe_global (cm; joints in the root's frame, and in the world); turn_share, the fraction of
        the global error that disappears when the root's rotation is replaced by the ground truth; usage (fraction of
        the codes) and perplexity, means over body parts.
    """
    device = tokenizer.mean.device
    order = np.argsort(packed.lengths, kind="stable")  # batches of clips of similar length
    sums, tokens = torch.zeros(3, dtype=torch.float64), []
    for clips in np.split(order, range(batch_size, len(order), batch_size)):
        lengths = packed.lengths[clips]
        rows = np.minimum(np.arange(lengths.max()), lengths[:, None] - 1) + packed.starts[clips][:, None]
        true = torch.from_numpy(np.asarray(packed.features[rows]))
        lengths = torch.from_numpy(lengths)
        batch = tokenizer.encode(true.to(device), lengths.to(device))
        decoded = tokenizer.decode(batch, lengths.to(device))[:, : true.shape[1]].cpu()
        real = torch.arange(true.shape[1]) < lengths[:, None]
        turned = measures.with_turning_of(decoded, true, skeleton)
        errors = (
            measures.mpjpe_local(decoded, true, skeleton),
            measures.mpjpe_global(decoded, true, skeleton),
            measures.mpjpe_global(turned, true.double(), skeleton),
        )
        for column, error in enumerate(errors):
            sums[column] += error[real].sum()
        counts = -(-lengths // tokenizer.config.ratio)
        tokens += [row[:, :count].cpu() for row, count in zip(batch, counts.tolist(), strict=True)]
    local, world, turned_world = (sums / packed.lengths.sum()).tolist()
    reports = codebook_report(tokens, tokenizer.config.codes)
    return {
        "mpjpe_local": local,
        "mpjpe_global": world,
        "turn_share": 1 - turned_world / world if world else 0.0,
        "usage": float(np.mean([report.usage for report in reports])),
        "perplexity": float(np.mean([report.perplexity for report in reports])),
    }


TERMS = ("position", "speed", "acceleration", "feet")  # of the geometry loss
POSITION, SPEED, ACCELERATION = 0.1, 0.5, 5.0  # m, m/s, m/s²: what counts as 1 in it


def geometry_loss(
    predicted: Float[Tensor, "b t d"],
    true: Float[Tensor, "b t d"],
    real: Bool[Tensor, "b t"] | None,
    weights: tuple[float, float, float, float],
    skeleton: str | Skeleton = "humanml3d",
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """How far the recovered joints are from the true ones; differentiable. Not in the paper.

    The paper's loss (section 3.1) compares features number by number. A small error of the root's rotation or step
    adds up along the path there, a joint that trembles by a millimetre hardly counts, and a foot slides as soon as
    its own movement and the root's do not cancel. This loss compares the joints after recovery: smooth L1 of
    positions (in 10 cm) and of speeds (in 0.5 m/s), L1 of accelerations (in 5 m/s²), and the mean horizontal speed
    (in 0.5 m/s) of the feet that stand in `true`: below 5 cm and slower than 0.5 m/s, as in
    `mmm.motion.measures.foot_skating`.

    Args:
        predicted, true: raw features, T at least 3.
        real: which frames are no padding, the first ones of each row; all when None.
        weights: of position, speed, acceleration and feet, beside a reconstruction loss of about 0.1.

    Returns:
        the weighted sum, and the terms, detached, for the log.
    """
    skeleton = get_skeleton(skeleton)
    metres, fps = CENTIMETRES[skeleton.unit] / 100, skeleton.fps
    counted = torch.ones_like(true[..., 0]) if real is None else real.to(true.dtype)
    joints, true_joints = (features_to_joints(x, skeleton) * metres for x in (predicted, true))
    speed, true_speed = joints.diff(dim=1) * fps, true_joints.diff(dim=1) * fps
    acceleration_error = (speed - true_speed).diff(dim=1) * fps

    feet = [joint for side in skeleton.feet for joint in side]
    low = true_joints[:, :, feet, 1] < FOOT_HEIGHT / 100
    slow = true_speed[:, :, feet][..., [0, 2]].norm(dim=-1) < FOOT_SPEED / 100
    standing = (low[:, 1:] & low[:, :-1] & slow) * counted[:, 1:, None]
    # The square root of a sum that may be 0 has no gradient there.
    foot_speed = speed[:, :, feet][..., [0, 2]].square().sum(-1).add(1e-6).sqrt()

    terms = (
        _mean(_smooth_l1(joints / POSITION, true_joints / POSITION), counted),
        _mean(_smooth_l1(speed / SPEED, true_speed / SPEED), counted[:, 1:]),
        _mean((acceleration_error / ACCELERATION).abs().mean((2, 3)), counted[:, 2:]),
        _mean(foot_speed / SPEED, standing),
    )
    loss = torch.stack([weight * term for weight, term in zip(weights, terms, strict=True)]).sum()
    return loss, {name: term.detach() for name, term in zip(TERMS, terms, strict=True)}


def _smooth_l1(x: Float[Tensor, "b t j 3"], y: Float[Tensor, "b t j 3"]) -> Float[Tensor, "b t"]:
    return F.smooth_l1_loss(x, y, reduction="none").mean((2, 3))


def _mean(error: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean over the batch; `mean_count` is the sum of the weights with one process."""
    return (error * weight).sum() / mean_count(weight.sum()).clamp(min=1)
