"""Arrays in an .npz file that may hold anything: no array is read before its header is checked. Unpickles nothing.

A header may promise more than the file holds, and a small compressed file may hold more than the machine's memory. So
what a header promises is compared with the size of the file first, and long arrays are read item by item.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from zipfile import ZipFile

import numpy as np
import numpy.typing as npt
from numpy.lib import format

from mgc.words.errors import ConfigError, one_line

Array = npt.NDArray[Any]

SUFFIX = ".npy"

DENSEST = 1100
"""Deflate makes at most 1032 bytes of one."""

_READ_HEADER = {(1, 0): format.read_array_header_1_0, (2, 0): format.read_array_header_2_0}


class NpzError(ConfigError):
    """A file is no .npz, or an array in it cannot be read; the message is one line with the file and the array."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """What an array's header says, once it agrees with the size of the file."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    in_columns: bool
    """Whether the first index changes the fastest (Fortran's order)."""

    @property
    def num_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def headers(path: Path) -> dict[str, Header]:
    """The header of every array, by the array's name. Raises NpzError."""
    with _archive(path) as archive:
        names = [name.removesuffix(SUFFIX) for name in archive.namelist() if name.endswith(SUFFIX)]
        return {name: _header(archive, name, path) for name in names}


def read_array(path: Path, name: str) -> Array:
    """One whole array. Raises NpzError."""
    with _archive(path) as archive:
        _header(archive, name, path)
        with _refused(path, name), archive.open(name + SUFFIX) as file:
            return np.asarray(format.read_array(file, allow_pickle=False))


def items(path: Path, name: str) -> Iterator[Array]:
    """The items of an array along its first axis, one after another, each read from the file when it is asked for.

    Raises NpzError, perhaps only after some items: the end of a file may be damaged.
    """
    with _archive(path) as archive:
        header = _header(archive, name, path)
        if header.in_columns:
            yield from read_array(path, name)
            return
        shape = header.shape[1:]
        with archive.open(name + SUFFIX) as file:
            _parsed(file)
            for _ in range(header.shape[0]):
                with _refused(path, name):
                    values = file.read(math.prod(shape) * header.dtype.itemsize)
                    item = np.frombuffer(values, header.dtype).reshape(shape)
                yield item


@contextmanager
def _archive(path: Path) -> Iterator[ZipFile]:
    with _refused(path):
        archive = ZipFile(path)
    with archive:
        yield archive


def _header(archive: ZipFile, name: str, path: Path) -> Header:
    """The header of an array, which promises no more than the file holds."""
    with _refused(path, name):
        member = archive.NameToInfo.get(name + SUFFIX)
        if member is None:
            raise NpzError(f"{path}: array {name!r} is missing")
        if member.compress_size > path.stat().st_size or member.file_size > DENSEST * member.compress_size:
            raise ValueError(f"{member.file_size} bytes cannot be in {member.compress_size} of this file")
        with archive.open(member) as file:
            header = _parsed(file)
            num_bytes = member.file_size - file.tell()
        if header.dtype.hasobject:
            raise ValueError("it holds Python objects")
        if min(header.shape, default=0) < 0 or header.num_bytes != num_bytes:
            raise ValueError(
                f"its header promises the shape {header.shape} of {header.dtype}, it has {num_bytes} bytes"
            )
        return header


def _parsed(file: IO[bytes]) -> Header:
    """What the beginning of an array says; the values follow. Raises errors of many types."""
    version = format.read_magic(file)
    if version not in _READ_HEADER:
        raise ValueError(f"it has version {version} of NumPy's format")
    shape, in_columns, dtype = _READ_HEADER[version](file)
    return Header(shape=tuple(shape), dtype=dtype, in_columns=in_columns)


@contextmanager
def _refused(path: Path, name: str | None = None) -> Iterator[None]:
    """Make one line of whatever NumPy, zipfile and zlib raise for a damaged file: errors of a dozen types."""
    what = "cannot be read as .npz" if name is None else f"array {name!r} cannot be read"
    try:
        yield
    except NpzError:
        raise
    except Exception as error:
        raise NpzError(f"{path}: {what}: {one_line(error)}") from None
