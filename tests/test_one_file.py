"""notebooks/mmm_in_one_file.py is short, stands alone, and gives what the package gives."""

import ast
import dataclasses
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up.canvases import make_model, make_text
from made_up.tokenizer import SMALL, noise, random_tokenizer, seeded

from mmm.data.write import mean_std
from mmm.model import MMM, SHIPPED
from mmm.motion import HUMANML3D, features_to_joints, joints_to_features
from mmm.recipes import OURS
from mmm.tokenizer import Tokenizer
from mmm.tokenizer import parts as body
from mmm.tokenizer.model import tokenizer_loss
from mmm.transformer.masking import draw_masked_parts, masked_loss
from mmm.transformer.train import masked_batch

FILE = Path(__file__).resolve().parent.parent / "notebooks" / "mmm_in_one_file.py"
TEXTS = [
    f"{who} {what}"
    for who in ("a person", "a tired man")
    for what in (
        "walks forward",
        "waves with the left hand",
        "runs in a circle",
        "bows",
        "raises both hands",
        "walks and turns left",
        "turns around to the right",
        "jumps twice",
        "shows the way",
        "walks backwards, then stops",
    )
]


@pytest.fixture(scope="module")
def one():
    """The file as a module."""
    spec = importlib.util.spec_from_file_location("mmm_in_one_file", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def shipped(one):
    return one.MMM(SHIPPED)


def same(ours, theirs, atol=1e-6):
    np.testing.assert_allclose(ours.detach().numpy(), np.asarray(theirs.detach()), rtol=1e-5, atol=atol)


def test_it_is_short_and_imports_nothing_of_the_package():
    source = FILE.read_text("utf-8")
    lines = source.splitlines()
    assert len(lines) <= 700 and max(map(len, lines)) <= 120
    imports = [node for node in ast.walk(ast.parse(source)) if isinstance(node, (ast.Import, ast.ImportFrom))]
    names = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in imports if isinstance(node, ast.ImportFrom)}
    packages = {name.split(".")[0] for name in names}
    assert packages >= {"torch", "numpy", "safetensors"} and "mmm" not in packages


# ---- features


@pytest.mark.parametrize(("seed", "turn"), [(0, 1.0), (1, 2 * np.pi)])
def test_features_and_joints(one, moving_body, seed, turn):
    joints = moving_body(HUMANML3D, frames=80, seed=seed, turn=turn)
    expected = torch.from_numpy(joints_to_features(joints))
    features = one.joints_to_features(torch.from_numpy(joints))
    rotations = features[:, one.ROTATIONS] - expected[:, one.ROTATIONS]
    assert rotations.abs().max() < 1e-4  # the package rounds bone directions to float32 on the way
    features[:, one.ROTATIONS] = expected[:, one.ROTATIONS]
    same(features, expected, atol=5e-6)
    same(one.features_to_joints(expected), features_to_joints(expected))


def test_opposite_bones_get_a_rotation(one):
    u = one.REST[1:]
    rotation = one.rotation_between(u, -u)
    same((rotation @ u[..., None])[..., 0], -u)
    same(torch.linalg.det(rotation), torch.ones(21))


# ---- tokenizer


CONFIG = dataclasses.replace(SMALL, depth=3, parts=2, dead_below=0.125, feature_bias=5.0)


def copy_of(one, tokenizer, folder):
    """The file's tokenizer with the weights of the package's."""
    tokenizer.save_pretrained(folder)
    sizes = one.Sizes(
        width=CONFIG.width, codes=CONFIG.codes, code_dim=CONFIG.code_dim // 2, dim=32, heads=2, layers=1
    )
    return one.load(one.Tokenizer(sizes), folder)


