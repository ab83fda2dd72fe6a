"""How well editing works, in numbers: gaps against interpolation, upper bodies, long sequences (notebook 06).

mmm evaluate --edits gaps --edits bodies --edits long --model DIR --data DIR
"""

from mmm.lab.edits.held_out import EditConfig
from mmm.lab.edits.run import Edits, evaluate_edits, load_edits

__all__ = ["EditConfig", "Edits", "evaluate_edits", "load_edits"]
