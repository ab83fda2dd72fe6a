"""The command: clips of a folder, their reconstructions, and motions that a model makes from their captions."""

import json

import pytest

from mmm.data import write_folder
from mmm.datasets.synthetic import make_clip
from mmm.lab.oracle.evaluate import Command, as_text, evaluate_folder
from mmm.pretrained import load_tokenizer


@pytest.fixture(scope="module")
def dances(tmp_path_factory):
    clips = [make_clip(i, seed=8) for i in range(8)]
    ids = [clip.id for clip in clips]
    info = {"name": "synthetic", "fps": 20.0, "skeleton": "humanml3d", "source": "", "licence": "", "seed": 8}
    splits = {"train": ids[:2], "val": ids[2:4], "test": ids[4:]}
    return write_folder(tmp_path_factory.mktemp("dances") / "data", clips, splits, info)


def test_clips_of_a_folder(dances, tmp_path, capsys):
    out = tmp_path / "oracle.json"
    Command(dances.path, ("val", "test"), out=out).run()
    result = json.loads(out.read_text())
    assert result["clips"] == 6 and result["generated"] is False and result["content_hash"]
    assert result["attributes"]["action"] == {"right": 6, "judged": 6, "share": 1.0}
    assert "action                100.0 %  6 of 6" in capsys.readouterr().out


def test_motions_of_a_model_are_judged_on_what_their_caption_names(dances, model, monkeypatch):
    calls, generate = [], model.generate_bulk
    monkeypatch.setattr(model, "generate_bulk", lambda *a, **kw: calls.append(kw) or generate(*a, **kw))
    result = evaluate_folder(dances, ("test",), model, limit=3, progress=False)
    evaluate_folder(dances, ("test",), model, limit=3, progress=False, guidance=1.5)
    assert calls == [{}, {"guidance": 1.5}]
    again = evaluate_folder(dances, ("test",), model, limit=3, progress=False)
    assert result["clips"] == 3 and result["generated"] is True
    assert result["actions"] == again["actions"]
    whole = evaluate_folder(dances, ("test",), limit=3, progress=False)
    for name, row in result["attributes"].items():
        assert row["judged"] <= whole["attributes"][name]["judged"]
    assert result["attributes"]["action"]["judged"] == 3
    assert "generated motions" in as_text(result)


def test_reconstructions_of_a_tokenizer(dances, trained, monkeypatch, capsys):
    Command(dances.path, ("val", "test"), tokenizer=trained / "tokenizer").run()
    assert "6 clips through the tokenizer, synthetic val+test" in capsys.readouterr().out
    tokenizer, splits = load_tokenizer(trained / "tokenizer"), ("val", "test")
    spoilt = evaluate_folder(dances, splits, progress=False, tokenizer=tokenizer)
    assert spoilt["reconstructed"] and spoilt["attributes"]["action"]["right"] < 6  # 20 steps of training
    monkeypatch.setattr(tokenizer, "encode", lambda features, frames: features)
    monkeypatch.setattr(tokenizer, "decode", lambda features, frames: features)  # one that loses nothing
    perfect = evaluate_folder(dances, splits, progress=False, tokenizer=tokenizer)
    assert perfect["attributes"] == evaluate_folder(dances, splits, progress=False)["attributes"]


def test_what_cannot_be_evaluated_is_refused(toy, dances, model, trained):
    result = evaluate_folder(toy, ("test",), progress=False)
    assert result["questions"] == {}, "it has classes, none of them Bandai's"
    with pytest.raises(ValueError, match="guidance"):
        Command(dances.path, ("val",), guidance=1.5).run()
    with pytest.raises(ValueError, match="a model and a tokenizer"):
        evaluate_folder(dances, ("val",), model, tokenizer=load_tokenizer(trained / "tokenizer"))
    (dances.path / "programs" / f"{dances.ids('train')[0]}.json").unlink()
    with pytest.raises(ValueError, match="1 of 2 clips"):
        evaluate_folder(dances, ("train",), progress=False)
