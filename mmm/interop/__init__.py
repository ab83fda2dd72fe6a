"""Other people's files: checkpoints of the authors' release, which become model folders of ours."""

from mmm.interop.convert import convert, describe
from mmm.interop.files import read_mean_std, read_torch_file

__all__ = ["convert", "describe", "read_mean_std", "read_torch_file"]
