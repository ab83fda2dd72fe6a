"""Data sets as folders in HumanML3D's layout: synthetic, Bandai-Namco, HumanML3D, KIT-ML."""

from mmm.data.batches import PackedSplit
from mmm.data.captions import Caption, mirror_caption, mirror_text
from mmm.data.folder import MotionFolder
from mmm.data.write import Clip, write_folder

__all__ = ["Caption", "Clip", "MotionFolder", "PackedSplit", "mirror_caption", "mirror_text", "write_folder"]
