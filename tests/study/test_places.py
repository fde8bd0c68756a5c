"""A study whose disk is full, whose folder cannot be written, or whose tracking server goes away. All of it real."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from drivers import Driver, place_in
from servers import Relay, free_port, server

from benchmarks.losses import Damage, check_disk, check_mlflow, check_record
from search.record.record import Record

pytestmark = pytest.mark.slow

TRIALS = 12


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return place_in(tmp_path_factory.mktemp("places"), trials=TRIALS)


def sync(place, name, *arguments):
    """Exit code of the command that sends a study to MLflow."""
    command = [sys.executable, "-m", "search.tracking", "sync", name, "--out", str(place.runs), *arguments]
    return subprocess.run(command, check=False, env=place.env, cwd=Path(__file__).parents[2]).returncode


@pytest.fixture
def small_disk(tmp_path):
    """A filesystem of 100 kB, which `grow` makes larger."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("needs root, to mount a filesystem")
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "none", folder], check=False).returncode:
        pytest.skip("needs root that may mount a filesystem")
    yield SimpleNamespace(
        path=folder, grow=lambda: subprocess.run(["mount", "-o", "remount,size=50m", folder], check=True)
    )
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.long
def test_a_full_disk_is_said_in_a_line_and_the_study_goes_on_when_there_is_room(place, small_disk):
    on_disk = SimpleNamespace(**{**vars(place), "runs": small_disk.path})
    full = Driver(on_disk, "--name", "full", "--offline", name="full").end()
    assert full.code == 2, full.stderr
    assert full.stderr.splitlines()[-1].startswith("error: ")
    assert "No space left on device" in full.stderr.splitlines()[-1]
    assert "Traceback" not in full.stderr
    assert "failed" not in {trial.state for trial in Record.open(small_disk.path / "full").trials()}

    small_disk.grow()
    done = Driver(on_disk, "--resume", "full", "--offline", name="full").end()
    assert done.code == 0, done.stderr
    assert f"lacks {TRIALS + 1} runs; send them: python -m search.tracking sync full" in done.stdout
    damage = Damage()
    check_record(Record.open(small_disk.path / "full"), damage, trials=TRIALS)
    check_disk(Record.open(small_disk.path / "full"), damage)
    assert not damage, damage

    assert sync(on_disk, "full") == 0
    check_mlflow(Record.open(small_disk.path / "full"), damage)
    assert not damage, damage


@pytest.mark.parametrize("out", ["/proc/runs", "FILE/runs"])
def test_a_folder_that_cannot_be_written_is_said_in_a_line(place, tmp_path, out):
    (tmp_path / "file").write_text("")
    on_nothing = SimpleNamespace(**{**vars(place), "runs": Path(out.replace("FILE", str(tmp_path / "file")))})
    refused = Driver(on_nothing, name="none").end()
    assert refused.code == 2
    assert len(refused.stderr.splitlines()) == 1
    assert "cannot write the study's folder: " in refused.stderr


@pytest.mark.long
def test_a_tracking_server_that_goes_for_good_holds_nobody_up_and_hears_everything_later(place):
    (place.runs / "away").mkdir(parents=True)
    port = free_port()
    with server(SimpleNamespace(folder=place.runs / "away"), port), Relay(port) as relay:
        driver = Driver(place, "--resume", "away", "--tracking-uri", relay.uri, name="away")
        driver.until_epochs(4)
        relay.cut()
        done = driver.end()
        assert done.code == 0, done.stderr
        assert f"MLflow at {relay.uri} is away" in done.stderr
        assert f"search.tracking sync away --out {place.runs} --tracking-uri {relay.uri}" in done.stdout

        relay.join()
        assert sync(place, "away", "--tracking-uri", relay.uri) == 0
        damage = Damage()
        check_mlflow(Record.open(place.runs / "away"), damage, relay.uri)
        assert not damage, damage
