"""The player: self-contained, small, and the joints come back from it."""

import base64
import html
import json
import re

import numpy as np
import pytest

from mmm.motion import HUMANML3D, KIT, Motion
from mmm.viz.player import pack, player_html, player_iframe


def contents(page: str) -> dict:
    """The data inside a page, read as the browser does."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])


def unpack(clip: dict, joints: int) -> np.ndarray:
    """Joints (T, J, 3) of one clip, decoded as the page's script does."""
    counts = np.frombuffer(base64.b64decode(clip["data"]), "<i2").reshape(-1, joints, 3)
    return counts * clip["unit"] + clip["origin"]


@pytest.fixture(scope="module")
def motion(golden) -> Motion:
    return Motion.from_joints(golden("features_free")["0/recovered_joints"], text="a person goes")


def test_the_page_needs_nothing_from_outside(motion):
    page = player_html(motion)
    assert len(page) < 50_000 + 250 * len(motion)
    for word in "http //cdn src= @import url( <link import( fetch( XMLHttp eval(".split():
        assert word not in page.replace("srcdoc", ""), word


def test_joints_are_kept_within_a_millimetre(motion):
    data = contents(player_html(motion))
    (clip,) = data["clips"]
    assert (clip["fps"], clip["text"], clip["body"]) == (20.0, "a person goes", "humanml3d")
    assert data["bodies"]["humanml3d"]["joints"] == list(HUMANML3D.joints)
    assert (clip["segments"], clip["generated"]) == ([[0, "a person goes"]], [])
    np.testing.assert_allclose(unpack(clip, 22), motion.joints, atol=0.00051)


def test_a_long_path_is_packed_more_coarsely():
    joints = np.zeros((3, 22, 3))
    joints[2, :, 0] = 200.0
    np.testing.assert_allclose(unpack(pack(joints), 22), joints, atol=0.005)


def test_several_motions_with_own_texts(motion):
    page = player_html([motion, motion.joints[:10], motion], fps=10, texts=["one", "", "three"])
    data = contents(page)
    assert [clip["text"] for clip in data["clips"]] == ["one", "", "three"]
    assert {clip["fps"] for clip in data["clips"]} == {10.0}
    assert len(data["bodies"]) == 1
    for motions, texts in ((motion, ["a", "b"]), ([], None), (motion.joints[None], None)):
        with pytest.raises(ValueError):
            player_html(motions, texts=texts)


def test_kit_is_drawn_in_metres():
    pose = np.random.default_rng(0).normal(900, 300, (1, 21, 3))
    data = contents(player_html(Motion.from_joints(pose, 12.5, skeleton="kit")))
    np.testing.assert_allclose(unpack(data["clips"][0], 21), pose / 1000, atol=0.00051)
    assert data["bodies"]["kit"]["left"] == list(KIT.left) and "kit" in data["table"]


def test_current_prompts_and_generated_frames_reach_the_page(motion):
    sequence = Motion.from_joints(motion.joints[:20], text="walks, then waves")
    sequence.segments = [(0, "walks"), (12, "waves")]
    new = np.arange(20) >= 15
    data = contents(player_html([sequence, motion.joints[:20]], generated=[new, None]))
    assert data["clips"][0]["segments"] == [[0, "walks"], [12, "waves"]]
    assert [clip["generated"] for clip in data["clips"]] == [[[15, 20]], []]
    edited = Motion.generated(motion.features[:20], captured=np.repeat(~new[:, None], 22, 1))
    assert contents(player_html(edited))["clips"][0]["generated"] == [[15, 20]]
    with pytest.raises(ValueError, match="1 entries of generated for 2 motions"):
        player_html([motion, motion], generated=[None])


def test_texts_cannot_break_the_page(motion):
    text = '</script><script>alert("1")</script> & <b>'
    page = player_html(Motion.from_joints(motion.joints, text=text))
    assert contents(page)["clips"][0]["text"] == text
    assert page.count("<script") == 2 and html.escape(text) in page
    assert "__DATA__" not in page and "__TITLE__" not in page


def test_the_notebooks_frame_holds_the_whole_page(motion):
    frame = player_iframe(motion, height=300)
    assert 'sandbox="allow-scripts"' in frame and "height:300px" in frame
    assert html.unescape(re.search(r'srcdoc="([^"]*)"', frame)[1]) == player_html(motion)
