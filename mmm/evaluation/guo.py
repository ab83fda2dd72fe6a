"""Guo et al.'s text–motion evaluator (CVPR 2022), in whose space every number of the field on HumanML3D and KIT-ML
is measured.

Written from the facts in REPRODUCTION.md, "Evaluation"; parameter names and shapes are those of their checkpoint, so
that it loads as it is. Neither the weights nor the GloVe vocabulary may be passed on with this project: the user
brings them, and `guo_files` says which files and where they come from.

    evaluator = load_guo(folder, "data/guo")   # a folder in which t2m.zip (kit.zip) and glove.zip were unpacked
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from mmm.data import Caption, MotionFolder
from mmm.data.reading import read_mean_std
from mmm.errors import require
from mmm.evaluation.guo_files import (
    CHECKPOINT,
    CLASSES,
    WordVectorizer,
    find_files,
    read_checkpoint,
    what_is_missing,
)

CONTACTS = 4  # the last numbers of a frame, which the evaluator does not look at
UNIT = 4  # frames that become one place
MAX_FRAMES = 196  # every motion is padded to so many; see `GuoEvaluator.embed_motion`
SLOPE = 0.2  # of all LeakyReLU
CAPTIONS = 256  # embedded at one go


@dataclass(frozen=True)
class Sizes:
    """The sizes of the release for HumanML3D, of which KIT differs in `features` (251) only.

    features: numbers a frame, contacts included. word: of a word's vector. width: of the common space. The others
    are hidden sizes; `movement` is that of a place (four frames).
    """

    features: int = 263
    word: int = 300
    text_hidden: int = 512
    movement_hidden: int = 512
    movement: int = 512
    motion_hidden: int = 1024
    width: int = 512


class Recurrent(nn.Module):
    """A linear layer, a bidirectional GRU with learned initial states, and a small network on its two last states."""

    def __init__(self, given: int, hidden: int, width: int) -> None:
        super().__init__()
        self.hidden = nn.Parameter(torch.randn(2, 1, hidden))
        self.input_emb = nn.Linear(given, hidden)
        self.gru = nn.GRU(hidden, hidden, batch_first=True, bidirectional=True)
        self.output_net = nn.Sequential(
            nn.Linear(2 * hidden, hidden),
            nn.LayerNorm(hidden),
            nn.LeakyReLU(SLOPE),
            nn.Linear(hidden, width),
        )

    def forward(
        self, places: Float[Tensor, "b s given"], lengths: Int64[Tensor, " b"]
    ) -> Float[Tensor, "b width"]:
        x = self.input_emb(places)
        # Packed: the backward direction begins at the last place that counts.
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        _, last = self.gru(packed, self.hidden.expand(-1, len(x), -1).contiguous())
        return self.output_net(torch.cat([last[0], last[1]], dim=-1))


class TextEncoder(Recurrent):
    """Words: vector plus embedded part of speech."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(sizes.word, sizes.text_hidden, sizes.width)
        self.pos_emb = nn.Linear(len(CLASSES), sizes.word)

    def forward(
        self,
        vectors: Float[Tensor, "b s w"],
        classes: Float[Tensor, "b s c"],
        lengths: Int64[Tensor, " b"],
    ) -> Float[Tensor, "b width"]:
        return super().forward(vectors + self.pos_emb(classes), lengths)


