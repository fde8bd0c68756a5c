"""Who trains, validates and tests: no artist on two sides, the ratios kept, and clear words where that cannot be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgc.config import DataConfig
from mgc.datasets import gtzan
from mgc.datasets.registry import open_dataset
from mgc.tracks import gtzan_lists
from mgc.tracks.dataset import Dataset, Track, dataset_of
from mgc.tracks.groups import deal, group_tracks, nearest_subset
from mgc.tracks.splits import PARTS, Split, make_split
from mgc.words.errors import ConfigError


def dataset_with(artists: Mapping[str, list[int]], **more: Any) -> Dataset:
    """Per genre an artist for each number, with that many tracks: `{"blues": [3, 1]}`; 0 is a track of no artist."""
    tracks = []
    for genre, sizes in artists.items():
        for artist, size in enumerate(sizes):
            name = f"{genre} artist {artist}" if size else None
            for number in range(max(size, 1)):
                tracks.append(Track(track_id=f"{genre}/{artist:02}.{number:02}", genre=genre, artist=name, path=None))
    return dataset_of("made up", tracks, **more)


def gtzan_table() -> Dataset:
    """GTZAN as the artist table has it: 1000 tracks without their sound."""
    tracks = [
        Track(track_id=f"{genre}/{genre}.{number:05}", genre=genre, artist=None, path=None)
        for genre in gtzan.GENRES
        for number in range(100)
    ]
    return dataset_of("gtzan", gtzan_lists.with_artists(tracks), is_gtzan=True)


def split_of(dataset: Dataset, **config: Any) -> Split:
    return make_split(dataset, DataConfig.checked(config))


def shares(dataset: Dataset, split: Split, genre: str) -> dict[str, float]:
    """Share of a genre's placed tracks that each part has."""
    parts = [split.parts[t.track_id] for t in dataset.tracks if t.genre == genre and t.track_id in split.parts]
    return {part: parts.count(part) / len(parts) for part in PARTS}


def artists_on_two_sides(dataset: Dataset, split: Split) -> set[str]:
    sides: dict[str, set[str]] = {}
    for track in dataset.tracks:
        if track.artist and track.track_id in split.parts:
            sides.setdefault(track.artist, set()).add(split.parts[track.track_id])
    return {artist for artist, parts in sides.items() if len(parts) > 1}


# --- by artist and by track -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("ratios", [(60, 10, 30), (75, 0, 25), (60, 20, 20), (80, 10, 10), (50, 30, 20)])
def test_on_gtzans_artists_every_genre_keeps_the_ratios(ratios: tuple[int, int, int], seed: int) -> None:
    dataset = gtzan_table()
    split = split_of(dataset, ratios=ratios, split_seed=seed)
    assert artists_on_two_sides(dataset, split) == set()
    train, validation, test = (ratio / 100 for ratio in ratios)
    if not validation:
        train, validation = 0.9 * train, 0.1 * train
    for genre in dataset.genres:
        assert shares(dataset, split, genre) == pytest.approx(
            {"train": train, "validation": validation, "test": test}, abs=0.03
        ), genre


def test_gtzans_tracks_without_an_artist_are_left_out_with_a_note() -> None:
    dataset = gtzan_table()
    split = split_of(dataset)
    assert len(split.parts) == 948
    assert split.notes == ("52 tracks without a known artist are in no part of the split by artist",)
    unknown = next(track.track_id for track in dataset.tracks if track.artist is None)
    assert split.assign(unknown, 3) == [None, None, None]


def test_without_any_artist_every_track_is_its_own_and_the_split_says_so() -> None:
    dataset = dataset_with({"a": [0] * 10, "b": [0] * 10})
    split = split_of(dataset, ratios=(60, 10, 30))
    assert Counter(split.parts.values()) == {"train": 12, "validation": 2, "test": 6}
    assert split.notes == ("made up names no artists: every track counts as if it had an artist of its own",)


def test_an_artist_of_two_genres_stays_on_one_side() -> None:
    tracks = [
        Track(track_id=f"{genre}/{artist}.{number}", genre=genre, artist=f"artist {artist}", path=None)
        for genre in "ab"
        for artist in range(12)
        for number in range(3)
    ]
    dataset = dataset_of("shared artists", tracks)
    for seed in range(5):
        split = split_of(dataset, split_seed=seed)
        assert artists_on_two_sides(dataset, split) == set()
        assert shares(dataset, split, "a") == pytest.approx({"train": 0.6, "validation": 0.1, "test": 0.3}, abs=0.07)


