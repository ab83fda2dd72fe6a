"""The shipped models against the targets that were set for them: `python figures/targets.py`, one second.

Reads figures/evaluation/*/results.json (`mmm evaluate --split test`) and figures/oracle/*.json (`python -m
mmm.lab.oracle`) and prints the tables of the README.
"""

import json
from pathlib import Path

HERE = Path(__file__).parent
ORACLE = {"action": 0.95, "side": 0.97, "count": 0.85, "direction": 0.95}  # speed has no target
REACHED = {True: "reached", False: "**missed**"}


def of_bandai(rows: dict) -> list[tuple[str, str, str, bool]]:
    """What is asked for, the target, what was measured (± 95 % interval over the repeats), whether that reaches it."""
    real, rebuilt, made = rows["real"], rows["reconstruction"], rows["given"]
    floor = rows["real_real"]["fid_halves"]["mean"]

    def told(row: dict, name: str, digits: int = 3) -> str:
        mean, half = row[name]["mean"], row[name]["half"]
        return f"{mean:.{digits}f}" + (f" ± {half:.{digits}f}" if half and half > 10**-digits / 2 else "")

    table = []

    def ask(name: str, target: str, found: str, reached: bool) -> None:
        table.append((name, target, found, bool(reached)))

    for name, label in (("r1", "R@1"), ("r3", "R@3")):
        least = 0.95 * real[name]["mean"]
        ask(label, f"≥ 95 % of real's {told(real, name)}", told(made, name), made[name]["mean"] >= least)
    fid, own = made["fid"]["mean"], rebuilt["fid"]["mean"]
    times = fid / own
    ask(
        "FID",
        f"≤ 1.5 × the reconstruction's {own:.2f}",
        f"{told(made, 'fid', 2)}, {times:.1f} ×",
        times <= 1.5,
    )
    times = made["fid_halves"]["mean"] / rebuilt["fid_halves"]["mean"]
    asked = f"(both in halves: ≤ 1.5 × the reconstruction's {told(rebuilt, 'fid_halves', 2)})"
    ask("FID of halves", asked, f"{told(made, 'fid_halves', 2)}, {times:.2f} ×", times <= 1.5)
    times = made["fid_halves"]["mean"] / floor
    ask("", f"≤ 4 × the real–real floor {floor:.2f}, of halves too", f"{times:.2f} ×", times <= 4)
    times = made["jerk_mean"]["mean"] / real["jerk_mean"]["mean"] - 1
    asked, found = f"within 15 % of real's {told(real, 'jerk_mean', 1)}", told(made, "jerk_mean", 1)
    ask("jerk, m/s³", asked, f"{found}, {100 * times:+.0f} %", abs(times) <= 0.15)
    times = made["skating"]["mean"] / real["skating"]["mean"]
    asked, found = f"≤ 1.3 × real's {told(real, 'skating')}", told(made, "skating")
    ask("foot skating", asked, f"{found}, {times:.3f} ×", times <= 1.3)
    for name, label, most in (("mpjpe_local", "local", 2.2), ("mpjpe_global", "global", 12)):
        error = rebuilt[name]["mean"]
        ask(f"MPJPE {label}, reconstruction", f"≤ {most} cm", f"{error:.2f} cm", error <= most)
    return table


def of_synthetic(seen: dict, unseen: dict) -> list[tuple[str, str, str, bool]]:
    """As `of_bandai`, by the oracle: on test, and on combinations that no training clip shows."""
    table = []
    for name, least in ORACLE.items():
        known, new = seen["attributes"][name], unseen["attributes"][name]
        found, more = (f"{100 * row['share']:.1f} % of {row['judged']}" for row in (known, new))
        table.append((name, f"≥ {100 * least:.0f} %", found, known["share"] >= least))
        asked = f"within 10 points of {100 * known['share']:.1f} %"
        near = new["share"] >= known["share"] - 0.1
        table.append(("… in unseen combinations", asked, more, near))
    return table


def read(place: str) -> dict:
    return json.loads((HERE / place).read_text())


def tables() -> dict[str, list[tuple[str, str, str, bool]]]:
    """By the words over the first column."""
    generated = [read(f"oracle/synthetic-small-{split}.json") for split in ("test", "test_compositional")]
    return {
        "bandai-small on Bandai, test, 20 repeats ± 95 % interval": of_bandai(
            read("evaluation/bandai-test/results.json")["rows"]
        ),
        "synthetic-small, by the oracle": of_synthetic(*generated),
    }


def as_text(title: str, table: list[tuple[str, str, str, bool]]) -> str:
    lines = [f"| {title} | target | measured | |", "| --- | ---: | ---: | --- |"]
    lines += [f"| {name} | {asked} | {found} | {REACHED[reached]} |" for name, asked, found, reached in table]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print("\n".join(as_text(*each) for each in tables().items()))
