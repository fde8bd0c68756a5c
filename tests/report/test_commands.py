"""Every command that a report prints is one that its reader can type: the command line takes it and finds the study."""

import csv
import io
import re
import shlex
from html import unescape
from pathlib import Path

import pytest
from rich.console import Console
from small_study import add_trial, ended, new_record
from tiny_dataset import CLIPS, PARAMS, SMALL_NETWORK, write_tracks

from mgc.clips.clips import open_clips
from mgc.datasets.registry import open_dataset
from mgc.training.training import Training
from search import confirm, run
from search.execution.spec import trial_spec
from search.record.notes import RUNS_PAGE, TRACKING_URI
from search.record.record import Record
from search.record.trial import Proposal
from search.report.report import write_report
from search.results.answer import search_answer
from search.space.space import Space
from search.study.rerun import find
from search.study.searching import Outcome
from search.terminal.display import show_summary
from search.tracking import __main__ as tracking

SPACE_FILE = (Path(__file__).parents[2] / "docs" / "space_file.md").read_text()


@pytest.fixture
def crossed(tmp_path):
    """A study of the documented cross-validation, on tiny music: one trial that was trained, one that never began."""
    [text] = [block for block in re.findall(r"^```yaml\n(.*?)^```", SPACE_FILE, re.M | re.S) if "fold: {grid" in block]
    path, music = tmp_path / "crossed.yaml", write_tracks(tmp_path / "music", [1.0, 1.1, 1.2, 1.3, 1.4, 1.5])
    path.write_text(text)
    tiny = {**PARAMS, **CLIPS, **SMALL_NETWORK, "clip_overlap": "null"}
    settings = [f"params.{name}={value}" for name, value in tiny.items() if name != "r"]
    space = Space.load(path, data=str(music), overrides=["data.split=track", "budget.epochs=2", *settings])
    digest = open_dataset(str(music)).digest
    words = ["python", "-m", "search.run", str(path), "--data", str(music), "--set", "data.split=track"]
    record = new_record(
        tmp_path / "my runs", "crossed-001", file=str(path), canonical=space.canonical(), max_epochs=2,
        digests={"dataset": digest}, command=shlex.join(words),
    )  # fmt: skip
    train(record, space.sample(1)[0])
    number = record.start(proposal(space.sample(2)[1]))
    record.end(number, ended("failed", "out of memory"))
    return record


def proposal(params):
    return Proposal(
        params=params, varying={"fold": params["fold"]}, labels={}, distributions={}, seed=0, network="n", repeat=0
    )


def train(record, params):
    """Train a trial and write it down as a worker does."""
    number = record.start(proposal(params))
    config = trial_spec(record, record.trial(number)).config()
    for scores in Training(config, open_clips(config, device="cpu", progress=False), "cpu"):
        record.report(number, {"epoch": scores.epoch, **scores.metrics()})
    record.end(number, ended("complete"), values=[record.trial(number).last["val_accuracy"]])


def printed(record):
    """The commands of a study's report, each as words: those of the page's text, and those of the rows."""
    folder = write_report(record.folder)
    of_text = re.findall(r"<code>(python .*?)</code>", (folder / "report.html").read_text())
    with (folder / "trials.csv").open(newline="") as file:
        of_rows = [row["command"] for row in csv.DictReader(file)]
    return [shlex.split(unescape(command)) for command in of_text], of_rows


def check(words):
    """Nothing runs, but the command line takes these words, and the study or space that they name is there."""
    python, option, module, *arguments = words
    assert (python, option) == ("python", "-m")
    if module == "search.confirm":
        given = confirm.parser().parse_args(arguments)
        Record.open(given.out / given.study)
        return
    if module == "search.tracking":
        given = tracking.parser().parse_args(arguments)
        assert given.out.is_dir() and (arguments[0] == "ui" or Record.open(given.out / given.study))
        return
    assert module == "search.run"
    given = run.parsed(arguments)
    if given.rerun is not None:
        find(given.out, given.rerun)
    else:
        Space.load(given.space, profile=given.profile, data=given.data, overrides=run.overrides(given))


@pytest.mark.slow
def test_every_command_of_a_report_of_a_cross_validation_can_be_typed(crossed, capsys):
    of_text, of_rows = printed(crossed)
    assert {words[2] for words in of_text} == {"search.run", "search.confirm"}
    trained, never_began = of_rows
    for words in (shlex.split(trained), *of_text):
        check(words)
    assert never_began == "-"
    assert run.main(shlex.split(trained)[3:]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "crossed-001/0: the scores of 2 of 2 epochs are identical"


def test_studies_in_runs_need_no_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    record = new_record(tmp_path / "runs", canonical={"data": {}, "params": {}})
    number = record.start(proposal({"fold": 0}))
    record.report(number, {"epoch": 1, "val_accuracy": 0.5})
    _, of_rows = printed(record)
    assert of_rows == [f"python -m search.run --rerun {record.name}/{number}"]


@pytest.mark.parametrize("uri", [None, "http://ml:5000/a b"])
def test_every_command_at_the_end_of_a_study_can_be_typed_and_keeps_folder_and_server(tmp_path, uri):
    record = new_record(tmp_path / "my runs", "r 1")
    add_trial(record, "complete", [0.5])
    record.note(TRACKING_URI, uri)
    record.note(RUNS_PAGE, "#/experiments/7/runs")
    following = run.next_command(outcome_of(record), run.parsed(["x.yaml", "--address", "local"]))
    console = Console(file=io.StringIO(), width=200)
    tracking_uri = uri or f"sqlite:///{record.folder.parent}/mlflow.db"
    show_summary(record, seconds=1, tracking=tracking_uri, following=following, unsent=2, console=console)
    commands = [line[line.index("python -m") :] for line in console.file.getvalue().splitlines() if "python -m" in line]
    assert [shlex.split(each)[2] for each in commands] == ["search.tracking"] * (1 if uri else 2) + ["search.confirm"]
    for words in map(shlex.split, commands):
        check(words)
        assert ("--tracking-uri" in words) == (uri is not None or "sync" in words)
    assert shlex.split(commands[-1])[-2:] == ["--address", "local"]


def test_the_answer_names_a_command_that_tells_the_same_server(tmp_path):
    record = new_record(tmp_path / "my runs")
    add_trial(record, "complete", [0.5])
    record.note(TRACKING_URI, "http://ml:5000")
    [command] = re.findall(r"`(python .*?)`", search_answer(record).text)
    check(shlex.split(command))
    assert confirm.parser().parse_args(shlex.split(command)[3:]).tracking_uri == "http://ml:5000"


def outcome_of(record):
    return Outcome(record=record, seconds=1.0, interrupted=False, hopeless=None, tracking_uri="", unsent=0, run_ids={})
