import dataclasses
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up.evaluator import RandomEvaluator

from mmm import MMM
from mmm.data.text_cache import TextCache
from mmm.evaluation import metrics
from mmm.evaluation.pools import pad_features
from mmm.evaluation.protocol import ProtocolConfig, evaluate, model_hash
from mmm.evaluation.results import load_results
from mmm.motion import features_to_joints, measures

HERE = Path(__file__).parent

SMALL = ProtocolConfig(
    split="train",
    repeats=3,
    multimodality_texts=4,
    multimodality_samples=3,
    multimodality_pairs=3,
    pool=8,
    batch_size=4,
    precision="no",
    aits=False,
)


class Stopping(RandomEvaluator):
    """Ctrl-C when the texts of its `last` repeat are embedded: its motions are made, but nothing is written."""

    def __init__(self, last):
        super().__init__()
        self.left = last

    def embed_text(self, captions):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return super().embed_text(captions)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def run(model, folder, out, config=SMALL, evaluator=None, **options):
    evaluator = evaluator or RandomEvaluator()
    return evaluate(model, folder, evaluator, config, out, progress=False, cpu=True, **options)


@pytest.fixture(scope="module")
def whole(model, toy, tmp_path_factory):
    return run(model, toy, tmp_path_factory.mktemp("whole"))


def replace(**changes):
    """One repeat of given lengths, and changes to it."""
    return dataclasses.replace(
        SMALL, **{"repeats": 1, "lengths": ("given",), "multimodality": "none"} | changes
    )


def assert_same(one, other):
    assert one.rows == other.rows  # every float of every repeat
    assert one.table() == other.table() and one.physical_table() == other.physical_table()
    for repeat in range(SMALL.repeats):
        here, there = one.stored(repeat), other.stored(repeat)
        assert here.keys() == there.keys()
        assert all(torch.equal(here[name], there[name]) for name in here)


def test_every_row_has_its_metrics(whole):
    quality, physical = {"r1", "r2", "r3", "mm_dist", "diversity"}, {"skating", "jerk_mean", "jerk_peak"}
    physical |= {"slip", "bone_length_drift", "bone_stretch", "floor_penetration"}
    errors = {"mpjpe_local", "mpjpe_global", "pa_mpjpe"}
    against_real = quality | physical | {"fid", "fid_halves"}
    generated = against_real | {"multimodality"}
    assert {row: set(found) for row, found in whole.rows.items()} == {
        "real": quality | physical,
        "real_real": {"fid_halves"},
        "reconstruction": against_real | errors,
        "given": generated,
        "estimated": generated,
    }
    for row, found in whole.rows.items():
        for name, values in found.items():
            assert len(values) == (1 if name == "multimodality" else 3), (row, name)
    assert whole.clips == 22
    assert whole.rows["given"]["r1"] != whole.rows["real"]["r1"]
    assert len(set(whole.rows["given"]["fid"])) == 3  # other motions in every repeat
    assert len(set(whole.rows["reconstruction"]["fid"])) == 1
    # halves of real motion are the floor of halves of anything else
    assert np.mean(whole.rows["real_real"]["fid_halves"]) < np.mean(whole.rows["given"]["fid_halves"])


def test_the_numbers_are_those_of_the_stored_embeddings(whole):
    for repeat in range(3):
        kept = whole.stored(repeat)
        for row in ("real", "reconstruction", "given", "estimated"):
            found = metrics.r_precision(kept["text"], kept[row], 3, 8, kept["distractors"])
            assert found == tuple(whole.rows[row][f"r{k}"][repeat] for k in (1, 2, 3))
            assert metrics.mm_dist(kept["text"], kept[row]) == whole.rows[row]["mm_dist"][repeat]
            if row != "real":
                assert metrics.fid(kept["real"], kept[row]) == whole.rows[row]["fid"][repeat]


