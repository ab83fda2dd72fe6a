"""The shipped models against the targets that were set for them: `python figures/targets.py`, one second.

Reads figures/evaluation/*/results.json (`mmm evaluate --split test`) and figures/oracle/*.json (`python -m
mmm.lab.oracle`) and prints the tables of docs/RESULTS.md.
"""

import json
from pathlib import Path

from mmm.viz.table import markdown_table

HERE = Path(__file__).parent
ORACLE = {"action": 0.95, "side": 0.97, "count": 0.85, "direction": 0.95}  # speed has no target
Line = tuple[str, str, str, bool]  # metric, target, measured (± 95 % interval over the repeats), reached?


def of_bandai(rows: dict) -> list[Line]:
    """Targets of bandai-small; `rows` as in results.json."""
    real, rebuilt, generated = rows["real"], rows["reconstruction"], rows["given"]

    def text(row: dict, name: str, digits: int = 3) -> str:
        mean, half = row[name]["mean"], row[name]["half"]
        return f"{mean:.{digits}f}" + (f" ± {half:.{digits}f}" if half and half > 10**-digits / 2 else "")

    def ratio(name: str, other: dict) -> float:
        return generated[name]["mean"] / other[name]["mean"]

    def precision(name: str, label: str) -> Line:
        target = f"≥ 95 % of real's {text(real, name)}"
        return label, target, text(generated, name), generated[name]["mean"] >= 0.95 * real[name]["mean"]

    def error(name: str, label: str, most: float) -> Line:
        cm = rebuilt[name]["mean"]
        return f"MPJPE {label}, reconstruction", f"≤ {most} cm", f"{cm:.2f} cm", cm <= most

    fid, halves = ratio("fid", rebuilt), ratio("fid_halves", rebuilt)
    floor = {"fid_halves": rows["real_real"]["fid_halves"]}
    over_floor = ratio("fid_halves", floor)
    jerk, skating = ratio("jerk_mean", real) - 1, ratio("skating", real)
    return [
        precision("r1", "R@1"),
        precision("r3", "R@3"),
        (
            "FID",
            f"≤ 1.5 × the reconstruction's {rebuilt['fid']['mean']:.2f}",
            f"{text(generated, 'fid', 2)}, {fid:.1f} ×",
            fid <= 1.5,
        ),
        (
            "split-half FID",
            f"≤ 1.5 × the reconstruction's {text(rebuilt, 'fid_halves', 2)}",
            f"{text(generated, 'fid_halves', 2)}, {halves:.2f} ×",
            halves <= 1.5,
        ),
        (
            "split-half FID",
            f"≤ 4 × the real–real floor {floor['fid_halves']['mean']:.2f}",
            f"{over_floor:.2f} ×",
            over_floor <= 4,
        ),
        (
            "jerk, m/s³",
            f"within 15 % of real's {text(real, 'jerk_mean', 1)}",
            f"{text(generated, 'jerk_mean', 1)}, {100 * jerk:+.0f} %",
            abs(jerk) <= 0.15,
        ),
        (
            "foot skating",
            f"≤ 1.3 × real's {text(real, 'skating')}",
            f"{text(generated, 'skating')}, {skating:.3f} ×",
            skating <= 1.3,
        ),
        error("mpjpe_local", "local", 2.2),
        error("mpjpe_global", "global", 12),
    ]


def of_synthetic(seen: dict, unseen: dict) -> list[Line]:
    """Targets of synthetic-small by the oracle: on test, and on combinations that no training clip shows."""
    table = []
    for name, least in ORACLE.items():
        known, new = seen["attributes"][name], unseen["attributes"][name]
        cells = [f"{100 * row['share']:.1f} % of {row['judged']}" for row in (known, new)]
        table.append((name, f"≥ {100 * least:.0f} %", cells[0], known["share"] >= least))
        target = f"within 10 points of {100 * known['share']:.1f} %"
        near = new["share"] >= known["share"] - 0.1
        table.append((f"{name}, unseen combinations", target, cells[1], near))
    return table


def read(path: str) -> dict:
    return json.loads((HERE / path).read_text())


def tables() -> dict[str, list[Line]]:
    """Tables by the title of the first column."""
    generated = [read(f"oracle/synthetic-small-{split}.json") for split in ("test", "test_compositional")]
    return {
        "bandai-small on Bandai, test, 20 repeats ± 95 % interval": of_bandai(
            read("evaluation/bandai-test/results.json")["rows"]
        ),
        "synthetic-small, by the oracle": of_synthetic(*generated),
    }


def as_text(title: str, table: list[Line]) -> str:
    rows = [(*cells, "reached" if reached else "**missed**") for *cells, reached in table]
    return markdown_table((title, "target", "measured", ""), rows, "lrrl") + "\n"


if __name__ == "__main__":
    print("\n".join(as_text(*each) for each in tables().items()))
