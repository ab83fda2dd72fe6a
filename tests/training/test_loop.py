"""The training loop: only the settings may change what is learned, not even kill -9."""

import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from mmm.errors import DiskFullError
from mmm.training.config import TrainConfig
from mmm.training.loop import train
from mmm.training.run_folder import locked, read_metrics

HERE = Path(__file__).parent
TOY = SimpleNamespace(**runpy.run_path(str(HERE / "toy.py")))
CONFIG, toy, batch, loss, evaluate = TOY.CONFIG, TOY.toy, TOY.batch, TOY.loss, TOY.evaluate
IN_A_PROCESS = f"""
import os, signal, sys
sys.path[:0] = [{str(HERE)!r}, {str(HERE.parents[1])!r}]
import torch
from mmm.training.config import TrainConfig
from mmm.training.loop import train
from toy import CONFIG, batch, evaluate, loss, toy
torch.set_num_threads(1)
"""


def run(out, config=CONFIG, batch=batch, **options):
    return train(toy(), batch, loss, config, out, evaluate, progress=False, **options)


def state(module):
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def assert_same_run(one, other, first, second):
    assert (first / "metrics.jsonl").read_text() == (second / "metrics.jsonl").read_text()
    assert one.metrics == other.metrics
    for name, tensor in state(one.module).items():
        assert torch.equal(tensor, state(other.module)[name]), name


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    return run(out), out


KILL = {
    # in the middle of step 27, with lines written since the checkpoint of step 20
    "in a step": """
def batch(step, generator, plain=batch):
    if step == 27:
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(step, generator)
""",
    # when one file of the checkpoint of step 30 is written
    "in a checkpoint": """
from mmm.training import checkpoints
def save_file(tensors, path, plain=checkpoints.save_file):
    plain(tensors, path)
    if "step-000000030" in str(path):
        os.kill(os.getpid(), signal.SIGKILL)
checkpoints.save_file = save_file
""",
}


def test_kill_9_and_resume_is_the_uninterrupted_run(uninterrupted, tmp_path):
    killed = {}
    for number, (when, lines) in enumerate(KILL.items()):
        call = f"train(toy(), batch, loss, CONFIG, {str(tmp_path / str(number))!r}, evaluate, progress=False)"
        killed[when] = subprocess.Popen([sys.executable, "-c", f"{IN_A_PROCESS}{lines}\n{call}"])
    for number, (when, process) in enumerate(killed.items()):
        out = tmp_path / str(number)
        assert process.wait(600) == -signal.SIGKILL, when
        kept = sorted(place.name for place in (out / "checkpoints").glob("step-*"))
        assert kept == ["step-000000010", "step-000000020"], when
        assert read_metrics(out / "metrics.jsonl")[-1]["step"] > 20, when  # lines that are to be rewound
        assert_same_run(run(out), uninterrupted[0], out, uninterrupted[1])
        assert json.loads((out / "manifest.json").read_text())["resumed_from"] == 20
        assert not list((out / "checkpoints").glob(".*"))


def test_stop_ends_a_training_after_a_step_and_writes_no_more(tmp_path):
    steps = []
    result = run(tmp_path, stop=lambda step: steps.append(step) or step == 12)
    assert steps == list(range(1, 13)) and result.step == 12 and not result.saves
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [7]
    assert not (tmp_path / "metrics.json").exists()
    assert [place.name for place in (tmp_path / "checkpoints").iterdir()] == ["step-000000010"]


def test_ctrl_c_finishes_the_step_and_saves(uninterrupted, tmp_path):
    def interrupted(step, generator):
        if step == 12:
            signal.raise_signal(signal.SIGINT)
        return batch(step, generator)

    before = signal.getsignal(signal.SIGINT)  # a shell's background jobs ignore it, and so may CI
    with pytest.raises(KeyboardInterrupt, match="after step 13"):
        run(tmp_path, batch=interrupted)
    assert signal.getsignal(signal.SIGINT) is before
    assert (tmp_path / "checkpoints" / "step-000000013").is_dir()
    assert_same_run(run(tmp_path), uninterrupted[0], tmp_path, uninterrupted[1])


