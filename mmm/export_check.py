"""The ONNX files of `mmm.export`, run by onnxruntime and compared with PyTorch."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from mmm.model import MIN_FRAMES, MMM
from mmm.motion import features_to_joints
from mmm.sampling import fill
from mmm.text import TextEmbedding
from mmm.transformer import MaskedTransformer

if TYPE_CHECKING:
    import onnxruntime

FILES = ("text", "transformer", "length", "decoder")
TEXTS = (  # what an export is checked with
    "a person walks forward", "someone waves with the left hand", "a person runs in a circle", "a man bows",
    "a tired person walks and turns left", "a woman jumps up", "a person sits down on a chair", "a person stands still",
    "someone raises both hands", "a person turns right while walking", "a person walks backwards slowly",
    "an old man shuffles along", "a person kicks with the right leg", "a person shows the way with the right hand",
    "a happy person dances", "somebody climbs a ladder", "a person boxes", "a person picks something up from the floor",
    "a person drinks from a cup", "the person steps sideways to the left",
)  # fmt: skip


class Exported:
    """The files of a folder, run by onnxruntime, in the place of a model's networks."""

    def __init__(self, folder: Path, suffix: str = "") -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        # Weights become float32 when a file is loaded, not in every pass.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        self.sessions: dict[str, onnxruntime.InferenceSession] = {
            name: onnxruntime.InferenceSession(folder / f"{name}{suffix}.onnx", options) for name in FILES
        }

    def run(self, name: str, *inputs: Tensor) -> list[Tensor]:
        session = self.sessions[name]
        named = zip((given.name for given in session.get_inputs()), inputs, strict=True)
        return [torch.from_numpy(out) for out in session.run(None, {key: x.numpy() for key, x in named})]

    def transformer(self, model: MaskedTransformer) -> MaskedTransformer:
        """`model` with the forward pass of the file."""

        def forward(*inputs: Tensor, drop_text: Bool[Tensor, " b"] | None = None) -> Float[Tensor, "b r n k"]:
            if model.config.text_dropout > 0:
                inputs += (torch.zeros(len(inputs[0]), dtype=torch.bool) if drop_text is None else drop_text,)
            return self.run("transformer", *inputs)[0]

        own = copy.copy(model)
        own.forward = forward
        return own


def check(
    model: MMM, folder: Path, texts: Sequence[str] = TEXTS, frames: int | None = None
) -> dict[str, Any]:
    """How the files of `folder` differ from PyTorch, for texts with the seeds 0, 1, … (`random="portable"`).

    Args:
        frames: length of the motions; by default the estimated ones.
    Returns:
        for "float32" and "8 bits": the largest difference of logits of an empty canvas; of joints (mm), for the same
        tokens; the ratio of equal tokens; of texts whose tokens are all equal; of equal estimated lengths.
    """
    texts = [model.read(text) for text in texts]  # both sides get what the model reads
    lengths = model.estimate_length(texts) if frames is None else [frames] * len(texts)
    condition = model.embed(texts)
    tokens = [_tokens(model, model.transformer, condition[i], count, i) for i, count in enumerate(lengths)]
    motions = [features_to_joints(model.tokenizer.decode(row), model.info["skeleton"]) for row in tokens]
    found = {}
    for name, suffix in (("float32", ""), ("8 bits", "-8bit")):
        files = Exported(folder, suffix)
        equal, whole, same, logits, joints = [], [], [], [], []
        for i, text in enumerate(texts):
            words, sentence = files.run("text", torch.tensor(model.encoder._ids([text])))
            own = TextEmbedding(words, torch.ones(words.shape[:2], dtype=torch.bool), sentence)
            canvas = torch.full_like(tokens[i], -1)
            inputs = canvas, torch.tensor([canvas.shape[2]])
            known = condition[i]
            with torch.no_grad():
                ours = model.transformer(*inputs, known.words[:, known.mask[0]], own.mask, known.sentence)
            theirs = files.transformer(model.transformer)(*inputs, own.words, own.mask, own.sentence)
            logits.append(float((ours - theirs).abs().max()))
            matches = _tokens(model, files.transformer(model.transformer), own, lengths[i], i) == tokens[i]
            equal.append(float(matches.float().mean()))
            whole.append(bool(matches.all()))
            moved = files.run("decoder", tokens[i])[1] - motions[i]
            joints.append(1000 * float(moved.norm(dim=-1).max()))
            chances = files.run("length", sentence)[0].double().softmax(1)
            median = int((chances.cumsum(1) < 0.5).sum()) + 1
            ratio = model.tokenizer.config.ratio
            same.append(frames is not None or max(MIN_FRAMES, median * ratio) == lengths[i])
        found[name] = {
            "texts": len(texts),
            "logits": max(logits),
            "joints_mm": max(joints),
            "equal_tokens": float(np.mean(equal)),
            "equal_texts": float(np.mean(whole)),
            "equal_lengths": float(np.mean(same)),
        }
    return found


def _tokens(
    model: MMM, transformer: MaskedTransformer, text: TextEmbedding, frames: int, seed: int
) -> Int64[Tensor, "1 p n"]:
    canvas, lengths = model.empty_canvas([frames])
    how = {"guidance": model.guidance, "random": "portable"}
    return fill(transformer, canvas, lengths, text, seeds=[seed], **how).tokens
