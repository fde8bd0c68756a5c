"""The space file as text: YAML 1.2 (core schema) becomes plain values that remember their lines. Knows no params.

The only address of ruamel.yaml. Only plain data is read: tags, anchors and aliases are errors, so a file can neither
run code nor grow when it is read.
"""

from __future__ import annotations

import difflib
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, MappingEndEvent, MappingStartEvent, NodeEvent, ScalarEvent, SequenceEndEvent
from ruamel.yaml.reader import ReaderError

from mgc.words.errors import ConfigError
from mgc.words.texts import printable
from search.space.shipped import shipped_names

Key = tuple[str | int, ...]
"""The path to a value in the file: ("params", "r", "uniform", 0)."""

MAX_BYTES = 100_000
MAX_DEPTH = 20


class SpaceError(ConfigError):
    """A mistake in a space, or in an option that changes it. Its text is the whole line that the user reads."""

    def __init__(self, place: str, message: str) -> None:
        super().__init__(" ".join(f"{place}: {message}".split()))


@dataclass(frozen=True, order=True)
class Place:
    """Where a value was written."""

    layer: int
    """0 for the file, 1 for a profile, 2 for --data, 3 for --set: a higher layer overrides a lower one."""
    text: str
    """How the line of an error begins: the file with its line, or `--set params.lr=0`."""


@dataclass(frozen=True)
class Document:
    """Plain values, and where each was written."""

    values: dict[str, Any]
    places: dict[Key, Place] = field(repr=False)

    def place(self, key: Key) -> Place:
        """Where a value was written, or, if nobody wrote it, the innermost value around it."""
        return next(self.places[key[:size]] for size in range(len(key), -1, -1) if key[:size] in self.places)

    def error(self, key: Key, message: str) -> SpaceError:
        return SpaceError(self.place(key).text, message)

    def located(self, error: ConfigError, keys: Mapping[str, Key], section: Key) -> SpaceError:
        """The error of a section, with its place. `keys` are the paths to the section's keys, as far as it has them.

        Where a rule is about several keys, the place is that of the key in the highest layer.
        """
        written = [keys[name] for name in error.keys if name in keys]
        key = max(written, key=lambda key: self.place(key).layer, default=section)
        return self.error((*key, *error.items), _with_section(error, keys, section))

    def section(self, name: str) -> dict[str, Any]:
        """The mapping under a key of the first level; {} where there is none."""
        section = self.values.get(name, {})
        if not isinstance(section, dict):
            raise self.error((name,), f"{name} must be a mapping, got {section!r}")
        return section

    def replaced(self, section: str, key: str, value: Any, place: Place, drop: Sequence[str] = ()) -> Document:
        """The document with another value of `section.key`, and without the keys of the section in `drop`."""
        kept = {name: old for name, old in self.section(section).items() if name not in drop}
        values = {**self.values, section: {**kept, key: value}}
        places = {at: old for at, old in self.places.items() if at[:2] != (section, key)}
        return Document(values, {**places, (section, key): place})


def read_file(path: Path) -> Document:
    """The document in a file. SpaceError for a file that is no YAML mapping of plain data."""
    return read_text(_text(path), path)


def read_text(text: str, path: Path) -> Document:
    """The document of this text, whose errors name `path` as its file."""
    places: dict[Key, Place] = {(): Place(0, f"{path}:1")}
    values = _read(text, path, places)
    if values is None:
        raise SpaceError(f"{path}:1", "a space file must have params, got an empty file")
    if not isinstance(values, dict):
        raise SpaceError(f"{path}:1", f"a space file must be a mapping, got {values!r}")
    return Document(values, places)


def read_value(text: str, place: str) -> Any:
    """One value as it would stand in the file, from the command line."""
    return _read(text, place, {})


def written(values: Mapping[str, Any]) -> list[str]:
    """A line of YAML for each key, as `read_file` reads it.

    >>> written({"model": "se_cnn", "lr": 1e-05, "channels": [32, 64], "picture": None, "label": "1e3"})
    ['model: se_cnn', 'lr: 1e-05', 'channels: [32, 64]', 'picture: null', "label: '1e3'"]
    """
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style, yaml.width = True, MAX_BYTES
    yaml.representer.ignore_aliases = lambda *_: True
    lines = []
    for key, value in values.items():
        text = io.StringIO()
        yaml.dump({key: value}, text)
        lines.append(text.getvalue().strip()[1:-1])
    return lines


def dotted(key: Key) -> str:
    """("params", "r", "when") as params.r.when."""
    return ".".join(map(str, key))


def _with_section(error: ConfigError, keys: Mapping[str, Key], section: Key) -> str:
    """The error's message. If it begins with a key, the section stands before that: `params.lr must be > 0, got 0`."""
    message = str(error)
    subject = message.replace(".", " ").split()[0]
    if subject not in error.keys:
        return message
    if subject in keys:
        at = keys[subject]
        return dotted((*at[: at.index(subject)], message))
    return message if error.tied else dotted((*section, message))


def _text(path: Path) -> str:
    if path.is_dir():
        raise SpaceError(str(path), "must be a space file, got a folder")
    if not path.is_file():
        raise SpaceError(str(path), f"there is no such space file{_neighbors(path)}")
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise SpaceError(str(path), f"a space file must be <= {MAX_BYTES} bytes, got {size}")
        data = path.read_bytes()
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = 1 + error.object.count(b"\n", 0, error.start)
        raise SpaceError(f"{path}:{line}", f"must be UTF-8 text, got byte {error.object[error.start]:#04x}") from None
    except OSError as error:
        raise SpaceError(str(path), f"cannot be read: {error.strerror}") from None


