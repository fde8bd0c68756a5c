"""A saved model as MLflow keeps models: one graph of torch.export (`pt2`), from waveforms to genre probabilities.

`mlflow.pytorch.load_model` reads it without any code of this project: decibels, clips, network and vote are inside.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from mgc.files.whole import whole
from mgc.listener import Listener
from mgc.saved import load_model


def export_model(saved: Path, folder: Path) -> Path:
    """Write the model of the folder `saved` as an MLflow model to another folder, which it replaces and returns.

    The input is float32 (tracks, samples) in [-1, 1) at the model's rate, for any number of tracks and of samples: one
    clip at least, two where clips overlap (torch.export makes a single clip a special case). The output is the
    probabilities (tracks, genres), in the order of the metadata's `genres`. Raises ConfigError for a model of
    precomputed features, which cannot be computed from a waveform.
    """
    import mlflow.pytorch
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    model = load_model(saved)
    listener = model.listener
    floats = np.dtype(np.float32)
    signature = ModelSignature(
        inputs=Schema([TensorSpec(floats, (-1, -1))]),
        outputs=Schema([TensorSpec(floats, (-1, len(model.genres)))]),
    )
    with whole(folder) as partial, _quiet():
        mlflow.pytorch.save_model(
            listener,
            str(partial),
            serialization_format="pt2",
            signature=signature,
            input_example=example(listener),
            pip_requirements=[f"torch=={torch.__version__.partition('+')[0]}"],
            metadata={
                "genres": list(model.genres),
                "sr": model.sr,
                "split": model.about["split"],
                "synthetic": model.is_synthetic,
            },
        )
    return folder


def example(listener: Listener) -> npt.NDArray[np.float32]:
    """Two tracks (2, samples), each a tone of two clips' length. It is coarse, for MLflow keeps every digit as text."""
    time_s_S = np.arange(2 * listener.ruler.clip) / listener.sr
    tones_BS = np.sin(2 * np.pi * np.array([[220.0], [330.0]]) * time_s_S)
    return (np.round(2 * tones_BS) / 4).astype(np.float32)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Drop what MLflow and torch print and log meanwhile: it is about themselves."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "torch.export", "torch.fx")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
