"""How fast, and with how much memory? Sampling, training and loading of a preset on this machine: `mmm bench`.

`run.py` gives every part a process of its own and gathers what they measure, `report.py` makes tables of it,
`loading.py`, `sampling.py` and `training.py` measure. Nothing is imported here: loading is one of the figures.
"""
