"""Body parts: the 263 features divided into 156 of the upper and 107 of the lower body.

Paper, section 3.4 (upper-body editing); docs/REPRODUCTION.md, "Tokenizer". Tokens of the upper body must not depend on
the legs, so each part has its own encoder, codebook and decoder. The lower part has the root and the contacts. Heights
of joints are above the floor, so those of the upper joints would say how deep the legs squat: `split` makes them
relative to the root, whose height belongs to the lower part, and `merge` makes them absolute again.
Velocities of the upper joints still contain the movement of the root.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

JOINTS = 22
FEATURES = 263
LOWER_JOINTS = (0, 1, 2, 4, 5, 7, 8, 10, 11)
ROOT_HEIGHT = 3


def _features_of(joints: tuple[int, ...]) -> list[int]:
    """Indices of the positions, rotations and velocities of joints among the 263 features."""
    indices = []
    # positions start at feature 4 with 3 numbers for each joint from joint 1 on; then rotations, then velocities
    for start, size, first in ((4, 3, 1), (67, 6, 1), (193, 3, 0)):
        indices += [start + size * (j - first) + k for j in joints if j >= first for k in range(size)]
    return indices


LOWER = [0, 1, 2, 3, *_features_of(LOWER_JOINTS), 259, 260, 261, 262]
UPPER = _features_of(tuple(j for j in range(JOINTS) if j not in LOWER_JOINTS))
UPPER_HEIGHTS = UPPER[
    1 : 3 * (JOINTS - len(LOWER_JOINTS)) : 3
]  # y of the 13 joint positions: indices into the 263
_OWN_HEIGHTS = [UPPER.index(index) for index in UPPER_HEIGHTS]  # the same as indices into the upper 156


def relative_height_statistics(
    features: Float[Tensor, "frames 263"],
) -> tuple[Float[Tensor, " 13"], Float[Tensor, " 13"]]:
    """Mean and std of the 13 upper joints' heights above the root, in metres, from raw features."""
    heights = features[:, UPPER_HEIGHTS] - features[:, ROOT_HEIGHT : ROOT_HEIGHT + 1]
    return heights.mean(0), heights.std(0)


def split(
    x: Float[Tensor, "b t 263"],
    mean: Float[Tensor, " 263"],
    std: Float[Tensor, " 263"],
    upper_mean: Float[Tensor, " 13"],
    upper_std: Float[Tensor, " 13"],
) -> tuple[Float[Tensor, "b t 156"], Float[Tensor, "b t 107"]]:
    """Normalised features → (upper, lower), with the heights of the upper joints relative to the root.

    Heights are de-normalised first, because mean and std of the root and of each joint differ (`std`: what features
    were divided by). `upper_mean` and
    `upper_std` normalise the relative ones (`relative_height_statistics`).
    """
    upper, lower = x[..., UPPER], x[..., LOWER]
    root = x[..., ROOT_HEIGHT, None] * std[ROOT_HEIGHT] + mean[ROOT_HEIGHT]
    heights = x[..., UPPER_HEIGHTS] * std[UPPER_HEIGHTS] + mean[UPPER_HEIGHTS] - root
    upper[..., _OWN_HEIGHTS] = (heights - upper_mean) / upper_std
    return upper, lower


def merge(
    upper: Float[Tensor, "b t 156"],
    lower: Float[Tensor, "b t 107"],
    mean: Float[Tensor, " 263"],
    std: Float[Tensor, " 263"],
    upper_mean: Float[Tensor, " 13"],
    upper_std: Float[Tensor, " 13"],
) -> Float[Tensor, "b t 263"]:
    """The inverse of `split`; the root height is the lower part's."""
    x = upper.new_empty(*upper.shape[:-1], FEATURES)
    x[..., LOWER] = lower
    x[..., UPPER] = upper
    root = lower[..., ROOT_HEIGHT, None] * std[ROOT_HEIGHT] + mean[ROOT_HEIGHT]
    heights = upper[..., _OWN_HEIGHTS] * upper_std + upper_mean + root
    x[..., UPPER_HEIGHTS] = (heights - mean[UPPER_HEIGHTS]) / std[UPPER_HEIGHTS]
    return x
