"""The movement plan of one clip: the path on the ground, the footsteps, and tracks for the rest of the body.

Actions (`lower`, `upper`) write into a `Plan`; `to_joints` turns it into joints. The path comes first, footprints are
taken from the path in the middle of each stance, and the body then follows feet that do not move.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter1d, minimum_filter1d

from mmm.datasets.synthetic.body import (
    FOOT_LENGTH,
    HEEL,
    LEFT,
    LEG,
    RIGHT,
    STAND,
    Pose,
    ankle_of,
    hip_positions,
    pose_to_joints,
)

FPS = 20.0
STEP = 0.01  # seconds between the points of the path


def smooth(u: np.ndarray | float) -> np.ndarray:
    """0 to 1 with flat ends (smoothstep of degree 5)."""
    u = np.clip(u, 0.0, 1.0)
    return u * u * u * (u * (6 * u - 15) + 10)


def hold(time: np.ndarray, start: float, end: float, rise: float, fall: float) -> np.ndarray:
    """An envelope that rises from 0 at `start` to 1 and falls back to 0 at `end`."""
    return smooth((time - start) / rise) * smooth((end - time) / fall)


@lru_cache(maxsize=256)
def _curve(knots: tuple[tuple[float, ...], ...]) -> PchipInterpolator:
    """A curve without overshoot through points (time, value, …); cached, the steps of a gait share one."""
    table = np.array(knots)
    return PchipInterpolator(table[:, 0], table[:, 1:])


@dataclass
class Step:
    """One foot in the air from `off` to `land` (seconds). It lands where the path is at time `at`."""

    foot: int
    off: float
    land: float
    at: float
    height: float = 0.09  # of the toes, metres
    reach: float = 0.0  # how far the foot swings in front of the straight line
    toe_off: float = 0.8  # the heel's pitch when the toes leave, radians
    heel_kick: float = 1.0  # pitch of the foot early in its swing, radians
    strike: float = 0.35  # pitch when it lands: positive is heel first, negative toes first
    ahead: float = 0.0  # where it lands in front of the path
    gait: bool = (
        False  # if another step follows soon, use the path in the middle of the stance instead of `at`
    )
    arc: tuple[
        tuple[float, float, float, float], ...
    ] = ()  # of a kick: (fraction of time, forward, up, pitch)


@dataclass(frozen=True)
class Style:
    """Differences between people who do the same thing, drawn once per clip."""

    width: float
    toe_out: float
    lean: float
    swing: float
    elbow: float
    abduct: float
    tempo: float
    sway: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Style:
        low = dict(
            width=0.15, toe_out=0.06, lean=-0.02, swing=0.75, elbow=0.18, abduct=0.1, tempo=0.95, sway=0.25
        )
        high = dict(
            width=0.22, toe_out=0.2, lean=0.07, swing=1.15, elbow=0.4, abduct=0.2, tempo=1.05, sway=0.45
        )
        return cls(**{key: float(rng.uniform(low[key], high[key])) for key in low})


def _swing(step: Step, u: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Forward shift, height and pitch of a foot in the air at the fractions `u` of its step."""
    if step.arc:
        knots = ((0.0, 0.0, 0.0, -step.toe_off), *step.arc, (1.0, 0.0, 0.0, step.strike))
        forward, up, turn = _curve(knots)(u).T
        return forward, up, turn
    early, even = 6.75 * u * (1 - u) ** 2, np.sin(np.pi * u)
    lift = step.height * (early if step.strike >= 0.2 else even)
    forward = step.reach * np.sin(np.pi * np.clip(u / 0.92, 0, 1)) ** 2
    middle = min(-0.1, -0.3 * step.heel_kick)
    pitches = (-step.toe_off, -step.heel_kick, middle, step.strike, step.strike)
    pitch = _curve(tuple(zip((0.0, 0.3, 0.58, 0.84, 1.0), pitches, strict=True)))(u)[:, 0]
    return forward, lift, pitch


