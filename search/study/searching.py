"""A search: the study of a space, a new one or one that goes on.

What imports torch, SciPy or Optuna's samplers is imported where it is used: the driver imports it while Ray starts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mgc.plugins.loading import use
from search.record.header import new_header, resume_fields
from search.record.journal import locked
from search.record.notes import END
from search.record.plugins import go_on_with, leave_texts, needed_by
from search.record.ranking import ranked
from search.record.record import Record, has_begun
from search.record.studies import (
    as_begun,
    check_space,
    folder_to_resume,
    folder_to_start,
    is_finished,
    is_over,
    num_trials,
    sampler_of,
)
from search.record.trial import TrialRecord
from search.settings.sections import Budget
from search.space.space import Space
from search.storage import checkpoints
from search.storage.copies import only_driver
from search.storage.storage import Folder, restore_studies, storage_address
from search.study.driver import drive
from search.study.plan import Run, SearchOptions, prune
from search.tracking.registry import default_uri
from search.words import numbered

if TYPE_CHECKING:
    from search.execution.ground import Ground
    from search.machines.slots import Slots
    from search.sampler.sampler import Sampler
    from search.sampler.warmstart import WarmStart


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a search ended."""

    record: Record
    seconds: float
    """Of all its starts."""
    interrupted: bool
    hopeless: str | None
    """Why no trial of it could succeed."""
    tracking_uri: str
    unsent: int
    """Runs that MLflow lacks, since its server was away."""
    run_ids: dict[int, str]
    """MLflow's run of each trial that reached it, by number."""

    @property
    def best(self) -> TrialRecord | None:
        """The best complete trial."""
        return next(iter(ranked(self.record.trials(), self.record.header.objectives)), None)


def run_study(space: Space, options: SearchOptions) -> Outcome:
    """Search this space, in a new study or one that goes on, to its end or until a signal asks it to stop.

    Raises ConfigError where the folder, the data or the tracking server cannot be used, the study cannot go on, or the
    disk is full: what was written until then is whole, and the study can be resumed.
    """
    out = options.out.absolute()
    storage = None if options.storage is None else storage_address(options.storage)
    remarks = [] if storage is None else _restore_studies(storage, out, space, options)
    find = folder_to_resume if options.resume else folder_to_start
    folder = find(out, space.name, options.name)
    place = None if storage is None else f"{storage}/{folder.name}"
    uri = options.tracking_uri or default_uri(out)
    with locked(folder), only_driver(folder, place or _place(folder)) as lease:
        if has_begun(folder):
            record = Record.open(folder)
            remarks += go_on_with(record)
            space, kept = as_begun(record, space)
            remarks += [*kept, *(f"changed since the study began: {change}" for change in check_space(record, space))]
            trials = num_trials(record, space, trials_given=options.trials_given)
            record.amend(trials=trials, sampler=sampler_of(record, space), **resume_fields(space, place))
        else:
            use(needed_by(space))
            leave_texts(folder)
            header = new_header(space, folder.name, trials_given=options.trials_given, storage=place)
            record = Record.create(folder, header)
            remarks += [f"no study to resume: {folder.name} begins"] if options.resume else []
        if not is_over(record):
            drive(Search(space, options), record, lease, uri, options, remarks)
    return _outcome(record, uri)


def _place(folder: Path) -> str | None:
    """The storage that a study has from its last start."""
    return Record.open(folder).header.storage if has_begun(folder) else None


def _restore_studies(storage: str, out: Path, space: Space, options: SearchOptions) -> list[str]:
    """Take from the storage what another machine began. Returns remarks about that."""
    Folder(storage).check()
    names = restore_studies(storage, out, space=space.name, name=options.name)
    return [f"taken from {storage}: {', '.join(names)}"] if names and options.resume else []


def _outcome(record: Record, uri: str) -> Outcome:
    """How a search ended, from its record alone."""
    end = record.noted(END)
    return Outcome(
        record=record,
        seconds=end["seconds"],
        interrupted=not is_over(record) and end["hopeless"] is None,
        hopeless=end["hopeless"],
        tracking_uri=uri,
        unsent=end["unsent"],
        run_ids={int(number): run_id for number, run_id in end["run_ids"].items()},
    )


class Search:
    """The plan of a search: a sampler proposes, the best models stay."""

    def __init__(self, space: Space, options: SearchOptions) -> None:
        self.space, self._options = space, options

    @property
    def budget(self) -> Budget:
        return self.space.budget

    @property
    def kept_text(self) -> str:
        return f"weights of the best {self.space.resources.keep} trials"

    def ground(self, *, device: str, precision: str | None, progress: bool) -> Ground:
        from search.execution.ground import prepare

        return prepare(self.space, device=device, precision=precision, progress=progress)

    def configs(self, ground: Ground) -> Sequence[Mapping[str, Any]]:
        return ground.configs()

    def proposer(self, run: Run, ground: Ground, slots: Slots) -> Sampler:
        """The space's sampler, which knows what the record holds and what an earlier study left to it."""
        from search.sampler.sampler import Sampler

        header = run.record.header
        sampler = Sampler(
            ground.space,
            ground.network_key,
            known=ground.known_metrics,
            slots=slots.count,
            name=header.sampler or header.canonical["search"]["sampler"],
            hears_rungs=header.sampler is not None,
        )
        if (warm_start := self._warm_start(run, ground)) is not None:
            run.display.line(str(warm_start))
            sampler.learn(warm_start.results)
        sampler.restore(run.record.trials())
        return sampler

    def kept(self, trials: Sequence[TrialRecord]) -> set[int]:
        best = ranked(trials, self.space.search.objectives)[: self.space.resources.keep]
        return {trial.number for trial in best}

    def conclude(self, run: Run) -> bool:
        """Leave the weights of the best trials, and then, unless the study was asked to stop, the best model and the
        report. Returns whether all of them were left.
        """
        if is_finished(run.record):
            self._give_up_paused(run)
            self._keep_weights(run)
        if run.stop():
            return False
        from search.study.finishing import finish

        finish(run.record, run.tracker)
        return True

    def _warm_start(self, run: Run, ground: Ground) -> WarmStart | None:
        """What an earlier study left to this one; it is taken into the record once."""
        from search.sampler.warmstart import WarmStart

        record, earlier = run.record, self._options.warm_start
        if earlier is not None and WarmStart.noted(record) is None:
            WarmStart.of(earlier, ground.space, ground.header()["digests"]).note(record)
        return WarmStart.noted(record)

    def _give_up_paused(self, run: Run) -> None:
        """A study that has ended keeps no checkpoints; a paused trial that goes on in a longer one is trained again."""
        for trial in run.record.trials("paused"):
            run.record.fact(trial.number, checkpoints.CHECKPOINT_FACT, checkpoints.GIVEN_UP)
        prune(self, run.record, run.lease)

    def _keep_weights(self, run: Run) -> None:
        best = self.kept(run.record.trials())
        files = checkpoints.export_weights(run.record, best, run.lease)
        for number, file in files.items():
            run.tracker.log_artifact(file, number=number)
        if files:
            size_mb = checkpoints.size_bytes(run.record) / 1e6
            names = numbered(sorted(files), limit=len(files))
            run.display.line(f"the weights of the best trials are kept: {names} ({size_mb:.1f} MB)")
