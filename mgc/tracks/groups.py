"""Groups of tracks that must stay together, and how to choose some of the groups. Knows nothing of split policies."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import count

import numpy as np

from mgc.tracks.dataset import Track

Group = tuple[Track, ...]


def group_tracks(tracks: Iterable[Track], *, by_artist: bool) -> list[Group]:
    """The tracks in groups of equal content and, with `by_artist`, of equal artist.

    If a belongs to b and b to c, all three are one group.
    """
    tracks = sorted(tracks, key=lambda track: track.track_id)
    leader: dict[tuple[str, str], tuple[str, str]] = {}

    def find(key: tuple[str, str]) -> tuple[str, str]:
        while leader.setdefault(key, key) != key:
            key = leader[key]
        return key

    for track in tracks:
        for kind, value in (("content", track.content), ("artist", track.artist if by_artist else None)):
            if value is not None:
                leader[find(("track", track.track_id))] = find((kind, value))
    members: dict[tuple[str, str], list[Track]] = defaultdict(list)
    for track in tracks:
        members[find(("track", track.track_id))].append(track)
    return [tuple(group) for group in members.values()]


def take(
    groups: Sequence[Group], share: float, *, leave: int, rng: np.random.Generator
) -> tuple[list[Group], list[Group]]:
    """Random groups that together hold about this share of every genre's tracks; and the other groups.

    At least one group of a genre is chosen and at least `leave` are not, where it has so many. First come groups of
    several genres, if they bring these genres nearer to their shares; then groups of one genre, until the share is as
    near as their sizes allow.
    """
    shuffled = [groups[index] for index in rng.permutation(len(groups))]
    missing = {genre: share * number for genre, number in _count(groups).items()}
    chosen: list[Group] = []
    for group in shuffled:
        if len(numbers := _count([group])) > 1 and _gain(numbers, missing) > 0:
            chosen.append(group)
            missing = {genre: target - numbers[genre] for genre, target in missing.items()}
    for genre, own in sorted(_by_genre(shuffled).items()):
        chosen += _nearest(own, missing[genre], leave)
    ids = {id(group) for group in chosen}
    return chosen, [group for group in groups if id(group) not in ids]


def deal(groups: Sequence[Group], num_parts: int, rng: np.random.Generator) -> list[list[Group]]:
    """The groups in parts with about equal numbers of every genre's tracks.

    The largest group comes first; each group goes to the part that has the fewest tracks of its genres.
    """
    parts: list[list[Group]] = [[] for _ in range(num_parts)]
    numbers: list[Counter[str]] = [Counter() for _ in range(num_parts)]
    shuffled = [groups[index] for index in rng.permutation(len(groups))]
    for group in sorted(shuffled, key=len, reverse=True):
        genres = {track.genre for track in group}
        least = min(range(num_parts), key=lambda part: (sum(numbers[part][g] for g in genres), numbers[part].total()))
        parts[least].append(group)
        numbers[least] += _count([group])
    return parts


def _count(groups: Iterable[Group]) -> Counter[str]:
    """The number of tracks of each genre."""
    return Counter(track.genre for group in groups for track in group)


def _gain(numbers: Counter[str], missing: dict[str, float]) -> float:
    """By how many tracks the genres come nearer to their shares, from which so many are `missing`."""
    return sum(abs(missing[genre]) - abs(missing[genre] - number) for genre, number in numbers.items())


def _by_genre(groups: Iterable[Group]) -> dict[str, list[Group]]:
    """The groups that have one genre only, by genre."""
    own: dict[str, list[Group]] = defaultdict(list)
    for group in groups:
        if len({track.genre for track in group}) == 1:
            own[group[0].genre].append(group)
    return own


def _nearest(groups: Sequence[Group], target: float, leave: int) -> list[Group]:
    """Groups whose number of tracks is as near to `target` as possible; at least one, and at least `leave` not."""
    most = len(groups) - leave
    if most < 1:
        return []
    chosen = [groups[index] for index in nearest_subset([len(group) for group in groups], round(target))]
    return sorted(chosen, key=len, reverse=True)[:most]


def nearest_subset(sizes: Sequence[int], target: int) -> list[int]:
    """Indices of at least one item, whose sizes (>= 1) have the sum that is nearest to the target.

    Exact: bit s of `reachable[i]` is 1 if some of the first i items have the sum s. Of equally good choices it returns
    one among the first items, so the choice is random if the items are in random order.

    >>> nearest_subset([17, 13, 12, 2], 30), nearest_subset([17, 13, 12, 2], 1)
    ([1, 0], [3])
    """
    reachable = [1]
    for size in sizes:
        if target > 0 and reachable[-1] >> target & 1:
            break
        reachable.append(reachable[-1] | reachable[-1] << size)
    total = next(
        sum_
        for distance in count()
        for sum_ in (target - distance, target + distance)
        if sum_ > 0 and reachable[-1] >> sum_ & 1
    )
    chosen = []
    for index in reversed(range(len(reachable) - 1)):
        if not reachable[index] >> total & 1:
            chosen.append(index)
            total -= sizes[index]
    return chosen
