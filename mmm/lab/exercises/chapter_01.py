"""Exercises of chapter 01: motion as numbers."""

import torch

from mmm.lab.exercises.exercise import Exercise
from mmm.lab.exercises.inputs import clip, normal
from mmm.motion import features_to_joints, mirror_joints
from mmm.motion.features import placed_features
from mmm.motion.quaternion import about_y
from mmm.motion.skeleton import get_skeleton

TITLE, NOTEBOOK = "motion as numbers", "01_data"
IMPORTS = """
import torch

from mmm.motion import features_to_joints
"""


# ---------------------------------------------------------------------- 01.1


def root_path_stub(angular, linear):
    """angular (T,), linear (T, 2) → (T, 2): x and z of the root in every frame."""
    # TODO: the steps are in the body's frame. Turn them. And where does the path start?
    return linear.cumsum(0)


def root_path(angular, linear):
    """angular (T,), linear (T, 2) → (T, 2): x and z of the root in every frame."""
    heading = torch.zeros_like(angular)
    heading[1:] = 2 * angular[:-1].cumsum(0)
    steps = torch.zeros_like(linear)
    steps[1:] = linear[:-1]
    c, s = heading.cos(), heading.sin()
    x, z = steps.unbind(1)
    return torch.stack([c * x - s * z, s * x + c * z], dim=1).cumsum(0)


def _path(angular, linear, factor=2.0, late_heading=False, late_path=False):
    heading, steps = factor * angular.cumsum(0), linear.clone()
    if not late_heading:
        heading = torch.cat([torch.zeros(1), heading[:-1]])
    if not late_path:
        steps = torch.cat([torch.zeros(1, 2), steps[:-1]])
    c, s = heading.cos(), heading.sin()
    x, z = steps.unbind(1)
    return torch.stack([c * x - s * z, s * x + c * z], dim=1).cumsum(0)


def _path_cases():
    return [(features[:, 0], features[:, 1:3]) for features in map(clip, (3, 4))]


def _package_path(angular, linear):
    features = torch.zeros(len(angular), 263, dtype=torch.float64)
    features[:, 0], features[:, 1:3] = angular, linear
    return features_to_joints(features)[:, 0, [0, 2]]


# ---------------------------------------------------------------------- 01.2


def to_matrix_stub(six):
    """six (..., 6) → rotation matrices (..., 3, 3)."""
    a, b = six[..., :3], six[..., 3:]
    # TODO: a and b may have any length and any angle
    return torch.stack([a, b, torch.linalg.cross(a, b)], dim=-1)


def to_matrix(six):
    """six (..., 6) → rotation matrices (..., 3, 3)."""
    a, b = six[..., :3], six[..., 3:]
    x = a / a.norm(dim=-1, keepdim=True)
    b = b - (x * b).sum(-1, keepdim=True) * x
    y = b / b.norm(dim=-1, keepdim=True)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)


def _unorthogonal(six):
    x, y = (v / v.norm(dim=-1, keepdim=True) for v in six.split(3, dim=-1))
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)


def _unscaled(six):
    a, b = six.split(3, dim=-1)
    b = b - (a * b).sum(-1, keepdim=True) * a
    return [v / v.norm(dim=-1, keepdim=True) for v in (a, b)]


# ---------------------------------------------------------------------- 01.3


def contacts_stub(joints):
    """joints (T, 22, 3) in metres → (T - 1, 4), True where a foot joint rests."""
    feet = joints[:, [7, 10, 8, 11]]
    return feet[:-1, :, 1] < 0.05  # TODO: this asks whether the foot is low, not whether it rests


def contacts(joints):
    """joints (T, 22, 3) in metres → (T - 1, 4), True where a foot joint rests."""
    feet = joints[:, [7, 10, 8, 11]]
    return (feet[1:] - feet[:-1]).square().sum(-1) < 0.002


def _contacts(joints, feet=(7, 10, 8, 11), axes=(0, 1, 2), power=1.0):
    steps = joints[1:, list(feet)] - joints[:-1, list(feet)]
    return steps[..., list(axes)].square().sum(-1) ** power < 0.002


def _contact_cases():
    # Real steps, faster ones, mostly vertical ones, mostly horizontal ones.
    joints = features_to_joints(clip(3))
    noise = 0.03 * normal(40, 22, 3)
    return [
        (joints,),
        (2 * joints,),
        (noise * torch.tensor([0.1, 1, 0.1]),),
        (noise * torch.tensor([1, 0.1, 1]),),
    ]


