"""What all command lines have in common: how they read their words, where they print, and how they end.

A user's mistake is one line on stderr and EXIT_USAGE. Where nobody reads what is printed (a closed pipe, a full disk
behind it), the work goes on. It knows no command's options.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from mgc.words.errors import ConfigError, one_line
from mgc.words.redact import redacted
from mgc.words.starting import EXIT_INTERRUPTED as EXIT_INTERRUPTED
from mgc.words.starting import PROGRAM as PROGRAM
from mgc.words.starting import begin_work
from mgc.words.texts import printable

EXIT_FAILED, EXIT_USAGE = 1, 2
LONGEST_LINE = 1000
"""Characters of an error's line."""


def program(module: str) -> str:
    """How this module's command is typed: `mgc-search run` where the console script runs, else `python -m MODULE`."""
    is_script = Path(sys.argv[0]).name == PROGRAM
    return f"{PROGRAM} {module.rpartition('.')[2]}" if is_script else f"python -m {module}"


class Parser(argparse.ArgumentParser):
    """Reads a command line. A mistake in it is one line, and the streams are fit to print from then on."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        open_streams()
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, f"error: {_line(message)} (see {self.prog} --help)\n")


class TextParser(Parser):
    """Reads a command line whose words a record may keep, so that they must be text."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        for word in sys.argv[1:] if args is None else args:
            if any("\ud800" <= character <= "\udfff" for character in word):
                self.error(f"{word!r} is no text in UTF-8")
        return super().parse_known_args(args, namespace)


def exit_code(command: Callable[[], int], *, interrupted: str = "interrupted") -> int:
    """Run a command. A user's mistake and what the system refuses (a full disk, missing rights, a name that is too
    long) are one line on stderr and EXIT_USAGE, Ctrl-C is EXIT_INTERRUPTED with this line.
    """
    begin_work()
    try:
        return command()
    except ConfigError as error:
        print(f"error: {_line(str(error))}", file=sys.stderr)
    except OSError as error:
        print(f"error: {_refusal(error)}", file=sys.stderr)
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return EXIT_INTERRUPTED
    return EXIT_USAGE


def _refusal(error: OSError) -> str:
    """What the system refused: the file, where it is one, and why."""
    if error.strerror is None:
        return one_line(error)
    where = "" if error.filename is None else f"{_line(str(error.filename))}: "
    return f"{where}{error.strerror}"


def _line(text: str) -> str:
    """The text in one line, whose middle is left out where nobody would read it."""
    line = printable(" ".join(redacted(text).split()))
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE // 2]} ... {line[-LONGEST_LINE // 2 :]}"


def folder(text: str) -> Path:
    """A folder as an option names it. An empty one, such as a variable that is not set, is none."""
    if not text:
        raise argparse.ArgumentTypeError("must be a folder, got ''")
    return Path(text)


def open_streams() -> None:
    """Make stdout and stderr streams that never fail: what cannot be written is dropped, what is no text is escaped.

    A standard stream that the process began without gets /dev/null, for otherwise the next file that is opened would
    take its place, and be printed into.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
    sys.stdout, sys.stderr = _lenient(sys.stdout, 1), _lenient(sys.stderr, 2)
    sys.excepthook = _print_unforeseen


class _Lenient(io.FileIO):
    """A file that drops what it cannot write."""

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        try:
            written = super().write(data)
        except OSError:
            return size
        return size if written is None else written


def _lenient(stream: Any, number: int) -> Any:
    """The stream, made lenient where it is the process's own and not one of pytest's or of a notebook."""
    if stream is None:  # the process began without it
        return io.TextIOWrapper(_buffered(number), errors="backslashreplace")
    buffer = getattr(stream, "buffer", None)
    raw = getattr(buffer, "raw", buffer)  # with PYTHONUNBUFFERED there is nothing between
    if type(raw) is not io.FileIO or raw.fileno() != number:
        return stream
    stream.flush()
    return io.TextIOWrapper(
        _Lenient(number, "wb", closefd=False) if buffer is raw else _buffered(number),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _buffered(number: int) -> io.BufferedWriter:
    return io.BufferedWriter(_Lenient(number, "wb", closefd=False))


def _print_unforeseen(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print the traceback of an error that nobody foresaw, without secrets."""
    print(redacted("".join(traceback.format_exception(kind, error, trace))), end="", file=sys.stderr)
