"""Exercises of chapter 01: motion as numbers."""

import torch

from mmm.lab.exercises.exercise import Chapter
from mmm.lab.exercises.inputs import clip, normal
from mmm.motion import features_to_joints, mirror_joints
from mmm.motion.features import placed_features
from mmm.motion.quaternion import about_y
from mmm.motion.skeleton import get_skeleton

chapter = Chapter("01_data", "motion as numbers", "import torch")


# 01.1
def root_path_stub(angular, linear):
    # TODO: the steps are in the body's frame. Turn them. And where does the path start?
    return linear.cumsum(0)


def root_path(angular, linear):
    """angular (T,), linear (T, 2) → (T, 2): x and z of the root in every frame."""
    heading = torch.zeros_like(angular)
    heading[1:] = -2 * angular[:-1].cumsum(0)
    steps = torch.zeros_like(linear)
    steps[1:] = linear[:-1]
    c, s = heading.cos(), heading.sin()
    x, z = steps.unbind(1)
    return torch.stack([c * x + s * z, c * z - s * x], dim=1).cumsum(0)


def _path_cases():
    return [(features[:, 0], features[:, 1:3]) for features in map(clip, (3, 4))]


def _package_path(angular, linear):
    features = torch.zeros(len(angular), 263, dtype=torch.float64)
    features[:, 0], features[:, 1:3] = angular, linear
    return features_to_joints(features)[:, 0, [0, 2]]


chapter.add(
    r"""
    01.1 · The path of the root (20 minutes, write a function)

    The features do not contain the position of the body. They contain its *steps*. Feature 0 is half the turn to the
    next frame, in radians. Features 1 and 2 are the step to the next frame, $x$ and $z$, in the axes of the body
    **after** the turn. (Paper, section 4: the features of HumanML3D. `docs/REPRODUCTION.md`, "From features to
    joints".)

    Compute the path from the steps. $a_t$ is `angular[t]` and $\ell_t$ is `linear[t]`. The last row of both is not
    needed. The heading of frame $t$ is $\theta_t = -2\sum_{i<t} a_i$: it grows to the left, as in chapter 01. The step
    that is stored at frame $t-1$ leads to frame $t$ and is turned by $\theta_t$:

    $$\begin{pmatrix} x \\ z \end{pmatrix}_t = \begin{pmatrix} x \\ z \end{pmatrix}_{t-1} +
    \begin{pmatrix} \cos\theta_t & \sin\theta_t \\ -\sin\theta_t & \cos\theta_t \end{pmatrix} \ell_{t-1}$$

    The path starts at $(0, 0)$ with heading 0.
    """,
    root_path,
    """
    hint | Three lines: the heading of every frame, the turned steps, their running sum.
    hint | The running sum `cumsum` at index t includes index t. The heading of frame t must not include a_t.
    hint | Put a zero in front and leave out the last number, for the heading and for the steps.
    = -2 * angular[:-1] → = 0 * angular[:-1] | the steps are added without a turn. They are measured in the frame of the
      body.
    stub | the steps are added without a turn, and the path does not start at (0, 0).
    -2 * angular → -angular | every turn is too small. Read again what feature 0 is.
    -2 * angular → 2 * angular | the path bends to the wrong side: check the sign of the turn.
    heading[1:] = -2 * angular[:-1] → heading[:] = -2 * angular | the heading is one frame early: frame 0 must have
      heading 0.
    steps[1:] = linear[:-1] → steps[:] = linear | the path is one frame early: it must start at (0, 0).
    heading[1:] = -2 * angular[:-1] → heading[:] = -2 * angular ;; steps[1:] = linear[:-1] → steps[:] = linear |
      heading and path are both one frame early: what must frame 0 be?
    steps = torch → heading = heading.roll(1); steps = torch | a step is turned by the heading of the frame in which it
      starts, expected that in which it ends.
    else | the path differs from the package's. Does each step use the heading of the frame in which it ends?
    """,
    cases=_path_cases,
    truth=_package_path,
)


# 01.2
def to_matrix_stub(six):
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


def _by_qr(six):
    q, r = torch.linalg.qr(
        six.unflatten(-1, (2, 3)).mT
    )  # equal to Gram–Schmidt up to the signs of the columns
    x, y = (q * r.diagonal(dim1=-2, dim2=-1).sign()[..., None, :]).unbind(-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)


