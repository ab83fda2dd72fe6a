"""What a motion is: skeletons, features of a frame and back to joints, mirroring, files and pictures."""

from mmm.motion.clip import Motion
from mmm.motion.features import feature_slices, features_to_joints, joints_to_features
from mmm.motion.mirror import mirror_features, mirror_joints
from mmm.motion.skeleton import HUMANML3D, KIT, Skeleton, get_skeleton

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
