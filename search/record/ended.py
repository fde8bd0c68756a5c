"""How a trial ended: its state, the reason, and who ended it.

Pure data, made by whoever ends the trial. It must not know studies, samplers, schedulers or workers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EndState = Literal["complete", "stopped", "failed"]
State = Literal["running", "paused"] | EndState
"""A paused trial has no worker: it waits at a rung until it is promoted, perhaps for good."""
EndedBy = Literal["budget", "scheduler", "limits", "repeat", "trial", "executor"]
"""Who ended a trial.

`budget`: it trained all its epochs. `scheduler`: the scheduler stopped it. `limits`: its network breaks a limit of the
study. `repeat`: it has the network of an earlier trial, and copies the scores of that one. `trial`: the training
failed. `executor`: the executor lost its worker too often.
"""


@dataclass(frozen=True)
class Ended:
    """The end of a trial.

    >>> Ended("stopped", "ASHA after epoch 3", by="scheduler").state
    'stopped'
    """

    state: EndState
    reason: str | None
    """Why it was stopped or failed, for people; None for a complete trial."""
    by: EndedBy
