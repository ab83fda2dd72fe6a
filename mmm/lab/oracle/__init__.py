"""Which action, side, count, direction and speed a motion shows, read off its joints alone by plain geometry.

    recognise(joints, fps=20.0)          # Recognised: segments in the words of mmm.datasets.synthetic.Program
    score(recognised, program)           # {"action": True, "side": False, "count": None, …}
    python -m mmm.lab.oracle --data data/synthetic --split test [--model DIR]

From curves with names (`signals`) to events of the arms (`arms`) and of the legs on the spot (`legs`), to gaits and
turns as the fewest pieces that explain the path (`gaits`), to segments (`recognition`). Limits were set on training
clips of the choreographer and of Bandai's data. Two speeds that programs ask for cannot be seen by anybody: a fast
single punch (it is given the 1.2 seconds that every segment has at least) and a slow stretch of less than 4 seconds.
"""

from mmm.lab.oracle.recognition import Recognised, actions_of, recognise
from mmm.lab.oracle.scoring import ATTRIBUTES, Verdict, accuracy, judge, score

__all__ = ["ATTRIBUTES", "Recognised", "Verdict", "accuracy", "actions_of", "judge", "recognise", "score"]
