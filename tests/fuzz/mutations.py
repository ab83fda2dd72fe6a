"""Mutations of bytes, JSON texts, arrays, weights and BVH files. All randomness comes from the given `Random`."""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
import zlib
from pathlib import Path
from random import Random

import numpy as np
import torch
from safetensors.torch import load_file, save_file

HUGE = "9" * 400
NUMBERS = [
    *"nan inf -inf 1e300 -1e300 1e36 1e20 5e-324 1e-320 -1 0 1e9 1,5 0x10 --5 1.2.3 ٣ 1.0-2.0 x".split(),
    HUGE,
]
ODD = "40 -90 1000 720 -0 1e3 5000 1e5 123456 .5 +7 1E2".split()  # numbers that may stand in a BVH file
TIMES = "0 -1 5e-324 1e-300 1e-9 0.0009 1.1 24 30 100 1000 2001 1e9 1e300 inf nan 1/30".split()
RAW = [  # values of JSON
    *"null true -1 0 1 2 1.5 1e308 1e999 NaN -Infinity [] {} [1] [[]] 65536 1000000 2147483648 1e18".split(),
    *('""', '"x"', '"16"', '"../../evil"', '"/dev/zero"', '{"a": 1}', HUGE, str(2**63), f'"{"x" * 60_000}"'),
    "[" * 100_000 + "]" * 100_000,
]
_NUMBER = r"(?<=[ \n])-?\d+\.\d+(?=[ \n])"
_DEEP = {n: "JOINT j\n{\nOFFSET 0 1 0\nCHANNELS 0\n" * n + "}\n" * n for n in (900, 3000, 12_000)}
BVH = {  # name: a pattern, what one of its matches becomes, whether the file must be refused then
    "number": (_NUMBER, NUMBERS + ODD, False),
    "other number": (_NUMBER, ODD, False),
    "time": (r"(?<=Frame Time: ).*", TIMES, True),
    "frames": (r"(?<=Frames: ).*", [*"0 -1 29 31 1000000000 x".split(), HUGE], False),
    "lost line": (r".*\n", [""], False),
    "double line": (r".*\n", [r"\g<0>\g<0>"], False),
    "lost brace": (r"[{}]", [""], True),
    "moved brace": (r"\}(\s*JOINT \S+\s*\{)", [r"\1}"], True),
    "lost End Site": (r".*End Site\n", [""], True),
    "joint in End Site": (r"End Site\s*\{", [r"\g<0>\nJOINT a\n{\nOFFSET 0 0 0\nCHANNELS 0\n}"], True),
    "unknown word": (r"JOINT|ROOT|CHANNELS|OFFSET|HIERARCHY|Frames", ["JOIMT"], True),
    "repeated channel": (r"(?<=Zrotation )[XY]rotation", ["Zrotation"], True),
    "channel count": (r"(?<=CHANNELS )\d", [*NUMBERS, "2", "4"], False),
    "name": (
        r"JOINT \S+",
        [r"\g<0>" + tail for tail in ("x" * 60_000, "\0", "é", " a b", "/end", "")],
        False,
    ),
    "same name": (r"(JOINT )(\S+)((?:.|\n)*?JOINT )\S+", [r"\1\2\3\2"], False),
    "deep": (r"End Site", [f"{joints}End Site" for joints in _DEEP.values()], False),
    "second root": (r"MOTION", ["ROOT b\n{\nOFFSET 0 0 0\nCHANNELS 0\n}\nMOTION"], True),
    "tail": (r"\Z", ["\x1a", "\0" * 9, "1 2 3", "}", "\nMOTION"], False),
    "glued": (r"(?<=\d) -", ["-"], False),
    "comma": (r"(?<=\d)\.(?=\d)", [","], False),
    "line end": (r"\n", ["\r", "\n\n", "\u2028", "\v", " ", ""], False),
}
WHOLE = {  # the same for all matches at once
    "no size": (r"OFFSET.*", ["OFFSET 0 0 0"], True),
    "commas": (r"(?<=\d)\.(?=\d)", [","], False),
    "line ends": (r"\n", ["\r\n", "\r", "\n\n", "\u2028"], False),
}


def odd_bytes(rng: Random, data: bytes) -> bytes:
    at, size = rng.randrange(len(data) + 1), rng.choice((1, 1, 4, 64, 1000))
    before, here, after = data[:at], data[at : at + size], data[at + size :]
    odd = (before + rng.randbytes(size) + after, before, before + after, before + bytes(size) + here + after)
    return rng.choice((*odd, before + here * 3 + after, rng.choice((b"", rng.randbytes(200)))))


