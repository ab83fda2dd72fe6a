"""`mmm export`: what onnxruntime makes of the files is what PyTorch makes of the model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mmm.export import describe, in_8_bits
from mmm.export_check import Exported, check
from mmm.model import MMM
from mmm.text import _packaged

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "docs" / "examples" / "onnx_without_torch.py"


def command(*args: object) -> subprocess.CompletedProcess:
    """A process of its own: the exporter traces functions, and here beartype wraps every one of them."""
    return subprocess.run([sys.executable, *map(str, args)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def exported(of_parts, tmp_path_factory) -> tuple[MMM, Path]:
    """A tiny random model of two parts with a random text encoder of one layer, and its files."""
    from transformers import AutoTokenizer, BertConfig, BertModel

    place, model = tmp_path_factory.mktemp("export"), of_parts()
    torch.manual_seed(0)
    width = model.transformer.config.text_dim
    sizes = dict(hidden_size=width, num_hidden_layers=1, num_attention_heads=4, intermediate_size=64)
    words = AutoTokenizer.from_pretrained(_packaged("minilm"))
    BertModel(BertConfig(vocab_size=len(words), **sizes)).save_pretrained(place / "bert")
    words.save_pretrained(place / "bert")
    model.info = model.info | {"text_encoder": str(place / "bert"), "guidance": 2.0}
    model.save_pretrained(place / "model", torch.int8)
    done = command("-m", "mmm.cli", "export", "--model", place / "model", "--out", place / "onnx")
    assert done.returncode == 0, done.stderr
    assert "float32: of 20 texts" in done.stdout and "8 bits: of 20 texts" in done.stdout
    return MMM.from_pretrained(place / "model"), place / "onnx"


def test_logits_joints_and_tokens_are_those_of_pytorch(exported):
    model, folder = exported
    found = check(model, folder, ["a person walks", "someone bows, and turns"], frames=60)["float32"]
    assert found["logits"] < 1e-4 and found["joints_mm"] < 1
    assert found["equal_tokens"] == found["equal_texts"] == 1
    config = json.loads((folder / "config.json").read_text())
    reported = config["checked"]
    assert reported["float32"]["logits"] < 1e-4 and reported["float32"]["equal_lengths"] == 1
    assert 0 < reported["8 bits"]["equal_tokens"] <= 1
    assert config["bytes"]["transformer-8bit.onnx"] < 0.4 * config["bytes"]["transformer.onnx"]


def test_any_batch_any_length_and_the_edges_of_both(exported):
    model, folder = exported
    files, width = Exported(folder), model.transformer.config.text_dim
    for batch, tokens, pieces in ((1, 1, 1), (3, 49, 2), (2, 20, 40)):
        random = torch.Generator().manual_seed(tokens)
        canvas = torch.randint(-1, 128, (batch, 2, tokens), generator=random)
        lengths = torch.randint(1, tokens + 1, (batch,), generator=random)
        words, sentence = torch.randn(batch, pieces, width), torch.randn(batch, width)
        mask = torch.arange(pieces) < torch.randint(1, pieces + 1, (batch, 1), generator=random)
        drop = torch.arange(batch) % 2 == 1
        inputs = canvas, lengths, words, mask, sentence
        with torch.no_grad():
            ours = model.transformer(*inputs, drop_text=drop)
        theirs = files.transformer(model.transformer)(*inputs, drop_text=drop)
        for row, length in enumerate(lengths):
            assert torch.allclose(ours[row, :, :length], theirs[row, :, :length], atol=1e-4)


def test_8_bits_keep_the_weights_of_a_model_that_is_stored_in_8_bits(exported):
    """The transformer's file gives the logits of PyTorch, although it is a quarter as large."""
    model, folder = exported
    words = torch.randn(1, 4, model.transformer.config.text_dim, generator=torch.Generator().manual_seed(0))
    inputs = torch.full((1, 2, 12), -1), torch.tensor([12]), words, torch.ones(1, 4) > 0, words.mean(1)
    with torch.no_grad():
        ours = model.transformer(*inputs)
    theirs = Exported(folder, "-8bit").transformer(model.transformer)(*inputs)
    assert torch.allclose(ours, theirs, atol=1e-3)


def test_8_bits_round_each_output_by_its_own_scale():
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    weight = np.array([[1, 0.001], [-0.5, 0.0005]], np.float32)  # (inputs, outputs)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 2])], [numpy_helper.from_array(weight, "w")],
    )  # fmt: skip
    small = in_8_bits(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10))
    assert {t.data_type for t in small.graph.initializer} == {onnx.TensorProto.INT8, onnx.TensorProto.FLOAT}
    session = onnxruntime.InferenceSession(small.SerializeToString())
    (y,) = session.run(None, {"x": np.eye(2, dtype=np.float32)})
    assert np.allclose(y, weight, rtol=0.01)


def test_a_client_finds_all_it_needs(exported):
    model, folder = exported
    config = json.loads((folder / "config.json").read_text())
    assert config == describe(model) | {"bytes": config["bytes"], "checked": config["checked"]} | {
        "skeleton": config["skeleton"]
    }
    assert set(config["bytes"]) >= {
        f"{name}{bits}.onnx" for name in ("text", "decoder") for bits in ("", "-8bit")
    }
    vocabulary = (folder / "vocabulary.txt").read_text("utf-8").split("\n")
    ids = model.encoder._ids(["a person waves"])[0]
    assert [vocabulary[i] for i in ids] == ["[CLS]", "a", "person", "waves", "[SEP]"]


def test_the_example_needs_no_torch(exported, tmp_path):
    _, folder = exported
    out = tmp_path / "wave.npy"
    done = command(EXAMPLE, folder, "a person waves", out)
    assert done.returncode == 0, done.stderr
    joints = np.load(out)
    assert (
        joints.ndim == 3 and joints.shape[1:] == (22, 3) and len(joints) >= 24 and np.isfinite(joints).all()
    )
    code = EXAMPLE.read_text().split('"""')[2]
    assert "torch" not in code and len([line for line in code.splitlines() if line.strip()]) <= 42
    arguments = [str(EXAMPLE), str(folder), "a man bows", str(out)]
    blocked = f"import sys; sys.modules['torch'] = None; sys.argv = {arguments!r}"
    done = command("-c", f"{blocked}; exec(open({str(EXAMPLE)!r}).read())")
    assert done.returncode == 0, done.stderr


def test_what_cannot_be_exported_gets_a_sentence(exported, tmp_path, monkeypatch):
    model, _ = exported
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    done = command("-m", "mmm.cli", "export", "--model", "bandai-small", "--out", tmp_path / "mine")
    assert (
        done.returncode == 2
        and "is none of ours" in done.stderr
        and os.listdir(tmp_path / "mine") == ["notes.txt"]
    )
    from mmm.export import export

    without = MMM(model.tokenizer, model.transformer, None, model.info, model.encoder)
    with pytest.raises(ValueError, match="no length estimator"):
        export(without, tmp_path / "a")
    assert not (tmp_path / "a").exists()
