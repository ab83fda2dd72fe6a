"""Evaluators that know nothing, for the tests and for the processes that they start."""

import hashlib

import torch

from mmm.evaluation.evaluator import EvaluatorConfig, MotionTextEvaluator, TrainedEvaluator


def write_untrained(folder, data):
    """A small untrained evaluator of a data set, as a folder that `mmm evaluate` takes."""
    info = {"data": data.name, "data_hash": data.content_hash, "splits_hash": data.splits_hash}
    info |= {"licence": "none", "text_encoder": "minilm", "hash": ""}
    config, statistics = EvaluatorConfig(width=8, hidden=32, layers=1), (data.mean, data.std)
    network = MotionTextEvaluator(config, *map(torch.from_numpy, statistics))
    TrainedEvaluator(network, info).save_pretrained(folder, "{data}", 0)
    return folder


class RandomEvaluator:
    """A random projection of a motion's mean frame and of a few of its frames; texts are random points."""

    def __init__(self, features=263, width=6, name="random-0"):
        self.name, self.width = name, width
        self.matrix = torch.randn(3 * features, width, generator=torch.Generator().manual_seed(1))

    def embed_text(self, captions):
        seeds = [int(hashlib.sha256(c.text.encode()).hexdigest()[:12], 16) for c in captions]
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        return torch.stack([torch.randn(self.width, generator=generator) for generator in generators])

    def embed_motion(self, features, lengths):
        rows = torch.arange(len(features))
        real = torch.arange(features.shape[1]) < lengths[:, None]
        mean = (features * real[..., None]).sum(1) / lengths[:, None]
        return torch.cat([mean, features[rows, lengths // 2], features[rows, lengths - 1]], 1) @ self.matrix
