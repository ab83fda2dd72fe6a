import json

import numpy as np
import pytest
from PIL import Image

from figures.blind import strips
from figures.blind.strips import make_strips, spread


def test_strips_are_shuffled_and_a_judgement_is_never_replaced(model, toy, tmp_path, monkeypatch):
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    prompts = {
        "waves with the left hand": ("he says hi", "she says hi"),
        "walks forward": ("he strolls on", "she strolls on"),
    }
    monkeypatch.setattr(strips, "PROMPTS", prompts)
    monkeypatch.setattr(strips, "CONTENTS", {name: name for name in prompts})
    out = make_strips(model, toy, tmp_path / "blind", split="train", progress=False)
    key = json.loads((out / "key.json").read_text())
    generated = [row for row in key.values() if row["kind"] == "generated"]
    real = [row for row in key.values() if row["kind"] == "real"]
    assert sorted(row["text"] for row in generated) == sorted(
        text for pair in prompts.values() for text in pair
    )
    assert all(toy.program(row["clip"])["content"] == row["content"] for row in real)
    takes = [toy.program(row["clip"])["path"] for row in real]
    assert len(set(takes)) == len(takes) == 2  # each content of the toy is one take, cut into many clips
    assert sorted(p.stem for p in (out / "strips").iterdir()) == sorted(key)
    assert not (out / "motions").exists()
    shown = (out / "instructions.md").read_text() + (out / "answers.json").read_text()
    assert not any(row.get("text", row.get("clip")) in shown for row in key.values())
    with pytest.raises(ValueError, match="holds strips and perhaps answers"):
        make_strips(model, toy, out, split="train", progress=False)
    assert json.loads((out / "key.json").read_text()) == key


@pytest.fixture
def toy_contents(tmp_path, monkeypatch):
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    names = ("waves with the left hand", "walks forward")
    monkeypatch.setattr(strips, "CONTENTS", {name: name for name in names})


ASKED = [
    {"text": "she says hi", "contents": ["waves with the left hand"], "kind": "plain"},
    {
        "text": "strolls, says hi",
        "contents": ["walks forward", "waves with the left hand"],
        "kind": "two",
        "order": "then",
    },
]


def test_free_text_has_as_many_real_clips_and_hides_its_prompts(model, toy, tmp_path, toy_contents):
    how = {"seed": 5, "split": "train", "progress": False, "prompts": ASKED, "command": "make"}
    out = make_strips(model, toy, tmp_path / "free", **how)
    key = json.loads((out / "key.json").read_text())
    generated = {name: row for name, row in key.items() if row["kind"] == "generated"}
    assert sorted(key) == ["001", "002", "003", "004"] and len(generated) == 2
    assert sorted((row["number"], row["seed"]) for row in generated.values()) == [(1, 5), (2, 6)]
    for name, row in generated.items():
        assert row["prompt"] == ASKED[row["number"] - 1]
        joints = np.load(out / "motions" / f"{name}.npy")
        alone = model.generate(row["prompt"]["text"], seed=row["seed"])  # the model's own length
        np.testing.assert_allclose(joints, alone.joints, atol=1e-4)
    assert sorted(path.stem for path in (out / "motions").iterdir()) == sorted(generated)
    assert all(Image.open(out / "strips" / f"{name}.png").width > 500 for name in key)
    read = (out / "instructions.md").read_text()
    assert "+" in read and "`other`" in read
    assert not any(row["prompt"]["text"] in read for row in generated.values())
    told = json.loads((out / "manifest.json").read_text())
    assert (told["command"], told["seed"], told["data_hash"]) == ("make", 5, toy.content_hash)


def test_what_cannot_be_shown_leaves_no_folder(model, toy, tmp_path, toy_contents, monkeypatch):
    how = {"split": "train", "progress": False}
    with pytest.raises(ValueError, match="is a training caption"):
        make_strips(
            model, toy, tmp_path / "free", prompts=[{**ASKED[0], "text": "A person walks forward!"}], **how
        )
    many = [{**ASKED[0], "text": f"says hi {'again ' * i}"} for i in range(3)]
    with pytest.raises(ValueError, match="there are 2 real clips, expected as many as prompts, 3"):
        make_strips(model, toy, tmp_path / "free", prompts=many, **how)

    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr(strips, "film_strip", broken)
    with pytest.raises(OSError, match="disk full"):
        make_strips(model, toy, tmp_path / "free", prompts=ASKED, **how)
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_real_clips_are_spread_evenly_over_the_contents():
    takes = {"a": ["a1", "a2", "a3"], "b": ["b1"], "c": ["c1", "c2", "c3", "c4"]}
    for seed in range(5):
        picked = spread(takes, 6, np.random.default_rng(seed))
        assert len(set(picked)) == 6 and all(clip[0] == content for content, clip in picked)
        counts = [sum(content == name for content, _ in picked) for name in "abc"]
        assert counts in ([3, 1, 2], [2, 1, 3])
    seen = {spread(takes, 1, np.random.default_rng(seed))[0][0] for seed in range(20)}
    assert seen == {"a", "b", "c"}  # which come in the last round is drawn
    assert len(spread(takes, 8, np.random.default_rng(0))) == 8
