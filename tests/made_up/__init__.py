"""Things that tests share and that never were: clips, checkpoints, evaluators of random weights."""
