"""`python -m mmm.lab.exercises build` writes the notebooks of all chapters."""

import sys

from mmm.lab.exercises.notebooks import build

if sys.argv[1:] != ["build"]:
    sys.exit("usage: python -m mmm.lab.exercises build")
print(*build(), sep="\n")