class Plan:
    """The plan of `frames` frames. Times are in seconds, lengths in metres, angles in radians."""

    TRACKS = (
        "crouch rise back tilt lean side twist nod gaze bounce swing elbow arms_forward arms_out sway lift"
    ).split()

    def __init__(self, frames: int, rng: np.random.Generator):
        self.rng, self.style = rng, Style.draw(rng)
        self.time = np.arange(frames) / FPS
        self.grid = np.arange(0.0, frames / FPS + 1.5, STEP)
        self.velocity = np.zeros((len(self.grid), 3))  # forward, to the left (m/s), turning left (rad/s)
        self.tracks = {name: np.zeros(frames) for name in self.TRACKS}
        self.tracks["swing"] += self.style.swing
        self.tracks["sway"] += self.style.sway
        self.steps: list[Step] = []
        self.beats: list[tuple[float, float]] = []  # (time, phase) of the gait's bounce
        self.overlays: list[tuple[int, np.ndarray, np.ndarray]] = []  # (arm, weight (T,), angles (T, 5))
        self.next_foot = int(rng.integers(2))

    def add(self, **tracks: np.ndarray) -> None:
        """Add values (T,) to tracks, by their names."""
        for name, values in tracks.items():
            self.tracks[name] = self.tracks[name] + values

    def arm(self, side: int, weight: np.ndarray, **angles: float | np.ndarray) -> None:
        """Blend an arm pose over the arm's own swing, with `weight` (names as in `body.Pose`)."""
        order = ("abduct", "azimuth", "elevate", "twist", "elbow")
        columns = [np.broadcast_to(angles.get(name, 0.0), self.time.shape) for name in order]
        self.overlays.append((side, weight, np.stack(columns, -1)))

    def wander(self, size: float, pace: float = 0.5) -> np.ndarray:
        """Slow smooth noise of about `size`, as a living body moves; `pace` in Hz."""
        rates = self.rng.uniform(0.3, 1.0, 3) * pace
        phases = self.rng.uniform(0, 2 * np.pi, 3)
        return size * np.sin(2 * np.pi * rates * self.time[:, None] + phases).sum(1) / 1.7

    def walk_path(self) -> None:
        """Integrate the velocities; `path` needs it."""
        heading = np.concatenate([[0.0], np.cumsum(self.velocity[:-1, 2]) * STEP])
        forward, left = self.velocity[:, 0], self.velocity[:, 1]
        speed_x = forward * np.sin(heading) + left * np.cos(heading)
        speed_z = forward * np.cos(heading) - left * np.sin(heading)
        x, z = (np.concatenate([[0.0], np.cumsum(speed[:-1]) * STEP]) for speed in (speed_x, speed_z))
        self._path = np.stack([x, z, heading], -1)

    def path(self, time: np.ndarray | float) -> np.ndarray:
        """(…, 3): x, z and heading of the body."""
        return np.stack([np.interp(time, self.grid, column) for column in self._path.T], -1)

    def _footprint(self, foot: int, point: np.ndarray, ahead: float) -> np.ndarray:
        """x, z, yaw of a foot flat on the floor beside a point (x, z, heading) of the path."""
        noise = self.rng.normal(0, 1, 3) * np.array([0.012, 0.012, 0.05])
        side = 1.0 if foot == LEFT else -1.0
        yaw = point[2] + side * self.style.toe_out + noise[2]
        out = side * self.style.width / 2 + noise[0]
        ahead = ahead + noise[1] - 0.03
        x = point[0] + out * np.cos(point[2]) + ahead * np.sin(point[2]) + FOOT_LENGTH * np.sin(yaw)
        z = point[1] - out * np.sin(point[2]) + ahead * np.cos(point[2]) + FOOT_LENGTH * np.cos(yaw)
        return np.array([x, z, yaw])

    def feet(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Toes (T, 2, 3), yaw and pitch (T, 2, 2), planted (T, 2)."""
        left, right = (self._foot(foot) for foot in (LEFT, RIGHT))
        return tuple(np.stack(pair, 1) for pair in zip(left, right, strict=True))

    def _foot(self, foot: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Toes (T, 3), yaw and pitch (T, 2), planted (T,) of one foot."""
        frames = len(self.time)
        flat, lift, pitch, planted = (
            np.zeros((frames, 3)),
            np.zeros(frames),
            np.zeros(frames),
            np.ones(frames),
        )
        footprint = self._footprint(foot, self.path(0.0), 0.0)
        flat[:] = footprint
        steps = sorted((s for s in self.steps if s.foot == foot), key=lambda s: s.off)
        for index, step in enumerate(steps):
            before = step.off - (steps[index - 1].land if index else 0.0)
            after = (steps[index + 1].off if index + 1 < len(steps) else 1e3) - step.land
            # known only now: a step of a walk that turns into a run has a short stance
            at = step.land + after / 2 if step.gait and after < 0.9 else step.at
            target = self._footprint(foot, self.path(at), step.ahead)
            roll, drop = min(0.28, 0.55 * before), min(0.13, 0.4 * after)
            u = (self.time - step.off) / (step.land - step.off)
            air = (u > 0) & (u < 1)
            rolling = (self.time > step.off - roll) & (u <= 0)
            pitch[rolling] = -step.toe_off * ((self.time[rolling] - step.off + roll) / roll) ** 2
            dropping = (u >= 1) & (self.time < step.land + drop)
            pitch[dropping] = step.strike * (1 - smooth((self.time[dropping] - step.land) / drop))
            # a foot that does not land on its heel must be in place before it comes down
            s = smooth(u) if step.strike >= 0.2 else smooth((u - 0.05) / 0.83)
            flat[u > 0] = footprint + (target - footprint) * s[u > 0, None]
            forward, lift[air], pitch[air] = _swing(step, u[air])
            heading = self.path(self.time[air])[:, 2]
            flat[air, 0] += forward * np.sin(heading)
            flat[air, 1] += forward * np.cos(heading)
            planted[air] = 0.0
            footprint = target
        # toes up: the foot turns about its heel; toes down: about the toe joint, which stays in place
        heel, up, yaw = FOOT_LENGTH + HEEL, np.maximum(pitch, 0.0), flat[:, 2]
        shift = -heel * (1 - np.cos(up))
        x, z = flat[:, 0] + shift * np.sin(yaw), flat[:, 1] + shift * np.cos(yaw)
        return np.stack([x, lift + heel * np.sin(up), z], -1), np.stack([yaw, pitch], -1), planted

    def to_joints(self) -> np.ndarray:
        """Joints (T, 22, 3), metres, with constant bone lengths."""
        tracks, path = self.tracks, self.path(self.time)
        toes, turns, planted = self.feet()
        ankles = np.stack([ankle_of(toes[:, s], turns[:, s, 0], turns[:, s, 1], s) for s in (LEFT, RIGHT)], 1)
        heading = path[:, 2]
        ahead = np.stack([np.sin(heading), np.cos(heading)], -1)
        aside = np.stack([np.cos(heading), -np.sin(heading)], -1)
        offset = ankles[:, :, (0, 2)] - path[:, None, :2]
        stride = ((offset[:, RIGHT] - offset[:, LEFT]) * ahead).sum(-1)  # right foot in front: positive
        stride += 0.7 * (ankles[:, RIGHT, 1] - ankles[:, LEFT, 1]) * tracks["lift"]
        stride = gaussian_filter1d(stride, 0.8, mode="nearest")
        # the hips shift over the foot that carries the weight
        weight = gaussian_filter1d(planted, 2.0, axis=0, mode="nearest")
        carried = (weight[..., None] * offset).sum(1) / np.maximum(weight.sum(1), 0.3)[:, None]
        shift = (carried * aside).sum(-1) * tracks["sway"] * np.minimum(weight.sum(1), 1.0)
        hips = np.stack(
            [
                heading + 0.16 * stride * np.minimum(tracks["swing"], 1.0) + self.wander(0.012),
                tracks["tilt"] + self.wander(0.008),
                0.05 * (weight[:, LEFT] - weight[:, RIGHT]) * (1 - np.minimum(np.abs(tracks["tilt"]), 1)),
            ],
            -1,
        )
        pelvis = np.zeros((len(path), 3))
        flat = path[:, :2] + shift[:, None] * aside - tracks["back"][:, None] * ahead
        pelvis[:, 0], pelvis[:, 2] = flat.T
        pelvis[:, 1] = self._pelvis_height(pelvis, hips, ankles, planted)
        if pelvis[:, 1].min() < 0.3:
            raise ValueError(f"the hips sink to {pelvis[:, 1].min():.2f} m: the plan has impossible steps.")
        spine = np.stack(
            [
                -0.3 * stride * np.minimum(tracks["swing"], 1.0) + tracks["twist"] + self.wander(0.02),
                self.style.lean + tracks["lean"] + self.wander(0.012),
                tracks["side"] - hips[:, 2] * 0.8 + self.wander(0.01),
            ],
            -1,
        )
        # the head looks where the body goes, independent of the chest
        head = np.stack(
            [
                tracks["gaze"] - spine[:, 0] * 0.6 + self.wander(0.05, 0.3),
                tracks["nod"] - spine[:, 1] * 0.4 + self.wander(0.03, 0.3),
                -0.5 * spine[:, 2] + self.wander(0.015),
            ],
            -1,
        )
        pose = Pose(pelvis, hips, spine, head, self._arms(stride), toes, turns)
        return pose_to_joints(pose)

    def _pelvis_height(self, pelvis: np.ndarray, hips: np.ndarray, ankles: np.ndarray, planted: np.ndarray):
        """The height that the tracks request, but never out of reach of the standing feet."""
        tracks = self.tracks
        wanted = STAND - tracks["crouch"] + tracks["rise"]
        if self.beats:
            times, phases = np.array(self.beats).T
            wanted += tracks["bounce"] * np.cos(2 * np.pi * np.interp(self.time, times, phases))
        joints = hip_positions(pelvis * [1, 0, 1], hips)
        gap = ankles - joints
        across = np.hypot(gap[..., 0], gap[..., 2])
        limit = gap[..., 1] + np.sqrt(np.maximum((LEG * 0.997) ** 2 - across**2, 0.05))
        limit = np.where(planted > 0, limit, 9.0).min(1)
        eased = gaussian_filter1d(minimum_filter1d(np.minimum(limit, wanted + 0.1), 3), 0.9, mode="nearest")
        softness = 0.006
        height = wanted - softness * np.logaddexp(0.0, (wanted - eased) / softness)
        return np.minimum(height, limit)

    def _arms(self, stride: np.ndarray) -> np.ndarray:
        """The arms' own swing against the legs, with the overlays of `arm`."""
        tracks, style = self.tracks, self.style
        arms = np.zeros((len(self.time), 2, 5))
        for side in (LEFT, RIGHT):
            back = stride if side == LEFT else -stride  # the left arm goes with the right foot
            swing = 0.62 * back * tracks["swing"]
            arms[:, side, 0] = style.abduct + tracks["arms_out"] + self.wander(0.015)
            arms[:, side, 2] = 0.04 + swing + tracks["arms_forward"] + self.wander(0.02)
            arms[:, side, 3] = -0.35
            arms[:, side, 4] = (
                style.elbow + tracks["elbow"] + np.maximum(0.45 * swing, -0.1) + self.wander(0.03)
            )
        for side, weight, angles in self.overlays:
            arms[:, side] += weight[:, None] * (angles - arms[:, side])
        arms[:, :, 4] = np.clip(arms[:, :, 4], 0.05, 2.6)
        return arms
