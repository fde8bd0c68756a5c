"""The digest by which nodes see that they run the same program."""

from pathlib import Path

import pytest

import mgc
import search
from search.cluster import code


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """The program in a folder of this test's, where a file may change."""
    code.copy_packages(tmp_path)
    monkeypatch.setattr(code, "PACKAGES", (tmp_path / "mgc", tmp_path / "search"))
    return tmp_path


def test_the_packages_are_those_that_are_imported():
    assert tuple(Path(package.__file__).parent for package in (mgc, search)) == code.PACKAGES


def test_a_copy_elsewhere_has_the_same_digest(copied, monkeypatch):
    there = code.digest()
    monkeypatch.undo()
    assert code.digest() == there


@pytest.mark.parametrize(
    "changed", ["search/run.py", "search/report/page.html.jinja", "mgc/tracks/data/gtzan_artists.csv"]
)
def test_the_digest_is_another_for_every_file_that_decides_what_the_program_does(copied, changed):
    before = code.digest()
    with (copied / changed).open("a") as file:
        file.write("\n")
    assert code.digest() != before


def test_the_digest_is_of_the_names_too(copied):
    before = code.digest()
    (copied / "search" / "stats.py").rename(copied / "search" / "statistics.py")
    assert code.digest() != before


def test_what_python_and_editors_leave_is_no_part_of_the_program(copied):
    before = code.digest()
    for name in ("__pycache__/run.cpython-311.pyc", ".run.py.swp"):
        path = copied / "search" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("left")
    assert code.digest() == before