def _package_contacts(joints):
    turn = about_y(torch.zeros(len(joints), dtype=torch.float64))
    return placed_features(joints.double(), turn, get_skeleton("humanml3d"))[:, 259:]


# ---------------------------------------------------------------------- 01.4

LEFT, RIGHT = get_skeleton("humanml3d").left, get_skeleton("humanml3d").right


def mirror_stub(joints, left, right):
    """joints (T, J, 3); left and right: lists of joint numbers, in pairs → the mirrored motion."""
    return joints * torch.tensor([-1.0, 1.0, 1.0])  # TODO: whose hand is it now?


def mirror(joints, left, right):
    """joints (T, J, 3); left and right: lists of joint numbers, in pairs → the mirrored motion."""
    mirrored = joints * torch.tensor([-1.0, 1.0, 1.0])
    result = mirrored.clone()
    result[:, left] = mirrored[:, right]
    result[:, right] = mirrored[:, left]
    return result


def _mirror(joints, left, right, signs=(1.0, 1.0, 1.0), half=False):
    result = joints * torch.tensor(signs)
    result[:, left] = result[:, right]
    if not half:
        result[:, right] = (joints * torch.tensor(signs))[:, left]
    return result


# ---------------------------------------------------------------------- 01.5


def root_numbers_stub(joints, heading):
    """joints (T, 22, 3), heading (T,) in radians → features 0 to 3, shape (T - 1, 4)."""
    angular = heading[1:] - heading[:-1]
    steps = joints[1:, 0] - joints[:-1, 0]
    # TODO: is the first number the angle? In which frame are the steps measured?
    return torch.stack([angular, steps[:, 0], steps[:, 2], joints[:-1, 0, 1]], dim=1)


def root_numbers(joints, heading):
    """joints (T, 22, 3), heading (T,) in radians → features 0 to 3, shape (T - 1, 4)."""
    angular = (heading[1:] - heading[:-1]) / 2
    steps = joints[1:, 0] - joints[:-1, 0]
    c, s = heading[1:].cos(), heading[1:].sin()  # of the frame in which the step ends
    x = c * steps[:, 0] + s * steps[:, 2]
    z = c * steps[:, 2] - s * steps[:, 0]
    return torch.stack([angular, x, z, joints[:-1, 0, 1]], dim=1)


def _root_numbers(joints, heading, half=0.5, frame=slice(1, None), way=1, height=slice(None, -1)):
    angular, steps = half * heading.diff(), joints[:, 0].diff(dim=0)
    c, s = heading[frame].cos(), way * heading[frame].sin()
    x, z = c * steps[:, 0] + s * steps[:, 2], c * steps[:, 2] - s * steps[:, 0]
    return torch.stack([angular, x, z, joints[height, 0, 1]], dim=1)


def _root_cases():
    features = clip(3)
    heading = 2 * torch.cat([torch.zeros(1), features[:-1, 0].cumsum(0)])
    return [(features_to_joints(features), heading), (normal(30, 22, 3), 0.3 * normal(30, seed=1).cumsum(0))]


def _package_root(joints, heading):
    # a turn onto z+ is the inverse of the turn by -heading about y
    return placed_features(joints.double(), about_y(heading.double() / 2), get_skeleton("humanml3d"))[:, :4]


# ---------------------------------------------------------------------- 01.6


def measure_drift():
    """How far a straight walk is from its true path when the first feature has a small constant error."""
    for frames in (50, 100, 200):
        features = torch.zeros(frames + 1, 263)
        features[:, 2] = 0.05  # 5 cm ahead in each frame
        true = features_to_joints(features)
        features[:, 0] = 0.0005  # the error, in radians
        error = (features_to_joints(features) - true)[-1, 0].norm()
        print(f"{frames} frames: {100 * error:.1f} cm")


