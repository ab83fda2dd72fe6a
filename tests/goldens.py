"""Compare this project with the arrays of the reference implementations.

    python tests/goldens.py

prints the largest difference of each array and exits with 1 if one is above its tolerance. For whole numbers (tokens)
it counts those that differ. `tests/golden/` holds random weights and made-up motions. Arrays with captured motion are
read from the shared folder (MMM_SHARED, else ../shared) if there is one.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from mmm.evaluation import fid, mm_dist, r_precision
from mmm.evaluation.guo import GuoNetwork, Sizes
from mmm.evaluation.guo_files import NETWORKS
from mmm.motion import features_to_joints, joints_to_features
from mmm.release.tokenizer import from_release_state as tokenizer_from
from mmm.release.transformer import from_release_state as transformer_from
from mmm.sampling import fill
from mmm.text import TextEmbedding
from mmm.transformer import MASK

GOLDEN = Path(__file__).resolve().parent / "golden"
SHARED = Path(os.environ.get("MMM_SHARED") or GOLDEN.parents[2] / "shared")
Arrays = Mapping[str, np.ndarray]


class Difference(NamedTuple):
    """One array: how far ours is from the reference's, and how far it may be."""

    name: str
    difference: float
    tolerance: float
    size: int

    @property
    def within(self) -> bool:
        return self.difference <= self.tolerance


def compare(name: str, ours: Any, reference: Any, tolerance: float) -> Difference:
    """Largest absolute difference; of whole numbers, how many differ."""
    ours, reference = np.asarray(ours), np.asarray(reference)
    assert ours.shape == reference.shape, (name, ours.shape, reference.shape)
    if reference.dtype.kind in "iub":
        return Difference(name, float((ours != reference).sum()), tolerance, reference.size)
    largest = float(np.abs(ours.astype(np.float64) - reference).max())
    return Difference(name, largest, tolerance, reference.size)


def state_of(arrays: Arrays, prefix: str = "state/") -> dict[str, torch.Tensor]:
    names = [name for name in arrays if name.startswith(prefix)]
    return {name.removeprefix(prefix): torch.from_numpy(arrays[name]) for name in names}


def features(arrays: Arrays) -> Iterator[Difference]:
    for name in sorted({key.rsplit("/", 1)[0] for key in arrays if key.endswith("/joints")}):
        ours = joints_to_features(arrays[f"{name}/joints"])
        back = features_to_joints(arrays[f"{name}/features"])
        yield compare(f"{name}/features", ours, arrays[f"{name}/features"], 1e-4)
        yield compare(f"{name}/recovered_joints", back, arrays[f"{name}/recovered_joints"], 1e-4)


def tokenizer(arrays: Arrays) -> Iterator[Difference]:
    model, x = tokenizer_from(state_of(arrays)), torch.from_numpy(arrays["x"])
    sizes = json.loads(str(arrays["config"]))
    yield compare("config", [getattr(model.config, name) for name in sizes], list(sizes.values()), 0)
    out = model(x)
    yield compare("tokens", out.tokens[:, 0], arrays["tokens"], 0)
    yield compare("tokens of encode", model.encode(x)[:, 0], arrays["tokens"], 0)  # mean 0, std 1
    yield compare("decoded", model.decode(out.tokens), arrays["decoded"], 1e-5)
    for name, tolerance in (("reconstruction", 1e-5), ("commitment", 1e-6), ("perplexity", 1e-4)):
        yield compare(name, getattr(out, name), arrays[name], tolerance)


def tokenizer_parts(arrays: Arrays) -> Iterator[Difference]:
    mean, std = torch.from_numpy(arrays["mean"]), torch.from_numpy(arrays["std"])
    model = tokenizer_from(state_of(arrays), mean, std)
    x, tokens = torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["tokens"].transpose(0, 2, 1).copy())
    yield compare("tokens", model(x).tokens, tokens, 0)
    yield compare("tokens of encode", model.encode(model.denormalise(x)), tokens, 0)
    yield compare("decoded", model.normalise(model.decode(tokens)), arrays["decoded"], 1e-5)


def transformer(arrays: Arrays) -> Iterator[Difference]:
    parts = ("upper", "lower") if "upper" in arrays else ("canvas",)
    books = ("codebook_upper", "codebook_lower") if "upper" in arrays else ("codebook",)
    codebook = torch.stack([torch.from_numpy(arrays[name]) for name in books])
    _, model = transformer_from(state_of(arrays), codebook, heads=4)
    ids = torch.stack([torch.from_numpy(arrays[name]) for name in parts], dim=1)
    valid, words, sentence = (torch.from_numpy(arrays[name]) for name in ("valid", "words", "sentence"))
    every = torch.ones(words.shape[:2], dtype=torch.bool)
    yield compare("logits", model.forward_ids(ids, valid, words, every, sentence), arrays["logits"], 1e-4)


