import numpy as np
import pytest
import torch

from mmm.data import Caption, Clip, mirror_text, write_folder
from mmm.datasets.bandai_captions import write_captions
from mmm.datasets.synthetic import make_clip
from mmm.evaluation.pools import could_tell, draw_distractors, meaning, meanings, right_answers


def bandai(content, style="normal", mirrored=False):
    return meaning({"content": content, "style": style}, "id", mirrored)


@pytest.mark.parametrize(
    ("text", "own", "other", "right"),
    [
        ("a person runs", bandai("run"), bandai("run", "sad"), True),  # no style is named
        ("a sad person runs", bandai("run", "sad"), bandai("run", "happy"), False),
        ("a sad person runs", bandai("run", "sad"), bandai("run", "sad"), True),
        ("an old man runs", bandai("run", "old"), bandai("run", "elderly"), True),
        ("a person walks", bandai("walk"), bandai("walk-turn-left"), False),
        ("someone walks left", bandai("walk-left"), bandai("walk-right"), False),
        ("someone walks left", bandai("walk-left"), bandai("walk-right", mirrored=True), True),
        ("someone walks left", bandai("walk-left"), bandai("walk-left", mirrored=True), False),
        # a goodbye with the left hand exists only mirrored
        ("someone waves bye with the left hand", bandai("bye", mirrored=True), bandai("bye"), False),
        ("someone waves farewell with one hand", bandai("bye", mirrored=True), bandai("bye"), True),
    ],
)
def test_a_caption_may_be_right_for_clips_of_others(text, own, other, right):
    assert could_tell(text, own, other) is right


def test_a_walk_of_another_source_is_no_distractor_of_one_without_a_style():
    other = meaning({"content": "walk"}, "a take of CMU")
    assert could_tell("a person walks", bandai("walk"), other) and could_tell(
        "someone walks", other, bandai("walk")
    )
    assert not could_tell("a sad person runs", bandai("run", "sad"), meaning({"content": "run"}, "another"))


def test_mirroring_text_and_clips_changes_no_answer():
    rng = np.random.default_rng(0)
    contents = ["walk", "walk-left", "walk-right", "bye", "wave-left-hand", "raise-up-right-hand", "bow"]
    for content in contents:
        (caption,) = write_captions(content, "sad", rng, 1)
        for other in contents:
            plain = could_tell(caption.text, bandai(content, "sad"), bandai(other, "sad"))
            mirrored = could_tell(
                mirror_text(caption.text), bandai(content, "sad", True), bandai(other, "sad", True)
            )
            assert plain == mirrored == (content == other)


def test_synthetic_clips_are_told_apart_by_actions_sides_and_directions():
    programs = [make_clip(index).program for index in range(30)]
    for program in programs:
        shown = meaning(program, "a")
        slower = {**program, "segments": [dict(segment) for segment in program["segments"]]}
        for segment in slower["segments"]:
            segment["legs"] = segment["legs"] | {"speed": "slow", "count": 9}
        assert meaning(slower, "b") == shown
        sides = [a["side"] for s in program["segments"] for a in (s["legs"], s["arms"] or {}) if "side" in a]
        mirrored = meaning(program, "a", mirrored=True)
        assert meaning(program, "a", mirrored=False) == shown
        if {"left", "right"} & set(sides):
            assert mirrored != shown


def test_clips_without_a_program_are_right_for_their_own_captions_only(tmp_path):
    joints, features = np.zeros((30, 22, 3), np.float32), np.random.default_rng(0).normal(size=(30, 263))
    clips = [Clip(str(i), features.astype(np.float32), joints, [Caption("it moves")]) for i in range(6)]
    splits = {"train": ["0", "1", "2"], "val": ["3", "4"], "test": ["5"]}
    info = {"name": "bare", "fps": 20.0, "skeleton": "humanml3d"}
    folder = write_folder(tmp_path / "bare", clips, splits, info)
    shown = meanings(folder, ["0", "1", "M1", "1@1"])
    assert right_answers(["it moves"] * 4, shown).tolist() == np.eye(4, dtype=bool).tolist()


def test_distractors_are_wrong_answers_drawn_without_replacement(toy):
    ids = toy.ids("train")
    captions = [toy.captions(name)[0].text for name in ids]
    drawn = draw_distractors(toy, ids, captions, torch.Generator().manual_seed(0), count=8)
    right = right_answers(captions, meanings(toy, ids))
    assert drawn.shape == (len(ids), 8)
    assert not right[np.arange(len(ids))[:, None], drawn.numpy()].any()
    assert all(len(set(row)) == 8 for row in drawn.tolist())
    again = draw_distractors(toy, ids, captions, torch.Generator().manual_seed(0), count=8)
    other = draw_distractors(toy, ids, captions, torch.Generator().manual_seed(1), count=8)
    assert torch.equal(drawn, again) and not torch.equal(drawn, other)
    # every wrong answer has its chance
    wrong = (~right[0]).nonzero()[0]
    seen = {
        int(j)
        for seed in range(60)
        for j in draw_distractors(toy, ids, captions, torch.Generator().manual_seed(seed), 8)[0]
    }
    assert seen == set(wrong.tolist())
    with pytest.raises(ValueError, match="a pool needs 40"):
        draw_distractors(toy, ids, captions, torch.Generator(), count=40)
