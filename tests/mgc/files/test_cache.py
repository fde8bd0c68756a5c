"""What the cache promises: a thing is built once, whole or not at all."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from mgc.files.cache import built, cache_dir, entries, locked, prune
from mgc.files.whole import write_whole
from mgc.words.errors import ConfigError


def write_hello(path: Path) -> None:
    path.write_text("hello")


def test_the_cache_folder_is_made_where_mgc_cache_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MGC_CACHE", str(tmp_path / "a" / "b"))
    assert cache_dir() == tmp_path / "a" / "b"
    assert cache_dir().is_dir()


def test_without_mgc_cache_the_users_own_cache_folder_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MGC_CACHE")
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: str(tmp_path / name))
    assert cache_dir() == tmp_path / "mgc"


def test_a_cache_folder_that_cannot_be_made_is_an_error_that_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_hello(tmp_path / "file")
    monkeypatch.setenv("MGC_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(
        ConfigError, match=r"^cache folder .*/file/cache cannot be made: .* \(set MGC_CACHE to another\)$"
    ):
        cache_dir()


def test_what_is_there_is_not_built_again(tmp_path: Path) -> None:
    built(tmp_path / "x", write_hello)
    assert built(tmp_path / "x", lambda path: pytest.fail("built twice")).read_text() == "hello"


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.mkdir()
        write_hello(path / "half")
        raise RuntimeError("no space")

    with pytest.raises(RuntimeError, match="no space"):
        built(tmp_path / "x", fail)
    assert [path.name for path in tmp_path.iterdir()] == ["x.lock"]


def test_what_a_killed_build_left_behind_is_no_part_of_the_next(tmp_path: Path) -> None:
    def die(path: Path) -> None:
        path.mkdir()
        write_hello(path / "half")
        os.kill(os.getpid(), signal.SIGKILL)

    process = multiprocessing.get_context("fork").Process(target=built, args=(tmp_path / "x", die))
    process.start()
    process.join(timeout=10)
    assert process.exitcode == -signal.SIGKILL
    assert not (tmp_path / "x").exists()
    assert list(built(tmp_path / "x", Path.mkdir).iterdir()) == []


def test_what_another_process_built_while_this_one_waited_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def locked_late(path: Path) -> Iterator[None]:
        write_hello(path)
        yield

    monkeypatch.setattr("mgc.files.cache.locked", locked_late)
    assert built(tmp_path / "x", lambda path: pytest.fail("built twice")).read_text() == "hello"


def test_a_lock_keeps_others_out(tmp_path: Path) -> None:
    with locked(tmp_path / "x"), pytest.raises(Timeout):
        FileLock(tmp_path / "x.lock").acquire(timeout=0.01)
    with FileLock(tmp_path / "x.lock").acquire(timeout=0.01):
        pass


# --- shared by nodes and users ----------------------------------------------------------------------------------------

BUILDER = """
import sys, time
from contextlib import nullcontext
from pathlib import Path
from mgc.files import cache

who, path, ready = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
cache.locked = lambda path: nullcontext()  # a file system on which locks do nothing

def build(folder):
    folder.mkdir()
    (ready / who).touch()
    while len(list(ready.iterdir())) < 2:
        time.sleep(0.01)
    for number in range(200):
        (folder / f"{number}").write_text(who)
        time.sleep(0.001)

