"""`python -m mmm.lab.oracle`: see `evaluate.py`."""

import tyro

from mmm.lab.oracle.evaluate import Command

tyro.cli(Command).run()