chapter.add(
    r"""
    01.2 · Six numbers for a rotation (20 minutes, write a function)

    Features 67 to 192 hold rotations: for each joint the first two columns of a $3 \times 3$ matrix (Zhou et al. 2019).
    The six numbers that a network returns are not exactly two such columns: they may have any length and any angle. Let
    $a$ be the first three and $b$ the last three. Make a rotation matrix of them by Gram–Schmidt:

    $$x = \frac{a}{|a|}, \qquad y = \frac{b - (x \cdot b)\,x}{|b - (x \cdot b)\,x|}, \qquad z = x \times y$$

    $x$, $y$ and $z$ are the **columns** of the matrix.
    """,
    to_matrix,
    """
    hint | Use `norm(dim=-1, keepdim=True)`, so that the division works for any leading dimensions.
    hint | Remove from b its part along x before you normalise it.
    hint | `torch.stack([...], dim=-1)` puts the vectors in columns, `dim=-2` in rows.
    stub | the columns do not have length 1.
    b = b - (x * b).sum(-1, keepdim=True) * x → pass | x and y are not perpendicular.
    cross(x, y)], dim=-1 → cross(x, y)], dim=-2 | the three vectors are rows, expected columns.
    cross(x, y) → cross(y, x) | the determinant is -1, a reflection: check the order in the cross product.
    x = a / a.norm(dim=-1, keepdim=True) → x = a ;; y = b / → x = x / x.norm(dim=-1, keepdim=True); y = b / | the part
      of b along x is removed with the wrong length: normalise a first.
    y = b / b.norm(dim=-1, keepdim=True) → y = b | the second column does not have length 1.
    norm(dim=-1, keepdim=True) → norm() | the norm is that of all vectors together: give it dim=-1 and keepdim=True.
    else | the result is not the rotation that Gram–Schmidt gives. Multiply it by its transpose: is that the identity?
    """,
    cases=lambda: [(normal(6),), (normal(5, 22, 6, seed=1),)],
    truth=_by_qr,
)


# 01.3
def contacts_stub(joints):
    feet = joints[:, [7, 10, 8, 11]]
    return feet[:-1, :, 1] < 0.05  # TODO: this asks whether the foot is low, not whether it rests


def contacts(joints):
    """joints (T, 22, 3) in metres → (T - 1, 4), True where a foot joint rests."""
    feet = joints[:, [7, 10, 8, 11]]
    return (feet[1:] - feet[:-1]).square().sum(-1) < 0.002


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


chapter.add(
    """
    01.3 · Contact labels (5 minutes, write a function)

    Features 259 to 262 say whether the left ankle, the left foot, the right ankle and the right foot (joints 7, 10, 8,
    11, in this order) rest. A joint rests if it hardly moves until the next frame: if the **squared** length of its
    step is below 0.002 m². (`docs/REPRODUCTION.md`, "From joints to features", step 3.)
    """,
    contacts,
    """
    hint | `joints[1:] - joints[:-1]` are the steps. There is one less than there are frames.
    hint | A squared distance is the sum of the squares over the last axis, x, y and z.
    stub | the height of the foot does not say whether it rests: look at its steps.
    .sum(-1) < → .sum(-1).sqrt() < | this compares the distance with the threshold, but the threshold is for the squared
      distance.
    [7, 10, 8, 11] → [7, 8, 10, 11] | the joints are in the wrong order: 7, 10, 8, 11.
    feet[:-1]).square() → feet[:-1])[..., [0, 2]].square() | the height is left out: all three axes count.
    < 0.002 → >= 0.002 | True and False are exchanged.
    else | some labels are wrong. Compare your threshold and your joints with the text.
    """,
    cases=_contact_cases,
    truth=_package_contacts,
)


# 01.4
LEFT, RIGHT = get_skeleton("humanml3d").left, get_skeleton("humanml3d").right


def mirror_stub(joints, left, right):
    return joints * torch.tensor([-1.0, 1.0, 1.0])  # TODO: whose hand is it now?


def mirror(joints, left, right):
    """joints (T, J, 3); left and right: lists of joint numbers, in pairs → the mirrored motion."""
    mirrored = joints * torch.tensor([-1.0, 1.0, 1.0])
    result = mirrored.clone()
    result[:, left] = mirrored[:, right]
    result[:, right] = mirrored[:, left]
    return result


chapter.add(
    """
    01.4 · Mirror a motion (5 minutes, write a function)

    Mirrored clips double the data. Reflect the motion at the plane x = 0. A reflected left hand is a right hand, so the
    joints of the two sides must be exchanged too.
    """,
    mirror,
    """
    hint | Negate x, then exchange the two lists of joints.
    hint | `result[:, left] = joints[:, right]` overwrites the left side. Read from a copy.
    stub | x is negated, but the left hand is still stored as the left hand.
    [-1.0, 1.0, 1.0] → [1.0, 1.0, 1.0] | the sides are exchanged, but no coordinate is negated: the body is twisted.
    [-1.0, 1.0, 1.0] → [1.0, 1.0, -1.0] | the wrong axis is negated: the mirror is the plane x = 0.
    result = mirrored.clone() → result = mirrored | both sides are equal now: the second exchange read what the first
      had written.
    else | the motion is not the mirrored one. Mirror yours twice: do you get the original back?
    """,
    cases=lambda: [
        (features_to_joints(clip(3)), list(LEFT), list(RIGHT)),
        (normal(4, 22, 3), list(LEFT), list(RIGHT)),
    ],
    truth=lambda joints, left, right: mirror_joints(joints),
)


# 01.5
def root_numbers_stub(joints, heading):
    angular = heading[:-1] - heading[1:]
    steps = joints[1:, 0] - joints[:-1, 0]
    # TODO: is the first number the angle? In which frame are the steps measured?
    return torch.stack([angular, steps[:, 0], steps[:, 2], joints[:-1, 0, 1]], dim=1)


