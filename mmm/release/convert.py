"""The authors' checkpoints → a model folder of ours: the same weights under our names, nothing computed.

The release keeps a tokenizer under "net" and a transformer under "trans", each a torch file of arrays by name
(REPRODUCTION.md). A released transformer also carries the tokenizer that it was trained with. All sizes are read off
the arrays, but for the number of heads; Mean and Std are in neither file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmm.data.reading import read_mean_std
from mmm.errors import check_replaceable, require
from mmm.model import MMM
from mmm.motion import get_skeleton
from mmm.release.files import read_torch_file
from mmm.release.tokenizer import from_release_state as tokenizer_from
from mmm.release.tokenizer import to_release_state as tokenizer_to
from mmm.release.transformer import UNUSED
from mmm.release.transformer import from_release_state as transformer_from
from mmm.text import WIDTHS, load_text_encoder
from mmm.tokenizer import Tokenizer, count_parameters
from mmm.transformer import MaskedTransformer

ENTRIES = {"net": ("tokenizer", "--tokenizer"), "trans": ("transformer", "--transformer")}
CARRIED = "trans_base.vqvae."
POSITIONS = "trans_base.pos_embed.embed"
TITLES = {"humanml3d": "HumanML3D", "kit": "KIT-ML"}
STATISTICS = ("mean", "std")
REMEDY = "give a checkpoint of the authors' release"
META = (
    "give --mean-std FOLDER with Mean.npy and Std.npy (or mean.npy, std.npy): for the release's checkpoints those of "
    "Guo et al.'s evaluator (t2m.zip, kit.zip: Comp_v6_KLD01/meta), not the data set's"
)
LICENCE = (
    "that of the files they were made from; those of the authors' release are under CC BY-NC-ND 4.0: no commercial "
    "use, and a converted copy may not be passed on"
)

CARD = """# {data}: converted checkpoints (MMM)

Made by `mmm convert` from {files}. The same weights under this project's names, in float32; nothing was trained.

{lines}

