import json

import pytest

from figures.blind.prompts import CONTENTS, PROMPTS, check_unseen, read_prompts, wanted_of


def test_every_content_has_two_prompts_that_differ():
    assert list(PROMPTS) == list(CONTENTS)
    prompts = [prompt for pair in PROMPTS.values() for prompt in pair]
    assert len(set(prompts)) == 2 * len(CONTENTS)


def test_prompts_that_were_trained_on_are_refused():
    check_unseen(["a man bows"], ["a man bows deeply"])
    for caption in ("A man bows.", "a man  bows"):
        with pytest.raises(ValueError, match="is a training caption"):
            check_unseen(["a man bows"], [caption])
    with pytest.raises(ValueError, match="is a training caption"):
        check_unseen(["a man turns left"], ["a man turns right"])  # trained on as its mirror image


GOOD = {"text": "takes a bow", "contents": ["bow"], "kind": "plain"}


def written(folder, *prompts):
    path = folder / "prompts.json"
    path.write_text(json.dumps(list(prompts)))
    return path


def test_prompts_come_as_they_stand_in_the_file(tmp_path):
    two = {"text": "walk, then bow", "contents": ["walk", "bow"], "kind": "two", "order": "then"}
    beyond = {"text": "kicks a ball", "contents": [], "kind": "beyond"}
    assert read_prompts(written(tmp_path, GOOD, two, beyond)) == [GOOD, two, beyond]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"contents": ["bows"]}, "bows"),
        ({"contents": ["bow", "other"]}, "other"),
        ({"contents": "bow"}, "'bow'"),
        ({"contents": [["bow"]]}, "contents"),
        ({"contents": ["bow", "bow"]}, "contents"),
        ({"kind": "strange"}, "strange"),
        ({"kind": "two"}, "two"),
        ({"order": "after"}, "after"),
        ({"text": " "}, "text"),
        ({"text": "takes a bow"}, "takes a bow"),
    ],
)
def test_a_prompt_that_cannot_be_judged_is_named(tmp_path, change, named):
    path = written(tmp_path, GOOD, {**GOOD, "text": "bows", **change})
    with pytest.raises(ValueError, match=rf"prompts\.json: prompt 2 .*{named}"):
        read_prompts(path)


EVERYDAY = {"text": "hops up", "kind": "everyday", "shows": "A jump.", "actions": [["jump-up", "leap"]]}


def test_prompts_with_actions_order_and_manner(tmp_path):
    two = {"text": "walks off, sad", "kind": "sequence", "actions": [["stand-up"], ["walk"]], "order": "then"}
    style = {"text": "sadly walks", "kind": "style", "actions": [["walk"]], "manner": ["sad"]}
    assert read_prompts(written(tmp_path, EVERYDAY, two, style)) == [EVERYDAY, two, style]
    assert wanted_of(two) == two and wanted_of(GOOD) == {"actions": [["bow"]]}
    earlier = {"text": "walk, then bow", "contents": ["walk", "bow"], "kind": "two", "order": "then"}
    assert wanted_of(earlier) == {"actions": [["walk"], ["bow"]]}  # readers were not asked for the order


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"actions": ["jump-up"]}, "'jump-up'"),
        ({"actions": [["bye"]]}, "bye"),
        ({"actions": [[]]}, "actions"),
        ({"actions": [["walk"], ["bow"]]}, "2 actions and the order None"),
        ({"order": "then"}, "1 actions and the order 'then'"),
        ({"manner": ["sad"]}, "everyday"),
        ({"kind": "style"}, "style"),
        ({"kind": "style", "manner": ["swift"]}, "swift"),
        ({"order": "after"}, "after"),
    ],
)
def test_actions_that_cannot_be_judged_are_named(tmp_path, change, named):
    path = written(tmp_path, EVERYDAY, {**EVERYDAY, "text": "hops again", **change})
    with pytest.raises(ValueError, match=rf"prompts\.json: prompt 2 .*{named}"):
        read_prompts(path)
    with pytest.raises(ValueError, match=r"prompts\.json: prompt 1 "):
        read_prompts(written(tmp_path, EVERYDAY, GOOD))  # two forms in one file


@pytest.mark.parametrize("prompts", [["takes a bow"], [{"text": "takes a bow", "kind": "plain"}], []])
def test_a_file_of_something_else_is_refused(tmp_path, prompts):
    with pytest.raises(ValueError, match="prompts.json"):
        read_prompts(written(tmp_path, *prompts))
    with pytest.raises(FileNotFoundError, match="nothing.json"):
        read_prompts(tmp_path / "nothing.json")
