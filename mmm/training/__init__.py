"""One training loop for every trainable part: checkpoints, exact resume, logs."""
