import json
import re

import numpy as np
import pytest
from PIL import Image

from figures.blind import page
from figures.blind.__main__ import Score
from figures.blind.page import choose, write_page
from figures.blind.score import Strip
from mmm.motion import features_to_joints

PROMPTS = [
    {"text": "takes a *deep* bow", "contents": ["bow"], "kind": "plain"},
    {"text": "up | down <b>", "contents": ["raise-up-left-hand"], "kind": "order"},
    {"text": "walk, then bow", "contents": ["walk", "bow"], "kind": "two", "order": "then"},
    {"text": "kicks a ball", "contents": [], "kind": "beyond"},
]
GIVEN = [["bow", "run", "walk", "other"], ["bow", "walk", "bow+walk", "other"]]
NAMES = ["007", "002", "005", "003"]  # strips of the four prompts
MARKS = ["right", "wrong", "half", "wrong"]


@pytest.fixture
def judged(tmp_path, golden):
    """A folder of strips with two readers' answers; made with no model."""
    out = tmp_path / "run"
    for name in ("strips", "motions"):
        (out / name).mkdir(parents=True)
    key = {
        name: {"kind": "generated", "number": i + 1, "prompt": PROMPTS[i], "seed": i}
        for i, name in enumerate(NAMES)
    }
    key["001"] = {"kind": "real", "content": "bow", "clip": "a"}
    joints = features_to_joints(np.asarray(golden("features_free")["0/features"], np.float32)[:12])
    for name in key:
        Image.new("RGB", (1100, 260), "white").save(out / "strips" / f"{name}.png")
    for name in NAMES:
        np.save(out / "motions" / f"{name}.npy", np.asarray(joints))
    (out / "key.json").write_text(json.dumps(dict(sorted(key.items()))))
    (out / "manifest.json").write_text(json.dumps({"command": "the command that made it", "fps": 20.0}))
    (out / "instructions.md").write_text("read")
    for number, given in enumerate(GIVEN, 1):
        answers = {**dict(zip(NAMES, given, strict=True)), "001": "bow"}
        (out / f"answers_{number}.json").write_text(json.dumps(answers))
    return out


def readers(folder):
    return [folder / "answers_1.json", folder / "answers_2.json"]


def test_the_page_has_every_prompt_with_strip_answers_and_mark(judged, tmp_path):
    out = write_page(judged, readers(judged), tmp_path / "page", commands=["the command of the page"])
    text = (out / "README.md").read_text(encoding="utf-8")
    top, *entries = re.split(r"^### ", text, flags=re.M)
    assert len(entries) == 4 and "the command that made it" in top and "the command of the page" in top
    assert "| **generated** | all prompts | 1 | 1 | 4 | 25 % (5 to 70) |" in top
    for number, (entry, prompt, mark) in enumerate(zip(entries, PROMPTS, MARKS, strict=True), 1):
        heading = entry.splitlines()[0].replace("\\", "")
        assert heading == f"{number}. “{prompt['text']}”"
        assert page.MARKS[mark] in entry and sum(sign in entry for sign in page.MARKS.values()) == 1
        saw = [answers[number - 1] for answers in GIVEN]
        assert ", ".join(f"`{name}`" for name in saw) in entry
        assert f"](strips/{number:02d}.png)" in entry
    assert "| down" not in text.replace("\\|", "") and "<b>" not in text.replace("\\<", "")
    assert "requested `walk` then `bow`" in entries[2]
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (out / link).is_file()


def test_the_page_of_everyday_prompts_says_what_was_requested(judged, tmp_path):
    key = json.loads((judged / "key.json").read_text())
    new = {"kind": "sequence", "actions": [["run", "dash"], ["kick"]], "order": "then", "shows": "A *run*."}
    for row in key.values():
        if "prompt" in row:
            row["prompt"] = {"text": row["prompt"]["text"], **new}
    key["007"]["prompt"] |= {"kind": "style", "manner": ["sad"]}
    key["001"] |= {"actions": [["bow"]], "like": "single"}
    (judged / "key.json").write_text(json.dumps(key))
    given = judged / "answers_1.json"
    given.write_text(json.dumps({**dict.fromkeys(key, "dash, then kick; sad"), "001": "bow"}))
    text = (write_page(judged, [given], tmp_path / "page") / "README.md").read_text(encoding="utf-8")
    assert text.count("requested `run` or `dash`, then `kick` · readers saw `dash, then kick; sad`") == 3
    assert "requested `run` or `dash`, then `kick`; `sad` ·" in text and "A \\*run\\*." in text
    assert (
        "| **generated** | all prompts | 4 | 0 | 4 |" in text
        and "| real, single | one action | 1 | 0 | 1 |" in text
    )
    assert "also the manner" in text


