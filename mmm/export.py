"""ONNX files of a model, which Python, C#, C++, Java and JavaScript run with onnxruntime, without torch.

    export(model, "out")        # mmm export --model DIR --out out

    text.onnx         ids (1, S) int64                               → words (1, S, E), sentence (1, E)
    transformer.onnx  canvas (B, P, N) int64, lengths (B,) int64, words (B, S, E), word_mask (B, S) bool,
                      sentence (B, E), drop_text (B,) bool           → logits (B, P, N, K)
    length.onnx       sentence (1, E)                                → logits (1, max_tokens); column i: i + 1 tokens
    decoder.onnx      tokens (1, P, N) int64                         → features (1, 4 N, D), raw, and
                                                                       joints (1, 4 N, J, 3), in the skeleton's unit

Mean, Std and codebook are inside. NAME-8bit.onnx are the same networks with their weights in 8 bits (`in_8_bits`).
config.json, vocabulary.txt and known.bin hold what else a client needs (`describe`). The sampler is not in the files:
it is a loop around transformer.onnx, 15 lines in docs/examples/onnx_without_torch.py, and docs/demo/src/sampler.js.
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor, nn

from mmm.errors import atomic_dir, require
from mmm.export_check import check
from mmm.model import MIN_FRAMES, MMM
from mmm.motion import features_to_joints, get_skeleton
from mmm.motion.rigid import rest_directions
from mmm.text import ClipTextEncoder
from mmm.tokenizer import Tokenizer

if TYPE_CHECKING:
    import onnx

FORMAT = "mmm-onnx-1"
MARK = "transformer-8bit.onnx"  # only an export has it: no other folder is replaced by one
OPSET = 18


# ---- The four networks, with the inputs and outputs of the files


class _Text(nn.Module):
    """`TextEncoder._forward` for one text, which needs no padding."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Int64[Tensor, "1 s"]) -> tuple[Tensor, Tensor]:
        words = self.model(input_ids=ids).last_hidden_state
        return words, nn.functional.normalize(words.mean(1), dim=-1)


class _Decoder(nn.Module):
    """`Tokenizer.decode` for one clip of whole tokens, and the joints of the features."""

    def __init__(self, tokenizer: Tokenizer, skeleton: str) -> None:
        super().__init__()
        self.tokenizer, self.skeleton = tokenizer, skeleton

    def forward(self, tokens: Int64[Tensor, "1 p n"]) -> tuple[Tensor, Tensor]:
        own = self.tokenizer
        vectors = [q.lookup(part) for q, part in zip(own.quantizers, tokens.unbind(1), strict=True)]
        features = own.denormalise(own._decode(vectors, None))
        return features, features_to_joints(features, self.skeleton)


