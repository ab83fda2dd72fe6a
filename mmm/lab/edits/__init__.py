"""What editing is worth, in numbers: gaps against interpolation, upper bodies, long sequences (notebook 05).

mmm evaluate --edits gaps --edits bodies --edits long --model DIR --data DIR
"""

from mmm.lab.edits.run import EditConfig, Edits, evaluate_edits, load_edits

__all__ = ["EditConfig", "Edits", "evaluate_edits", "load_edits"]
