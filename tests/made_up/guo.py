"""Guo et al.'s files, made up: small random networks and a vocabulary of a few words, in their formats."""

import pickle

import numpy as np
import torch

from mmm.evaluation.guo import GuoNetwork, Sizes
from mmm.evaluation.guo_files import CHECKPOINT, META, NETWORKS

VOCABULARY = ("unk", "sos", "eos", "a", "person", "walk", "slowly", "forward", "wave", "left", "hand")
SMALL = Sizes(263, 24, 16, 16, 20, 24, 12)


class Trap:
    """What a malicious pickle holds: reading it would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def write_glove(folder, words=VOCABULARY, width=24, seed=0):
    """The three files of a vocabulary; the rows of the vectors are in another order than the words."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = np.random.default_rng(seed).permutation(len(words)).tolist()
    vectors = np.random.default_rng(seed).standard_normal((len(words), width))
    np.save(folder / "our_vab_data.npy", vectors)
    (folder / "our_vab_words.pkl").write_bytes(pickle.dumps(list(words)))
    (folder / "our_vab_idx.pkl").write_bytes(pickle.dumps(dict(zip(words, rows, strict=True))))
    return folder


def states(network):
    """The arrays of the three networks, as a checkpoint has them."""
    return {part: dict(getattr(network, part).state_dict()) for part in NETWORKS}


def write_checkpoint(path, state):
    """What a training of theirs leaves: the networks, an optimizer, where it stood."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({**state, "opt_text_encoder": {"state": {}, "param_groups": []}, "epoch": 3}, path)
    return path


def write_meta(folder, width=263, seed=0):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    np.save(folder / "mean.npy", rng.standard_normal(width))
    np.save(folder / "std.npy", rng.uniform(0.5, 2, width))
    return folder


def write_archives(place, archive="t2m", sizes=SMALL):
    """A folder as their unpacked archives make it."""
    torch.manual_seed(0)
    write_checkpoint(place / archive / CHECKPOINT, states(GuoNetwork(sizes)))
    write_meta(place / archive / META, sizes.features)
    write_glove(place / "glove", width=sizes.word)
    return place