def sampling(arrays: Arrays) -> Iterator[Difference]:
    _, model = transformer_from(state_of(arrays), torch.from_numpy(arrays["codebook"])[None], heads=4)

    def ours(ids: torch.Tensor) -> torch.Tensor:
        return torch.where(ids == model.config.codes + 2, MASK, ids)

    for case in sorted({name.split("/")[0] for name in arrays if name.endswith("/steps")}):
        length = int(arrays[f"{case}/length"])
        canvas = torch.full((1, 1, len(arrays[f"{case}/tokens"])), MASK)
        if f"{case}/canvas" in arrays:
            canvas = ours(torch.from_numpy(arrays[f"{case}/canvas"]))[None, None]
        words, sentence = (torch.from_numpy(arrays[f"{case}/{name}"]) for name in ("words", "sentence"))
        text = TextEmbedding(words, torch.ones(words.shape[:2], dtype=torch.bool), sentence)
        lengths = torch.tensor([canvas.shape[2]])
        assert length in (canvas.shape[2], canvas.shape[2] * 4), (case, length)
        done = fill(model, canvas, lengths, text, argmax=True, trace=True)
        steps = torch.stack([step.canvas[0, 0] for step in done.trace])
        yield compare(f"{case}/steps", steps, ours(torch.from_numpy(arrays[f"{case}/steps"])), 0)
        yield compare(f"{case}/tokens", done.tokens[0, 0], arrays[f"{case}/tokens"], 0)


def metrics(arrays: Arrays) -> Iterator[Difference]:
    text, real, generated = (torch.from_numpy(arrays[name]) for name in ("text", "real", "generated"))
    yield compare("r_precision", r_precision(text, generated), arrays["r_precision"], 1e-14)
    yield compare("mm_dist", mm_dist(text, generated), arrays["mm_dist"], 1e-14)
    yield compare("fid", fid(real, generated), arrays["fid"], 1e-10)


def guo_evaluator(arrays: Arrays) -> Iterator[Difference]:
    states = {network: state_of(arrays, f"{network}/") for network in NETWORKS}
    text, movement, motion = (states[network] for network in NETWORKS)
    sizes = Sizes(
        features=movement["main.0.weight"].shape[1] + 4,
        word=len(text["pos_emb.weight"]),
        text_hidden=len(text["input_emb.weight"]),
        movement_hidden=len(movement["main.0.weight"]),
        movement=len(movement["main.3.weight"]),
        motion_hidden=len(motion["input_emb.weight"]),
        width=len(text["output_net.3.weight"]),
    )
    network = GuoNetwork(sizes).eval()
    for part, state in states.items():
        getattr(network, part).load_state_dict(state)
    x, lengths = torch.from_numpy(arrays["motion"]), torch.from_numpy(arrays["motion_lengths"])
    inputs = (torch.from_numpy(arrays[name]) for name in ("words", "pos", "caption_lengths"))
    yield compare("text_embedding", network.text_encoder(*inputs), arrays["text_embedding"], 1e-5)
    yield compare("movement", network.movement_encoder(x[..., :-4]), arrays["movement"], 1e-5)
    yield compare("motion_embedding", network.encode_motion(x, lengths), arrays["motion_embedding"], 1e-5)


CHECKS = {
    "features_free": features,
    "features": features,  # captured motion, in the shared folder
    "tokenizer": tokenizer,
    "tokenizer_parts": tokenizer_parts,
    "transformer": transformer,
    "transformer_parts": transformer,
    "sampling": sampling,
    "metrics": metrics,
    "guo_evaluator": guo_evaluator,
}


def files() -> list[Path]:
    """The golden files that are there."""
    folders = dict.fromkeys(CHECKS, GOLDEN) | {"features": SHARED / "golden"}
    return [path for name, folder in folders.items() if (path := folder / f"{name}.npz").is_file()]


@torch.no_grad()
def differences(path: Path) -> list[Difference]:
    """One entry for each array of a golden file."""
    return list(CHECKS[path.stem](np.load(path, allow_pickle=False)))


def main() -> int:
    rows = [(path.stem, each) for path in files() for each in differences(path)]
    width = max(len(each.name) for _, each in rows)
    print(f"{'golden':<20} {'array':<{width}} {'numbers':>8} {'largest difference':>19} {'tolerance':>10}")
    for name, each in rows:
        line = f"{name:<20} {each.name:<{width}} {each.size:>8} {each.difference:>19.2g}"
        print(f"{line} {each.tolerance:>10g}" + ("" if each.within else "  ABOVE"))
    above = sum(not each.within for _, each in rows)
    print(f"{above} above tolerance" if above else "all within tolerance")
    return int(above > 0)


if __name__ == "__main__":
    sys.exit(main())
