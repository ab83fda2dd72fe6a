"""Our text–motion evaluator: one embedding space for texts and motions, for data sets without an official evaluator.

Guo et al. (CVPR 2022) evaluate HumanML3D and KIT-ML with a pair of networks, and every published number is computed in
their space (`guo.py`). For other data sets this module offers an evaluator, trained contrastively as TMR is (Petrovich
et al., ICCV 2023). An evaluator that is shipped is never trained again; results carry its name with the hash of its
weights.
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
from mmm.errors import atomic_dir, check_name, check_ranges, read_json, require
from mmm.evaluation.guo import load_guo
from mmm.storage import load_config, load_module, save_module
from mmm.text import TextEmbedding, TextSource, load_text_encoder
from mmm.transformer.model import sinusoids

SHIPPED = Path(__file__).resolve().parent.parent.parent / "data" / "pretrained" / "evaluators"
OFFICIAL = ("humanml3d", "kit")  # data sets that have an evaluator of their own
RADIUS = 7.0  # of the sphere of embeddings: distances have the size of those in the space of Guo et al.


@runtime_checkable
class Evaluator(Protocol):
    """What the protocol needs of an evaluator, ours or that of Guo et al."""

    name: str
    width: int

    def embed_text(self, captions: list[Caption]) -> Float[Tensor, "n width"]:
        """Embeddings of captions."""
        ...

    def embed_motion(
        self, features: Float[Tensor, "b t d"], lengths: Int64[Tensor, " b"]
    ) -> Float[Tensor, "b width"]:
        """Embeddings of motions: features not normalised, lengths in frames; frames after the end do not count."""
        ...


@dataclass(frozen=True)
class EvaluatorConfig:
    """Sizes.

    Args:
        features, text_dim: widths of the inputs.
        width: of the common space; FID needs twice as many clips.
        hidden, layers, text_layers, heads, dropout: of the transformers.
        patch: frames that become one position.
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

    def __post_init__(self) -> None:
        sizes = {name: (1, 1 << 14) for name in ("features", "text_dim", "width", "hidden")}
        check_ranges(self, **sizes, layers=(1, 64), text_layers=(1, 64), heads=(1, 1024), patch=(1, 64))
        check_ranges(self, dropout=(0.0, 1.0))
        even = self.hidden % self.heads == 0 and self.hidden % 2 == 0
        require(even, f"hidden is {self.hidden}, expected an even multiple of heads ({self.heads})")


class Tower(nn.Module):
    """A pre-norm transformer encoder, the mean over positions, and a linear layer into the common space."""

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

    def forward(self, x: Float[Tensor, "b s hidden"], real: Bool[Tensor, "b s"]) -> Float[Tensor, "b width"]:
        x = self.norm(self.encoder(x, src_key_padding_mask=~real))
        x = (x * real[..., None]).sum(1) / real.sum(1, keepdim=True)
        return RADIUS * F.normalize(self.out(x).float(), dim=-1)


class MotionTextEvaluator(nn.Module):
    """Motions and texts on one sphere of radius 7; a text and its motion are close to each other.

    Motion: four frames of normalised features become one position, with sinusoidal position embeddings. Text: words and
    sentence of the frozen encoder, each through a linear layer.

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
        x = self.patch(x.transpose(1, 2)).transpose(1, 2)  # (b, s, hidden)
        x = x + sinusoids(x.shape[1], self.config.hidden).to(x)
        real = F.pad(real, (0, -real.shape[1] % self.config.patch))[:, :: self.config.patch]
        return self.motion(self.drop(x), real)

    def encode_text(
        self,
        words: Float[Tensor, "b s e"],
        mask: Bool[Tensor, "b s"],
        sentence: Float[Tensor, "b e"],
    ) -> Float[Tensor, "b width"]:
        """Embeddings of texts from the output of the frozen encoder."""
        x = torch.cat([self.sentence(sentence)[:, None], self.words(words)], dim=1)
        return self.text(self.drop(x), F.pad(mask, (1, 0), value=True))

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
    """An evaluator ready for use: the network, the frozen text encoder of its training, and its name.

    Every caption passes through both alone, so that an embedding depends on its caption only; it is then cached.

    Args:
        info: data, data_hash, splits_hash, licence, text_encoder, hash (of the weights).
        text: source of words and sentences; by default the encoder itself, loaded on first use.
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
        """See `Evaluator.embed_text`; only the text of a caption is used."""
        if self._text is None:
            self._text = load_text_encoder(self.info["text_encoder"])
        for text in dict.fromkeys(caption.text for caption in captions):
            if text not in self._known:
                encoded: TextEmbedding = self._text.lookup([text]).to(self.device)
                embedded = self.network.encode_text(encoded.words, encoded.mask, encoded.sentence)
                self._known[text] = embedded[0]
        return torch.stack([self._known[caption.text] for caption in captions])

    @torch.no_grad()
    def embed_motion(
        self, features: Float[Tensor, "b t d"], lengths: Int64[Tensor, " b"]
    ) -> Float[Tensor, "b width"]:
        """See `Evaluator.embed_motion`."""
        return self.network.encode_motion(features.to(self.device), lengths.to(self.device))

    def save_pretrained(
        self,
        folder: str | os.PathLike[str],
        card: str,
        steps: int,
        *,
        dtype: torch.dtype = torch.float16,
        **figures: float,
    ) -> None:
        """Write the folder of an evaluator: network/, evaluator.json, README.md.

        Args:
            card: template of README.md, filled with the entries of `info`, `steps`, `figures`, `width` and `short`
                (the first half of the hash).
            dtype: of the stored weights; int8 halves the file (`mmm.storage.save_module`).
            figures: metrics of the training, by name.
        """
        with atomic_dir(folder, mark="evaluator.json") as part:
            save_module(self.network, self.network.config, part / "network", dtype, ("mean", "std"))
            info = {**self.info, "hash": _hash(part / "network"), "steps": steps, **figures}
            text = ", ".join(f"{name.removeprefix('val/')} {value:.3f}" for name, value in figures.items())
            filled = {**info, "width": self.width, "short": info["hash"][:8], "figures": text}
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
            ValueError: a file is damaged, or the weights do not have the hash in evaluator.json.
        """
        folder = Path(folder)
        file, remedy = folder / "evaluator.json", "copy it again, or train one with `mmm train evaluator`"
        info = read_json(file, remedy)
        for key in ("data", "hash"):
            check_name(info.get(key), f"{key} in {file}", remedy)
        wrong = [key for key in ("text_encoder", "splits_hash") if not isinstance(info.get(key), str)]
        require(not wrong, f"{file} does not say {', '.join(wrong)}; {remedy}.")
        config = load_config(EvaluatorConfig, folder / "network")
        size = config.features
        network = load_module(
            lambda: MotionTextEvaluator(config, torch.zeros(size), torch.ones(size)), folder / "network"
        )
        require(bool((network.std > 0).all()), f"{folder} has a Std that is not above 0; {remedy}.")
        found = _hash(folder / "network")
        require(
            found == info.get("hash"),
            f"the weights in {folder} have the hash {found}, expected {info.get('hash')}: this is another evaluator; "
            "copy it again, or train one under another name.",
        )
        return cls(network.to(device), info, text)


def load_evaluator(folder: MotionFolder, path: str | os.PathLike[str] | None = None) -> Evaluator:
    """The evaluator for a data set: the one in `path`, else the shipped one for data of that name.

    For HumanML3D and KIT-ML it is that of Guo et al., whose files you have to obtain: `path` (data/guo by default) is
    the folder in which their archives were unpacked.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it was trained on other splits, so that it may have seen clips of val or test.
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
