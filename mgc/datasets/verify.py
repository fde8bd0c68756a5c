"""What is wrong with a dataset: every file decoded, or compared with its checksum where that is known.

Faults are what a user should do something about. Remarks are published facts about tracks that are as they always were.
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

from mgc.audio import AudioError, blocks, fault_of
from mgc.datasets import Dataset, DatasetError, contents, folder, gtzan, located, open_dataset
from mgc.datasets.download import known_checksums
from mgc.progress import progress as shown

SHORT_S = 1.0
"""A track that is shorter is called so."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that is wrong with one file, or with the whole dataset; `file` is relative to it."""

    file: str
    what: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """All that was found. `num_compared` of the `num_files` had a known checksum, the others were decoded.

    `remarks` are what is known of GTZAN's tracks: a fact, and the ids of the tracks that it is about.
    """

    num_files: int
    num_compared: int
    faults: tuple[Fault, ...]
    remarks: Mapping[str, tuple[str, ...]]


def verify(spec: str, *, progress: bool = True) -> Verdict:
    """Check every file of a dataset. Raises DatasetError where there is nothing of that name; a dataset that is there
    and cannot be opened is a fault like others.
    """
    if spec != "synthetic":
        located(spec)
    try:
        dataset = open_dataset(spec, progress=progress)
    except DatasetError as error:
        return _checked_files(located(spec), None, [Fault(file=".", what=str(error))], progress)
    if dataset.precomputed is not None:
        repeated = _repetitions({track.track_id: track.content or "" for track in dataset.tracks})
        return Verdict(num_files=1, num_compared=0, faults=tuple(repeated), remarks=remarks(dataset))
    root = Path(os.path.commonpath([track.path for track in dataset.tracks if track.path]))
    return _checked_files(root if spec == "synthetic" else located(spec), dataset, [], progress)


def _checked_files(root: Path, dataset: Dataset | None, found: list[Fault], progress: bool) -> Verdict:
    """Every file of the folder and of the dataset that was found in it."""
    known = known_checksums(root)
    of_tracks = [track.path for track in dataset.tracks if track.path] if dataset else []
    paths = sorted({path.absolute() for path in (*known, *folder.audio_files(root.absolute()), *of_tracks)})
    what = f"{root.name}: checking {len(paths)} files"
    check = partial(_checked, {path.absolute(): digest for path, digest in known.items()})
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        checked = dict(
            zip(paths, shown(pool.map(check, paths), what=what, total=len(paths), show=progress), strict=True)
        )
    names = {path: os.path.relpath(path, root.absolute()) for path in paths}
    faults = [Fault(file=names[path], what=_told(path, one.fault)) for path, one in checked.items() if one.fault]
    repeated = _repetitions({names[path]: one.sound for path, one in checked.items()})
    return Verdict(
        num_files=len(paths),
        num_compared=len(known),
        faults=(*found, *faults, *repeated),
        remarks=remarks(dataset) if dataset else {},
    )


@dataclass(frozen=True)
class _Checked:
    """What one file turned out to be: its fault, if it has one, and a hash of its sound, '' where there is none."""

    fault: str | None
    sound: str = ""


def _checked(known: Mapping[Path, str], path: Path) -> _Checked:
    if path not in known:
        return _decoded(path)
    try:
        digest = contents.file_hash(path)
    except OSError as error:
        return _Checked(f"cannot be read: {error.strerror}")
    if digest != known[path]:
        return _Checked("is not as it was downloaded")
    return _Checked(None, digest)


def _decoded(path: Path) -> _Checked:
    """Decode a whole file without keeping it. Its hash is of the mono samples at their own rate, in whatever format."""
    sound, num_samples, seconds, peak = blake2b(digest_size=8), 0, 0.0, 0.0
    try:
        for y_S, rate in blocks(path):
            if fault := fault_of(y_S):
                return _Checked(fault)
            sound.update(y_S.tobytes())
            num_samples += len(y_S)
            seconds, peak = num_samples / rate, max(peak, float(np.abs(y_S).max()))
    except AudioError as error:
        return _Checked(str(error).removeprefix(f"{path}: "))
    if num_samples == 0:
        return _Checked("has no samples")
    return _Checked(_shortfall(path, seconds, peak), sound.hexdigest() if peak else "")


def _shortfall(path: Path, seconds: float, peak: float) -> str | None:
    """What a file that can be decoded lacks."""
    if (promised_s := _promised_s(path)) > 1.05 * seconds + 0.1:
        return f"is cut off: its header promises {promised_s:.1f} s, it has {seconds:.1f} s"
    if peak == 0:
        return "is silent"
    return f"has only {seconds:.2f} s" if seconds < SHORT_S else None


def _promised_s(path: Path) -> float:
    """Length in s by the header alone. libsndfile believes a wav's or au's header only as far as the file goes."""
    import soundfile

    with suppress(OSError, RuntimeError, soundfile.SoundFileError):
        info = soundfile.info(os.fsencode(path))
        with path.open("rb") as file:
            head = file.read(12)
        num_bytes = {
            b"RIFF": int.from_bytes(head[4:8], "little") + 8,
            b".snd": int.from_bytes(head[8:12], "big") + int.from_bytes(head[4:8], "big"),
        }.get(head[:4], 0)
        is_unknown = num_bytes in (0, 8) or num_bytes >= 0xFFFFFFFF  # written to a pipe
        longer = 1.0 if is_unknown else max(1.0, num_bytes / path.stat().st_size)
        return float(info.frames / info.samplerate * longer)
    return 0.0


def _told(path: Path, fault: str) -> str:
    """The fault, with what is known of this very file."""
    is_known = gtzan.gtzan_id(path.name) == gtzan.BROKEN_IN_COPIES
    return f"{fault} (known: broken in common copies of GTZAN)" if is_known else fault


def _repetitions(sounds: Mapping[str, str]) -> Iterator[Fault]:
    """A fault for every file but the first of those that sound the same."""
    first: dict[str, str] = {}
    for name, sound in sounds.items():
        if sound and (original := first.setdefault(sound, name)) != name:
            elsewhere = ", of another genre" if Path(name).parent != Path(original).parent else ""
            yield Fault(file=name, what=f"repeats {original}{elsewhere}")


def remarks(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    """What the published lists say of the GTZAN tracks in this dataset."""
    ids = {own_id for track in dataset.tracks if (own_id := gtzan.gtzan_id(track.track_id))}
    listed, artists = gtzan.fault_filtered(), gtzan.artists()
    told = {
        "excluded from the fault-filtered split: repeated, distorted or wrongly labeled (Kereliuk et al. 2015)": (
            own_id for own_id in ids if listed.get(own_id) == "excluded"
        ),
        "of no known artist: exact repetitions, or distorted beyond recognition (Sturm 2013)": (
            own_id for own_id in ids if own_id not in artists
        ),
        "missing": set(listed) - ids if len(ids) > len(listed) // 2 else (),
    }
    return _sorted(told)


def _sorted(told: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    return {fact: found for fact, ids in told.items() if (found := tuple(sorted(ids)))}
