"""Scratch folders: private, gone at the end, and what a killed process left is removed by the next one."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from search.machines.scratch import scratch

HOLDS = """
import signal, sys
from search.machines.scratch import scratch
with scratch() as folder:
    (folder / "file").touch()
    print(folder, flush=True)
    signal.pause()
"""


@pytest.fixture
def tmpdir(monkeypatch):
    """A $TMPDIR of its own that is short enough for Ray."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr(tempfile, "tempdir", None)
        yield Path(folder)


def holder():
    """A process that has a scratch folder, and the folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLDS], stdout=subprocess.PIPE, text=True)
    return process, Path(process.stdout.readline().strip())


def test_a_folder_is_of_its_user_alone_and_gone_at_the_end_also_after_an_error(tmpdir):
    def fail():
        with scratch() as folder:
            assert (folder.parent, folder.stat().st_mode & 0o777) == (tmpdir, 0o700)
            (folder / "below").mkdir()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmpdir.iterdir()) == []


def test_what_a_killed_process_left_is_removed_by_the_next_and_what_a_live_one_has_is_not(tmpdir):
    killed, left = holder()
    alive, held = holder()
    killed.kill()
    killed.wait()
    assert (left / "file").exists()
    with scratch():
        assert not left.exists()
        assert (held / "file").exists()
    alive.send_signal(signal.SIGINT)
    alive.wait()
    assert list(tmpdir.iterdir()) == []


def test_a_folder_that_is_no_scratch_folder_stays(tmpdir):
    for name, mode in (("mgc-tmp-shared_1", 0o755), ("mgc-tmp-mydata", 0o700), ("mgc-tmp-12345678-old", 0o700)):
        (tmpdir / name).mkdir()
        (tmpdir / name).chmod(mode)
    (tmpdir / "mgc-tmp-linklink").symlink_to(tmpdir / "mgc-tmp-mydata")
    with scratch():
        pass
    assert len(list(tmpdir.iterdir())) == 4


def test_a_temporary_folder_that_is_too_long_for_the_sockets_of_ray_is_left_for_a_shorter_one(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with scratch() as folder:
        assert folder.parent == Path("/tmp")
        longest = folder / "r" / "session_2026-11-21_20-54-00_155185_4194304" / "sockets" / "plasma_store"
        assert len(os.fsencode(tmp_path)) > 24
        assert len(os.fsencode(longest)) + 24 - len("/tmp") <= 107
