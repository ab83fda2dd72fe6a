"""The files of the evaluator of Guo et al. (CVPR 2022): where they are, which are missing, and how they are read.

They may not be distributed with this project. The page of their authors, github.com/EricGuo5513/text-to-motion, links
three archives: t2m.zip (HumanML3D), kit.zip (KIT-ML) and glove.zip (the vocabulary of both).

The evaluator reads a GloVe vector and a one-hot part of speech for every word (docs/REPRODUCTION.md, "Evaluation"). The
vocabulary is a folder with three files: `our_vab_data.npy` (the vectors), `our_vab_words.pkl` (the words) and
`our_vab_idx.pkl` (word → row of the vectors). A pickle may run any code when it is read; these two hold only strings
and numbers, so they are read by an unpickler that admits nothing else.
"""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from mmm.data import Caption, MotionFolder
from mmm.data.folder import load_array
from mmm.errors import require
from mmm.release.files import plain_arrays, read_torch_file

SOURCE = "github.com/EricGuo5513/text-to-motion"
NETWORKS = ("text_encoder", "movement_encoder", "motion_encoder")
ARCHIVES = {"humanml3d": "t2m", "kit": "kit"}  # skeleton → t2m.zip, kit.zip, which hold a folder of that name
TITLES = {"humanml3d": "HumanML3D", "kit": "KIT-ML"}
CHECKPOINT = Path("text_mot_match", "model", "finest.tar")
META, METAS = Path("Comp_v6_KLD01", "meta"), "Comp_v6_KLD*/meta"  # other copies of the archive say KLD005
STATISTICS = ("mean.npy", "std.npy")


class GuoFiles(NamedTuple):
    """The checkpoint, the folder of the vocabulary, and the folder of the evaluator's Mean and Std."""

    checkpoint: Path
    glove: Path
    meta: Path


def find_files(folder: MotionFolder, place: str | os.PathLike[str]) -> GuoFiles:
    """The places of the files for a data set in a folder of unpacked archives, whether or not they exist.

    The vocabulary may also be beside the folder, as is usual: checkpoints/t2m/…, checkpoints/kit/…, glove/.

    Raises:
        ValueError: there are several Mean and Std, and they differ.
    """
    place = Path(place)
    home = place / ARCHIVES[folder.skeleton]
    gloves = [place / "glove", place.parent / "glove"]
    metas = [meta for meta in sorted(home.glob(METAS)) if all((meta / file).is_file() for file in STATISTICS)]
    for other in metas[1:]:
        for file in STATISTICS:
            require(
                np.array_equal(load_array(other / file), load_array(metas[0] / file)),
                f"{file} of {metas[0]} and of {other} differ; remove the one that is not the evaluator's.",
            )
    return GuoFiles(
        checkpoint=home / CHECKPOINT,
        glove=next((glove for glove in gloves if glove.is_dir()), gloves[0]),
        meta=metas[0] if metas else home / META,
    )


def what_is_missing(folder: MotionFolder, checkpoint: Path, glove: Path, meta: Path) -> str:
    """A message that lists the missing files of the evaluator and says where to get them; "" if none is missing.

    Args:
        folder: HumanML3D or KIT-ML, whose evaluators differ (or data with the skeleton of one of them).
        checkpoint, glove, meta: see `GuoFiles`.
    """
    archive = ARCHIVES[folder.skeleton]
    files = [(archive, checkpoint), *((archive, meta / name) for name in STATISTICS)]
    files += [("glove", glove / name) for name in FILES]
    missing = [f"{file} (of {source}.zip)" for source, file in files if not file.is_file()]
    if not missing:
        return ""
    return (
        f"of the evaluator of Guo et al. for {TITLES[folder.skeleton]}, {len(missing)} files are missing: "
        f"{', '.join(missing)}; get {archive}.zip and glove.zip from {SOURCE} and unpack them into one folder."
    )


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, dict[str, Tensor]]:
    """The arrays of the three networks, {network: {name: array}}, without optimizers.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, would run code, or is a checkpoint of something else.
    """
    content = read_torch_file(path, f"get it again from {SOURCE}")
    content = content if isinstance(content, Mapping) else {}
    missing = [name for name in NETWORKS if not isinstance(content.get(name), Mapping)]
    require(
        not missing,
        f"{path} has no {', '.join(missing)}: it is no checkpoint of the evaluator of Guo et al.; give {CHECKPOINT}.",
    )
    remedy = f"get it again from {SOURCE}"
    return {name: plain_arrays(content[name], Path(path), remedy) for name in NETWORKS}


VECTORS, WORDS, INDEX = "our_vab_data.npy", "our_vab_words.pkl", "our_vab_idx.pkl"
FILES = (VECTORS, WORDS, INDEX)
MAX_WORDS = 20  # between sos and eos
POSITIONS = MAX_WORDS + 2
START, END, UNKNOWN = "sos", "eos", "unk"

