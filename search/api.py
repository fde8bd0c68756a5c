"""What notebooks use: `run_study`, and `Study`, which looks at any study. The same code as the command line's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mgc.words.errors import ConfigError, nearest
from search.record.files import MODEL, PAGE, confirmation_folder
from search.record.notes import ANSWER
from search.record.ranking import BOOKKEEPING, pareto_front, ranked
from search.record.record import Record
from search.record.trial import TrialRecord
from search.results.overview import state_of
from search.space.space import Space

if TYPE_CHECKING:  # each is a second that a look at a study does not need
    import optuna
    import pandas as pd

    from mgc.saved import SavedModel
    from search.report.page import Picture

ROWS = 20
"""Trials that a notebook shows of a study; `trials` has all."""


@dataclass(frozen=True)
class Study:
    """A study in its folder, finished or running: each look reads the record as it is then."""

    folder: Path

    @classmethod
    def open(cls, folder: str | Path) -> Study:
        """The study in this folder, such as `runs/se_ratio-001`. ConfigError where there is none."""
        return cls(Record.open(Path(folder)).folder)

    @property
    def record(self) -> Record:
        """Its record, for what is not here."""
        return Record.open(self.folder)

    @property
    def state(self) -> str:
        """`finished`, `running`, `stopped`, or `interrupted`."""
        return state_of(self.record)

    @property
    def answer(self) -> str:
        """What it says so far, in two sentences."""
        from search.results.confirmed import confirmations, study_answer

        record = self.record
        if record.header.confirm is not None:
            return record.noted(ANSWER) or f"The test part is not opened yet: {self.folder.name} is {self.state}."
        return study_answer(record, confirmations(self.folder)).text

    @property
    def best(self) -> TrialRecord | None:
        """The best complete trial; None where there is none."""
        record = self.record
        return next(iter(ranked(record.trials(), record.header.objectives)), None)

    @property
    def score(self) -> float | None:
        """The best trial's value of the study's first metric."""
        best = self.best
        return None if best is None else best.score(self.record.header.metric)

    @property
    def front(self) -> list[TrialRecord]:
        """The Pareto front of the study's metrics, best by the first of them first; of one metric its best trials."""
        record = self.record
        return pareto_front(record.trials(), record.header.objectives)

    @property
    def trials(self) -> pd.DataFrame:
        """One row per trial: `trial`, `state`, the params that vary, `seed`, `network`, `epochs`, the last metrics."""
        import pandas as pd

        return pd.DataFrame([_row(trial) for trial in self.record.trials()])

    @property
    def curves(self) -> pd.DataFrame:
        """One row per epoch of each trial: `trial`, `epoch`, and the epoch's metrics."""
        import pandas as pd

        return pd.DataFrame([row for trial in self.record.trials() for row in _epochs(trial)])

    @property
    def optuna_study(self) -> optuna.Study:
        """The trials as a study of Optuna's, in memory: what is done with it changes nothing here."""
        return self.record.optuna_study()

    def plot(self, param: str) -> Picture:
        """The scores against a param that varies, as the report has it. ConfigError for another param."""
        from search.report.material import Material
        from search.report.search_sections import param_picture

        material = Material(self.record)
        if param not in material.names:
            raise ConfigError(
                f"no param {param!r} varies in {self.folder.name}{nearest(param, material.names)}", "param"
            )
        return param_picture(material, param)

    def report(self) -> Path:
        """Write the report again; the address of its page."""
        from search.report.report import write_report

        return write_report(self.folder) / PAGE

    def confirm(self, *, top: int | None = 3, seeds: int = 5, train_on: str = "train", **options: Any) -> Study:
        """Train the best configs again over seeds, then open the test part: `python -m search.confirm`, whose other
        options are fields of search.study.plan.ConfirmOptions. The confirmation, a study of its own.
        """
        from search.study.confirming import confirm
        from search.study.plan import ConfirmOptions

        out = self.folder.absolute().parent
        confirm(self.folder.name, ConfirmOptions(out=out, top=top, seeds=seeds, train_on=train_on, **options))
        return Study.open(confirmation_folder(self.folder, train_on))

    def model(self) -> SavedModel:
        """The best trial's model, or the confirmed one: `predict` takes a waveform. SavedModelError where none is."""
        from mgc.saved import load_model

        return load_model(self.folder / MODEL)

    def _repr_html_(self) -> str:
        """The answer, what nobody may overlook, and the trials, best first."""
        record = self.record
        order = {trial.number: place for place, trial in enumerate(ranked(record.trials(), record.header.objectives))}
        table = self.trials
        if not table.empty:
            table = table.sort_values(
                "trial", key=lambda trials: trials.map(lambda number: order.get(number, len(order)))
            )
        cautions = "".join(f"<p><b>{escape(caution)}</b></p>" for caution in record.header.cautions)
        head = f"<p><b>{escape(self.folder.name)}</b> ({self.state}, {len(table)} of {record.header.trials} trials)</p>"
        shown = table.head(ROWS).to_html(index=False, na_rep="", float_format="{:.4g}".format)
        more = f"<p>and {len(table) - ROWS} more: <code>.trials</code></p>" if len(table) > ROWS else ""
        return f"{head}<p>{escape(self.answer)}</p>{cautions}{shown}{more}"


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
) -> Study:
    """Run a study of a space, as `python -m search.run` does; the arguments are its options.

    Raises ConfigError for whatever the command line would refuse with exit code 2.
    """
    from search.study.plan import SearchOptions
    from search.study.searching import run_study as run

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
    return Study(run(space, options).record.folder)


def _row(trial: TrialRecord) -> dict[str, Any]:
    metrics = {key: value for key, value in trial.last.items() if key not in BOOKKEEPING}
    return {
        "trial": trial.number,
        "state": trial.state,
        **trial.varying,
        "seed": trial.seed,
        "network": trial.network,
        "epochs": len(trial.epochs),
        **metrics,
    }


def _epochs(trial: TrialRecord) -> Iterator[dict[str, Any]]:
    for epoch in trial.epochs:
        yield {"trial": trial.number, **{key: value for key, value in epoch.items() if key != "order"}}
