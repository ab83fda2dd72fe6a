"""The interactive player: one HTML page that contains its motions, without network or library."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files

import numpy as np
from jaxtyping import Float

from mmm.errors import require
from mmm.motion.rigid import rest_directions
from mmm.motion.runs import runs
from mmm.motion.skeleton import Skeleton
from mmm.viz.body import as_scene, marked, table
from mmm.viz.camera import best_yaw

MILLIMETRE = 0.001
SCRIPTS = ("figure.js", "stage.js")  # docs/demo imports the same files


def player_html(
    motions,
    fps: float | int | None = None,
    title: str | None = None,
    *,
    skeleton: str | Skeleton | None = None,
    texts: Sequence[str] | None = None,
    generated: Sequence | None = None,
) -> str:
    """A self-contained page that plays one motion or several side by side: a mannequin in WebGL.

    A browser without WebGL 2 gets a plain drawing of the same figure (`page.html#flat` shows it everywhere). A
    sequence shows the text of the current action, an edit marks its generated frames. Drag turns, wheel or pinch
    zooms; play, scrub, speed, follow, trace; keys: space, arrows, Home, End, + and −, F, T, R, digits. Light or dark
    like the reader's system. `page.html#t=1.5` opens paused at that second.

    Args:
        motions: a Motion, joints (T, J, 3), or a list of these.
        fps: the motions' by default (20 for bare joints).
        title: above the player; a single motion's text by default, "" for none.
        skeleton: needed for bare joints only.
        texts: one for each motion; the motions' own by default.
        generated: for each motion None or booleans (T,), which frames a model generated; by default those of edits.
    Returns:
        The page, about 45 KB and 180 bytes per frame.
    Raises:
        ValueError: joints of another shape or not finite, no motions, not one text or entry of `generated` for each.
    """
    motions = list(motions) if isinstance(motions, (list, tuple)) else [motions]
    require(len(motions) > 0, "player_html got no motions; give at least one.")
    require(
        texts is None or len(texts) == len(motions),
        f"player_html got {len(texts or ())} texts for {len(motions)} motions; give one text for each.",
    )
    require(
        generated is None or len(generated) == len(motions),
        f"player_html got {len(generated or ())} entries of generated for {len(motions)} motions; give one for each.",
    )
    bodies, clips = {}, []
    for index, motion in enumerate(motions):
        joints, rate, body, text = as_scene(motion, fps, skeleton)
        bodies[body.name] = _body(body)
        text = text if texts is None else texts[index]
        new = marked(motion, None if generated is None else generated[index])
        clip = {
            "text": text,
            "segments": texts is None and getattr(motion, "segments", None) or [(0, text)],
            "generated": [] if new is None else runs(new),
            "fps": rate,
            "body": body.name,
            "yaw": round(best_yaw(joints, body), 4),
        }
        clips.append(clip | pack(joints))
    if title is None:
        title = clips[0]["text"] if len(clips) == 1 else ""
    # a "</script>" in a caption must not end the script element that holds the data
    data = json.dumps({"bodies": bodies, "clips": clips, "table": table()}, separators=(",", ":")).replace(
        "<", "\\u003c"
    )
    return _template().replace("__TITLE__", html.escape(title)).replace("__DATA__", data)


def player_iframe(motions, height: int = 440, **options) -> str:
    """The page in an iframe of its own, which cannot interfere with the notebook's page.

    Args:
        motions, options: as player_html.
        height: pixels.
    """
    page = html.escape(player_html(motions, **options), quote=True)
    style = f"width:100%;height:{height}px;border:1px solid #8886;border-radius:6px"
    frame = f'<iframe title="motion player" sandbox="allow-scripts" style="{style}" srcdoc="{page}"></iframe>'
    return f"<div>{frame}</div>"  # in a div, since IPython warns of HTML that starts with an iframe


def pack(joints: Float[np.ndarray, "t j 3"]) -> dict:
    """Joints in metres → {"data", "unit", "origin"}: int16 counts of `unit` metres after `origin`, base64.

    The unit is a millimetre unless the motion spans more than 65 m.
    """
    low, high = joints.min((0, 1)), joints.max((0, 1))
    origin = np.round((low + high) / 2, 3)
    unit = MILLIMETRE * max(1.0, float(np.abs(joints - origin).max()) / MILLIMETRE / 32000)
    counts = np.round((joints - origin) / unit).astype("<i2")
    return {"data": base64.b64encode(counts.tobytes()).decode(), "unit": unit, "origin": origin.tolist()}


def _body(skeleton: Skeleton) -> dict:
    """The skeleton as the scripts read it: what an exported model has in its config.json."""
    return {
        "joints": skeleton.joints,
        "parents": skeleton.parents,
        "left": skeleton.left,
        "right": skeleton.right,
        "rest": rest_directions(skeleton).round(6).tolist(),
    }


@lru_cache
def _template() -> str:
    """The page with its scripts, without indentation and lines of comment."""
    folder = files("mmm.viz")
    scripts = "\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in SCRIPTS)
    scripts = re.sub(r"^(import .*\n|export )", "", scripts, flags=re.MULTILINE)
    page = folder.joinpath("player.html").read_text(encoding="utf-8").replace("__SOURCE__", scripts)
    return re.sub(r"^\s*(//.*\n|/\*\*.*\*/\n)?", "", page, flags=re.MULTILINE)
