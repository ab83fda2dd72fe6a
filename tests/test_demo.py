"""docs/demo: the page's own modules answer as Python does. Its networks are tested by `make demo-test`."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up.canvases import empty, make_model, make_text
from scipy.spatial import cKDTree

from mmm.motion import HUMANML3D, KIT
from mmm.philox import Philox
from mmm.sampling import default_steps, fill, masked_counts
from mmm.text import load_text_encoder
from mmm.transformer import MASK
from mmm.viz.body import mannequin, table
from mmm.viz.player import _body
from tests.viz.test_render import t_pose

DEMO = Path(__file__).resolve().parent.parent / "docs" / "demo"
TEXTS = """a person walks forward
A Person WALKS, then   bows!
jiu-jitsu & tai-chi (slow)... isn't it?
naïve café Zürich Å
una persona corre
一个人走路
человек идёт
ein Mädchen läuft
antidisestablishmentarianism
[SEP] a [MASK] person [cls]
##ing walks
½ ﬁ ™ ①
İstanbul ß ŞĞ
−1 + 2 = $3 ^_^ ~`|
「引用」、。!？
한국어 걷다
𝒜 𝔅 math""".split("\n") + [
    "x" * 101, "y" * 100, "walk " * 2000, " . ", "tab\tnew\nline\r\u00a0nbsp\u2003em", "zero\u200bwidth\u00adsoft",
    "\ufffd\0bad", "e\u0301 combining", "\U0001f642 waves \U0001f3c3\u200d\u2640\ufe0f",
]  # fmt: skip


@pytest.fixture(scope="module")
def ask():
    """Questions → what the page's modules answer."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("the page's tests need Node.js")

    def answers(**questions):
        command = [node, str(DEMO / "test" / "answers.mjs")]
        done = subprocess.run(command, input=json.dumps(questions), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return answers


def test_ids_of_texts(ask, tmp_path):
    encoder = load_text_encoder("minilm")
    words = encoder.tokenizer
    vocabulary = sorted(words.vocab, key=words.vocab.get)
    (tmp_path / "vocabulary.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    special = {name: words.convert_tokens_to_ids(name) for name in ("[CLS]", "[SEP]", "[UNK]")}
    named = {"vocabulary": str(tmp_path / "vocabulary.txt"), "special": special, "mostIds": encoder.max_words}
    found = ask(texts=TEXTS, **named)["ids"]
    for text, ids, expected in zip(TEXTS, found, encoder._ids(TEXTS), strict=True):
        assert ids == expected, (text[:60], words.convert_ids_to_tokens(ids)[:20])


def test_numbers_of_seeds(ask):
    seeds = [0, 1, 2**32 - 1, 2**32, 2**53 - 1]
    for seed, found in zip(seeds, ask(seeds=seeds)["uniform"], strict=True):
        random = Philox(seed)
        assert found == [*random.uniform(6).tolist(), *random.uniform(5).tolist()]


def test_schedule(ask):
    lengths = list(range(1, 50))
    counts = [(n * parts, default_steps(n)) for n in lengths for parts in (1, 2)] + [(0, 4)]
    found = ask(counts=counts, lengths=lengths)
    assert found["steps"] == [default_steps(n) for n in lengths]
    assert found["counts"] == [masked_counts(*count) for count in counts]


@pytest.mark.parametrize("skeleton", [HUMANML3D, KIT], ids=["humanml3d", "kit"])
def test_the_figure_of_the_browser_is_that_of_the_pictures(ask, skeleton):
    """Each vertex lies on the other figure, with its colour and direction (grids of 1.8 cm differ)."""
    joints = t_pose(skeleton)[None]
    joints[:, list(skeleton.hands)] += [0, 0.1, 0.1]
    own = mannequin(joints, skeleton)
    points, normals = own.skin(own.pose(joints)[0])
    question = {"skeleton": _body(skeleton), "table": table(), "joints": joints.ravel().tolist(), "frame": 0}
    question["aspects"] = [0.6, 1.0, 1.6]
    found = {key: np.array(rows) for key, rows in ask(figure=question)["figure"].items()}
    assert (found["seen"] > 0.6).all() and (found["seen"] <= 1).all()  # nothing is cropped
    for here, there in ((found["points"], points), (points, found["points"])):
        far, _ = cKDTree(there).query(here)
        assert far.mean() < 0.01 and far.max() < 0.025
    _, nearest = cKDTree(points).query(found["points"])
    assert np.abs(found["tints"] - own.tints[nearest]).mean() < 5
    assert np.median((found["normals"] * normals[nearest]).sum(1)) > 0.95


@pytest.mark.parametrize(
    ("guidance", "temperature", "sharpness"), [(1.0, 1.0, 0.3), (2.5, 1.0, 1.0), (1.0, 0.7, 8.0)]
)
def test_every_pass_of_a_sampler_with_the_same_logits(ask, guidance, temperature, sharpness):
    """The passes of Python are recorded and played to the page's sampler, which must see the same canvases."""
    model, text, cases = make_model(sharpness, parts=2), make_text(4), []
    forward, recorded = model.forward, []

    def record(*inputs, drop_text=None):
        logits = forward(*inputs, drop_text=drop_text)
        rows = [row.flatten().tolist() for row in logits]
        recorded.append([rows[0], None if drop_text is None else rows[1]])
        return logits

    model.forward = record
    how = {"guidance": guidance, "temperature": temperature}
    for item, length in enumerate((49, 20, 7, 30)):
        canvas, lengths = empty(length, parts=2)
        if item == 3:  # an edit: a part is given, and some of the other
            canvas[0, 1], canvas[0, 0, :9] = 5, 7
        recorded.clear()
        filled = fill(model, canvas, lengths, text[item], seeds=[item], random="portable", trace=True, **how)
        question = {"canvas": canvas.flatten().tolist(), "codes": 40, "logits": list(recorded), "seed": item}
        cases.append((question | how | {"steps": default_steps(length)}, filled))
    for (_, filled), found in zip(
        cases, ask(fills=[question for question, _ in cases])["fills"], strict=True
    ):
        assert found["seen"] == [step.canvas.flatten().tolist() for step in filled.trace]
        assert found["tokens"] == filled.tokens.flatten().tolist() and MASK not in found["tokens"]
        assert torch.allclose(torch.tensor(found["confidence"]), filled.confidence.flatten(), atol=1e-5)
