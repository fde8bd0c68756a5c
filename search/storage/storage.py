"""The storage of a study, for what other machines need: a folder on a disk that they share, or an address in a bucket.

    s3://bucket/studies/se_ratio-001/record.log               copied there while the study runs
    s3://bucket/studies/se_ratio-001/trials/00007/checkpoint.pt

Both are used in the same way, and a file appears whole or not at all. `replace` is for files that several machines may
write at once. A new machine restores from here the studies of a machine that was lost. This file knows names of files,
and must not know what is in them.
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from mgc.files import buckets
from mgc.files.paths import expanded
from mgc.files.whole import own_name, write_if, write_new, write_whole
from mgc.words.errors import ConfigError, one_line
from search.record.files import JOURNAL, PLUGINS

PROBE = ".writable"
"""A file that is written and deleted again, to find out whether a storage can be written."""


class StorageError(ConfigError):
    """A storage that cannot be read or written, or an address that is none."""


class Folder:
    """A folder on a disk, or one under an address of a bucket. Files have names such as `00007/checkpoint.pt`."""

    def __init__(self, address: Path | str) -> None:
        self.address = str(address).rstrip("/")
        self._is_remote = buckets.is_address(self.address)

    def below(self, name: str) -> Folder:
        return Folder(f"{self.address}/{name}")

    def read(self, name: str) -> bytes:
        """The content of a file. Raises FileNotFoundError where there is none, OSError where it cannot be read."""
        return buckets.read(self._at(name)) if self._is_remote else Path(self._at(name)).read_bytes()

    def write(self, name: str, content: bytes | memoryview) -> None:
        """Write or replace a file; the last one stays until the new one is whole. Raises OSError."""
        if self._is_remote:
            buckets.write(self._at(name), content)
        else:
            write_whole(Path(self._at(name)), content)

    def version_and_content(self, name: str) -> tuple[str, bytes] | None:
        """A file with the version that `replace` asks for; None where there is no such file. Raises OSError."""
        if self._is_remote:
            return buckets.version_and_content(self._at(name))
        with suppress(FileNotFoundError), Path(self._at(name)).open("rb") as file:
            return _version(file), file.read()
        return None

    def replace(self, name: str, content: bytes, version: str | None) -> str | None:
        """Write a file if it still has this version; None stands for no file. Returns the new version; None, and writes
        nothing, where another process has written or deleted the file meanwhile. Raises OSError.

        Only one of several processes creates a file, on any storage that `excludes`. A bucket replaces one in one step
        too. On a disk, nothing but a moment lies between the look at the version and the new file.
        """
        if self._is_remote:
            with suppress(buckets.UnconditionalError):
                return buckets.replace(self._at(name), content, version)
        elif version is None:
            return self._version(name) if write_new(Path(self._at(name)), content) else None
        return self._compare_and_write(name, content, version)

    def excludes(self, name: str, content: bytes) -> bool:
        """Whether this storage refuses to create a file that is there, as `name` is, with this content. Some servers
        that speak S3's language write it in any case.
        """
        try:
            return not self._is_remote or buckets.replace(self._at(name), content, None) is None
        except buckets.UnconditionalError:
            return False

    def age_s(self, name: str) -> float:
        """Seconds since a file was written, by the storage's own clock. Raises FileNotFoundError, OSError."""
        if self._is_remote:
            return buckets.age_s(self._at(name))
        path = Path(self._at(name))
        probe = own_name(path)
        try:
            probe.touch()
            return probe.stat().st_mtime - path.stat().st_mtime
        finally:
            probe.unlink(missing_ok=True)

    def files(self) -> dict[str, int]:
        """The sizes in bytes of the files at any depth, by name; none where there is no folder.

        Raises OSError where the folder cannot be read: that it is empty is not known then.
        """
        if self._is_remote:
            return {name: info.size for name, info in buckets.listed(self.address).items()}
        sizes = {}
        for folder, _, names in os.walk(self.address, onerror=_raise_unless_missing):
            for name in names:
                path = Path(folder, name)
                with suppress(FileNotFoundError):  # a worker has renamed it meanwhile
                    status = path.stat()
                    if stat.S_ISREG(status.st_mode):
                        sizes[path.relative_to(self.address).as_posix()] = status.st_size
        return sizes

    def remove(self, name: str) -> None:
        """Delete a file, and on a disk its folder if that is empty then. A file that cannot be deleted stays."""
        try:
            if self._is_remote:
                buckets.remove(self._at(name))
                return
            path = Path(self._at(name))
            path.unlink(missing_ok=True)
            path.parent.rmdir()
        except OSError:
            return  # the folder has other files, or the disk does not answer

    def check(self) -> None:
        """Raises StorageError where nothing can be written."""
        try:
            self.write(PROBE, b"")
            self.remove(PROBE)
        except OSError as error:
            raise StorageError(f"storage {self.address} cannot be written: {error_text(error)}", "storage") from None

    def _compare_and_write(self, name: str, content: bytes, version: str | None) -> str | None:
        def is_unchanged() -> bool:
            return self._version(name) == version

        if not self._is_remote:
            return self._version(name) if write_if(Path(self._at(name)), content, is_unchanged) else None
        if not is_unchanged():
            return None
        self.write(name, content)
        return self._version(name)

    def _version(self, name: str) -> str | None:
        if self._is_remote:
            found = self.version_and_content(name)
            return None if found is None else found[0]
        with suppress(FileNotFoundError), Path(self._at(name)).open("rb") as file:
            return _version(file)
        return None

    def _at(self, name: str) -> str:
        return f"{self.address}/{name}"


