"""The example of docs/plugins.md through a study's whole life: killed, resumed, confirmed, predicted with, exported."""

from __future__ import annotations

import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
from drivers import Driver, place_in
from plugin_files import page_block
from waiting import until

from search.record.notes import TEST, scores_on_test
from search.record.record import Record

pytestmark = [pytest.mark.slow, pytest.mark.long]

SMALL = ("sr=8000", "n_fft=512", "hop_length=128", "n_mels=32", "clip_seconds=0.6", "batch_size=8")
PATIENCE_S = 600.0
"""A busy machine takes minutes to start Ray and its workers."""
RULE = "study story was made with the plug-in my_metrics.py"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The page's model, metric and space file, on the music of a tiny study."""
    place = place_in(tmp_path_factory.mktemp("plugins"), trials=1)
    files = {
        "my_models.py": page_block("Your own model"),
        "my_metrics.py": page_block("A metric"),
        "patches.yaml": page_block("Your own model", "yaml"),
    }
    for name, text in files.items():
        (place.folder / name).write_text(text)
    place.space = place.folder / "patches.yaml"
    place.env["RAY_raylet_start_wait_time_s"] = "300"
    return place


@pytest.fixture(scope="module")
def life(place):
    """What was seen on the way."""
    seen = SimpleNamespace()
    music = ["--data", place.folder / "music", "--set", "search.metric=val_top2"]
    small = [word for setting in SMALL for word in ("--set", f"params.{setting}")]
    mine = ["--plugin", place.folder / "my_models.py", "--plugin", place.folder / "my_metrics.py"]

    def run(*words):
        return Driver(place, *music, *small, *words, name="story")

    def ended(driver):
        until(lambda: driver.process.poll() is not None, "its end", PATIENCE_S)
        return driver.end()

    driver = run(*mine, "--name", "story")
    until(lambda: driver.epochs() >= 3 or driver.process.poll() is not None, "its first epochs", PATIENCE_S)
    driver.process.kill()
    driver.end()
    seen.without = ended(run("--plugin", place.folder / "my_models.py", "--resume"))
    changed = place.folder / "changed" / "my_models.py"
    changed.parent.mkdir()
    changed.write_text(page_block("Your own model") + "\n# a remark\n")
    seen.changed = ended(run("--plugin", changed, *mine[2:], "--resume"))
    for name in ("my_models.py", "my_metrics.py"):
        (place.folder / name).unlink()  # the copies beside the record are what is left
    copies = [word for path in sorted((driver.study / "plugins").iterdir()) for word in ("--plugin", path)]
    seen.resumed = ended(run(*copies, "--resume", "story"))
    seen.record = Record.open(driver.study)

    def command(module, *words):
        line = [sys.executable, "-m", module, *map(str, words)]
        return subprocess.run(line, env=place.env, cwd=place.folder, capture_output=True, text=True, check=False)

    local = ["--out", place.runs, "--address", "local", "--quiet", "--top", 1, "--seeds", 1]
    seen.confirmed = command("search.confirm", "story", *copies, *local)
    seen.rerun = command("search.run", "--rerun", "story/0", *copies, "--out", place.runs)
    model, song = driver.study / "model", next((place.folder / "music").rglob("*.wav"))
    seen.predicted = command("mgc.predict", "--model", model, "--plugin", model / "my_models.py", song)
    seen.unnamed = command("mgc.predict", "--model", model, song)
    seen.reported = command("search.report", "story", "--out", place.runs)
    seen.listed = command("search.list", "--out", place.runs)
    return seen


def test_a_study_goes_on_with_the_plugins_that_it_began_with_alone(life):
    assert life.without.code == life.changed.code == 2
    assert "unknown" not in life.without.stderr
    assert life.without.stderr.startswith(f"error: {RULE} (digest ")
    assert life.without.stderr.endswith("/runs/story/plugins/my_metrics.py\n")
    assert re.search(r"changed/my_models\.py has changed since study story was made \(digest ", life.changed.stderr)
    assert life.changed.stderr.endswith("/runs/story/plugins/my_models.py\n")


def test_it_ends_with_all_trials_trained_by_the_plugin_and_scored_by_its_metric(life):
    assert life.resumed.code == 0, life.resumed.stderr
    trials = life.record.trials()
    assert len(trials) == 8
    assert not [trial for trial in trials if trial.state == "failed"]
    assert {trial.params["model"] for trial in trials} == {"patches"}
    assert all(0 <= epoch["val_top2"] <= 1 for trial in trials for epoch in trial.epochs)
    assert [each.name for each in life.record.header.plugins] == ["my_models.py", "my_metrics.py"]


def test_a_confirmation_has_its_metric_of_the_test_part_and_the_model_as_one_graph(life):
    assert life.confirmed.returncode == 0, life.confirmed.stderr
    record = Record.open(life.record.folder.with_name("story-confirm"))
    assert all("test_top2" in scores for scores in scores_on_test(record.noted(TEST)).values())
    assert {each.digest for each in record.header.plugins} == {each.digest for each in life.record.header.plugins}
    assert (life.record.folder / "mlflow_model" / "MLmodel").is_file(), life.confirmed.stderr


def test_a_trial_is_trained_again_bit_for_bit(life):
    assert (life.rerun.returncode, life.rerun.stderr) == (0, "")


def test_the_saved_model_predicts_where_its_plugin_is_named(life):
    assert life.predicted.returncode == 0, life.predicted.stderr
    assert re.search(r"\.wav: (low|middle|high) [01]\.\d\d", life.predicted.stdout)
    assert life.unnamed.returncode == 2
    assert re.fullmatch(
        r"error: the model in \S+ was made with the plug-in my_models\.py \(digest \w{16}\): add --plugin \S+\n",
        life.unnamed.stderr,
    )


def test_what_reads_results_needs_no_plugin(life):
    assert life.reported.returncode == 0, life.reported.stderr
    assert life.listed.returncode == 0, life.listed.stderr
    assert "val_top2" in life.listed.stdout or "test accuracy" in life.listed.stdout
