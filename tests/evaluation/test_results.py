import json

import pytest
import torch
import yaml
from safetensors.torch import save_file

from mmm.evaluation.actions import MEASURES
from mmm.evaluation.metrics import interval
from mmm.evaluation.results import collect, load_results, published, read_config

FID = (0.5, 0.7, 0.9)


def walks(repeat):
    """A class of real walks of 1.25 m/s, and generated ones that are 0.25 m/s slower, more so in each repeat."""
    real = dict.fromkeys(MEASURES, 1.25)
    given = {name: {"median": 1.0 - 0.25 * repeat, "distance": 0.25 * (1 + repeat)} for name in MEASURES}
    return {"walk": {"clips": 19, "real": real, "given": given}}


def write(folder, repeats=3, data="bandai", evaluator="bandai-12345678", official=False, classes=True):
    """What `evaluate` leaves before the results are collected."""
    protocol = {"split": "val", "repeats": repeats, "seed": 0, "precision": "bf16", "official": official}
    protocol |= {"pool": 32, "multimodality": "one"}
    config = {"protocol": protocol, "model": "m0", "evaluator": evaluator, "data": data, "data_hash": "d0"}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    manifest = {"git_revision": "abc", "device": "cpu", "threads": 2}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "repeats").mkdir()
    for repeat in range(repeats):
        quality = {"r1": 0.25, "r2": 0.5, "r3": 0.75, "mm_dist": 3.0, "diversity": 9.0, "skating": 0.1}
        given = quality | {"fid": FID[repeat]} | ({"multimodality": 1.5} if repeat == 0 else {})
        rows = {
            "real": quality,
            "real_real": {"fid_halves": 0.1},
            "reconstruction": quality | {"fid": 0.25, "mpjpe_local": 4.0},
            "given": given,
        }
        numbers = {"repeat": repeat, "rows": rows, "clips": 244, "seconds": {"total": 10.0}}
        if classes:
            numbers["classes"] = walks(repeat)
        (folder / "repeats" / f"{repeat:03d}.json").write_text(json.dumps(numbers))
        tensors = {"given": torch.full((2, 3), float(repeat))}
        if repeat == 0:
            tensors |= {"real": torch.ones(2, 3), "reconstruction": torch.zeros(2, 3)}
        save_file(tensors, folder / "repeats" / f"{repeat:03d}.safetensors")
    return folder


