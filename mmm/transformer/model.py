"""The conditional masked transformer: a canvas of motion tokens and a text in, logits over the codes out.

Source: MMM (arXiv 2312.03596), section 3.2; sizes and order of the layers: REPRODUCTION.md, "Transformer".

END and PAD are private to this file: a canvas holds code ids and MASK (−1), `lengths` says where it ends, and
`MaskedTransformer.forward` puts END after the last token and PAD behind it.


Sizes of the masked transformer, and the named presets.

What the masked transformer is built of: attention, a block of it, the positions.

Source: REPRODUCTION.md, "Transformer".
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from mmm.errors import require
from mmm.storage import load_config, load_state, save_module
from mmm.transformer.masking import MASK


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes of a MaskedTransformer.

    Attributes:
        codes: codes in the codebook (K), of each part.
        code_dim: width of a code vector of one part (C).
        text_dim: width of the text encoder's embeddings (E): 384 for minilm, 512 for clip.
        dim, heads, mlp_ratio, dropout: the blocks.
        cross_layers: blocks that attend to the words. layers: self-attention blocks behind them.
        max_tokens: longest motion (N), in tokens; there are two places more, for the sentence and END.
        parts: 1 whole body, or 2 (upper, lower); the canvas shows them all.
        predicts: how many of them are predicted, from the upper one on; 0 means all of them. The authors'
            upper-body model predicts 1 of 2: it can only edit. One that predicts both can also generate.
        text_dropout: share of training texts that are dropped. Above 0 the model has vectors for "no text"
            and can be guided; at 0 it has the authors' parameters exactly.
    """

    codes: int
    code_dim: int
    text_dim: int
    dim: int
    layers: int
    cross_layers: int = 2
    heads: int = 16
    max_tokens: int = 49
    mlp_ratio: int = 4
    dropout: float = 0.1
    parts: int = 1
    text_dropout: float = 0.1
    predicts: int = 0

    def __post_init__(self) -> None:
        require(
            self.dim % self.heads == 0 and self.dim % 2 == 0,
            f"dim is {self.dim}, expected an even multiple of heads ({self.heads}): change one of them",
        )
        require(
            self.parts in (1, 2), f"parts is {self.parts}, expected 1 (whole body) or 2 (upper and lower)"
        )
        require(
            0 <= self.predicts <= self.parts,
            f"predicts is {self.predicts}, expected 1 to {self.parts}, the number of parts (or 0 for all of them)",
        )
        require(
            0 <= self.text_dropout < 1, f"text_dropout is {self.text_dropout}, expected a share in [0, 1)"
        )

    @property
    def predicted(self) -> int:
        """Parts that are predicted (r), the first ones."""
        return self.predicts or self.parts


# What a preset leaves open (codes, code_dim, text_dim) comes from the tokenizer and the text encoder. `small`
# keeps one cross-attention block where the paper has two: with everything masked, the first of them knows no
# more than its place, and at five blocks in all the self-attention needs the parameters more.
PRESETS: dict[str, dict[str, int | float]] = {
    "tiny": dict(dim=96, cross_layers=1, layers=2, heads=4),
    "light": dict(dim=192, cross_layers=1, layers=4, heads=6),
    "small": dict(dim=256, cross_layers=1, layers=4, heads=8),
    "paper": dict(dim=1024, cross_layers=2, layers=16, heads=16, text_dropout=0.0),
}


def preset(
    name: str, *, codes: int, code_dim: int, text_dim: int, **changes: int | float
) -> TransformerConfig:
    """The configuration of that name ("tiny", "light", "small", "paper"), with `changes` made to it."""
    require(name in PRESETS, f"preset is {name!r}, expected one of {', '.join(PRESETS)}")
    return TransformerConfig(
        codes=codes, code_dim=code_dim, text_dim=text_dim, **{**PRESETS[name], **changes}
    )


