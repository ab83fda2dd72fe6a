"""Small random tokenizers for the tests, and random features for them."""

import torch
from torch import Tensor

from mmm.tokenizer import Tokenizer, TokenizerConfig
from mmm.tokenizer.parts import relative_height_statistics

SMALL = TokenizerConfig(width=16, depth=2, codes=32, code_dim=8)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed))


def random_tokenizer(config: TokenizerConfig = SMALL, seed: int = 0) -> Tokenizer:
    """A random tokenizer whose codes are spread over what its encoder gives, in evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Tokenizer(config)
    model.set_normalisation(noise(config.features, seed=1), noise(config.features, seed=2).exp())
    model.train()(noise(8, 64, config.features, seed=3), generator=seeded())
    if config.parts == 2:
        heights = relative_height_statistics(random_features(model, 500))
        model.set_normalisation(model.mean, model.std, heights)
    return model.eval()


def random_features(model: Tokenizer, *shape: int, seed: int = 7) -> Tensor:
    return model.denormalise(noise(*shape, model.config.features, seed=seed))