class MovementEncoder(nn.Module):
    """Four frames → one place, with what two strided convolutions see of the frames around them."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        given = sizes.features - CONTACTS
        for width in (sizes.movement_hidden, sizes.movement):
            layers += [nn.Conv1d(given, width, 4, 2, 1), nn.Dropout(0.2), nn.LeakyReLU(SLOPE)]
            given = width
        self.main = nn.Sequential(*layers)
        self.out_net = nn.Linear(sizes.movement, sizes.movement)

    def forward(self, frames: Float[Tensor, "b t d"]) -> Float[Tensor, "b s m"]:
        """frames: normalised, without contacts."""
        return self.out_net(self.main(frames.transpose(1, 2)).transpose(1, 2))


class GuoNetwork(nn.Module):
    """The three networks under the names of the checkpoint, and the Mean and Std they were trained with."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.text_encoder = TextEncoder(sizes)
        self.movement_encoder = MovementEncoder(sizes)
        self.motion_encoder = Recurrent(sizes.movement, sizes.motion_hidden, sizes.width)
        self.register_buffer("mean", torch.zeros(sizes.features))
        self.register_buffer("std", torch.ones(sizes.features))

    def encode_motion(
        self, normalised: Float[Tensor, "b t d"], lengths: Int64[Tensor, " b"]
    ) -> Float[Tensor, "b width"]:
        """Normalised features, contacts included, and lengths in frames. The frame or two behind a motion's end are
        seen by the convolutions."""
        places = self.movement_encoder(normalised[..., :-CONTACTS])
        return self.motion_encoder(places, lengths // UNIT)


class GuoEvaluator:
    """The evaluator of the field, ready to judge; fulfils `mmm.evaluation.evaluator.Evaluator`.

    Its name is "guo-" and the first half of the hash of all that an embedding depends on: weights, Mean, Std, words.
    """

    def __init__(self, network: GuoNetwork, words: WordVectorizer) -> None:
        sizes = network.sizes
        require(
            words.width == sizes.word,
            f"the word vectors have width {words.width}, the evaluator reads {sizes.word}; give the vocabulary it was "
            "trained with.",
        )
        self.network, self.words, self.width = network.eval().requires_grad_(False), words, sizes.width
        digest = hashlib.sha256(words.content_hash.encode())
        for name, value in sorted(network.state_dict().items()):
            digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
        self.name = f"guo-{digest.hexdigest()[:8]}"

    @property
    def device(self) -> torch.device:
        return self.network.mean.device

    def to(self, device: str | torch.device) -> GuoEvaluator:
        """Move the networks; returns the evaluator itself."""
        self.network.to(device)
        return self

    @torch.no_grad()
    def embed_text(self, captions: Sequence[Caption]) -> Float[Tensor, "n width"]:
        """Embeddings of captions by their words with parts of speech; the text itself is not read.

        Raises:
            ValueError: a caption has no such words.
        """
        found = []
        for first in range(0, len(captions), CAPTIONS):
            words = self.words(captions[first : first + CAPTIONS])
            with _exact():
                encoded = self.network.text_encoder(
                    words.vectors.to(self.device), words.classes.to(self.device), words.lengths
                )
            found.append(encoded)
        return torch.cat(found)

    @torch.no_grad()
    def embed_motion(
        self, features: Float[Tensor, "b t d"], lengths: Int64[Tensor, " b"]
    ) -> Float[Tensor, "b width"]:
        """Embeddings of motions: features not normalised, lengths in frames.

        Behind its end a motion goes on with the mean pose up to 196 frames, as in Guo et al.'s loaders. The
        convolutions see the first of it, so that padding to the longest of a batch would let mates count.

        Raises:
            ValueError: frames of another width, or a motion of fewer than 4 or more than 196 frames.
        """
        network, width = self.network, self.network.sizes.features
        require(
            features.shape[2] == width,
            f"motions have {features.shape[2]} numbers a frame, but the evaluator {self.name} judges {width}; give "
            "the checkpoint of the data set (t2m: 263, kit: 251).",
        )
        shortest, longest = int(lengths.min()), int(lengths.max())
        require(
            UNIT <= shortest and longest <= min(MAX_FRAMES, features.shape[1]),
            f"motions have {shortest} to {longest} frames of {features.shape[1]} given, but Guo et al.'s evaluator "
            f"judges {UNIT} to {MAX_FRAMES}; cut them.",
        )
        features = features[:, :longest].to(self.device)
        real = torch.arange(longest, device=self.device) < lengths.to(self.device)[:, None]
        normalised = ((features - network.mean) / network.std).masked_fill(~real[..., None], 0.0)
        with _exact():
            return network.encode_motion(F.pad(normalised, (0, 0, 0, MAX_FRAMES - longest)), lengths)

    @classmethod
    def load(
        cls,
        checkpoint: str | os.PathLike[str],
        glove: str | os.PathLike[str],
        meta: str | os.PathLike[str],
        device: str | torch.device = "cpu",
    ) -> GuoEvaluator:
        """Load Guo et al.'s files.

        Args:
            checkpoint: text_mot_match/model/finest.tar.
            glove: folder of the vocabulary (see `vocabulary.py`).
            meta: folder with mean.npy and std.npy, those of the evaluator, not of the data set.
        Raises:
            FileNotFoundError: a file is missing.
            ValueError: a file is damaged or would run code, lacks or has more than the evaluator's arrays, or Mean and
                Std are of another width.
        """
        network = _network(read_checkpoint(checkpoint), str(checkpoint))
        remedy = "give the meta folder that came with the checkpoint"
        mean, std = read_mean_std(meta, network.sizes.features, remedy)
        network.mean.copy_(torch.from_numpy(mean))
        network.std.copy_(torch.from_numpy(std))
        return cls(network, WordVectorizer.load(glove)).to(device)


def load_guo(
    folder: MotionFolder, place: str | os.PathLike[str], device: str | torch.device = "cpu"
) -> GuoEvaluator:
    """The evaluator for HumanML3D or KIT-ML from a folder in which Guo et al.'s archives were unpacked.

    Raises:
        FileNotFoundError: files are missing; the sentence says which, and where they come from.
        ValueError: as `GuoEvaluator.load`; or the checkpoint is for another skeleton.
    """
    files = find_files(folder, place)
    missing = what_is_missing(folder, *files)
    require(not missing, missing, FileNotFoundError)
    evaluator, width = GuoEvaluator.load(*files, device), len(folder.mean)
    found = evaluator.network.sizes.features
    require(
        found == width,
        f"{files[0]} judges motions of {found} numbers a frame, but {folder.path} has {width}; give the checkpoint of "
        "this data set.",
    )
    return evaluator


def _network(states: dict[str, dict[str, Tensor]], source: str) -> GuoNetwork:
    """The networks with these arrays; all sizes are read off the shapes."""
    given = {f"{part}.{name}": value for part, state in states.items() for name, value in state.items()}
    with torch.device("meta"):
        names = {name for name, _ in GuoNetwork(Sizes(5, 1, 1, 1, 1, 1, 1)).named_parameters()}
    missing, unknown = sorted(names - given.keys()), sorted(given.keys() - names)
    require(
        not missing and not unknown,
        f"{source} is no checkpoint of Guo et al.'s evaluator: it lacks {', '.join(missing) or 'nothing'}, and has "
        f"unknown arrays {', '.join(unknown) or '(none)'}; give {CHECKPOINT}.",
    )

    def size(name: str, axis: int = 0) -> int:
        shape = tuple(getattr(given[name], "shape", ()))
        return shape[axis] if len(shape) > axis else 1  # what is wrong is told below

    sizes = Sizes(
        features=size("movement_encoder.main.0.weight", 1) + CONTACTS,
        word=size("text_encoder.pos_emb.weight"),
        text_hidden=size("text_encoder.input_emb.weight"),
        movement_hidden=size("movement_encoder.main.0.weight"),
        movement=size("movement_encoder.main.3.weight"),
        motion_hidden=size("motion_encoder.input_emb.weight"),
        width=size("text_encoder.output_net.3.weight"),
    )
    with torch.device("meta"):  # no memory and no random numbers for weights that are replaced at once
        network = GuoNetwork(sizes)
    wrong = [
        f"{name} {tuple(getattr(given[name], 'shape', ()))} instead of {tuple(value.shape)}"
        for name, value in network.named_parameters()
        if getattr(given[name], "shape", None) != value.shape
    ]
    require(not wrong, f"{source} has arrays whose shapes do not fit each other: {', '.join(wrong[:4])}.")
    arrays = {
        name: value.float().clone() for name, value in given.items()
    }  # no longer those of a mapped file
    arrays |= {"mean": torch.zeros(sizes.features), "std": torch.ones(sizes.features)}
    network.load_state_dict(arrays, assign=True)
    return network


def _exact() -> Any:
    """Full float32 in cuDNN's convolutions and GRUs: on newer GPUs they would take TF32, good for three digits."""
    return torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
