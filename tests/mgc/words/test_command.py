"""What all command lines do alike: one line and exit code 2 for mistakes; streams that nobody reads stop nothing."""

import errno
import os
import re
import signal
import subprocess
import sys

import pytest

from mgc import predict, train
from mgc.datasets.__main__ import main as datasets
from mgc.words.command import exit_code
from mgc.words.errors import ConfigError


def ended(command, arguments):
    """The exit code of a command line in this process, however it ends."""
    try:
        return command(arguments)
    except SystemExit as exit:
        return exit.code


@pytest.mark.parametrize(
    ("command", "arguments", "line"),
    [
        (datasets, ["cache", "--prune", "-1"], r"argument --prune: must be >= 0, got -1 "),
        (datasets, ["cache", "--prune", "nan"], r"argument --prune: must be >= 0, got nan "),
        (datasets, ["cache", "--prune", "inf"], r"argument --prune: must be >= 0, got inf "),
        (datasets, ["info", "~nobody-of-this-name/music"], r"~nobody-of-this-name/music: this machine has no user "),
        (datasets, ["info", "x" * 5000], r"x+ \.\.\. [x/\w.]+: File name too long"),
        (datasets, ["dance"], r"argument COMMAND: invalid choice: 'dance'"),
        (train.main, ["--model", "se_cnn", "--device", "abacus"], r"argument --device: Expected one of cpu, "),
        (train.main, ["--model", "se_cnn", "--out", ""], r"argument --out: must be a folder, got ''"),
        (train.main, ["--model", "se_cnn", "--set", "r=" + "[" * 100_000], r"r must be a number, got"),
        (predict.main, ["song.wav", "--model", "x" * 5000], r"x+ \.\.\. x"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(command, arguments, line, capsys):
    assert ended(command, arguments) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("error: ")
    assert re.match(line, said.removeprefix("error: ")), said
    assert len(said) < 1100


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ConfigError("r must be > 0, got http://me:pw@host"), "error: r must be > 0, got http://me:***@host"),
        (OSError(errno.ENOSPC, "No space left on device"), "error: No space left on device"),
        (PermissionError(errno.EACCES, "Permission denied", "/a"), "error: /a: Permission denied"),
        (ConnectionError("nobody\nis there"), "error: nobody is there"),
    ],
)
def test_what_a_user_can_mend_is_a_line(error, line, capsys):
    def command():
        raise error

    assert exit_code(command) == 2
    assert capsys.readouterr().err == f"{line}\n"


def test_ctrl_c_is_a_line_and_an_unforeseen_error_is_none():
    def stop():
        raise KeyboardInterrupt

    def fail():
        raise ZeroDivisionError

    assert exit_code(stop) == 130
    with pytest.raises(ZeroDivisionError):
        exit_code(fail)


PRINTS = """
import sys
from mgc.words.command import Parser
Parser().parse_args([])
print("\\udcff", "x" * 100_000)
print("y" * 100_000, file=sys.stderr)
print("z", flush=True)
open("end", "w").write(f"{sys.stdout.fileno()} {sys.stderr.fileno()}")
"""


@pytest.mark.parametrize(
    "streams", [">/dev/full 2>/dev/full", "| true", "2>&1 | true", ">&- 2>&-", "<&- >&- 2>&-", ">/dev/null 2>/dev/null"]
)
def test_streams_that_take_nothing_end_no_program(streams, tmp_path):
    (tmp_path / "prints.py").write_text(PRINTS)
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} prints.py {streams}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    assert (done.returncode, (tmp_path / "end").read_text()) == (0, "1 2")


def test_a_traceback_that_nobody_foresaw_shows_no_password():
    code = "from mgc.words.command import Parser; Parser().parse_args([]); int('http://me:geheim@host')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == ("ValueError: invalid literal for int() with base 10: 'http://me:***@host'")
    assert "geheim" not in done.stderr


SLOW_IMPORT = """
import sys, time

class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "{name}":
            print("importing", flush=True)
            try:
                time.sleep(60)
            except BaseException:  # as libraries do that try an optional import
                raise ImportError(name) from None

sys.meta_path.insert(0, Slow())
"""
COMMANDS = {
    "search.run": "search.space.space",
    "search.report": "search.report.report",
    "mgc.train": "torch",
}
"""Commands, each with a module that it imports on the way."""


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_ctrl_c_while_a_command_is_imported_is_a_line(command, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(SLOW_IMPORT.format(name=COMMANDS[command]))
    with subprocess.Popen(
        [sys.executable, "-m", command, "--help"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{os.getcwd()}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        assert (process.communicate()[1], process.returncode) == ("interrupted\n", 130)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["mgc.train", "search.report"])
def test_a_command_starts_whatever_backend_matplotlib_is_told_to_use(command):
    done = subprocess.run(
        [sys.executable, "-m", command, "--help"],
        env={**os.environ, "MPLBACKEND": "nonsense"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_program_that_imports_us_keeps_its_handler_and_its_backend():
    code = "import signal, os, mgc, search; print(signal.getsignal(2) is signal.default_int_handler, *os.environ)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={})
    assert done.stdout.startswith("True ")
    assert "MPLBACKEND" not in done.stdout
