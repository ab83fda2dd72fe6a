"""`python -m mmm.cli …`, which is also what `accelerate launch -m mmm.cli …` runs."""

from mmm.cli import main

main()
