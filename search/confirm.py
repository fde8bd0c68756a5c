"""`python -m search.confirm STUDY`: the best configs of a study trained again over seeds, then the test part opened.

It is a study of its own beside the first: a record, Ray trials at full budget without ASHA, runs in MLflow; resumed by
giving the same command. This is the only place that opens a test part, and each time is written down in the study's
record. Seeds are ones that the search did not use, for its best scores are those that chance favored.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mgc.config import ConfigError, Vote
from mgc.metrics import Predictions
from mgc.saved import save_model
from mgc.splits import Part
from search.candidates import Candidate, candidates, space_of
from search.checkpoints import where_weights
from search.confirmed import Confirmed, confirmed, folder_of
from search.connection import cluster
from search.display import Display
from search.finishing import MODEL, about, spec_of, trained
from search.journal import JOURNAL, locked
from search.measuring import decided
from search.mlflow_model import FOLDER, export_model
from search.nodes import slots
from search.predictions import file_of_test, keep
from search.prepare import Ground, prepare, trial_config
from search.projection import Status
from search.record import Proposal, Record, TrialRecord
from search.report import send, write_report
from search.resume import check_data, is_finished
from search.signals import StopRequest, stop_signals
from search.specs import study_header, trial_spec
from search.study import Budget
from search.tracking import Tracker, default_uri
from search.trial import TrainingTrial
from search.tuner import Tuner

TRAIN_PARTS: Mapping[str, tuple[Part, ...]] = {"train": ("train",), "train+val": ("train", "validation")}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is confirmed, and how it is run."""

    top: int | None = 3
    """So many of the best effective networks; None takes all."""
    seeds: int = 5
    train_on: str = "train"
    out: Path = Path("runs")
    address: str | None = None
    tracking_uri: str | None = None
    quiet: bool = False


class Listed:
    """Proposes every candidate with the first seed, then every one with the next: a Proposer that learns nothing."""

    def __init__(self, chosen: Sequence[Candidate], seeds: Sequence[int]) -> None:
        self.chosen, self.seeds = chosen, seeds

    def propose(self, number: int) -> Proposal:
        repeat, index = divmod(number, len(self.chosen))
        config = self.chosen[index]
        return Proposal(
            params=config.params,
            varying=config.varying,
            labels={},
            distributions={},
            seed=self.seeds[repeat],
            network=config.network,
            repeat=repeat,
        )

    def tell(self, trial: TrialRecord) -> None:
        return None


def confirm(study: str, options: Options) -> Confirmed | None:
    """Confirm a study, or go on with that. None if it was interrupted, or no training of it came to its end.

    Raises ConfigError where the study cannot be confirmed so: it has no complete trial, its data has changed, its split
    has no test part, or another choice of configs is being confirmed already.
    """
    out = options.out.absolute()
    original = Record.open(out / study)
    space = space_of(original)
    ground = prepare(space, device="cpu", precision=original.header["precision"], progress=not options.quiet)
    check_data(original, ground.header()["digests"])
    _check_test_part(ground)
    folder, uri = folder_of(original.folder, options.train_on), options.tracking_uri or default_uri(out)
    with locked(folder):
        record = _opened(folder, original, ground, options)
        found = _run(original, record, ground, uri, options)
    if found is not None:
        send(original.folder, uri)
    return found


def _check_test_part(ground: Ground) -> None:
    if ground.split.clips is None and "test" not in ground.split.parts.values():
        raise ConfigError(
            f"split {ground.split.label} of {ground.dataset.name} has no test part to confirm on", "split"
        )


def _opened(folder: Path, original: Record, ground: Ground, options: Options) -> Record:
    """The confirmation's record, a new one or the one that goes on; more seeds than before are added."""
    if (folder / JOURNAL).is_file():
        record = Record.open(folder)
        asked = record.header["confirm"]
        if asked["top"] != options.top:
            before = "--all" if asked["top"] is None else f"--top {asked['top']}"
            raise ConfigError(f"{folder.name} was begun with {before}; go on with that, or delete its folder", "top")
        chosen = [Candidate(**config) for config in asked["configs"]]
    else:
        chosen = candidates(original, ground, top=options.top)
        record = Record.create(folder, _header(original, ground, chosen, options))
    first = record.header["confirm"]["seeds"][0]
    seeds = [first + index for index in range(max(options.seeds, len(record.header["confirm"]["seeds"])))]
    confirms = {**record.header["confirm"], "seeds": seeds}
    record.note("header", {**record.header, "confirm": confirms, "trials": len(chosen) * len(seeds)})
    return record


