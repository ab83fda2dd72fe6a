"""A reproduction of MMM, Generative Masked Motion Model (CVPR 2024): text in, 3D human motion out."""

__version__ = "0.1.0"
__all__ = ["MMM"]


def __getattr__(name: str):
    # torch and transformers take seconds to import; `mmm --help` should not
    if name == "MMM":
        from mmm.model import MMM

        return MMM
    raise AttributeError(f"module 'mmm' has no attribute {name!r}")
