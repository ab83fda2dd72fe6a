"""The authors' checkpoints → a model folder: the same weights under our names.

The release keeps a tokenizer under "net" and a transformer under "trans", each a torch file of arrays by name
(docs/REPRODUCTION.md). A released transformer also carries the tokenizer that it was trained with. All sizes except
the number of heads are read off the arrays. Mean and Std are in neither file.
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
from mmm.errors import check_replaceable, listed, require
from mmm.model import MMM
from mmm.motion import get_skeleton
from mmm.release.files import plain_arrays, read_torch_file
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
    "that of the original files; those of the authors' release are under CC BY-NC-ND 4.0: no commercial "
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
    "no estimator; give the length of a motion, or run `mmm train length --data DATA --model THIS_FOLDER`."
)
ONLY_EDITS = "not estimated: the model fills in the upper body of an existing motion."


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
        mean_std: folder with the Mean and Std that the weights were trained with. The weights read and write normalised
            features but do not contain them: with others every motion would be wrong.
        heads: of the attention, 16 in the release; the only size that cannot be read off the arrays.
        text: the text encoder it was trained with: "clip", or the folder of a transformers text model.
        data_name: "humanml3d" or "kit"; decides frames per second and skeleton.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is no such checkpoint, would run code, lacks arrays or has unknown ones; tokenizer and
            transformer do not belong together; Mean and Std are missing or of another width; `out` is no model folder.
    """
    check_replaceable(out, "config.json")
    skeleton = get_skeleton(data_name)
    paths = {"net": tokenizer_file and Path(tokenizer_file), "trans": Path(transformer_file)}
    trans, others = _read(paths["trans"], "trans")
    net = carried = {name: value for name, value in trans.items() if name.startswith(CARRIED)}
    if paths["net"]:
        net, others = _read(paths["net"], "net")
        _check_same_codebook(net, carried, paths)
    require(net, f"{paths['trans']} carries no tokenizer; give its checkpoint with --tokenizer.")
    net_path = paths["net"] or paths["trans"]
    tokenizer, prefix, not_used = _tokenizer(net, net_path)
    features = tokenizer.config.features
    require(
        features == skeleton.num_features,
        f"{net_path} is for motions of {features} numbers a frame, but {data_name} has "
        f"{skeleton.num_features}; give --data-name {' or '.join(name for name in TITLES if name != data_name)}.",
    )
    # Divided by Std itself (feature_bias 1): the evaluator's Std contains Guo's bias already.
    tokenizer.set_normalisation(*_statistics(mean_std, others, net, prefix, features, net_path))
    transformer = _transformer(trans, tokenizer, heads, paths["trans"])
    not_used += [name for name in trans if _is_not_used(name)]
    info = {
        "data": TITLES[data_name],
        "licence": LICENCE,
        "fps": skeleton.fps,
        "skeleton": skeleton.name,
        "text_encoder": _text_encoder(text, transformer.config.text_dim),
        "guidance": 1.0,
        "converted_from": {ENTRIES[entry][0]: _identity(path) for entry, path in paths.items() if path},
        "left_aside": not_used,
    }
    model = MMM(tokenizer, transformer, None, info)
    model.save_pretrained(out, torch.float32, _card(model))
    return model


def describe(model: MMM) -> list[str]:
    """The sizes of a model, one line a part, and the arrays of its checkpoints that are not used."""
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
    if net.predicted_parts < net.parts:
        lines.append("it predicts the upper body only: it edits motions, and cannot make one from text alone")
    if not_used := model.info.get("left_aside"):
        lines.append(f"not used: {', '.join(not_used)}")
    return lines


# ---------------------------------------------------------------------- the files