@pytest.mark.parametrize("policy", ["artist", "track"])
def test_exact_repetitions_stay_on_one_side_even_under_other_names(policy: str) -> None:
    tracks = [
        Track(track_id=f"{genre}/{i:02}", genre=genre, artist=f"{genre} {i}", path=None, content=f"{genre} {i // 2}")
        for genre in "ab"
        for i in range(20)
    ]
    split = split_of(dataset_of("repetitions", tracks), split=policy)
    for i in range(0, 20, 2):
        assert split.parts[f"a/{i:02}"] == split.parts[f"a/{i + 1:02}"]


def test_equal_configs_split_equally_whatever_the_order_of_the_tracks() -> None:
    dataset = gtzan_table()
    reordered = dataset_of("gtzan", reversed(dataset.tracks))
    assert split_of(dataset) == split_of(dataset)
    assert split_of(reordered).digest == split_of(dataset).digest
    assert split_of(dataset, split_seed=1).digest != split_of(dataset).digest


def test_the_digest_covers_every_assignment() -> None:
    dataset = dataset_with({"a": [1] * 10, "b": [1] * 10})
    configs = [{"split_seed": seed} for seed in range(5)] + [{"ratios": (60, 20, 20)}, {"folds": 5, "fold": 0}]
    splits = [split_of(dataset, **config) for config in configs]
    for one, other in combinations(splits, 2):
        assert (one.digest == other.digest) == (one.parts == other.parts)


artist_sizes = st.lists(st.integers(1, 30), min_size=3, max_size=15)


@settings(max_examples=60, deadline=None)
@given(
    genres=st.lists(artist_sizes, min_size=2, max_size=4),
    ratios=st.tuples(st.integers(1, 90), st.integers(0, 40), st.integers(1, 90)),
    seed=st.integers(0, 1000),
)
def test_whatever_the_artists_all_tracks_are_placed_and_no_part_of_a_genre_is_empty(
    genres: list[list[int]], ratios: tuple[int, int, int], seed: int
) -> None:
    dataset = dataset_with({f"g{index}": sizes for index, sizes in enumerate(genres)})
    split = split_of(dataset, ratios=ratios, split_seed=seed)
    assert split.parts.keys() == {track.track_id for track in dataset.tracks}
    assert artists_on_two_sides(dataset, split) == set()
    for genre in dataset.genres:
        assert min(shares(dataset, split, genre).values()) > 0


# --- folds ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["artist", "track"])
def test_folds_validate_every_track_but_the_test_ones_once(policy: str) -> None:
    dataset = gtzan_table()
    folds = [split_of(dataset, split=policy, folds=5, fold=fold) for fold in range(5)]
    without_folds = split_of(dataset, split=policy)
    times_validated = Counter(
        track_id for split in folds for track_id, part in split.parts.items() if part == "validation"
    )
    tested = {track_id for track_id, part in without_folds.parts.items() if part == "test"}
    for split in folds:
        assert {track_id for track_id, part in split.parts.items() if part == "test"} == tested
        if policy == "artist":
            assert artists_on_two_sides(dataset, split) == set()
    assert times_validated == dict.fromkeys(without_folds.parts.keys() - tested, 1)
    assert [split.label for split in folds][1] == f"{policy} fold 2/5"


def test_folds_of_gtzan_differ_by_no_more_than_its_largest_artist() -> None:
    dataset = gtzan_table()
    folds = [split_of(dataset, folds=5, fold=fold) for fold in range(5)]
    for genre in dataset.genres:
        ids = [track.track_id for track in dataset.tracks if track.genre == genre]
        validated = [sum(split.parts.get(track_id) == "validation" for track_id in ids) for split in folds]
        artists = Counter(gtzan_lists.artists().get(str(gtzan_lists.gtzan_id(track_id))) for track_id in ids)
        assert max(validated) - min(validated) <= max(artists.values())


@pytest.mark.parametrize("seed", range(5))
def test_large_artists_are_dealt_first_so_that_the_small_ones_even_out_the_folds(seed: int) -> None:
    dataset = dataset_with({"a": [6, 4, 4, 2, 2], "b": [1] * 18})
    dealt = deal(group_tracks(dataset.tracks, by_artist=True), 3, np.random.default_rng(seed))
    sizes = [Counter(track.genre for group in part for track in group) for part in dealt]
    assert sizes == [{"a": 6, "b": 6}] * 3


def test_folds_without_a_fold_are_an_error() -> None:
    with pytest.raises(ConfigError, match=r"^fold is missing: folds 5 needs one of 0 to 4$"):
        split_of(gtzan_table(), folds=5)


# --- lists ------------------------------------------------------------------------------------------------------------