def _header(original: Record, ground: Ground, chosen: Sequence[Candidate], options: Options) -> dict[str, Any]:
    """What the confirmation's record knows from its start."""
    space = ground.space
    first_seed = 1 + max(trial.seed for trial in original.trials())
    return {
        **study_header(space, f"{original.name}-confirm"),
        **ground.header(),
        "precision": original.header["precision"],
        "space": f"{space.name}-confirm",
        "description": f"{original.name} confirmed over seeds, trained on {options.train_on}",
        "rungs": [],
        **({"storage": f"{original.header['storage']}-confirm"} if "storage" in original.header else {}),
        "confirm": {
            "study": original.name,
            "train_on": options.train_on,
            "top": options.top,
            "seeds": [first_seed],
            "configs": [vars(config) for config in chosen],
        },
    }


def _run(original: Record, record: Record, ground: Ground, uri: str, options: Options) -> Confirmed | None:
    tracker = Tracker(record, uri=uri, experiment=record.header["space"])
    found: Confirmed | None = None
    status: Status = "FAILED"
    with Display(record, quiet=options.quiet) as display, stop_signals(display.line) as stop:
        try:
            with suppress(KeyboardInterrupt):
                tracker.start()
                _train(record, ground, display, tracker, options, stop)
            status = "FINISHED" if is_finished(record) else "KILLED"
            if is_finished(record):
                open_test(original, record, display.line)
                found = confirmed(record.folder)
            if found is not None:
                conclude(original, record, found, tracker, display.line)
        finally:
            stop.polite = True
            tracker.finish(status, within_s=stop.left_s)
    return found


def _train(
    record: Record, ground: Ground, display: Display, tracker: Tracker, options: Options, stop: StopRequest
) -> None:
    """Run the trainings that are left, as trials of Ray."""
    if is_finished(record):
        return
    confirms = record.header["confirm"]

    def changed(number: int) -> None:
        tracker.touch(number)
        display.update(record.trials())

    space = ground.space
    with cluster(options.address):
        share = slots(decided(ground, record, slots(space.resources), display.line))

        def spec(trial: TrialRecord) -> dict[str, Any]:
            train_on = TRAIN_PARTS[confirms["train_on"]]
            return {**trial_spec(space, record, share, trial), "rungs": (), "train_on": train_on}

        stop.polite = True
        Tuner(
            record,
            Listed([Candidate(**config) for config in confirms["configs"]], confirms["seeds"]),
            trainable=TrainingTrial,
            specs=spec,
            objectives=space.search.objectives,
            budget=Budget(epochs=space.budget.full),
            slots=share,
            trials=record.header["trials"],
            changed=changed,
            stop=stop,
        ).run()


def open_test(original: Record, record: Record, say: Callable[[str], None]) -> None:
    """Let every training that is not tested yet predict the test part, and keep what it says. Written down first."""
    new = [t for t in record.trials("complete") if not (record.folder / file_of_test(t.number)).is_file()]
    if not new:
        return
    opened = datetime.now(UTC).isoformat(timespec="seconds")
    train_on = record.header["confirm"]["train_on"]
    with locked(original.folder):
        before = original.notes().get("test_openings", [])
        opening = {"when": opened, "study": record.name, "models": len(new), "train_on": train_on}
        original.note("test_openings", [*before, opening])
    say(f"opening the test part, for the {len(before) + 1}. time: {len(new)} models")
    scores = dict(record.notes().get("test", {}).get("scores", {}))
    for trial in new:
        training = trained(
            trial_config(spec_of(record, trial)),
            where_weights(record, trial.number),
            parts=("train", "test"),
            train_on=TRAIN_PARTS[train_on],
        )
        said = training.predict("test")
        keep(record.folder / file_of_test(trial.number), said)
        by_vote = {f"test_accuracy_{vote}": said.scores(vote).accuracy for vote in ("none", "sum", "majority")}
        vote = training.config.clips.vote
        of_parts = {**measured("train", training.predict("train"), vote), **measured("test", said, vote)}
        scores[str(trial.number)] = {**of_parts, **by_vote}
    record.note("test", {"opened": opened, "scores": scores})