def _read(path: Path, entry: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The arrays of an entry, float32, without the prefix of DataParallel; and all entries of the file."""
    kind, flag = ENTRIES[entry]
    content = read_torch_file(path, REMEDY)
    entries = list(content) if isinstance(content, Mapping) else []
    for other in ENTRIES:
        require(
            entry in entries or other not in entries,
            f"{path} holds a {ENTRIES[other][0]} ({other!r}), expected a {kind} ({entry!r}): give it with "
            f"{ENTRIES[other][1]}, and with {flag} the file of the {kind}.",
        )
    require(
        entry in entries and isinstance(content[entry], Mapping),
        f"{path} has no entry {entry!r} with the arrays of a {kind} (it holds "
        f"{', '.join(map(repr, entries[:6])) or type(content).__name__}); {REMEDY}.",
    )
    arrays = dict(content[entry])
    if all(isinstance(name, str) and name.startswith("module.") for name in arrays):
        arrays = {name.removeprefix("module."): value for name, value in arrays.items()}
    return plain_arrays(arrays, path, REMEDY, _is_not_used), dict(content)


def _is_not_used(name: str) -> bool:
    return bool(UNUSED.match(name)) and not name.startswith(CARRIED)


def _identity(path: Path) -> str:
    """Name and hash of a file, for the model folder."""
    with path.open("rb") as file:
        return f"{path.name} sha256 {hashlib.file_digest(file, 'sha256').hexdigest()[:16]}"


def _check_same_codebook(
    net: Mapping[str, Tensor], carried: Mapping[str, Tensor], paths: Mapping[str, Path | None]
) -> None:
    """The tokens of another tokenizer mean nothing to a transformer."""
    own, other = (
        {".".join(name.split(".")[-2:]): value for name, value in state.items() if name.endswith(".codebook")}
        for state in (net, carried)
    )  # by part: "quantizer.codebook", or "quantizer_upper.codebook" and "quantizer_lower.codebook"
    same = own.keys() == other.keys() and all(torch.equal(own[name], other[name]) for name in own)
    require(
        not other or same,
        f"the codebook in {paths['net']} differs from that of the tokenizer which {paths['trans']} carries: it was "
        "trained with another one; give that one, or leave out --tokenizer to take the one it carries.",
    )


# ---------------------------------------------------------------------- the parts


def _tokenizer(state: Mapping[str, Tensor], path: Path) -> tuple[Tokenizer, str, list[str]]:
    """The tokenizer, the prefix of its names, and the names of arrays that only training uses."""
    try:
        tokenizer = tokenizer_from(state)
    except ValueError as error:
        raise ValueError(f"{path} holds no tokenizer of the authors' release: {error}; {REMEDY}.") from error
    ends = ("encoder.model.0.weight", "encoder_upper.model.0.weight")
    prefix = next(name.removesuffix(end) for end in ends for name in state if name.endswith(end))
    known = {prefix + name for name in (*tokenizer_to(tokenizer), *STATISTICS)}
    rest = [name for name in state if name not in known]
    not_used = [name for name in rest if name.startswith(f"{prefix}quantizer")]  # running sums of the codes
    unknown = [name for name in rest if name not in not_used]
    require(
        not unknown,
        f"{path} has arrays that no tokenizer of the authors' release has: {listed(unknown)}; {REMEDY}.",
    )
    return tokenizer, prefix, not_used


def _transformer(
    state: Mapping[str, Tensor], tokenizer: Tokenizer, heads: int, path: Path
) -> MaskedTransformer:
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
        table.numel() == ours.numel() and torch.allclose(table.reshape_as(ours), ours, atol=1e-3)
    )
    require(same, f"{path} has other positions ({POSITIONS}) than the sinusoids of the release; {REMEDY}.")
    return transformer


def _statistics(
    folder: str | os.PathLike[str] | None,
    entries: Mapping[str, Any],
    state: Mapping[str, Tensor],
    prefix: str,
    width: int,
    path: Path,
) -> tuple[Tensor, Tensor]:
    """Mean and Std: of the folder, else of the checkpoint if it holds them."""
    if folder is not None:
        mean, std = read_mean_std(folder, width, META)
        return torch.from_numpy(mean), torch.from_numpy(std)
    for arrays in (entries, {name: state.get(prefix + name) for name in STATISTICS}):
        if all(isinstance(arrays.get(name), Tensor) for name in STATISTICS):
            found = plain_arrays({name: arrays[name] for name in STATISTICS}, path, REMEDY)
            mean, std = (found[name] for name in STATISTICS)
            if mean.shape == std.shape == (width,) and bool((std > 0).all()):
                return mean, std
    raise ValueError(
        "the checkpoints hold no Mean and Std, but their weights read and write features that were normalised with "
        f"those they were trained with; {META}."
    )


def _text_encoder(text: str, width: int) -> str:
    """The name of the text encoder; only one in a folder is loaded for it."""
    encoder = None if text in WIDTHS else load_text_encoder(text)
    own = encoder.width if encoder else WIDTHS[text]
    require(
        own == width,
        f"the transformer reads texts of width {width}, but the text encoder {text} gives {own}; name with --text "
        "the one it was trained with (clip for the release).",
    )
    return encoder.name if encoder else text


def _card(model: MMM) -> str:
    edits = model.transformer.config.predicted_parts < model.transformer.config.parts
    return CARD.format(
        files=" and ".join(f"`{file}` ({part})" for part, file in model.info["converted_from"].items()),
        lines="\n".join(f"- {line}" for line in describe(model)),
        length=ONLY_EDITS if edits else NO_LENGTH,
        **model.info,
    )
