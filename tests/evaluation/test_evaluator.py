import json
import math
import shutil

import numpy as np
import pytest
import torch

from mmm.data import Caption
from mmm.evaluation.evaluator import (
    RADIUS,
    EvaluatorConfig,
    MotionTextEvaluator,
    TrainedEvaluator,
    load_evaluator,
)
from mmm.evaluation.evaluator import Evaluator as EvaluatorProtocol
from mmm.evaluation.pools import embed_clips, pad_features
from mmm.evaluation.train_evaluator import Pairs, contrastive_loss, evaluate_evaluator, fit_evaluator
from mmm.motion.mirror import mirror_features

SMALL = {"width": 8, "hidden": 32, "layers": 1}
QUIET = {"progress": False, "cpu": True}


@pytest.fixture(scope="module")
def run(toy, tmp_path_factory):
    """An evaluator trained for a few steps on the toy data."""
    out = tmp_path_factory.mktemp("evaluator")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMM_CACHE", str(out / "cache"))
        found = fit_evaluator(
            toy, out, model=SMALL, options=QUIET, steps=60, batch_size=24, lr=3e-3, precision="no"
        )
    assert found.embed_text([Caption("a caption of no split")]).shape == (1, 8)
    return out


@pytest.fixture(scope="module")
def evaluator(run):
    return TrainedEvaluator.from_pretrained(run / "model")


def test_several_processes_are_refused(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="accelerate launch"):
        fit_evaluator(toy, tmp_path / "run", model=SMALL, options=QUIET)
    assert not (tmp_path / "run").exists()


def test_it_learns_which_texts_and_motions_belong_together(run, evaluator, toy):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[-1] < 0.6 * losses[0]
    packed = toy.pack("train")
    motion = embed_clips(evaluator, [packed.clip(i) for i in range(len(packed))])
    text = evaluator.embed_text([captions[0] for captions in packed.captions])
    nearest = torch.cdist(text, motion).argmin(1)
    same = [packed.ids[i][0] == packed.ids[int(j)][0] for i, j in enumerate(nearest)]
    assert np.mean(same) > 0.8  # chance: a third


def test_it_is_an_evaluator_on_a_sphere(evaluator, toy):
    assert isinstance(evaluator, EvaluatorProtocol)
    packed = toy.pack("train")
    motion = evaluator.embed_motion(*pad_features([packed.clip(0), packed.clip(5)]))
    text = evaluator.embed_text([Caption("a person bows"), Caption("someone walks forward")])
    for found in (motion, text):
        assert found.shape == (2, 8)
        torch.testing.assert_close(found.norm(dim=1), torch.full((2,), RADIUS))
    assert evaluator.name == f"toy-{evaluator.info['hash'][:8]}"


def test_frames_after_the_end_and_batch_mates_do_not_count(evaluator, toy):
    packed = toy.pack("train")
    clips = [np.asarray(packed.clip(i))[:length] for i, length in ((0, 33), (3, 60), (7, 26))]
    features, lengths = pad_features(clips)
    together = evaluator.embed_motion(features, lengths)
    features[0, 33:] = 1e3
    torch.testing.assert_close(evaluator.embed_motion(features, lengths), together, rtol=0, atol=0)
    for row, clip in zip(together, clips, strict=True):
        alone = evaluator.embed_motion(*pad_features([clip]))[0]
        torch.testing.assert_close(row, alone, rtol=1e-4, atol=1e-4)


def test_a_captions_embedding_depends_on_its_text_alone(run):
    texts = ["a person bows", "someone walks forward, then turns around and sits down on the floor", "x"]
    first, second = (TrainedEvaluator.from_pretrained(run / "model") for _ in range(2))
    there = first.embed_text([Caption(text) for text in texts])
    back = second.embed_text([Caption(text) for text in reversed(texts)]).flip(0)
    assert torch.equal(there, back)


def test_loss_of_perfect_pairs_of_chance_and_of_left_out_right_answers():
    eye = torch.eye(4)
    own = torch.eye(4, dtype=torch.bool)
    scale = torch.tensor(50.0)
    assert float(contrastive_loss(RADIUS * eye, RADIUS * eye, own, scale)) < 1e-6
    same = RADIUS * torch.ones(4, 1)
    assert float(contrastive_loss(same, same, own, scale)) == pytest.approx(math.log(4))
    # two of the four are right for each other: no negatives, so three choices are left to each of the others
    right = own.clone()
    right[0, 1] = right[1, 0] = True
    assert float(contrastive_loss(same, same, right, scale)) == pytest.approx(
        (2 * math.log(3) + 2 * math.log(4)) / 4
    )


