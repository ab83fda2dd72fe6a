"""`python -m mmm.lab.oracle`: see `measure.py`."""

import tyro

from mmm.lab.oracle.measure import Command

tyro.cli(Command).run()
