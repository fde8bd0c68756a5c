"""The README's examples are files that load and code that runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from search.space import Space

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", blocks("yaml"))
def test_every_space_in_the_readme_loads_and_samples(tmp_path, text):
    (tmp_path / "example.yaml").write_text(text)
    space = Space.load(tmp_path / "example.yaml")
    for name in (None, *space.profiles):
        for params in Space.load(tmp_path / "example.yaml", profile=name).sample(5):
            space.check_params(params)


def test_every_option_of_the_command_line_is_in_the_readme_and_the_other_way_round():
    from search.run import parser

    options = {option for action in parser()._actions for option in action.option_strings if option.startswith("--")}
    [table] = re.findall(r"^\| option .*?(?=^$)", README, flags=re.MULTILINE | re.DOTALL)
    told = set(re.findall(r"`(--[a-z-]+)", "".join(line.split("|")[1] for line in table.splitlines()[2:])))
    assert told == options - {"--help"}


def test_every_module_is_explained_in_a_line():
    told = set(re.findall(r"^- `([a-z0-9_]+\.py)`: \S", README, flags=re.MULTILINE))
    files = {path.name for folder in ("mgc", "search", "benchmarks") for path in (ROOT / folder).rglob("*.py")}
    assert told == files


@pytest.mark.slow
def test_the_notebook_example_runs(tmp_path):
    [code] = blocks("python")
    (tmp_path / "spaces").symlink_to(ROOT / "spaces")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "val_accuracy" in done.stdout