def odd_json(rng: Random, text: str) -> str:
    """A JSON text in which one value or name is another, or that is no object, or no JSON at all."""
    content, choice = json.loads(text), rng.random()
    if choice < 0.1:
        damaged = odd_bytes(rng, text.encode()).decode("latin1")
        return rng.choice((rng.choice(RAW), damaged, text + "}", "\ufeff" + text))
    inner = content
    while True:
        key = rng.choice(sorted(inner) if isinstance(inner, dict) else range(len(inner)))
        if not isinstance(inner[key], dict | list) or not inner[key] or rng.random() < 0.3:
            break
        inner = inner[key]
    if choice < 0.2 and isinstance(inner, dict):
        inner |= {f"{key}x": inner.pop(key)} if rng.random() < 0.5 else {}
        inner.pop(key, None)
        return json.dumps(content)
    inner[key] = "@odd@"
    return json.dumps(content).replace('"@odd@"', rng.choice(RAW))


def odd_array(rng: Random, values: np.ndarray) -> bytes:
    """A .npy file: other numbers, types and shapes, or a header that is not true."""
    values, file = values.copy(), io.BytesIO()
    types = dict(int=np.int64, bool=bool, half=np.float16, complex=complex, object=object, text="U9")
    shapes = {"flat": values.ravel(), "turned": values.T[..., None], "none": values[:0], "zeros": values * 0}
    headers = {"huge": f"({10**11}, 263)", "lie": rng.choice(("(-1, 263)", "(3,)", "()", "(" * 50))}
    choice = rng.choice(["nan", "inf", "1e38", "bytes", *types, *shapes, *headers])
    if choice in ("nan", "inf", "1e38"):
        values.flat[rng.randrange(values.size)] = float(choice)
    values = values.astype(types[choice]) if choice in types else shapes.get(choice, values)
    np.save(file, values, allow_pickle=True)
    data = file.getvalue()
    if choice in headers:
        header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {headers[choice]}}}".ljust(117) + "\n"
        return data[:8] + struct.pack("<H", len(header)) + header.encode() + data[128:]
    return odd_bytes(rng, data) if choice == "bytes" else data


def odd_weights(rng: Random, path: Path) -> tuple[str, bool]:
    """Change a safetensors file; returns the change, and whether it must be refused."""
    state, whole = load_file(path), path.read_bytes()
    name = rng.choice(sorted(state))
    value, choice = (
        state[name].clone(),
        rng.choice("nan inf dtype drop extra shape header header bytes".split()),
    )
    path.unlink()  # it may be a hard link
    if choice in ("bytes", "header"):
        size = struct.unpack("<Q", whole[:8])[0]
        header = odd_json(rng, whole[8 : 8 + size].decode()).encode()
        path.write_bytes(
            odd_bytes(rng, whole)
            if choice == "bytes"
            else struct.pack("<Q", len(header)) + header + whole[8 + size :]
        )
        return choice, False
    number = choice in ("nan", "inf")
    if number and value.is_floating_point():
        value.view(-1)[rng.randrange(value.numel())] = float(choice)
    values = {
        "dtype": lambda: value.to(rng.choice([t for t in (torch.int64, torch.bool) if t != value.dtype])),
        "shape": lambda: value.flatten()[:-1],
    }
    state[name] = values.get(choice, lambda: value)()
    if choice == "drop":
        del state[name]
    save_file(state | ({"extra": torch.zeros(3)} if choice == "extra" else {}), path)
    return f"{choice} {name}", not number or value.is_floating_point()


def odd_bvh(rng: Random, text: str) -> tuple[bytes, str, bool]:
    """A mutated file, what was done, and whether it must be refused."""
    names, before = rng.choices([*BVH, *WHOLE], k=rng.choice((1, 1, 1, 2, 3))), text
    for name in names:
        pattern, ways, _ = (BVH | WHOLE)[name]
        found, way = list(re.finditer(pattern, text)), rng.choice(ways)
        if name in WHOLE:
            text = re.sub(pattern, way, text)
        elif found:
            match = rng.choice(found)
            text = text[: match.start()] + match.expand(way) + text[match.end() :]
    refuse = len(names) == 1 and (BVH | WHOLE)[names[0]][2] and text != before  # a pattern may match nothing
    data = text.encode(rng.choice(("utf-8",) * 8 + ("utf-16", "utf-8-sig")))
    if rng.random() < 0.1:
        data, refuse, names = odd_bytes(rng, data), False, [*names, "bytes"]
    return data, " + ".join(names), refuse


def bomb(path: Path, name: str) -> None:
    """A zip of 4 MB with a file of 4 GB, all zeros."""
    press = zlib.compressobj(9, wbits=-15)
    once = press.compress(bytes(10**7)) + press.flush(zlib.Z_FULL_FLUSH)
    packed = once * 400 + press.flush()
    about = zipfile.ZipInfo(name)
    about.compress_type, about.file_size, about.compress_size = zipfile.ZIP_DEFLATED, 400 * 10**7, len(packed)
    about.CRC, about.header_offset = 1, 0
    with zipfile.ZipFile(path, "w") as into:
        into.fp.write(about.FileHeader() + packed)
        into.filelist.append(about)
        into.start_dir, into._didModify = into.fp.tell(), True
