"""The exercises of the course: what the notebooks in notebooks/exercises call.

Each chapter has one source, `chapter_NN.py`. `python -m mmm.lab.exercises build` writes two notebooks from it: one
with the stubs, one with the solutions. `exercise.py` says how an exercise is written.
"""

from mmm.lab.exercises.exercise import Exercise, check, example, hint, measure, solution

__all__ = ["Exercise", "check", "example", "hint", "measure", "solution"]