def test_pairs_draw_what_they_say(toy):
    packed = toy.pack("train")
    pairs = Pairs(toy, packed, np.ones(len(packed)))
    captions, features, lengths, right = pairs.draw(40, torch.Generator().manual_seed(1))
    assert right.diagonal().all() and right.shape == (40, 40)
    assert torch.equal(right, right.T)  # toy captions tell the content and nothing else
    known = {texts for clip in pairs.captions for texts in clip}
    assert set(captions) <= known and set(pairs.texts()) == known
    # every drawn clip is a clip of the data, as it is or mirrored, begun 0 to 3 frames later
    plain = [np.asarray(packed.clip(i)) for i in range(len(packed))]
    starts = [
        clip[start:].tobytes()
        for each in plain
        for clip in (each, mirror_features(each))
        for start in range(4)
    ]
    for row, length in zip(features.numpy(), lengths.tolist(), strict=True):
        assert row[:length].tobytes() in starts
    weights = np.zeros(len(packed))
    weights[3] = 1
    _, features, lengths, _ = Pairs(toy, packed, weights).draw(6, torch.Generator().manual_seed(1))
    assert set(lengths.tolist()) <= {len(packed.clip(3)) - start for start in range(4)}


def test_a_changed_evaluator_is_refused(run, tmp_path):
    copy = shutil.copytree(run / "model", tmp_path / "copy")
    info = json.loads((copy / "evaluator.json").read_text())
    for content, named in ((json.dumps(info | {"hash": "0" * 16}), "0000"), ("{", "evaluator.json")):
        (copy / "evaluator.json").write_text(content)
        with pytest.raises(ValueError, match=named):
            TrainedEvaluator.from_pretrained(copy)


def test_missing_evaluators_and_other_splits_are_named(run, toy, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="'toy'"):
        load_evaluator(toy)
    assert load_evaluator(toy, run / "model").width == 8
    evaluator = TrainedEvaluator.from_pretrained(run / "model")
    evaluator.info["splits_hash"] = "other"
    evaluator.save_pretrained(tmp_path / "other", "card {short}", steps=1)
    with pytest.raises(ValueError, match="other"):
        load_evaluator(toy, tmp_path / "other")
    monkeypatch.setattr(toy, "name", "humanml3d")  # which has an official evaluator
    with pytest.raises(FileNotFoundError, match=r"finest\.tar.*text-to-motion"):
        load_evaluator(toy, tmp_path)
    assert load_evaluator(toy, run / "model").name.startswith("toy-")  # one of ours, if its folder is named


def test_card_and_figures_go_with_the_weights(run, evaluator, toy):
    card = (run / "model" / "README.md").read_text()
    assert evaluator.info["hash"][:8] in card and "60 steps" in card
    assert evaluator.info["steps"] == 60 and evaluator.info["splits_hash"] == toy.splits_hash
    figures = evaluate_evaluator(evaluator, toy, toy.pack("train"))
    assert figures["pool"] == 10 and 0.8 < figures["r1"] <= figures["r3"]  # 9 clips of 22 show something else
    # both clips of toy's val show the same, so nothing can be asked there
    assert evaluate_evaluator(evaluator, toy, toy.pack("val")) == {}


def test_untrained_networks_are_at_chance(toy):
    info, r1 = {"data": "toy", "hash": "x", "text_encoder": "minilm"}, []
    for seed in range(6):
        torch.manual_seed(seed)
        sizes = EvaluatorConfig(width=8, hidden=32, layers=1)
        network = MotionTextEvaluator(sizes, torch.from_numpy(toy.mean), torch.from_numpy(toy.std))
        scores = evaluate_evaluator(TrainedEvaluator(network, info), toy, toy.pack("train"), repeats=3)
        r1.append(scores["r1"])
    assert np.mean(r1) < 0.4  # three kinds of clips, alike within each: a third by chance