def test_pictures_are_small_and_show_the_strip_of_their_prompt(judged, tmp_path):
    Image.new("RGB", (1100, 260), page.ARROW).save(judged / "strips" / f"{NAMES[2]}.png")
    out = write_page(judged, readers(judged), tmp_path / "page", gifs=[3, 2])
    with Image.open(out / "strips" / "03.png") as picture:
        assert (picture.mode, picture.size) == ("P", (page.WIDTH, 170))
        assert picture.convert("RGB").getpixel((9, 9)) == page.ARROW  # the palette keeps the body's colours
    with Image.open(out / "strips" / "02.png") as picture:
        assert picture.convert("RGB").getpixel((9, 9)) == page.PAPER
    assert [path.name for path in sorted((out / "gifs").iterdir())] == ["02.gif", "03.gif"]
    told = "These 2 are no fair sample: 0 of them are right, of all 4 prompts 1."
    assert told in (out / "README.md").read_text(encoding="utf-8")
    with Image.open(out / "gifs" / "03.gif") as gif:
        assert gif.n_frames == 6 and gif.size == (200, 200)


def test_gifs_shrink_until_they_are_small_enough_together(judged, tmp_path, monkeypatch):
    large = sum(p.stat().st_size for p in _gifs(judged, tmp_path / "large"))
    monkeypatch.setattr(page, "GIF_BYTES", large - 1)
    assert sum(p.stat().st_size for p in _gifs(judged, tmp_path / "small")) < large


def _gifs(judged, out):
    return list((write_page(judged, readers(judged), out, gifs=[1]) / "gifs").iterdir())


def test_the_page_can_be_scored_again(judged, tmp_path):
    out = write_page(judged, readers(judged), tmp_path / "page")
    assert json.loads((out / "prompts.json").read_text(encoding="utf-8")) == PROMPTS
    for name in ("key.json", "answers_1.json", "answers_2.json", "instructions.md", "manifest.json"):
        assert (out / name).read_bytes() == (judged / name).read_bytes()
    written = (out / "result.json").read_bytes()
    (out / "result.json").unlink()
    Score(out).run()
    assert (out / "result.json").read_bytes() == written


def test_nothing_half_written_is_left_and_what_stood_there_stays(judged, tmp_path):
    out = write_page(judged, readers(judged), tmp_path / "page")
    before = (out / "README.md").read_bytes()
    (judged / "motions" / f"{NAMES[0]}.npy").unlink()
    with pytest.raises(FileNotFoundError, match=f"there is no file .*{NAMES[0]}.npy"):
        write_page(judged, readers(judged), out)
    with pytest.raises(ValueError, match="prompt 5"):
        write_page(judged, readers(judged), out, gifs=[5])
    assert (out / "README.md").read_bytes() == before
    with pytest.raises(ValueError, match="run"):  # strips and their key are no page
        write_page(judged, readers(judged), judged)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.md").write_text("years of work")
    with pytest.raises(ValueError, match="mine"):
        write_page(judged, readers(judged), tmp_path / "mine")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "page", "run"]


def test_a_page_is_written_beside_its_own_prompts_only(judged, tmp_path):
    out = tmp_path / "page"
    out.mkdir()
    (out / "prompts.json").write_text(json.dumps(PROMPTS[:3]))
    with pytest.raises(ValueError, match="page exists and is none of ours"):
        write_page(judged, readers(judged), out)
    (out / "prompts.json").write_text(json.dumps(PROMPTS))
    write_page(judged, readers(judged), out)
    assert (out / "README.md").is_file()
    write_page(judged, readers(judged), out)  # and replaced later


def test_the_first_right_one_of_each_kind_and_two_failures_are_shown():
    def marked(*marks):
        kinds = ["plain", "plain", "style", "order", "typo", "two", "beyond", "plain", "typo", "two"]
        rows = [{"number": i, "prompt": {"kind": kind}} for i, kind in enumerate(kinds, 1)]
        return [Strip(row, [], "", mark) for row, mark in zip(rows, marks, strict=True)]

    right, half, wrong = "right", "half", "wrong"
    assert choose(marked(*[right] * 10)) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert choose(marked(*[right] * 7, half, wrong, wrong)) == [1, 3, 4, 5, 6, 7, 9, 10]
    assert choose(marked(wrong, right, *[right] * 5, half, right, right)) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert choose(marked(*[wrong] * 10)) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert choose(marked(*[right] * 10), 3) == [1, 3, 4]