@pytest.mark.parametrize("group", ["model", "optimizer", "ema", "state"])
def test_a_truncated_checkpoint_falls_back_to_the_one_before(uninterrupted, tmp_path, group):
    shutil.copytree(uninterrupted[1], tmp_path, dirs_exist_ok=True)
    newest = tmp_path / "checkpoints" / "step-000000040"
    file = next(newest.glob(f"{group}.*"))
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.warns(UserWarning, match="step-000000040 cannot be read .*; trying the one before it"):
        again = run(tmp_path)
    assert_same_run(again, uninterrupted[0], tmp_path, uninterrupted[1])


def test_a_run_with_only_damaged_checkpoints_is_refused(uninterrupted, tmp_path):
    shutil.copytree(uninterrupted[1], tmp_path, dirs_exist_ok=True)
    for file in tmp_path.glob("checkpoints/*/model.safetensors"):
        file.write_bytes(b"")
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="no checkpoint in .* can be read"):
        run(tmp_path)
    assert (tmp_path / "metrics.jsonl").read_text() == (uninterrupted[1] / "metrics.jsonl").read_text()


def test_a_checkpoint_that_lacks_a_part_is_refused(uninterrupted, tmp_path):
    def of_optimizer(folder):
        state = load_file(folder / "optimizer.safetensors")
        save_file(
            {name: value for name, value in state.items() if name != "0/exp_avg_sq"},
            folder / "optimizer.safetensors",
        )

    def of_numbers(folder):
        state = load_file(folder / "optimizer.safetensors")
        state["0/exp_avg_sq"].view(-1)[0] = torch.inf
        save_file(state, folder / "optimizer.safetensors")

    def of_state(change):
        def write(folder):
            state = json.loads((folder / "state.json").read_text())
            change(state)
            (folder / "state.json").write_text(json.dumps(state))

        return write

    parts = (
        (of_optimizer, "lacks arrays of some parameters"),
        (of_numbers, "optimizer has NaN or infinite numbers in '0/exp_avg_sq'"),
        (of_state(lambda state: state["info"].update(logged=True)), "state.json does not say"),
        (of_state(lambda state: state["info"].pop("summed")), "state.json does not say"),
        (of_state(lambda state: state["groups"].remove("log")), "state.json does not say"),
    )
    for number, (damage, named) in enumerate(parts):
        out = tmp_path / str(number)
        shutil.copytree(uninterrupted[1], out)
        shutil.rmtree(out / "model", ignore_errors=True)
        for folder in (out / "checkpoints").iterdir():
            damage(folder)
        with pytest.raises(ValueError, match=named):
            run(out, replace(CONFIG, steps=CONFIG.steps + 5))


def test_checkpoints_hold_no_pickle_and_only_two_are_kept(uninterrupted):
    folder = uninterrupted[1] / "checkpoints"
    assert sorted(place.name for place in folder.iterdir()) == ["step-000000030", "step-000000040"]
    for file in folder.glob("*/*"):
        assert file.suffix in (".json", ".safetensors")


def test_a_finished_run_is_only_read(uninterrupted, tmp_path):
    def never(step, generator):
        raise AssertionError("no step is left")

    shutil.copytree(uninterrupted[1], tmp_path, dirs_exist_ok=True)
    assert_same_run(run(tmp_path, batch=never), uninterrupted[0], tmp_path, uninterrupted[1])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"lr": 2e-2}, "train.lr=0.01 .* 0.02"),
        ({"seed": 1}, "train.seed=0"),
        ({"ema": 0.0}, "train.ema=0.9"),
        ({"steps": 30}, "40 steps, .* steps=30"),
    ],
)
def test_another_run_in_the_same_folder_is_refused(uninterrupted, change, named):
    before = (uninterrupted[1] / "config.yaml").read_text()
    with pytest.raises(ValueError, match=named):
        run(uninterrupted[1], TrainConfig(**{**CONFIG.__dict__, **change}))
    assert (uninterrupted[1] / "config.yaml").read_text() == before


