"""MiniLM, the default text encoder, as a plain network: BERT with 6 layers of width 384 (arXiv 1810.04805, section 3).

    ids (B, S) → word + position vectors, normed (B, S, E) → layers: attention, MLP, each added and normed → words

The library transformers has the same network, and `mmm.text` loads every other encoder with it. But its import takes
longer than everything else between a text and its motion together. Names of weights are those of its files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from tokenizers import Tokenizer
from torch import Tensor, nn

from mmm.errors import listed, read_json, require, short
from mmm.storage import checked_values, differences, read_tensors

FILES = ("config.json", "tokenizer.json", "model.safetensors")
SIZES = (
    "hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers", "vocab_size",
    "max_position_embeddings", "type_vocab_size",
)  # fmt: skip


class WordPieces:
    """BERT's tokenizer, with the methods of a tokenizer of transformers that `mmm.text` and `mmm.export` call."""

    unk_token, pad_token_id = "[UNK]", 0

    def __init__(self, path: Path) -> None:
        try:
            self.pieces = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing more special
            raise ValueError(f"{path} is damaged ({short(error)}); restore the folder.") from None
        self.pieces.no_padding()
        self.pieces.no_truncation()
        self.vocab = self.pieces.get_vocab()

    def __call__(
        self,
        texts: str | Sequence[str],
        add_special_tokens: bool = True,
        truncation: bool = False,
        max_length: int = 0,
        **_: Any,
    ) -> dict[str, Any]:
        alone = isinstance(texts, str)
        found = self.pieces.encode_batch(
            [texts] if alone else list(texts), add_special_tokens=add_special_tokens
        )
        ids = [one.ids for one in found]
        if truncation:  # the last id is the end of the text
            ids = [own if len(own) <= max_length else own[: max_length - 1] + own[-1:] for own in ids]
        return {"input_ids": ids[0] if alone else ids}

    def convert_ids_to_tokens(self, ids: Sequence[int]) -> list[str]:
        return [self.pieces.id_to_token(one) for one in ids]

    def convert_tokens_to_ids(self, piece: str) -> int:
        return self.vocab[piece]

    def num_special_tokens_to_add(self) -> int:
        return self.pieces.num_special_tokens_to_add(False)


class Layer(nn.Module):
    """Attention and MLP, post-norm, as in the original."""

    def __init__(self, width: int, hidden: int, heads: int, eps: float) -> None:
        super().__init__()
        self.heads = heads

        def out(size: int) -> nn.ModuleDict:
            return nn.ModuleDict({"dense": nn.Linear(size, width), "LayerNorm": nn.LayerNorm(width, eps)})

        own = nn.ModuleDict({name: nn.Linear(width, width) for name in ("query", "key", "value")})
        self.attention = nn.ModuleDict({"self": own, "output": out(width)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, hidden)})
        self.output = out(hidden)

    def forward(self, x: Float[Tensor, "b s e"], mask: Tensor | None) -> Float[Tensor, "b s e"]:
        own = self.attention["self"]
        heads = [
            own[name](x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for name in ("query", "key", "value")
        ]
        y = F.scaled_dot_product_attention(*heads, attn_mask=mask).transpose(1, 2).flatten(2)
        x = self._add(self.attention["output"], y, x)
        return self._add(self.output, F.gelu(self.intermediate["dense"](x)), x)

    @staticmethod
    def _add(out: nn.ModuleDict, y: Tensor, x: Tensor) -> Tensor:
        return out["LayerNorm"](out["dense"](y) + x)


class Bert(nn.Module):
    """Words of ids; sizes are those of config.json."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width, eps = config["hidden_size"], config["layer_norm_eps"]
        tables = {
            "word": "vocab_size",
            "position": "max_position_embeddings",
            "token_type": "type_vocab_size",
        }
        self.embeddings = nn.ModuleDict({"LayerNorm": nn.LayerNorm(width, eps)})
        for name, size in tables.items():  # nn.Embedding would draw numbers, on "meta" with a slow detour
            table = nn.Embedding.from_pretrained(torch.empty(config[size], width))
            self.embeddings[f"{name}_embeddings"] = table
        sizes = (width, config["intermediate_size"], config["num_attention_heads"], eps)
        layers = nn.ModuleList(Layer(*sizes) for _ in range(config["num_hidden_layers"]))
        self.encoder = nn.ModuleDict({"layer": layers})

    def forward(
        self, input_ids: Int64[Tensor, "b s"], attention_mask: Int64[Tensor, "b s"] | None = None
    ) -> SimpleNamespace:
        """Args: attention_mask: 1 at words, 0 at padding; None: there is no padding."""
        own = self.embeddings
        x = own["word_embeddings"](input_ids) + own["token_type_embeddings"](torch.zeros_like(input_ids))
        x = x + own["position_embeddings"](torch.arange(x.shape[1], device=x.device))
        x = own["LayerNorm"](x)
        mask = None if attention_mask is None else attention_mask.bool()[:, None, None]
        for layer in self.encoder["layer"]:
            x = layer(x, mask)
        return SimpleNamespace(last_hidden_state=x)


def load_bert(folder: Path) -> tuple[Bert, WordPieces]:
    """Network and tokenizer of a folder with `FILES`; weights that only other tasks need are left out.

    Raises:
        ValueError: a file is damaged, the weights are not those of the configuration, or it is of another network.
    """
    config = read_json(folder / "config.json", "restore the folder")
    sizes = {name: config.get(name) for name in SIZES}
    wrong = [name for name, size in sizes.items() if not isinstance(size, int) or size < 1]
    require(not wrong, f"{folder / 'config.json'} has no whole number {listed(wrong)}; restore the folder.")
    width, heads = sizes["hidden_size"], sizes["num_attention_heads"]
    require(
        width % heads == 0 and config.get("hidden_act") == "gelu" and "layer_norm_eps" in config,
        f"{folder / 'config.json'} is not that of a MiniLM: width {width}, {heads} heads, {config.get('hidden_act')}; "
        "restore the folder.",
    )
    with torch.device("meta"):  # shapes without numbers: the weights of the file are used as they lie there
        model = Bert(config)
    expected, state = model.state_dict(), read_tensors(folder / "model.safetensors")[0]
    state = {name: state[name] for name in expected.keys() & state.keys()}
    faults = differences(state, expected)
    require(not faults, f"{folder} does not fit its config.json: {faults}; restore the folder.")
    model.load_state_dict(checked_values(state, expected, str(folder)), assign=True)
    return model, WordPieces(folder / "tokenizer.json")
