import numpy as np
import torch
from made_up import clip as made_up_clip
from made_up import release as made_up
from made_up.command import exit_code as run


def test_checkpoints_become_a_model_that_generates(tmp_path, capsys):
    vq, net = made_up.make_parts()
    tokenizer, transformer, meta = made_up.write_release(tmp_path / "release", vq, net)
    clip, out = made_up_clip.write_clip(tmp_path / "clip"), tmp_path / "model"
    files = ["--tokenizer", tokenizer, "--transformer", transformer, "--mean-std", meta]
    assert run("convert", *files, "--out", out, "--heads", 4, "--text", clip) == 0
    printed = capsys.readouterr().out
    for words in ("width 16", "4 heads", "not used", f"mmm train length --data DATA --model {out}"):
        assert words in printed
    motion = tmp_path / "walk.npy"
    assert run("generate", "a person walks", "--model", out, "--length", 40, "--out", motion) == 0
    assert np.load(motion).shape[0] == 40
    assert run("generate", "a person walks", "--model", out, "--out", motion) == 2
    assert "no length estimator" in capsys.readouterr().err


def test_wrong_files_are_refused_in_one_sentence(tmp_path, capsys):
    tokenizer, transformer, meta = made_up.write_release(tmp_path / "release", *made_up.make_parts())
    args = ["convert", "--transformer", tokenizer, "--out", tmp_path / "model", "--mean-std", meta]
    assert run(*args) == 2
    err = capsys.readouterr().err
    assert err.startswith("mmm: ") and str(tokenizer) in err
    assert err.count("\n") == 1 and not (tmp_path / "model").exists()
    torch.save({"trans": {}}, transformer)
    args[2] = transformer
    assert run(*args) == 2 and "carries no tokenizer" in capsys.readouterr().err
