"""`mmm convert`: the authors' checkpoints → a model folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal


@dataclasses.dataclass
class Convert:
    """Convert the authors' checkpoints to a model folder for generate, edit and evaluate; whole body or upper body.

    `mmm convert --tokenizer vq/net_last.pth --transformer trans/net_last.pth --mean-std t2m/Comp_v6_KLD01/meta --out A`

    Code in a file is never run. The weights stay under the licence of the files (CC BY-NC-ND 4.0 for the authors'):
    use the folder, do not pass it on."""

    transformer: Path
    """Torch file with the entry "trans"."""
    out: Path
    """The model folder to write; an existing one is replaced."""
    tokenizer: Path | None = None
    """Torch file with the entry "net"; by default the tokenizer that the transformer's file carries."""
    mean_std: Path | None = None
    """Folder with the Mean.npy and Std.npy (or mean.npy, std.npy) that the weights were trained with; they are not
    among the weights. For the release those of Guo et al.'s evaluator (t2m.zip, kit.zip), not the data set's."""
    heads: int = 16
    """Heads of the attention, 16 in the release; they cannot be read off the arrays. With another number that divides
    the width the model loads and is wrong."""
    text: str = "clip"
    """Text encoder it was trained with: clip (the release's), or the folder of a transformers text model."""
    data_name: Literal["humanml3d", "kit"] = "humanml3d"
    """Data set it was trained on: frames per second and skeleton."""

    def run(self) -> None:
        from mmm.release.convert import convert, describe

        model = convert(
            self.tokenizer, self.transformer, self.out, self.mean_std, self.heads, self.text, self.data_name
        )
        print("\n".join(describe(model)))
        print(f"model: {self.out}, its weights under the licence of the files they come from")
        if model.transformer.config.predicted_parts < model.transformer.config.parts:
            return
        print(
            "it has no length estimator: give lengths, or train one (minutes): "
            f"mmm train length --data DATA --model {self.out}\n"
            f'try: mmm generate "a person walks" --model {self.out} --length 120 --out walk.gif'
        )
