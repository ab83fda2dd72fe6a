"""Checkpoints in the format of the authors' release, with random weights."""

from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch

from mmm.release.tokenizer import to_release_state as tokenizer_state
from mmm.release.transformer import to_release_state as transformer_state
from mmm.tokenizer import Tokenizer, TokenizerConfig
from mmm.tokenizer.parts import relative_height_statistics
from mmm.transformer import MaskedTransformer, TransformerConfig

TINY_TOKENIZER = TokenizerConfig(width=16, depth=2, codes=32, code_dim=8)
TINY = {"text_dim": 16, "dim": 32, "heads": 4, "layers": 4, "cross_layers": 2, "text_dropout": 0.0}


def make_parts(tokenizer=TINY_TOKENIZER, sizes=TINY, seed=0):
    """Tokenizer and transformer with random weights, Mean and Std included, in evaluation mode."""
    torch.manual_seed(seed)
    vq = Tokenizer(tokenizer)
    mean, std = torch.randn(tokenizer.features), torch.rand(tokenizer.features) + 0.5
    if tokenizer.parts == 2:
        vq.set_normalisation(mean, std, relative_height_statistics(torch.randn(99, 263)))
    else:
        vq.set_normalisation(mean, std)
    for quantizer in vq.quantizers:
        quantizer.set_codebook(torch.randn(quantizer.codebook.shape))
    own = {"codes": tokenizer.codes, "code_dim": tokenizer.code_dim // tokenizer.parts}
    own |= {"parts": tokenizer.parts, "predicts": tokenizer.parts - 1} | sizes
    net = MaskedTransformer(TransformerConfig(**own), vq.codebook.detach())
    with torch.no_grad():  # biases and norms too, so every array is tested
        for value in (*vq.parameters(), *net.parameters()):
            if value.ndim == 1:
                value.add_(torch.randn(value.shape) * 0.1)
    return vq.eval(), net.eval()


def release_states(vq, net, local=None):
    """The entries "net" and "trans", the latter with everything that the release carries."""
    prefix = "vqvae." if vq.config.parts == 1 else ""
    own = tokenizer_state(vq)
    trans = transformer_state(net, local)
    positions, dim = net.positions.shape
    trans["trans_base.pos_embedding.weight"] = torch.randn(positions, dim)
    trans["trans_base.pos_embed.embed"] = net.positions[:, None].clone()
    for block in range(net.config.cross_layers):
        trans[f"trans_base.cross_att.{block}.attn.mask"] = torch.ones(1, 1, positions, 77).tril()
    trans |= {f"trans_base.vqvae.{prefix}{name}": value for name, value in own.items()}
    return OrderedDict((prefix + name, value) for name, value in own.items()), OrderedDict(trans)


def write_statistics(folder, vq, names=("mean", "std")):
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in zip(names, (vq.mean, vq.std), strict=True):
        np.save(folder / f"{name}.npy", value.numpy())
    return folder


def write_release(place, vq, net, local=None, folders=("tokenizer", "transformer"), **options):
    """tokenizer/net_last.pth, transformer/net_last.pth and meta/, as the authors' training writes them."""
    files = [Path(place) / name / "net_last.pth" for name in folders]
    states = release_states(vq, net, local)
    for file, entry, state in zip(files, ("net", "trans"), states, strict=True):
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save({entry: state}, file, **options)
    return (*files, write_statistics(Path(place) / "meta", vq))


@torch.no_grad()
def random_logits(net, seed=0, batch=3, positions=77):
    """Logits for random canvases of several lengths and 77 words, so every array has an effect."""
    generator, config = torch.Generator().manual_seed(seed), net.config
    n = config.max_tokens
    canvas = torch.randint(-1, config.codes, (batch, config.parts, n), generator=generator)
    words = torch.randn(batch, positions, config.text_dim, generator=generator)
    sentence = torch.randn(batch, config.text_dim, generator=generator)
    lengths = torch.tensor([n, n // 2, 1])[:batch]
    return net(canvas, lengths, words, torch.ones(batch, positions, dtype=torch.bool), sentence)


def changed(file, **arrays):
    """Rewrite a checkpoint: arrays by name with dots as __, None removes one."""
    found = torch.load(file, weights_only=True)
    (entry,) = found
    for name, value in arrays.items():
        name = name.replace("__", ".")
        found[entry].pop(name, None)
        if value is not None:
            found[entry][name] = value
    torch.save(found, file)
