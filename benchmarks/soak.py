"""A soak: hostile files by the hundred, decoded, verified and predicted, round after round; memory after each round.

    python -m benchmarks.soak [NUM_FILES] [ROUNDS] [MODEL_FOLDER]

Every file is a good one (wav, au, flac, ogg, mp3) with something done to it: cut, zeroed, bits flipped, pieces swapped,
headers of other formats, numbers in the header blown up. Ends with status 1 if anything but AudioError is raised.
"""

from __future__ import annotations

import io
import os
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

import numpy as np
import soundfile

from mgc.datasets.verify import verify
from mgc.features.audio import AudioError, decode
from mgc.predict import predict_song
from mgc.saved import SavedModel, load_model
from mgc.words.errors import ConfigError

SR = 22_050
FORMATS = (("WAV", "PCM_16"), ("WAV", "FLOAT"), ("AU", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", None))


def good(rng: np.random.Generator, file_format: str, subtype: str | None) -> bytes:
    file, seconds = io.BytesIO(), float(rng.choice([0.05, 0.5, 3.0]))
    channels = int(rng.integers(1, 3))
    y_SC = rng.normal(0, 0.2, (max(1, int(seconds * SR)), channels)).clip(-1, 1)
    soundfile.write(file, y_SC, int(rng.choice([8000, SR, 48_000])), format=file_format, subtype=subtype)
    return file.getvalue()


def harmed(rng: np.random.Generator, content: bytes) -> tuple[str, bytes]:
    """What was done, and the bytes."""
    data, size = bytearray(content), len(content)
    match way := str(
        rng.choice(["none", "cut", "cut early", "zeros", "flips", "header", "huge", "swap", "other", "floats"])
    ):
        case "cut":
            data = data[: int(rng.integers(0, size))]
        case "cut early":
            data = data[: int(rng.integers(0, 64))]
        case "zeros":
            start = int(rng.integers(0, size))
            data[start : start + 2000] = bytes(len(data[start : start + 2000]))
        case "flips":
            for place in rng.integers(0, size, 50):
                data[place] ^= 1 << int(rng.integers(0, 8))
        case "header":
            for place in rng.integers(0, min(size, 64), 8):
                data[place] = int(rng.integers(0, 256))
        case "huge":
            place = int(rng.integers(0, min(size, 60)))
            data[place : place + 4] = b"\xff" * 4
        case "swap":
            middle = size // 2
            data = data[middle:] + data[:middle]
        case "other":
            data = bytearray(rng.choice([b"RIFF", b"fLaC", b"OggS", b"ID3\x04", b".snd", b"<html>"])) + data[4:]
        case "floats":
            for place in rng.integers(0, max(1, size - 4), 20):
                data[place : place + 4] = np.array([rng.choice([np.nan, np.inf, -np.inf, 1e38])], "<f4").tobytes()
    return way, bytes(data)


def write_files(root: Path, number: int, rng: np.random.Generator) -> dict[Path, str]:
    """Hostile files in two genres; what was done to each."""
    done = {}
    for index in range(number):
        file_format, subtype = FORMATS[index % len(FORMATS)]
        way, content = harmed(rng, good(rng, file_format, subtype))
        path = root / ("left", "right")[index % 2] / f"{index:04}.{file_format.lower()}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        done[path] = f"{file_format} {way}"
    return done


def attempt(path: Path, model: SavedModel | None) -> str:
    """What became of one file: heard, refused, or a crash."""
    try:
        y_S = decode(path, SR)
        if not np.isfinite(y_S).all():
            return "crash: not finite"
        if model is not None and not np.isfinite(predict_song(model, path).probabilities_NG).all():
            return "crash: probabilities are not finite"
    except AudioError as error:
        return "refused" if "\n" not in str(error) else "crash: not one line"
    except ConfigError as error:
        return f"crash: {error}"
    except BaseException:
        traceback.print_exc()
        return "crash"
    return "heard"


def memory_mb() -> tuple[float, float]:
    """Resident now, and at most so far."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main(number: int = 300, rounds: int = 5, model_folder: str | None = None) -> int:
    model = load_model(Path(model_folder)) if model_folder else None
    crashes = 0
    with tempfile.TemporaryDirectory() as folder:
        files = write_files(Path(folder) / "hostile", number, np.random.default_rng(0))
        for each in range(1, rounds + 1):
            started = time.monotonic()
            ends = {path: attempt(path, model) for path in files}
            verdict = verify(str(Path(folder) / "hostile"), progress=False)
            now, most = memory_mb()
            counts = dict(Counter(end.split(":")[0] for end in ends.values()))
            print(
                f"round {each}: {counts}, {len(verdict.faults)} faults by verify, {time.monotonic() - started:.1f} s, "
                f"{now:.0f} MB resident, {most:.0f} MB at most, {len(os.listdir('/proc/self/fd'))} open files",
                flush=True,
            )
            for path, end in ends.items():
                if end.startswith("crash"):
                    crashes += 1
                    print(f"  {path.name} ({files[path]}): {end}")
    return 1 if crashes else 0


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in sys.argv[1:3]), *sys.argv[3:4]))