def measured(part: Part, said: Predictions, vote: Vote) -> dict[str, float]:
    """Accuracy, and macro precision, recall and F1 of a part, each under its name: `test_f1`."""
    return {f"{part}_{name}": value for name, value in asdict(said.scores(vote)).items()}


def conclude(original: Record, record: Record, found: Confirmed, tracker: Tracker, say: Callable[[str], None]) -> None:
    """Put the chosen config's first model into the study's folder, write the report, and tell MLflow."""
    trial = record.trial(found.chosen.trials[0])
    training = trained(
        trial_config(spec_of(record, trial)),
        where_weights(record, trial.number),
        parts=("train", "test"),
        train_on=TRAIN_PARTS[found.train_on],
    )
    scores = record.notes()["test"]["scores"][str(trial.number)]
    told = {**about(record, trial), "scores": scores, "confirms": original.name, "train_on": found.train_on}
    with locked(original.folder):
        save_model(original.folder / MODEL, training, about=told)
        original.note("confirmed_model", record.name)
        openings = len(original.notes()["test_openings"])
        original.note("answer", found.answer(openings).text)
    record.note("answer", found.answer(openings).text)
    for each in found.configs:
        for number in each.trials:
            tracker.touch(number)
    tracker.touch()
    tracker.log_artifact(write_report(original.folder))
    tracker.log_artifact(original.folder / MODEL)
    try:
        tracker.log_artifact(export_model(original.folder / MODEL, original.folder / FOLDER))
    except Exception as error:  # whatever torch.export cannot trace, the confirmation stands
        reason = " ".join(str(error).split())[:300]
        say(f"not logged as an MLflow model, which hears waveforms: {type(error).__name__}: {reason}")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: 0, 1 where nothing could be trained, 2 for a mistake of the user's, 130 if stopped."""
    given = _parser().parse_args(arguments)
    options = Options(
        top=None if given.all else given.top,
        seeds=given.seeds,
        train_on=given.train_on,
        out=given.out,
        address=given.address,
        tracking_uri=given.tracking_uri,
        quiet=given.quiet,
    )
    try:
        found = confirm(given.study, options)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    folder = folder_of(options.out / given.study, options.train_on)
    if found is None:
        print(f"{folder.name} is not finished; the same command goes on with it", file=sys.stderr)
        return 1 if is_finished(Record.open(folder)) else 130
    print(Record.open(folder).notes()["answer"])
    print(f"report   {options.out / given.study / 'report' / 'report.html'}")
    return 0


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m search.confirm",
        description="Train a study's best configs again over seeds, then open the test part.",
    )
    add = made.add_argument
    add("study", metavar="STUDY", help="its name")
    which = made.add_mutually_exclusive_group()
    which.add_argument(
        "--top", metavar="N", type=_positive, default=3, help="so many of the best networks (default: %(default)s)"
    )
    which.add_argument("--all", action="store_true", help="every network that was trained to the end")
    add("--seeds", metavar="N", type=_positive, default=5, help="trainings of each (default: %(default)s)")
    add("--train-on", choices=[*TRAIN_PARTS], default="train", help="train+val: no validation part is left then")
    add("--out", metavar="DIR", type=Path, default=Path("runs"), help="where studies are (default: %(default)s)")
    add("--address", metavar="auto|HOST", help="Ray cluster to join (default: one running here, else one of its own)")
    add("--tracking-uri", metavar="URI", help="MLflow's (default: $MLFLOW_TRACKING_URI, else OUT/mlflow.db)")
    add("--quiet", action="store_true", help="print the result and errors only")
    return made


def _positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"must be >= 1, got {value}")
    return value


if __name__ == "__main__":
    sys.exit(main())
