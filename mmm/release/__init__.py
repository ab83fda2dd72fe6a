"""Other people's files: the checkpoints of the authors' release become model folders."""
