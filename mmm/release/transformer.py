"""The transformer's arrays under the authors' names and under ours, in both directions.

The names and shapes of the authors' release are facts (docs/REPRODUCTION.md, "Transformer"); none of its code is used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from mmm.errors import require
from mmm.storage import differences
from mmm.transformer.model import MaskedTransformer, TransformerConfig

# Our name → the release's name
OUTER = {
    "specials": "trans_base.learn_tok_emb.weight",
    "embed": "trans_base.to_emb",
    "embed_words": "trans_base.word_emb",
    "embed_sentence": "trans_base.cond_emb",
    "norm": "trans_head.ln_f",
    "head": "trans_head.head",
}
IN_BLOCK = {
    "norm_attention": ["ln1"],
    "norm_mlp": ["ln2"],
    "norm_words": ["ln3"],
    "attention.query_key_value": [
        "attn.query",
        "attn.key",
        "attn.value",
    ],  # stacked rows are one matrix of ours
    "attention.query": ["attn.query"],
    "attention.key_value": ["attn.key", "attn.value"],
    "attention.out": ["attn.proj"],
    "mlp.0": ["mlp.0"],
    "mlp.2": ["mlp.2"],
}
# In the checkpoints but used by nothing: a learned position, masks, and the sinusoids, which are computed here.
# The tokenizer is carried under trans_base.vqvae.
UNUSED = re.compile(
    r"trans_base\.(pos_embedding|pos_embed|vqvae|cross_att\.\d+\.attn\.mask)\b|.*\.attn\.mask$"
)
POSITIONS = "trans_base.pos_embedding.weight"


def from_release_state(
    state: Mapping[str, Tensor], codebook: Float[Tensor, "p k c"], heads: int = 16
) -> tuple[TransformerConfig, MaskedTransformer]:
    """Our model with the authors' arrays; all sizes except the number of heads are read off the shapes.

    Args:
        state: arrays under the release's names ("trans_base.…", "trans_head.…").
        codebook: the frozen code vectors of the tokenizer; two of them (upper, lower) for body parts.

    Raises:
        ValueError: arrays are missing, unknown or of another shape (they are listed), or do not fit the codebook.
    """
    positions = len(state[POSITIONS]) if POSITIONS in state and state[POSITIONS].ndim else 51
    state = {name: value for name, value in state.items() if not UNUSED.match(name)}
    config = _infer_sizes(
        state, codebook, heads, max_tokens=positions - 2
    )  # one for the sentence, one for END
    local = _count(state, "trans_base.blocks")
    with torch.device("meta"):  # shapes are compared before memory is taken
        expected = to_release_state(MaskedTransformer(config, codebook), local)
    faults = differences(state, expected)
    require(not faults, f"the released transformer does not fit its own sizes: {faults}")
    model = MaskedTransformer(config, codebook)
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.copy_(torch.cat([state[theirs] for theirs in release_names(name, local)]))
    return config, model.eval()


def to_release_state(model: MaskedTransformer, local: int | None = None) -> dict[str, Tensor]:
    """The weights under the release's names, without what it carries and does not use; views, not copies.

    Args:
        local: number of self-attention blocks that the release keeps in `trans_base`, the others being in `trans_head`;
            7 of 16 there, and that ratio by default. The network is the same wherever the cut is.

    Raises:
        ValueError: the model has vectors for "no text", for which the release has no name, or predicts two parts.
    """
    require(
        model.config.predicted_parts == 1,
        f"the model predicts {model.config.predicted_parts} body parts, but the release's predict the upper one alone",
    )
    require(
        model.config.text_dropout == 0,
        f"text_dropout is {model.config.text_dropout}, but the release has no vectors for a dropped text: expected 0",
    )
    local = model.config.layers * 7 // 16 if local is None else local
    state = {}
    for name, value in model.named_parameters():
        names = release_names(name, local)
        state |= zip(names, value.detach().chunk(len(names)), strict=True)
    return state


def release_names(name: str, local: int) -> list[str]:
    """The release's names of one of our arrays; several where the release splits its rows.

    Args:
        name: such as "embed.weight" or "blocks.8.attention.query_key_value.bias".
        local: number of self-attention blocks in `trans_base`.
    """
    if name in OUTER:
        return [OUTER[name]]
    stem, _, kind = name.rpartition(".")
    if stem in OUTER:
        return [f"{OUTER[stem]}.{kind}"]
    group, number, part = stem.split(".", 2)
    if group == "cross":
        block = f"trans_base.cross_att.{number}"
    elif int(number) < local:
        block = f"trans_base.blocks.{number}"
    else:
        block = f"trans_head.blocks.{int(number) - local}"
    return [f"{block}.{theirs}.{kind}" for theirs in IN_BLOCK[part]]


def _infer_sizes(
    state: Mapping[str, Tensor], codebook: Tensor, heads: int, max_tokens: int
) -> TransformerConfig:
    """Read the sizes off the shapes."""
    needed = ["trans_base.to_emb.weight", "trans_base.cond_emb.weight", "trans_head.head.weight"]
    needed += ["trans_head.blocks.0.mlp.0.weight"]
    missing = [name for name in needed if name not in state or state[name].ndim != 2]
    require(
        not missing, f"the released transformer lacks {', '.join(missing)}: give the file of the transformer"
    )
    embed, sentence, head, mlp = (state[name] for name in needed)
    parts, codes, code_dim = codebook.shape
    require(
        head.shape[0] == codes and embed.shape[1] == parts * code_dim,
        f"the released transformer is for {head.shape[0]} codes of width {embed.shape[1]}, the codebook has "
        f"{parts} part(s) of {codes} codes of width {code_dim}: give the tokenizer it was trained with",
    )
    return TransformerConfig(
        codes=codes,
        code_dim=code_dim,
        text_dim=sentence.shape[1],
        dim=embed.shape[0],
        cross_layers=_count(state, "trans_base.cross_att"),
        layers=_count(state, "trans_base.blocks") + _count(state, "trans_head.blocks"),
        heads=heads,
        mlp_ratio=mlp.shape[0] // max(1, mlp.shape[1]),
        parts=parts,
        predicts=0 if parts == 1 else 1,  # of two parts the upper one
        max_tokens=max_tokens,
        text_dropout=0.0,
    )


def _count(state: Mapping[str, Tensor], stem: str) -> int:
    """Blocks of a stack."""
    return len({name[len(stem) + 1 :].split(".")[0] for name in state if name.startswith(stem + ".")})
