"""Inputs that no program should write: valid files of this package, mutated. Kind and number give the same input.

`make_base` writes the valid files once. A kind is a function of (rng, base, place): it writes its input to place/in and
returns a `Case`, the arguments of `mmm` to call in `place`. The command may write to out/ and cache/ only.
"""

from __future__ import annotations

import dataclasses
import io
import os
import shutil
import tarfile
import zipfile
from pathlib import Path
from random import Random

import numpy as np
import torch
from made_up import bvh as made_up_bvh
from made_up import clip as made_up_clip
from made_up import release as made_up_release
from safetensors.torch import load_file

from fuzz.mutations import HUGE, NUMBERS, bomb, odd_array, odd_bvh, odd_bytes, odd_json, odd_weights
from mmm.cli import main
from mmm.datasets import synthetic
from mmm.model import MMM
from mmm.text import load_text_encoder
from mmm.transformer import LengthConfig, LengthEstimator

TRAIN = ["--preset", "tiny", "--batch-size", "2", "--precision", "no", "--cpu"]
TAKES = "".join(f"90/90_0{n}.bvh,0.05,1.45,walk,a person moves {n}\n" for n in range(6))
OWN = "file,start,end,caption\n" + TAKES.replace("90/", "").replace("walk,", "")
BAD_NAMES = ["../evil.bvh", "../../../evil.bvh", "a/../../../evil.bvh", "C:\\evil.bvh", "a/" * 3000 + "x.bvh"]
BAD_NAMES += ["x" * 300 + ".bvh", "90_00.bvh/x.bvh", "90/\udcff.bvh", "./", ".bvh", "90/ü\u2028.bvh"]
TEXTS = "|a person walks|一个人挥动左手|🕺|\udcff|</script>|a person walks, then|then then|%s {} $x^2$|#|-x|<b>&amp;"
TEXTS = [
    *TEXTS.split("|"),
    " ",
    "\u200b",
    "\u202eabc",
    "walk\r\nrun",
    "\x1b[31m red \x07",
    "e\u0301" * 300,
    "a" * 20_000,
]
TEXTS += ["walk " * 3000, ", then ".join(["walk"] * 9), *(f"a{mark}b" for mark in "\u2028\u2029\u0085\0")]


@dataclasses.dataclass
class Case:
    """Arguments of `mmm`; a name for the mutation; whether they must be refused; what is done to the process."""

    argv: list[str]
    what: str = ""
    refuse: bool = False
    kills: int = 0  # so many times the process is stopped, then it runs to its end
    disk: int = 0  # kB of the disk that holds out/; 0 for that of the machine


def make_base(base: Path) -> None:
    """Bodies, takes, a data folder, models, the authors' checkpoints and two unfinished trainings, all tiny."""
    base.mkdir()
    for family, joints in made_up_bvh.TREES.items():
        made_up_bvh.write(base / f"{family}.bvh", joints, frames=30)
    for number in range(6):
        options = {"pose": made_up_bvh.ARMS_DOWN, "ends": 0.12, "order": "ZYX", "seed": number}
        made_up_bvh.write(base / f"90_0{number}.bvh", made_up_bvh.DAZ, 32, 20, **options)
        (base / "takes").mkdir(exist_ok=True)
        os.link(base / f"90_0{number}.bvh", base / f"takes/90_0{number}.bvh")
    (base / "captions.csv").write_text(OWN)
    synthetic.prepare(base / "data", clips=20)
    encoder = load_text_encoder(str(made_up_clip.write_clip(base / "clip")))
    vq, net = made_up_release.make_parts()
    info = {
        "fps": 20.0,
        "skeleton": "humanml3d",
        "text_encoder": encoder.name,
        "guidance": 1.0,
        "data": "toy",
    }
    for dtype in ("float32", "float16", "int8"):
        made = MMM(vq, net, LengthEstimator(LengthConfig(16)).eval(), info)
        made.save_pretrained(base / f"model-{dtype}", getattr(torch, dtype))
    made_up_release.write_release(base / "release", vq, net)
    for name in ("tokenizer", "transformer"):
        try:
            main(training(name, base, str(base / name), steps=4))
        except SystemExit as stop:
            assert not stop.code, stop.code