def test_real_motion_and_reconstruction_clip_by_clip(whole, toy, model):
    packed, kept = toy.pack("train"), whole.stored(0)
    joints = [features_to_joints(np.array(packed.clip(int(i)))) for i in kept["clip"]]
    skating = np.mean([float(measures.foot_skating(clip)) for clip in joints])
    assert whole.rows["real"]["skating"][0] == pytest.approx(skating, abs=1e-6)
    slips = [float(measures.foot_slip(clip)) for clip in joints]
    assert whole.rows["real"]["slip"][0] == pytest.approx(np.mean(slips), rel=1e-4)
    ids = [packed.ids[i] for i in kept["clip"]]
    walks = [i for i, clip in enumerate(ids) if toy.program(clip)["content"] == "walks forward"]
    about = whole.classes["walks forward"]
    assert about["clips"] == len(walks) >= 8
    speed = np.median([float(measures.root_speed(joints[i])) for i in walks])
    assert about["real"]["speed"] == pytest.approx(speed, rel=1e-5)
    moved = {row: about[row]["turning"]["distance"] for row in ("reconstruction", "given", "estimated")}
    assert min(moved.values()) > 0 and len(set(moved.values())) == 3
    errors = []
    for clip in kept["clip"].tolist():
        true = torch.from_numpy(np.array(packed.clip(clip)))[None]
        made = model.tokenizer.decode(model.tokenizer.encode(true))[:, : true.shape[1]]
        errors.append(measures.mpjpe_local(made, true)[0])
    found = whole.rows["reconstruction"]["mpjpe_local"][0]
    assert found == pytest.approx(float(torch.cat(errors).mean()), rel=1e-4)


def test_motions_can_be_generated_again_from_what_is_stored(whole, toy, model):
    packed, kept, evaluator = toy.pack("train"), whole.stored(2), RandomEvaluator()
    (cache,) = Path(os.environ["MMM_CACHE"]).glob("text/toy-*-train-minilm.safetensors")
    items, text = [0, 13, 21], TextCache.load(cache)
    clips, choices = kept["clip"][items].tolist(), kept["caption"][items].tolist()
    texts = [packed.captions[clip][choice].text for clip, choice in zip(clips, choices, strict=True)]
    lengths = {"given": packed.lengths[clips].tolist(), "estimated": model.estimate_length(texts)}
    for row, expected in lengths.items():
        frames, seeds = (kept[f"{row}.{name}"][items].tolist() for name in ("frames", "seeds"))
        assert frames == expected
        motions = model.generate_bulk(text.lookup(texts), frames, seeds, batch_size=4, precision="no")
        again = evaluator.embed_motion(*pad_features(motions))
        torch.testing.assert_close(again, kept[row][items], rtol=1e-4, atol=1e-3)


def test_stopped_and_started_again_it_ends_with_the_same_numbers(whole, model, toy, tmp_path):
    with pytest.raises(KeyboardInterrupt, match="1 of 3 repeats"):
        run(model, toy, tmp_path, evaluator=Stopping(2))
    assert not (tmp_path / "results.json").exists()
    (tmp_path / "repeats" / "001.safetensors").write_bytes(b"killed before its numbers were written")
    assert_same(run(model, toy, tmp_path), whole)
    assert json.loads((tmp_path / "manifest.json").read_text())["resumed_from"] == 1
    assert_same(load_results(tmp_path), whole)


def test_repeats_can_be_added_and_rows_do_not_depend_on_one_another(whole, model, toy, tmp_path):
    run(model, toy, tmp_path, replace())
    before = (tmp_path / "repeats" / "000.json").stat().st_mtime_ns
    results = run(model, toy, tmp_path, replace(repeats=2))
    assert (tmp_path / "repeats" / "000.json").stat().st_mtime_ns == before
    for row in ("real", "real_real", "reconstruction", "given"):
        expected = {name: values[:2] for name, values in whole.rows[row].items() if name != "multimodality"}
        assert results.rows[row] == expected


@pytest.mark.parametrize(
    ("change", "evaluator", "named"),
    [
        ({"temperature": 0.5}, "random-0", "protocol.temperature=1.0"),
        ({"remask": "most"}, "random-0", "protocol.remask='least'"),
        ({}, "random-1", "evaluator='random-0'"),
    ],
)
def test_another_evaluation_is_not_continued(whole, model, toy, change, evaluator, named):
    with pytest.raises(ValueError, match=named):
        run(model, toy, whole.folder, dataclasses.replace(SMALL, **change), RandomEvaluator(name=evaluator))
    assert (whole.folder / "repeats" / "000.json").is_file()


def test_a_folder_of_something_else_is_refused(model, toy, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match=str(tmp_path)):
        run(model, toy, tmp_path, resume=False)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_without_resume_it_starts_again_and_the_remasking_rule_reaches_the_sampler(model, toy, tmp_path):
    stored = {
        rule: run(model, toy, tmp_path, replace(steps=4, remask=rule), resume=False).stored(0)["given"]
        for rule in ("least", "most", "random")
    }
    assert not torch.equal(stored["least"], stored["most"])
    assert not torch.equal(stored["least"], stored["random"])