- **Licence of these weights**: {licence}.
- **Text encoder**: {text_encoder}, frozen, not in this folder. Guidance {guidance:g}: the release has none.
- **Length**: {length}
"""
NO_LENGTH = (
    "no estimator; say how long a motion shall be, or `mmm train length --data DATA --model THIS_FOLDER`."
)
ONLY_EDITS = "not estimated: the model fills in the upper body of a motion that is there."


def convert(
    tokenizer_file: str | os.PathLike[str] | None,
    transformer_file: str | os.PathLike[str],
    out: str | os.PathLike[str],
    mean_std: str | os.PathLike[str] | None = None,
    heads: int = 16,
    text: str = "clip",
    data_name: str = "humanml3d",
) -> MMM:
    """Write the model folder `out` from checkpoints of the authors' release; whole body or upper body.

    Args:
        tokenizer_file: torch file with the entry "net"; None takes the tokenizer that the transformer's file carries.
        transformer_file: torch file with the entry "trans".
        mean_std: folder with the Mean and Std that the weights were trained with. They are not among the weights,
            which read and write normalised features: with others every motion would come out wrong.
        heads: of the attention, 16 in the release; the only size that the arrays do not tell.
        text: the text encoder it was trained with: "clip", or the folder of a transformers text model.
        data_name: "humanml3d" or "kit"; decides frames per second and skeleton.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is no such checkpoint, would run code, lacks or has arrays of others; tokenizer and
            transformer do not belong together; Mean and Std are missing or of another width; `out` is somebody else's.
    """
    check_replaceable(out, "config.json")
    skeleton = get_skeleton(data_name)
    paths = {"net": tokenizer_file and Path(tokenizer_file), "trans": Path(transformer_file)}
    own, beside = _read(paths["trans"], "trans")
    carried = {name: value for name, value in own.items() if name.startswith(CARRIED)}
    if paths["net"]:
        given, beside = _read(paths["net"], "net")
        _check_same_codebook(given, carried, paths)
    else:
        given = carried
        require(given, f"{paths['trans']} carries no tokenizer; give its checkpoint with --tokenizer.")
    tokenizer, prefix, aside = _tokenizer(given, paths["net"] or paths["trans"])
    features = tokenizer.config.features
    require(
        features == skeleton.num_features,
        f"{paths['net'] or paths['trans']} is for motions of {features} numbers a frame, but {data_name} has "
        f"{skeleton.num_features}; give --data-name {' or '.join(name for name in TITLES if name != data_name)}.",
    )
    # Divided by Std as it is (feature_bias 1): the evaluator's Std has Guo's bias in it already.
    tokenizer.set_normalisation(*_statistics(mean_std, beside, given, prefix, features))
    transformer, unused = _transformer(own, tokenizer, heads, paths["trans"])
    info = {
        "data": TITLES[data_name],
        "licence": LICENCE,
        "fps": skeleton.fps,
        "skeleton": skeleton.name,
        "text_encoder": _text_encoder(text, transformer.config.text_dim),
        "guidance": 1.0,
        "converted_from": {ENTRIES[entry][0]: _identity(path) for entry, path in paths.items() if path},
        "left_aside": [*aside, *unused],
    }
    model = MMM(tokenizer, transformer, None, info)
    model.save_pretrained(out, torch.float32, _card(model))
    return model


def describe(model: MMM) -> list[str]:
    """The sizes of a model, one line a part, and what of its checkpoints was left aside."""
    vq, net = model.tokenizer.config, model.transformer.config
    counts, bodies = model.count_parameters(), ("whole body", "upper and lower body")
    codes = f"{vq.codes} codes of width {vq.code_dim // vq.parts}" + (" for each" if vq.parts == 2 else "")
    lines = [
        f"tokenizer: {bodies[vq.parts - 1]}, {vq.features} numbers a frame, width {vq.width}, {codes}, "
        f"{count_parameters(model.tokenizer)['network'] / 1e6:.2f} M parameters and the codebook",
        f"transformer: width {net.dim}, {net.cross_layers} + {net.layers} layers, {net.heads} heads, texts of width "
        f"{net.text_dim}, at most {net.max_tokens} tokens ({model.max_frames} frames), "
        f"{counts['transformer'] / 1e6:.2f} M parameters",
    ]
    if net.predicted < net.parts:
        lines.append("it predicts the upper body only: it edits motions, and cannot make one from text alone")
    aside = model.info.get("left_aside", [])
    return [*lines, *([f"left aside, since nothing uses it: {', '.join(aside)}"] if aside else [])]


# ---------------------------------------------------------------------- the files


def _read(path: Path, entry: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The arrays of an entry, float32, without the prefix of DataParallel; and what else the file holds."""
    kind, flag = ENTRIES[entry]
    found = read_torch_file(path, REMEDY)
    entries = list(found) if isinstance(found, Mapping) else []
    for other in ENTRIES:
        require(
            entry in entries or other not in entries,
            f"{path} holds a {ENTRIES[other][0]} ({other!r}), expected a {kind} ({entry!r}): give it with "
            f"{ENTRIES[other][1]}, and with {flag} the file of the {kind}.",
        )
    require(
        entry in entries and isinstance(found[entry], Mapping),
        f"{path} has no entry {entry!r} with the arrays of a {kind} (it holds "
        f"{', '.join(map(repr, entries[:6])) or type(found).__name__}); {REMEDY}.",
    )
    arrays = dict(found[entry])
    if all(isinstance(name, str) and name.startswith("module.") for name in arrays):
        arrays = {name.removeprefix("module."): value for name, value in arrays.items()}
    bad = [
        str(name)
        for name, value in arrays.items()
        if not isinstance(value, Tensor) or not _is_sound(name, value)
    ]
    require(not bad, f"{path} holds no arrays of finite numbers under {_some(bad)}; {REMEDY}.")
    return {name: value.float() for name, value in arrays.items()}, dict(found)


def _is_sound(name: str, value: Tensor) -> bool:
    return bool(UNUSED.match(name)) and not name.startswith(CARRIED) or bool(value.isfinite().all())


def _identity(path: Path) -> str:
    """Name and hash of a file: a model folder says which checkpoint it was made from."""
    with path.open("rb") as file:
        return f"{path.name} sha256 {hashlib.file_digest(file, 'sha256').hexdigest()[:16]}"


