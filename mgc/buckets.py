"""Objects in a bucket, by addresses such as s3://bucket/folder/name: pyarrow, and nothing of what they are.

Credentials and endpoint are AWS's usual ones: the machine's instance profile, or AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL
and the rest of the environment. An object appears whole or not at all, and a second one takes the first one's place.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyarrow.fs import FileInfo

SCHEME = "s3://"


def is_address(text: str) -> bool:
    """Whether something is in a bucket rather than on a disk."""
    return text.startswith(SCHEME)


def read(address: str) -> bytes:
    """An object's bytes. Raises FileNotFoundError where there is none, OSError where it cannot be had."""
    system, path = _found(address)
    with system.open_input_file(path) as file:
        content: bytes = file.read()
    return content


def write(address: str, content: bytes | memoryview) -> None:
    """Put an object there. Raises OSError where it cannot be."""
    system, path = _found(address)
    with system.open_output_stream(path) as file:
        file.write(content)


def listed(address: str) -> dict[str, FileInfo]:
    """The objects below an address by their names from there on, at any depth; none where there is nothing.

    Each has `size` in bytes and `mtime_ns`.
    """
    from pyarrow.fs import FileSelector, FileType

    system, path = _found(address)
    below = system.get_file_info(FileSelector(path, recursive=True, allow_not_found=True))
    return {info.path[len(path) + 1 :]: info for info in below if info.type == FileType.File}


def info(address: str) -> FileInfo | None:
    """Size and time of one object; None where there is no such object."""
    from pyarrow.fs import FileType

    system, path = _found(address)
    found = system.get_file_info(path)
    return found if found.type == FileType.File else None


def remove(address: str) -> None:
    """Delete an object; there may be none."""
    if info(address) is not None:
        system, path = _found(address)
        system.delete_file(path)


def fetch(address: str, to: Path) -> None:
    """Copy an object to a file, or all objects below an address to a folder, several at once."""
    from pyarrow.fs import LocalFileSystem, copy_files

    system, path = _found(address)
    if info(address) is None:
        to.mkdir(parents=True, exist_ok=True)
    copy_files(path, str(to), source_filesystem=system, destination_filesystem=LocalFileSystem())


def _found(address: str) -> tuple[Any, str]:
    from pyarrow.fs import FileSystem

    system, path = FileSystem.from_uri(
        f"{address}?allow_delayed_open=true"
    )  # one request for a small object, not three
    return system, path.rstrip("/")
