"""One training loop for every trainable part: checkpoints, exact resume, logs."""

from mmm.training.config import TrainConfig, learning_rate, step_generator
from mmm.training.loop import TrainResult, train
from mmm.training.run_folder import read_metrics

__all__ = ["TrainConfig", "TrainResult", "learning_rate", "read_metrics", "step_generator", "train"]
