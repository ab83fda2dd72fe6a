"""The numbers of README and docs/RESULTS.md are those of the stored results; the table of targets can say no."""

import copy

import pytest

from figures import targets
from figures.blind.score import score, tally
from tests.conftest import ROOT

BANDAI = targets.read("evaluation/bandai-test/results.json")["rows"]
README, RESULTS = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/RESULTS.md"))
ROWS = {
    "real motion": "real",
    "real against real": "real_real",
    "tokenizer's reconstruction": "reconstruction",
    "generated, given length": "given",
    "generated, estimated length": "estimated",
}
MEASURES = "r1 r3 fid fid_halves mm_dist diversity multimodality skating jerk_mean".split()


def test_the_page_shows_the_targets():
    for title, table in targets.tables().items():
        assert targets.as_text(title, table) in RESULTS


@pytest.mark.parametrize(("data", "page"), [("Bandai", README), ("Bandai", RESULTS), ("synthetic", RESULTS)])
def test_a_page_shows_the_evaluation(data, page):
    rows = targets.read(f"evaluation/{data.lower()}-test/results.json")["rows"]
    table = page.split(f"| {data}, test (")[1].split("\n\n")[0].splitlines()[2:]
    assert len(table) == len(rows)
    for line in table:
        label, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        row = rows[ROWS[label]]
        for name, cell in zip(MEASURES, cells, strict=True):
            shown = [float(number) for number in cell.split(" ± ")] if cell else []
            known = [row[name]["mean"], row[name]["half"]] if name in row else []
            digits = 1 if name == "jerk_mean" else 3
            assert shown == [pytest.approx(x, abs=0.501 * 10**-digits) for x in known[: len(shown)]]
            assert bool(shown) == bool(known)


def test_the_pages_show_what_readers_and_oracle_saw():
    everyday, bandai, blind = (
        targets.read(f"{place}/result.json") for place in ("free-text-60", "free-text", "blind")
    )
    for free in (everyday, bandai):
        told = "right | {right} of {of}, and half right {half} | ".format(**free["generated"]["all"])
        for page in (README, RESULTS):
            assert told + "{right} of {of} |".format(**free["real"]["all"]) in page
    others = targets.read("free-text-60-others.json")
    right = {}
    for name in ("bandai-small", "open-small"):
        (reader,) = others[name]["readers"]
        right[name] = reader["marks"].count("right")
        assert right[name] == reader["right"]
    said = (
        "right for {bandai-small} of the earlier 60. open-small, which may be used commercially, is right for "
        "{open-small} "
    )
    assert said.format(**right) in README
    assert (
        "of {of} prompts with a style, the style is seen in none".format(**everyday["generated"]["style"])
        in RESULTS
    )
    assert everyday["generated"]["style"]["right"] == 0
    for group in ("contents 1-10", "contents 11-17"):
        cells = ("{} of {}".format(*blind[kind][group]) for kind in ("generated", "real"))
        assert f" | {' | '.join(cells)} |" in RESULTS
    seen = targets.read("oracle/bandai-small-generated-val.json")["questions"]
    shares = " · ".join(f"{100 * seen[name]['share']:.0f}" for name in "walk run turn raise wave".split())
    assert f"| {shares} % | {sum(row['judged'] for row in seen.values())} clips |" in RESULTS


def test_the_pages_show_how_many_upper_body_edits_are_seen():
    lines = (ROOT / "figures/editing/bandai-val/bodies/results.md").read_text("utf-8").splitlines()
    head, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line)
    found = {row[0]: dict(zip(head, row, strict=True)) for row in rows if len(row) == len(head)}
    edits = [found[f"edited, guidance {guidance}"] for guidance in (1, 2, 4)]
    seen = [round(100 * float(row["done"].split()[0])) for row in edits]
    assert f"finds the requested action in {seen[1]} % of {edits[1]['clips']} such edits" in README
    assert f"are seen in {' · '.join(map(str, seen))} % (guidance 1 · 2 · 4)" in RESULTS


@pytest.mark.parametrize(
    ("row", "measure", "value", "place"),
    [
        ("given", "r1", 0.9, 0),
        ("given", "r3", 0.9, 1),
        ("given", "fid", 0.26, 2),
        ("given", "fid_halves", 4.8, 3),
        ("given", "fid_halves", 13.0, 4),
        ("given", "jerk_mean", 56.0, 5),
        ("given", "jerk_mean", 78.0, 5),
        ("given", "skating", 0.08, 6),
        ("reconstruction", "mpjpe_local", 2.21, 7),
        ("reconstruction", "mpjpe_global", 12.1, 8),
    ],
)
def test_a_measure_across_its_limit_turns_its_verdict(row, measure, value, place):
    rows = copy.deepcopy(BANDAI)
    rows[row][measure]["mean"] = value
    turned = [a[3] != b[3] for a, b in zip(targets.of_bandai(rows), targets.of_bandai(BANDAI), strict=True)]
    assert turned[place]


