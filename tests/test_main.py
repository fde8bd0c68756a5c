"""`mgc-search COMMAND`: one name for every command, each with the parser that `python -m` has."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from small_study import new_record

from mgc import __version__
from search.__main__ import COMMANDS, main

ROOT = Path(__file__).parents[1]
SCRIPT = "import sys; sys.argv[0] = 'mgc-search'; from search.__main__ import main; sys.exit(main())"


def typed(*words, **options):
    """What the console script says to these words."""
    command = [sys.executable, "-c", SCRIPT, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_the_help_names_every_command_and_loads_none(capsys):
    code = "import sys, search.__main__ as s\ntry: s.main(['--help'])\nfinally: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert set(re.findall(r"^  ([a-z]+)  ", done.stdout, flags=re.MULTILINE)) == set(COMMANDS)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {
        "torch",
        "ray",
        "optuna",
        "mlflow",
        "numpy",
        "pandas",
        *(module for module, _ in COMMANDS.values()),
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_the_parser_of_its_module(name, monkeypatch, capsys):
    module = importlib.import_module(COMMANDS[name][0])
    as_module = re.sub(r"\.__main__$", "", module.__name__)
    assert module.parser().prog == f"python -m {as_module}"
    monkeypatch.setattr(sys, "argv", ["/usr/bin/mgc-search"])
    assert module.parser().prog == f"mgc-search {name}"
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert f"usage: mgc-search {name}" in capsys.readouterr().out


def test_the_words_after_a_command_are_its_own(tmp_path, capsys):
    new_record(tmp_path, "a-001")
    assert main(["list", "--out", str(tmp_path)]) == 0
    assert "a-001" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["lst"], "error: argument COMMAND: unknown command 'lst' (did you mean 'list'?) (see mgc-search --help)\n"),
        ([], "error: the following arguments are required: COMMAND (see mgc-search --help)\n"),
        (["run", "x.yaml", "--trails", "3"], "error: unrecognized arguments: --trails 3 (see mgc-search run --help)\n"),
        (["show", "nothing"], "error: runs/nothing: no study here (there is no record.log)\n"),
    ],
)
def test_a_mistake_is_a_line(tmp_path, words, line):
    done = typed(*words, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", line)


def test_the_version_is_that_of_the_packages():
    assert typed("--version").stdout == f"mgc-search {__version__}\n"


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("mgc-search re", {"report", "record"}),
        ("mgc-search run se_r", {"se_ratio", "se_ratio_grid"}),
        ("mgc-search run --re", {"--resume", "--rerun"}),
        ("mgc-search datasets ver", {"verify"}),
        ("mgc-search confirm --train-on ", {"train", "train+val"}),
        ("mgc-search show a", {"a-001"}),
    ],
)
def test_a_shell_that_asks_how_a_line_goes_on_is_answered(tmp_path, line, offered):
    """As bash asks: argcomplete's variables, its answer in a file."""
    new_record(tmp_path / "runs", "a-001")
    new_record(tmp_path / "runs", "b-001")
    asked = {
        "_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "_ARGCOMPLETE_SUPPRESS_SPACE": "1", "_ARGCOMPLETE_SHELL": "bash",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(tmp_path / "answer"), "COMP_LINE": line, "COMP_POINT": str(len(line)),
    }  # fmt: skip
    typed(env={**os.environ, **asked}, cwd=tmp_path)
    assert set((tmp_path / "answer").read_text().split()) == offered
