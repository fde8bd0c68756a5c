"""Where a study keeps what other machines need: a folder on a disk that they share, or an address in a bucket.

    s3://bucket/studies/se_ratio-001/record.log               copied there while the study runs
    s3://bucket/studies/se_ratio-001/trials/00007/checkpoint.pt

Both read alike; a file appears whole or not at all. Studies on a storage whose machine was lost are brought back from
there. Knows files, nothing of what is in them.
"""

from __future__ import annotations

import os
import re
import socket
from contextlib import suppress
from pathlib import Path

from mgc import buckets
from mgc.config import ConfigError
from search.journal import JOURNAL

PROBE = ".writable"


class StorageError(ConfigError):
    """A storage that cannot be read or written."""


class Folder:
    """A folder on a disk, or one under an address of a bucket. Files have names such as `00007/checkpoint.pt`."""

    def __init__(self, address: Path | str) -> None:
        self.address = str(address).rstrip("/")
        self._is_remote = buckets.is_address(self.address)

    def below(self, name: str) -> Folder:
        return Folder(f"{self.address}/{name}")

    def read(self, name: str) -> bytes:
        """Raises FileNotFoundError where there is no such file, OSError where it cannot be had."""
        return buckets.read(self._at(name)) if self._is_remote else Path(self._at(name)).read_bytes()

    def write(self, name: str, content: bytes | memoryview) -> None:
        """Put a file in place of the last one, which stays until the new one is whole. Raises OSError."""
        if self._is_remote:
            buckets.write(self._at(name), content)
        else:
            _write_whole(Path(self._at(name)), content)

    def files(self) -> dict[str, int]:
        """The files at any depth, by name, with their sizes in bytes; none where there is no folder."""
        if self._is_remote:
            return {name: info.size for name, info in buckets.listed(self.address).items()}
        found = {}
        for folder, _, names in os.walk(self.address):
            for name in names:
                path = Path(folder, name)
                with suppress(FileNotFoundError):  # a worker has put it in another's place meanwhile
                    found[path.relative_to(self.address).as_posix()] = path.stat().st_size
        return found

    def remove(self, name: str) -> None:
        """Delete a file, and its folder on a disk once that is empty. What cannot be deleted stays."""
        try:
            if self._is_remote:
                buckets.remove(self._at(name))
                return
            path = Path(self._at(name))
            path.unlink(missing_ok=True)
            path.parent.rmdir()
        except OSError:
            return  # others are in there, or it was the disk that failed in the first place

    def check(self) -> None:
        """Raises StorageError where nothing can be written."""
        try:
            self.write(PROBE, b"")
            self.remove(PROBE)
        except OSError as error:
            raise StorageError(f"storage {self.address} cannot be written: {said(error)}", "storage") from None

    def _at(self, name: str) -> str:
        return f"{self.address}/{name}"


def checked(text: str) -> str:
    """The storage that a user names: s3://bucket/path, or an absolute path. Raises StorageError for anything else."""
    if buckets.is_address(text) and text != buckets.SCHEME:
        return text.rstrip("/")
    if "://" in text:
        raise StorageError(f"storage must be s3://BUCKET/PATH or a folder, got {text!r}", "storage")
    return str(Path(text).expanduser().absolute())


def bring_back(storage: str, out: Path, *, space: str, name: str | None) -> list[str]:
    """Copy to `out` the studies SPACE-NNN, or the named one, that are on the storage and not there; their names.

    So a new machine goes on with what a lost one began, and takes no name that is taken. Raises StorageError.
    """
    pattern = re.compile(rf"{re.escape(space)}-\d+" if name is None else re.escape(name))
    try:
        found = Folder(storage).files()
        names = [name.removesuffix(f"/{JOURNAL}") for name in found if name.endswith(f"/{JOURNAL}")]
        lost = [name for name in names if pattern.fullmatch(name) and not (out / name / JOURNAL).exists()]
        for study in lost:
            wanted = [name for name in found if name.startswith(f"{study}/") and name.endswith(".safetensors")]
            for name in (*wanted, f"{study}/{JOURNAL}"):  # the record last: with it the study is there
                _write_whole(out / name, Folder(storage).read(name))
    except OSError as error:
        raise StorageError(f"storage {storage} cannot be read: {said(error)}", "storage") from None
    return sorted(lost)


def said(error: OSError) -> str:
    """An error in a line; pyarrow's have no strerror."""
    return error.strerror or " ".join(str(error).split())


def _write_whole(path: Path, content: bytes | memoryview) -> None:
    partial = path.with_name(f"{path.name}.{socket.gethostname()}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        _forget(partial)
        raise


def _forget(partial: Path) -> None:
    try:
        partial.unlink(missing_ok=True)
    except OSError:
        return  # it was the disk that failed in the first place
