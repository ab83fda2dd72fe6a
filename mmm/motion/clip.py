"""`Motion`: one clip with its text, its pictures and its files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from mmm.errors import atomic_write, require
from mmm.motion.features import features_to_joints, joints_to_features
from mmm.motion.rigid import rigid_body, rigid_joints
from mmm.motion.skeleton import Skeleton, get_skeleton

if TYPE_CHECKING:
    from IPython.display import HTML

# shapes are checked by hand: this is a public entry, and a wrong shape gets a sentence that says what to do
Floats = Float[np.ndarray, "..."] | Float[Tensor, "..."]
SUFFIXES = (".gif", ".mp4", ".png", ".html", ".npy", ".bvh")


class Motion:
    """One clip: features or joints (each is computed from the other when first used), fps and text.

    `Motion(features)` has as many joint frames as features. `Motion.from_joints(joints)` keeps the joints
    unchanged, and its features have one frame less (HumanML3D's pipeline loses the last). `Motion.generated(features)`
    is a model's: its joints are those of the nearest rigid body.

    Attributes:
        note: a sentence about the motion for its user, such as that its text is far from everything learned; or "".
        segments: of a sequence of actions: first frame and text of each.
    """

    note = ""
    segments: Sequence[tuple[int, str]] = ()
    _body: Float[np.ndarray, "j 3"] | None = None  # of a generated motion: `mmm.motion.rigid`
    _captured: Bool[np.ndarray, "t j"] | None = None  # joints that are not generated; None: all of them

    def __init__(
        self,
        features: Floats,
        fps: float | int = 20.0,
        text: str = "",
        skeleton: str | Skeleton = "humanml3d",
    ) -> None:
        """A motion from features: (T, 263) for HumanML3D, (T, 251) for KIT; they are kept as float32.

        Raises:
            ValueError: another shape, no frame, NaN or infinity.
        """
        body = get_skeleton(skeleton)
        self._features = _checked("features", features, (body.num_features,))
        self._joints: Float[np.ndarray, "t j 3"] | None = None
        self.fps, self.text, self.skeleton = float(fps), text, body.name

    @classmethod
    def generated(
        cls,
        features: Floats,
        fps: float | int = 20.0,
        text: str = "",
        skeleton: str | Skeleton = "humanml3d",
        body: Float[np.ndarray, "j 3"] | None = None,
        captured: Bool[np.ndarray, "t j"] | None = None,
    ) -> Motion:
        """A motion from a model's features, whose bones stretch: `joints` are those of the nearest rigid body.

        Args:
            body: of the rigid body (`body` of another motion); by default measured in these features.
            captured: joints that an edit has kept of a capture: they stay as the features say.
        Raises:
            ValueError: as for `Motion(features)`.
        """
        motion = cls(features, fps, text, skeleton)
        shape = len(motion), get_skeleton(skeleton).num_joints
        motion._captured = np.zeros(shape, bool) if captured is None else captured
        motion._body = body
        return motion

    @classmethod
    def from_joints(
        cls,
        joints: Floats,
        fps: float | int = 20.0,
        text: str = "",
        skeleton: str | Skeleton = "humanml3d",
    ) -> Motion:
        """A motion from world joints (T, J, 3), y up, in the skeleton's unit (metres for HumanML3D, mm for KIT).

        Raises:
            ValueError: another shape, no frame, NaN or infinity.
        """
        body = get_skeleton(skeleton)
        motion = cls.__new__(cls)
        motion._features = None
        motion._joints = _checked("joints", joints, (body.num_joints, 3))
        motion.fps, motion.text, motion.skeleton = float(fps), text, body.name
        return motion

    @property
    def features(self) -> Float[np.ndarray, "t d"]:
        """Features (T, D), float32, raw (not normalised)."""
        if self._features is None:
            body = get_skeleton(self.skeleton)
            keep = None if body.target_offsets is not None else "source"  # KIT has no published target body
            features = joints_to_features(self._joints, body, keep, as_reference=False)
            self._features = np.asarray(features, np.float32)
        return self._features

    @property
    def joints(self) -> Float[np.ndarray, "t j 3"]:
        """World joints (T, J, 3), float32, in the skeleton's unit."""
        if self._joints is None:
            self._joints = np.asarray(features_to_joints(self._features, self.skeleton), np.float32)
            if self._captured is not None:
                rigid = rigid_joints(self._joints * self._metre, self.skeleton, self._body, self._captured)
                self._joints = rigid / np.float32(self._metre)
        return self._joints

    @property
    def body(self) -> Float[np.ndarray, "j 3"]:
        """The bones of the features' body in metres (`mmm.motion.rigid.rigid_body`)."""
        if self._body is None:
            joints = np.asarray(features_to_joints(self.features, self.skeleton), np.float32)
            self._body = rigid_body(joints * self._metre, self.skeleton)
        return self._body

    @property
    def captured(self) -> Bool[np.ndarray, "t j"]:
        """Which joints are not generated: for each frame of the features."""
        if self._captured is None:
            return np.ones((len(self.features), get_skeleton(self.skeleton).num_joints), bool)
        return self._captured

    @property
    def _metre(self) -> float:
        """Metres in the skeleton's unit of length."""
        return get_skeleton(self.skeleton).metres

    def __len__(self) -> int:
        """Frames."""
        return len(self._features if self._joints is None else self._joints)

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self) / self.fps

    def every(self, step: int) -> Motion:
        """Every `step`-th frame at a lower rate, so that the duration stays: for small animations. Joints only.

        Raises:
            ValueError: step is below 1.
        """
        require(step >= 1, f"step is {step}; expected 1 (all frames) or more.")
        motion = Motion.from_joints(self.joints[::step], self.fps / step, self.text, self.skeleton)
        motion.segments = [(-(-first // step), text) for first, text in self.segments]
        return motion

    def __repr__(self) -> str:
        text = f"{self.text!r}, " if self.text else ""
        body = "" if self.skeleton == "humanml3d" else f", {self.skeleton}"
        return f"Motion({text}{len(self)} frames, {self.duration:.1f} s at {self.fps:g} fps{body})"

    def _repr_html_(self, height: int = 440) -> str:
        """The interactive player: what a notebook shows for a Motion at the end of a cell."""
        from mmm.viz.player import player_iframe

        return player_iframe(self, height=height)

    def show(self, height: int = 440) -> HTML:
        """The interactive player for a notebook, `height` pixels high; needs no network."""
        from IPython.display import HTML  # not installed everywhere

        return HTML(self._repr_html_(height))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the motion in the format of the suffix.

        .gif and .mp4 (needs ffmpeg) are animations, .png is a film strip, .html the interactive player in one
        file, .bvh a motion capture file in centimetres (of the nearest rigid body: `mmm.motion.rigid`), .npy the
        joints (T, J, 3) in the skeleton's unit. The file gets its name only when it is complete; folders above it
        are created.

        Returns:
            The path.
        Raises:
            ValueError: another suffix, or .mp4 without ffmpeg.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        require(
            suffix in SUFFIXES,
            f"{path} cannot be written: its suffix is {suffix!r}, expected one of {', '.join(SUFFIXES)}.",
        )
        if suffix == ".png":
            from mmm.viz.strip import film_strip

            film_strip(self, path)
        elif suffix in (".gif", ".mp4"):
            from mmm.viz.animation import animate

            animate(self, path)
        elif suffix == ".bvh":
            from mmm.bvh.writing import write_bvh

            write_bvh(path, self.joints * self._metre, self.fps, self.skeleton)
        else:
            with atomic_write(path) as target:
                if suffix == ".html":
                    from mmm.viz.player import player_html

                    target.write_text(player_html(self), encoding="utf-8")
                else:
                    with target.open("wb") as file:  # given a name, np.save would add .npy to ".NPY"
                        np.save(file, self.joints)
        return path


def _checked(name: str, values: Floats, tail: tuple[int, ...]) -> Float[np.ndarray, "t ..."]:
    """The values as a float32 array of shape (T, *tail)."""
    values = values.detach().cpu().numpy() if hasattr(values, "detach") else np.asarray(values)
    expected = "(T, " + ", ".join(map(str, tail)) + ")"
    require(
        values.shape[1:] == tail and values.ndim > 1 and len(values) > 0,
        f"{name} have shape {values.shape}, expected {expected} with T ≥ 1; give one clip, or name its skeleton.",
    )
    bad = np.flatnonzero(~np.isfinite(values).all(axis=tuple(range(1, values.ndim))))
    require(
        len(bad) == 0,
        f"{name} hold NaN or infinity in {len(bad)} of {len(values)} frames; repair it or leave it out.",
    )
    return values.astype(np.float32)
