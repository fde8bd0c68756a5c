"""A confirmation: the best configs of a study trained again over seeds, then the test part opened.

It is a study of its own beside the first, at full budget without a scheduler, driven as a search is; the same command
goes on with it. This is the only place that opens a test part, and each time is written down in the study's record.
Seeds are ones that the search did not use, for its best scores are those that chance favored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mgc.config import Vote
from mgc.saved import save_model
from mgc.tracks.splits import Part
from mgc.training.metrics import Predictions
from mgc.training.part_metrics import part_metrics
from mgc.training.training import Training
from mgc.words.errors import ConfigError, one_line
from search.execution.ground import Ground, prepare
from search.execution.spec import trial_spec
from search.machines.slots import Slots
from search.record.faults import note_fault
from search.record.files import JOURNAL, MLFLOW_MODEL, MODEL, confirmation_folder, predictions_on_test
from search.record.header import Candidate, ConfirmationPlan, StudyHeader, new_header
from search.record.journal import RecordError, locked
from search.record.notes import ANSWER, CONFIRMED_MODEL, OPENINGS, TEST, WINNER, scores_on_test
from search.record.plugins import go_on_with, leave_texts
from search.record.record import Record
from search.record.studies import check_data, is_finished
from search.record.trial import Proposal, TrialRecord
from search.report.report import send, write_report
from search.results.confirmed import Confirmed, confirmed
from search.results.predictions import write_predictions
from search.settings.sections import Budget
from search.space.space import Space
from search.storage.checkpoints import weights_folder
from search.storage.copies import copy_study, only_driver
from search.storage.storage import Folder, restore_studies, storage_address
from search.study.candidates import candidates, space_of
from search.study.driver import drive
from search.study.finishing import about, attempt, trained
from search.study.plan import ConfirmOptions, Run
from search.tracking.mlflow_model import export_model
from search.tracking.registry import default_uri


def confirm(study: str, options: ConfirmOptions) -> Confirmed | None:
    """Confirm a study, or go on with that. None if it was interrupted, or no training of it came to its end.

    Raises ConfigError where the study cannot be confirmed so: it has no complete trial, its data has changed, its split
    has no test part, or another choice of configs is being confirmed already.
    """
    out = options.out.absolute()
    folder = confirmation_folder(out / study, options.train_on)
    remarks = _bring_back(options.storage, out, study, folder.name)
    original = Record.open(out / study)
    remarks += go_on_with(original)
    space = space_of(original)
    ground = prepare(space, device="cpu", precision=original.header.precision, progress=not options.quiet)
    check_data(original, ground.header()["digests"])
    _check_test_part(ground)
    uri = options.tracking_uri or default_uri(out)
    place = _place(folder, original, options)
    with locked(folder), only_driver(folder, place) as lease:
        record = _open_record(folder, original, ground, place, options)
        drive(Confirmation(original, record, ground), record, lease, uri, options, remarks)
    result = confirmed(folder) if is_tested(record) else None
    if result is not None and not options.offline:
        send(original.folder, uri)
    return result


def _bring_back(storage: str | None, out: Path, *names: str) -> list[str]:
    """Take from the storage the studies that another machine began. Returns remarks about that."""
    if storage is None:
        return []
    address = storage_address(storage)
    Folder(address).check()
    studies = [study for name in names for study in restore_studies(address, out, space=name, name=name)]
    return [f"taken from {storage}: {', '.join(studies)}"] if studies else []


def _check_test_part(ground: Ground) -> None:
    if ground.split.clips is None and "test" not in ground.split.parts.values():
        raise ConfigError(
            f"split {ground.split.label} of {ground.dataset.name} has no test part to confirm on", "split"
        )


def _place(folder: Path, original: Record, options: ConfirmOptions) -> str | None:
    """Where the confirmation's copy is: where it was begun, else where the options say, else beside the study's."""
    if (folder / JOURNAL).is_file():
        return Record.open(folder).header.storage
    beside = original.header.storage
    storage = None if beside is None else beside.rpartition("/")[0]
    storage = storage if options.storage is None else storage_address(options.storage)
    return None if storage is None else f"{storage}/{folder.name}"


def _open_record(folder: Path, original: Record, ground: Ground, place: str | None, options: ConfirmOptions) -> Record:
    """The confirmation's record, a new one or the one that goes on; more seeds than before are added."""
    if (folder / JOURNAL).is_file():
        record = Record.open(folder)
        before = plan_of(record).top
        if before != options.top:
            choice = "--all" if before is None else f"--top {before}"
            raise ConfigError(f"{folder.name} was begun with {choice}; go on with that, or delete its folder", "top")
    else:
        configs = candidates(original, ground, top=options.top)
        leave_texts(folder)
        record = Record.create(folder, _header(folder.name, original, ground, configs, place, options))
    plan = plan_of(record)
    num_seeds = max(options.seeds, len(plan.seeds))
    seeds = tuple(plan.seeds[0] + index for index in range(num_seeds))
    longer = plan.model_copy(update={"seeds": seeds})
    record.amend(confirm=longer.model_dump(mode="json"), trials=len(plan.configs) * num_seeds)
    return record


