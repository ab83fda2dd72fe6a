"""A small thing to train, for the tests and for the processes that they start and kill."""

import torch
from torch import nn

from mmm.training.config import TrainConfig

CONFIG = TrainConfig(
    steps=40,
    batch_size=16,
    lr=1e-2,
    warmup=5,
    schedule="cosine",
    ema=0.9,
    checkpoint_every=10,
    log_every=7,
    eval_every=15,
)


class Toy(nn.Module):
    """Has what real parts have: dropout, a learned state outside the weights, a random draw of its own."""

    def __init__(self, dropout=0.2):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, 32), nn.Dropout(dropout), nn.ReLU(), nn.Linear(32, 8))
        self.register_buffer("sums", torch.zeros(8), persistent=False)

    def forward(self, x):
        if self.training:
            self.sums.mul_(0.9).add_(x.detach().mean(0))
        return self.layers(x) + self.sums


def toy(**options):
    torch.manual_seed(5)
    return Toy(**options)


def batch(step, generator):
    return {"x": torch.randn(16, 8, generator=generator)}


def loss(model, data, generator):
    noise = torch.randn(data["x"].shape, generator=generator)
    value = (model(data["x"] + 0.1 * noise) - data["x"].flip(1)).square().mean()
    return value, {"noise": noise.mean()}


def evaluate(model):
    return {"weights": model.layers[0].weight.double().sum().item()}
