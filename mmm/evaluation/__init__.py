"""How good is it? Blind judgement of film strips."""

from mmm.evaluation.blind import CONTENTS, PROMPTS, Verdict, make_strips, score

__all__ = ["CONTENTS", "PROMPTS", "Verdict", "make_strips", "score"]
