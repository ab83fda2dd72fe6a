"""What a motion is: skeletons, the 263 numbers of a frame and back, mirroring, files and pictures."""

from typing import TYPE_CHECKING

from mmm.motion.features import feature_slices, features_to_joints, joints_to_features
from mmm.motion.mirror import mirror_features, mirror_joints
from mmm.motion.skeleton import HUMANML3D, KIT, Skeleton, get_skeleton

if TYPE_CHECKING:
    from mmm.motion.clip import Motion

__all__ = [
    "HUMANML3D",
    "KIT",
    "Motion",
    "Skeleton",
    "feature_slices",
    "features_to_joints",
    "get_skeleton",
    "joints_to_features",
    "mirror_features",
    "mirror_joints",
]


def __getattr__(name: str):
    # Motion draws, so it needs matplotlib; who only computes features should not wait for that import.
    if name == "Motion":
        from mmm.motion.clip import Motion

        return Motion
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