class Attention(nn.Module):
    """Multi-head attention of x to `context` (or itself); keys where `mask` is False are not looked at."""

    def __init__(self, dim: int, heads: int, dropout: float, cross: bool) -> None:
        super().__init__()
        self.heads, self.cross = heads, cross
        self.dropout = dropout
        # One matrix product instead of three (or two): the names query, key, value of the authors' arrays are
        # mapped onto its rows in release.py.
        if cross:
            self.query = nn.Linear(dim, dim)
            self.key_value = nn.Linear(dim, 2 * dim)
        else:
            self.query_key_value = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(
        self,
        x: Float[Tensor, "b q d"],
        mask: Bool[Tensor, "b k"],
        context: Float[Tensor, "b k d"] | None = None,
    ) -> Float[Tensor, "b q d"]:
        if context is None:
            query, key, value = self.query_key_value(x).chunk(3, dim=-1)
        else:
            query, (key, value) = self.query(x), self.key_value(context).chunk(2, dim=-1)
        query, key, value = (y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in (query, key, value))
        y = F.scaled_dot_product_attention(
            query, key, value, attn_mask=mask[:, None, None], dropout_p=self.dropout if self.training else 0.0
        )
        return self.out(y.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Pre-norm attention and MLP (GELU), each added to what came in; a cross block norms the words too."""

    def __init__(self, config: TransformerConfig, cross: bool) -> None:
        super().__init__()
        dim, hidden = config.dim, config.dim * config.mlp_ratio
        self.norm_attention = nn.LayerNorm(dim)
        self.norm_words = nn.LayerNorm(dim) if cross else None
        self.attention = Attention(dim, config.heads, config.dropout, cross)
        self.norm_mlp = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Float[Tensor, "b q d"],
        mask: Bool[Tensor, "b k"],
        words: Float[Tensor, "b k d"] | None = None,
    ) -> Float[Tensor, "b q d"]:
        context = None if self.norm_words is None else self.norm_words(words)
        x = x + self.dropout(self.attention(self.norm_attention(x), mask, context))
        return x + self.dropout(self.mlp(self.norm_mlp(x)))


def sinusoids(places: int, dim: int) -> Float[Tensor, "places dim"]:
    """Positions as in Vaswani et al. 2017, section 3.5: sines in even columns, cosines in odd ones."""
    place = torch.arange(places, dtype=torch.float64)[:, None]
    angle = place * 10000.0 ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1).float()


class MaskedTransformer(nn.Module):
    """Predicts, for every place of a canvas, which code belongs there; of two parts, in the first `predicted`.

    The parts share everything but their codebooks: a time step is one place of the network, whose vector is made
    of the code vectors of all parts and answers for all that are predicted.
    """

    def __init__(self, config: TransformerConfig, codebook: Float[Tensor, "p k c"]) -> None:
        """
        Args:
            codebook: the tokenizer's code vectors; kept as a buffer, never trained, saved with the model.

        Raises:
            ValueError: the codebook's shape is not (config.parts, config.codes, config.code_dim).
        """
        super().__init__()
        expected = (config.parts, config.codes, config.code_dim)
        require(
            tuple(codebook.shape) == expected,
            f"the codebook is {tuple(codebook.shape)}, expected (parts, codes, code_dim) = {expected}: "
            "take the codebook of the tokenizer the configuration was made for",
        )
        self.config = config
        self.register_buffer("codebook", codebook.detach().clone().float())
        self.register_buffer("positions", sinusoids(config.max_tokens + 2, config.dim), persistent=False)
        self.specials = nn.Parameter(torch.empty(3, config.code_dim))  # END, PAD, MASK, shared by the parts
        self.embed = nn.Linear(config.parts * config.code_dim, config.dim)
        self.embed_words = nn.Linear(config.text_dim, config.dim)
        self.embed_sentence = nn.Linear(config.text_dim, config.dim)
        self.cross = nn.ModuleList(Block(config, cross=True) for _ in range(config.cross_layers))
        self.blocks = nn.ModuleList(Block(config, cross=False) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.dim)
        self.head = nn.Linear(config.dim, config.predicted * config.codes, bias=False)
        if config.text_dropout > 0:
            self.no_word = nn.Parameter(torch.empty(config.text_dim))
            self.no_sentence = nn.Parameter(torch.empty(config.text_dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weights from N(0, 0.02²), biases 0, norms 1; special and "no text" vectors like their kin."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.normal_(self.specials, std=float(self.codebook.std()) or 1.0)
        if self.config.text_dropout > 0:
            nn.init.normal_(self.no_word, std=self.config.text_dim**-0.5)  # text encoders give unit vectors
            nn.init.normal_(self.no_sentence, std=self.config.text_dim**-0.5)

    @property
    def device(self) -> torch.device:
        return self.codebook.device

    def forward(
        self,
        canvas: Int64[Tensor, "b p n"],
        lengths: Int64[Tensor, " b"],
        words: Float[Tensor, "b s e"],
        word_mask: Bool[Tensor, "b s"],
        sentence: Float[Tensor, "b e"],
        drop_text: Bool[Tensor, " b"] | None = None,
    ) -> Float[Tensor, "b r n k"]:
        """Logits over the codes for every place of the first r = `config.predicted` parts of the canvas.

        Args:
            canvas: code ids, MASK (−1) where unknown; what stands at or beyond an item's length is ignored.
            lengths: tokens of each item, 1 to n.
            word_mask: True at words, False at padding; at least one word an item.
            drop_text: items whose text is replaced by the learned "no text" vectors.

        Raises:
            ValueError: the canvas is wider than max_tokens or has another number of parts; drop_text on a
                model made with text_dropout = 0.
        """
        ids, valid = self.token_ids(canvas, lengths)
        if drop_text is not None:
            words, word_mask, sentence = self.without_text(words, word_mask, sentence, drop_text)
        logits = self.forward_ids(ids, valid, words, word_mask, sentence)[:, 1:-1]
        return logits.unflatten(-1, (self.config.predicted, -1)).transpose(1, 2)

    def token_ids(
        self, canvas: Int64[Tensor, "b p n"], lengths: Int64[Tensor, " b"]
    ) -> tuple[Int64[Tensor, "b p places"], Bool[Tensor, "b places"]]:
        """Ids with MASK as K + 2, END (K) at each item's length and PAD (K + 1) behind; True up to END."""
        config, (_, parts, n) = self.config, canvas.shape
        require(
            parts == config.parts and n <= config.max_tokens,
            f"the canvas has {parts} part(s) of {n} tokens, this model takes {config.parts} of at most "
            f"{config.max_tokens}: shorten the motion or use another model",
        )
        end, pad, mask = config.codes, config.codes + 1, config.codes + 2
        ids = F.pad(torch.where(canvas == MASK, mask, canvas), (0, 1), value=pad)
        place, length = torch.arange(n + 1, device=canvas.device), lengths[:, None, None]
        ids = torch.where(place < length, ids, torch.where(place == length, end, pad))
        return ids, place <= lengths[:, None]

    def without_text(
        self,
        words: Float[Tensor, "b s e"],
        word_mask: Bool[Tensor, "b s"],
        sentence: Float[Tensor, "b e"],
        drop: Bool[Tensor, " b"],
    ) -> tuple[Float[Tensor, "b s e"], Bool[Tensor, "b s"], Float[Tensor, "b e"]]:
        """The text of the items in `drop` replaced by one learned word and one learned sentence.

        Raises:
            ValueError: the model was made with text_dropout = 0 and has no such vectors.
        """
        require(
            self.config.text_dropout > 0,
            "this model was trained without text dropout and cannot do without its text: use guidance 1, or "
            "train with text_dropout above 0",
        )
        first = torch.arange(words.shape[1], device=words.device) == 0
        words = torch.where(drop[:, None, None], self.no_word.to(words.dtype), words)
        word_mask = torch.where(drop[:, None], first, word_mask)
        return words, word_mask, torch.where(drop[:, None], self.no_sentence.to(sentence.dtype), sentence)

    def forward_ids(
        self,
        ids: Int64[Tensor, "b p places"],
        valid: Bool[Tensor, "b places"],
        words: Float[Tensor, "b s e"],
        word_mask: Bool[Tensor, "b s"],
        sentence: Float[Tensor, "b e"],
    ) -> Float[Tensor, "b places+1 rk"]:
        """Logits of every place, the sentence's first, from ids with END (K), PAD (K + 1) and MASK (K + 2).

        The last axis holds the K logits of one predicted part after those of another.

        Args:
            valid: places that may be attended to (up to and including END).
        """
        vectors = [
            F.embedding(ids[:, part], torch.cat([self.codebook[part], self.specials]))
            for part in range(self.config.parts)
        ]
        x = self.embed(torch.cat(vectors, dim=-1))
        x = x + self.positions[: x.shape[1]]
        words = self.embed_words(words)
        for block in self.cross:
            x = block(x, word_mask, words)
        x = torch.cat([self.embed_sentence(sentence)[:, None], x], dim=1)
        x = x + self.positions[: x.shape[1]]
        valid = F.pad(valid, (1, 0), value=True)
        for block in self.blocks:
            x = block(x, valid)
        return self.head(self.norm(x))

    def save_pretrained(self, folder: str | os.PathLike[str], dtype: torch.dtype | None = None) -> None:
        """Write config.json and model.safetensors (codebook included); float16 halves the size."""
        save_module(self, self.config, folder, dtype)

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str]) -> MaskedTransformer:
        """The model that `save_pretrained` wrote, in float32, in evaluation mode, on the CPU.

        Raises:
            FileNotFoundError, ValueError: files missing, damaged, or not fitting each other.
        """
        config = load_config(TransformerConfig, folder)
        model = cls(config, torch.zeros(config.parts, config.codes, config.code_dim))
        load_state(model, folder)
        return model.eval()