def test_other_data_or_another_model_in_the_same_folder_is_refused(tmp_path):
    config = TrainConfig(steps=2)
    run(tmp_path, config, config_extra={"data": {"hash": "a"}})
    with pytest.raises(ValueError, match="data.hash='a' .* 'b'"):
        run(tmp_path, config, config_extra={"data": {"hash": "b"}})
    with pytest.raises(ValueError, match="2 tensors differ"):
        wide = toy()
        wide.layers[3] = nn.Linear(32, 9)
        train(wide, batch, loss, config, tmp_path, config_extra={"data": {"hash": "a"}}, progress=False)


def test_resume_false_starts_again(uninterrupted, tmp_path):
    shutil.copytree(uninterrupted[1], tmp_path, dirs_exist_ok=True)
    (tmp_path / "model").mkdir()  # of the run before; were it left, an interrupted rerun would seem done
    run(tmp_path)
    assert (tmp_path / "model").is_dir()
    other = run(tmp_path, TrainConfig(steps=3, log_every=1), resume=False)
    assert not (tmp_path / "model").exists()
    assert other.step == 3
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2, 3, 3]
    assert [place.name for place in (tmp_path / "checkpoints").iterdir()] == ["step-000000003"]


def test_more_steps_continue_a_run_and_logging_changes_nothing(tmp_path):
    long = TrainConfig(steps=20, log_every=1, checkpoint_every=3, ema=0.9)
    whole = run(tmp_path / "whole", long)
    run(tmp_path / "parts", TrainConfig(steps=11, ema=0.9))
    parts = run(tmp_path / "parts", TrainConfig(steps=20, log_every=6, ema=0.9))
    for name, tensor in state(whole.module).items():
        assert torch.equal(tensor, state(parts.module)[name]), name


def test_log_lines_are_means_over_the_steps_since_the_last_one(tmp_path):
    config = dict(steps=6, lr=1e-2)
    run(tmp_path / "each", TrainConfig(**config, log_every=1))
    run(tmp_path / "some", TrainConfig(**config, log_every=4))
    each = [line["loss"] for line in read_metrics(tmp_path / "each/metrics.jsonl") if "loss" in line]
    some = [line["loss"] for line in read_metrics(tmp_path / "some/metrics.jsonl") if "loss" in line]
    assert some == pytest.approx([sum(each[:4]) / 4, sum(each[4:]) / 2])


def test_callers_random_numbers_are_left_alone(tmp_path):
    module = toy()
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    train(module, batch, loss, TrainConfig(steps=2), tmp_path, progress=False)
    assert torch.equal(torch.rand(4), expected)


