"""Runs under the interpreter of Syne Tune's own environment: one of its schedulers, asked in lines of JSON.

The first line names the method and has the space; a line is answered by one line. Where the scheduler proposes, it asks
back which config is trained in place of the proposed one. It imports nothing of this project.

    {"method": "mobster", "space": {"lr": {"loguniform": [1e-4, 0.1]}}, "epochs": 52, "seed": 0}
    {"next": 7}                                 -> {"proposed": {"lr": 0.01}}
    {"taken": {"lr": 0.012}}                    -> {"begin": 7}, or at once for {"next": 7}: {"continue": 3}
    {"report": 7, "epoch": 3, "score": 0.5}     -> {"goes_on": false}

Every answer but `proposed` has `cpu_s` too, the processor seconds of this process.
"""

from __future__ import annotations

import datetime
import json
import logging
import sys
import time
import warnings
from typing import Any

OUT, sys.stdout = sys.stdout, sys.stderr  # what Syne Tune prints, from its import on, is no answer

import numpy as np  # noqa: E402
from syne_tune.backend.trial_status import Trial  # noqa: E402
from syne_tune.config_space import choice, lograndint, loguniform, randint, uniform  # noqa: E402
from syne_tune.optimizer.baselines import BOHB, MOBSTER, HyperTune  # noqa: E402
from syne_tune.optimizer.scheduler import SchedulerDecision  # noqa: E402

METHODS = {"mobster": MOBSTER, "hypertune": HyperTune, "bohb": BOHB}
FORMS = {"uniform": uniform, "loguniform": loguniform, "int": randint, "logint": lograndint}
METRIC, EPOCH, EPOCHS = "score", "epoch", "epochs"
FIRST_RUNG = 3
"""Better than 1 for these methods on LCBench, where the first epoch says little of the last."""


class Process:
    """One search."""

    def __init__(self, about: dict[str, Any]) -> None:
        space = {name: _domain(of) for name, of in about["space"].items()}
        self.scheduler = METHODS[about["method"]](
            {**space, EPOCHS: about["epochs"]},
            metric=METRIC,
            mode="max",
            resource_attr=EPOCH,
            max_resource_attr=EPOCHS,
            type="promotion",
            grace_period=min(FIRST_RUNG, about["epochs"]),
            reduction_factor=3,
            random_seed=about["seed"],
        )
        self.epochs = about["epochs"]
        self.trials: dict[int, Trial] = {}
        self._get_config = self.scheduler.searcher.get_config
        self.scheduler.searcher.get_config = self._taken

    def next(self, number: int) -> dict[str, Any]:
        suggestion = self.scheduler.suggest(number)
        if suggestion.spawn_new_trial_id:
            self.trials[number] = _trial(number, suggestion.config)
            self.scheduler.on_trial_add(self.trials[number])
            return {"begin": number}
        paused = int(suggestion.checkpoint_trial_id)
        self.trials[paused] = _trial(paused, suggestion.config)
        return {"continue": paused}

    def report(self, number: int, epoch: int, score: float) -> dict[str, Any]:
        trial, result = self.trials[number], {METRIC: score, EPOCH: epoch}
        decision = self.scheduler.on_trial_result(trial, result)
        if epoch == self.epochs:
            self.scheduler.on_trial_complete(trial, result)
        elif decision == SchedulerDecision.STOP:
            self.scheduler.on_trial_remove(trial)
        return {"goes_on": decision == SchedulerDecision.CONTINUE}

    def _taken(self, **about: Any) -> dict[str, Any]:
        """What the searcher proposes, with the values of the config that is trained for it."""
        proposed = self._get_config(**about)
        _write({"proposed": {name: value for name, value in proposed.items() if name != EPOCHS}})
        return {**proposed, **json.loads(sys.stdin.readline())["taken"]}


def _domain(written: dict[str, Any]) -> Any:
    (form, items), *_ = written.items()
    return choice(items) if form == "choice" else FORMS[form](*items)


def _trial(number: int, config: dict[str, Any]) -> Trial:
    return Trial(trial_id=number, config=config, creation_time=datetime.datetime.now())


def _write(answer: dict[str, Any]) -> None:
    print(json.dumps(answer, default=_plain), file=OUT, flush=True)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else str(value)


def main() -> None:
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    process = Process(json.loads(sys.stdin.readline()))
    for line in sys.stdin:
        of = json.loads(line)
        answer = process.next(of["next"]) if "next" in of else process.report(of["report"], of["epoch"], of["score"])
        _write({**answer, "cpu_s": time.process_time()})


if __name__ == "__main__":
    main()