def plan_of(record: Record) -> ConfirmationPlan:
    """What a confirmation trains. RecordError for the record of a search."""
    if record.header.confirm is None:
        raise RecordError(f"{record.folder} is no confirmation")
    return record.header.confirm


def _header(
    name: str,
    original: Record,
    ground: Ground,
    configs: Sequence[Candidate],
    place: str | None,
    options: ConfirmOptions,
) -> StudyHeader:
    """What the confirmation's record knows from its start."""
    header = new_header(ground.space, name, storage=place)
    return header.amended(
        **ground.header(),
        space=f"{ground.space.name}-confirm",
        description=f"{original.name} confirmed over seeds, trained on {options.train_on}",
        rungs=[],
        confirm={
            "study": original.name,
            "train_on": options.train_on,
            "top": options.top,
            "seeds": [1 + max(trial.seed for trial in original.trials())],
            "configs": [config.model_dump(mode="json") for config in configs],
        },
    )


class Listed:
    """Proposes every config with the first seed, then every one with the next: a Proposer that learns nothing.

    `known` gives the metrics of a config that need no training: one that breaks a constraint by them is trained too, as
    a reference, and is infeasible.
    """

    first_rung = 1

    def __init__(self, plan: ConfirmationPlan, known: Callable[[Mapping[str, Any]], Mapping[str, float]]) -> None:
        self._plan, self._known = plan, known

    def propose(self, number: int) -> Proposal:
        repeat, index = divmod(number, len(self._plan.configs))
        config = self._plan.configs[index]
        return Proposal(
            params=config.params,
            varying=config.varying,
            labels={},
            distributions={},
            seed=self._plan.seeds[repeat],
            network=config.network,
            repeat=repeat,
            known=self._known(config.params),
        )

    def report(self, trial: TrialRecord) -> None:
        return None

    def pause(self, number: int) -> None:
        return None

    def go_on(self, number: int) -> None:
        return None

    def tell(self, trial: TrialRecord) -> None:
        return None


class Confirmation:
    """The plan of a confirmation: listed configs, all to the end, then the test part."""

    kept_text = "weights of all trainings"

    def __init__(self, original: Record, record: Record, ground: Ground) -> None:
        self._original, self._record, self._ground = original, record, ground

    @property
    def space(self) -> Space:
        return self._ground.space

    @property
    def budget(self) -> Budget:
        return Budget(epochs=self._record.header.max_epochs)

    def ground(self, *, device: str, precision: str | None, progress: bool) -> Ground:
        """The one that the configs were chosen on; its precision is the search's."""
        return self._ground

    def configs(self, ground: Ground) -> Sequence[Mapping[str, Any]]:
        return [config.params for config in plan_of(self._record).configs]

    def proposer(self, run: Run, ground: Ground, slots: Slots) -> Listed:
        return Listed(plan_of(self._record), self._ground.known_metrics)

    def kept(self, trials: Sequence[TrialRecord]) -> set[int]:
        """All complete ones: which config is chosen may change with more seeds."""
        return {trial.number for trial in trials if trial.state == "complete"}

    def conclude(self, run: Run) -> bool:
        """Open the test part once all trainings have ended, and leave what came out in the study's folder. Returns
        whether that was done.
        """
        if not is_finished(self._record):
            return False
        open_test(self._original, self._record, run.display.line, run.stop)
        result = confirmed(self._record.folder)
        if result is not None and is_tested(self._record):
            leave(self._original, result, run)
        return is_tested(self._record)


def is_tested(record: Record) -> bool:
    """Whether all trainings of a confirmation have ended, and each complete one has its test scores."""
    scores = scores_on_test(record.noted(TEST))
    return is_finished(record) and all(trial.number in scores for trial in record.trials("complete"))


