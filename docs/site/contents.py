"""What is on the site, in the order of its navigation. `tests/test_site.py` compares it with the repository."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = "docs/site"
GUIDES = "USING OWN_MOTIONS DEMO TRAINING RESULTS REPRODUCE REPRODUCTION READING GLOSSARY TEACHING".split()
NAVIGATION = {
    "Chapters": ["notebooks/[0-9][0-9]_*", f"{HERE}/one_file"],
    "Exercises": [f"{HERE}/exercises", f"{HERE}/solutions"],
    "Guides": [*(f"docs/{name}" for name in GUIDES), "data/README", "CONTRIBUTING", f"{HERE}/details"],
    "Reference": ["docs/api/method", "docs/api/interfaces"],
}
# Page → parts of the package, in reading order; a package stands for all its modules.
METHOD = {
    "model": ["model"],
    "motion": [*(f"motion.{name}" for name in ("skeleton", "features", "clip", "measures")), "motion"],
    "data": ["data.folder", "data"],
    "text": ["text", "bert", "known_texts"],
    "tokenizer": ["tokenizer.model", "tokenizer.quantizer", "tokenizer"],
    "transformer": ["transformer.model", "transformer.masking", "transformer"],
    "sampling": ["sampling", "sampling_many", "philox", "calibration"],
    "editing": ["editing", "editing_tasks", "seams", "sequences", "constraints", "control"],
    "training": ["fit", "pretrained", "training", "recipes"],
    "files": ["storage", "errors", "arguments"],
}
INTERFACES = {name: [name] for name in ("evaluation", "datasets", "bvh", "viz", "release")} | {
    "export": ["export", "export_check"],
}


def modules(names: list[str]) -> list[str]:
    """The modules of these parts of the package, each once: `["data.folder", "data"]` → mmm.data.folder, mmm.data, …"""
    found = {}
    for name in names:
        path = ROOT / "mmm" / name.replace(".", "/")
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
        for file in files:
            parts = file.relative_to(ROOT).with_suffix("").parts
            found[".".join(part for part in parts if part != "__init__")] = None
    return list(found)


PAGE_OF = {m: page for page, names in {**METHOD, **INTERFACES}.items() for m in modules(names)}