print({file.read_text() for file in cache.built(path, build).iterdir()})
"""


def test_two_that_build_at_once_without_locks_both_get_a_whole_one(tmp_path: Path) -> None:
    (tmp_path / "ready").mkdir()
    command = [sys.executable, "-c", BUILDER]
    processes = [
        subprocess.Popen(
            [*command, who, str(tmp_path / "shared" / "x"), str(tmp_path / "ready")], stdout=subprocess.PIPE, text=True
        )
        for who in ("one", "two")
    ]
    (tmp_path / "shared").mkdir(exist_ok=True)
    said = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert len(said) == 1 and said < {"{'one'}", "{'two'}"}
    assert [path.name for path in (tmp_path / "shared").iterdir()] == ["x"]


def test_a_lock_that_another_user_owns_does_not_stop_a_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(lock: FileLock) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(FileLock, "acquire", refuse)
    assert built(tmp_path / "x", write_hello).read_text() == "hello"


def test_an_unfinished_build_of_a_running_process_or_another_node_is_left_alone(tmp_path: Path) -> None:
    host = socket.gethostname()
    ours, theirs, old = (
        tmp_path / f".x.{each}.aaaaaaaa.partial" for each in (f"{host}.{os.getpid()}", "far.away.1", "far.away.2")
    )
    for path in (ours, theirs, old):
        path.mkdir()
    os.utime(old, (1, 1))
    built(tmp_path / "x", write_hello)
    assert ours.exists() and theirs.exists() and not old.exists()


# --- pruning ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with two stores, one of them unused for 10 days, a list of contents, and a file of someone else."""
    monkeypatch.setenv("MGC_CACHE", str(tmp_path))
    for name in ("features/log_mel-new", "features/log_mel-old"):
        built(tmp_path / name, Path.mkdir)
        (tmp_path / name / "rows.bin").write_bytes(b"x" * 100_000)
    write_whole(tmp_path / "contents" / "a.json", "{}")
    (tmp_path / "somebody's notes.txt").write_text("hello")
    unused_since(tmp_path / "features" / "log_mel-old", days=10)
    return tmp_path


def unused_since(path: Path, days: float) -> None:
    then = time.time() - days * 24 * 3600
    os.utime(path, (then, then))


def test_entries_are_listed_with_size_and_age(own_cache: Path) -> None:
    found = {entry.path.relative_to(own_cache).as_posix(): entry for entry in entries()}
    assert list(found) == [
        "features/log_mel-old",
        *sorted(set(found) - {"features/log_mel-old"}, key=list(found).index),
    ]
    assert set(found) == {"features/log_mel-old", "features/log_mel-new", "contents/a.json"}
    assert found["features/log_mel-old"].num_bytes >= 100_000
    assert found["features/log_mel-old"].unused_days == pytest.approx(10, abs=0.1)


def test_pruning_takes_what_was_unused_so_long_and_nothing_of_others(own_cache: Path) -> None:
    assert [entry.path.name for entry in prune(5)] == ["log_mel-old"]
    assert [entry.path.name for entry in prune(5)] == []
    assert len(prune(0)) == 2
    left = sorted(path.relative_to(own_cache).as_posix() for path in own_cache.rglob("*") if path.is_file())
    assert [name for name in left if not name.endswith(".lock")] == ["somebody's notes.txt"]


def test_using_an_entry_keeps_it(own_cache: Path) -> None:
    built(own_cache / "features" / "log_mel-old", lambda path: pytest.fail("built twice"))
    assert prune(5) == []


def test_what_is_used_while_the_cache_is_pruned_stays(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = entries()
    built(own_cache / "features" / "log_mel-old", lambda path: pytest.fail("built twice"))
    monkeypatch.setattr("mgc.files.cache.entries", lambda: listed)
    assert prune(5) == []
    assert (own_cache / "features" / "log_mel-old" / "rows.bin").is_file()


def test_what_is_being_built_is_not_pruned_and_what_the_dead_left_is(own_cache: Path) -> None:
    host = socket.gethostname()
    alive = own_cache / "features" / f".x.{host}.{os.getpid()}.aaaaaaaa.partial"
    dead = own_cache / "features" / f".x.{host}.{2**22 + 1}.aaaaaaaa.partial"
    for path in (alive, dead):
        path.mkdir()
    prune(5)
    assert alive.exists() and not dead.exists()


def test_a_pruned_store_stays_readable_for_who_has_it_open(own_cache: Path) -> None:
    with (own_cache / "features" / "log_mel-old" / "rows.bin").open("rb") as file:
        prune(5)
        assert len(file.read()) == 100_000


def test_the_command_shows_and_prunes(own_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from mgc.datasets import __main__ as cli

    assert cli.main(["cache"]) == 0
    shown = capsys.readouterr().out
    assert "features/log_mel-old" in shown and "10.0" in shown
    assert cli.main(["cache", "--prune", "5"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("removed 1 entries, 0.1 MB") and "log_mel-old" not in shown
