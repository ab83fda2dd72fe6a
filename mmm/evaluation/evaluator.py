"""Our text–motion evaluator: one space for texts and motions, for data sets that have no official one.

Guo et al. (CVPR 2022) judge HumanML3D and KIT-ML with a pair of networks of their own; every number of the field
is measured in their space. For other data sets there is none, so this module offers one, trained contrastively as
TMR (Petrovich et al., ICCV 2023) is. It judges models and is therefore never trained again once it is shipped;
results carry its name, which holds the hash of its weights.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from mmm.data import Caption, MotionFolder
from mmm.errors import atomic_dir, require
from mmm.evaluation.guo import load_guo
from mmm.storage import load_config, load_state, save_module
from mmm.text import TextEmbedding, TextSource, load_text_encoder
from mmm.transformer.model import sinusoids

SHIPPED = Path(__file__).resolve().parent.parent.parent / "data" / "pretrained" / "evaluators"
OFFICIAL = ("humanml3d", "kit")  # data sets that have an evaluator of their own
RADIUS = 7.0  # of the sphere embeddings lie on: distances then have the size of those in Guo's space


@runtime_checkable
class Evaluator(Protocol):
    """What the protocol needs of an evaluator, ours or Guo's."""

    name: str
    width: int

    def embed_text(self, captions: list[Caption]) -> Float[Tensor, "n width"]:
        """Embeddings of captions."""
        ...

    def embed_motion(
        self, features: Float[Tensor, "b t d"], lengths: Int64[Tensor, " b"]
    ) -> Float[Tensor, "b width"]:
        """Embeddings of motions: features not normalised, lengths in frames; what lies behind does not count."""
        ...


@dataclass(frozen=True)
class EvaluatorConfig:
    """Sizes. features, text_dim: what comes in. width: of the common space; FID wants twice as many clips.

    hidden, layers, text_layers, heads, dropout: of the transformers. patch: frames that become one place.
    """

    features: int = 263
    text_dim: int = 384
    width: int = 32
    hidden: int = 96
    layers: int = 3
    text_layers: int = 1
    heads: int = 4
    dropout: float = 0.1
    patch: int = 4


class Tower(nn.Module):
    """A pre-norm transformer encoder over places, their mean, and a linear layer into the common space."""

    def __init__(self, config: EvaluatorConfig, layers: int) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            config.hidden,
            config.heads,
            4 * config.hidden,
            config.dropout,
            "gelu",
            batch_first=True,
            norm_first=True,
        )
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(config.hidden)
        self.out = nn.Linear(config.hidden, config.width)

    def forward(
        self, places: Float[Tensor, "b s hidden"], real: Bool[Tensor, "b s"]
    ) -> Float[Tensor, "b width"]:
        x = self.norm(self.encoder(places, src_key_padding_mask=~real))
        x = (x * real[..., None]).sum(1) / real.sum(1, keepdim=True)
        return RADIUS * F.normalize(self.out(x).float(), dim=-1)


class MotionTextEvaluator(nn.Module):
    """Motions and texts on one sphere of radius 7; what belongs together lies close together.

    Motion: four frames of normalised features become a place, with sinusoidal positions. Text: the frozen
    encoder's words and its sentence, each through a linear layer.

    Args:
        mean, std: (D,) of the data set's train split.
    """

    def __init__(self, config: EvaluatorConfig, mean: Float[Tensor, " d"], std: Float[Tensor, " d"]) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", mean.clone())
        self.register_buffer("std", std.clone())
        self.patch = nn.Conv1d(config.features, config.hidden, config.patch, config.patch)
        self.motion = Tower(config, config.layers)
        self.words = nn.Linear(config.text_dim, config.hidden)
        self.sentence = nn.Linear(config.text_dim, config.hidden)
        self.text = Tower(config, config.text_layers)
        self.drop = nn.Dropout(config.dropout)
        self.log_scale = nn.Parameter(torch.tensor(2.6))  # of the cosines in the loss: temperature 0.07

    def encode_motion(
        self, features: Float[Tensor, "b t d"], lengths: Int64[Tensor, " b"]
    ) -> Float[Tensor, "b width"]:
        """As `Evaluator.embed_motion`, with gradients."""
        frames = torch.arange(features.shape[1], device=features.device)
        real = frames < lengths[:, None]
        x = ((features - self.mean) / self.std).masked_fill(~real[..., None], 0.0)
        x = F.pad(x, (0, 0, 0, -features.shape[1] % self.config.patch))
        places = self.patch(x.transpose(1, 2)).transpose(1, 2)
        positions = sinusoids(places.shape[1], self.config.hidden).to(places)
        return self.motion(
            self.drop(places + positions),
            F.pad(real, (0, -real.shape[1] % self.config.patch))[:, :: self.config.patch],
        )

    def encode_text(
        self,
        words: Float[Tensor, "b s e"],
        mask: Bool[Tensor, "b s"],
        sentence: Float[Tensor, "b e"],
    ) -> Float[Tensor, "b width"]:
        """Embeddings of texts from what the frozen encoder says of them."""
        places = torch.cat([self.sentence(sentence)[:, None], self.words(words)], dim=1)
        return self.text(self.drop(places), F.pad(mask, (1, 0), value=True))

    def forward(
        self,
        features: Float[Tensor, "b t d"],
        lengths: Int64[Tensor, " b"],
        words: Float[Tensor, "b s e"],
        mask: Bool[Tensor, "b s"],
        sentence: Float[Tensor, "b e"],
    ) -> tuple[Float[Tensor, "b width"], Float[Tensor, "b width"]]:
        """(motion, text)."""
        return self.encode_motion(features, lengths), self.encode_text(words, mask, sentence)


