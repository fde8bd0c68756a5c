"""Reads files that may be anything: regular files alone, their hashes, and JSON that carries its own checksum.

Knows none of the things that the files hold.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable
from hashlib import blake2b, file_digest
from io import BufferedReader
from pathlib import Path
from typing import Any

from mgc.files.whole import write_whole


class NotRegularError(OSError):
    """A pipe, a device or a socket stands where a file should be."""


def open_regular(path: Path) -> BufferedReader:
    """A regular file, opened to be read. OSError for everything else: a pipe or a device may have no end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # without the flag a pipe waits for somebody to write
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise NotRegularError(errno.EINVAL, "not a regular file", str(path))


def file_hash(path: Path) -> str:
    """16 hex digits of a regular file's bytes. Raises OSError."""
    with open_regular(path) as file:
        return file_digest(file, lambda: blake2b(digest_size=8)).hexdigest()


def write_checked(path: Path, content: Any) -> None:
    """Write content as JSON with its checksum, in place of the last file, which stays until then. Raises OSError."""
    write_whole(path, json.dumps({"checksum": _checksum(content), "content": content}))


def read_checked(path: Path) -> Any:
    """The content that `write_checked` wrote. ValueError where the file does not hold exactly that; OSError."""
    with open_regular(path) as file:
        document = json_of(file.read())
    match document:
        case {"checksum": checksum, "content": content} if checksum == _checksum(content):
            return content
    raise ValueError("the checksum is missing or is that of another content")


def json_of(content: bytes, object_of: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """The value of a JSON document, whose objects are made by `object_of` (default: dicts). ValueError for anything
    else, brackets by the thousand too.
    """
    try:
        return json.loads(content, object_pairs_hook=object_of)
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def _checksum(content: Any) -> str:
    return blake2b(json.dumps(content).encode(), digest_size=8).hexdigest()