IN_A_PROCESS = f"""
import sys
sys.path[:0] = [{str(HERE.parent)!r}, {str(HERE.parents[1])!r}]
import torch
from mmm import MMM
from mmm.data import MotionFolder
from mmm.evaluation.protocol import ProtocolConfig, evaluate
from made_up.evaluator import RandomEvaluator
torch.set_num_threads(1)
torch.use_deterministic_algorithms(True, warn_only=True)
model, data, out = sys.argv[1:]
config = ProtocolConfig(**CONFIG)
found = evaluate(MMM.from_pretrained(model), MotionFolder.open(data), RandomEvaluator(), config, out,
                 progress=False, cpu=True)
print("results" if found else "helped")
"""


def test_two_processes_give_the_numbers_of_one(whole, trained, toy, tmp_path):
    code = IN_A_PROCESS.replace("CONFIG", repr(dataclasses.asdict(SMALL) | {"repeats": 1}))
    launch = [sys.executable, "-c", code, str(trained / "model_run"), str(toy.path), str(tmp_path / "out")]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    shared |= {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    processes = []
    for rank in ("0", "1"):
        environment = os.environ | shared | {"RANK": rank, "LOCAL_RANK": rank}
        processes.append(subprocess.Popen(launch, env=environment, stdout=subprocess.PIPE, text=True))
    printed = [process.communicate(timeout=900)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert [text.split()[-1] for text in printed] == ["results", "helped"]
    found = load_results(tmp_path / "out")
    assert found.rows == {
        row: {name: values[:1] for name, values in numbers.items()} for row, numbers in whole.rows.items()
    }
    one, two = found.stored(0), whole.stored(0)
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["processes"] == 2


def test_the_official_protocol_draws_real_motion_in_every_repeat(model, toy, tmp_path):
    results = run(model, toy, tmp_path, replace(repeats=2, official=True, pool=4))
    one, two = results.stored(0), results.stored(1)
    assert set(results.rows["real_real"]) == {"fid"} and "fid_halves" not in results.rows["given"]
    assert "distractors" not in one and not torch.equal(one["real"], two["real"])
    assert results.rows["given"]["r1"][0] == metrics.r_precision(one["text"], one["given"], 3, 4)[0]
    real = results.rows["real_real"]["fid"]
    assert 0 < max(real) < min(results.rows["given"]["fid"])
    assert "batch mates" in results.report()


def changed(model, length=True, **info):
    """The model with another info, or without its length estimator."""
    estimator = model.length if length else None
    return MMM(model.tokenizer, model.transformer, estimator, model.info | info, model.encoder)


def test_other_splits_can_be_allowed_estimated_lengths_alone_and_aits(model, toy, tmp_path):
    other, config = changed(model, splits_hash="0" * 16), replace(lengths=("estimated",), aits=True)
    results = run(other, toy, tmp_path, config, other_splits=True)
    assert list(results.rows)[3:] == ["estimated"] and "multimodality" not in results.rows["estimated"]
    timing = results.timing
    assert timing["clips"] == results.clips == 22
    assert timing["aits"] == pytest.approx(timing["one_by_one"] / 22)
    assert timing["speed_up"] == pytest.approx(timing["one_by_one"] / (timing["text"] + timing["bulk"]))
    assert timing["seconds"][0]["total"] > timing["seconds"][0]["estimated"] > 0


@pytest.mark.parametrize(
    ("change", "config", "named"),
    [
        ({}, {"split": "dev"}, "'dev'"),
        ({}, {"split": "val"}, "2 clips .* a pool needs 8"),
        ({}, {"remask": "worst"}, "'worst'"),
        ({"length": False}, {"lengths": ("given", "estimated")}, "length estimator"),
        ({"skeleton": "kit"}, {}, "skeleton kit"),
        ({"splits_hash": "0" * 16}, {}, "other_splits=True"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_before_anything_is_written(
    model, toy, tmp_path, change, config, named
):
    with pytest.raises(ValueError, match=named):
        run(changed(model, **change), toy, tmp_path / "out", replace(**config))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("repeats", 0), ("pool", 1), ("lengths", ()), ("lengths", ("long",))),
        *(("multimodality", "some"), ("precision", "fp8")),
    ],
)
def test_settings_out_of_range(name, value):
    with pytest.raises(ValueError, match=name):
        ProtocolConfig(**{name: value})


def test_one_weight_changes_the_models_hash(trained):
    model = MMM.from_pretrained(trained / "model_run")
    before = model_hash(model)
    assert before == model_hash(MMM.from_pretrained(trained / "model_run"))
    with torch.no_grad():
        next(model.length.parameters()).view(-1)[0] += 1e-3
    assert model_hash(model) != before