def open_test(original: Record, record: Record, say: Callable[[str], None], stop: Callable[[], bool]) -> None:
    """Let every training that has no test scores yet predict the test part. The opening is written down first, then the
    scores of each training as soon as it has them: a driver that is killed in between opens the part again for the
    rest alone, and so does one that is asked to stop between two trainings.
    """
    scores = dict(scores_on_test(record.noted(TEST)))
    new = [trial for trial in record.trials("complete") if trial.number not in scores]
    if not new:
        return
    opened = datetime.now(UTC).isoformat(timespec="seconds")
    with locked(original.folder):
        before = original.noted(OPENINGS)
        opening = {"when": opened, "study": record.name, "models": len(new), "train_on": plan_of(record).train_on}
        original.note(OPENINGS, [*before, opening])
        copy_study(original)
    say(opening_text(len(new), before=len(before)))
    for trial in new:
        if stop():
            return
        scores[trial.number] = _tested(record, trial)
        record.note(TEST, {"opened": opened, "scores": {str(number): each for number, each in scores.items()}})


def opening_text(num_models: int, *, before: int) -> str:
    """What is said when the test part is opened, which it was `before` times already.

    >>> opening_text(1, before=0), opening_text(8, before=2)
    ('opening the test part for 1 model, the first time', 'opening the test part for 8 models (opened before: 2 times)')
    """
    models = f"{num_models} model{'s' * (num_models != 1)}"
    times = f" (opened before: {before} time{'s' * (before != 1)})" if before else ", the first time"
    return f"opening the test part for {models}{times}"


def _tested(record: Record, trial: TrialRecord) -> dict[str, float]:
    """A trial's scores on the test part and the train part; its predictions of the test part are kept."""
    training = _trained_for_test(record, trial)
    predictions, vote = training.predict("test"), training.config.clips.vote
    write_predictions(record.folder / predictions_on_test(trial.number), predictions)
    by_vote = {f"test_accuracy_{each}": predictions.scores(each).accuracy for each in ("none", "sum", "majority")}
    of_train = part_scores("train", training.predict("train"), vote)
    return {**of_train, **part_scores("test", predictions, vote), **by_vote}


def _trained_for_test(record: Record, trial: TrialRecord) -> Training:
    spec = trial_spec(record, trial)
    weights = weights_folder(record, trial.number)
    return trained(spec.config(), weights, parts=("train", "test"), train_on=spec.train_on)


def part_scores(part: Part, predictions: Predictions, vote: Vote) -> dict[str, float]:
    """Accuracy, and macro precision, recall and F1 of a part, each by its name (`test_f1`), and plug-ins' metrics."""
    own = {f"{part}_{name}": value for name, value in asdict(predictions.scores(vote)).items()}
    return {**own, **part_metrics(part, predictions)}


def leave(original: Record, result: Confirmed, run: Run) -> None:
    """Put the chosen config's first model into the study's folder, write the report, and tell MLflow."""
    record, tracker = run.record, run.tracker
    trial = record.trial(result.chosen.trials[0])
    scores = scores_on_test(record.noted(TEST))[trial.number]
    source = {**about(record, trial), "scores": scores, "confirms": original.name, "train_on": result.train_on}
    with locked(original.folder):
        if attempt(original, "the confirmed model", lambda: _save_model(original, record, trial, source)):
            original.note(CONFIRMED_MODEL, record.name)
        answer = result.answer(len(original.noted(OPENINGS))).text
        original.note(ANSWER, answer)
        original.note(WINNER, result.chosen.params)
    record.note(ANSWER, answer)
    record.note(WINNER, result.chosen.params)
    for number in (number for config in result.configs for number in config.trials):
        tracker.touch(number)
    tracker.touch()
    attempt(original, "the report", lambda: tracker.log_artifact(write_report(original.folder)))
    if original.noted(CONFIRMED_MODEL) == record.name:
        _send_model(original, run)
    copy_study(original)


def _save_model(original: Record, record: Record, trial: TrialRecord, source: Mapping[str, Any]) -> None:
    save_model(original.folder / MODEL, _trained_for_test(record, trial), about=source)


def _send_model(original: Record, run: Run) -> None:
    """Send the confirmed model to MLflow, as a folder and as a model that MLflow can load."""
    tracker = run.tracker
    tracker.log_artifact(original.folder / MODEL)
    try:
        tracker.log_artifact(export_model(original.folder / MODEL, original.folder / MLFLOW_MODEL))
    except Exception as error:  # whatever torch.export cannot trace, the confirmation stands
        log = note_fault(original.folder, "the MLflow model")
        reason = f"{type(error).__name__}: {one_line(error)}"
        run.display.line(f"not logged as an MLflow model, which hears waveforms: {reason} (see {log})")
