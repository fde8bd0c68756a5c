"""Where a public dataset lies on the web: addresses, sizes and published checksums. Downloads nothing.

Each dataset's own file has its source. mirdata is no dependency, although it has such tables: it brings the clients of
three cloud providers (smart_open[all]), h5py and openpyxl, and its downloads cannot be resumed.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Archive:
    """One file to download and unpack, from the first of its addresses that answers. Sizes are approximate."""

    file: str
    urls: tuple[str, ...]
    algorithm: str
    checksum: str
    num_bytes: int
    unpacked_bytes: int

    @property
    def most_bytes(self) -> int:
        """No transfer of the file is longer than this, whatever a server sends."""
        return self.num_bytes * 5 // 4


@dataclass(frozen=True, kw_only=True)
class Source:
    """A dataset that can be downloaded. `inside` is the folder of the unpacked archives that is the dataset."""

    name: str
    about: str
    terms: str
    archives: tuple[Archive, ...]
    inside: str = "."

    @property
    def num_bytes(self) -> int:
        return sum(archive.num_bytes for archive in self.archives)
