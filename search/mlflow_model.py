"""A saved model as MLflow keeps models: one graph of torch.export (`pt2`), from waveforms to genre probabilities.

`mlflow.pytorch.load_model` reads it without any code of this project: decibels, clips, network and vote are inside.
"""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from mgc.listener import Listener
from mgc.saved import load_model

FOLDER = "mlflow_model"
"""Where it lies in the study's folder."""


def export_model(saved: Path, folder: Path) -> Path:
    """Write the model that `saved` holds as an MLflow model to a folder, in place of what is there; returns the folder.

    Its input is float32 (tracks, samples) in [-1, 1) at the model's rate, both dimensions free: at least one clip long,
    two where clips overlap (torch.export takes a single one for a special case). Its output are probabilities (tracks,
    genres), in the order of the metadata's `genres`. ConfigError for a model of precomputed features, which no waveform
    can be turned into.
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
    shutil.rmtree(folder, ignore_errors=True)
    with _quiet():
        mlflow.pytorch.save_model(
            listener,
            str(folder),
            serialization_format="pt2",
            signature=signature,
            input_example=example(listener),
            pip_requirements=[f"torch=={torch.__version__.partition('+')[0]}"],
            metadata={"genres": list(model.genres), "sr": model.sr, "split": model.about["split"]},
        )
    return folder


def example(listener: Listener) -> npt.NDArray[np.float32]:
    """Two tracks of two clips of a coarse tone: few digits, since MLflow keeps it as text."""
    time_s_S = np.arange(2 * listener.ruler.clip) / listener.sr
    tones_BS = np.sin(2 * np.pi * np.array([[220.0], [330.0]]) * time_s_S)
    return (np.round(2 * tones_BS) / 4).astype(np.float32)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What MLflow and torch tell of their own affairs meanwhile is not our users' news."""
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
