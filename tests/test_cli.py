import dataclasses
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial

import numpy as np
import pytest
from tqdm import tqdm

from mmm import __version__
from mmm.arguments import MOST_CANDIDATES
from mmm.cli import main, parse
from mmm.cli.ranges import RANGES
from mmm.recipes import PRESETS, RECIPES, TokenizerOptions, TransformerOptions


def run(*args: str) -> int:
    """Exit code of `mmm ARGS`."""
    with pytest.raises(SystemExit) as stop:
        main(list(args))
    return stop.value.code


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("saved") / "model"
    model.save_pretrained(folder)
    return str(folder)


def test_help_teaches(capsys):
    assert run("--help") == 0
    shown = capsys.readouterr().out
    assert all(command in shown for command in ("prepare", "train", "generate", "course"))
    assert run("generate", "--help") == 0
    assert "--guidance" in capsys.readouterr().out


def test_version(capsys):
    assert run("--version") == 0
    assert capsys.readouterr().out == f"mmm {__version__}\n"


def test_help_does_not_wait_for_torch():
    code = "import sys, mmm.cli; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_generate_does_not_load_the_training_loop(saved, tmp_path):
    """Nor does our code load accelerate; the library of the text encoder does."""
    out = tmp_path / "a.npy"
    code = f"""
import sys
import mmm.model
assert "accelerate" not in sys.modules
from mmm.cli import main
try:
    main(["generate", "a person walks forward", "--model", {saved!r}, "--length", "24", "--out", {str(out)!r}])
finally:
    print([name for name in ("mmm.training.loop", "mmm.training.launch", "mmm.fit") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert out.is_file() and done.stdout.splitlines()[-1] == "[]" and not done.stderr


def test_generate_writes_every_output(saved, tmp_path, capsys):
    outs = [tmp_path / f"bow.{suffix}" for suffix in ("npy", "bvh", "html", "png")]
    args = [flag for path in outs for flag in ("--out", str(path))]
    assert run("generate", "a person bows", "--model", saved, "--length", "30", *args) == 0
    assert np.load(outs[0]).shape == (30, 22, 3)
    assert all(path.stat().st_size > 1000 for path in outs)
    assert "sampled in" in capsys.readouterr().out


def test_candidates_are_requested_by_the_command(saved, tmp_path, capsys):
    out = tmp_path / "bow.npy"
    assert run("generate", "a person bows", "--model", saved, "--best-of", "2", "--out", str(out)) == 2
    assert "is shipped, which would choose between candidates" in capsys.readouterr().err
    assert not out.exists() and RANGES["best_of"][1] == MOST_CANDIDATES


def test_feet_are_fixed_where_that_is_requested(tmp_path):
    joints = []
    for flags in ([], ["--fix-feet"]):
        out = str(tmp_path / "a.npy")
        assert (
            run(
                "generate",
                "a person walks",
                "--model",
                "bandai-small",
                "--length",
                "60",
                *flags,
                "--out",
                out,
            )
            == 0
        )
        joints.append(np.load(out))
    changed = (joints[0] != joints[1]).any((0, 2))
    assert changed[[7, 8, 10, 11]].any() and not changed[[0, 1, 2, 12, 20, 21]].any()


def test_a_path_and_a_reach_are_kept(tmp_path):
    out, file = tmp_path / "a.npy", tmp_path / "path.csv"
    plain = ["generate", "a person waves", "--model", "bandai-small", "--length", "40", "--out", str(out)]
    assert run(*plain) == 0
    free = np.load(out)
    (x, _, z), head = free[30, 0] + 0.05, free[20, 15] + [0.05, -0.05, 0.05]
    file.write_text(f"frame,x,z\n30,{x},{z}\n")
    assert run(*plain, "--path", str(file), "--reach", f"head@20:{','.join(map(str, head))}") == 0
    held = np.load(out)
    assert np.abs(held[30, 0, [0, 2]] - [x, z]).max() < 0.01 and np.abs(held[20, 15] - head).max() < 0.01


def test_several_texts_are_numbered_and_repeatable(saved, tmp_path):
    for name in ("a", "b"):
        lengths = ["--length", "24", "--length", "40", "--seed", "4"]
        out = ["--out", str(tmp_path / f"{name}.npy")]
        assert run("generate", "a person bows", "a person walks", "--model", saved, *lengths, *out) == 0
    for number, frames in ((0, 24), (1, 40)):
        one, two = (np.load(tmp_path / f"{name}-{number}.npy") for name in ("a", "b"))
        assert one.shape == (frames, 22, 3) and np.array_equal(one, two)


@pytest.mark.parametrize(
    ("args", "named"),
    [
        ([""], "''"),
        (["walks", "--length", "10"], "10 frames"),
        (["walks", "--length", "500"], "500 frames"),
        (["walks", "--out", "walk.mov"], ".mov"),
        (
            ["a", "person", "walks"],
            '3 texts of one word each; put quotes around a text: mmm generate "a person walks"',
        ),
        (["walks", "--model", "nowhere"], "nowhere"),
        (["walks", "--length", "40", "--reach", "left_hand@5:0,1,0"], "'left_hand' is unknown"),
        (["walks", "--length", "40", "--reach", "head@50:0,1,0"], "frame 50 is outside the motion"),
        (["walks", "--length", "40", "--reach", "head@5"], "JOINT@FRAME:X,Y,Z"),
        (["walks", "--length", "40", "--path", "nowhere.csv"], "nowhere.csv"),
        ([], "text"),
    ],
)
def test_bad_requests_print_one_sentence_and_write_nothing(saved, tmp_path, monkeypatch, capsys, args, named):
    monkeypatch.chdir(tmp_path)
    args = args if "--model" in args else [*args, "--model", saved]
    assert run("generate", *args) == 2
    printed = capsys.readouterr().err
    assert named in printed and "Traceback" not in printed and printed.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("args", "option"),
    [
        ("prepare bandai", "--source is missing"),
        ("prepare cmu", "--source is missing"),
        ("prepare union", "--data is missing"),
        ("prepare humanml3d-cmu --index a --texts b", "--bvh is missing"),
        ("train transformer", "with --tokenizer"),
        ("edit long a person walks", 'mmm edit long "a person walks"'),
    ],
)
def test_a_missing_option_is_named(tmp_path, monkeypatch, capsys, args, option):
    monkeypatch.chdir(tmp_path)
    assert run(*args.split()) == 2
    printed = capsys.readouterr().err
    assert option in printed and printed.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_truncated_model_is_refused(saved, tmp_path, capsys):
    shutil.copytree(saved, tmp_path / "m")
    path = tmp_path / "m" / "transformer" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert run("generate", "walks", "--model", str(tmp_path / "m"), "--out", str(tmp_path / "a.gif")) == 2
    assert "model.safetensors is damaged or cut off" in capsys.readouterr().err
    assert not (tmp_path / "a.gif").exists()


def test_a_truncated_bvh_is_refused(tmp_path, golden, capsys):
    from mmm.bvh.writing import write_bvh

    path = tmp_path / "dataset-1_walk_sad_001.bvh"
    write_bvh(path, golden("features_free")["0/joints"])
    path.write_text(path.read_text()[:-500])
    assert run("prepare", "bandai", "--source", str(tmp_path), "--out", str(tmp_path / "out")) == 2
    assert "dataset-1_walk_sad_001.bvh is cut off" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_training_on_a_folder_without_std_is_refused(toy, tmp_path, capsys):
    shutil.copytree(toy.path, tmp_path / "toy")
    (tmp_path / "toy" / "Std.npy").unlink()
    places = ("--data", str(tmp_path / "toy"), "--out", str(tmp_path / "run"))
    assert run("train", "tokenizer", *places, "--preset", "tiny") == 2
    assert "Std.npy" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


COMMANDS = ("train tokenizer", "train transformer", "train evaluator", "bench")


@pytest.mark.parametrize(("command", "preset"), list(itertools.product(COMMANDS, PRESETS)))
def test_every_command_takes_every_preset(command, preset):
    parsed = parse([*command.split(), "--preset", preset])
    assert getattr(parsed, "part", parsed).preset == preset


@pytest.mark.parametrize(
    ("part", "options"), [("tokenizer", TokenizerOptions), ("transformer", TransformerOptions)]
)
def test_every_option_of_a_recipe_is_a_flag_with_its_values_in_the_help(part, options, capsys):
    assert run("train", part, "--help") == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for field in dataclasses.fields(options):
        assert f"--{field.name.replace('_', '-')} " in shown
    for name in RECIPES:
        assert parse(["train", part, "--recipe", name]).part.recipe == name
    assert "ours: ours; release: authors; paper: authors" in shown and "default: the preset's" in shown


def test_train_tokenizer_then_continue(toy, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    args = ["train", "tokenizer", "--data", str(toy.path), "--out", str(tmp_path / "run"), "--preset", "tiny"]
    args += ["--precision", "no", "--cpu", "--batch-size", "8"]
    assert run(*args, "--steps", "3") == 0
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()
    assert "mpjpe_local" in capsys.readouterr().out
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["step"] == 3
    # 10 steps have a longer warmup than 3, which must not make this another run
    assert run(*args, "--steps", "10") == 0
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["resumed_from"] == 3
    assert run(*args, "--steps", "10", "--lr", "0.5") == 2
    assert "lr" in capsys.readouterr().err


def test_train_transformer_gives_a_model_that_generates(toy, trained, tmp_path, monkeypatch):
    monkeypatch.setenv("MMM_CACHE", str(tmp_path / "cache"))
    args = f"train transformer --data {toy.path} --tokenizer {trained / 'tokenizer'} --out {tmp_path / 'run'}"
    assert run(*args.split(), *"--preset tiny --precision no --cpu --steps 2".split()) == 0
    out = tmp_path / "bow.npy"
    args = ("--model", str(tmp_path / "run"), "--length", "30", "--out", str(out))
    assert run("generate", "she bows", *args) == 0
    assert np.load(out).shape == (30, 22, 3)


@pytest.fixture
def heard():
    """Ctrl-C raises KeyboardInterrupt, which a job in the background ignores."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_that_a_library_turns_into_another_error_is_one_still(capsys, monkeypatch, heard):
    def swallowing(*args):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise TypeError("expected str, not BufferedWriter") from None

    for name in ("parse", "check_options"):  # also before a command runs
        monkeypatch.setattr(f"mmm.cli.{name}", swallowing)
        assert run("prepare", "synthetic") == 130
        assert capsys.readouterr().err == "mmm: interrupted\n"
        monkeypatch.undo()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interruption_that_a_library_swallows_is_repeated_but_not_while_the_command_cleans_up(
    capsys, monkeypatch, heard
):
    cleaned = []

    def swallowing(*args):
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        try:
            time.sleep(60)
        finally:
            time.sleep(1.5)
            cleaned.append(True)

    monkeypatch.setattr("mmm.cli.check_options", swallowing)
    assert run("prepare", "synthetic") == 130
    assert capsys.readouterr().err == "mmm: interrupted by SIGTERM\n" and cleaned == [True]
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_a_message_about_a_name_of_any_length_can_be_read(capsys):
    assert run("generate", "a person walks", "--model", "x" * 9000) == 2
    said = capsys.readouterr().err
    assert "too long" in said and "…" in said and len(said) < 1300