def _some(names: list[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _codebooks(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """By part: "quantizer.codebook", or "quantizer_upper.codebook" and "quantizer_lower.codebook"."""
    return {
        ".".join(name.split(".")[-2:]): value for name, value in state.items() if name.endswith(".codebook")
    }


def _check_same_codebook(
    given: Mapping[str, Tensor], carried: Mapping[str, Tensor], paths: Mapping[str, Path | None]
) -> None:
    """Tokens mean nothing to a transformer that was trained on those of another tokenizer."""
    ours, theirs = _codebooks(given), _codebooks(carried)
    same = ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    require(
        not theirs or same,
        f"the codebook in {paths['net']} differs from that of the tokenizer which {paths['trans']} carries: it was "
        "trained with another one; give that one, or leave out --tokenizer to take the one it carries.",
    )


# ---------------------------------------------------------------------- the parts


def _tokenizer(state: Mapping[str, Tensor], path: Path) -> tuple[Tokenizer, str, list[str]]:
    """The tokenizer, the prefix of its names, and the names of arrays that only training needs."""
    try:
        tokenizer = tokenizer_from(state)
    except ValueError as error:
        raise ValueError(f"{path} holds no tokenizer of the authors' release: {error}; {REMEDY}.") from error
    ends = ("encoder.model.0.weight", "encoder_upper.model.0.weight")
    prefix = next(name.removesuffix(end) for end in ends for name in state if name.endswith(end))
    known = {prefix + name for name in (*tokenizer_to(tokenizer), *STATISTICS)}
    rest = [name for name in state if name not in known]
    aside = [name for name in rest if name.startswith(f"{prefix}quantizer")]  # running sums of the codes
    unknown = [name for name in rest if name not in aside]
    require(
        not unknown,
        f"{path} has arrays that no tokenizer of the authors' release has, so that it is another network: "
        f"{_some(unknown)}; {REMEDY}.",
    )
    return tokenizer, prefix, aside


def _transformer(
    state: Mapping[str, Tensor], tokenizer: Tokenizer, heads: int, path: Path
) -> tuple[MaskedTransformer, list[str]]:
    """The transformer, and the names of arrays that it carries and does not use (but for the tokenizer's)."""
    embed = state.get("trans_base.to_emb.weight")
    width = 0 if embed is None else len(embed)
    require(
        heads > 0 and width % heads == 0,
        f"--heads is {heads}, which does not divide the transformer's width {width}; the release has 16 heads.",
    )
    try:
        _, transformer = transformer_from(state, tokenizer.codebook.detach(), heads)
    except ValueError as error:
        raise ValueError(f"{path} does not fit: {error}; {REMEDY}.") from error
    table, ours = state.get(POSITIONS), transformer.positions
    same = table is None or (
        table.numel() == ours.numel() and torch.allclose(table.view_as(ours), ours, atol=1e-3)
    )
    require(same, f"{path} has other positions ({POSITIONS}) than the sinusoids of the release; {REMEDY}.")
    return transformer, [name for name in state if UNUSED.match(name) and not name.startswith(CARRIED)]


def _statistics(
    folder: str | os.PathLike[str] | None,
    beside: Mapping[str, Any],
    state: Mapping[str, Tensor],
    prefix: str,
    width: int,
) -> tuple[Tensor, Tensor]:
    """Mean and Std: of the folder, else of the checkpoint if it holds them."""
    if folder is not None:
        mean, std = read_mean_std(folder, width, META)
        return torch.from_numpy(mean), torch.from_numpy(std)
    for place in (beside, {name: state.get(prefix + name) for name in STATISTICS}):
        found = [torch.as_tensor(place[name]).float() for name in STATISTICS if place.get(name) is not None]
        if len(found) == 2 and all(each.shape == (width,) for each in found):
            return found[0], found[1]
    raise ValueError(
        "the checkpoints hold no Mean and Std, but their weights read and write features that were normalised with "
        f"those they were trained with; {META}."
    )


def _text_encoder(text: str, width: int) -> str:
    """The name of the text encoder; its own weights are only looked at if they lie in a folder."""
    known = WIDTHS.get(text)
    encoder = None if known else load_text_encoder(text)
    found = encoder.width if encoder else known
    require(
        found == width,
        f"the transformer reads texts of width {width}, but the text encoder {text} gives {found}; name with --text "
        "the one it was trained with (clip for the release).",
    )
    return encoder.name if encoder else text


def _card(model: MMM) -> str:
    edits = model.transformer.config.predicted < model.transformer.config.parts
    return CARD.format(
        files=" and ".join(f"`{file}` ({part})" for part, file in model.info["converted_from"].items()),
        lines="\n".join(f"- {line}" for line in describe(model)),
        length=ONLY_EDITS if edits else NO_LENGTH,
        **model.info,
    )
