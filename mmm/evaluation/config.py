"""The settings of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mmm.errors import require

LENGTHS = ("given", "estimated")


@dataclass(frozen=True)
class ProtocolConfig:
    """Settings of `evaluate`; the defaults are the paper's, on the val split.

    Args:
        split: whose clips are captioned, generated and compared.
        repeats: independent repeats, from which the intervals are computed.
        lengths: "given" (the clip's), "estimated" (from the text), or both: one row each.
        multimodality: in "one" repeat, in "all", or "none" (it needs 30 samples of each of its texts).
        multimodality_texts, multimodality_samples, multimodality_pairs: texts (fewer where the split has fewer
            clips), samples of each, pairs of these that are compared.
        diversity_pairs: pairs of motions that are compared.
        pool: motions among which R-precision looks for the right one.
        official: pieces and pools of Guo et al. (see `draws.py`); by default for the paper's data sets only.
        seed: of everything random.
        steps, guidance, temperature: of the sampler; by default the model's own.
        remask: which positions the sampler masks again (`mmm.sampling.REMASKING`).
        batch_size: motions that are sampled, and embedded, together.
        precision: of sampling: "auto" (bf16 if the machine is fast in it), "no" (float32) or "bf16".
        aits: also sample the clips one by one and measure the time.

    Raises:
        ValueError: a setting is out of its range.
    """

    split: str = "val"
    repeats: int = 20
    lengths: tuple[str, ...] = LENGTHS
    multimodality: str = "one"
    multimodality_texts: int = 100
    multimodality_samples: int = 30
    multimodality_pairs: int = 10
    diversity_pairs: int = 300
    pool: int = 32
    official: bool | None = None
    seed: int = 0
    steps: int | None = None
    guidance: float | None = None
    temperature: float = 1.0
    remask: str = "least"
    batch_size: int = 32
    precision: str = "auto"
    aits: bool = True

    def __post_init__(self) -> None:
        for name in (
            "repeats",
            "multimodality_texts",
            "multimodality_pairs",
            "diversity_pairs",
            "batch_size",
        ):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}, expected at least 1.")
        for name, least in (("multimodality_samples", 2), ("pool", 2), ("seed", 0)):
            require(
                getattr(self, name) >= least, f"{name} is {getattr(self, name)}, expected {least} or more."
            )
        require(
            len(self.lengths) > 0 and set(self.lengths) <= set(LENGTHS),
            f"lengths are {', '.join(self.lengths) or 'none'}; expected given, estimated, or both.",
        )
        kinds, precisions = ("one", "all", "none"), ("auto", "no", "bf16")
        require(
            self.multimodality in kinds,
            f"multimodality is {self.multimodality!r}, expected one of {', '.join(kinds)}.",
        )
        require(
            self.precision in precisions,
            f"precision is {self.precision!r}, expected one of {', '.join(precisions)}.",
        )

    def sampler(self) -> dict[str, Any]:
        """Options of the sampler; guidance is the model's own by default."""
        options = {"steps": self.steps, "temperature": self.temperature, "remask": self.remask}
        return options if self.guidance is None else options | {"guidance": self.guidance}