def test_the_last_line_of_an_interrupted_command_is_not_its_progress_bar(capsys, monkeypatch, heard):
    def interrupted(*args):
        bar = tqdm(total=3, desc="clips")
        signal.raise_signal(signal.SIGINT)
        bar.update()

    monkeypatch.setattr("mmm.cli.check_options", interrupted)
    assert run("prepare", "synthetic") == 130
    assert capsys.readouterr().err.splitlines()[-1] == "mmm: interrupted"


@pytest.mark.parametrize("signal_name", ["SIGINT", "SIGTERM"])
def test_an_interrupted_command_says_so_and_leaves_nothing(tmp_path, signal_name):
    command = [
        sys.executable,
        "-m",
        "mmm.cli",
        "prepare",
        "synthetic",
        "--out",
        str(tmp_path / "new" / "data"),
    ]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a job in the background ignores it
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heard)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("new/.data.*.part")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(getattr(signal, signal_name))
    said = process.communicate(timeout=60)[1].splitlines()[-1]
    assert said == ("mmm: interrupted" if signal_name == "SIGINT" else f"mmm: interrupted by {signal_name}")
    assert process.returncode == 130
    assert not list((tmp_path / "new").iterdir())


def test_a_console_that_cannot_show_a_letter_gets_its_number(tmp_path, golden):
    from mmm.bvh.writing import write_bvh

    path, out = tmp_path / "walk.bvh", tmp_path / "walk.npy"
    write_bvh(path, golden("features_free")["0/joints"])
    path.write_text(path.read_text().replace("spine3", "脊柱"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mmm.cli", "import", str(path), "--out", str(out)],
        env=os.environ | {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "1"},
        capture_output=True,
    )
    assert done.returncode == 0 and out.is_file()
    assert rb"\u810a\u67f1" in done.stdout
