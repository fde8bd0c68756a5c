"""Every command that the program prints is run as it is printed, and every command that those print in turn.

A story of one tiny study, from a first start that ends at once to a confirmation. Its folders, its storage and its
tracking file have spaces in their names. Trials train in this process, by the worker's own code, so no Ray starts.
"""

from __future__ import annotations

import csv
import importlib
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path

import mlflow
import pytest
import torch
from in_process import InProcess
from tiny_dataset import write_tracks

from search.execution.executor import SPEC, Event, Failed, Reported
from search.execution.spec import TrialSpec
from search.execution.worker import TrainingTrial
from search.machines.nodes import Rates
from search.machines.slots import Slots
from search.record.files import confirmation_folder
from search.record.journal import JOURNAL
from search.study import driver, session

pytestmark = [pytest.mark.slow, pytest.mark.long]

SPACE = """
description: which r for two kinds of noise
data: {dataset: MUSIC, split: track, ratios: [2, 1, 1]}
params:
  model: se_cnn
  r: {uniform: [2, 16]}
  channels: [4, 4, 4, 8, 8]
  spectrogram: log_mel
  sr: 8000
  n_fft: 256
  hop_length: 128
  n_mels: 32
  clip_seconds: 0.6
  clips_per_track: 2
  batch_size: 8
  precision: fp32
search: {trials: 2, seed: 3}
budget: {epochs: 1}
profiles: {paper: {budget.epochs: 2}}
published: [{table: Table 2, params: {r: 3.5}, metric: test_accuracy, value: 0.924, dataset: gtzan}]
"""


class Workers(InProcess):
    """Trains trials in this process, as Ray's workers do on theirs."""

    def __init__(self) -> None:
        super().__init__(lambda *_: {})
        self.workers_by_number: dict[int, TrainingTrial] = {}

    def start(self, number: int, spec: TrialSpec) -> None:
        super().start(number, {})
        self.workers_by_number[number] = worker = TrainingTrial.__new__(TrainingTrial)
        torch.set_num_threads(spec.threads)
        worker.reset_config({SPEC: spec})

    def _trained(self, number: int) -> Event:
        result = self.workers_by_number[number].step()
        if "metrics" not in result:
            return Failed(number=number, reason=str(result), facts={})
        return Reported(number=number, metrics=result["metrics"], facts=result["facts"])


@contextmanager
def no_cluster(*_: object, meanwhile=lambda: None, **__: object) -> Iterator[bool]:
    meanwhile()
    yield True


