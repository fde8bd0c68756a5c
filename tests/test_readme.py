"""What README and docs show: examples are files that load and code that runs, commands can be typed, links lead on."""

import argparse
import ast
import importlib
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from search.space.space import Space

ROOT = Path(__file__).parents[1]
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text() for path in [ROOT / "README.md", *ROOT.glob("docs/*.md")]}
COMMANDS = PAGES["docs/commands.md"]


def blocks(language, pages):
    return [
        block
        for page in pages
        for block in re.findall(rf"^```{language}\n(.*?)^```", PAGES[page], flags=re.MULTILINE | re.DOTALL)
    ]


def commands():
    """Every command that a page shows on a line of its own, without its remark."""
    for page, text in PAGES.items():
        for line in re.findall(r"^(?:    (?:\$ )?)?(python -m .*)$", text, flags=re.MULTILINE):
            for command in line.split("&&"):
                if "[--" not in command:  # a pattern, with its options in brackets
                    yield pytest.param(command.split(" # ")[0].strip(), id=f"{page}: {command.strip()}")


@pytest.mark.parametrize("text", blocks("yaml", ["README.md", "docs/space_file.md"]))
def test_every_documented_space_loads_and_samples(tmp_path, text):
    (tmp_path / "example.yaml").write_text(text)
    space = Space.load(tmp_path / "example.yaml")
    for name in (None, *space.profiles):
        for params in Space.load(tmp_path / "example.yaml", profile=name).sample(5):
            space.check_params(params)


class ParsedError(Exception):
    """The words were taken; nothing more is to happen."""


@pytest.mark.parametrize("command", commands())
def test_every_documented_command_can_be_typed(command, monkeypatch):
    """Its module takes the words, and a space file that it names is there."""
    parse = argparse.ArgumentParser.parse_args

    def only_parse(self, *words, **more):
        parse(self, *words, **more)
        raise ParsedError

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", only_parse)
    python, option, module, *words = shlex.split(command)
    assert (python, option) == ("python", "-m")
    is_package = (ROOT / module.replace(".", "/")).is_dir()
    main = importlib.import_module(f"{module}.__main__" if is_package else module).main
    with pytest.raises(ParsedError):
        main(words)
    for path in (word for word in words if word.startswith("spaces/")):
        assert (ROOT / path).is_file(), path


def options_of(parser):
    return {option for action in parser._actions for option in action.option_strings if option.startswith("--")}


@pytest.mark.parametrize(("heading", "module"), [("Search", "search.run"), ("Confirm", "search.confirm")])
def test_every_option_of_a_command_line_is_documented_and_the_other_way_round(heading, module):
    [section] = re.findall(rf"^## {heading}.*?(?=^## )", COMMANDS, flags=re.MULTILINE | re.DOTALL)
    table = [line for line in section.splitlines() if line.startswith("| `--")]
    documented = set(re.findall(r"`(--[a-z-]+)", "".join(re.split(r"(?<!\\)\|", line)[1] for line in table)))
    assert documented == options_of(importlib.import_module(module).parser()) - {"--help"}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_to_a_file(page):
    links = re.findall(r'(?:\]\(|src=")([^)"#:]+)(?:#[^)"]*)?[)"]', PAGES[page])
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


def test_the_readme_is_as_short_as_people_read():
    assert len(PAGES["README.md"].split()) < 1700


def notebook_code():
    """The code cells of the example notebook, each with what it shows at its end printed as a notebook would."""
    for cell in json.loads((ROOT / "docs" / "notebook.ipynb").read_text())["cells"]:
        if cell["cell_type"] == "code":
            *lines, last = ast.parse("".join(cell["source"])).body
            shown = f"show({ast.unparse(last)})" if isinstance(last, ast.Expr) else ast.unparse(last)
            yield "\n".join([*map(ast.unparse, lines), shown])


SHOW = """
def show(value):
    forms = [getattr(type(value), name, None) for name in ("_repr_png_", "_repr_html_", "__repr__")]
    print(next(form for form in forms if form is not None)(value))
"""


@pytest.mark.slow
@pytest.mark.usefixtures("shared_ray")
@pytest.mark.parametrize(
    ("code", "shown"),
    [
        (blocks("python", ["docs/commands.md"])[0], ["val_accuracy"]),
        ("\n".join([SHOW, *notebook_code()]), ["(finished, 2 of 2 trials)", "PNG", "report.html"]),
    ],
    ids=["commands", "notebook"],
)
def test_the_notebook_example_runs(tmp_path, code, shown):
    (tmp_path / "spaces").symlink_to(ROOT / "spaces")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [text for text in shown if text not in done.stdout] == []
