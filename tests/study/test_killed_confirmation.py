"""A confirmation whose driver is killed while the test part is open, by the command line: the same command goes on."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import until

from benchmarks import tiny_study
from search.record.files import predictions_on_test
from search.record.notes import OPENINGS, TEST, scores_on_test
from search.record.record import Record
from search.results.confirmed import confirmations
from search.results.predictions import read_predictions

pytestmark = [pytest.mark.slow, pytest.mark.long]

EARLIER = Path(__file__).parent / "earlier" / "kept-001"


@pytest.fixture
def study(tmp_path):
    """A finished study, and the music that it was trained on."""
    tiny_study.write_space(tmp_path, trials=1)
    return Path(shutil.copytree(EARLIER, tmp_path / "runs" / EARLIER.name))


def confirm(study, top):
    environment = {**tiny_study.environment(study.parents[1]), "MGC_DATA": str(study.parents[1])}
    words = [study.name, "--top", str(top), "--seeds", "1", "--out", str(study.parent), "--quiet", "--address", "local"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-m", "search.confirm", *words], env=environment, **pipes)


@pytest.mark.parametrize("top", [1, 2])
def test_killed_when_it_has_its_first_predictions_it_goes_on_with_the_others(study, top):
    folder = study.with_name(f"{study.name}-confirm")
    first = folder / predictions_on_test(0)
    driver = confirm(study, top)
    until(lambda: first.exists() or driver.poll() is not None, "the first predictions are there", 240)
    driver.kill()
    assert driver.wait() == -9, driver.stderr.read()
    tested = scores_on_test(Record.open(folder).noted(TEST))
    assert set(tested) <= {0}

    printed, error_text = (again := confirm(study, top)).communicate(timeout=240)
    assert again.returncode == 0, error_text
    record = Record.open(folder)
    scores = scores_on_test(record.noted(TEST))
    assert set(scores) == {trial.number for trial in record.trials("complete")} == set(range(len(scores)))
    assert {number: scores[number] for number in tested} == tested
    for number in scores:
        predictions, _ = read_predictions(folder / predictions_on_test(number))
        assert predictions.scores("sum").accuracy == scores[number]["test_accuracy_sum"]
    [confirmation] = confirmations(study)
    assert len(confirmation.configs) == len(record.header.confirm.configs) == len(scores)
    models = [opening["models"] for opening in Record.open(study).noted(OPENINGS)]
    assert models[-2:] == [len(scores), len(scores) - len(tested)]
    assert printed.startswith("On ")
