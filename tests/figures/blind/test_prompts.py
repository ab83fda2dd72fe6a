import json

import pytest

from figures.blind.contents import CONTENTS, PROMPTS
from figures.blind.prompts import check_unseen, read_prompts


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
    ("change", "sentence"),
    [
        ({"contents": ["bows"]}, "the content 'bows', expected one of walk, run"),
        ({"contents": ["bow", "other"]}, "the content 'other', expected one of"),
        ({"contents": "bow"}, "the contents 'bow', expected a list"),
        ({"contents": [["bow"]]}, r"the content \['bow'\], expected one of"),
        ({"contents": ["bow", "bow"]}, "names a content twice"),
        ({"kind": "odd"}, "the kind 'odd', expected one of plain, style, order"),
        ({"kind": "two"}, "expected two contents"),
        ({"order": "after"}, "the order 'after', expected then or while"),
        ({"text": " "}, "say what the person does"),
        ({"text": "takes a bow"}, "stands there twice"),
    ],
)
def test_a_prompt_that_cannot_be_judged_is_named(tmp_path, change, sentence):
    path = written(tmp_path, GOOD, {**GOOD, "text": "bows", **change})
    with pytest.raises(ValueError, match=rf"prompts\.json: prompt 2 .*{sentence}"):
        read_prompts(path)


@pytest.mark.parametrize("prompt", ["takes a bow", {"text": "takes a bow", "kind": "plain"}])
def test_an_item_that_is_no_prompt_is_named(tmp_path, prompt):
    with pytest.raises(ValueError, match="prompt 1 is .*expected an object with text, contents and kind"):
        read_prompts(written(tmp_path, prompt))


def test_a_file_without_prompts_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no prompt"):
        read_prompts(written(tmp_path))
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_prompts(tmp_path / "nothing.json")
