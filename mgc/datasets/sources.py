"""Where the public datasets lie on the web: addresses, sizes and published checksums. A table; it moves no byte.

GTZAN's are those that mirdata 1.0.0 publishes (mirdata/datasets/gtzan_genre.py), FMA's those of the README of
https://github.com/mdeff/fma. mirdata itself is no dependency: it brings the clients of three cloud providers
(smart_open[all]), h5py and openpyxl, and its downloads cannot be resumed. GTZAN's first home, opihi.cs.uvic.ca, is
often down; the same archive lies at huggingface.co, and the checksum decides, not the address.
"""

from __future__ import annotations

from dataclasses import dataclass

from mgc.datasets import DatasetError
from mgc.wording import nearest


@dataclass(frozen=True, kw_only=True)
class Archive:
    """One file to fetch and unpack, by whichever of its addresses answers. Sizes in bytes are about right."""

    file: str
    urls: tuple[str, ...]
    algorithm: str
    checksum: str
    num_bytes: int
    unpacked_bytes: int


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


_GTZAN_TERMS = "no license is known: for research at your own judgment, not to be passed on"

SOURCES = {
    source.name: source
    for source in (
        Source(
            name="gtzan",
            about="1000 tracks of 30 s, 10 genres (Tzanetakis and Cook 2002)",
            terms=_GTZAN_TERMS,
            archives=(
                Archive(
                    file="genres.tar.gz",
                    urls=(
                        "https://huggingface.co/datasets/marsyas/gtzan/resolve/main/data/genres.tar.gz",
                        "http://opihi.cs.uvic.ca/sound/genres.tar.gz",
                    ),
                    algorithm="md5",
                    checksum="5b3d6dddb579ab49814ab86dba69e7c7",
                    num_bytes=1_230_000_000,
                    unpacked_bytes=1_330_000_000,
                ),
            ),
            inside="genres",
        ),
        Source(
            name="gtzan_mini",
            about="100 tracks of GTZAN, 10 per genre; to be split by track, some genres are by one artist",
            terms=_GTZAN_TERMS,
            archives=(
                Archive(
                    file="gtzan_mini.zip",
                    urls=("https://github.com/TempoBeatDownbeat/gtzan_mini/archive/refs/heads/main.zip",),
                    algorithm="md5",
                    checksum="44f7f23af8363d96c59663a987f29a4c",
                    num_bytes=125_000_000,
                    unpacked_bytes=133_000_000,
                ),
            ),
            inside="gtzan_mini-main/genres",
        ),
        Source(
            name="fma_small",
            about="8000 clips of 30 s, 8 genres, with artists and a split of their own (Defferrard et al. 2017)",
            terms="each track under a free license of its own, see fma_metadata/tracks.csv; metadata CC BY 4.0",
            archives=(
                Archive(
                    file="fma_metadata.zip",
                    urls=("https://os.unil.cloud.switch.ch/fma/fma_metadata.zip",),
                    algorithm="sha1",
                    checksum="f0df49ffe5f2a6008d7dc83c6915b31835dfe733",
                    num_bytes=360_000_000,
                    unpacked_bytes=1_500_000_000,
                ),
                Archive(
                    file="fma_small.zip",
                    urls=("https://os.unil.cloud.switch.ch/fma/fma_small.zip",),
                    algorithm="sha1",
                    checksum="ade154f733639d52e35e32f5593efe5be76c6d70",
                    num_bytes=7_680_000_000,
                    unpacked_bytes=7_700_000_000,
                ),
            ),
        ),
    )
}


def source(name: str) -> Source:
    """The source of this name; DatasetError with the names that there are."""
    if name not in SOURCES:
        raise DatasetError(f"no dataset {name!r} to download{nearest(name, SOURCES)}", "dataset")
    return SOURCES[name]
