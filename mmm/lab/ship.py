"""From a training run to a model folder that is shipped: small files, evaluated as they are stored, and their card.

    python -m mmm.lab.ship --run runs/small --data data/bandai --out data/pretrained/bandai-small

The run is what `mmm train` or the notebooks write: RUN/tokenizer (or a link to the model whose tokenizer was used) and
RUN/model_run. Without --run, the model folder
in --out gets a smaller transformer: 8 bits. The tokenizer, and so every code, stays as it is.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any, Literal

import torch
import tyro
import yaml

from mmm.data import MotionFolder
from mmm.errors import atomic_dir, require
from mmm.model import MMM
from mmm.pretrained import load_tokenizer
from mmm.tokenizer.train import evaluate_tokenizer
from mmm.transformer.tokens import make_token_set
from mmm.transformer.train import evaluate_length, evaluate_transformer

FOLDERS = {"tokenizer": "tokenizer", "transformer": "model_run/transformer", "length": "model_run/length"}
EIGHT_BITS = "8 bits with a scale for each row of a layer's weights"
LIMIT = 14e6  # bytes of weights of a model that is shipped

CARD = """# {name}

Text to 3D human motion (22 joints, 20 frames per second, 24 to 196 frames), masked modelling of motion tokens after
*MMM: Generative Masked Motion Model* (CVPR 2024, arXiv 2312.03596), trained by this project's own code.

- **Data**: {source} ({licence}){made}; content hash {data_hash}. Captions written by this project.
- **Licence of these weights: {licence}**, as the data{terms}.
- **Text encoder**: {text_encoder}, frozen, not in this folder.
- **Size**: {counts}; {megabytes:.1f} MB in {stored}.
- **Made by** `mmm train tokenizer` ({tokenizer_steps} steps), `mmm train transformer` ({transformer_steps} steps) and
  `python -m mmm.lab.ship`, which computed the figures below on these files. Settings and versions: `training.json`.

| on the val split ({val} clips, never trained on) | |
| --- | ---: |
| MPJPE local, whole clips through the tokenizer and back | {mpjpe_local:.2f} cm |
| MPJPE global | {mpjpe_global:.1f} cm |
| MPJPE global: ratio that is due to turning | {turn_share:.0%} |
| codes in use | {usage:.0%} of {codes} |
| perplexity of the codes | {perplexity:.0f} |
| transformer: accuracy on masked positions | {accuracy_masked:.1%} |
| transformer: loss over all positions | {loss:.3f} nats |
| length estimator: mean error of the median | {error_tokens:.1f} tokens of 4 frames |

{by_source}{abilities}
"""
ABILITIES = {
    "bandai": """What it can: walk, run, dash, turn, wave, raise the hands, bow, show the way, in the styles of the
data. What it cannot: anything the data do not show (sitting, jumping, dancing at length), two actions one after the
other.""",
    "bandai-cmu-synthetic": """What its data show: walk, run, turn, go backwards and sideways, wave, raise the hands,
bow and show the way, in the styles of Bandai-Namco's data; sit down, get up, jump, drink, reach, laugh, box, exercise,
climb steps and ladders, kick, dribble and dance, as CMU's 19 minutes show it; two actions one after the other, and
arms beside legs. What it cannot: hands, faces and objects, two people, actions that the data do not show (it says so
and names the nearest caption that it knows), three or more actions in one canvas (`generate_long`).""",
    "cmu-synthetic": """What it can: what CMU's 19 minutes show (walk, run, sit down, get up, jump, drink, reach,
laugh, box, exercise, climb steps and ladders, kick, dribble, dance) and the choreographer's actions, one after the
other and arms beside legs. Free for any use; CMU asks to be acknowledged. What it cannot: styles, bows and waves as
people do them (it knows these from the choreographer alone), hands, faces and objects, two people.""",
    "synthetic": """What it can: the nineteen actions of the choreographer, one after another and arms beside legs, with