def root_numbers(joints, heading):
    """joints (T, 22, 3), heading (T,) in radians → features 0 to 3, shape (T - 1, 4)."""
    angular = (heading[:-1] - heading[1:]) / 2
    steps = joints[1:, 0] - joints[:-1, 0]
    c, s = heading[1:].cos(), heading[1:].sin()  # of the frame in which the step ends
    x = c * steps[:, 0] - s * steps[:, 2]
    z = c * steps[:, 2] + s * steps[:, 0]
    return torch.stack([angular, x, z, joints[:-1, 0, 1]], dim=1)


def _root_cases():
    features = clip(3)
    heading = -2 * torch.cat([torch.zeros(1), features[:-1, 0].cumsum(0)])
    return [(features_to_joints(features), heading), (normal(30, 22, 3), 0.3 * normal(30, seed=1).cumsum(0))]


def _package_root(joints, heading):
    # a turn onto z+ is the turn by -heading about y
    return placed_features(joints.double(), about_y(-heading.double() / 2), get_skeleton("humanml3d"))[:, :4]


chapter.add(
    r"""
    01.5 · The first four features (60 minutes, write a function)

    Now the other direction. From the joints (T, 22, 3) and the heading of every frame, compute the first four features:

    - feature 0: **half** the turn to the next frame, positive to the right: $(\theta_t - \theta_{t+1}) / 2$;
    - features 1, 2: the step of the root (joint 0) to the next frame, $x$ and $z$, in the axes of the body at the
      **end** of the step. So turn it back by $\theta_{t+1}$;
    - feature 3: the height of the root in frame $t$.

    Test it yourself with exercise 01.1, which does the opposite. `joints, heading = example("01.5")` is a clip that
    starts at $x = z = 0$ with heading 0. With your result `f`, `root_path(f[:, 0], f[:, 1:3])` must be `joints[:-1,
    0][:, [0, 2]]`.
    """,
    root_numbers,
    """
    hint | The matrix of 01.1 turns by θ. Its transpose turns back.
    hint | x' = cos θ · x - sin θ · z and z' = cos θ · z + sin θ · x.
    hint | There are T - 1 steps: use `heading[1:]` for them and `joints[:-1]` for the height.
    stub | the steps are along the axes of the room, and feature 0 is the whole turn.
    / 2 → / 1 | feature 0 is the whole turn, expected half of it.
    (heading[:-1] - heading[1:]) / 2 → (heading[1:] - heading[:-1]) / 2 | feature 0 has the wrong sign.
    heading[1:].cos(), heading[1:].sin() → heading[:-1].cos(), heading[:-1].sin() | the steps are turned by the heading
      of the frame in which they start.
    heading[1:].sin() → -heading[1:].sin() | the steps are turned in the wrong direction: they must be turned back.
    joints[:-1, 0, 1] → joints[1:, 0, 1] | the height is that of the next frame.
    x = c * steps[:, 0] - s * steps[:, 2] → x = steps[:, 0] ;; z = c * steps[:, 2] + s * steps[:, 0] → z = steps[:, 2] |
      the steps are along the axes of the room.
    else | at least one of the four columns is wrong. Test columns 0 to 2 with 01.1, as the text says.
    """,
    cases=_root_cases,
    truth=_package_root,
)


# 01.6
def measure_drift():
    """How far a straight walk is from its true path when feature 0 has a small constant error."""
    errors = []
    for frames in (50, 100, 200):
        features = torch.zeros(frames + 1, 263)
        features[:, 2] = 0.05  # 5 cm ahead in each frame
        true = features_to_joints(features)
        features[:, 0] = 0.0005  # the error, in radians
        errors.append((features_to_joints(features) - true)[-1, 0].norm())
        print(f"{frames} frames: {100 * errors[-1]:.1f} cm")
    return errors[-1] / errors[-2]


chapter.add(
    """
    01.6 · A small error in the turn (5 minutes, predict, then measure)

    A person walks straight ahead at constant speed. A network makes the same tiny error in feature 0 in every frame.
    Another walk takes twice as many frames. By which factor is the error of its **end position** larger? Is it 1 (the
    error of a frame is the same), √2 (errors cancel in part), 2 (twice as many errors), or another number?
    """,
    4.0,
    """
    hint | The heading is a sum over frames. The position is a sum over frames again.
    1.0 | the position is not stored, it is a sum of steps. What happens to an error in a sum?
    2.0 | this is how the error of the heading grows. What does it do to the position?
    1.41 | errors cancel in part if they are random. This one is the same in every frame.
    8.0 | count the sums: feature 0 to heading is one, steps to position is another.
    else | not this factor. Follow one error: from feature 0 to the heading, from the heading to the position.
    why | The error of the heading is a sum of T equal errors: it grows like T. The error of the position is a sum of
      those: it grows like T². So a small bias of one number bends a long path.
    """,
    tolerance=0.02,
    measure=measure_drift,
)
