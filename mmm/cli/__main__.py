"""`python -m mmm.cli …`, which `accelerate launch -m mmm.cli …` runs too."""

from mmm.cli import main

main()