def test_fault_filtered_is_the_published_list() -> None:
    split = split_of(gtzan_table(), split="fault_filtered")
    assert Counter(split.parts.values()) == {"train": 443, "validation": 197, "test": 290}
    assert all(
        gtzan_lists.fault_filtered()[str(gtzan_lists.gtzan_id(each))] == part for each, part in split.parts.items()
    )
    assert split.label == "fault_filtered"
    assert split.notes == ("70 tracks are left out by the split 'fault_filtered'",)


def test_folds_of_fault_filtered_keep_its_test_tracks_and_its_artists_together() -> None:
    dataset = gtzan_table()
    listed = gtzan_lists.fault_filtered()
    for fold in range(5):
        split = split_of(dataset, split="fault_filtered", folds=5, fold=fold)
        tested = {str(gtzan_lists.gtzan_id(track_id)) for track_id, part in split.parts.items() if part == "test"}
        assert tested == {track_id for track_id, part in listed.items() if part == "test"}
        assert len(split.parts) == 930
        assert artists_on_two_sides(dataset, split) <= {"gtzan-138"}  # as in the list itself


def test_fault_filtered_is_for_gtzan_only() -> None:
    message = (
        r"^data\.split 'fault_filtered' lists GTZAN's tracks, and made up is not known to be GTZAN: "
        r"use --set data\.split=artist$"
    )
    with pytest.raises(ConfigError, match=message):
        split_of(dataset_with({"a": [1] * 5, "b": [1] * 5}), split="fault_filtered")


def test_a_own_split_is_kept_and_takes_validation_from_train_where_it_has_none() -> None:
    dataset = dataset_with({"a": [2] * 10, "b": [2] * 10})
    parts = {track.track_id: "test" if ".01" in track.track_id else "train" for track in dataset.tracks}
    given_ = dataset_of("given", dataset.tracks, own_split=parts | {"a/00.00": "excluded"})
    split = split_of(given_, split="given")
    assert {track_id for track_id, part in split.parts.items() if part == "test"} == {
        track_id for track_id, part in parts.items() if part == "test"
    }
    assert Counter(split.parts.values()) == {"train": 17, "validation": 2, "test": 20}
    assert "a/00.00" not in split.parts


def test_a_dataset_without_a_split_of_its_own_has_none_to_give() -> None:
    with pytest.raises(ConfigError, match=r"^made up has no split of its own: use --set data\.split=artist$"):
        split_of(dataset_with({"a": [1] * 5, "b": [1] * 5}), split="given")


def test_a_list_that_leaves_a_genre_without_training_is_an_error() -> None:
    dataset = dataset_with({"a": [2] * 5, "b": [2] * 5})
    parts = {
        t.track_id: "test" if t.genre == "a" else ("train", "validation")[i % 2] for i, t in enumerate(dataset.tracks)
    }
    with pytest.raises(
        ConfigError, match=r"^data\.split 'given' leaves no train tracks of a: use --set data\.split=track$"
    ):
        split_of(dataset_of("given", dataset.tracks, own_split=parts), split="given")


def test_last_ten_tests_on_the_last_ten_of_each_genre() -> None:
    split = split_of(gtzan_table(), split="last_ten")
    assert Counter(split.parts.values()) == {"train": 810, "validation": 90, "test": 100}
    assert {each for each, part in split.parts.items() if part == "test"} == {
        f"{genre}/{genre}.000{number}" for genre in gtzan.GENRES for number in range(90, 100)
    }


# --- clips ------------------------------------------------------------------------------------------------------------


def test_clips_of_a_track_are_spread_by_the_ratios() -> None:
    split = split_of(gtzan_table(), split="clip", ratios=(60, 10, 30))
    assert split.label == "clip (leaky)"
    for track_id in ("rock/rock.00000", "pop/pop.00099"):
        assert Counter(split.assign(track_id, 10)) == {"train": 6, "validation": 1, "test": 3}
        assert split.assign(track_id, 10) == split.assign(track_id, 10)
    assert split.assign("rock/rock.00000", 10) != split.assign("rock/rock.00001", 10)


def test_few_clips_per_track_keep_the_ratios_over_many_tracks() -> None:
    split = split_of(gtzan_table(), split="clip", ratios=(50, 30, 20))
    parts = Counter(part for number in range(2000) for part in split.assign(f"track {number}", 3))
    assert parts["train"] / 6000 == pytest.approx(0.5, abs=0.02)
    assert parts["validation"] / 6000 == pytest.approx(0.3, abs=0.02)


