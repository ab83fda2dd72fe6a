"""Editing: every task is a canvas that is filled in part (MMM, section 3.4)."""

from mmm.editing.canvas import encode_kept, keep_outside, runs
from mmm.editing.edits import Edit, edit, extend, fill_windows

__all__ = ["Edit", "edit", "encode_kept", "extend", "fill_windows", "keep_outside", "runs"]
