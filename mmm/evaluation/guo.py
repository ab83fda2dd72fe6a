"""The text–motion evaluator of Guo et al. (CVPR 2022), in whose space all published numbers on HumanML3D and KIT-ML
are.

Written from the facts in docs/REPRODUCTION.md, "Evaluation"; parameter names and shapes are those of their checkpoint,
so that it loads as it is. Neither the weights nor the GloVe vocabulary may be distributed with this project: the user
brings them, and `guo_files.py` says which files and where they come from.

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

CONTACTS = 4  # the last numbers of a frame, which the evaluator does not read
UNIT = 4  # frames that become one position
MAX_FRAMES = 196  # every motion is padded to so many; see `GuoEvaluator.embed_motion`
SLOPE = 0.2  # of all LeakyReLU
CAPTIONS = 256  # embedded together


@dataclass(frozen=True)
class Sizes:
    """The sizes of the release for HumanML3D; KIT differs in `features` (251) only.

    Args:
        features: numbers in a frame, contacts included.
        word: length of a word's vector.
        width: of the common space.
        text_hidden, movement_hidden, movement, motion_hidden: hidden sizes; `movement` is that of a position (four
            frames).
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

    def __init__(self, inputs: int, hidden: int, width: int) -> None:
        super().__init__()
        self.hidden = nn.Parameter(torch.randn(2, 1, hidden))
        self.input_emb = nn.Linear(inputs, hidden)
        self.gru = nn.GRU(hidden, hidden, batch_first=True, bidirectional=True)
        self.output_net = nn.Sequential(
            nn.Linear(2 * hidden, hidden),
            nn.LayerNorm(hidden),
            nn.LeakyReLU(SLOPE),
            nn.Linear(hidden, width),
        )

    def forward(
        self, x: Float[Tensor, "b s inputs"], lengths: Int64[Tensor, " b"]
    ) -> Float[Tensor, "b width"]:
        x = self.input_emb(x)
        # Packed: the backward direction begins at the last real position.
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
    """Four frames → one position, by two strided convolutions."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = sizes.features - CONTACTS
        for width in (sizes.movement_hidden, sizes.movement):
            layers += [nn.Conv1d(inputs, width, 4, 2, 1), nn.Dropout(0.2), nn.LeakyReLU(SLOPE)]
            inputs = width
        self.main = nn.Sequential(*layers)
        self.out_net = nn.Linear(sizes.movement, sizes.movement)

    def forward(self, frames: Float[Tensor, "b t d"]) -> Float[Tensor, "b s m"]:
        """frames: normalised, without contacts."""
        return self.out_net(self.main(frames.transpose(1, 2)).transpose(1, 2))


class GuoNetwork(nn.Module):
    """The three networks with the names of the checkpoint, and the Mean and Std of their training."""

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
        """Normalised features, contacts included, and lengths in frames.

        The convolutions also read a frame or two after the end of a motion."""
        movement = self.movement_encoder(normalised[..., :-CONTACTS])
        return self.motion_encoder(movement, lengths // UNIT)


class GuoEvaluator:
    """The evaluator, ready for use; fulfils `mmm.evaluation.evaluator.Evaluator`.

    Its name is "guo-" and the first half of the hash of everything an embedding depends on: weights, Mean, Std, words.
    """

    def __init__(self, network: GuoNetwork, words: WordVectorizer) -> None:
        self.network, self.words = network.eval().requires_grad_(False), words
        self.width = network.sizes.width
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
        """Embeddings of captions from their words with parts of speech; the text itself is not read.

        Raises:
            ValueError: a caption has no such words.
        """
        embedded = []
        for first in range(0, len(captions), CAPTIONS):
            vectors, classes, lengths = self.words(captions[first : first + CAPTIONS])
            with _exact():
                encoded = self.network.text_encoder(vectors.to(self.device), classes.to(self.device), lengths)
            embedded.append(encoded)
        return torch.cat(embedded)

    @torch.no_grad()
    def embed_motion(
        self, features: Float[Tensor, "b t d"], lengths: Int64[Tensor, " b"]
    ) -> Float[Tensor, "b width"]:
        """Embeddings of motions: features not normalised, lengths in frames.

        After its end a motion continues with the mean pose up to 196 frames, as in the loaders of Guo et al. The
        convolutions read the first of these frames, so that padding to the longest of a batch would change the result.

        Raises:
            ValueError: a motion of fewer than 4 or more than 196 frames.
        """
        network = self.network
        shortest, longest = int(lengths.min()), int(lengths.max())
        require(
            UNIT <= shortest and longest <= min(MAX_FRAMES, features.shape[1]),
            f"motions have {shortest} to {longest} of {features.shape[1]} frames, but the evaluator of Guo et al. "
            f"reads {UNIT} to {MAX_FRAMES}; cut them.",
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
        """Load the files of Guo et al.

        Args:
            checkpoint: text_mot_match/model/finest.tar.
            glove: folder of the vocabulary (see `guo_files.py`).
            meta: folder with mean.npy and std.npy, those of the evaluator, not of the data set.
        Raises:
            FileNotFoundError: a file is missing.
            ValueError: a file is damaged or would run code, has missing or unknown arrays, or vocabulary, Mean and
                Std are of another width.
        """
        network, words = _network(read_checkpoint(checkpoint), str(checkpoint)), WordVectorizer.load(glove)
        width = words.vectors.shape[1]
        require(
            width == network.sizes.word,
            f"the word vectors in {glove} have width {width}, the evaluator reads {network.sizes.word}; give the "
            "vocabulary of its training.",
        )
        remedy = "give the meta folder that came with the checkpoint"
        mean, std = read_mean_std(meta, network.sizes.features, remedy)
        network.mean.copy_(torch.from_numpy(mean))
        network.std.copy_(torch.from_numpy(std))
        return cls(network, words).to(device)


def load_guo(
    folder: MotionFolder, place: str | os.PathLike[str], device: str | torch.device = "cpu"
) -> GuoEvaluator:
    """The evaluator for HumanML3D or KIT-ML from a folder in which the archives of Guo et al. were unpacked.

    Raises:
        FileNotFoundError: files are missing; the message says which, and where they come from.
        ValueError: as `GuoEvaluator.load`; or the checkpoint is for another skeleton.
    """
    files = find_files(folder, place)
    missing = what_is_missing(folder, *files)
    require(not missing, missing, FileNotFoundError)
    evaluator, width = GuoEvaluator.load(*files, device), len(folder.mean)
    own = evaluator.network.sizes.features
    require(
        own == width,
        f"{files.checkpoint} reads motions of {own} numbers a frame, but {folder.path} has {width}; give the "
        "checkpoint of this data set (t2m: 263, kit: 251).",
    )
    return evaluator


def _network(states: dict[str, dict[str, Tensor]], source: str) -> GuoNetwork:
    """The networks with these arrays; all sizes are taken from the shapes."""
    arrays = {f"{part}.{name}": value for part, state in states.items() for name, value in state.items()}
    try:
        sizes = Sizes(
            features=arrays["movement_encoder.main.0.weight"].shape[1] + CONTACTS,
            word=len(arrays["text_encoder.pos_emb.weight"]),
            text_hidden=len(arrays["text_encoder.input_emb.weight"]),
            movement_hidden=len(arrays["movement_encoder.main.0.weight"]),
            movement=len(arrays["movement_encoder.main.3.weight"]),
            motion_hidden=len(arrays["motion_encoder.input_emb.weight"]),
            width=len(arrays["text_encoder.output_net.3.weight"]),
        )
        with torch.device("meta"):  # no memory and no random numbers for weights that are replaced
            network = GuoNetwork(sizes)
        # Copies: the arrays may be mapped from a file.
        arrays = {name: value.float().clone() for name, value in arrays.items()}
        arrays |= {"mean": torch.zeros(sizes.features), "std": torch.ones(sizes.features)}
        network.load_state_dict(arrays, assign=True)
    except (KeyError, IndexError, AttributeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{source} is no checkpoint of the evaluator of Guo et al. ({reason}); give {CHECKPOINT}."
        ) from error
    return network


def _exact() -> Any:
    """Full float32 in cuDNN's convolutions and GRUs: on newer GPUs they would use TF32, which has three digits."""
    return torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
