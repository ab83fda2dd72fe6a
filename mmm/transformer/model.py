"""The conditional masked transformer: from a canvas of motion tokens and a text to logits over the codes.

Source: MMM (arXiv 2312.03596), section 3.2; sizes and order of the layers: docs/REPRODUCTION.md, "Transformer".

        canvas (B, P, N) → ids with END and PAD (B, P, N+1) → code vectors → embed (B, N+1, D)
                                                                                 │ + positions
        words (B, S, E)  → embed_words (B, S, D)      ────────────────►  cross-attention blocks
        sentence (B, E)  → embed_sentence (B, 1, D)   ── put in front ─►         │ + positions
                                                                        self-attention blocks (B, N+2, D)
                                                                                 ▼
                                                            norm, head → logits (B, r, N, K)

END and PAD are private to this file. A canvas holds code ids and MASK (−1), and `lengths` says where it ends;
`MaskedTransformer.forward` puts END after the last token and PAD behind it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from mmm.errors import check_ranges, require
from mmm.recipes import get_preset
from mmm.storage import load_config, load_module, save_module
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
        max_tokens: longest motion (N), in tokens; two more positions hold the sentence and END.
        parts: 1 whole body, or 2 (upper, lower).
        predicts: how many parts are predicted, the upper one first; 0 means all. Read it as
            `predicted_parts`. The authors' upper-body model predicts 1 of 2: it can only edit. A model that predicts
            both can also generate.
        text_dropout: ratio of training texts that are dropped. Above 0 the model has vectors for "no text"
            and can be guided; at 0 it has exactly the authors' parameters.
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
        check_ranges(self, codes=(1, 1 << 20), code_dim=(1, 1 << 14), text_dim=(1, 1 << 16), dim=(2, 1 << 14))
        check_ranges(self, layers=(0, 256), cross_layers=(0, 256), heads=(1, 1024), max_tokens=(1, 4096))
        check_ranges(self, mlp_ratio=(1, 64), dropout=(0.0, 1.0), parts=(1, 2), predicts=(0, 2))
        check_ranges(self, text_dropout=(0.0, 1.0))
        require(
            self.dim % self.heads == 0 and self.dim % 2 == 0,
            f"dim is {self.dim}, expected an even multiple of heads ({self.heads})",
        )
        require(
            self.predicts <= self.parts,
            f"predicts is {self.predicts}, expected 1 to {self.parts}, the number of parts (or 0 for all of them)",
        )
        require(self.text_dropout < 1, f"text_dropout is {self.text_dropout}, expected a ratio in [0, 1)")

    @property
    def predicted_parts(self) -> int:
        """Number of predicted parts (r), 1 or 2; they are the first ones."""
        return self.predicts or self.parts


def preset(
    name: str, *, codes: int, code_dim: int, text_dim: int, **changes: int | float
) -> TransformerConfig:
    """The sizes of a preset ("tiny", "light", "small", "paper"; recipes.yaml), with some fields changed.

    codes, code_dim and text_dim come from the tokenizer and the text encoder.
    """
    sizes = get_preset(name)["transformer"] | changes
    return TransformerConfig(codes=codes, code_dim=code_dim, text_dim=text_dim, **sizes)


class Attention(nn.Module):
    """Multi-head attention of x to `context` (or to itself); keys where `mask` is False are ignored."""

    def __init__(self, dim: int, heads: int, dropout: float, cross: bool) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        # One matrix product instead of three (or two); mmm.release maps the authors' query, key, value to its rows.
        if cross:
            self.query = nn.Linear(dim, dim)
            self.key_value = nn.Linear(dim, 2 * dim)
        else:
            self.query_key_value = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(
        self,
        x: Float[Tensor, "b q d"],
        mask: Bool[Tensor, "b *queries k"],
        context: Float[Tensor, "b s d"] | None = None,
        cache: list[Tensor] | None = None,
    ) -> Float[Tensor, "b q d"]:
        """
        Args:
            mask: one row for all queries (B, K), or one for each (B, Q, K).
            cache: a list, empty at first, that keeps keys and values between calls. Those of `x` are appended; those
                of `context`, which must be the same, are not computed again.
        """
        if context is None:
            query, key, value = map(self._by_head, self.query_key_value(x).chunk(3, dim=-1))
            if cache:
                key, value = (torch.cat(pair, dim=2) for pair in zip(cache, (key, value), strict=True))
        else:
            query = self._by_head(self.query(x))
            key, value = cache or map(self._by_head, self.key_value(context).chunk(2, dim=-1))
        if cache is not None:
            cache[:] = key, value
        mask = mask[:, None] if mask.ndim == 2 else mask
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None], dropout_p=dropout)
        return self.out(y.transpose(1, 2).flatten(2))

    def _by_head(self, y: Float[Tensor, "b s d"]) -> Float[Tensor, "b h s w"]:
        return y.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Block(nn.Module):
    """Pre-norm attention and MLP (GELU), each added to its input; a cross block normalises the words too."""

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
        mask: Bool[Tensor, "b *queries k"],
        words: Float[Tensor, "b s d"] | None = None,
        cache: list[Tensor] | None = None,
    ) -> Float[Tensor, "b q d"]:
        context = None if self.norm_words is None else self.norm_words(words)
        x = x + self.dropout(self.attention(self.norm_attention(x), mask, context, cache))
        return x + self.dropout(self.mlp(self.norm_mlp(x)))


def sinusoids(positions: int, dim: int) -> Float[Tensor, "positions dim"]:
    """Position vectors as in Vaswani et al. 2017, section 3.5: sines in even columns, cosines in odd ones.

    On the CPU, also while a model is made on the device "meta", as they are not stored (`mmm.storage.load_module`).
    """
    options = {"dtype": torch.float64, "device": "cpu"}
    position = torch.arange(positions, **options)[:, None]
    angle = position * 10000.0 ** (-torch.arange(0, dim, 2, **options) / dim)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1).float()


class MaskedTransformer(nn.Module):
    """Predicts the code at every position of a canvas, in the first `config.predicted_parts` parts.

    The parts share all blocks; each has its own codebook, columns of `embed` and rows of `head`. A time step is one
    position of the network: its input holds the code vectors of all parts, its output the logits of all predicted
    parts.
    """

    def __init__(self, config: TransformerConfig, codebook: Float[Tensor, "p k c"]) -> None:
        """
        Args:
            codebook: the tokenizer's code vectors; a buffer, never trained, saved with the model.
        """
        super().__init__()
        expected = (config.parts, config.codes, config.code_dim)
        require(
            tuple(codebook.shape) == expected,
            f"the codebook is {tuple(codebook.shape)}, expected (parts, codes, code_dim) = {expected}: "
            "take the codebook of the tokenizer that the configuration belongs to",
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
        self.head = nn.Linear(config.dim, config.predicted_parts * config.codes, bias=False)
        if config.text_dropout > 0:
            self.no_word = nn.Parameter(torch.empty(config.text_dim))
            self.no_sentence = nn.Parameter(torch.empty(config.text_dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weights from N(0, 0.02²), biases 0, norms 1; special vectors as large as codes, "no text" as texts."""
        if self.codebook.is_meta:  # there are no numbers
            return
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.normal_(self.specials, std=float(self.codebook.std()) or 1.0)
        if self.config.text_dropout > 0:
            nn.init.normal_(self.no_word, std=self.config.text_dim**-0.5)  # length 1, as MiniLM's sentence
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
        """Logits over the codes for every position of the first r = `config.predicted_parts` parts of the canvas.

        Args:
            canvas: code ids, MASK (−1) where unknown; what stands beyond an item's length is ignored.
            lengths: tokens of each item, 1 to n.
            word_mask: True at words, False at padding; at least one word for each item.
            drop_text: items whose text is replaced by the learned "no text" vectors.

        Raises:
            ValueError: the canvas is wider than max_tokens or has another number of parts; drop_text with a
                model without text dropout.
        """
        ids, valid = self.token_ids(canvas, lengths)
        if drop_text is not None:
            words, word_mask, sentence = self.without_text(words, word_mask, sentence, drop_text)
        logits = self.forward_ids(ids, valid, words, word_mask, sentence)[:, 1:-1]
        return logits.unflatten(-1, (self.config.predicted_parts, -1)).transpose(1, 2)

    def token_ids(
        self, canvas: Int64[Tensor, "b p n"], lengths: Int64[Tensor, " b"]
    ) -> tuple[Int64[Tensor, "b p n+1"], Bool[Tensor, "b n+1"]]:
        """Ids with MASK as K + 2, END (K) at each item's length and PAD (K + 1) behind; True up to END."""
        config, (_, parts, n) = self.config, canvas.shape
        require(
            parts == config.parts and n <= config.max_tokens,
            f"the canvas has {parts} part(s) of {n} tokens, this model takes {config.parts} of at most "
            f"{config.max_tokens}",
        )
        end, pad, mask = config.codes, config.codes + 1, config.codes + 2
        ids = F.pad(torch.where(canvas == MASK, mask, canvas), (0, 1), value=pad)
        position, length = torch.arange(n + 1, device=canvas.device), lengths[:, None, None]
        ids = torch.where(position < length, ids, torch.where(position == length, end, pad))
        return ids, position <= lengths[:, None]

    def without_text(
        self,
        words: Float[Tensor, "b s e"],
        word_mask: Bool[Tensor, "b s"],
        sentence: Float[Tensor, "b e"],
        drop: Bool[Tensor, " b"],
    ) -> tuple[Float[Tensor, "b s e"], Bool[Tensor, "b s"], Float[Tensor, "b e"]]:
        """The text of the items in `drop` replaced by one learned word and one learned sentence."""
        require(
            self.config.text_dropout > 0,
            "this model was trained without text dropout and needs its text: use guidance 1",
        )
        first = torch.arange(words.shape[1], device=words.device) == 0
        words = torch.where(drop[:, None, None], self.no_word.to(words.dtype), words)
        dropped = drop[:, None]
        word_mask = (dropped & first) | (~dropped & word_mask)  # ONNX has no `where` of truth values
        return words, word_mask, torch.where(drop[:, None], self.no_sentence.to(sentence.dtype), sentence)

    def forward_ids(
        self,
        ids: Int64[Tensor, "b p m"],
        valid: Bool[Tensor, "b m"],
        words: Float[Tensor, "b s e"],
        word_mask: Bool[Tensor, "b s"],
        sentence: Float[Tensor, "b e"],
    ) -> Float[Tensor, "b m+1 rk"]:
        """Logits of M = N + 1 positions and, before them, of the sentence's position.

        The last axis holds the K logits of the first predicted part, then those of the second.

        Args:
            ids: with END (K), PAD (K + 1) and MASK (K + 2), see `token_ids`.
            valid: positions that may be attended to (up to and including END).
        """
        vectors = [
            F.embedding(ids[:, part], torch.cat([self.codebook[part], self.specials]))
            for part in range(self.config.parts)
        ]
        x = self.embed(torch.cat(vectors, dim=-1))  # (B, M, D)
        x = x + self.positions[: x.shape[1]]
        words = self.embed_words(words)  # (B, S, D)
        for block in self.cross:
            x = block(x, word_mask, words)
        x = torch.cat([self.embed_sentence(sentence)[:, None], x], dim=1)  # (B, M + 1, D)
        # As in the release: positions are added a second time, now counted from the sentence, so shifted by one.
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
        """The model of a folder, in float32, in evaluation mode, on the CPU.

        Raises:
            FileNotFoundError, ValueError: files are missing, damaged, or do not fit each other.
        """
        config = load_config(TransformerConfig, folder)
        shape = (config.parts, config.codes, config.code_dim)
        return load_module(lambda: cls(config, torch.zeros(shape)), folder)