def cells(table):
    """{row: {column: cell}} of a Markdown table."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.split("\n")]
    assert len({len(line) for line in lines}) == 1, "a row has more or fewer cells than the head"
    assert set(lines[1]) == {"---", "---:"}
    return {line[0]: dict(zip(lines[0][1:], line[1:], strict=True)) for line in lines[2:]}


def test_the_tables_say_what_was_measured(tmp_path):
    results = collect(write(tmp_path))
    quality, physical = cells(results.table()), cells(results.physical_table())
    assert list(quality) == [
        "real motion",
        "real against real",
        "tokenizer's reconstruction",
        "generated, given length",
    ]
    found = interval(FID)
    assert quality["generated, given length"] == {
        "R@1 ↑": "0.250",
        "R@2 ↑": "0.500",
        "R@3 ↑": "0.750",
        "FID ↓": f"0.700 ± {found.half:.3f}",
        "split-half FID ↓": "",
        "MM-Dist ↓": "3.000",
        "Diversity →": "9.000",
        "MultiModality ↑": "1.500",
    }
    assert quality["real against real"]["split-half FID ↓"] == "0.100"
    assert quality["real against real"]["FID ↓"] == quality["real motion"]["FID ↓"] == ""
    assert physical["tokenizer's reconstruction"] == {"foot skating": "0.100", "MPJPE local (cm)": "4.000"}
    assert "real against real" not in physical
    assert results.interval("given", "fid") == found and results.interval("real", "fid") is None


def test_the_report_holds_tables_and_how_they_were_made(tmp_path):
    results = collect(write(tmp_path))
    report = (tmp_path / "results.md").read_text()
    assert report == results.report()
    facts = ("bandai-12345678", "244 clips", "| 30 s |", "abc")
    assert all(text in report for text in (results.table(), results.physical_table(), *facts))
    assert "31 that it does not describe" in report and "(122 clips each)" in report
    assert "AITS" not in report
    times = {"clips": 244, "aits": 0.0364, "one_by_one": 8.9, "text": 1.0, "bulk": 2.0}
    (tmp_path / "timing.json").write_text(json.dumps(times | {"speed_up": 2.97, "speed_up_sampling": 3.95}))
    timed = collect(tmp_path)
    assert timed.table() == results.table()
    assert "| 0.0364 s |" in timed.report() and "| 3.0 × |" in timed.report()


def test_results_are_read_as_they_were_written(tmp_path):
    results = collect(write(tmp_path))
    for path in (tmp_path, tmp_path / "results.json"):
        assert load_results(path) == results
    given = json.loads((tmp_path / "results.json").read_text())["rows"]["given"]
    assert given["fid"]["values"] == list(FID) and given["fid"]["half"] == interval(FID).half
    assert given["multimodality"]["half"] is None  # one value says nothing about its spread
    kept = results.stored(2)
    assert kept["given"][0, 0] == 2 and kept["real"][0, 0] == 1 and kept["reconstruction"][0, 0] == 0
    (tmp_path / "repeats" / "001.safetensors").write_bytes(b"cut")
    with pytest.raises(ValueError, match="001.safetensors is damaged"):
        results.stored(1)
    single = collect(write(tmp_path / "single", repeats=1))
    assert "±" not in single.table() and "no intervals" in single.report()


def test_published_rows_stand_only_beside_guos_evaluator_on_the_papers_data(tmp_path):
    theirs = collect(write(tmp_path / "a", data="humanml3d", evaluator="guo-humanml3d", official=True))
    table = cells(theirs.table())
    assert table["*MMM, given length (published)*"]["FID ↓"] == "0.089"
    assert table["*MoMask (published)*"]["Diversity →"] == ""
    assert "published, another machine)* | 0.081 s" in theirs.report() and "batch mates" in theirs.report()
    for number, (data, evaluator) in enumerate(
        (("humanml3d", "humanml3d-1234"), ("bandai", "guo-humanml3d"))
    ):
        ours = collect(write(tmp_path / str(number), data=data, evaluator=evaluator))
        assert "published" not in ours.report()


def test_actions_by_class_are_means_over_the_repeats(tmp_path):
    results = collect(write(tmp_path))
    table = results.class_table()
    assert "generated, given length" in table and "| walk (19) | 1.25 → 0.75 (0.50) | 1 → 1 (0) |" in table
    assert table in results.report() and results.class_table("estimated") == ""
    kept = json.loads((tmp_path / "results.json").read_text())["classes"]
    assert kept["walk"]["given"]["speed"] == {"median": 0.75, "distance": 0.5}
    # repeats of an evaluation that was started before there were such tables, or of data without classes
    older = collect(write(tmp_path / "older", classes=False))
    assert older.classes == {} and "action class" not in older.report()


@pytest.mark.parametrize("data", ["humanml3d", "kit"])
def test_the_published_tables_are_whole(data):
    table = published(data, "guo")
    assert all(row["r1"] < row["r2"] < row["r3"] < 1 for row in table.values())
    assert all("aits" not in row and "multimodality" not in row for row in [table["real motion"]])
    assert all(row["mm_dist"] > table["real motion"]["mm_dist"] - 0.06 for row in table.values())


def test_what_is_missing_or_damaged_is_named(tmp_path):
    folder = write(tmp_path / "run")
    with pytest.raises(FileNotFoundError, match="results.json"):
        load_results(folder)
    (folder / "repeats" / "001.json").unlink()
    with pytest.raises(FileNotFoundError, match="001.json"):
        collect(folder)
    assert not (folder / "results.json").exists()
    (folder / "repeats" / "001.json").write_text('{"rows": ')
    with pytest.raises(ValueError, match="001.json is not valid JSON"):
        collect(folder)
    (folder / "results.json").write_text('{"step": 3}')
    with pytest.raises(ValueError, match="format None"):
        load_results(folder)
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        collect(tmp_path)
    (tmp_path / "config.yaml").write_text("train: {steps: 3}\n")
    with pytest.raises(ValueError, match="config.yaml"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    ("name", "repeats"), [("bandai-val", 3), ("bandai-test", 20), ("synthetic-test", 20)]
)
def test_stored_results_are_still_read(pytestconfig, name, repeats):
    results = load_results(pytestconfig.rootpath / "figures" / "evaluation" / name)
    assert results.interval("given", "fid").mean > 0
    assert results.table() in results.report()
    assert len(results.timing["seconds"]) == results.config["protocol"]["repeats"] == repeats