def _neighbors(path: Path) -> str:
    """The space file that the user probably means, by its name without ending; else all that are near, or shipped."""
    near = {each.stem: str(each) for folder in (Path("spaces"), path.parent) for each in _spaces_in(folder)}
    by_stem = {name: name for name in shipped_names()} | near
    meant = path.stem if path.stem in by_stem else next(iter(difflib.get_close_matches(path.stem, by_stem, 1)), None)
    if meant is not None:
        return f" (did you mean {by_stem[meant]}?)"
    return f" (there is {', '.join(sorted((near or by_stem).values()))})"


def _spaces_in(folder: Path) -> list[Path]:
    """The files of a folder that have params, as a space must and a cluster's file does not."""
    return [path for path in sorted(folder.glob("*.yaml")) if _has_params(path)]


def _has_params(path: Path) -> bool:
    return path.is_file() and os.access(path, os.R_OK) and bool(_PARAMS.search(path.read_bytes()[:MAX_BYTES]))


def _read(text: str, source: Path | str, places: dict[Key, Place]) -> Any:
    try:
        return _Reader(text, source, places).document()
    except SpaceError:
        raise
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _syntax_error(source, mark.line + 1 if mark else 1, error.problem or error.context) from None
    except ReaderError as error:
        line = 1 + text.count("\n", 0, error.position)
        raise _syntax_error(source, line, f"character {error.character!r} is not allowed") from None
    except (YAMLError, ValueError) as error:  # ValueError: a malformed %YAML directive, escapes beyond Unicode
        raise _syntax_error(source, 1, str(error)) from None


def _syntax_error(source: Path | str, line: int, problem: str) -> SpaceError:
    return SpaceError(_at(source, line), f"is not valid YAML: {problem}")


def _at(source: Path | str, line: int) -> str:
    return f"{source}:{line}" if isinstance(source, Path) else source


class _Reader:
    """Makes values of the parser's events, which still show tags and anchors."""

    def __init__(self, text: str, source: Path | str, places: dict[Key, Place]) -> None:
        self._events: Iterator[Any] = iter(YAML(typ="safe", pure=True).parse(text))
        self._source = source
        self._places = places

    def document(self) -> Any:
        """The value of the one document that the text must hold; None for an empty text."""
        nodes = (event for event in self._events if isinstance(event, NodeEvent))
        first = next(nodes, None)
        value = None if first is None else self._node(first, ())
        for another in nodes:
            raise self._error(another, "must be one YAML document, got a second one")
        return value

    def _node(self, event: Any, key: Key) -> Any:
        if len(key) > MAX_DEPTH:
            raise self._error(event, f"must be nested at most {MAX_DEPTH} deep")
        self._check_plain(event)
        self._places.setdefault(key, Place(0, self._at(event)))
        if isinstance(event, ScalarEvent):
            self._check_text(event)
            return event.value if event.style else scalar(event.value)
        return self._mapping(key) if isinstance(event, MappingStartEvent) else self._list(key)

    def _list(self, key: Key) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            items.append(self._node(event, (*key, len(items))))
        return items

    def _mapping(self, key: Key) -> dict[str, Any]:
        items: dict[str, Any] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            self._check_plain(event)
            if not isinstance(event, ScalarEvent):
                raise self._error(event, "a key must be plain text, got a list or a mapping")
            self._check_text(event)
            at = (*key, event.value)
            if event.value in items:
                raise self._error(event, f"duplicate key {event.value!r} (first in {self._places[at].text})")
            self._places[at] = Place(0, self._at(event))
            items[event.value] = self._node(next(self._events), at)
        return items

    def _check_plain(self, event: Any) -> None:
        if isinstance(event, AliasEvent) or event.anchor is not None:
            raise self._error(event, f"anchors and aliases are not read, got {event.anchor!r}")
        if event.tag not in (None, "!"):
            raise self._error(event, f"tags are not read, got {event.tag!r}")

    def _check_text(self, event: ScalarEvent) -> None:
        r"""By its escapes (`"\e[2J"`) YAML could write what a terminal obeys, or what no page can hold."""
        text = re.sub(r"[\n\t]", " ", event.value)
        if (escaped := printable(text)) != text:
            raise self._error(event, f"a text must have no control characters, got '{escaped}'")

    def _at(self, event: Any) -> str:
        return _at(self._source, event.start_mark.line + 1)

    def _error(self, event: Any, message: str) -> SpaceError:
        return SpaceError(self._at(event), message)


_PARAMS = re.compile(rb"^params:", re.MULTILINE)
_WORDS = {word: value for value, words in {
    None: ("", "~", "null", "Null", "NULL"), True: ("true", "True", "TRUE"), False: ("false", "False", "FALSE"),
}.items() for word in words}  # fmt: skip
_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


def scalar(text: str) -> str | int | float | bool | None:
    """An unquoted word as YAML 1.2's core schema reads it (section 10.3.2), without octal, hexadecimal, .inf and .nan.

    >>> [scalar(text) for text in ("1e-4", "016", "yes", "true", "~", "1_000")]
    [0.0001, 16, 'yes', True, None, '1_000']
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text) and len(text) < 20:
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