def test_an_oracle_s_share_is_held_against_its_own_limit():
    def told(**shares):
        return {"attributes": {name: {"share": share, "judged": 100} for name, share in shares.items()}}

    seen = told(action=0.95, side=0.96, count=0.85, direction=0.94)
    unseen = told(action=0.86, side=0.85, count=0.75, direction=0.83)
    verdicts = [row[3] for row in targets.of_synthetic(seen, unseen)]
    assert verdicts == [True, True, False, False, True, True, False, False]


def test_the_guide_says_how_many_composed_actions_are_right():
    page = (ROOT / "docs/USING.md").read_text(encoding="utf-8")
    single, each = (
        targets.read(f"composed/{name}/composed.json") for name in ("one-canvas", "canvas-for-each")
    )
    then, at_once, cut = (
        "{right} of {judged}".format(**found["all"])
        for found in (single["generated"]["then"], single["generated"]["while"], each["generated"]["then"])
    )
    assert f"in {cut} motions" in page and f"them in {then} " in page.replace("\n", " ")
    assert f'("walks while waving") in {at_once}.' in page


def test_the_results_say_how_far_the_default_model_is_from_bandai():
    results = targets.read("evaluation/everyday-bandai-val/results.json")
    rows, classes = results["rows"], results["classes"]
    r1, fid = (
        "{mean:.{0}f} ± {half:.{0}f}".format(n, **rows["given"][m]) for m, n in (("r1", 3), ("fid", 2))
    )
    assert f"R@1 {r1.replace('0.', '.')} and FID {fid.replace(' 0.', ' .')}" in RESULTS
    others = targets.read("evaluation/bandai-val/results.json")["rows"]["given"]
    assert f"has {others['r1']['mean']:.3f} and {others['fid']['mean']:.2f}".replace("0.", ".") in RESULTS
    test = targets.read("evaluation/everyday-bandai-test/results.json")["rows"]
    r1, fid = (
        "{mean:.{0}f} ± {half:.{0}f}".format(n, **test["given"][m]) for m, n in (("r1", 3), ("fid", 2))
    )
    real = f"{test['real']['r1']['mean']:.3f}"
    said = f"it has R@1 {r1} and FID {fid} (real R@1 {real};"
    assert said.replace(" 0.", " .") in RESULTS
    walk, run = (
        [classes[name]["given"]["speed"]["median"], classes[name]["real"]["speed"]]
        for name in ("walk", "run")
    )
    speeds = f"walks is {walk[0]:.2f} m/s, of its runs {run[0]:.2f} (real {walk[1]:.2f}, {run[1]:.2f})"
    assert speeds in RESULTS.replace("\n", " ")
    jerks = (rows[name]["jerk_mean"]["mean"] for name in ("given", "real"))
    assert "jerk {:.0f}, real {:.0f} m/s³".format(*jerks) in RESULTS


