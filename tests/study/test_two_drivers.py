"""Two drivers with folders of their own and one storage: one alone runs the study, whichever is killed or suspended."""

from __future__ import annotations

import os
import signal
import time
from types import SimpleNamespace

import pytest
from drivers import Driver, place_in

from benchmarks.chaos import Damage, check_disk, check_record
from search.record.files import JOURNAL
from search.record.record import Record
from search.storage.lease import FOLDER, STALE_S

pytestmark = [pytest.mark.slow, pytest.mark.long]

TRIALS = 12


@pytest.fixture(scope="module")
def life(tmp_path_factory):
    """One study of three drivers: the first is killed, the second suspended, the third ends it."""
    place = place_in(tmp_path_factory.mktemp("two"), trials=TRIALS)
    shared = place.folder / "shared"
    seen = SimpleNamespace(stored=shared / "life")

    def driver(out, *arguments):
        own = SimpleNamespace(**{**vars(place), "runs": place.folder / out})
        return Driver(own, *arguments, "--storage", shared, "--offline", name="life")

    first = driver("first", "--name", "life")
    first.until(lambda: (seen.stored / JOURNAL).is_file(), "its copy is there")
    seen.first_pid = first.process.pid
    seen.refused = driver("second", "--resume", "life").end()
    first.until_epochs(3)
    first.process.kill()
    first.end()

    killed_at = time.monotonic()
    second = driver("second", "--resume", "life")
    second.until(lambda: (seen.stored / FOLDER / "00002").is_file(), "it has the lease")
    seen.waited_s = time.monotonic() - killed_at
    second.until_epochs(4)
    second.process.send_signal(signal.SIGSTOP)
    long_ago = time.time() - STALE_S - 1
    os.utime(seen.stored / FOLDER / "00002", (long_ago, long_ago))

    third = driver("third", "--resume", "life")
    third.until(lambda: (seen.stored / FOLDER / "00003").is_file(), "it has the lease")
    second.process.send_signal(signal.SIGCONT)
    seen.third_pid = third.process.pid
    seen.suspended = second.end()
    seen.last = third.end()
    seen.record = Record.open(third.study)
    return seen


def test_a_driver_on_another_folder_is_refused_in_a_line_that_names_the_one_that_runs(life):
    assert (life.refused.code, life.refused.stdout) == (2, "")
    line = life.refused.stderr.splitlines()[-1]
    who = f"pid {life.first_pid} on {os.uname().nodename} since "
    assert line.startswith(f"error: study {life.stored} is running already: {who}")
    assert line.endswith(" s ago; stop that driver first, or choose another --name")
    assert "Traceback" not in life.refused.stderr


def test_nobody_waits_for_the_lease_of_a_killed_driver(life):
    assert life.waited_s < STALE_S / 2


def test_a_driver_that_was_suspended_for_long_ends_and_names_the_one_that_goes_on(life):
    assert life.suspended.code == 2
    line = life.suspended.stderr.splitlines()[-1]
    assert line.startswith(f"error: pid {life.third_pid} on {os.uname().nodename} since ")
    assert line.endswith(f" has taken the lease of {life.stored} and goes on with it; this driver has ended")
    assert "Traceback" not in life.suspended.stderr


def test_the_study_has_every_trial_once_and_the_storage_has_the_same(life):
    assert life.last.code == 0, life.last.stderr
    damage = Damage()
    check_record(life.record, damage, trials=TRIALS)
    check_disk(life.record, damage)
    assert not damage, damage
    assert (life.stored / JOURNAL).read_bytes() == (life.record.folder / JOURNAL).read_bytes()
    weights = {path.relative_to(life.record.folder) for path in life.record.folder.rglob("*.safetensors")}
    assert {path.relative_to(life.stored) for path in life.stored.rglob("*.safetensors")} == weights
    assert not list(life.stored.rglob("checkpoint.pt"))
