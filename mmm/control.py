"""Control: brings a motion to constraints (`mmm.constraints`), without new training.

    model.generate("a person waves", length=80, constraints=[Reach("left_wrist", 60, (0.3, 1.6, 0.5))])

Gradients go through the decoder and through the sums of steps that make the path, in two stages:

1. `Control.steer`, in every pass of the sampler: the distributions over the codes are tilted so that the motion of the
   mean code vectors comes near the targets. The tilt pays for its KL divergence. (Edits and sequences of actions
   have stage 2 alone.)
2. `Control.settle`, after the last pass: the decoder's input vectors leave the codes, as little as possible, until the
   joints are at the targets.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from mmm.errors import require
from mmm.motion.features import feature_slices, features_to_joints
from mmm.motion.skeleton import Skeleton, get_skeleton
from mmm.tokenizer import Tokenizer
from mmm.tokenizer.model import check_decoded
from mmm.transformer.masking import MASK

# metres from a target that cost one unit, as one nat does in stage 1 and one code in stage 2
NEAR, AT = 0.2, 0.002
SMOOTH = 0.002  # metres: second differences of what stage 2 adds to pose and path that cost one unit
STEP_WEIGHT = 20.0  # weight of a wrong step between two frames, against a wrong position
STEER_STEPS, SETTLE_STEPS = 15, 25  # gradients in each pass, and in each round of stage 2
ROUNDS = 8  # of stage 2, at most: after each the aims move
ENOUGH = 0.004  # metres: stage 2 ends when no coordinate is missed by more


class Control:
    """Brings one motion to its targets.

    Args:
        targets: world positions (T, J, 3) in metres, NaN where a joint is free (`targets_of`).
        shown: raw features (T, D) → the joints (T, J, 3) that the user gets. They differ from the features' joints by
            the nearest rigid body (`mmm.motion.rigid`).
        joined: decoded features (T, D) → features of the motion, differentiable; for an edit that keeps frames.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        targets: Float[Tensor, "t j 3"],
        shown: Callable[[Tensor], np.ndarray],
        skeleton: str | Skeleton = "humanml3d",
        joined: Callable[[Tensor], Tensor] = lambda features: features,
    ) -> None:
        require(
            not torch.is_inference_mode_enabled(), "constraints need gradients; leave torch.inference_mode."
        )
        self.tokenizer, self.shown, self.joined = tokenizer, shown, joined
        self.skeleton = get_skeleton(skeleton)
        self.slices = feature_slices(self.skeleton)
        self.targets = targets.cpu()  # in float64, which not every device has
        self.known = ~self.targets.isnan()
        books = tokenizer.codebook
        positions = -(-len(targets) // tokenizer.config.ratio)
        # each pass goes on from the last one's
        self.tilts = books.new_zeros(len(books), positions, books.shape[2])

    def steer(self, canvas: Int64[Tensor, "p n"], logits: Float[Tensor, "m k"]) -> Float[Tensor, "m k"]:
        """The logits of the masked positions, tilted towards the targets; to be given to `mmm.sampling.fill`.

        Minimises KL(tilted ‖ predicted) + `_miss` at scale NEAR, for the motion of the mean code vectors.
        A tilt adds w · code to the logits of the codes; w is a vector for each position.
        """
        books = self.tokenizer.codebook
        masked = (canvas == MASK).to(logits.device)
        fixed = [book[row.clamp(min=0)] for book, row in zip(books, canvas.to(logits.device), strict=True)]
        predicted = logits.float().split(masked.sum(1).tolist())
        tilts = [tilt[where] for tilt, where in zip(self.tilts, masked, strict=True)]

        def tilted(tilts: list[Tensor]) -> list[Tensor]:
            return [rows + tilt @ book.T for rows, tilt, book in zip(predicted, tilts, books, strict=True)]

        def loss(tilts: list[Tensor]) -> Tensor:
            vectors, divergence = [], 0.0
            for rows, before, book, codes, where in zip(
                tilted(tilts), predicted, books, fixed, masked, strict=True
            ):
                log = rows.log_softmax(1)
                chance = log.exp()
                divergence = divergence + (chance * (log - before.log_softmax(1))).sum()
                vectors.append(codes.masked_scatter(where[:, None], chance @ book))
            return divergence.cpu() + self._miss(self._joints(self._decode(vectors)), self.targets, NEAR)

        _search(loss, tilts, STEER_STEPS)()
        for kept, tilt, where in zip(self.tilts, tilts, masked, strict=True):
            kept[where] = tilt
        with torch.autocast(logits.device.type, enabled=False):
            return torch.cat(tilted(tilts))

    def settle(self, tokens: Int64[Tensor, "p n"]) -> Float[Tensor, "t d"]:
        """Raw features of the tokens' motion, moved to the targets: those of the round that misses them least.

        Raises:
            ValueError: the tokens' own motion, or that of every round, is what no body does
                (`mmm.tokenizer.model.check_decoded`).
        """
        books = self.tokenizer.codebook
        codes = [book[row] for book, row in zip(books, tokens.to(books.device), strict=True)]
        moves = [torch.zeros_like(rows) for rows in codes]
        spread = [_spacing(book) for book in books]
        aim = self.targets

        def features(moves: list[Tensor]) -> Tensor:
            return self._decode([rows + move for rows, move in zip(codes, moves, strict=True)])

        with torch.no_grad():
            before = features(moves)
        check_decoded(self.tokenizer, before, self.skeleton.metres)  # without constraints it is refused, too

        def loss(moves: list[Tensor]) -> Tensor:
            after = features(moves)
            far = sum((move / size).square().sum() for move, size in zip(moves, spread, strict=True))
            uneven = (self._accelerations(after - before) / SMOOTH).square().sum()
            return self._miss(self._joints(after), aim, AT) + (far + uneven).cpu() / 2

        search = _search(loss, moves, SETTLE_STEPS)
        best, least = None, math.inf
        for number in range(ROUNDS):
            search()
            with torch.no_grad():
                result = self.joined(features(moves))
            if not self._possible(result):
                break
            shown = torch.as_tensor(self.shown(result))
            miss = float((shown - self.targets)[self.known].abs().max())
            if miss < least:
                best, least = result, miss
            if miss < ENOUGH:
                break
            if number < ROUNDS // 2:  # what the rigid body does to the joints
                aim = self.targets + features_to_joints(result.cpu().double(), self.skeleton) - shown
            else:  # and what is still missed because it costs too much
                aim = aim + self.targets - shown
        require(
            best is not None,
            "no motion of this model comes near the constraints; move them nearer, give more frames, or choose another "
            "text or seed.",
        )
        return best

    def _possible(self, features: Float[Tensor, "t d"]) -> bool:
        """Whether a body could do this."""
        try:
            check_decoded(self.tokenizer, features, self.skeleton.metres)
        except ValueError:
            return False
        return True

    def _decode(self, vectors: list[Tensor]) -> Float[Tensor, "t d"]:
        """Vectors (N, C) of each part → raw features."""
        return self.tokenizer.decode_vectors([part[None] for part in vectors])[0, : len(self.targets)]

    def _joints(self, features: Float[Tensor, "t d"]) -> Float[Tensor, "t j 3"]:
        return features_to_joints(self.joined(features).cpu().double(), self.skeleton)

    def _accelerations(self, features: Float[Tensor, "t d"]) -> Float[Tensor, "frames n"]:
        """Second differences of the pose, in the facing frame, and of the root, metres (turns: at an arm's length)."""
        names = ("root_angular", "root_linear", "root_height", "positions")
        turns, steps, height, pose = (features[:, self.slices[name]] for name in names)
        height_and_pose = torch.cat((height, pose), 1).diff(n=2, dim=0)
        return torch.cat((height_and_pose, torch.cat((steps, turns), 1).diff(dim=0)[1:]), 1)

    def _miss(self, joints: Tensor, aim: Tensor, scale: float) -> Float[Tensor, ""]:
        """Half the squared distances from the aims, in units of `scale`, and those of the steps between frames.

        A path is a sum of steps: without the second term it would take L-BFGS many more gradients to follow one.
        """
        apart = torch.where(self.known, joints - aim, 0.0) / scale
        steps = torch.where(self.known[1:] & self.known[:-1], apart.diff(dim=0), 0.0)
        return (apart.square().sum() + STEP_WEIGHT**2 * steps.square().sum()) / 2


def _spacing(book: Float[Tensor, "k c"]) -> float:
    """Mean distance of a code from its nearest neighbour."""
    return float(torch.cdist(book, book).fill_diagonal_(math.inf).amin(1).mean())


def _search(
    loss: Callable[[list[Tensor]], Tensor], variables: list[Tensor], steps: int
) -> Callable[[], None]:
    """A function that changes the variables in place so that the loss falls: L-BFGS, `steps` gradients in each call."""
    options = {"max_iter": steps, "max_eval": steps, "history_size": 20, "line_search_fn": "strong_wolfe"}
    search = torch.optim.LBFGS(variables, **options)

    def closure() -> Tensor:
        with torch.enable_grad(), torch.autocast(variables[0].device.type, enabled=False):
            copies = [variable.detach().requires_grad_() for variable in variables]
            value = loss(copies)
        for variable, slope in zip(variables, torch.autograd.grad(value, copies), strict=True):
            variable.grad = slope
        return value.detach()

    return lambda: search.step(closure)
