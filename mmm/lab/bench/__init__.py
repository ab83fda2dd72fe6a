"""Speed and memory of sampling, training and loading on this machine: `mmm bench`.

`run.py` starts a process for each part and gathers the figures, `parts.py` measures, `memory.py` watches the memory,
`report.py` prints tables. Nothing is imported here: the time of imports is one of the figures.
"""
