"""The few quaternion operations that the features need, on torch tensors (..., 4) in the order w, x, y, z."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def multiply(a: Float[Tensor, "... 4"], b: Float[Tensor, "... 4"]) -> Float[Tensor, "... 4"]:
    """Hamilton product: the rotation b, followed by the rotation a."""
    aw, ax, ay, az = a.unbind(-1)
    bw, bx, by, bz = b.unbind(-1)
    return torch.stack(
        (
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ),
        dim=-1,
    )


def inverse(q: Float[Tensor, "... 4"]) -> Float[Tensor, "... 4"]:
    """Inverse of a unit quaternion, which is its conjugate."""
    return torch.cat((q[..., :1], -q[..., 1:]), dim=-1)


def rotate(q: Float[Tensor, "... 4"], v: Float[Tensor, "... 3"]) -> Float[Tensor, "... 3"]:
    """The vectors v turned by the unit quaternions q; both broadcast."""
    axis, v = torch.broadcast_tensors(q[..., 1:], v)
    twice = 2 * torch.linalg.cross(axis, v)
    return v + q[..., :1] * twice + torch.linalg.cross(axis, twice)


def about_y(half_angle: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape 4"]:
    """The rotations about the vertical axis by twice the given angles (radians)."""
    zero = torch.zeros_like(half_angle)
    return torch.stack((half_angle.cos(), zero, half_angle.sin(), zero), dim=-1)


def between(u: Float[Tensor, "... 3"], v: Float[Tensor, "... 3"]) -> Float[Tensor, "... 4"]:
    """The shortest rotation that takes the unit vectors u onto the unit vectors v; both broadcast.

    Opposite vectors have no shortest rotation; they get half a turn about an axis perpendicular to u. (The reference
    yields NaN there, for instance for an arm that points straight up.)
    """
    u, v = torch.broadcast_tensors(u, v)
    # The real part is half the squared length of u + v. Written so and not as 1 + u·v, since u and v have length 1
    # only up to rounding, and the two terms almost cancel for nearly opposite vectors.
    squares = (u * u).sum(-1, keepdim=True) + (v * v).sum(-1, keepdim=True)
    q = torch.cat((squares / 2 + (u * v).sum(-1, keepdim=True), torch.linalg.cross(u, v)), dim=-1)
    opposite = q.square().sum(-1, keepdim=True) < 1e-12
    # The coordinate axis that u is least aligned with: the cross product with it is never close to zero.
    across = torch.eye(3, dtype=u.dtype, device=u.device)[u.abs().argmin(-1)]
    half_turn = torch.cat((torch.zeros_like(u[..., :1]), torch.linalg.cross(u, across)), dim=-1)
    return torch.nn.functional.normalize(torch.where(opposite, half_turn, q), dim=-1)


def to_6d(q: Float[Tensor, "... 4"]) -> Float[Tensor, "... 6"]:
    """Columns 0 and 1 of the rotation matrices of the unit quaternions q."""
    w, x, y, z = q.unbind(-1)
    return torch.stack(
        (
            1 - 2 * (y * y + z * z),
            2 * (x * y + w * z),
            2 * (x * z - w * y),
            2 * (x * y - w * z),
            1 - 2 * (x * x + z * z),
            2 * (y * z + w * x),
        ),
        dim=-1,
    )
