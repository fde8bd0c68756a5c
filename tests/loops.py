"""Studies on trials that are trained in this process, for tests of the loop: each start is a new driver."""

import itertools

import numpy as np
from in_process import InProcess

from search.record.header import new_header
from search.record.journal import _JournalFile, locked
from search.record.record import Record, has_begun
from search.sampler.sampler import Sampler
from search.scheduler.scheduler import scheduler_of
from search.settings.objectives import means
from search.space.space import Space
from search.study.loop import StudyLoop

SPACE = """
params: {model: se_cnn, r: {uniform: [2, 64]}}
search: {trials: 12}
budget: {min_epochs: 1, max_epochs: 9, reduction_factor: 3, scheduler: stop}
"""


def smooth(spec, epoch):
    """A learning curve that depends on r and the epoch alone."""
    return {"val_accuracy": 1 - abs(spec["r"] - 30) / 64 - 0.1 / epoch}


def noisy(spec, epoch):
    """The curve with noise, and its mean over three epochs as a worker reports it."""

    def metrics(epoch):
        noise = np.random.default_rng((spec["number"], epoch)).normal(0, 0.5)
        return {"val_accuracy": smooth(spec, epoch)["val_accuracy"] + noise}

    return metrics(epoch) | means([metrics(each) for each in range(1, epoch + 1)], ["val_accuracy_mean3"])


def spec_of(trial):
    return {**trial.params, "number": trial.number, "known_epochs": len(trial.epochs)}


class Study:
    """A study whose every start is a new driver on the same record and the same workers' checkpoints."""

    def __init__(self, folder, *overrides, curve=smooth, slots=1, workers=1000, known=lambda params: {}):
        self.space_file = folder.parent / f"{folder.name}.yaml"
        self.space_file.write_text(SPACE)
        self.folder, self.overrides, self.known = folder, overrides, known
        self.executor = InProcess(curve, slots=slots, workers=workers)

    @property
    def record(self):
        return Record.open(self.folder)

    def run(self, *, trials=12, stop=lambda record: False, scheduler=None, specs=None):
        """Start a driver; returns its loop when that has ended."""
        space = Space.load(self.space_file, overrides=[f"search.trials={trials}", *self.overrides])
        by = space.search.objectives
        with locked(self.folder):
            header = new_header(space, "s-001")
            begun = has_begun(self.folder)
            record = Record.open(self.folder) if begun else Record.create(self.folder, header)
            sampler = Sampler(
                space, lambda params: str(int(128 / params["r"])), known=self.known, slots=self.executor.slots
            )
            sampler.restore(record.trials())
            loop = StudyLoop(
                record,
                sampler,
                scheduler or scheduler_of(space.budget, by.mode),
                self.executor,
                specs=specs or spec_of,
                objectives=by,
                epochs=space.budget.full,
                trials=trials,
                min_complete=header.keep,
                stop=lambda: stop(record),
            )
            loop.run()
            return loop


def outcome(record):
    """What must not depend on how often a study was interrupted."""
    return [
        (t.number, t.state, t.reason, t.params, t.seed, t.network, [{**e, "order": None} for e in t.epochs])
        for t in record.trials()
    ]


def num_reports(record):
    return sum(len(trial.epochs) for trial in record.trials())


class Killed(BaseException):
    """The driver's process is gone, from one line of its record to the next."""


def drivers_killed_after_each_write(study, monkeypatch, *, after=3, **options):
    """Run a study with drivers of which each is killed after so many writes; returns how many there were."""
    append, writes = _JournalFile.append_logs, itertools.count()

    def appended(journal, logs):
        append(journal, logs)
        if next(writes) == after:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(_JournalFile, "append_logs", appended)
        for driver in itertools.count(1):
            writes = itertools.count()
            try:
                study.run(**options)
            except Killed:
                assert not study.executor.specs
            else:
                return driver