@pytest.fixture
def without_ray(monkeypatch):
    threads = torch.get_num_threads()
    share = Slots(nodes=1, cpus=1, gpus=0, cpus_per_trial=1, trials_per_gpu=1)
    monkeypatch.setattr(driver, "cluster", no_cluster)
    monkeypatch.setattr(session, "slots", lambda _: share)
    monkeypatch.setattr(session, "live_trial_count", lambda *_: lambda: 1)
    monkeypatch.setattr(session, "rates", lambda: Rates(gpus=0.0, usd=None))
    monkeypatch.setattr(session, "RayTuneExecutor", lambda *_, **__: Workers())
    monkeypatch.setattr("search.machines.cost.LOOK_EVERY_S", 0.0)  # both trials may be over before the first look
    monkeypatch.setattr(
        "search.tracking.tracker.PATIENCE_S", 600.0
    )  # a loaded machine's disk is no server that is away
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def desk(tmp_path, monkeypatch, without_ray):
    """Where somebody sits who likes spaces in names: music, a space file, and this as the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.execv", lambda *_: None)  # MLflow's server, which would take the place of the tests
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", "")
    music = write_tracks(tmp_path / "my music", [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7])
    (tmp_path / "my spaces").mkdir()
    (tmp_path / "my spaces" / "which r.yaml").write_text(SPACE.replace("MUSIC", f'"{music}"'))
    return tmp_path


TYPED = [
    # one that is stopped at once, and tells MLflow nothing: its last lines say how to go on, and how to send the rest
    "python -m search.run 'my spaces/which r.yaml' --out 'my runs' --storage 'my store' --offline --max-hours 1e-9 "
    "--tracking-uri 'sqlite:///my tracking.db' --address local",
    "python -m search.run 'my spaces/which r.yaml' --out 'my runs' --storage 'my store' --resume 'which r-001' "
    "--tracking-uri 'sqlite:///my tracking.db'",
    "python -m search.list --out 'my runs'",
    "python -m search.run 'my spaces/which r.yaml' --out 'my runs' --dry-run",
    "python -m search.papers --spaces 'my spaces' --out 'my runs'",
]
"""What somebody types who reads the README; all other commands of the story are printed."""


class Story:
    """Types commands, reads what they print and what they leave behind, and types what stands there."""

    def __init__(self, monkeypatch, capsys) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys
        self.codes: dict[str, int] = {}
        """The exit code of each command that was run."""
        self.errors: dict[str, str] = {}

    def type(self, command: str) -> None:
        """Run a command, then all that is printed and was not run yet."""
        waiting = [command]
        while waiting:
            line = waiting.pop(0)
            if line not in self.codes:
                waiting += [*commands_of(self.run(line)), *commands_of_pages()]

    def run(self, line: str) -> str:
        """Run one command; returns what it prints."""
        python, option, module, *words = shlex.split(line)
        assert (python, option) == ("python", "-m")
        path = Path(str(importlib.util.find_spec(module).origin))
        path = path.parent / "__main__.py" if path.name == "__init__.py" else path
        self.monkeypatch.setattr("sys.argv", [str(path), *words])
        name = f"{module}.__main__" if path.name == "__main__.py" else module
        self.codes[line] = importlib.import_module(name).main(words)
        out, self.errors[line] = self.capsys.readouterr()
        return out + self.errors[line]


def commands_of(text: str) -> list[str]:
    """The commands in a text of the terminal or in Markdown: each ends with its line, or with its backtick."""
    return [command.strip() for command in re.findall(r"python -m [^`\n]*", text)]


def commands_of_pages() -> list[str]:
    """Those of all reports, of their tables' files, and of MLflow's descriptions."""
    commands = []
    for page in Path().glob("*/*/report/report.html"):
        commands += [unescape(command) for command in re.findall(r"<code>(python .*?)</code>", page.read_text())]
    for table in Path().glob("*/*/report/trials.csv"):
        with table.open(newline="") as file:
            commands += [row["command"] for row in csv.DictReader(file)]
    for file in [*Path().glob("*.db"), *Path().glob("*/mlflow.db")]:
        client = mlflow.MlflowClient(f"sqlite:///{file.absolute()}")
        for experiment in client.search_experiments():
            for run in client.search_runs([experiment.experiment_id]):
                commands += commands_of(run.data.tags.get("mlflow.note.content", ""))
    return commands


@pytest.fixture
def story(desk, monkeypatch, capsys):
    return Story(monkeypatch, capsys)


def test_every_printed_command_runs_as_it_is_printed(story):
    for command in TYPED:
        story.type(command)
    failed = {line: code for line, code in story.codes.items() if code}
    assert failed.pop(TYPED[0]) == 130
    for line in failed:  # the papers' command confirms the same study with other seeds than its report's does
        refusal = "which r-paper-confirm was begun with --all; go on with that, or delete its folder"
        assert refusal in story.errors[line], (line, failed[line])
    kinds = {" ".join(shlex.split(line)[2:4]) for line in story.codes if line not in TYPED}
    assert kinds >= {
        "search.run my spaces/which r.yaml",  # going on, and what makes ours of a published figure
        "search.confirm which r-001",
        "search.confirm which r-paper",
        "search.tracking sync",
        "search.tracking ui",
    }
    assert len([line for line in story.codes if "--rerun" in line]) == 4  # of two studies of two trials
    assert confirmation_folder(Path("my runs") / "which r-001", "train").is_dir()
    assert (Path("my store") / "which r-001" / JOURNAL).is_file()
    assert not Path("runs").exists() and not Path("mlflow.db").exists()


def test_the_command_that_an_error_names_mends_what_the_error_is_about(story):
    story.run(TYPED[0])
    journal = Path("my runs") / "which r-001" / JOURNAL
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b'"', b"'", 1)
    journal.write_bytes(b"".join(lines))
    [repair] = commands_of(story.run(report := "python -m search.report 'which r-001' --out 'my runs'"))
    assert story.codes[report] == 2 and "this line is damaged" in story.errors[report]
    story.run(repair)
    story.run(report)
    assert (story.codes[repair], story.codes[report]) == (0, 0), story.errors
