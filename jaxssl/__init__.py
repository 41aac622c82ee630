"""Pretraining of image encoders without labels on cardiac MR and ultrasound.

The verbs of the command line are functions here: `jaxssl.pretrain("simclr:small", "runs/a")`; but evaluate, whose name
a room has, and those that are about machines, plan and bench, are in `jaxssl.run`: `jaxssl.run.bench_step("simclr")`.
And `jaxssl.load("runs/a")` is that run's encoder, for arrays.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from jaxssl.version import __version__ as __version__

if TYPE_CHECKING:
    from jaxssl.data.phantom import CineOptions, KneeOptions, UltrasoundOptions
    from jaxssl.run import (
        ablate,
        data_check,
        data_info,
        data_ingest,
        data_lvef,
        data_phantom,
        data_split,
        embed,
        export,
        finetune,
        load,
        predict,
        pretrain,
        probe,
        replay,
        report,
        saliency,
        segment,
    )

_PHANTOMS = ("CineOptions", "KneeOptions", "UltrasoundOptions")
__all__ = [
    "CineOptions",
    "KneeOptions",
    "UltrasoundOptions",
    "ablate",
    "data_check",
    "data_info",
    "data_ingest",
    "data_lvef",
    "data_phantom",
    "data_split",
    "embed",
    "export",
    "finetune",
    "load",
    "predict",
    "pretrain",
    "probe",
    "replay",
    "report",
    "saliency",
    "segment",
]


def __getattr__(name: str) -> Any:
    """Import the verbs when they are first used: rooms below them import this package without drawing them all in."""
    if name not in __all__:
        raise AttributeError(f"module 'jaxssl' has no attribute {name!r}")
    return getattr(import_module("jaxssl.data.phantom" if name in _PHANTOMS else "jaxssl.run"), name)
