"""The schedulers that there are, by name: one entry for each, which makes it of a study's budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from search.scheduler.asha import StoppingAsha
from search.scheduler.promote import PromotingAsha
from search.scheduler.scheduler import NoScheduler, Scheduler
from search.settings.sections import Budget

SCHEDULERS: Mapping[str, Callable[[Budget, str], Scheduler]] = {
    "none": lambda budget, mode: NoScheduler(),
    "stop": lambda budget, mode: StoppingAsha(
        rungs=budget.rungs(), reduction_factor=budget.reduction_factor, mode=mode
    ),
    "promote": lambda budget, mode: PromotingAsha(
        rungs=budget.rungs(),
        reduction_factor=budget.reduction_factor,
        mode=mode,
        finds_first_rung=budget.min_epochs == "auto",
    ),
}


def scheduler_of(budget: Budget, mode: str) -> Scheduler:
    """A new scheduler for a study of this budget, of whose scores `mode`, max or min, is the better."""
    return SCHEDULERS[budget.scheduler if budget.rungs() else "none"](budget, mode)