def _version(file: BinaryIO) -> str:
    """What changes whenever a file on a disk is replaced. NFS asks its server for it when the file is opened."""
    status = os.fstat(file.fileno())
    return f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def storage_address(text: str) -> str:
    """The address of the storage that a user names: s3://bucket/path, or the absolute path of a folder.

    Raises StorageError for any other kind of address.
    """
    if re.fullmatch(rf"{buckets.SCHEME}[A-Za-z0-9][\w.-]*(/.*)?", text, flags=re.ASCII):
        return text.rstrip("/")
    if "://" in text or not text:
        raise StorageError(f"storage must be s3://BUCKET/PATH or a folder, got {text!r}", "storage")
    return str(expanded(text).absolute())


def restore_studies(storage: str, out: Path, *, space: str, name: str | None) -> list[str]:
    """Copy the studies SPACE-NNN, or the one of this name, from a storage to `out`, unless they are there already.

    Returns the names of the copied studies, sorted. So a new machine can resume the studies of a lost one, and gives no
    name twice. Raises StorageError.
    """
    pattern = re.compile(rf"{re.escape(space)}-\d+" if name is None else re.escape(name))
    try:
        files = Folder(storage).files()
        studies = [file.removesuffix(f"/{JOURNAL}") for file in files if file.endswith(f"/{JOURNAL}")]
        missing = [study for study in studies if pattern.fullmatch(study) and not (out / study / JOURNAL).exists()]
        for study in missing:
            others = [file for file in files if file.startswith(f"{study}/") and _is_restored(file)]
            for file in (*others, f"{study}/{JOURNAL}"):  # the record last: a study exists once its record does
                write_whole(out / file, Folder(storage).read(file))
    except OSError as error:
        raise StorageError(f"storage {storage} cannot be read: {error_text(error)}", "storage") from None
    return sorted(missing)


def _is_restored(file: str) -> bool:
    """Whether a study that goes on may need it: its weights, and the texts of its plug-ins."""
    return file.endswith(".safetensors") or f"/{PLUGINS}/" in file


def error_text(error: OSError) -> str:
    """An error in one line; those of pyarrow have no strerror."""
    return error.strerror or one_line(error)
