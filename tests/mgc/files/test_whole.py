"""A file or a folder is there whole or not at all, whoever writes, fails or reads at the same time."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mgc.files.whole import read_together, whole, write_whole


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_readers_see_the_old_or_the_new_file(tmp_path: Path) -> None:
    texts = {"a" * 100_000, "b" * 100_000}
    write_whole(tmp_path / "x", "a" * 100_000)

    def write() -> None:
        for _ in range(50):
            for text in sorted(texts):
                write_whole(tmp_path / "x", text)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert (tmp_path / "x").read_text() in texts
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def write_half(path: Path) -> None:
    with whole(path) as partial:
        partial.write_text("half")
        assert path.read_text() == "last"
        raise ZeroDivisionError


def test_a_block_that_fails_leaves_the_last_file_and_nothing_else(tmp_path: Path) -> None:
    write_whole(tmp_path / "x", "last")
    with pytest.raises(ZeroDivisionError):
        write_half(tmp_path / "x")
    assert (tmp_path / "x").read_text() == "last"
    assert names(tmp_path) == ["x"]


def test_a_folder_takes_the_place_of_a_folder_and_nothing_of_that_stays(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with whole(tmp_path / "in" / "model") as partial:
            partial.mkdir()
            (partial / name).write_text(name)
    assert names(tmp_path / "in" / "model") == ["new"]
    assert names(tmp_path / "in") == ["model"]


@pytest.mark.parametrize("content", ["text", b"text", memoryview(b"text")])
def test_what_is_written_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | bytes | memoryview
) -> None:
    synced: list[list[str]] = []
    monkeypatch.setattr("os.fsync", lambda handle: synced.append(names(tmp_path)))
    write_whole(tmp_path / "x", content)
    assert len(synced) == 1 and "x" not in synced[0]
    assert (tmp_path / "x").read_bytes() == b"text"


WRITER = """
import sys
from pathlib import Path
from mgc.files.whole import whole

while True:
    with whole(Path(sys.argv[1])) as partial:
        partial.mkdir()
        (partial / "words").write_text("one")
"""


def test_a_reader_always_finds_a_folder_that_another_process_replaces_all_the_time(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)])
    try:
        while not folder.exists():
            assert writer.poll() is None
        for _ in range(20_000):
            assert read_together(folder, "words") == [b"one"]
    finally:
        writer.kill()
        writer.wait()


@pytest.mark.parametrize("missing", ["model", "model/words"])
def test_a_reader_is_told_of_what_is_missing(tmp_path: Path, missing: str) -> None:
    (tmp_path / missing).parent.mkdir(exist_ok=True)
    with pytest.raises(FileNotFoundError):
        read_together(tmp_path / "model", "words")