CLASSES = (
    *("VERB", "NOUN", "DET", "ADP", "NUM", "AUX", "PRON", "ADJ", "ADV"),
    *("Loc_VIP", "Body_VIP", "Obj_VIP", "Act_VIP", "Desc_VIP", "OTHER"),
)
# Words that are typical of motion captions have classes of their own, whatever their tag says. The lists are facts
# quoted in issue 34 of github.com/EricGuo5513/text-to-motion, except for sad, happily, angrily and sadly, which we
# have from memory: R-precision of real motion (.511 on HumanML3D) checks all of them.
LISTS = {
    "Loc_VIP": "anticlockwise back backward clockwise counterclockwise curve down forward left right straight up",
    "Body_VIP": "arm chin eye face feet foot hand knee leg mouth shoulder thigh waist",
    "Obj_VIP": "ball baseball basketball car chair dumbbell floor handrail stair window",
    "Act_VIP": "balance bend bring climb dance flap hop jog jump kick kneel lean lift lower pick put raise rotate rub "
    "run shuffle sit spin spread squat stand stop stroll stumble swing throw turn walk wash",
    "Desc_VIP": "angrily angry careful carefully fast happily happy quickly sad sadly slow slowly",
}
CLASS_OF = {word: name for name, words in LISTS.items() for word in words.split()}


class Words(NamedTuple):
    """b captions: vectors (b, 22, w), one-hot classes (b, 22, 15), and how many positions count (2 to 22)."""

    vectors: Float[Tensor, "b s w"]
    classes: Float[Tensor, "b s c"]
    lengths: Int64[Tensor, " b"]


class WordVectorizer:
    """A GloVe vocabulary and the classes of words.

    Args:
        vectors: (n, w), one row for each word.
        index: word → row; it must contain `unk`, whose vector is used for all unknown words.
    """

    def __init__(self, vectors: Float[np.ndarray, "n w"], index: dict[str, int]) -> None:
        self.vectors = torch.from_numpy(np.array(vectors, np.float32))
        self.index = index

    @property
    def content_hash(self) -> str:
        """Hash of words and vectors."""
        digest = hashlib.sha256(self.vectors.numpy().tobytes())
        digest.update(repr(sorted(self.index.items())).encode())
        return digest.hexdigest()[:16]

    def word_class(self, word: str, tag: str) -> str:
        """One of the 15 classes; words that are not in the vocabulary, and unknown tags, are OTHER."""
        if word not in self.index:
            return "OTHER"
        return CLASS_OF.get(word) or (tag if tag in CLASSES else "OTHER")

    def __call__(self, captions: Sequence[Caption]) -> Words:
        """Words between sos and eos (at most 20, the rest is cut off), padded with `unk/OTHER` to 22 positions.

        Raises:
            ValueError: a caption has no words with parts of speech.
        """
        rows = torch.full((len(captions), POSITIONS), self.index[UNKNOWN])
        classes = torch.full((len(captions), POSITIONS), CLASSES.index("OTHER"))
        lengths = torch.zeros(len(captions), dtype=torch.int64)
        for i, caption in enumerate(captions):
            require(
                caption.words,
                f"the caption {caption.text!r} has no words with parts of speech, which Guo et al. need; give "
                "it as HumanML3D does: text#word/POS word/POS#start#end.",
            )
            framed = [(START, "OTHER"), *caption.words[:MAX_WORDS], (END, "OTHER")]
            lengths[i] = len(framed)
            for position, (word, tag) in enumerate(framed):
                rows[i, position] = self.index.get(word, self.index[UNKNOWN])
                classes[i, position] = CLASSES.index(self.word_class(word, tag))
        return Words(self.vectors[rows], torch.eye(len(CLASSES))[classes], lengths)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> WordVectorizer:
        """Read the three files of a vocabulary.

        Raises:
            FileNotFoundError: one of them is missing.
            ValueError: one is damaged, would run code, or they do not fit each other.
        """
        folder = Path(folder)
        vectors = load_array(folder / VECTORS)
        require(
            vectors.ndim == 2 and vectors.dtype.kind == "f" and np.isfinite(vectors).all(),
            f"{folder / VECTORS} has shape {vectors.shape} and type {vectors.dtype}, expected (words, width) finite "
            "numbers; copy it again.",
        )
        words, index = read_plain_pickle(folder / WORDS), read_plain_pickle(folder / INDEX)
        require(
            isinstance(words, list) and all(isinstance(word, str) for word in words),
            f"{folder / WORDS} holds no list of words; copy it again.",
        )
        require(isinstance(index, dict), f"{folder / INDEX} holds no word → row; copy it again.")
        require(
            UNKNOWN in words,
            f"{folder / WORDS} does not contain {UNKNOWN!r}, which stands for all unknown words; copy it again.",
        )
        rows = {word: row for word, row in index.items() if isinstance(row, int) and 0 <= row < len(vectors)}
        without_row = [word for word in words if word not in rows]
        require(
            not without_row,
            f"the files in {folder} do not fit each other: {len(without_row)} of {len(words)} words have no row in the "
            f"{len(vectors)} vectors ({', '.join(map(repr, without_row[:3]))}); copy all three again.",
        )
        return cls(vectors, {word: rows[word] for word in words})


class _PlainUnpickler(pickle.Unpickler):
    """Admits what pickle builds without imports: lists, dicts, strings, numbers, tuples, sets, bytes.

    Everything that must be imported is refused, and nothing can be called without an import."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it needs an import of {module}.{name}; do not trust it")


def read_plain_pickle(path: Path) -> Any:
    """The content of a pickle of lists, dicts, strings and numbers.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged or needs an import; nothing of it was run.
    """
    require(path.is_file(), f"there is no file {path}.", FileNotFoundError)
    try:
        with path.open("rb") as file:
            return _PlainUnpickler(file).load()
    except Exception as error:  # a damaged pickle can fail in any way
        raise ValueError(
            f"{path} cannot be read as a pickle of lists, dicts, strings and numbers ({error}); get it again from its "
            "source."
        ) from error
