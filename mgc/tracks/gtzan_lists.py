"""What others published about the tracks of GTZAN: artists, lengths, the fault-filtered split. Opens no dataset.

GTZAN names no artists and has known faults: exact repetitions, distortion, wrong labels (Sturm 2013). Three lists come
with this package:
- data/gtzan_artists.csv: an artist's number for 948 tracks, after Sturm's catalog (Foleis and Tavares 2020). The 52
  tracks without one are exact repetitions or distorted beyond recognition.
- data/gtzan_fault_filtered/: the fault-filtered split of Kereliuk et al. 2015: 443 train, 197 validation, 290 test, 70
  excluded. By the list above artist 138 stands in train (two tracks) and test (one); otherwise no artist does.
- data/gtzan_lengths.csv: the samples of each track at 22,050 Hz, as the copy on Kaggle (andradaolteanu) lists them in
  features_30_sec.csv. They are those of the 100 tracks of mirdata's mini version.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files

from mgc.tracks.dataset import Track

GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")

BROKEN_IN_COPIES = "jazz.00054"
"""This track has no audio in the copy that Kaggle spreads."""

_DATA = files("mgc.tracks") / "data"
_ID = re.compile(rf"(?:.*/)?((?:{'|'.join(GENRES)})\.\d{{5}})(?:\.\w+)?")


def gtzan_id(track_id: str) -> str | None:
    """GTZAN's own id in a track id or file name, None where there is none.

    >>> gtzan_id("blues/blues.00000"), gtzan_id("jazz/jazz.00099.wav"), gtzan_id("blues/track 7")
    ('blues.00000', 'jazz.00099', None)
    """
    match = _ID.fullmatch(track_id)
    return match and match[1]


@cache
def artists() -> Mapping[str, str]:
    """GTZAN id -> artist, for the 948 tracks that have one."""
    rows = csv.DictReader((_DATA / "gtzan_artists.csv").read_text().splitlines())
    return {row["track_id"]: f"gtzan-{row['artist_id']}" for row in rows if row["artist_id"]}


@cache
def lengths() -> Mapping[str, int]:
    """GTZAN id -> samples at 22,050 Hz; all 1000."""
    rows = csv.DictReader((_DATA / "gtzan_lengths.csv").read_text().splitlines())
    return {row["track_id"]: int(row["samples"]) for row in rows}


@cache
def fault_filtered() -> Mapping[str, str]:
    """GTZAN id -> train, validation, test or excluded."""
    parts = {"train": "train", "valid": "validation", "test": "test", "excluded": "excluded"}
    lists = {part: (_DATA / "gtzan_fault_filtered" / f"{name}.txt").read_text().split() for name, part in parts.items()}
    return {str(gtzan_id(name)): part for part, names in lists.items() for name in names}


def with_artists(tracks: Iterable[Track]) -> list[Track]:
    """The tracks, with GTZAN's artist where a track has none and bears one of GTZAN's ids."""
    return [track if track.artist else replace(track, artist=_artist(track.track_id)) for track in tracks]


def _artist(track_id: str) -> str | None:
    own_id = gtzan_id(track_id)
    return artists().get(own_id) if own_id else None
