"""Which action, side, count, direction and speed a motion shows, recognised from its joints alone by plain geometry.

    recognise(joints, fps=20.0)              # Recognised: segments in the words of mmm.datasets.synthetic.Program
    judge(recognised, program).of("side")    # True, False, or None: the program has no side
    python -m mmm.lab.oracle --data data/synthetic --split test [--model DIR]

It computes curves with names (`signals`). From them it finds events of the arms (`arms`) and of the legs on the spot
(`legs`), then gaits and turns as the fewest pieces that explain the path (`gaits`), and puts them together into
segments (`recognition`). Its limits were set on training clips of the choreographer and of Bandai's data. Two speeds
in programs cannot be seen: that of a fast single punch, because every segment takes at least 1.2 seconds, and that of
a slow segment of less than 4 seconds.
"""

from mmm.lab.oracle.recognition import Recognised, actions_of, recognise
from mmm.lab.oracle.scoring import ATTRIBUTES, Verdict, accuracy, judge

__all__ = ["ATTRIBUTES", "Recognised", "Verdict", "accuracy", "actions_of", "judge", "recognise"]
