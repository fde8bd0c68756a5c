"""A dataset in a bucket: fetched into this node's cache once, whole, and opened from there.

What was fetched is known by the names, sizes and times of its objects: a bucket that changed is fetched again, beside
the old one, which is pruned with the cache.
"""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

from mgc import buckets
from mgc.cache import built, cache_dir
from mgc.datasets import DatasetError


def fetched(address: str) -> Path:
    """The folder or .npz on this node's disk. Raises DatasetError where the bucket cannot be read or holds nothing."""
    address = address.rstrip("/")
    try:
        one = buckets.info(address)
        found = {"": one} if one is not None else buckets.listed(address)
        if not found:
            raise DatasetError(f"no dataset at {address}: there is nothing", "dataset")
        facts = [(name, info.size, info.mtime_ns) for name, info in sorted(found.items())]
        version = blake2b(repr((address, facts)).encode(), digest_size=8).hexdigest()
        path = cache_dir() / "fetched" / version / address.rpartition("/")[2]
        path.parent.mkdir(parents=True, exist_ok=True)
        return built(path, lambda partial: buckets.fetch(address, partial))
    except OSError as error:
        raise DatasetError(f"dataset {address} cannot be fetched: {' '.join(str(error).split())}", "dataset") from None