def test_folds_of_clips_validate_every_clip_once() -> None:
    dataset = gtzan_table()
    folds = [split_of(dataset, split="clip", folds=7, fold=fold) for fold in range(7)]
    assert folds[2].label == "clip (leaky) fold 3/7"
    by_clip = list(zip(*(split.assign("rock/rock.00000", 10) for split in folds), strict=True))
    assert Counter(by_clip)[("test",) * 7] == 3
    assert all(parts.count("validation") == 1 for parts in by_clip if "test" not in parts)
    assert len({split.digest for split in folds}) == 7


def test_by_track_all_clips_go_together() -> None:
    split = split_of(gtzan_table(), split="track")
    assert split.assign("rock/rock.00000", 19) == [split.parts["rock/rock.00000"]] * 19


# --- what cannot be divided -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("artists", "config", "message"),
    [
        (
            {"blues": [10], "pop": [1] * 10},
            {},
            "data.split 'artist' needs >= 3 artists per genre; blues has 1: use --set data.split=track",
        ),
        (
            {"blues": [5] * 4, "pop": [1] * 10},
            {"folds": 4, "fold": 0},
            "data.split 'artist' with 4 folds needs >= 5 artists per genre; blues has 4: use --set data.split=track",
        ),
        (
            {"blues": [2], "pop": [1] * 10},
            {},
            "data.split 'artist' needs >= 3 artists per genre; blues has 1: add tracks, or take the genre out",
        ),
        (
            {"blues": [0, 0, 0], "pop": [1] * 10},
            {},
            "data.split 'artist' needs >= 3 artists per genre; blues has 0: use --set data.split=track",
        ),
        (
            {"blues": [2], "pop": [1] * 10},
            {"split": "track"},
            "data.split 'track' needs >= 3 tracks per genre; blues has 2: add tracks, or take the genre out",
        ),
        (
            {"blues": [7], "pop": [1] * 20},
            {"split": "last_ten"},
            "data.split 'last_ten' needs >= 12 tracks per genre; blues has 7: use --set data.split=track",
        ),
    ],
)
def test_a_genre_that_cannot_be_split_is_named_with_what_works(
    artists: dict[str, list[int]], config: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as error:
        split_of(dataset_with(artists), **config)
    assert str(error.value) == message
    assert error.value.key == "split"


def test_artists_that_are_all_shared_by_the_genres_may_be_too_few() -> None:
    tracks = [
        Track(track_id=f"{genre}/{artist}.{number}", genre=genre, artist=str(artist), path=None)
        for genre, artists in (("a", (0, 1, 2)), ("b", (0, 1, 2)))
        for artist in artists
        for number in range(5)
    ]
    with pytest.raises(
        ConfigError, match=r"^data\.split 'artist' leaves no \w+ tracks of a: use --set data\.split=track$"
    ):
        split_of(dataset_of("shared", tracks), ratios=(90, 1, 9))


def test_gtzan_mini_can_be_split_by_track_not_by_artist(gtzan_mini: Any) -> None:
    dataset = open_dataset(str(gtzan_mini))
    with pytest.raises(
        ConfigError, match=r"^data\.split 'artist' needs >= 3 artists per genre; blues has 1: use --set"
    ):
        split_of(dataset)
    assert Counter(split_of(dataset, split="track").parts.values()) == {"train": 60, "validation": 10, "test": 30}


# --- groups -----------------------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(sizes=st.lists(st.integers(1, 20), min_size=1, max_size=8), target=st.integers(-5, 60))
def test_no_choice_of_items_comes_nearer_to_the_target(sizes: list[int], target: int) -> None:
    chosen = nearest_subset(sizes, target)
    assert len(set(chosen)) == len(chosen) > 0
    sums = [sum(each) for number in range(1, len(sizes) + 1) for each in combinations(sizes, number)]
    assert abs(sum(sizes[index] for index in chosen) - target) == min(abs(sum_ - target) for sum_ in sums)


def test_groups_hold_together_what_is_linked_by_others() -> None:
    def track(track_id: str, artist: str | None, content: str | None) -> Track:
        return Track(track_id=track_id, genre="a", artist=artist, path=None, content=content)

    tracks = [
        track("1", "x", "p"),
        track("2", "y", "p"),
        track("3", "y", "q"),
        track("4", None, None),
        track("5", "z", "r"),
    ]
    assert [[t.track_id for t in group] for group in group_tracks(tracks, by_artist=True)] == [
        ["1", "2", "3"],
        ["4"],
        ["5"],
    ]
    assert [[t.track_id for t in group] for group in group_tracks(tracks, by_artist=False)] == [
        ["1", "2"],
        ["3"],
        ["4"],
        ["5"],
    ]
