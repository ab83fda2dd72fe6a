"""Chapter 03, transformer: does it use the text? Its attention to the words, and a text source without texts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from mmm.text import TextEmbedding, TextSource
from mmm.transformer.model import Attention, MaskedTransformer


@dataclass(frozen=True)
class SilentText:
    """A text source that gives every caption the model's own "no text", as dropped texts have it in training.

    Use it in place of the captions' embeddings: `evaluate_transformer` then shows how good the model is without them.
    """

    text: TextSource
    model: MaskedTransformer

    @property
    def name(self) -> str:
        return f"nothing instead of {self.text.name}"

    @property
    def width(self) -> int:
        return self.text.width

    @torch.no_grad()
    def lookup(self, captions: list[str]) -> TextEmbedding:
        """The vectors of "no text", once for each caption.

        Raises:
            ValueError: the model was trained without text dropout and has no such vectors.
        """
        text = self.text.lookup(captions).to(self.model.device)
        all_captions = torch.ones(len(captions), dtype=torch.bool, device=self.model.device)
        nothing = self.model.without_text(text.words, text.mask, text.sentence, all_captions)
        return TextEmbedding(*nothing).to("cpu")


@torch.no_grad()
def word_attention(
    model: MaskedTransformer,
    canvas: Int64[Tensor, "b p n"],
    lengths: Int64[Tensor, " b"],
    text: TextEmbedding,
    block: int = 0,
) -> Float[Tensor, "b heads n s"]:
    """How much every position of the canvas attends to every word, in one of the cross-attention blocks.

    Each row sums to 1 over the words; padding gets 0. Dropout must be off (`model.eval()`) for the weights to be
    those that are used.
    """
    weights: list[Tensor] = []

    def look(attention: Attention, inputs: tuple, _output: Tensor) -> None:
        x, mask, context = inputs
        query = attention.query(x).unflatten(-1, (attention.heads, -1)).transpose(1, 2)
        key = attention.key_value(context).chunk(2, -1)[0]
        key = key.unflatten(-1, (attention.heads, -1)).transpose(1, 2)
        scores = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5
        weights.append(scores.masked_fill(~mask[:, None, None], -torch.inf).softmax(-1))

    hook = model.cross[block].attention.register_forward_hook(look)
    try:
        model(canvas, lengths, text.words, text.mask, text.sentence)
    finally:
        hook.remove()
    return weights[0][:, :, : canvas.shape[2]]  # the last position is END's
