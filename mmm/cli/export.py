"""`mmm export`: a model folder → ONNX files, for programs without torch."""

from __future__ import annotations

import dataclasses
from pathlib import Path


@dataclasses.dataclass
class Export:
    """Write a model as ONNX files, in float32 and in 8 bits, and check them against PyTorch (minutes).

    `mmm export --out onnx`, then `python docs/examples/onnx_without_torch.py onnx "a person bows"`

    onnxruntime runs them from Python, C#, C++, Java and JavaScript; docs/demo is a page that does."""

    out: Path
    """The folder to write; an existing one is replaced."""
    model: Path | None = None
    """Model or run folder, or the name of a shipped model (everyday-small, bandai-small, open-small); by
    default everyday-small."""

    def run(self) -> None:
        from mmm.errors import check_replaceable, require
        from mmm.model import MMM, SHIPPED

        try:
            import onnx  # noqa: F401
            import onnxruntime  # noqa: F401
            import onnxscript  # noqa: F401
        except ImportError as error:
            require(False, f"{error.name} is not installed; pip install -c constraints.txt -e '.[export]'.")
        from mmm.export import MARK, export

        check_replaceable(self.out, MARK)
        found = export(MMM.from_pretrained(self.model or SHIPPED), self.out)
        for name, result in found["checked"].items():
            print(
                f"{name}: of {result['texts']} texts {result['equal_texts']:.0%} have the same tokens as in PyTorch "
                f"({result['equal_tokens']:.1%} of all tokens), logits differ by at most {result['logits']:.1e}, "
                f"joints of the same tokens by {result['joints_mm']:.3f} mm; "
                f"{result['equal_lengths']:.0%} of the estimated lengths are equal"
            )
        size = sum(found["bytes"].values()) / 1e6
        print(f"{self.out}: {len(found['bytes']) + 1} files, {size:.0f} MB")
