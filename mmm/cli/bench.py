"""`mmm bench`: speed and memory on this machine."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from tyro.conf import UseAppendAction

from mmm.lab.bench.run import PARTS
from mmm.recipes import PresetName

Part = Literal[PARTS]


@dataclasses.dataclass
class Bench:
    """Measure speed and memory on this machine: text to motion by length, training, loading.

    Prints a table and writes all figures with a manifest as JSON. The models have random weights, so this needs no
    other file. On two CPU cores tiny and small take three minutes, paper eight. Let the machine be idle: `mmm bench
    --preset small`, then `mmm bench --table A.json --table B.json` for both as one table.
    """

    preset: PresetName | None = None
    """Sizes of the models and recipe of training; small by default."""
    model: Path | None = None
    """Sample with this model or run folder instead; then nothing is trained."""
    data: Path | None = None
    """Train on the clips of this data folder, and time its packing; by default on made-up clips."""
    device: str = "cpu"
    """cpu, cuda, mps."""
    precision: Literal["auto", "no", "bf16", "fp16"] = "auto"
    """Of training and of generate_bulk, as in `mmm train`; generate computes in float32."""
    text: str = "minilm"
    """Text encoder of the random models: minilm, clip, or the folder of any transformers text model."""
    length: UseAppendAction[tuple[int, ...]] = ()
    """Frames (24 to 196); repeat it for more. By default 40, 80, 120, 160, 196."""
    batch: int = 32
    """Texts that are sampled together, beside one alone."""
    only: UseAppendAction[tuple[Part, ...]] = ()
    """Measure only this part; repeat it for more."""
    out: Path | None = None
    """JSON file to write; runs/bench-NAME-DEVICE.json by default."""
    quick: bool = False
    """Does it work? One minute: tiny by default, one length, two repeats. Not for figures to quote."""
    table: UseAppendAction[tuple[Path, ...]] = ()
    """Measure nothing: print one table of these JSON files; repeat it for more columns."""

    def run(self) -> int:
        from mmm.lab.bench.report import read_results, table

        if self.table:
            print(table([read_results(path) for path in self.table]))
            return 0
        from mmm.lab.bench.run import LENGTHS, BenchSettings, run_bench

        chosen = BenchSettings(
            preset=self.preset or ("tiny" if self.quick else "small"),
            model=str(self.model) if self.model else None,
            data=str(self.data) if self.data else None,
            device=self.device,
            precision=self.precision,
            encoder=self.text,
            lengths=self.length or LENGTHS,
            batch=self.batch,
            only=self.only,
        )
        chosen = chosen.quick() if self.quick else chosen
        out = self.out or Path("runs") / f"bench-{chosen.name}-{chosen.device}.json"
        results = run_bench(chosen, out)
        print(f"{table([results])}\n\n{out}")
        return 1 if results["failed"] else 0