def test_averaged_weights_are_evaluated_and_kept(tmp_path):
    seen, evaluated = [], []

    def watched(model, data, generator):
        seen.append(model.layers[0].weight.detach().clone())
        return loss(model, data, generator)

    def evaluate(model):
        evaluated.append(model.layers[0].weight.clone())
        return {}

    config = TrainConfig(steps=6, lr=1e-2, ema=0.3)
    result = train(toy(), batch, watched, config, tmp_path, evaluate, progress=False)
    plain = train(toy(), batch, watched, TrainConfig(steps=6, lr=1e-2), tmp_path / "plain", progress=False)
    weights = [*seen[1:6], plain.module.layers[0].weight.detach()]  # after each step
    average = seen[0]
    for step, weight in enumerate(weights, 1):
        decay = min(0.3, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * weight
    torch.testing.assert_close(result.module.layers[0].weight, average, rtol=0, atol=1e-6)
    assert torch.equal(evaluated[-1], result.module.layers[0].weight)
    assert (average - weights[-1]).abs().max() > 1e-3
    assert not result.module.training and torch.equal(result.module.sums, plain.module.sums)


def test_gradients_are_clipped(tmp_path):
    start = toy().layers[0].weight
    moved = {}
    for clip in (0.0, 1e-12):  # far below AdamW's eps, so that a clipped step hardly moves
        config = TrainConfig(steps=3, grad_clip=clip)
        moved[clip] = float(
            (run(tmp_path / str(clip), config).module.layers[0].weight - start).detach().abs().max()
        )
    assert moved[1e-12] < 1e-2 * moved[0.0]


def test_bf16_trains_float32_weights_and_resumes_exactly(tmp_path):
    kinds = set()

    def watched(model, data, generator):
        kinds.add(model.layers[0](data["x"]).dtype)
        return loss(model, data, generator)

    def go(name, steps, precision="bf16"):
        config = TrainConfig(steps=steps, precision=precision, lr=1e-2)
        return train(toy(), batch, watched, config, tmp_path / name, evaluate, progress=False)

    whole, _, parts = go("whole", 8), go("parts", 5), go("parts", 8)
    assert kinds == {torch.bfloat16} and whole.module.layers[0].weight.dtype == torch.float32
    assert torch.equal(whole.module.layers[0].weight, parts.module.layers[0].weight)
    go("plain", 8, "no")  # another precision in the same process
    assert kinds == {torch.bfloat16, torch.float32}
    rough, exact = (read_metrics(tmp_path / name / "metrics.jsonl")[0]["loss"] for name in ("whole", "plain"))
    assert rough != exact and rough == pytest.approx(exact, rel=0.02)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU for fp16")
def test_fp16_without_a_gpu_is_refused(tmp_path):
    with pytest.raises(ValueError, match="precision is 'fp16', but there is no CUDA GPU"):
        run(tmp_path, TrainConfig(steps=2, precision="fp16"))


def test_a_loss_that_is_not_finite_stops_the_run_and_writes_no_checkpoint(tmp_path):
    def exploding(model, data, generator):
        value, logs = loss(model, data, generator)
        return value * (float("nan") if len(seen) > 5 else 1.0), (seen.append(1), logs)[1]

    seen = []
    config = TrainConfig(steps=9, checkpoint_every=2, log_every=9)
    with pytest.raises(FloatingPointError, match="the loss is nan at step 8"):
        train(toy(), batch, exploding, config, tmp_path, progress=False)
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir())[-1] == "step-000000006"


def test_the_run_folder_records_code_and_machine(uninterrupted):
    out = uninterrupted[1]
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["device"] == "cpu" and manifest["seed"] == 0 and manifest["threads"] == 1
    # the CUDA build calls itself 2.13.0+cu130 and is installed as 2.13.0
    assert manifest["packages"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert "git_revision" in manifest and "git_dirty" in manifest
    assert "lr: 0.01" in (out / "config.yaml").read_text()
    assert [line["step"] for line in read_metrics(out / "timing.jsonl")] == [7, 14, 21, 28, 35, 40]


HOLDS = """
import sys, time
from pathlib import Path
from mmm.training.run_folder import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(600)
"""


def test_two_trainings_into_one_folder_are_refused_and_kill_9_frees_it(tmp_path):
    out = tmp_path / "runs" / "a"
    with subprocess.Popen([sys.executable, "-c", HOLDS, str(out)], stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(ValueError, match=f"a is in use: process {other.pid} on .* trains there"):
            run(out)
        assert os.listdir(out) == [".lock"], "the second training has written nothing"
        other.kill()
    assert (out / ".lock").exists(), "nobody could remove it, but it is no longer locked"
    run(out)
    assert (out / "metrics.json").is_file() and not (out / ".lock").exists()


def test_a_process_locks_a_folder_again_and_its_other_processes_do_not_lock(tmp_path, monkeypatch):
    out = tmp_path / "new" / "a"
    with locked(out), locked(out):
        assert (out / ".lock").read_text().startswith(f"process {os.getpid()} on ")
    assert not list(tmp_path.iterdir()), "folders that stay empty are removed again"
    monkeypatch.setenv("RANK", "1")
    with locked(out):
        assert not out.exists()


def test_a_full_disk_keeps_the_last_checkpoint_and_the_same_call_continues(small_disk, uninterrupted):
    out, filler = small_disk / "a", small_disk / "filler"

    def fills(step, generator):
        if step == 15:
            filler.write_bytes(bytes(shutil.disk_usage(small_disk).free))
        return batch(step, generator)

    with pytest.raises(DiskFullError, match="was not written: its disk is full"):
        run(out, batch=fills)
    assert os.listdir(out / "checkpoints") == ["step-000000010"] and not list(out.rglob("*.part*"))
    filler.unlink()
    assert_same_run(run(out), uninterrupted[0], out, uninterrupted[1])
