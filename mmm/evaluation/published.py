"""What others report on the paper's data sets, measured by Guo et al.'s evaluator: never our own numbers.

Source: the tables of MMM (arXiv 2312.03596) and of the papers named, as REPRODUCTION.md, "Evaluation", lists them.
Which of the two rows of MMM used the given length is our reading, not stated beyond doubt.
"""

COLUMNS = ("r1", "r2", "r3", "fid", "mm_dist", "diversity", "multimodality", "aits")

_TABLES = {
    "humanml3d": {
        "real motion": (0.511, 0.703, 0.797, 0.002, 2.974, 9.503, None, None),
        "MDM (as corrected by its author)": (0.418, 0.604, 0.707, 0.489, 3.63, 9.45, 2.87, None),
        "MLD": (0.481, 0.673, 0.772, 0.473, 3.196, 9.724, 2.413, 0.22),
        "T2M-GPT": (0.491, 0.680, 0.775, 0.116, 3.118, 9.761, 1.856, 0.56),
        "MMM, predicted length": (0.504, 0.696, 0.794, 0.080, 2.998, 9.411, 1.164, 0.081),
        "MMM, given length": (0.515, 0.708, 0.804, 0.089, 2.926, 9.577, 1.226, 0.081),
        "MoMask": (0.521, 0.713, 0.807, 0.045, 2.958, None, 1.241, None),
        "BAMM": (0.525, 0.720, 0.814, 0.055, 2.919, 9.717, 1.687, 0.41),
    },
    "kit": {
        "real motion": (0.424, 0.649, 0.779, 0.031, 2.788, 11.08, None, None),
        "MMM, predicted length": (0.381, 0.590, 0.718, 0.429, 3.146, 10.633, 1.105, None),
        "MMM, given length": (0.404, 0.621, 0.744, 0.316, 2.977, 10.91, 1.232, None),
    },
}


def published(data: str, evaluator: str) -> dict[str, dict[str, float]]:
    """Row → measure → value, for results of Guo et al.'s evaluator on a data set of the paper; else nothing.

    Args:
        data: the folder's name. evaluator: the evaluator's, which begins with "guo" for theirs.
    """
    if not evaluator.startswith("guo"):
        return {}
    table = _TABLES.get(data, {})
    return {
        row: {name: value for name, value in zip(COLUMNS, values, strict=True) if value is not None}
        for row, values in table.items()
    }
