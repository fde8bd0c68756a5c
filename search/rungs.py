"""ASHA: made of a study's budget, and made to know again what the record says of trials that were reported before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

from search.objectives import Objectives
from search.record import Record, TrialRecord
from search.study import Budget


def asha(budget: Budget, objectives: Objectives) -> TrialScheduler:
    """ASHA with one bracket where the budget has rungs. Its clock is our epoch: Ray's own starts again at 1."""
    if not budget.rungs():
        return FIFOScheduler()  # type: ignore[no-untyped-call]
    return ASHAScheduler(
        time_attr="metrics/epoch",
        metric=f"metrics/{objectives.metric}",
        mode=objectives.mode,
        grace_period=budget.min_epochs,
        max_t=budget.full,
        reduction_factor=budget.reduction_factor,
    )


def restore_rungs(
    scheduler: TrialScheduler, record: Record, budget: Budget, end: Callable[[int], None]
) -> list[TrialRecord]:
    """Tell ASHA every report of the record, in the order in which they came. Returns the trials still to run.

    A running trial whose last report already decided its end, though the driver died before writing that down, is
    ended now by the same decision.
    """
    trials = {trial.number: trial for trial in record.trials()}
    stubs = {number: Trial("stub", trial_id=trial_id(number), stub=True) for number in trials}
    nobody: Any = None  # ASHA asks nothing of a controller
    for stub in stubs.values():
        scheduler.on_trial_add(nobody, stub)
    decided = set()
    for number, epoch in sorted(_reports(trials.values()), key=lambda report: report[1]["order"]):
        result = {f"metrics/{name}": value for name, value in epoch.items()}
        if scheduler.on_trial_result(nobody, stubs[number], result) == TrialScheduler.STOP:
            decided.add(number)
    running = [trial for trial in trials.values() if trial.state == "running"]
    ended = [trial for trial in running if trial.number in decided or trial.last.get("epoch") == budget.full]
    for trial in ended:
        end(trial.number)
    return [trial for trial in running if trial not in ended]


def _reports(trials: Iterable[TrialRecord]) -> Iterator[tuple[int, Mapping[str, float]]]:
    return ((trial.number, epoch) for trial in trials if trial.reuse is None for epoch in trial.epochs)


def trial_id(number: int) -> str:
    return f"{number:05d}"


def number_of(trial: Trial) -> int:
    return int(trial.trial_id)