EXERCISES = [
    Exercise(
        "01.1",
        20,
        "The path of the root",
        r"""
        The features do not contain the position of the body. They contain its *steps*: feature 0 is half the
        turn to the next frame (radians), features 1 and 2 are the step to the next frame, $x$ and $z$, in the
        frame of the body **after** the turn (`docs/REPRODUCTION.md`, "From features to joints"; the paper,
        section 4, uses these features of HumanML3D).

        Write the way back. $a_t$ is `angular[t]` and $\ell_t$ is `linear[t]`; the last row of both is not needed.
        The heading of frame $t$ is $\theta_t = 2\sum_{i<t} a_i$. The step that is stored at
        frame $t-1$ leads to frame $t$ and is turned by $\theta_t$:

        $$\begin{pmatrix} x \\ z \end{pmatrix}_t = \begin{pmatrix} x \\ z \end{pmatrix}_{t-1} +
        \begin{pmatrix} \cos\theta_t & -\sin\theta_t \\ \sin\theta_t & \cos\theta_t \end{pmatrix} \ell_{t-1}$$

        The path starts at $(0, 0)$ with heading 0.
        """,
        root_path_stub,
        root_path,
        (
            "Three lines: the heading of every frame, the turned steps, their running sum.",
            "The running sum `cumsum` at index t includes index t. The heading of frame t must not include a_t.",
            "Put a zero in front and leave out the last number, for the heading and for the steps.",
        ),
        "the path differs from the package's. Does each step use the heading of the frame in which it ends?",
        {
            "the steps are added without a turn. They are measured in the frame of the body.": lambda a, s: (
                torch.cat([torch.zeros(1, 2), s[:-1]]).cumsum(0)
            ),
            "the steps are added without a turn, and the path does not start at (0, 0).": lambda a, s: (
                s.cumsum(0)
            ),
            "every turn is too small. Read again what feature 0 is.": lambda a, s: _path(a, s, 1.0),
            "the path bends to the wrong side: check the sign of the turn.": lambda a, s: _path(a, s, -2.0),
            "the heading is one frame early: frame 0 must have heading 0.": lambda a, s: _path(
                a, s, late_heading=True
            ),
            "the path is one frame early: it must start at (0, 0).": lambda a, s: _path(a, s, late_path=True),
            "heading and path are both one frame early: what must frame 0 be?": lambda a, s: _path(
                a, s, late_heading=True, late_path=True
            ),
        },
        _path_cases,
        truth=_package_path,
    ),
    Exercise(
        "01.2",
        20,
        "Six numbers for a rotation",
        r"""
        Features 67 to 192 hold rotations: for each joint the first two columns of a $3 \times 3$ matrix (Zhou
        et al. 2019). A network does not return exact columns. Make a rotation matrix of any six numbers by
        Gram–Schmidt:

        $$x = \frac{a}{|a|}, \qquad y = \frac{b - (x \cdot b)\,x}{|b - (x \cdot b)\,x|}, \qquad z = x
        \times y$$

        $x$, $y$ and $z$ are the **columns** of the matrix.
        """,
        to_matrix_stub,
        to_matrix,
        (
            "Use `norm(dim=-1, keepdim=True)`, so that the division works for any leading dimensions.",
            "Remove from b its part along x before you normalise it.",
            "`torch.stack([...], dim=-1)` puts the vectors in columns, `dim=-2` in rows.",
        ),
        "the result is not the rotation that Gram–Schmidt gives. Multiply it by its transpose: is that the identity?",
        {
            "the columns do not have length 1.": to_matrix_stub,
            "x and y are not perpendicular.": _unorthogonal,
            "the three vectors are rows, expected columns.": lambda six: to_matrix(six).mT,
            "the determinant is -1, a reflection: check the order in the cross product.": lambda six: (
                to_matrix(six) * torch.tensor([1.0, 1.0, -1.0])
            ),
            "the part of b along x is removed with the wrong length: normalise a first.": lambda six: (
                torch.stack([*(m := _unscaled(six)), torch.linalg.cross(*m)], dim=-1)
            ),
        },
        lambda: [(normal(6),), (normal(5, 22, 6, seed=1),)],
    ),
    Exercise(
        "01.3",
        5,
        "Contact labels",
        """
        Features 259 to 262 say whether the left ankle, the left foot, the right ankle and the right foot
        (joints 7, 10, 8, 11) rest. HumanML3D takes a threshold: a joint rests if the **squared** distance that
        it moves to the next frame is below 0.002 m². (`docs/REPRODUCTION.md`, "From joints to features", step
        3.)
        """,
        contacts_stub,
        contacts,
        (
            "`joints[1:] - joints[:-1]` are the steps. There is one less than there are frames.",
            "A squared distance is the sum of the squares over the last axis, x, y and z.",
        ),
        "some labels are wrong. Compare your threshold and your joints with the text.",
        {
            "the height of the foot does not say whether it rests: look at its steps.": contacts_stub,
            "this compares the distance with the threshold, but the threshold is for the squared distance.": lambda j: (
                _contacts(j, power=0.5)
            ),
            "the joints are in the wrong order: 7, 10, 8, 11.": lambda j: _contacts(j, feet=(7, 8, 10, 11)),
            "the height is left out: all three axes count.": lambda j: _contacts(j, axes=(0, 2)),
            "True and False are exchanged.": lambda j: ~contacts(j),
        },
        _contact_cases,
        truth=_package_contacts,
    ),
    Exercise(
        "01.4",
        5,
        "Mirror a motion",
        """
        Mirrored clips double the data. Reflect the motion at the plane x = 0. A reflected left hand is a right
        hand, so the joints of the two sides must be exchanged too.
        """,
        mirror_stub,
        mirror,
        (
            "Negate x, then exchange the two lists of joints.",
            "`result[:, left] = joints[:, right]` overwrites the left side. Read from a copy.",
        ),
        "the motion is not the mirrored one. Mirror yours twice: do you get the original back?",
        {
            "x is negated, but the left hand is still stored as the left hand.": mirror_stub,
            "the sides are exchanged, but no coordinate is negated: the body is twisted.": _mirror,
            "the wrong axis is negated: the mirror is the plane x = 0.": lambda *a: _mirror(
                *a, signs=(1.0, 1.0, -1.0)
            ),
            "both sides are equal now: the second exchange read what the first had written.": lambda *a: (
                _mirror(*a, signs=(-1.0, 1.0, 1.0), half=True)
            ),
        },
        lambda: [
            (features_to_joints(clip(3)), list(LEFT), list(RIGHT)),
            (normal(4, 22, 3), list(LEFT), list(RIGHT)),
        ],
        truth=lambda joints, left, right: mirror_joints(joints),
    ),
    Exercise(
        "01.5",
        60,
        "The first four features",
        r"""
        Now the other direction. From the joints (T, 22, 3) and the heading of every frame, compute the first
        four features:

        - feature 0: **half** the turn to the next frame, $(\theta_{t+1} - \theta_t) / 2$;
        - features 1, 2: the step of the root (joint 0) to the next frame, $x$ and $z$, in the frame of the body
          in which the step **ends**, so turned back by $\theta_{t+1}$;
        - feature 3: the height of the root in frame $t$.

        Exercise 01.1 undoes yours if the clip starts at $x = z = 0$ with heading 0: with your numbers `f`,
        `root_path(f[:, 0], f[:, 1:3])` gives `joints[:-1, 0][:, [0, 2]]`. Use this as your own test.
        """,
        root_numbers_stub,
        root_numbers,
        (
            "The matrix of 01.1 turns by θ. Its transpose turns back.",
            "x' = cos θ · x + sin θ · z and z' = cos θ · z - sin θ · x.",
            "There are T - 1 steps: use `heading[1:]` for them and `joints[:-1]` for the height.",
        ),
        "at least one of the four numbers differs from the package's. Compare the columns one by one with 01.1.",
        {
            "the steps are along the axes of the room, and feature 0 is the whole turn.": root_numbers_stub,
            "feature 0 is the whole turn, expected half of it.": lambda j, h: _root_numbers(j, h, half=1.0),
            "feature 0 has the wrong sign.": lambda j, h: _root_numbers(j, h, half=-0.5),
            "the steps are turned by the heading of the frame in which they start.": lambda j, h: (
                _root_numbers(j, h, frame=slice(None, -1))
            ),
            "the steps are turned in the wrong direction: they must be turned back.": lambda j, h: (
                _root_numbers(j, h, way=-1)
            ),
            "the height is that of the next frame.": lambda j, h: _root_numbers(j, h, height=slice(1, None)),
            "the steps are along the axes of the room.": lambda j, h: (
                _root_numbers(j, 0 * h) + torch.nn.functional.pad(h.diff()[:, None] / 2, (0, 3))
            ),
        },
        _root_cases,
        truth=_package_root,
    ),
    Exercise(
        "01.6",
        5,
        "Predict, then measure: a small error in the turn",
        """
        A person walks straight ahead at constant speed. A network makes the same tiny error in feature 0 in
        every frame. The walk becomes twice as long. How does the error of the **end position** change?

        - "a": it stays the same, because the error of each frame stays the same;
        - "b": it becomes twice as large, because there are twice as many errors;
        - "c": it becomes four times as large, because the heading is a sum of errors, and the position is a sum
          of steps along that heading;
        - "d": it becomes larger by √2, because errors cancel in part.
        """,
        "a",
        "c",
        ("The heading is a sum over frames. The position is a sum over frames again.",),
        'answer with "a", "b", "c" or "d".',
        {
            "the position is not stored, it is a sum of steps. What happens to an error in a sum?": "a",
            "this is how the heading grows. What does it do to the position?": "b",
            "errors cancel if they are random. This one is the same in every frame.": "d",
        },
        why="""
        The heading error grows like T, and the sideways error is its sum: it grows like T². So a small bias of
        one number bends a long path.
        """,
        measure=measure_drift,
    ),
]
