"""The answer of a search in two sentences, each score with its split and its interval. Reads the study's folder only.

The first sentence names the best trial, the second says whether its lead is more than noise. A search knows of noise
only how far chance carries one accuracy on this many tracks; a confirmation (search.results.confirmed) knows more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mgc.config import Vote
from mgc.training.metrics import Predictions
from search.record.files import VALIDATION
from search.record.header import StudyHeader
from search.record.notes import TRACKING_URI
from search.record.ranking import Network, networks
from search.record.record import Record
from search.record.trial import TrialRecord
from search.results.commands import confirm_command
from search.results.predictions import read_predictions
from search.settings.objectives import Objectives, plain_name
from search.stats import Floats, Interval, over_tracks
from search.words import named, numbered

VOTES: Mapping[str, Vote] = {"val_accuracy_sum": "sum", "val_accuracy_majority": "majority"}
"""The vote of the metrics that name one; `val_accuracy` is under the trial's own."""
BY_CLIPS = "val_clip_accuracy"
ACCURACIES = ("val_accuracy", BY_CLIPS, *VOTES)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The sentences, and what nobody may overlook when reading them."""

    sentences: tuple[str, ...]
    cautions: tuple[str, ...]

    @property
    def text(self) -> str:
        return " ".join(self.sentences)


def search_answer(record: Record) -> Answer:
    """What the search says, before anything is confirmed."""
    header, trials = record.header, record.trials()
    groups = networks(trials, header.objectives)
    if not groups:
        return Answer(sentences=(why_no_best(trials, header.objectives),), cautions=header.cautions)
    interval = best_interval(record, groups[0].trials[0])
    sentences = (_best_sentence(header, groups, len(trials), interval), _noise_sentence(record, groups, interval))
    return Answer(sentences=sentences, cautions=header.cautions)


def why_no_best(trials: Sequence[TrialRecord], objectives: Objectives) -> str:
    """A sentence that says why there is no best trial."""
    reasons = list(dict.fromkeys(trial.reason for trial in trials if trial.state == "failed" and trial.reason))
    why = f": {reasons[0]}" if reasons else ""
    complete = [trial for trial in trials if trial.state == "complete"]
    if complete and not any(objectives.is_feasible(trial.last) for trial in complete):
        return f"None of {len(complete)} complete trials keeps {objectives.constraints_text}, so there is no answer."
    if complete:
        return f"None of {len(complete)} complete trials has a score that is a number, so there is no answer{why}."
    return f"No trial of {len(trials)} used its whole budget, so there is no answer{why}."


def best_interval(record: Record, best: TrialRecord) -> Interval | None:
    """The best trial's accuracy, by tracks or by clips, with its interval over the validation tracks.

    None where the study's metric is no accuracy, or no predictions are kept. Clips of one track are right together, so
    tracks are drawn for an accuracy by clips as well. The accuracy of a mean over epochs has the width of the last
    epoch's interval: its tracks are the same.
    """
    path, full_name = record.folder / VALIDATION, record.header.metric
    metric = plain_name(full_name)
    if not path.is_file() or metric not in ACCURACIES:
        return None
    predictions, _ = read_predictions(path)
    if metric == BY_CLIPS:
        right_M = right_share(predictions)
    else:
        own: Vote = "sum" if best.params.get("vote", "sum") != "majority" else "majority"
        right_M = is_right(predictions, VOTES.get(metric, own))
    return over_tracks(right_M[None]).moved(best.last[full_name])


def is_right(predictions: Predictions, vote: Vote) -> Floats:
    """Whether the genre predicted for each track (M,) is the true one, as 0 or 1."""
    probabilities_MG, label_M = predictions.by(vote)
    return np.asarray(probabilities_MG.argmax(axis=1) == label_M, dtype=float)


def right_share(predictions: Predictions) -> Floats:
    """The share of each track's clips (M,) whose predicted genre is the true one."""
    right_N = is_right(predictions, "none")
    return np.asarray(np.bincount(predictions.track_N, right_N) / np.bincount(predictions.track_N))


def _best_sentence(header: StudyHeader, groups: Sequence[Network], num_trials: int, interval: Interval | None) -> str:
    trial, score = groups[0].trials[0], f"{header.metric} {groups[0].scores[0]:.3f}"
    if interval is not None:
        score += f" [{interval.low:.3f}, {interval.high:.3f}] (95 % bootstrap over the validation tracks)"
    return (
        f"The best of {num_trials} trials is {named(trial.varying)} (trial {trial.number}): {score} "
        f"on {header.dataset_label}, split {header.split}{_repeats_phrase(groups[0])}."
    )


def _repeats_phrase(network: Network) -> str:
    if network.std is None:
        return ", one training"
    others = numbered([trial.number for trial in network.trials[1:]])
    return (
        f"; with {others} of the same network the mean is {network.mean:.3f}, the standard deviation {network.std:.3f}"
    )


def _noise_sentence(record: Record, groups: Sequence[Network], interval: Interval | None) -> str:
    """What the search can say of noise: how many other networks lie within the interval of the best."""
    command = confirm_command(record.folder, tracking_uri=record.noted(TRACKING_URI))
    confirm = f"`{command}` trains the best again with new seeds and measures it on the test part"
    others = groups[1:]
    if not others:
        return f"It is the only network that was trained to the end, so there is nothing to compare it with; {confirm}."
    if interval is None:
        rest = "other network" if len(others) == 1 else f"{len(others)} other networks"
        return f"How much of the lead over the {rest} is noise, this search cannot tell; {confirm}."
    within = sum(network.scores[0] >= interval.low for network in others)
    if within:
        lie = _lie(within, len(others))
        return f"{lie} within that interval: this search shows no difference at 95 %; {confirm}."
    lie = _lie(len(others), len(others))
    return f"{lie} below that interval, but the best of many owes some of its score to chance; {confirm}."


def _lie(number: int, of: int) -> str:
    """The beginning of a sentence about where so many of the other networks lie.

    >>> _lie(1, 1), _lie(3, 3), _lie(1, 3)
    ('The other network trained to the end lies', 'All 3 other networks trained to the end lie', '1 of the 3 other \
networks trained to the end lies')
    """
    if of == 1:
        which = "The other network"
    else:
        all_of_them = "Both" if of == 2 else f"All {of}"
        which = f"{all_of_them} other networks" if number == of else f"{number} of the {of} other networks"
    return f"{which} trained to the end lie{'s' if number == 1 else ''}"
