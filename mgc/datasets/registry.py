"""Every kind of dataset, with one entry each, and `open_dataset`, which finds the dataset that a user names.

A new kind is one file in this folder and one entry here: in BUILT_IN if it has a name of its own, in FORMATS if it is a
way to store any dataset, and in SOURCES what of it can be downloaded. Opening a dataset reads names, tables and content
hashes, and decodes no audio.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from mgc.datasets import fma, folder, gtzan, precomputed, synthetic
from mgc.datasets.remote import local_copy
from mgc.files import buckets
from mgc.files.paths import expanded
from mgc.tracks.dataset import Dataset, DatasetError, data_dir
from mgc.web.sources import Source
from mgc.words.errors import close_to, nearest


class Opener(Protocol):
    """Opens one dataset. See `open_dataset` for the arguments."""

    def __call__(self, *, progress: bool, make: bool) -> Dataset: ...


@dataclass(frozen=True, kw_only=True)
class BuiltIn:
    """A dataset with a name of its own."""

    open: Opener
    path: Callable[[], Path] | None = None
    """Its folder; raises DatasetError where it is not there. None for a dataset that is made in the cache."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """One way to store a dataset as a folder or a file."""

    root_of: Callable[[Path], Path | None]
    """The path to read if this path is a dataset in the format, else None."""
    read: Callable[[Path], Dataset]


BUILT_IN = {
    synthetic.NAME: BuiltIn(open=synthetic.open_synthetic),
    gtzan.NAME: BuiltIn(open=gtzan.open_gtzan, path=gtzan.path),
    fma.NAME: BuiltIn(open=fma.open_fma, path=fma.path),
}
"""By name. A name here is never looked for on the disk."""

FORMATS = (
    Format(root_of=fma.root_of, read=fma.read),
    Format(root_of=folder.root_of, read=folder.read),
    Format(root_of=precomputed.root_of, read=precomputed.read),
)
"""The first format that a path is in reads it."""

SOURCES = {source.name: source for source in (gtzan.SOURCE, gtzan.MINI_SOURCE, fma.SOURCE)}
"""The datasets that can be downloaded, by name."""


def open_dataset(spec: str, *, progress: bool = True, make: bool = True) -> Dataset:
    """The dataset that `spec` names: a built-in name, s3://bucket/path, a folder, an .npz file, or a name under
    $MGC_DATA, in this order. With `gtzan:` before it the dataset is a copy of GTZAN.

    The synthetic dataset is made the first time that it is opened, with its progress shown. With `make=False` a
    built-in dataset that is not on this machine is described only: enough for an estimate.
    """
    if spec in BUILT_IN:
        return BUILT_IN[spec].open(progress=progress, make=make)
    place = spec.removeprefix(gtzan.PREFIX)
    if (read := _reader(_path(place))) is None:
        raise _no_format(place)
    return gtzan.recognized(read(), spec) if place == spec else gtzan.as_gtzan(read())


def dataset_path(spec: str) -> Path | None:
    """The folder or file of the dataset that `spec` names, None for one that is made in the cache.

    Raises DatasetError where there is no such dataset, with the names that are close to it.
    """
    if spec in BUILT_IN:
        path_of = BUILT_IN[spec].path
        return path_of() if path_of else None
    return _path(spec.removeprefix(gtzan.PREFIX))


def _path(spec: str) -> Path:
    """The folder or file of a dataset that is not built in."""
    if buckets.is_address(spec):
        return local_copy(spec)
    for path in (expanded(spec), data_dir() / spec, data_dir() / f"{spec}.npz"):
        if _reader(path) is not None:
            return path
    if Path(spec).is_file():
        raise _no_format(spec)
    raise DatasetError(
        f"no dataset {spec!r}: neither a folder, an .npz file, nor a name under {data_dir()}"
        f"{close_to(Path(spec).name, _folders_beside(spec)) or nearest(spec, {*BUILT_IN, *names_here()})}",
        "dataset",
    )


def _folders_beside(spec: str) -> list[str]:
    """The names of the folders where this one was looked for; none where nobody may look."""
    try:
        return sorted(path.name for path in expanded(spec).parent.iterdir() if path.is_dir())
    except OSError:
        return []


def source(name: str) -> Source:
    """The source of this name; DatasetError with the names that there are."""
    if name not in SOURCES:
        raise DatasetError(f"no dataset {name!r} to download{nearest(name, SOURCES)}", "dataset")
    return SOURCES[name]


def _reader(path: Path) -> Callable[[], Dataset] | None:
    """Reads the dataset at this path; None for a path in none of the formats."""
    for each in FORMATS:
        if (root := each.root_of(path)) is not None:
            return partial(each.read, root)
    return None


def _no_format(spec: str) -> DatasetError:
    return DatasetError(f"dataset must be a folder or an .npz file, got the file {spec!r}", "dataset")


def names_here() -> list[str]:
    """The names of the datasets under $MGC_DATA: folders and files that can be opened, and nothing that lies beside."""
    paths = sorted(data_dir().glob("[!.]*"))
    return [path.stem if path.suffix == ".npz" else path.name for path in paths if _reader(path) is not None]