class TrainedEvaluator:
    """An evaluator ready to judge: the network, the frozen text encoder it was trained with, and its name.

    Every caption goes through both alone and is kept, so that an embedding depends on its caption only.

    Args:
        info: data, data_hash, splits_hash, licence, text_encoder, hash (of the weights).
        text: where words and sentences come from; the encoder itself by default, loaded on first use.
    """

    def __init__(
        self, network: MotionTextEvaluator, info: dict[str, Any], text: TextSource | None = None
    ) -> None:
        self.network, self.info, self._text = network.eval(), info, text
        self._known: dict[str, Tensor] = {}
        self.width = network.config.width
        self.name = f"{info['data']}-{info['hash'][:8]}"

    @property
    def device(self) -> torch.device:
        return self.network.mean.device

    def to(self, device: str | torch.device) -> TrainedEvaluator:
        """Move the network; returns the evaluator itself."""
        self.network.to(device)
        self._known = {}
        return self

    @torch.no_grad()
    def embed_text(self, captions: Sequence[Caption]) -> Float[Tensor, "n width"]:
        """See `Evaluator.embed_text`; of a caption only its text is used."""
        if self._text is None:
            self._text = load_text_encoder(self.info["text_encoder"])
        for text in dict.fromkeys(caption.text for caption in captions):
            if text not in self._known:
                found: TextEmbedding = self._text.lookup([text]).to(self.device)
                self._known[text] = self.network.encode_text(found.words, found.mask, found.sentence)[0]
        return torch.stack([self._known[caption.text] for caption in captions])

    @torch.no_grad()
    def embed_motion(
        self, features: Float[Tensor, "b t d"], lengths: Int64[Tensor, " b"]
    ) -> Float[Tensor, "b width"]:
        """See `Evaluator.embed_motion`."""
        return self.network.encode_motion(features.to(self.device), lengths.to(self.device))

    def save_pretrained(
        self, folder: str | os.PathLike[str], card: str, steps: int, **figures: float
    ) -> None:
        """Write the folder of an evaluator: network/ (float16), evaluator.json, README.md.

        Args:
            card: text of README.md, in which the entries of `info`, `steps`, `figures`, `width` and `short` (the
                first half of the hash) are filled in.
            figures: what was measured, by name.
        """
        with atomic_dir(folder, mark="evaluator.json") as part:
            save_module(self.network, self.network.config, part / "network", torch.float16, ("mean", "std"))
            info = {**self.info, "hash": _hash(part / "network"), "steps": steps, **figures}
            told = ", ".join(f"{name.removeprefix('val/')} {value:.3f}" for name, value in figures.items())
            filled = {**info, "width": self.width, "short": info["hash"][:8], "figures": told}
            (part / "evaluator.json").write_text(json.dumps(info, indent=1) + "\n")
            (part / "README.md").write_text(card.format(**filled))

    @classmethod
    def from_pretrained(
        cls,
        folder: str | os.PathLike[str],
        device: str | torch.device = "cpu",
        text: TextSource | None = None,
    ) -> TrainedEvaluator:
        """Load what `save_pretrained` wrote.

        Raises:
            FileNotFoundError: the folder or a part of it is missing.
            ValueError: a file is damaged, or the weights are not those the folder's hash speaks of.
        """
        folder = Path(folder)
        if not (folder / "evaluator.json").is_file():
            raise FileNotFoundError(
                f"there is no evaluator in {folder}; train one with `mmm train evaluator --out {folder}`."
            )
        try:
            info = json.loads((folder / "evaluator.json").read_text())
        except json.JSONDecodeError as error:
            raise ValueError(f"{folder}/evaluator.json is no JSON ({error}); copy it again.") from error
        config = load_config(EvaluatorConfig, folder / "network")
        empty = torch.zeros(config.features)
        network = MotionTextEvaluator(config, empty, empty)
        load_state(network, folder / "network")
        found = _hash(folder / "network")
        require(
            found == info.get("hash"),
            f"the weights in {folder} have the hash {found}, expected {info.get('hash')}: an evaluator that was "
            "changed is another one; copy it again, or train one under another name.",
        )
        return cls(network.to(device), info, text)


def load_evaluator(folder: MotionFolder, path: str | os.PathLike[str] | None = None) -> Evaluator:
    """The evaluator for a data set: the one in `path`, else the shipped one of that name.

    For HumanML3D and KIT-ML it is Guo et al.'s, whose files you have to obtain: `path` (data/guo by default) is the
    folder in which their archives were unpacked.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it was trained on other splits, so that clips of val or test may have been seen.
    """
    if folder.name in OFFICIAL and not (path and (Path(path) / "evaluator.json").is_file()):
        return load_guo(folder, path or SHIPPED.parent.parent / "guo")
    place = Path(path) if path else SHIPPED / folder.name
    if not (place / "evaluator.json").is_file():
        known = sorted(each.parent.name for each in SHIPPED.glob("*/evaluator.json"))
        raise FileNotFoundError(
            f"there is no evaluator for {folder.name!r} in {place} (shipped are {', '.join(known) or 'none'}); train "
            f"one with `mmm train evaluator --data {folder.path} --out runs/evaluator` and give --evaluator "
            "runs/evaluator/model."
        )
    evaluator = TrainedEvaluator.from_pretrained(place)
    require(
        evaluator.info["splits_hash"] == folder.splits_hash,
        f"the evaluator {evaluator.name} was trained on other splits ({evaluator.info['splits_hash']}) than "
        f"{folder.path} has ({folder.splits_hash}); it may have seen clips of val or test: train one on these.",
    )
    return evaluator


def _hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
