"""Downloads a public dataset into $MGC_DATA: fetches, checks and unpacks it. It appears there whole or not at all."""

from __future__ import annotations

import os
import shutil
import tarfile
import zipfile
import zlib
from functools import partial
from pathlib import Path

from mgc.files.cache import built
from mgc.files.reading import file_hash, open_regular
from mgc.tracks.dataset import DatasetError, data_dir
from mgc.web.sources import Archive, Source
from mgc.web.transfer import TransferError, fetch

CHECKSUMS = ".checksums"
"""File of a downloaded dataset with the hash and name of each of its files, one a line."""


def download(source: Source, *, progress: bool = True) -> Path:
    """Download this dataset unless it is there; returns its folder.

    Raises DatasetError, and keeps what has been transferred for the next attempt.
    """
    return built(data_dir() / source.name, partial(_install, source, progress))


def _install(source: Source, progress: bool, target: Path) -> None:
    downloads = data_dir() / ".downloads" / source.name
    try:
        downloads.mkdir(parents=True, exist_ok=True)
        _check_space(source, downloads)
        unpacked = downloads / "unpacked"
        shutil.rmtree(unpacked, ignore_errors=True)
        for archive in source.archives:
            path = _fetch_archive(archive, downloads, progress)
            _unpack(path, unpacked)
        root = unpacked / source.inside
        if not root.is_dir():
            raise DatasetError(f"{source.name}: its archive has no folder {source.inside!r}", "dataset")
        _write_checksums(root)
        os.replace(root, target)
        shutil.rmtree(downloads, ignore_errors=True)
    except OSError as error:
        raise DatasetError(f"{error.filename or downloads}: cannot be written: {error.strerror}", "dataset") from None


def _fetch_archive(archive: Archive, folder: Path, progress: bool) -> Path:
    return fetch(
        archive.urls,
        folder / archive.file,
        algorithm=archive.algorithm,
        checksum=archive.checksum,
        most_bytes=archive.most_bytes,
        progress=progress,
    )


def _check_space(source: Source, folder: Path) -> None:
    """Raise a DatasetError unless the disk has room for the archives and for their content at the same time."""
    here = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    needed = sum(archive.num_bytes + archive.unpacked_bytes for archive in source.archives) - here
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DatasetError(
            f"{source.name} needs {needed / 1e9:.1f} GB in {data_dir()}, {free / 1e9:.1f} GB are free "
            "(set MGC_DATA to another folder)",
            "dataset",
        )


def _unpack(path: Path, folder: Path) -> None:
    """Unpack a .zip or .tar.gz. Python refuses names that lead out of the folder, or makes them harmless."""
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                archive.extractall(folder)
        else:
            with tarfile.open(path) as tar:
                tar.extractall(folder, filter="data")
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError) as error:
        raise TransferError(f"{path}: cannot be unpacked: {' '.join(str(error).split())}") from None


def _write_checksums(root: Path) -> None:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    lines = (f"{file_hash(path)}  {path.relative_to(root).as_posix()}\n" for path in files)
    (root / CHECKSUMS).write_text("".join(lines))


def recorded_checksums(root: Path) -> dict[Path, str]:
    """The hash of each file as it was downloaded; empty for a folder that was not downloaded."""
    try:
        with open_regular(root / CHECKSUMS) as file:
            lines = os.fsdecode(file.read()).splitlines()
    except OSError:
        return {}
    return {root / name: digest for digest, _, name in (line.partition("  ") for line in lines)}