def training(name: str, base: Path, out: str = "out/run", steps: int = 6) -> list[str]:
    """Arguments of a tiny training."""
    argv = [
        "train",
        name,
        *TRAIN,
        "--data",
        f"{base}/data",
        "--out",
        out,
        f"--steps={steps}",
        "--checkpoint-every=2",
    ]
    return argv + (
        ["--tokenizer", f"{base}/tokenizer", "--text", f"{base}/clip"] if name == "transformer" else []
    )


def converting(base: Path, source: str) -> list[str]:
    """Arguments that convert the authors' checkpoints in `source`."""
    parts = [f"--{part}={source}/{part}/net_last.pth" for part in ("tokenizer", "transformer")]
    return ["convert", *parts, f"--mean-std={source}/meta", "--heads=4", f"--text={base}/clip", "--out=out/m"]


def write(path: Path, data: bytes | str) -> None:
    """A new file: what stands there may be a hard link to a file of the base."""
    path.unlink(missing_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8", "surrogateescape"))


def change(rng: Random, path: Path) -> tuple[str, bool]:
    """Change a file as its suffix says; returns the change, and whether it must be refused."""
    if path.suffix == ".safetensors" and load_file(path):
        return odd_weights(rng, path)
    if path.suffix == ".json":
        write(path, odd_json(rng, path.read_text()))
    else:
        write(
            path,
            odd_array(rng, np.load(path)) if path.suffix == ".npy" else odd_bytes(rng, path.read_bytes()),
        )
    return "", False


# ---- the kinds


def bvh(rng: Random, base: Path, place: Path) -> Case:
    source = base / f"{rng.choice(sorted(made_up_bvh.TREES))}.bvh"
    changed, what, refuse = odd_bvh(rng, source.read_text())
    write(place / "in/a.bvh", changed)
    return Case(["import", "in/a.bvh", "--out", f"out/a.{rng.choice(('npy', 'npy', 'bvh'))}"], what, refuse)


def model(rng: Random, base: Path, place: Path) -> Case:
    source = base / f"model-{rng.choice(('float32', 'float16', 'int8'))}"
    folder = shutil.copytree(source, place / "in/m", copy_function=os.link)
    path = rng.choice(sorted(p for p in folder.rglob("*") if p.suffix in (".safetensors", ".json", ".npy")))
    what, refuse = change(rng, path)
    argv = ["generate", "a person walks", "--model", "in/m", "--length", "24", "--out", "out/a.npy"]
    return Case(argv, f"{path.relative_to(folder)} {what}", refuse)


def data(rng: Random, base: Path, place: Path) -> Case:
    """A data folder in which one file is odd, or a user's own takes with an odd table of captions."""
    door = rng.choice(("train", "humanml3d", "union", "import"))
    if door == "import":
        for number in range(6):
            os.link(base / f"90_0{number}.bvh", place / f"in/90_0{number}.bvh")
        odd = OWN.replace("0.05", rng.choice(NUMBERS), 1).encode()
        write(place / "in/c.csv", odd if rng.random() < 0.5 else odd_bytes(rng, OWN.encode()))
        return Case(["import", "in", "--captions", "in/c.csv", "--out", "out/d"], "import: captions")
    folder = shutil.copytree(base / "data", place / "in/d", copy_function=os.link)
    info = folder / "dataset.json"
    if rng.random() < 0.5:
        info.unlink()
    clip = (folder / "train.txt").read_text().split()[0]
    names = [f"new_joint_vecs/{clip}.npy", f"texts/{clip}.txt", "Mean.npy", "Std.npy", "train.txt", "val.txt"]
    path = folder / rng.choice([*names, *["dataset.json"] * 4 * info.exists()])
    if path.suffix == ".txt" and rng.random() < 0.7:
        lines = [f"a#a/X#{a}#{b}" for a in ("1e308", "-1", "nan", "x") for b in ("inf", "1e-9", HUGE)]
        lines += ["../../evil", "/dev/zero", "x" * 300, "\0", "a#b", "####", "\u2028", clip]
        write(path, "\n".join([rng.choice(lines), *path.read_text().split("\n")[1:]]))
    else:
        change(rng, path)
    argv = {
        "union": ["prepare", "union", "--data", "in/d", "--data", f"{base}/data", "--out", "out/d"],
        "humanml3d": ["prepare", "humanml3d", "--source", "in/d", "--out", "out/d"],
        "train": ["train", "tokenizer", *TRAIN, "--data", "in/d", "--steps", "1", "--out", "out/run"],
    }
    return Case(argv[door], f"{door}: {path.relative_to(folder)}")


def archive(rng: Random, base: Path, place: Path) -> Case:
    files = {f"90/90_0{n}.bvh": (base / f"90_0{n}.bvh").read_bytes() for n in range(6)}
    suffix = rng.choice(("zip", "zip", "tar.xz", "tar.gz", "tar"))
    what = rng.choice("bytes bytes bvh name name name many bomb flag flag link link".split())
    suffix = (
        "zip" if what in ("bomb", "flag") else rng.choice(("tar", "tar.xz")) if what == "link" else suffix
    )
    path = place / f"in/a.{suffix}"
    if what == "bvh":
        files["90/90_00.bvh"] = odd_bvh(rng, files["90/90_00.bvh"].decode())[0]
    elif what == "name":
        files[rng.choice([*BAD_NAMES, f"{place}/evil.bvh"])] = files["90/90_00.bvh"]
    elif what == "many":
        files |= {f"{number}.bvh": b"" for number in range(1000)}
    elif what == "bomb":
        bomb(path, "90/90_00.bvh")
    if suffix == "zip" and what != "bomb":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as into:
            for name, content in files.items():
                into.writestr(name.encode(errors="replace").decode(), content)
    elif what != "bomb":
        with tarfile.open(path, f"w:{suffix[4:]}") as into:
            for name, content in files.items():
                about = tarfile.TarInfo(name)
                about.size = len(content)
                into.addfile(about, io.BytesIO(content))
            if what == "link":
                about = tarfile.TarInfo(rng.choice(("x", "90/x.bvh")))
                about.type = rng.choice((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE))
                about.linkname = rng.choice(("..", "../..", "/", "90_00.bvh", "../../../evil", "/etc/passwd"))
                into.addfile(about)
                into.addfile(tarfile.TarInfo("x/evil.bvh"))
    whole = path.read_bytes()
    if what == "bytes":
        write(path, odd_bytes(rng, whole))
    elif what == "flag":  # encrypted, or of a method that nobody knows
        (at, value), here = rng.choice(((6, 1), (8, 99))), whole.find(b"PK\1\2")
        both = bytearray(whole)
        both[at] = both[here + 2 + at] = value
        write(path, bytes(both))
    write(place / "in/c.csv", f"file,start,end,action,caption\n{TAKES}")
    return Case(
        ["prepare", "cmu", "--source", f"in/a.{suffix}", "--captions", "in/c.csv", "--out", "out/d"], what
    )


def checkpoint(rng: Random, base: Path, place: Path) -> Case:
    """The authors' checkpoints for `mmm convert`, or those of an unfinished training."""
    if rng.random() < 0.4:
        name = rng.choice(("tokenizer", "transformer"))
        run = shutil.copytree(base / name, place / "out/run")
        shutil.rmtree(run / "model")
        path = rng.choice(
            sorted(p for p in run.rglob("*") if p.suffix in (".safetensors", ".json", ".jsonl", ".yaml"))
        )
        return Case(training(name, base), f"{path.relative_to(run)} {change(rng, path)[0]}")
    folder = shutil.copytree(base / "release", place / "in/release", copy_function=os.link)
    path = folder / rng.choice(("tokenizer", "transformer")) / "net_last.pth"
    content = torch.load(path, weights_only=True)
    entry = next(iter(content))
    name = rng.choice([*content[entry], *["trans_base.pos_embed.embed"] * 9 * (entry == "trans")])
    array = content[entry][name].float()
    changes = {
        "nan": lambda: array * float("nan"),
        "sparse": lambda: array.to_sparse(),
        "meta": lambda: array.to("meta"),
        "quantized": lambda: torch.quantize_per_tensor(array, 0.1, 0, torch.qint8),
        "expanded": lambda: torch.zeros(1).expand(2**20, 2**20),
        "complex": lambda: array.to(torch.complex64),
        "flat": lambda: array.flatten(),
        "one": lambda: array.flatten()[:1],
        "none": lambda: array.flatten()[:0],
        "text": lambda: rng.choice(("x", None, 3, [1], {"a": array})),
        "empty": lambda: torch.zeros(0, 2**40),
    }
    what = rng.choice([*changes, "int key", "drop", "nested", "old", "bomb", "bytes", "bytes"])
    if what in changes:
        content[entry][name] = changes[what]()
    elif what in ("int key", "drop"):
        del content[entry][name]
        content[entry] |= {rng.choice((7, 1.5, None, ("a",))): array} if what == "int key" else {}
    elif what == "nested":
        for _ in range(150):
            content = {entry: content}
    path.unlink()
    torch.save(content, path, _use_new_zipfile_serialization=what != "old")
    if what == "bytes":
        write(path, odd_bytes(rng, path.read_bytes()))
    elif what == "bomb":
        path.unlink()
        bomb(path, "a/data.pkl")
    return Case(converting(base, "in/release"), f"{entry}: {what} {name}")


def prompt(rng: Random, base: Path, place: Path) -> Case:
    """Odd texts, or an option with an odd value."""
    out = [
        "--model",
        f"{base}/model-float16",
        "--out",
        f"out/a.{rng.choice(('npy', 'gif', 'png', 'html', 'bvh'))}",
    ]
    if rng.random() < 0.5:
        texts = rng.choices(TEXTS, k=rng.choice((1, 1, 1, 2)))
        return Case(["generate", *out, "--length", "24", "--", *texts], ascii(texts)[:60])
    os.link(base / "mixamo.bvh", place / "in/a.bvh")
    commands = {
        "length seed steps guidance temperature device": ["generate", "a person walks", *out],
        "gap seed steps guidance unit up": ["edit", "inbetween", "in/a.bvh", "--gap", "6", "12", *out],
        "length side seed fps": ["edit", "outpaint", "in/a.bvh", "--length", "40", *out],
        "codes window lr batch-size seed steps feature-bias init": training("tokenizer", base, steps=1),
        "lr typos guidance held-out text-dropout drop-edge seed": training("transformer", base, steps=1),
        "seed clips": ["prepare", "synthetic", "--out", "out/d", "--clips", "20"],
        "unit up map fps skip": ["import", "in/a.bvh", "--out", "out/a.npy"],
    }
    options, argv = rng.choice(sorted(commands.items()))
    option, value = (
        rng.choice(options.split()),
        rng.choice([*NUMBERS, "-1", "0", "1", "7", "-0.5", "1e-3", "", "../x"]),
    )
    values = [value, rng.choice(("0", "3", "-4"))] if option == "gap" else [value]
    return Case([*argv, f"--{option}", *values], f"{argv[0]} --{option} {value[:20]}")


def kill(rng: Random, base: Path, place: Path) -> Case:
    """A training or `mmm prepare` that is stopped once or twice and then runs to its end."""
    prepare = ["prepare", "synthetic", "--clips", "20", "--out", "out/d"]
    argv = rng.choice((training("tokenizer", base), training("transformer", base), prepare))
    return Case(argv, " ".join(argv[:2]), kills=rng.choice((1, 1, 2)))


def disk(rng: Random, base: Path, place: Path) -> Case:
    """Any command that writes, on a disk that is too small for what it writes, or nearly."""
    file = f"out/a.{rng.choice(('npy', 'gif', 'mp4', 'png', 'html', 'bvh'))}"
    made = ["--model", f"{base}/model-float16", "--out", file]
    commands = (
        ["generate", "a person walks", "--length", "60", *made],
        ["edit", "inbetween", f"{base}/mixamo.bvh", "--gap", "6", "12", *made],
        ["edit", "outpaint", f"{base}/poser.bvh", "--length", "40", *made],
        ["import", f"{base}/mixamo.bvh", "--out", f"out/a.{rng.choice(('npy', 'bvh'))}"],
        ["import", f"{base}/takes", "--captions", f"{base}/captions.csv", "--out", "out/d"],
        ["prepare", "synthetic", "--clips", "20", "--out", "out/d"],
        training(rng.choice(("tokenizer", "transformer")), base),
        converting(base, f"{base}/release"),
    )
    argv = rng.choice(commands)
    one_file = argv[-1].startswith("out/a.")
    size = rng.choice((4, 16, 40, 100) if one_file else (4, 100, 400, 1000, 3000))
    return Case(argv, f"{' '.join(argv[:2])} {size} kB", disk=size)


KINDS = {kind.__name__: kind for kind in (bvh, model, data, archive, checkpoint, prompt, kill, disk)}