def test_tokens_and_back(one, tmp_path):
    tokenizer = random_tokenizer(CONFIG)
    ours = copy_of(one, tokenizer, tmp_path / "tokenizer")
    assert one.UPPER == body.UPPER and one.LOWER == body.LOWER
    features = tokenizer.denormalise(noise(1, 62, 263))
    tokens = tokenizer.encode(features)
    assert torch.equal(ours.encode(features[0]), tokens[0])
    same(ours.decode(tokens[0]), tokenizer.decode(tokens)[0], atol=1e-4)


def test_steps_of_the_tokenizer(one, tmp_path):
    """From no codebook on: losses, gradients, and codebooks with their running means and replaced dead codes."""
    torch.manual_seed(0)
    tokenizer = Tokenizer(CONFIG, noise(263, seed=1), noise(263, seed=2).exp())
    ours = copy_of(one, tokenizer, tmp_path / "tokenizer")
    for quantizer in ours.quantizers:
        quantizer.ema_counts.fill_(
            1
        )  # as in the file's new quantizers; the package writes 0 before the first step
    tokenizer.train(), ours.train()
    generators = seeded(), seeded()
    for step in range(4):
        for quantizer in (*ours.quantizers, *tokenizer.quantizers):
            quantizer.ema_counts[3 * step : 3 * step + 2] *= 0.1 if step else 1  # these are dead now
        x = tokenizer.denormalise(noise(8, 64, 263, seed=step) * (1 + step))
        output = tokenizer(tokenizer.normalise(x), generator=generators[0])
        loss, _ = tokenizer_loss(output, tokenizer.normalise(x), None, CONFIG)
        reconstruction, commitment = ours(x, generators[1])
        own = one.tokenizer_loss(ours.normalise(reconstruction), ours.normalise(x), commitment)
        same(own, loss)
        for quantizer, expected in zip(ours.quantizers, tokenizer.quantizers, strict=True):
            same(quantizer.codebook, expected.codebook)
            same(quantizer.ema_counts, expected.ema_counts)
            same(quantizer.ema_sums, expected.ema_sums)
    assert sum(int(quantizer.resets.sum()) for quantizer in tokenizer.quantizers) > 0
    loss.backward(), own.backward()
    for (name, weight), own_weight in zip(tokenizer.named_parameters(), ours.parameters(), strict=True):
        assert weight.grad is not None, name
        same(own_weight.grad, weight.grad.view_as(own_weight), atol=1e-5)


def test_statistics(one, golden):
    clips = [torch.from_numpy(golden("features_free")[f"{i}/features"]).float() for i in range(3)]
    tokenizer = one.Tokenizer(one.Sizes())
    tokenizer.measure(clips)
    mean, std = mean_std(torch.cat(clips).numpy())
    same(tokenizer.mean, torch.from_numpy(mean))
    same(tokenizer.std, torch.from_numpy(std))
    heights = body.relative_height_statistics(torch.cat(clips))
    same(tokenizer.upper_mean, heights[0])
    same(tokenizer.upper_std, heights[1])


# ---- transformer


def test_masking_and_loss(one, tmp_path):
    transformer = make_model(parts=2)
    transformer.save_pretrained(tmp_path / "transformer")
    config = {"width": 8, **dataclasses.asdict(transformer.config)}
    sizes = one.Sizes(**{field.name: config[field.name] for field in dataclasses.fields(one.Sizes)})
    ours = one.load(one.MaskedTransformer(sizes, one.Tokenizer(sizes)), tmp_path / "transformer")
    tokens, lengths = torch.randint(40, (512, 2, 20), generator=seeded()), torch.arange(512) % 20 + 1
    generator = seeded(1)
    chosen = draw_masked_parts(512, 2, OURS.both_parts, generator)
    data = masked_batch(tokens, lengths, 40, OURS, generator, chosen)
    true, counts, canvas = one.masked_batch(tokens, lengths, 40, seeded(1))
    real = one.inside(counts, true)
    assert torch.equal(counts, data["lengths"])
    assert torch.equal(true[real], data["tokens"][real]) and torch.equal(canvas[real], data["canvas"][real])

    data = {name: value[:64] for name, value in data.items()}
    true, counts, canvas = true[:64], counts[:64], canvas[:64]
    text, drop = make_text(64), torch.arange(64) % 3 == 0
    inputs = (text.words, text.mask, text.sentence, drop)
    logits, expected = ours(canvas, counts, *inputs), transformer(data["canvas"], data["lengths"], *inputs)
    for item, count in enumerate(counts):
        same(logits[item, :, :count], expected[item, :, :count], atol=1e-5)
    same(one.masked_loss(logits, true, counts), masked_loss(expected, data["tokens"], data["lengths"]))


