"""The authors' released transformer: their parameter names onto ours (names and shapes are facts, see
REPRODUCTION.md, "Transformer")."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from mmm.errors import require
from mmm.storage import differences
from mmm.transformer.model import MaskedTransformer, TransformerConfig

RENAMED = {
    "trans_base.learn_tok_emb.weight": "specials",
    "trans_base.to_emb": "embed",
    "trans_base.word_emb": "embed_words",
    "trans_base.cond_emb": "embed_sentence",
    "trans_head.ln_f": "norm",
    "trans_head.head": "head",
}
IN_BLOCK = {
    "ln1": "norm_attention",
    "ln2": "norm_mlp",
    "ln3": "norm_words",
    "attn.proj": "attention.out",
    "mlp.0": "mlp.0",
    "mlp.2": "mlp.2",
}
# Carried by the checkpoints and used by nothing: a learned position, masks. The sinusoids are computed here.
# The tokenizer travels along under trans_base.vqvae.
UNUSED = re.compile(
    r"trans_base\.(pos_embedding|pos_embed|vqvae|cross_att\.\d+\.attn\.mask)\b|.*\.attn\.mask$"
)
POSITIONS = "trans_base.pos_embedding.weight"
BLOCK = re.compile(
    r"(trans_base\.cross_att|trans_base\.blocks|trans_head\.blocks)\.(\d+)\.(.+)\.(weight|bias)$"
)


def from_release_state(
    state: Mapping[str, Tensor], codebook: Float[Tensor, "p k c"], heads: int = 16
) -> tuple[TransformerConfig, MaskedTransformer]:
    """Our model with the authors' arrays; every size but the number of heads is read off the shapes.

    Args:
        state: arrays under the release's names ("trans_base.…", "trans_head.…").
        codebook: the frozen code vectors of the tokenizer; two of them (upper, lower) for body parts.

    Raises:
        ValueError: arrays are missing, unknown or of another shape (they are listed), or do not fit the codebook.
    """
    places = state[POSITIONS].shape[0] if POSITIONS in state else 51
    state = {name: value for name, value in state.items() if not UNUSED.match(name)}
    config = _config(state, codebook, heads, max_tokens=places - 2)  # one for the sentence, one for END
    local = _count(state, "trans_base.blocks")
    model = MaskedTransformer(config, codebook)
    apart = differences(state, to_release_state(model, local))
    require(not apart, f"the released transformer does not fit its own sizes: {apart}")
    model.load_state_dict(_renamed(state, local), strict=False)  # the codebook is in place already
    return config, model.eval()


def to_release_state(model: MaskedTransformer, local: int | None = None) -> dict[str, Tensor]:
    """The weights under the release's names, without what it carries and does not use; views, not copies.

    Args:
        local: self-attention blocks that the release keeps in `trans_base`, the others being in `trans_head`; 7 of 16
            there, and that share of others. The network is the same wherever the cut is.

    Raises:
        ValueError: the model has vectors for "no text", for which the release has no name, or predicts two parts.
    """
    require(
        model.config.predicted == 1,
        f"the model predicts {model.config.predicted} body parts, but the release's predict the upper one alone",
    )
    require(
        model.config.text_dropout == 0,
        f"text_dropout is {model.config.text_dropout}, but the release has no vectors for a dropped text: expected 0",
    )
    local = model.config.layers * 7 // 16 if local is None else local
    outer = {ours: theirs for theirs, ours in RENAMED.items()}
    inner = {ours: theirs for theirs, ours in IN_BLOCK.items()}
    state = {}
    for name, value in model.named_parameters():
        value, (stem, _, kind) = value.detach(), name.rpartition(".")
        if name in outer or stem in outer:
            state[outer[name] if name in outer else f"{outer[stem]}.{kind}"] = value
            continue
        group, number, part = stem.split(".", 2)
        if group == "cross":
            prefix = f"trans_base.cross_att.{number}"
        elif int(number) < local:
            prefix = f"trans_base.blocks.{number}"
        else:
            prefix = f"trans_head.blocks.{int(number) - local}"
        if part in inner:
            state[f"{prefix}.{inner[part]}.{kind}"] = value
        else:  # "attention.query_key_value": its rows are three matrices there
            own = part.removeprefix("attention.").split("_")
            rows = zip(own, value.chunk(len(own)), strict=True)
            state |= {f"{prefix}.attn.{each}.{kind}": share for each, share in rows}
    return state


def _config(state: Mapping[str, Tensor], codebook: Tensor, heads: int, max_tokens: int) -> TransformerConfig:
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
        mlp_ratio=mlp.shape[0] // mlp.shape[1],
        parts=parts,
        predicts=0 if parts == 1 else 1,  # of two parts the upper one
        max_tokens=max_tokens,
        text_dropout=0.0,
    )


def _count(state: Mapping[str, Tensor], stem: str) -> int:
    return len({name[len(stem) + 1 :].split(".")[0] for name in state if name.startswith(stem + ".")})


def _renamed(state: Mapping[str, Tensor], local: int) -> dict[str, Tensor]:
    ours: dict[str, Tensor] = {}
    for name, value in state.items():
        found = BLOCK.match(name)
        if found:
            stem, index, inner, kind = found.groups()
            cross = stem.endswith("cross_att")
            number = int(index) + (local if stem.startswith("trans_head") else 0)
            prefix = f"{'cross' if cross else 'blocks'}.{number}."
            if inner in IN_BLOCK:
                ours[f"{prefix}{IN_BLOCK[inner]}.{kind}"] = value
            elif inner == "attn.query":  # query, key and value are rows of one matrix of ours
                rest = [state[name.replace("query", other)] for other in ("key", "value")]
                if cross:
                    ours[f"{prefix}attention.query.{kind}"] = value
                    ours[f"{prefix}attention.key_value.{kind}"] = torch.cat(rest)
                else:
                    ours[f"{prefix}attention.query_key_value.{kind}"] = torch.cat([value, *rest])
        else:
            stem, _, kind = name.rpartition(".")
            ours[RENAMED.get(name) or f"{RENAMED.get(stem, stem)}.{kind}"] = value
    return ours
