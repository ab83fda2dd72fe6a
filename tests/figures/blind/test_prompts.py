import json

import pytest

from figures.blind.prompts import CONTENTS, PROMPTS, check_unseen, read_prompts


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
        ({"kind": "odd"}, "odd"),
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


@pytest.mark.parametrize("prompts", [["takes a bow"], [{"text": "takes a bow", "kind": "plain"}], []])
def test_a_file_of_something_else_is_refused(tmp_path, prompts):
    with pytest.raises(ValueError, match="prompts.json"):
        read_prompts(written(tmp_path, *prompts))
    with pytest.raises(FileNotFoundError, match="nothing.json"):
        read_prompts(tmp_path / "nothing.json")
