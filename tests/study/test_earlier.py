"""Studies that an earlier version of this program recorded: they open, go on, are reported and confirmed.

`earlier/` holds them as version 0.1.0 left them before the record's header had a type (commit ef33ebe): `kept-001` is
finished, `kept-001-confirm` confirms it over two seeds, and the driver of `half-001` was killed while two trials ran.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import tiny_study
from search.record.header import new_header
from search.record.notes import OPENINGS
from search.record.record import Record
from search.record.studies import sampler_of
from search.record.trial import Ended
from search.results.confirmed import confirmations
from search.sampler.sampler import Sampler
from search.space.space import Space
from search.study.plan import SearchOptions
from search.study.searching import Search

EARLIER = Path(__file__).parent / "earlier"


def test_an_earlier_record_says_what_it_said():
    record = Record.open(EARLIER / "kept-001")
    assert (record.header.space, record.header.metric, record.header.mode) == ("kept", "val_loss", "min")
    assert record.header.objectives.constraints == {"num_weights": {"max": 100_000}}
    assert [trial.state for trial in record.trials()].count("complete") == 2
    assert record.trial(2).reason == "ASHA after epoch 3"


def test_an_earlier_confirmation_says_what_it_said():
    [confirmation] = confirmations(EARLIER / "kept-001")
    assert [config.role for config in confirmation.configs] == ["best 1", "default"]
    assert [len(config.trials) for config in confirmation.configs] == [2, 2]


def network(params):
    return str(int(128 / params["r"]))


def restored(space, record, **options):
    sampler = Sampler(space, network, slots=1, **options)
    sampler.restore(record.trials())
    return sampler


def test_a_study_begun_before_samplers_heard_of_rungs_goes_on_with_the_proposals_that_it_would_have_had(tmp_path):
    """Though the file no longer says `tpe`, and TPE learns otherwise in a study that begins today."""

    def space(sampler):
        text = f"params: {{model: se_cnn, r: {{uniform: [2, 64]}}}}\nsearch: {{sampler: {sampler}}}\n"
        (tmp_path / "s.yaml").write_text(text)
        return Space.load(tmp_path / "s.yaml", overrides=["budget.min_epochs=1"])

    record = Record.create(tmp_path / "s-001", new_header(space("tpe"), "s-001").amended(sampler=None))
    for number in range(12):
        record.start(restored(space("tpe"), record, hears_rungs=False).propose(number))
        r, last = record.trial(number).params["r"], (9, 1, 3)[number % 3]
        for epoch in range(1, last + 1):
            record.report(number, {"epoch": epoch, "val_accuracy": 1 - abs(r - 30) / 64 - 0.1 / epoch})
        ended = Ended("complete", None, by="budget") if last == 9 else Ended("stopped", "ASHA", by="scheduler")
        record.end(number, ended, values=[record.trial(number).last["val_accuracy"]])

    record.amend(sampler=sampler_of(record, space("auto")))
    ground = SimpleNamespace(space=space("auto"), network_key=network, known_metrics=lambda params: {})
    search = Search(space("auto"), SearchOptions())
    goes_on = search.proposer(SimpleNamespace(record=record), ground, SimpleNamespace(count=1))
    proposal = goes_on.propose(12)
    assert proposal == restored(space("tpe"), record, hears_rungs=False).propose(12)
    assert proposal != restored(space("tpe"), record).propose(12) != restored(space("auto"), record).propose(12)


@pytest.fixture
def runs(tmp_path):
    """The earlier studies, and the music that they were trained on."""
    tiny_study.write_space(tmp_path, trials=1)
    shutil.copytree(EARLIER, tmp_path / "runs")
    return tmp_path / "runs"


def command(runs, *words):
    environment = {**tiny_study.environment(runs.parent), "MGC_DATA": str(runs.parent), "RAY_ADDRESS": "local"}
    command = [sys.executable, "-m", *words, "--out", str(runs)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment, cwd=os.getcwd(), **pipes)


@pytest.mark.long
@pytest.mark.slow
def test_an_earlier_study_goes_on_from_its_checkpoints_and_is_confirmed_further(runs):
    before = {trial.number: trial.epochs for trial in Record.open(runs / "half-001").trials()}
    resumed = command(runs, "search.run", str(runs / "half.yaml"), "--resume", "half-001", "--json", "--quiet")
    confirmed = command(runs, "search.confirm", "kept-001", "--top", "1", "--seeds", "3", "--quiet")
    said, error_text = resumed.communicate(timeout=300)
    assert resumed.returncode == 0, error_text
    assert json.loads(said.splitlines()[-1])["trials"] == 5
    half = Record.open(runs / "half-001")
    for number, epochs in before.items():
        trial = half.trial(number)
        assert trial.epochs[: len(epochs)] == epochs
        assert trial.facts["resumed_after"] in (3, 9)  # the last rung that it had passed

    _, error_text = confirmed.communicate(timeout=300)
    assert confirmed.returncode == 0, error_text
    assert [len(config.trials) for config in confirmations(runs / "kept-001")[0].configs] == [3, 3]
    assert [opening["models"] for opening in Record.open(runs / "kept-001").noted(OPENINGS)] == [4, 2]

    reported = command(runs, "search.report", "kept-001")
    said, error_text = reported.communicate(timeout=120)
    assert reported.returncode == 0, error_text
    assert "mean of 3 seeds" in said and "the test part was opened 2 times" in said
