"""The 50-trial search for r on one GPU, with the paper's features and as much data as GTZAN has, by trials per GPU.

    python -m benchmarks.gpu [--trials-per-gpu 1 2 4 8 auto] [--tracks 1000]

Random features: what is measured is how fast the card is kept busy, not what is learned. Needs a GPU; on a machine
without one it says so.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.figure import Figure
from benchmarks.memory import write_features
from benchmarks.training import flops_per_clip, matrix_rate
from mgc.clips.clips import open_clips
from mgc.training.device import best_device
from mgc.words.errors import ConfigError
from search.execution.ground import prepare
from search.space.space import Space
from search.study.plan import SearchOptions
from search.study.searching import run_study

SPACE = Path(__file__).parents[1] / "spaces" / "se_ratio.yaml"
TRACKS, BINS, FRAMES = 1000, 513, 1292
"""GTZAN's 30 s at 22,050 Hz, with windows of 1024 samples and steps of 512; 19 clips of 3 s of each."""
SHARED_BY = (1, 2, 4, 8)
ASK_EVERY_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a card said of itself while a study ran: the share of the time that it was busy, its most memory."""

    busy: float
    peak_bytes: int


@dataclass(frozen=True, kw_only=True)
class Run:
    """One study. `clips_per_s` are those trained with, of all trials together."""

    trials_per_gpu: str
    seconds: float
    trials: int
    clips_per_s: float
    of_matrix_rate: float
    load: Load | None

    @property
    def row(self) -> str:
        busy = "-" if self.load is None else f"{self.load.busy:.0%}"
        peak = "-" if self.load is None else f"{self.load.peak_bytes / 2**30:.1f} GiB"
        per_hour = 3600 * self.trials / self.seconds
        return (
            f"| {self.trials_per_gpu} | {self.seconds:.0f} s | {self.clips_per_s:,.0f} | {per_hour:,.0f} | {busy} "
            f"| {peak} | {self.of_matrix_rate:.3f} |"
        )


HEAD = """\
| trials per GPU | study | clips/s in total | trials/h | GPU busy | peak memory | of the matrix rate |
|---|---|---|---|---|---|---|"""


class Watch:
    """Asks the card how it is while something runs; `load` afterwards, None where nvidia-smi is not there."""

    def __enter__(self) -> Watch:
        self.load: Load | None = None
        self._asked: list[tuple[float, float]] = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        if shutil.which("nvidia-smi"):
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._asked:
            busy, used_mib = np.array(self._asked).T
            self.load = Load(busy=float(busy.mean()) / 100, peak_bytes=int(used_mib.max() * 2**20))

    def _ask(self) -> None:
        command = ["nvidia-smi", "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits", "--id=0"]
        while not self._is_over.wait(ASK_EVERY_S):
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            busy, used_mib = map(float, said.split(","))
            self._asked.append((busy, used_mib))


def measure(data: Path, out: Path, trials_per_gpu: str, overrides: Sequence[str] = ()) -> Run:
    """The study at so many trials per GPU, features built beforehand."""
    settings = [f"data.dataset={data}", "data.split=track", f"params.n_mels={BINS}", "params.clip_overlap=0.5"]
    settings += [f"resources.trials_per_gpu={trials_per_gpu}", *overrides]
    space = Space.load(SPACE, overrides=settings)
    ground = prepare(space, device=best_device())
    config = ground.space.check_params(ground.space.sample(1)[0])
    clips = open_clips(config, progress=False)
    with Watch() as watch:
        started = time.perf_counter()
        record = run_study(space, SearchOptions(out=out, name=trials_per_gpu, address="local", offline=True)).record
        seconds = time.perf_counter() - started
    trials = record.trials()
    if any(trial.state == "failed" for trial in trials):
        raise RuntimeError(f"{record.name}: {next(trial.reason for trial in trials if trial.state == 'failed')}")
    per_s = sum(len(trial.epochs) for trial in trials) * clips.num_clips("train") / seconds
    rate = matrix_rate(best_device(), record.header.precision)
    return Run(
        trials_per_gpu=trials_per_gpu,
        seconds=seconds,
        trials=len(trials),
        clips_per_s=per_s,
        of_matrix_rate=per_s * flops_per_clip(config, clips.shape) / rate,
        load=watch.load,
    )


def figures(data: str, *, quick: bool) -> Iterator[Figure]:
    """For `make bench`: nothing without a GPU."""
    if not torch.cuda.is_available():
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as out:
        path = write_features(Path(out) / "random.npz", 200 if quick else TRACKS, bins=BINS, frames=FRAMES)
        runs = [measure(path, Path(out), str(number)) for number in ((1, 4) if quick else SHARED_BY)]
    print("\n".join([HEAD, *(run.row for run in runs)]))
    best = min(runs, key=lambda run: run.seconds)
    yield Figure(
        name=f"the search for r on one GPU, {best.trials_per_gpu} trials at once",
        unit="s",
        ours=best.seconds,
        baseline=runs[0].seconds,
        baseline_name="one at a time",
        more_is_better=False,
        goal="<= 300 s",
        limit=f"{best.of_matrix_rate:.2f} of the matrix rate",
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description="The search for r on one GPU.")
    parser.add_argument("--trials-per-gpu", nargs="+", default=[str(number) for number in SHARED_BY])
    parser.add_argument("--tracks", type=int, default=TRACKS)
    given = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("needs a GPU, and torch sees none here")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as out:
        path = write_features(Path(out) / "random.npz", given.tracks, bins=BINS, frames=FRAMES)
        print(HEAD, flush=True)
        for number in given.trials_per_gpu:
            try:
                print(measure(path, Path(out), number).row, flush=True)
            except ConfigError as error:
                raise SystemExit(f"trials_per_gpu {number}: {error}") from None


if __name__ == "__main__":
    main()
