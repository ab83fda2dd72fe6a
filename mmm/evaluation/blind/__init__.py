"""Recognisable? Generated film strips, shuffled with as many real ones, named by readers who did not make them.

DESIGN.md, "Measures": a reader sees numbered strips without their prompts and gives each one of the contents; the
confusion table is the figure. The prompts are phrased as no training caption is, which `make_strips` checks.

    python -m mmm.evaluation.blind make --model data/pretrained/bandai-small --data data/bandai --out runs/blind
    python -m mmm.evaluation.blind score --strips runs/blind --answers READER_1.json --answers READER_2.json

Free text: the prompts of a file (`read_prompts`), shares by kind of prompt, and a page with every strip.

    python -m mmm.evaluation.blind make --prompts PROMPTS.json --data data/bandai --out runs/free-text
    python -m mmm.evaluation.blind score --strips runs/free-text --answers READER_1.json --answers READER_2.json
    python -m mmm.evaluation.blind page --strips runs/free-text --answers READER_1.json … --out figures/free-text
"""

from mmm.evaluation.blind.contents import CONTENTS, OTHER, PROMPTS
from mmm.evaluation.blind.free_text import Judged, judge, tally, wilson
from mmm.evaluation.blind.page import write_page
from mmm.evaluation.blind.prompts import check_unseen, read_prompts
from mmm.evaluation.blind.readers import Verdict, draw_confusion, score
from mmm.evaluation.blind.strips import make_strips

__all__ = [
    "CONTENTS",
    "OTHER",
    "PROMPTS",
    "Judged",
    "Verdict",
    "check_unseen",
    "draw_confusion",
    "judge",
    "make_strips",
    "read_prompts",
    "score",
    "tally",
    "wilson",
    "write_page",
]
