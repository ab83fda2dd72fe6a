"""Other people's files: checkpoints of the authors' release, which become model folders of ours."""

from mmm.release.convert import convert, describe
from mmm.release.files import read_torch_file

__all__ = ["convert", "describe", "read_torch_file"]
