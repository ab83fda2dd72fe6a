"""How fast, and with how much memory? Sampling, training and loading of a preset on this machine: `mmm bench`.

`run.py` gives every part a process of its own (`child.py`) and gathers the figures, `report.py` writes tables,
`sampling.py` and `training.py` measure. Nothing is imported here: the time of imports is one of the figures.
"""
