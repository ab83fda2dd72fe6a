"""Checkpoints that are no good: one sentence says what is wrong, and nothing is written."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up import release as made_up
from made_up.guo import Trap

from mmm import MMM
from mmm.release.convert import convert
from mmm.tokenizer import TokenizerConfig

HERE = Path(__file__).parent


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("which", [0, 1])
def test_a_checkpoint_that_wants_to_run_code_is_refused_before_it_does(files, tmp_path, clip, which, legacy):
    marker = tmp_path / "executed"
    found = torch.load(files[which], weights_only=True)
    torch.save(found | {"epoch": Trap(marker)}, files[which], _use_new_zipfile_serialization=not legacy)
    with pytest.raises(
        ValueError, match=r"net_last\.pth wants to call \w+\.open, .*nothing of it was run; do not trust"
    ) as caught:
        convert(*files[:2], tmp_path / "out", files[2], heads=4, text=clip)
    assert "\n" not in str(caught.value)
    assert not marker.exists() and not (tmp_path / "out").exists()
    torch.load(files[which], weights_only=False)  # the trap works: elsewhere it would have
    assert marker.exists()


WRONG = {
    "no file": (lambda files: files[0].unlink(), FileNotFoundError, r"no file .*tokenizer/net_last\.pth"),
    "damaged": (
        lambda files: files[1].write_bytes(files[1].read_bytes()[:-400]),
        ValueError,
        r"transformer/net_last\.pth cannot be read as a torch file of plain arrays",
    ),
    "no torch file": (
        lambda files: files[0].write_bytes(b"PK"),
        ValueError,
        "cannot be read as a torch file",
    ),
    "a list": (lambda files: torch.save([1], files[0]), ValueError, r"no entry 'net'.*it holds list"),
    "another checkpoint": (
        lambda files: torch.save({"model": {}, "epoch": 3}, files[1]),
        ValueError,
        r"no entry 'trans' with the arrays of a transformer \(it holds 'model', 'epoch'\)",
    ),
    "swapped": (
        lambda files: files[0].write_bytes(files[1].read_bytes()),
        ValueError,
        r"tokenizer/net_last\.pth holds a transformer \('trans'\), expected a tokenizer \('net'\): give it with "
        "--transformer, and with --tokenizer",
    ),
    "missing": (
        lambda files: made_up.changed(
            files[0], vqvae__decoder__model__6__bias=None, vqvae__encoder__model__4__weight=None
        ),
        ValueError,
        r"tokenizer/net_last\.pth .*missing: decoder\.model\.6\.bias, encoder\.model\.4\.weight",
    ),
    "no codebook": (
        lambda files: made_up.changed(files[0], vqvae__quantizer__codebook=None),
        ValueError,
        r"codebook in .* differs|lacks quantizer\.codebook",
    ),
    "unknown": (
        lambda files: made_up.changed(files[0], vqvae__encoder__model__9__weight=torch.zeros(2)),
        ValueError,
        r"no tokenizer of the authors' release has.*: vqvae\.encoder\.model\.9\.weight",
    ),
    "of another shape": (
        lambda files: made_up.changed(files[0], vqvae__decoder__model__6__bias=torch.zeros(9)),
        ValueError,
        r"of another shape: decoder\.model\.6\.bias \(9,\) instead of \(263,\)",
    ),
    "missing in the transformer": (
        lambda files: made_up.changed(
            files[1],
            trans_head__ln_f__bias=None,
            trans_head__blocks__1__attn__key__weight=None,
            trans_head__blocks__1__attn__extra__weight=torch.zeros(2),
            trans_base__word_emb__bias=torch.zeros(5),
        ),
        ValueError,
        r"transformer/net_last\.pth .*missing: trans_head\.blocks\.1\.attn\.key\.weight, trans_head\.ln_f\.bias; "
        r"unknown: trans_head\.blocks\.1\.attn\.extra\.weight; "
        r"of another shape: trans_base\.word_emb\.bias \(5,\) instead of \(32,\)",
    ),
    "no head": (
        lambda files: made_up.changed(files[1], trans_head__head__weight=None),
        ValueError,
        r"lacks trans_head\.head\.weight",
    ),
    "not finite": (
        lambda files: made_up.changed(files[1], trans_head__ln_f__bias=torch.full((32,), torch.nan)),
        ValueError,
        r"no arrays of finite numbers under trans_head\.ln_f\.bias",
    ),
    "not arrays": (
        lambda files: made_up.changed(files[0], vqvae__decoder__model__6__bias="text"),
        ValueError,
        r"no arrays of finite numbers under vqvae\.decoder\.model\.6\.bias",
    ),
    "other positions": (
        lambda files: made_up.changed(files[1], trans_base__pos_embed__embed=torch.zeros(51, 1, 32)),
        ValueError,
        r"other positions \(trans_base\.pos_embed\.embed\)",
    ),
    "another codebook": (
        lambda files: made_up.changed(files[0], vqvae__quantizer__codebook=torch.zeros(32, 8)),
        ValueError,
        r"codebook in .*tokenizer/net_last\.pth differs from that of the tokenizer which .*transformer.* carries",
    ),
}


@pytest.mark.parametrize("spoil, error, match", WRONG.values(), ids=WRONG.keys())
def test_wrong_files_are_named_and_nothing_is_written(files, tmp_path, clip, spoil, error, match):
    spoil(files)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(error, match=match) as caught:
        convert(*files[:2], tmp_path / "out", files[2], heads=4, text=clip)
    assert "\n" not in str(caught.value) and sorted(tmp_path.iterdir()) == before


def test_a_tokenizer_of_other_sizes_is_refused_even_if_the_transformer_carries_none(files, tmp_path, clip):
    state = torch.load(files[1], weights_only=True)["trans"]
    bare = {name: value for name, value in state.items() if not name.startswith("trans_base.vqvae.")}
    torch.save({"trans": bare}, files[1])
    with pytest.raises(ValueError, match="carries no tokenizer; give its checkpoint with --tokenizer"):
        convert(None, files[1], tmp_path / "out", files[2], heads=4, text=clip)
    convert(*files[:2], tmp_path / "out", files[2], heads=4, text=clip)
    vq, net = made_up.make_parts(TokenizerConfig(width=16, depth=2, codes=64, code_dim=8))
    other, _, _ = made_up.write_release(tmp_path / "other", vq, net)
    with pytest.raises(
        ValueError, match="is for 32 codes of width 8, the codebook has 1 part.s. of 64 codes"
    ):
        convert(other, files[1], tmp_path / "out", files[2], heads=4, text=clip)
    assert MMM.from_pretrained(tmp_path / "out").tokenizer.config.codes == 32  # the old folder stays


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"heads": 5}, "--heads is 5, which does not divide the transformer's width 32"),
        ({"heads": 0}, "--heads is 0"),
        ({"text": "clip"}, "reads texts of width 16, but the text encoder clip gives 512; name with --text"),
        ({"text": "nowhere"}, "no text encoder 'nowhere'"),
        ({"data_name": "bandai"}, "bandai"),
    ],
)
def test_wrong_arguments(files, tmp_path, clip, changes, match):
    with pytest.raises((ValueError, FileNotFoundError), match=match):
        convert(*files[:2], tmp_path / "out", files[2], **({"heads": 4, "text": clip} | changes))
    assert not (tmp_path / "out").exists()


def test_a_folder_of_somebody_else_is_left_alone_before_anything_is_read(files, tmp_path, clip):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    files[0].unlink()
    with pytest.raises(ValueError, match="none of ours"):
        convert(*files[:2], tmp_path / "mine", files[2], heads=4, text=clip)
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"


def test_a_conversion_cut_short_leaves_the_old_folder(files, tmp_path, clip, monkeypatch):
    convert(*files[:2], tmp_path / "out", files[2], heads=4, text=clip)
    before = json.loads((tmp_path / "out" / "config.json").read_text())
    names = sorted(path.name for path in tmp_path.iterdir())

    def full(*args, **options):
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="no space"):
        convert(*files[:2], tmp_path / "out", files[2], heads=2, text=clip)
    assert json.loads((tmp_path / "out" / "config.json").read_text()) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == names
