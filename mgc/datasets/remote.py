"""A dataset in a bucket: it is copied into this node's cache once, whole, and opened from there.

A copy is identified by the names, sizes and times of the bucket's objects. A bucket that has changed gets a second
copy; the old one stays until the cache is pruned.
"""

from __future__ import annotations

import shutil
from functools import partial
from hashlib import blake2b
from pathlib import Path

from mgc.files import buckets
from mgc.files.cache import cache_dir
from mgc.files.sealed import sealed
from mgc.tracks.dataset import DatasetError


def local_copy(address: str) -> Path:
    """The folder or .npz on this node's disk. Raises DatasetError for a bucket that cannot be read or is empty."""
    address = address.rstrip("/")
    try:
        one = buckets.info(address)
        objects = {"": one} if one is not None else buckets.listed(address)
        if not objects:
            raise DatasetError(f"no dataset at {address}: no object is there", "dataset")
        facts = [(name, info.size, info.mtime_ns) for name, info in sorted(objects.items())]
        version = blake2b(repr((address, facts)).encode(), digest_size=8).hexdigest()
        name = address.rpartition("/")[2]
        num_bytes = sum(info.size for info in objects.values())
        return sealed(cache_dir() / "fetched" / version, partial(_fetch, address, name, num_bytes)) / name
    except OSError as error:
        raise DatasetError(f"dataset {address} cannot be fetched: {' '.join(str(error).split())}", "dataset") from None


def _fetch(address: str, name: str, num_bytes: int, folder: Path) -> None:
    free = shutil.disk_usage(folder.parent).free
    if free < num_bytes:
        raise DatasetError(
            f"dataset {address} needs {num_bytes / 1e9:.1f} GB in {cache_dir()}, {free / 1e9:.1f} GB are free "
            "(set MGC_CACHE to another folder)",
            "dataset",
        )
    folder.mkdir()
    buckets.fetch(address, folder / name)
