"""`python -m mmm.evaluation.oracle`: see `measure.py`."""

import tyro

from .measure import Command

tyro.cli(Command).run()
