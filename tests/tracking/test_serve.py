"""`mlflow models serve` for a model as a study logs it: the answer over HTTP is that of mgc.predict."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from tiny_dataset import tiny_config, write_tracks

from mgc.clips.clips import open_clips
from mgc.features.audio import decode
from mgc.predict import predict_song
from mgc.saved import load_model, save_model
from mgc.training.training import Training
from search.tracking.mlflow_model import export_model


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def answered(url: str, process: subprocess.Popen[bytes], body: bytes | None = None) -> bytes:
    """What the server says, once it is up."""
    deadline = time.monotonic() + 120
    while True:
        request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.read()
        except urllib.error.HTTPError as error:
            pytest.fail(f"{error}: {error.read()!r}")
        except OSError:
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server did not come up"
            time.sleep(0.2)


@pytest.mark.slow
def test_a_served_model_says_of_a_waveform_what_predict_says_of_the_file(tmp_path: Path) -> None:
    root = write_tracks(tmp_path / "music", [2.0, 1.5, 1.5, 1.5])
    config = tiny_config(root, epochs=3)
    training = Training(config, open_clips(config, progress=False))
    for _ in training:
        pass
    model = load_model(save_model(tmp_path / "model", training))
    served = export_model(tmp_path / "model", tmp_path / "served")
    port = free_port()
    programs = Path(sys.executable).parent  # MLflow starts uvicorn by its name
    command = [programs / "mlflow", "models", "serve", "--env-manager", "local", "--workers", "1"]
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": ""}
    environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{tmp_path}/none.db"
    process = subprocess.Popen(
        [*command, "--model-uri", str(served), "--host", "127.0.0.1", "--port", str(port)],
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        answered(f"{url}/ping", process)
        for path in sorted(root.glob("*/*.wav"))[:3]:
            y_S = decode(path, model.sr)
            body = json.dumps({"inputs": [y_S.tolist()]}).encode()
            said = json.loads(answered(f"{url}/invocations", process, body))["predictions"][0]
            expected = predict_song(model, path).probabilities
            np.testing.assert_allclose(said, [expected[genre] for genre in model.genres], atol=1e-4)
        both = np.stack([y_S, y_S[::-1]]).tolist()
        said = json.loads(answered(f"{url}/invocations", process, json.dumps({"inputs": both}).encode()))["predictions"]
        assert np.shape(said) == (2, len(model.genres))
    finally:
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself, which `answered` tells
            os.killpg(process.pid, 15)
        process.wait()
