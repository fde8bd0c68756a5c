"""Checks a dataset: decodes every file, or compares it with its checksum where a download has recorded one.

Faults are what a user should repair. Remarks are published facts about tracks that are as their authors released them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path

import numpy as np

from mgc.datasets import folder
from mgc.datasets.registry import dataset_path, open_dataset
from mgc.features.audio import AudioError, blocks, fault_of, header
from mgc.files.reading import file_hash
from mgc.tracks import gtzan_lists
from mgc.tracks.dataset import Dataset, DatasetError
from mgc.web.download import recorded_checksums
from mgc.words.progress import progress as shown

SHORT_S = 1.0
"""A track that is shorter has a fault."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that is wrong with one file, or with the whole dataset; `file` is relative to it."""

    file: str
    what: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The result of a check. `num_compared` of the `num_files` had a recorded checksum, the others were decoded.

    `remarks` are published facts about GTZAN's tracks: a fact, and the ids of the tracks that it is about.
    """

    num_files: int
    num_compared: int
    faults: tuple[Fault, ...]
    remarks: Mapping[str, tuple[str, ...]]


def verify(spec: str, *, progress: bool = True) -> Verdict:
    """Check every file of a dataset. Raises DatasetError where there is no dataset of that name.

    A dataset that exists but cannot be opened is a fault, not an error.
    """
    path = dataset_path(spec)
    try:
        dataset = open_dataset(spec, progress=progress)
    except DatasetError as error:
        if path is None:
            raise
        return _check_files(path, None, [Fault(file=".", what=str(error))], progress)
    if dataset.precomputed is not None:
        repeated = _repetitions({track.track_id: track.content or "" for track in dataset.tracks})
        return Verdict(num_files=1, num_compared=0, faults=tuple(repeated), remarks=remarks(dataset))
    root = path or Path(os.path.commonpath([track.path for track in dataset.tracks if track.path]))
    return _check_files(root, dataset, [], progress)


def _check_files(root: Path, dataset: Dataset | None, faults: list[Fault], progress: bool) -> Verdict:
    """Check every file of the folder and of its dataset. `faults` are those of the whole dataset."""
    recorded = recorded_checksums(root)
    of_tracks = [track.path for track in dataset.tracks if track.path] if dataset else []
    paths = sorted({path.absolute() for path in (*recorded, *folder.audio_files(root.absolute()), *of_tracks)})
    what = f"{root.name}: checking {len(paths)} files"
    check = partial(_check, {path.absolute(): digest for path, digest in recorded.items()})
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = dict(
            zip(paths, shown(pool.map(check, paths), what=what, total=len(paths), show=progress), strict=True)
        )
    names = {path: os.path.relpath(path, root.absolute()) for path in paths}
    of_files = [
        Fault(file=names[path], what=_explain(path, one.fault, dataset)) for path, one in results.items() if one.fault
    ]
    repeated = _repetitions({names[path]: one.sound for path, one in results.items()})
    return Verdict(
        num_files=len(paths),
        num_compared=len(recorded),
        faults=(*faults, *of_files, *repeated),
        remarks=remarks(dataset) if dataset else {},
    )


@dataclass(frozen=True)
class _Result:
    """The check of one file: its fault, if it has one, and a hash of its sound, '' where it has no sound."""

    fault: str | None
    sound: str = ""


def _check(recorded: Mapping[Path, str], path: Path) -> _Result:
    if path not in recorded:
        return _decode(path)
    try:
        digest = file_hash(path)
    except OSError as error:
        return _Result(f"cannot be read: {error.strerror}")
    if digest != recorded[path]:
        return _Result("has changed since it was downloaded")
    return _Result(None, digest)


def _decode(path: Path) -> _Result:
    """Decode a whole file, block by block. Its hash is of the mono samples at their own rate, whatever the format."""
    sound, num_samples, seconds, peak = blake2b(digest_size=8), 0, 0.0, 0.0
    try:
        for y_S, rate in blocks(path):
            if fault := fault_of(y_S):
                return _Result(fault)
            sound.update(y_S.tobytes())
            num_samples += len(y_S)
            seconds, peak = num_samples / rate, max(peak, float(np.abs(y_S).max()))
    except AudioError as error:
        return _Result(str(error).removeprefix(f"{path}: "))
    if num_samples == 0:
        return _Result("has no samples")
    return _Result(_shortfall(path, seconds, peak), sound.hexdigest() if peak else "")


def _shortfall(path: Path, seconds: float, peak: float) -> str | None:
    """The fault of a file that can be decoded: it is cut off, silent or too short; None if it has none of these."""
    if (promised_s := _promised_s(path)) > 1.05 * seconds + 0.1:
        return f"is cut off: its header promises {promised_s:.1f} s, it has {seconds:.1f} s"
    if peak == 0:
        return "is silent"
    return f"has only {seconds:.2f} s" if seconds < SHORT_S else None


def _promised_s(path: Path) -> float:
    """Length in s by the header alone; libsndfile itself reports no more of a wav or au than the file contains."""
    info = header(path)
    if info is None:
        return 0.0
    with suppress(OSError):
        with path.open("rb") as file:
            head = file.read(12)
        num_bytes = {
            b"RIFF": int.from_bytes(head[4:8], "little") + 8,
            b".snd": int.from_bytes(head[8:12], "big") + int.from_bytes(head[4:8], "big"),
        }.get(head[:4], 0)
        is_unknown = num_bytes in (0, 8) or num_bytes >= 0xFFFFFFFF  # written to a pipe
        longer = 1.0 if is_unknown else max(1.0, num_bytes / path.stat().st_size)
        return float(info.duration * longer)
    return 0.0


def _explain(path: Path, fault: str, dataset: Dataset | None) -> str:
    """The fault, with a remark if many copies of GTZAN have it."""
    is_gtzan = dataset is not None and dataset.is_gtzan
    is_known = is_gtzan and gtzan_lists.gtzan_id(path.name) == gtzan_lists.BROKEN_IN_COPIES
    return f"{fault} (known: broken in common copies of GTZAN)" if is_known else fault


def _repetitions(sounds: Mapping[str, str]) -> Iterator[Fault]:
    """A fault for every file that has the same sound as one before it."""
    first: dict[str, str] = {}
    for name, sound in sounds.items():
        if sound and (original := first.setdefault(sound, name)) != name:
            elsewhere = ", of another genre" if Path(name).parent != Path(original).parent else ""
            yield Fault(file=name, what=f"repeats {original}{elsewhere}")


def remarks(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    """Facts from the published lists about the tracks of GTZAN, and their ids; none where the dataset is not GTZAN."""
    if not dataset.is_gtzan:
        return {}
    ids = {own_id for track in dataset.tracks if (own_id := gtzan_lists.gtzan_id(track.track_id))}
    listed, artists = gtzan_lists.fault_filtered(), gtzan_lists.artists()
    ids_by_fact = {
        "excluded from the fault-filtered split: repeated, distorted or wrongly labeled (Kereliuk et al. 2015)": (
            own_id for own_id in ids if listed.get(own_id) == "excluded"
        ),
        "of no known artist: exact repetitions, or distorted beyond recognition (Sturm 2013)": (
            own_id for own_id in ids if own_id not in artists
        ),
        "missing": set(listed) - ids if len(ids) > len(listed) // 2 else (),
    }
    return _sorted(ids_by_fact)


def _sorted(ids_by_fact: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """The facts that are about any track, with their ids in order."""
    return {fact: in_order for fact, ids in ids_by_fact.items() if (in_order := tuple(sorted(ids)))}
