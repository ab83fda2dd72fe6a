"""`mmm prepare` of a user's folder: the screen, the exit codes, and what training says without it."""

from pathlib import Path

import numpy as np
import pytest
from made_up.command import exit_code as run
from made_up.users import write_layout

from mmm.datasets.humanml3d_check import BY_NAME


@pytest.fixture
def users(tmp_path: Path, monkeypatch) -> Path:
    """30 clips of which 6 have a hole, and Windows line ends."""
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    clips = {f"{number:06d}": np.zeros((60, 263), np.float32) for number in range(30)}
    ids = list(clips)
    for clip in ids[::5]:
        clips[clip][7] = np.nan
    splits = {"train": ids[:20], "val": ids[20:25], "test": ids[25:]}
    path = write_layout(tmp_path / "HumanML3D", clips, splits)
    for split, chosen in splits.items():
        (path / f"{split}.txt").write_bytes("".join(f"{clip}\r\n" for clip in chosen).encode())
    return path


def test_the_screen_has_the_head_of_the_report_and_where_the_rest_is(users, tmp_path, capsys):
    assert run("prepare", "humanml3d", "--source", users, "--out", tmp_path / "data") == 0
    shown = capsys.readouterr().out
    assert "- NaN, 6: 000000 (in 1 of 60 frames, the first is frame 7); 000005 (" in shown
    assert "and 3 more" in shown and "000025" not in shown and BY_NAME not in shown
    assert "- Windows line ends, 3: train.txt (20 of them: read as line ends);" in shown
    assert f"{tmp_path / 'data/report.md'}\n" in shown
    assert shown.endswith(f"{tmp_path / 'data'}: all 24, test 4, train 16, train_val 20, val 4\n")
    assert "| 000025 | NaN" in (tmp_path / "data/report.md").read_text()


def test_a_folder_that_cannot_be_used_leaves_nothing(users, tmp_path, capsys):
    np.save(users / "Std.npy", np.zeros(263, np.float32))
    assert run("prepare", "humanml3d", "--source", users, "--out", tmp_path / "data") == 2
    error = capsys.readouterr().err
    assert "Std.npy" in error and "Traceback" not in error
    assert not (tmp_path / "data").exists()


def test_training_on_a_folder_that_was_not_prepared_says_what_to_do(users, tmp_path, capsys):
    args = ("--data", users, "--out", tmp_path / "run", "--preset", "tiny", "--steps", "1")
    assert run("train", "tokenizer", *args) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"mmm: {users}/new_joint_vecs/000000.npy: NaN: in 1 of 60 frames")
    assert f"`mmm prepare humanml3d --source {users} --out FOLDER`" in error