def test_both_loops_learn(one, golden, monkeypatch):
    losses, optimise = [], one.optimise

    def watch(optimizer, loss, *rest):
        losses.append(loss.item())
        optimise(optimizer, loss, *rest)

    monkeypatch.setattr(one, "optimise", watch)
    clips = [torch.from_numpy(golden("features_free")["0/features"]).float()[:64]]
    texts = [(noise(3, 16), noise(16, seed=1))]
    sizes = one.Sizes(width=32, codes=32, code_dim=4, text_dim=16, dim=32, layers=1, heads=2)
    torch.manual_seed(0)
    tokenizer = one.train_tokenizer(one.Tokenizer(sizes), clips, steps=50, batch=2)
    new = one.MaskedTransformer(sizes, tokenizer)
    transformer = one.train_transformer(new, tokenizer, clips, texts, steps=50, batch=2)
    for own in (losses[:50], losses[50:]):
        assert np.mean(own[-5:]) < 0.85 * np.mean(own[:5])
    assert not tokenizer.training and not transformer.training
    assert not torch.equal(transformer.head.weight, new.head.weight)  # the average over the steps


# ---- the shipped model


def test_twenty_texts_get_the_same_tokens_and_lengths(shipped):
    model = MMM.from_pretrained()
    frames, seeds = [24 + 5 * item for item in range(19)] + [196], [7 * item for item in range(20)]
    assert shipped.guidance == model.guidance
    filled = model.sample(TEXTS, frames, seeds)
    for item, (text, count, seed) in enumerate(zip(TEXTS, frames, seeds, strict=True)):
        tokens = shipped.sample(text, count, seed)
        assert torch.equal(tokens, filled.tokens[item, :, : -(-count // 4)]), text
    assert [shipped.estimate_length(text) for text in TEXTS] == model.estimate_length(TEXTS)
    (motion,) = model.decode(filled.tokens[:1], frames[:1])
    joints = shipped.generate(TEXTS[0], frames[0], seeds[0])
    assert joints.shape == (24, 22, 3)
    same(joints, features_to_joints(torch.from_numpy(motion.features)), atol=1e-5)


def test_tokens_that_the_canvas_holds_stay(one, shipped):
    words, sentence = shipped.text_encoder(TEXTS[1])
    canvas = torch.full((2, 8), one.MASK)
    canvas[1] = torch.arange(8)
    filled = one.fill(shipped.transformer, canvas, words, sentence, 2.0, seeded())
    assert torch.equal(filled[1], canvas[1]) and (filled[0] >= 0).all()


def test_the_command(one, shipped, tmp_path, monkeypatch, capsys):
    out, draw = tmp_path / "wave", one.draw
    monkeypatch.setattr("sys.argv", [FILE.name, TEXTS[1], "--frames", "24", "--out", str(out)])
    monkeypatch.setattr(one, "MMM", lambda folder: shipped)
    monkeypatch.setattr(one, "draw", lambda joints, *rest: draw(joints[::12], *rest))
    one.main()
    assert np.load(f"{out}.npy").shape == (24, 22, 3)
    assert Path(f"{out}.gif").read_bytes().startswith(b"GIF89a")
    assert "24 frames" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", [FILE.name, TEXTS[1], "--frames", "197"])
    with pytest.raises(SystemExit):
        one.main()
    assert "--frames is 197, expected 24 to 196" in capsys.readouterr().err