def test_the_results_say_what_codebooks_and_candidates_are_worth():
    rows = {
        (row["setting"]["codes"], row["setting"]["width"], row["setting"]["seed"]): row["numbers"]
        for row in targets.read("recipes/codebooks.json")["rows"].values()
    }
    first, last = rows[128, 4, 0], rows[8192, 128, 0]
    assert f"from {first['mpjpe_local']:.2f} to {last['mpjpe_local']:.2f} cm" in RESULTS
    assert f"FID from {first['fid']:.2f} to {last['fid']:.2f}" in RESULTS
    assert f"takes about {last['seconds'] / first['seconds']:.1f} times" in RESULTS.replace("training ", "")
    used = [round(100 - rows[8192, width, 0]["dead"]) for width in (128, 4)]
    assert "On val, {} to {} %".format(*used) in RESULTS
    seeds = [[rows[512, 16, seed][name] for seed in range(3)] for name in ("mpjpe_local", "fid")]
    spread = [f"{max(values) - min(values):.2f}".removeprefix("0") for values in seeds]
    assert f"three seeds ({spread[0]} cm)" in RESULTS and f"spread of seeds (FID {spread[1]})" in RESULTS
    wide = [rows[codes, 32, 0]["fid"] - rows[codes, 128, 0]["fid"] for codes in (128, 512, 2048, 8192)]
    assert min(wide) > 0
    pose = [
        rows[codes, 32, 0]["mpjpe_local"] - rows[codes, 128, 0]["mpjpe_local"]
        for codes in (128, 512, 2048, 8192)
    ]
    assert max(map(abs, pose)) < float(spread[0]) + 0.005
    assert (
        "at two of them by more than the spread" in RESULTS
        and sum(one > float(spread[1]) for one in wide) == 2
    )
    more = [rows[2048, w, 0]["mpjpe_local"] - rows[8192, w, 0]["mpjpe_local"] for w in (16, 32, 128)]
    assert f"by {min(more):.2f} to {max(more):.2f} cm, with 16".replace("0.", ".") in RESULTS
    for kind, counts in targets.read("best_of/results.json")["rows"].items():
        cells = [f"{row['share']:.2f} ± {row['half']:.2f}".replace("0.", ".") for row in counts.values()]
        assert (
            f"({counts['1']['judged']}{' questions' if kind == 'one' else ''}) | {' | '.join(cells)} |"
            in RESULTS
        )


def test_the_results_say_what_readers_see_with_eight_candidates():
    folder = ROOT / "figures" / "best_of" / "blind"
    answers = sorted(folder.glob("answers_*.json"))
    marks = [tally(score(folder, [one]).values())["generated"]["all"]["right"] for one in answers]
    majority = tally(score(folder, answers).values())["generated"]["all"]["right"]
    assert (
        "they count {}, {} and {} of the 60 earlier prompts as right (majority {})".format(*marks, majority)
        in RESULTS
    )


def test_the_pages_say_how_exact_control_is():
    found = targets.read("control/results.json")["all"]
    error, free, jerk = (
        "{:.{n}f} ± {:.{n}f}".format(*found[name], n=n)
        for name, n in (("held error", 2), ("free error", 0), ("change of jerk", 1))
    )
    within = [round(100 * found[f"held {name} within 1 cm"]) for name in ("error", "worst")]
    page = (ROOT / "docs" / "USING.md").read_text(encoding="utf-8")
    assert f"{error} cm from the requested positions ({free} cm without" in page
    assert "below 1 cm in {} motions, the largest in {}".format(*within) in page
    assert f"Jerk rises by {jerk} m/s³" in page


def test_the_results_compare_masked_and_autoregressive_on_test():
    found = targets.read("baselines/test/results.json")
    rows, times = found["rows"], targets.read("baselines/val-other-guidance/results.json")["rows"]
    page = (ROOT / "figures" / "baselines" / "README.md").read_text(encoding="utf-8")
    for name in ("masked", "autoregressive"):
        row, other = rows[name], times[name]
        assert row["guidance"] == other["guidance"]  # chosen on val
        quality = "{r1:.3f} ± {r1_half:.3f} | {fid:.2f} ± {fid_half:.2f}".format(**row).replace("0.", ".")
        assert f"| {name} | {quality} | {other['aits']:.3f} |" in RESULTS
        feet = f"{row['skating']:.3f}".removeprefix("0")
        assert f"| {name} | {feet} | {row['slip']:.0f} | {row['jerk_mean']:.0f} |" in RESULTS
        assert f"| {name} | {row['guidance']:.0f} | {quality} |" in page
    gain = found["differences"]["autoregressive"]
    said = "by {:.3f} ± {:.3f} in R@1 and by {:.2f} ± {:.2f} in FID".format(
        gain["r1"], gain["r1_half"], -gain["fid"], gain["fid_half"]
    )
    assert said.replace("0.", ".") in RESULTS


def test_the_page_of_the_baselines_shows_passes_and_order():
    page = (ROOT / "figures" / "baselines" / "README.md").read_text(encoding="utf-8")
    rows = targets.read("baselines/passes/results.json")["rows"]
    shown = [rows["masked-1"], rows["masked"], *(rows[f"masked-{passes}"] for passes in (10, 24, 49))]
    given = targets.read("baselines/random-order/results.json")["rows"]["given"]
    shown.append({name: given[name]["mean"] for name in ("r1", "fid", "skating", "slip", "jerk_mean")})
    for row in shown:
        cells = "{r1:.3f} | {fid:.2f} | {skating:.3f} | {slip:.0f} | {jerk_mean:.0f} |".format(**row)
        assert cells.replace("0.", ".") in page.replace("0.", ".")
