"""What a reconstruction is worth in the world: places, speeds, accelerations and standing feet of recovered joints.

The paper's loss (section 3.1) compares features number by number. An error of the root's turn or step that is small
there is added up along the path, a joint that trembles by a millimetre hardly counts, and a foot slides as soon as
its own movement and the root's do not cancel. The terms below compare what is seen: the joints after recovery.
"""

from __future__ import annotations

import dataclasses

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from mmm.motion.features import features_to_joints
from mmm.motion.measures import CENTIMETRES, FOOT_HEIGHT, FOOT_SPEED
from mmm.motion.skeleton import Skeleton, get_skeleton
from mmm.processes import mean_count

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
