"""Reconstruction errors by joint, action and frequency on signals with known answers; collapse on purpose."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmm.data import Caption
from mmm.lab import tokenizer as study
from mmm.motion import measures
from mmm.pretrained import load_tokenizer
from mmm.tokenizer import PRESETS

FPS = 20.0


def clip(frames: int = 100) -> np.ndarray:
    return np.zeros((frames, 263))


def swing(hertz: float, rms: float, frames: int = 100, phase: float = 0.0, joint: int = 1) -> np.ndarray:
    """A clip in which one joint swings along x, with `rms` cm root mean square over all 21 joints."""
    x = clip(frames)
    x[:, 4 + 3 * (joint - 1)] = np.sin(2 * np.pi * hertz * np.arange(frames) / FPS + phase)
    return x * rms / 100 * np.sqrt(2 * 21)


def noise(frames: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((frames, 263))


# ---------------------------------------------------------------------- joints and actions


def test_joint_errors_by_hand():
    copies = [clip(10), clip(30)]
    copies[0][:, 4 + 3 * 4 : 4 + 3 * 5] = [0.03, 0.0, 0.04]  # joint 5 is 5 cm off in 10 of 40 frames
    expected = torch.zeros(21, dtype=torch.float64)
    expected[4] = 5 / 4
    torch.testing.assert_close(study.joint_errors(copies, [clip(10), clip(30)]), expected)


def test_their_mean_is_the_local_error():
    clips, copies = [noise(10, 0), noise(31, 1)], [noise(10, 2), noise(31, 3)]
    by_clip = study.clip_errors(copies, clips)
    assert [len(errors) for errors in by_clip] == [10, 31]
    assert torch.equal(by_clip[1], measures.mpjpe_local(copies[1], clips[1]))
    mean = float(study.joint_errors(copies, clips).mean())
    assert mean == pytest.approx(float(torch.cat(by_clip).mean()))


def test_error_by_action_weighs_frames_and_counts_clips():
    errors = [torch.tensor([1.0, 2.0, 6.0]), torch.tensor([3.0])]
    table = study.error_by_action(errors, [["walk", "walk", "bow"], ["walk"]])
    assert table.index.tolist() == ["bow", "walk"]  # the worst first
    assert table.loc["walk"].tolist() == [2.0, 3, 2] and table.loc["bow"].tolist() == [6.0, 1, 1]


def test_actions_of_frames():
    segments = [
        {"legs": {"name": "walk"}, "arms": None, "start": 0, "end": 3},
        {"legs": {"name": "stand"}, "arms": {"name": "wave"}, "start": 3, "end": 5},
        {"legs": {"name": "jump"}, "arms": {"name": "raise"}, "start": 5, "end": 8},
    ]
    program = {"segments": segments, "frames": 8, "seed": 0}
    assert study.frame_actions(program, [], 7) == ["walk"] * 3 + ["wave"] * 2 + ["jump"] * 2
    assert study.frame_actions(program, [], 9)[-1] == "jump"  # to the clip's end
    assert study.frame_actions({"content": "bow"}, [], 2) == ["bow", "bow"]
    caption = Caption("a man kicks", (("a", "DET"), ("man", "NOUN"), ("kick", "VERB")))
    assert study.frame_actions(None, [caption], 2) == ["kick", "kick"]
    assert study.frame_actions(None, [], 1) == ["all"]


# ---------------------------------------------------------------------- frequency


@pytest.mark.parametrize("phase", [0.0, 0.7, np.pi / 2])
def test_a_swing_that_is_not_reconstructed_shows_in_its_band_only(phase):
    slow, fast = swing(0.75, 6.0, joint=2), swing(3.0, 2.0, phase=phase)
    table = study.error_by_frequency([slow], [slow + fast])
    assert table.index.tolist() == ["mean pose", "0–0.5 Hz", "0.5–1 Hz", "1–2 Hz", "2–4 Hz", "4–10 Hz"]
    error = table["error"]
    assert error["2–4 Hz"] == pytest.approx(2.0, rel=0.02)
    assert (error.drop("2–4 Hz") < 0.4).all()  # the leak that the docstring names: 2 % of the power
    assert np.square(error.drop("2–4 Hz")).sum() < 0.04 * np.square(error).sum()
    assert table["ratio"]["2–4 Hz"] == pytest.approx(1, rel=0.05) and table["ratio"]["0.5–1 Hz"] < 0.1
    assert table["clip"]["0.5–1 Hz"] == pytest.approx(6.0, rel=0.05)
    assert table["reconstruction"]["2–4 Hz"] < 0.3 < table["clip"]["2–4 Hz"]
    swapped = study.error_by_frequency([slow + fast], [slow])  # the reconstruction moves more than the clip
    assert swapped["reconstruction"]["2–4 Hz"] > 1.9 and swapped["ratio"]["2–4 Hz"] > 5


def test_a_slow_path_that_does_not_return_is_not_fast():
    """A plain Fourier transform sees the jump from the last frame to the first."""
    ramp = clip()
    ramp[:, 4] = np.linspace(0, 1, 100)
    table = study.error_by_frequency([clip()], [ramp])
    assert table["clip"]["4–10 Hz"] < 0.01 * table["clip"]["0–0.5 Hz"]
    jump = np.abs(np.fft.rfft(ramp[:, 4]))
    assert np.sqrt(np.square(jump[21:]).sum()) > 0.1 * np.sqrt(np.square(jump[1:3]).sum())


def test_a_shifted_pose_is_no_movement():
    shifted = clip()
    shifted[:, 4] = 0.05 * np.sqrt(21)
    table = study.error_by_frequency([shifted], [clip()])
    assert table["error"]["mean pose"] == pytest.approx(5.0)
    assert (table["error"].iloc[1:] < 1e-9).all()
    assert table["ratio"].isna().all()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(4, 60), min_size=1, max_size=4), st.integers(0, 99))
def test_the_bands_add_up_to_the_whole_error(lengths, seed):
    clips = [noise(frames, seed + i) for i, frames in enumerate(lengths)]
    copies = [noise(frames, seed + 100 + i) for i, frames in enumerate(lengths)]
    table = study.error_by_frequency(copies, clips)
    local = slice(4, 67)
    whole = 100 * np.concatenate([a[:, local] - b[:, local] for a, b in zip(copies, clips, strict=True)])
    squares = np.square(whole.reshape(len(whole), 21, 3)).sum(-1).mean()
    assert np.square(table["error"]).sum() == pytest.approx(squares)
    frames = 100 * np.concatenate([x[:, local] for x in clips])
    spread = np.square((frames - frames.mean(0)).reshape(len(whole), 21, 3)).sum(-1).mean()
    assert np.square(table["clip"]).sum() == pytest.approx(spread)


def test_bands_are_the_requested_ones():
    table = study.error_by_frequency([clip()], [swing(3.0, 2.0)], edges=(1, 2, 5))
    assert table.index.tolist() == ["mean pose", "1–2 Hz", "2–5 Hz"]
    doubled = study.error_by_frequency([clip()], [swing(3.0, 2.0)], fps=40.0)
    assert doubled["clip"].idxmax() == "4–10 Hz"  # the same frames shown twice as fast


# ---------------------------------------------------------------------- collapse on purpose


ALL = {
    "narrow · EMA · reset": (16, 0.99, "dead"),
    "narrow · EMA · no reset": (16, 0.99, "none"),
    "narrow · gradient · reset": (16, 0.0, "dead"),
    "narrow · gradient · no reset": (16, 0.0, "none"),
    "wide · EMA · reset": (64, 0.99, "dead"),
    "wide · EMA · no reset": (64, 0.99, "none"),
    "wide · gradient · reset": (64, 0.0, "dead"),
    "wide · gradient · no reset": (64, 0.0, "none"),
}


def test_the_eight_combinations_are_what_their_names_say():
    changes = {name: study.switches("tiny", flags) for name, flags in study.combinations().iterrows()}
    assert {name: (c["code_dim"], c["ema"], c["reset"]) for name, c in changes.items()} == ALL
    for switches in changes.values():
        replace(PRESETS["tiny"], **switches)  # each is a field of TokenizerConfig
    assert study.switches("paper", study.combinations().loc["wide · EMA · reset"])["code_dim"] == 512


@pytest.fixture(scope="module")
def raced(toy, tmp_path_factory):
    out = tmp_path_factory.mktemp("race")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMM_CACHE", str(out / "cache"))
        yield out, lambda **changes: study.race(
            toy, out / "collapse", "tiny", codes=24, options={"progress": False, "cpu": True},
            **{"steps": 8, "batch_size": 4, "eval_every": 0, "precision": "no", **changes},
        )  # fmt: skip


def test_a_race_gives_a_row_and_a_history_each_and_is_read_again_without_training(raced, toy):
    out, go = raced
    table, histories = go()
    assert list(table.index) == list(ALL) == list(histories)
    for name, row in table.iterrows():
        words = name.split(" · ")
        assert tuple(row[["narrow", "ema", "reset"]]) == tuple(w in words for w in ("narrow", "EMA", "reset"))
        assert 0 < row["usage"] <= 1 <= row["perplexity"] <= 24 and row["mpjpe_local"] > 0
        history = histories[name]
        assert list(history.columns) == ["epoch", "entropy", "perplexity", "dead", "resets"]
        assert history.index.name == "step" and len(history) >= 1 and history.index[-1] <= 8
    assert [str(table.dtypes[name]) for name in ("usage", "narrow")] == ["float64", "bool"]
    for name, switches in ALL.items():
        config = load_tokenizer(out / "collapse" / name.replace(" · ", "-").replace(" ", "-")).config
        assert (config.code_dim, config.ema, config.reset) == switches and config.codes == 24
    files = sorted((out / "collapse").glob("*/checkpoints/*"))
    before = {file: file.stat().st_mtime_ns for file in files}
    assert before and all(json.loads((f.parents[1] / "metrics.json").read_text())["step"] == 8 for f in files)
    again, same = go()
    assert again.equals(table) and all(same[name].equals(histories[name]) for name in ALL)
    assert {file: file.stat().st_mtime_ns for file in files} == before, "finished runs are only read"


def test_the_same_seed_gives_equal_starts_and_another_seed_is_refused(raced):
    _, go = raced
    _, histories = go()
    first = {name: tuple(history.iloc[0]) for name, history in histories.items()}
    # With the same width and rule of learning, reset makes no difference until the first code is replaced.
    for kind in ("narrow · EMA", "narrow · gradient", "wide · EMA", "wide · gradient"):
        if histories[f"{kind} · reset"]["resets"].iloc[0] == 0:
            assert first[f"{kind} · reset"] == first[f"{kind} · no reset"]
        assert (histories[f"{kind} · no reset"]["resets"] == 0).all()
    with pytest.raises(ValueError, match="seed"):
        go(seed=5)


def test_the_history_is_that_of_the_log(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 20, "loss": 1.0}\n')
    with pytest.raises(ValueError, match="logged no epoch"):
        study.usage_history(tmp_path)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        line = {"step": 25, "epoch": 1.0, "epoch/entropy": 2.0, "epoch/perplexity": 4.0, "epoch/dead": 1.0}
        file.write(json.dumps(line) + "\n")
    history = study.usage_history(tmp_path).loc[25].to_dict()
    assert history == {"epoch": 1.0, "entropy": 2.0, "perplexity": 4.0, "dead": 1.0}
