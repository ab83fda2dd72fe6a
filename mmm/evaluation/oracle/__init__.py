"""Which action, side, count, direction and speed a motion shows, read off its joints alone by plain geometry."""

from .recognise import Recognised, actions_of, recognise
from .score import ATTRIBUTES, Verdict, accuracy, judge, score

__all__ = ["ATTRIBUTES", "Recognised", "Verdict", "accuracy", "actions_of", "judge", "recognise", "score"]
