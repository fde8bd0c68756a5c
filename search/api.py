"""What notebooks use: `run_study` and its results. The same code as the command line, without its printing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.record.files import MODEL
from search.record.ranking import pareto_front
from search.record.record import TrialRecord
from search.settings.objectives import Objectives
from search.space.space import Space
from search.study.plan import SearchOptions
from search.study.searching import Outcome
from search.study.searching import run_study as run

if TYPE_CHECKING:
    import pandas as pd

    from mgc.saved import SavedModel


@dataclass(frozen=True)
class Results:
    """What a study found, read from its record."""

    outcome: Outcome

    @property
    def folder(self) -> Path:
        """The study's folder."""
        return self.outcome.record.folder

    @property
    def best(self) -> TrialRecord | None:
        """The best complete trial; None where there is none."""
        return self.outcome.best

    @property
    def score(self) -> float | None:
        """The best trial's value of the study's first metric."""
        best = self.best
        return None if best is None else best.score(self._objectives.metric)

    @property
    def front(self) -> list[TrialRecord]:
        """The Pareto front of the study's metrics, best by the first of them first; of one metric its best trials."""
        return pareto_front(self.outcome.record.trials(), self._objectives)

    @property
    def _objectives(self) -> Objectives:
        return self.outcome.record.header.objectives

    @property
    def table(self) -> pd.DataFrame:
        """One row per trial: `trial`, `state`, the params that vary, `seed`, `network`, `epochs`, the last metrics."""
        import pandas as pd  # half a second that the command line does not need

        return pd.DataFrame([_row(trial) for trial in self.outcome.record.trials()])

    def load_model(self) -> SavedModel:
        """The best trial's model, or the confirmed one: `predict` takes a waveform. SavedModelError where none is."""
        from mgc.saved import load_model

        return load_model(self.folder / MODEL)


def run_study(
    space: Space,
    *,
    data: str | Path | None = None,
    trials: int | None = None,
    name: str | None = None,
    out: str | Path = "runs",
    address: str | None = None,
    tracking_uri: str | None = None,
    resume: bool = False,
    quiet: bool = False,
) -> Results:
    """Run a study of a space, as `python -m search.run` does; the arguments are its options.

    Raises ConfigError for whatever the command line would refuse with exit code 2.
    """
    if data is not None:
        space = replace(space, data=space.data.changed(dataset=str(data)))
    if trials is not None:
        space = replace(space, search=space.search.changed(trials=trials))
    options = SearchOptions(
        out=Path(out),
        name=name,
        address=address,
        tracking_uri=tracking_uri,
        resume=resume,
        quiet=quiet,
        trials_given=trials is not None,
    )
    return Results(run(space, options))


def _row(trial: TrialRecord) -> dict[str, Any]:
    metrics = {key: value for key, value in trial.last.items() if key not in ("epoch", "order")}
    return {
        "trial": trial.number,
        "state": trial.state,
        **trial.varying,
        "seed": trial.seed,
        "network": trial.network,
        "epochs": len(trial.epochs),
        **metrics,
    }
