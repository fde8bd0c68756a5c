"""torchvision beside a torch without CUDA: the two operators without which it cannot be imported.

torchvision as PyPI has it is built for CUDA. Beside a CPU-only torch its compiled part does not load, and the import
then fails at `operator torchvision::nms does not exist`. timm needs only transforms of torchvision, never these
operators, so declaring their names is enough. Where torchvision imports by itself nothing is declared: a second
declaration would be an error.
"""

from __future__ import annotations

import importlib
import sys
from functools import cache

import torch

SCHEMAS = tuple(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor" for name in ("nms", "qnms"))


@cache
def import_torchvision() -> torch.library.Library | None:
    """Import torchvision, if need be after declaring its operators; the declaration lasts as long as what is returned.

    The cache keeps it, so that the operators stay. Raises ImportError where torchvision is not installed.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        forget_torchvision()
        library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for schema in SCHEMAS:
            library.define(schema)  # type: ignore[no-untyped-call]
        importlib.import_module("torchvision")
        return library
    return None


def forget_torchvision() -> None:
    """Drop what a failed import has left, so that the next one starts afresh."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
