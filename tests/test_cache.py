"""What the cache promises: a thing is built once, whole or not at all."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from mgc.cache import built, cache_dir, locked
from mgc.config import ConfigError


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

    monkeypatch.setattr("mgc.cache.locked", locked_late)
    assert built(tmp_path / "x", lambda path: pytest.fail("built twice")).read_text() == "hello"


def test_a_lock_keeps_others_out(tmp_path: Path) -> None:
    with locked(tmp_path / "x"), pytest.raises(Timeout):
        FileLock(tmp_path / "x.lock").acquire(timeout=0.01)
    with FileLock(tmp_path / "x.lock").acquire(timeout=0.01):
        pass