def export(model: MMM, folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Write the files of `model`, in float32 and in 8 bits, and check them against PyTorch.

    Returns:
        the content of config.json; its `checked` is the result of `check`.
    Raises:
        ValueError: a text encoder without a WordPiece vocabulary, a model without a length estimator.
        ImportError: the extra `export` is not installed.
    """
    import onnx

    encoder, config = model.encoder, model.transformer.config
    vocabulary = getattr(encoder.tokenizer, "vocab", {})
    require(
        not isinstance(encoder, ClipTextEncoder) and "[CLS]" in vocabulary,
        f"the text encoder {encoder.name} has no WordPiece vocabulary; only models with minilm or another BERT can be "
        "exported.",
    )
    require(model.length is not None, "this model has no length estimator; train one: mmm train length.")
    require(model.device.type == "cpu", f"the model is on {model.device}; move it first: model.to('cpu').")
    with atomic_dir(folder, mark=MARK) as part:
        for name, network, inputs, outputs in _networks(model):
            _write(network, inputs, outputs, part / f"{name}.onnx")
            small = in_8_bits(onnx.load(part / f"{name}.onnx"), tables=name == "text")
            onnx.save(small, part / f"{name}-8bit.onnx")
        pieces = sorted(vocabulary, key=vocabulary.get)
        (part / "vocabulary.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
        if model.known is not None:
            (part / "known.bin").write_bytes(model.known.vectors.numpy().tobytes())
        found = describe(model)
        found["bytes"] = {path.name: path.stat().st_size for path in sorted(part.iterdir())}
        found["checked"] = check(model, part) if config.predicted_parts == config.parts else {}
        (part / "config.json").write_text(
            json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    return found


def describe(model: MMM) -> dict[str, Any]:
    """config.json: all that a client needs beside the networks.

    sizes, sampler (defaults of `mmm.sampling.fill`), text (for the ids of a text: lower case, no accents, WordPiece,
    [CLS] in front and [SEP] behind), skeleton (names, parents, rest directions of the bones), and known: captions whose
    sentence vectors are the rows of known.bin (int8), with the cosine below which a text is far from all of them.
    """
    config, skeleton, words = (
        model.transformer.config,
        get_skeleton(model.info["skeleton"]),
        model.encoder.tokenizer,
    )
    special = {name: words.convert_tokens_to_ids(name) for name in ("[CLS]", "[SEP]", "[UNK]")}
    return {
        "format": FORMAT,
        "model": model.info,
        "sizes": {
            "codes": config.codes, "parts": config.parts, "predicted_parts": config.predicted_parts,
            "max_tokens": config.max_tokens, "text_dim": config.text_dim, "ratio": model.tokenizer.config.ratio,
            "min_frames": MIN_FRAMES, "max_frames": model.max_frames, "fps": model.info["fps"],
        },
        "sampler": {
            "mask": -1, "guidance": model.guidance, "can_drop_text": config.text_dropout > 0, "temperature": 1.0,
            "schedule": "cosine", "steps": "max(1, round(10 * tokens / 49))", "remask": "least",
            "random": "philox4x32-10",
        },
        "text": {"encoder": model.encoder.name, "most_ids": model.encoder.max_words, "special": special},
        "skeleton": {
            "joints": skeleton.joints, "parents": skeleton.parents, "left": skeleton.left, "right": skeleton.right,
            "rest": rest_directions(skeleton).round(6).tolist(), "unit": skeleton.unit,
        },
        "known": None if model.known is None
        else {"captions": model.known.captions, "threshold": model.known.threshold},
    }  # fmt: skip


def _networks(model: MMM) -> list[tuple[str, nn.Module, dict[str, tuple[Tensor, dict[int, str]]], list[str]]]:
    """Name, network, example inputs with their dynamic axes, and names of the outputs, of each file."""
    config = model.transformer.config
    batch, tokens, pieces = 2, 7, 5  # any but 0 and 1, which the exporter would take for constants
    canvas = torch.zeros(batch, config.parts, tokens, dtype=torch.long)
    inputs = {
        "canvas": (canvas, {0: "batch", 2: "tokens"}),
        "lengths": (torch.full((batch,), tokens), {0: "batch"}),
        "words": (torch.zeros(batch, pieces, config.text_dim), {0: "batch", 1: "pieces"}),
        "word_mask": (torch.ones(batch, pieces, dtype=torch.bool), {0: "batch", 1: "pieces"}),
        "sentence": (torch.zeros(batch, config.text_dim), {0: "batch"}),
    }
    if config.text_dropout > 0:
        inputs["drop_text"] = (torch.zeros(batch, dtype=torch.bool), {0: "batch"})
    decoder = _Decoder(model.tokenizer, model.info["skeleton"])
    ids, sentence = torch.ones(1, pieces, dtype=torch.long), torch.zeros(1, config.text_dim)
    return [
        ("text", _Text(model.encoder.model), {"ids": (ids, {1: "pieces"})}, ["words", "sentence"]),
        ("transformer", model.transformer, inputs, ["logits"]),
        ("length", model.length, {"sentence": (sentence, {})}, ["logits"]),
        ("decoder", decoder, {"tokens": (canvas[:1], {2: "tokens"})}, ["features", "joints"]),
    ]


def _write(
    network: nn.Module, inputs: dict[str, tuple[Tensor, dict[int, str]]], outputs: list[str], path: Path
) -> None:
    """One network as an ONNX file; axes of the same name are equally long."""
    names = {name for _, axes in inputs.values() for name in axes.values()}
    sizes = {name: torch.export.Dim(name, min=1, max=4096) for name in names}
    shapes = tuple({axis: sizes[name] for axis, name in axes.items()} for _, axes in inputs.values())
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it names what this project does not use
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            tuple(value for value, _ in inputs.values()),
            path,
            input_names=list(inputs),
            output_names=outputs,
            dynamic_shapes=shapes,
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )


# ---- 8 bits


def in_8_bits(model: onnx.ModelProto, tables: bool = False) -> onnx.ModelProto:
    """The model with every weight matrix and convolution stored as whole numbers of ±127.

    One scale for each output, as in `mmm.storage`: a model that is stored in 8 bits comes out with the weights it has
    in PyTorch. Only the storage changes, the arithmetic stays in float32: onnxruntime's `quantize_dynamic` would also
    round what flows through the network, differently on every processor.

    Args:
        tables: also the tables from which rows are taken, with one scale for each row: right for the word pieces of a
            text encoder (half of its size), not for a codebook (rounded codes move joints by a centimetre).
    """
    import onnx
    from onnx import helper, numpy_helper

    graph = model.graph
    weights = {
        tensor.name: tensor for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT
    }
    axes: dict[str, int] = {}  # of the outputs, for each weight
    for node in graph.node:
        transposed = any(a.name == "transB" and a.i for a in node.attribute)
        place = {
            "Gemm": (1, 0 if transposed else 1),
            "MatMul": (1, 1),
            "Conv": (1, 0),
            "Gather": (0, 0 if tables else -1),
        }
        index, axis = place.get(node.op_type, (0, -1))
        name = node.input[index] if len(node.input) > index else ""
        if axis >= 0 and name in weights and len(weights[name].dims) > 1:
            axes[name] = axis
    before = []
    for name, axis in axes.items():
        array = numpy_helper.to_array(weights[name])
        others = tuple(i for i in range(array.ndim) if i != axis)
        most = np.maximum(np.abs(array).max(others, keepdims=True), np.finfo(np.float32).tiny)
        scale = (most / np.float32(127)).astype(np.float32)
        whole = np.round(array / scale).astype(np.int8)
        graph.initializer.remove(weights[name])
        graph.initializer.append(numpy_helper.from_array(whole, f"{name}.whole"))
        graph.initializer.append(numpy_helper.from_array(scale.reshape(-1), f"{name}.scale"))
        parts = [f"{name}.whole", f"{name}.scale"]
        before.append(helper.make_node("DequantizeLinear", parts, [name], axis=axis))
    nodes = [*before, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return model
