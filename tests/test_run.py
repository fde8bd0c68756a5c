"""The command line, end to end: real files, real Ray, real MLflow; and what it says to mistakes."""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pytest
import soundfile

from search.record.lines import encoded
from search.record.notes import WARM_START
from search.record.ranking import pareto_front
from search.record.record import Record
from search.run import main, next_command, parsed
from search.study.rerun import TIMES

SR = 8000

SPACE = """
description: which r for tiny music
data: {dataset: DATASET, split: artist, ratios: [50, 25, 25]}
params:
  model: se_cnn
  r: {uniform: [2, 16]}
  channels: [8, 8, 8, 16, 16]
  spectrogram: log_mel
  sr: 8000
  n_mels: 32
  n_fft: 512
  hop_length: 128
  clip_seconds: 0.6
  clips_per_track: 3
  batch_size: 4
  lr: 0.005
  dropout: 0.0
search: {trials: 6, seed: 3}
budget: {min_epochs: 1, max_epochs: 4, reduction_factor: 2}
"""


@pytest.fixture(scope="session")
def music(tmp_path_factory):
    """Three genres of eight tracks of 2 s by four artists each, and one file that is no audio."""
    root = tmp_path_factory.mktemp("music")
    generator = np.random.default_rng(0)
    rows = ["path,genre,artist"]
    for genre, hz in (("low", 110), ("middle", 440), ("high", 1760)):
        (root / genre).mkdir()
        for number in range(8):
            t_S = np.arange(2 * SR) / SR
            y_S = 0.3 * np.sin(2 * np.pi * hz * (1 + 0.02 * number) * t_S) + 0.1 * generator.standard_normal(len(t_S))
            soundfile.write(root / genre / f"{number}.wav", y_S, SR)
            rows.append(f"{genre}/{number}.wav,{genre},{genre}-{number // 2}")
    (root / "low" / "broken.wav").write_text("no audio at all")
    rows.append("low/broken.wav,low,low-0")
    (root / "tracks.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture
def space(tmp_path, music):
    path = tmp_path / "tiny.yaml"
    path.write_text(SPACE.replace("DATASET", str(music)))
    return path


def run(*arguments, cwd):
    command = [sys.executable, "-m", "search.run", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, music):
    """One whole study by the command line: its folder, its process, its JSON."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "tiny.yaml").write_text(SPACE.replace("DATASET", str(music)))
    done = run("tiny.yaml", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
class TestAWholeStudy:
    def test_the_json_says_what_came_out(self, finished):
        folder, _, result = finished
        assert list(result) == [
            "study", "space", "dataset", "split", "trials", "complete", "paused", "stopped", "failed", "infeasible",
            "best", "front", "seconds", "out",
        ]  # fmt: skip
        assert (result["study"], result["space"], result["split"]) == ("tiny-001", "tiny", "artist")
        assert result["trials"] == 6 == result["complete"] + result["paused"]
        assert result["complete"] >= 3 and result["stopped"] == 0
        assert result["failed"] == result["infeasible"] == 0
        assert result["best"]["trial"] in [each["trial"] for each in result["front"]]
        assert Path(result["out"]) == folder / "runs" / "tiny-001"
        assert result["best"]["score"] > 0.5  # three tones in noise: a guess is 0.33
        assert result["best"]["yaml"].startswith("params:\n  model: se_cnn\n  r: ")

    def test_one_value_goes_the_whole_way_from_yaml_to_mlflow(self, finished):
        folder, _, result = finished
        client = mlflow.MlflowClient(f"sqlite:///{folder}/runs/mlflow.db")
        run_of_best = client.get_run(result["best"]["run_id"])
        r = result["best"]["params"]["r"]
        record = Record.open(folder / "runs" / "tiny-001")
        assert 2 <= r <= 16
        assert record.trial(result["best"]["trial"]).params["r"] == r
        assert float(run_of_best.data.params["r"]) == r
        assert run_of_best.data.metrics["val_accuracy"] == result["best"]["score"]

    def test_mlflow_knows_every_trial_once_and_as_what_it_ended(self, finished):
        folder, _, result = finished
        client = mlflow.MlflowClient(f"sqlite:///{folder}/runs/mlflow.db")
        experiment = client.get_experiment_by_name("tiny")
        runs = client.search_runs([experiment.experiment_id])
        children = [each for each in runs if "mlflow.parentRunId" in each.data.tags]
        assert len(runs) == 7
        assert len(children) == 6
        states = [each.info.status for each in children]
        assert states == ["FINISHED"] * 6
        tags = [each.data.tags["state"] for each in children]
        assert {state: tags.count(state) for state in ("complete", "paused")} == {
            state: result[state] for state in ("complete", "paused")
        }
        record = {f"trial-{t.number:03d}": t for t in Record.open(folder / "runs" / "tiny-001").trials()}
        for each in children:
            trial = record[each.info.run_name]
            history = client.get_metric_history(each.info.run_id, "val_accuracy")
            assert [(point.step, point.value) for point in sorted(history, key=lambda p: p.step)] == [
                (epoch["epoch"], epoch["val_accuracy"]) for epoch in trial.epochs
            ]

    def test_weights_of_the_best_three_are_kept_and_no_others(self, finished):
        folder, _, result = finished
        client = mlflow.MlflowClient(f"sqlite:///{folder}/runs/mlflow.db")
        kept = sorted((folder / "runs" / "tiny-001" / "trials").glob("*/weights.safetensors"))
        assert len(kept) == min(3, result["complete"])
        artifacts = [artifact.path for artifact in client.list_artifacts(result["best"]["run_id"])]
        assert "weights.safetensors" in artifacts

    def test_an_undecodable_file_is_named_once(self, finished):
        _, done, _ = finished
        assert len([line for line in done.stderr.splitlines() if "broken.wav" in line]) == 1

    def test_what_is_printed_is_free_of_other_libraries_noise(self, finished):
        _, done, _ = finished
        for word in ("ray", "optuna", "mlflow", "alembic", "Warning", "INFO", "Traceback"):
            assert not [line for line in done.stderr.splitlines() if word in line], word

    def test_the_record_keeps_no_test_score(self, finished):
        folder, _, _ = finished
        assert "test_" not in (folder / "runs" / "tiny-001" / "record.log").read_text()

    @pytest.mark.usefixtures("shared_ray")
    def test_resumed_when_finished_it_prints_the_same_and_trains_nothing(self, finished):
        folder, done, _ = finished
        before = (folder / "runs" / "tiny-001" / "record.log").stat().st_size
        again = run("tiny.yaml", "--json", "--resume", cwd=folder)
        assert (again.returncode, again.stdout.splitlines()[-1]) == (0, done.stdout.splitlines()[-1])
        after = (folder / "runs" / "tiny-001" / "record.log").stat().st_size
        assert after - before < 2000  # the header once more, no trial

    @pytest.mark.long
    @pytest.mark.usefixtures("shared_ray")
    def test_its_results_start_another_study(self, finished):
        folder, _, _ = finished
        arguments = ["tiny.yaml", "--name", "warm", "--trials", "1", "--offline"]
        warm = run(*arguments, "--warm-start", "tiny-001", cwd=folder)
        assert warm.returncode == 0, warm.stderr
        assert "warm start: 6 of 6 results of tiny-001 can be used" in warm.stderr
        assert "lacks 2 runs; send them: python -m search.tracking sync warm" in warm.stdout
        note = Record.open(folder / "runs" / "warm").noted(WARM_START)
        assert len(note["results"]) == 6

    def test_a_trial_of_it_that_is_run_again_scores_the_same(self, finished):
        folder, _, _ = finished
        again = run("--rerun", "tiny-001/2", cwd=folder)
        epochs = len(Record.open(folder / "runs" / "tiny-001").trial(2).epochs)
        assert again.returncode == 0, again.stderr
        last = f"tiny-001/2: the scores of {epochs} of {epochs} epochs are identical"
        assert again.stdout.splitlines()[-1] == last

    def test_a_score_that_does_not_come_out_again_is_said(self, finished):
        folder, _, _ = finished
        shutil.copytree(folder / "runs" / "tiny-001", folder / "runs" / "forged")
        journal = folder / "runs" / "forged" / "record.log"
        score = Record.open(folder / "runs" / "forged").trial(0).epochs[0]["val_loss"]
        forged = map(json.loads, journal.read_text().replace(repr(score), repr(score + 1e-9), 1).splitlines())
        journal.write_bytes(b"".join(encoded({key: log[key] for key in log if key != "crc32"}) for log in forged))
        again = run("--rerun", "forged/0", cwd=folder)
        assert again.returncode == 1
        assert again.stdout.splitlines()[0].endswith(f": val_loss {score + 1e-9!r} then, {score!r} now")

    def test_another_space_is_refused_with_the_difference(self, finished):
        folder, _, _ = finished
        refused = run("tiny.yaml", "--resume", "--set", "params.lr=0.5", cwd=folder)
        assert refused.returncode == 2
        assert refused.stderr.splitlines()[-1].endswith("params.lr: 0.005 -> 0.5")


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.usefixtures("shared_ray")
def test_a_trial_that_is_run_again_scores_the_same(space, tmp_path):
    """Warm actors and fresh ones: the same params and seed give the same scores, bit for bit."""
    text = space.read_text().replace("r: {uniform: [2, 16]}", "r: {grid: [4.0, 8.0]}\n  seed: {grid: [0, 1]}")
    space.write_text(text.replace("search: {trials: 6, seed: 3}", "search: {sampler: grid}"))
    for name in ("a", "b"):
        assert run(space, "--name", name, "--set", "budget.epochs=2", cwd=tmp_path).returncode == 0
    first, second = (
        {
            (t.params["r"], t.seed): [{k: v for k, v in e.items() if k not in TIMES} for e in t.epochs]
            for t in Record.open(tmp_path / "runs" / name).trials()
        }
        for name in ("a", "b")
    )
    assert len(first) == 4
    assert first == second


@pytest.mark.slow
@pytest.mark.usefixtures("shared_ray")
def test_a_study_that_cannot_succeed_exits_1_and_says_why(space, tmp_path):
    growing = ["params.optimizer=sgd", "params.lr=10.0", "params.weight_decay=1.0"]  # each step: weights times -9
    done = run(space, *(argument for each in growing for argument in ("--set", each)), cwd=tmp_path)
    assert done.returncode == 1
    assert "diverged" in done.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("shared_ray")
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--data", "nothing-here", "--address", "local"], "error: no dataset 'nothing-here': neither a folder"),
        (["--set", "data.split=fault_filtered"], "fault_filtered"),
        (["--set", "params.clip_seconds=30.0"], "error: clip_seconds must be <= 2.0 (the tracks' length), got 30"),
        (["--tracking-uri", "http://127.0.0.1:9"], "error: MLflow at http://127.0.0.1:9 cannot be used"),
    ],
)
def test_a_mistake_that_only_the_data_can_show_is_one_line(space, tmp_path, capsys, monkeypatch, arguments, line):
    monkeypatch.chdir(tmp_path)
    assert main([str(space), *arguments]) == 2
    error_text = capsys.readouterr().err
    assert line in error_text.splitlines()[-1]
    assert "Traceback" not in error_text


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["--set", "params.chanels=[1]"],
            "error: --set params.chanels=[1]: unknown key 'chanels' (did you mean 'channels'?)",
        ),
        (["--profile", "papr"], "papr"),
        (["--trials", "0"], "error: --trials must be >= 1, got 0"),
        (["--name", ""], "error: argument --name: the name of a study has 1 to 100 letters, digits, spaces and "),
        (["--name", "../x"], "got '../x' (see python -m search.run --help)"),
        (["--out", ""], "error: argument --out: must be a folder, got '' (see "),
        (["--data", b"\xff"], "error: '\\udcff' is no text in UTF-8"),
        (["--profile", "x" * 5000], " ... x"),
    ],
)
def test_a_mistake_of_the_command_line_is_one_line_before_anything_heavy_is_imported(space, tmp_path, arguments, line):
    code = (
        "import atexit, sys; from search.run import main; "
        "atexit.register(lambda: print({'torch', 'ray', 'optuna', 'mlflow'} & set(sys.modules))); "
        "sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, str(space), *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stdout) == (2, "set()\n")
    assert line in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.usefixtures("shared_ray")
def test_a_space_that_says_everything_runs(music, tmp_path):
    text = (Path(__file__).parent / "everything.yaml").read_text()
    (tmp_path / "everything.yaml").write_text(text.replace("DATASET", str(music)))

    done = run("everything.yaml", "--profile", "longer", "--json", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    trials = Record.open(tmp_path / "runs" / "everything-001").trials()
    combinations = {tuple(sorted(t.varying.items())) for t in trials}
    assert len(trials) == len(combinations) == 16  # (cnn3, r = 2, r = 4 with either dropout) x 2 folds x 2 seeds
    assert {t.state for t in trials} == {"complete"}
    for trial in trials:
        assert (trial.params["model"] == "se_cnn") == ("r" in trial.params) == ("channels" in trial.params)
        assert ("dropout" in trial.params) == (trial.params.get("r") == 4.0)
        assert trial.seed == trial.params["seed"]
        assert (trial.params["lr"], len(trial.epochs)) == (0.002, 2)
        assert trial.last["val_accuracy_mean2"] == sum(epoch["val_accuracy"] for epoch in trial.epochs) / 2
    front = {each["trial"] for each in json.loads(done.stdout.splitlines()[-1])["front"]}
    assert front == {
        t.number for t in pareto_front(trials, Record.open(tmp_path / "runs/everything-001").header.objectives)
    }
    assert len({t.network for t in trials}) == 4  # folds and seeds are repeats of one network
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/runs/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("everything").experiment_id])
    tagged = {each.info.run_name for each in runs if each.data.tags.get("pareto_front") == "true"}
    assert tagged == {f"trial-{number:03d}" for number in front}
    assert (tmp_path / "runs/everything-001/report/front.csv").is_file()
    logged = [each.data.params for each in runs if "mlflow.parentRunId" in each.data.tags]
    assert sorted("r" in params for params in logged) == [False] * 4 + [True] * 12


@pytest.mark.slow
def test_a_dry_run_starts_nothing(space, tmp_path):
    done = run(space, "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "runs").exists()
    for word in ("uniform [2, 16]", "networks: 8", "weights", "plan: ", "for an epoch of"):
        assert word in done.stdout


def test_the_command_to_go_on_lacks_what_holds_for_one_start_and_names_what_another_shell_may_lack(monkeypatch):
    monkeypatch.setenv("MGC_STORAGE", "s3://bucket/studies")
    words = ["my space.yaml", "--max-hours", "2", "--name", "a", "--json", "--set", "params.r=4", "--out", "my runs"]
    args = parsed(words)
    outcome = SimpleNamespace(interrupted=True, tracking_uri="sqlite:///x.db", record=SimpleNamespace(name="a"))
    command = shlex.split(next_command(outcome, args))
    assert command[:4] == ["python", "-m", "search.run", "my space.yaml"]
    again = parsed(command[3:])
    assert (again.resume, again.out, again.set) == ("a", Path("my runs"), ["params.r=4"])
    assert (again.max_hours, again.name, again.json) == (None, None, False)
    assert command[command.index("--storage") + 1] == "s3://bucket/studies"