side, count, direction and speed. It moves as the choreographer does, not as people do: for experiments whose ground
truth is known.""",
}


def ship(run: Path, data: Path, out: Path, bits: Literal[8, 16] = 16) -> dict[str, float]:
    """Write the model folder `out`, whole or not at all, and return its evaluation.

    Args:
        bits: 16 (float16), or 8 (the weights of layers; see `mmm.storage.save_module`).
    Raises:
        FileNotFoundError: the run is not complete.
        ValueError: the data have other splits than the run's, the weights exceed 14 MB, `out` is no model folder.
    """
    folder, trained = MotionFolder.open(data), MMM.from_pretrained(run / "model_run")
    # Its decoders may have been trained further, with the same codes.
    tokenizer = load_tokenizer(run / FOLDERS["tokenizer"])
    model = MMM(tokenizer, trained.transformer, trained.length, trained.info, known=trained.known)
    training = {name: _history(run / path, name) for name, path in FOLDERS.items()}
    splits = model.info.get("splits_hash", folder.splits_hash)
    _require_same_splits(splits, folder, run)
    model.info |= {
        "data_hash": folder.content_hash,
        "splits_hash": folder.splits_hash,
        "source_splits": folder.source_splits,
    }
    with atomic_dir(out, mark="config.json") as part:
        model.save_pretrained(part, torch.float16 if bits == 16 else torch.int8)
        (part / "training.json").write_text(json.dumps(training, indent=1))
        return _describe(part, out.name, folder, "float16" if bits == 16 else EIGHT_BITS)


def repack(out: Path, data: Path) -> dict[str, float]:
    """Store transformer and length estimator of the model folder `out` in 8 bits, and evaluate it again.

    The tokenizer stays as it is: codes and reconstructions do not change.

    Raises:
        FileNotFoundError, ValueError: no model folder that `ship` wrote; data of other splits.
    """
    folder, model = MotionFolder.open(data), MMM.from_pretrained(out)
    _require_same_splits(model.info.get("splits_hash"), folder, out)
    with atomic_dir(out, mark="config.json") as part:
        shutil.copytree(out, part, dirs_exist_ok=True)
        for name, module in (("transformer", model.transformer), ("length", model.length)):
            module.save_pretrained(part / name, torch.int8)
        return _describe(part, out.name, folder, f"float16 (tokenizer) and {EIGHT_BITS}")


def _require_same_splits(splits: str | None, folder: MotionFolder, model: Path) -> None:
    require(
        splits == folder.splits_hash,
        f"the model in {model} was trained on other splits ({splits}) than {folder.path} has "
        f"({folder.splits_hash}), so clips of val may have been trained on; give the folder it was trained on.",
    )


def _history(run: Path, part: str) -> dict[str, Any]:
    """Settings and facts of the training of a part, and under "init" those of what it continued, in place of its path.

    Args:
        run: folder of the training, a model folder that `ship` wrote, or this part in it.
    """
    for shipped in (run / "training.json", run.parent / "training.json"):
        if shipped.is_file():
            return json.loads(shipped.read_text())[part]
    manifest = json.loads((run / "manifest.json").read_text())
    init = manifest.pop("init", None)
    history = {"config": yaml.safe_load((run / "config.yaml").read_text()), "manifest": manifest}
    if init and any((Path(init) / name).is_file() for name in ("config.yaml", "../training.json")):
        history["init"] = _history(Path(init), part)
    return history


def _steps(history: dict[str, Any]) -> str:
    """Steps of a run and of those before it: "10000 + 4000"."""
    own = str(history["config"]["train"]["steps"])
    return f"{_steps(history['init'])} + {own}" if "init" in history else own


def _describe(part: Path, name: str, folder: MotionFolder, stored: str) -> dict[str, float]:
    """Evaluate the model folder as it is stored; write results.json and the card."""
    size = sum(path.stat().st_size for path in part.rglob("*.safetensors"))
    require(size <= LIMIT, f"the weights are {size / 1e6:.1f} MB, at most {LIMIT / 1e6:.0f} can be shipped.")
    model = MMM.from_pretrained(part)
    results = evaluate(model, folder) | {"megabytes": size / 1e6}
    training = json.loads((part / "training.json").read_text())
    card = CARD.format(
        name=name,
        stored=stored,
        counts=", ".join(f"{name} {n / 1e6:.2f} M" for name, n in model.count_parameters().items()),
        val=len(folder.ids("val")),
        codes=model.tokenizer.config.codes,
        source=folder.info["source"],
        made=", {clips} clips, seed {seed}".format(**folder.info) if "clips" in folder.info else "",
        terms=": no commercial use, name the source" if "NC" in model.info["licence"] else "",
        by_source=_by_source(model, folder),
        abilities=ABILITIES.get(folder.name, f"It knows what {folder.name} shows, and nothing else."),
        **(model.info | results | {f"{name}_steps": _steps(history) for name, history in training.items()}),
    )
    (part / "README.md").write_text(card)
    (part / "results.json").write_text(json.dumps(results, indent=1))
    for path in part.rglob("*.safetensors"):
        path.chmod(0o644)
    return results


def _by_source(model: MMM, folder: MotionFolder) -> str:
    """The tokenizer on val of each source of a union; nothing for any other data set."""
    lines = []
    for name, about in folder.info.get("sources", {}).items():
        packed = folder.pack(f"val_{name}")
        errors = evaluate_tokenizer(model.tokenizer, packed, folder.skeleton)
        share, local, world = about["share"], errors["mpjpe_local"], errors["mpjpe_global"]
        lines.append(f"| {name} | {len(packed)} | {share:.0%} | {local:.2f} cm | {world:.1f} cm |\n")
    header = "| source | val clips | share in training | MPJPE local | MPJPE global |\n"
    return f"{header}| --- | ---: | ---: | ---: | ---: |\n{''.join(lines)}\n" if lines else ""


def evaluate(model: MMM, folder: MotionFolder) -> dict[str, float]:
    """Tokenizer, transformer and length estimator on the val split, by the same functions as in training."""
    val = make_token_set(model.tokenizer, folder.pack("val"), (0,), False, skeleton=folder.skeleton)
    text = model.encoder
    length = evaluate_length(model.length, val, text)
    return (
        evaluate_tokenizer(model.tokenizer, folder.pack("val"), folder.skeleton)
        | evaluate_transformer(model.transformer, val, text)
        | {"error_tokens": length["error_tokens"]}
    )


@dataclasses.dataclass
class Arguments:
    """Ship a trained model: files of at most 14 MB, evaluated as they are stored, and their model card."""

    data: Path
    """The data folder it was trained on."""
    out: Path
    """The model folder to write; an existing one is replaced."""
    run: Path | None = None
    """What `mmm train` wrote: RUN/tokenizer and RUN/model_run. Without it the model in --out is repacked."""
    bits: Literal[16, 8] = 16
    """16: float16. 8: half of that, the weights of layers as whole numbers with a scale for each row."""


if __name__ == "__main__":
    arguments = tyro.cli(Arguments)
    if arguments.run is None:
        results = repack(arguments.out, arguments.data)
    else:
        results = ship(arguments.run, arguments.data, arguments.out, arguments.bits)
    print(json.dumps(results, indent=1))
