"""The map in docs/design.md, and the files that other pages name: every file has its line, every name has its file."""

import ast
import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
HEADING = re.compile(r"### `([a-z_/]+/)`: [A-Z][^?]*\?")
LINE = re.compile(r"- `([a-z0-9_]+\.py)`: \S.*")


def lines_by_path(text):
    """The line of each file that the map names, by the file's path."""
    lines, room = {}, None
    for line in text.splitlines():
        if line.startswith("#"):
            heading = HEADING.fullmatch(line)
            room = heading and heading[1]
        elif room and (file := LINE.fullmatch(line)):
            assert room + file[1] not in lines, f"{room}{file[1]} has two lines"
            lines[room + file[1]] = line
    return lines


def has_code(path):
    """Whether a file holds more than its docstring."""
    return len(ast.parse(path.read_text()).body) > 1


def test_every_file_has_a_line_in_its_room_and_every_line_has_its_file():
    files = {path for package in ("search", "mgc", "benchmarks") for path in (ROOT / package).rglob("*.py")}
    paths = {str(path.relative_to(ROOT)) for path in files if path.name != "__init__.py" or has_code(path)}
    assert set(lines_by_path((ROOT / "docs" / "design.md").read_text())) == paths


def test_a_room_has_at_most_a_dozen_files():
    files = (path for package in ("search", "mgc") for path in (ROOT / package).rglob("*.py"))
    rooms = Counter(str(path.parent.relative_to(ROOT)) for path in files if not path.name.startswith("__"))
    assert not {room: number for room, number in rooms.items() if number > 12}


NAMED = re.compile(r"\b(?:search|mgc|benchmarks|tests|spaces|docs)/[a-z0-9_/]+\.(?:py|yaml|json|md)\b")
COMMAND = re.compile(r"python -m ((?:search|mgc|benchmarks)[a-z_.]*[a-z])")


def pages():
    """What names files: pages, settings and code, but not the log, which tells of files as they were then."""
    folders = ("search", "mgc", "benchmarks", "tests", "spaces", "docs")
    inner = {
        path for folder in folders for path in (ROOT / folder).rglob("*.*") if path.suffix in (".py", ".yaml", ".md")
    }
    return inner | {*ROOT.glob("*.md"), *ROOT.glob("*.yaml"), ROOT / "Makefile", ROOT / ".ci" / "run"} - {
        ROOT / "LOG.md"
    }


def test_files_and_commands_that_a_page_names_are_there():
    for page in pages():
        text = page.read_text()
        assert not {name for name in NAMED.findall(text) if not (ROOT / name).exists()}, page
        assert not {name for name in COMMAND.findall(text) if not is_command(ROOT / name.replace(".", "/"))}, page


def is_command(path):
    return path.with_suffix(".py").exists() or (path / "__main__.py").exists()


def test_tests_that_the_page_of_faults_names_are_there():
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "survival.md").read_text()))
    there = {
        name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (\w+)", path.read_text())
    }
    assert named and not named - there
