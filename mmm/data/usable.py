"""What can be used of a data set, and why the rest cannot: one rule for `mmm prepare`, packing and training."""

import numpy as np
from jaxtyping import Float

from mmm.motion.skeleton import get_skeleton

FRAMES = {"humanml3d": (40, 199), "kit": (24, 199)}  # shortest and longest clip (REPRODUCTION, "Evaluation")


class Unusable(ValueError):
    """A clip or a caption cannot be used: `reason` groups such faults, `detail` is of this one."""

    def __init__(self, reason: str, detail: str):
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


def to_features(values: np.ndarray, width: int) -> Float[np.ndarray, "t d"]:
    """What a clip's file holds as float32 (T, width), not normalised.

    Raises:
        Unusable: another shape, no floating-point numbers, NaN or infinite numbers (also those that only
            float32 cannot hold).
    """
    found = f"{values.dtype} {values.shape}, expected float (T, {width})"
    if values.ndim != 2 or values.shape[1] != width:
        raise Unusable("wrong shape", found)
    if values.dtype.kind != "f":
        raise Unusable("not floating-point numbers", found)
    with np.errstate(over="ignore"):
        features = np.ascontiguousarray(values, np.float32)
    if not np.isfinite(features).all():
        nan = np.isnan(features).any(1)
        bad = nan if nan.any() else np.isinf(features).any(1)
        where = f"in {bad.sum()} of {len(bad)} frames, the first is frame {bad.argmax()}"
        raise Unusable("NaN" if nan.any() else "infinite numbers", where)
    return features


def check_length(frames: int, skeleton: str) -> None:
    """Raises Unusable unless Guo's loaders would take a clip of so many frames."""
    shortest, longest = FRAMES[skeleton]
    if not shortest <= frames <= longest:
        reason = "too short" if frames < shortest else "too long"
        raise Unusable(reason, f"{frames} frame{'s' * (frames != 1)}, expected {shortest} to {longest}")


def to_statistics(values: np.ndarray, name: str, skeleton: str) -> Float[np.ndarray, " d"]:
    """Mean or Std as float32. Raises Unusable for another size, NaN, or a Std that nothing can be divided by."""
    width = get_skeleton(skeleton).num_features
    if values.shape != (width,) or values.dtype.kind != "f":
        others = [other for other in FRAMES if values.shape == (get_skeleton(other).num_features,)]
        hint = (
            f", and it looks like {others[0]}: prepare it as that"
            if others and skeleton not in others
            else ""
        )
        found = (
            f"has shape {values.shape} of {values.dtype}, expected ({width},) finite numbers for {skeleton}"
        )
        raise Unusable("wrong shape", found + hint)
    with np.errstate(over="ignore", under="ignore"):
        values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise Unusable("not finite", f"holds {values[~np.isfinite(values)][0]}, expected finite numbers")
    if name.startswith("Std") and not (values > 0).all():
        places = np.flatnonzero(values <= 0)
        where = f"in {len(places)} of {width} places, the first is number {places[0]}"
        raise Unusable("not above 0", f"holds numbers that are not above 0 ({where}), but we divide by it")
    return values
