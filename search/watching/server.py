"""The server of the pages: Python's own, one thread for each reader. It reads, and answers only those who ask by a name
of this machine.
"""

from __future__ import annotations

import ipaddress
import json
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from mgc.words.errors import ConfigError
from search.record.files import JOURNAL, PAGE, REPORT, checked_name, confirmation_folder
from search.record.header import TRAIN_PARTS
from search.record.journal import is_locked
from search.record.record import Record, readable
from search.results.overview import Line, line_of
from search.watching.news import News
from search.watching.pages import compare_page, compared, list_page, study_page

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
MOST_COMPARED = 5
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}
Query = Mapping[str, Sequence[str]]
HTML, JSON = "text/html; charset=utf-8", "application/json"


class NotThereError(ConfigError):
    """An address that has no page."""


class Studies:
    """The studies under a folder, each with the news that its readers share."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self._news: dict[str, News] = {}
        self._kept: dict[tuple[str, Callable[[Record], Any]], tuple[object, Any]] = {}
        """What was made of a study, and the state of its records at that time."""
        self._lock = Lock()

    def folder(self, name: str) -> Path:
        """The folder of the study of this name. Raises ConfigError where there is none."""
        folder = self.out / checked_name(name)
        if not (folder / JOURNAL).is_file():
            raise NotThereError(f"no study {name} in {self.out}")
        return folder

    def news(self, name: str) -> News:
        """The study's news. Raises ConfigError where there is no study that can be read."""
        folder = self.folder(name)
        with self._lock:
            if name not in self._news:
                self._news[name] = News(folder)
            return self._news[name]

    def lines(self) -> list[Line]:
        """A line for each study that can be read, the newest first."""
        folders = [journal.parent for journal in self.out.glob(f"*/{JOURNAL}")]
        lines = [line for folder in folders if (line := self._made(folder, line_of)) is not None]
        return sorted(lines, key=lambda line: line.created, reverse=True)

    def beside(self, name: str) -> Any:
        """The study as it stands beside others. Raises ConfigError where there is none that can be read."""
        made = self._made(self.folder(name), compared)
        if made is None:
            raise NotThereError(f"study {name} cannot be read")
        return made

    def _made(self, folder: Path, make: Callable[[Record], Any]) -> Any:
        """What `make` makes of the record; made again only when something was written. None for one that cannot be
        read.
        """
        state = (is_locked(folder), *map(_written, (folder, *(confirmation_folder(folder, on) for on in TRAIN_PARTS))))
        key = (folder.name, make)
        if key not in self._kept or self._kept[key][0] != state:
            record = readable(folder)
            self._kept[key] = state, None if record is None else make(record)
        return self._kept[key][1]


def _written(folder: Path) -> tuple[int, int] | None:
    """Size and time of a record; None where there is none."""
    with suppress(OSError):
        file = (folder / JOURNAL).stat()
        return file.st_size, file.st_mtime_ns
    return None


class Server(ThreadingHTTPServer):
    """Serves studies at a host and a port. Raises ConfigError where that port is taken."""

    daemon_threads = True

    def __init__(self, studies: Studies, host: str, port: int) -> None:
        self.studies = studies
        self.host = host
        try:
            super().__init__((host, port), Handler)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or str(error).rstrip(".")
            raise ConfigError(f"cannot listen on {host}:{port}: {why}; choose another --port") from None

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def is_asked(self, host_header: str) -> bool:
        """Whether a request means this server by its name. A page of another site, whose name was made to lead here,
        asks by its own name and gets nothing.
        """
        name = host_header.rpartition(":")[0] if re.search(r":\d+$", host_header) else host_header
        if name in LOCAL_NAMES:
            return True
        if self.host in ("127.0.0.1", "localhost", "::1"):
            return False
        return name in (self.host, socket.gethostname(), socket.getfqdn()) or _is_address(name.strip("[]"))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader who went away in the middle of an answer is no error."""


def _is_address(name: str) -> bool:
    with suppress(ValueError):
        return bool(ipaddress.ip_address(name))
    return False


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD, and nothing else: there is no way to change anything."""

    server: Server
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        if not self.server.is_asked(self.headers.get("Host", "")):
            return self._answer(
                HTTPStatus.FORBIDDEN, "text/plain", "this server answers to names of its machine only\n"
            )
        try:
            kind, text = self._content()
        except (ConfigError, OSError) as error:  # OSError: the study's folder was removed meanwhile
            return self._answer(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", f"{error}\n")
        self._answer(HTTPStatus.OK, kind, text)

    do_HEAD = do_GET

    def _content(self) -> tuple[str, str]:
        """The kind and the text of what is asked for. Raises ConfigError where there is nothing."""
        address = urlsplit(self.path)
        query = parse_qs(address.query)
        for pattern, page in ROUTES:
            if match := re.fullmatch(pattern, address.path):
                return page(self.server.studies, query, *map(unquote, match.groups()))
        raise NotThereError(f"nothing is at {address.path}")

    def _answer(self, status: HTTPStatus, kind: str, text: str) -> None:
        content = text.encode()
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal is for the address."""


def _list(studies: Studies, _: Query) -> tuple[str, str]:
    return HTML, list_page(str(studies.out), studies.lines())


def _study(studies: Studies, _: Query, name: str) -> tuple[str, str]:
    has_report = (studies.folder(name) / REPORT / PAGE).is_file()
    return HTML, study_page(name, studies.news(name).since(0), has_report=has_report)


def _news(studies: Studies, query: Query, name: str) -> tuple[str, str]:
    since = query.get("since", ["0"])[0]
    return JSON, _json(studies.news(name).since(int(since) if since.isascii() and since.isdecimal() else 0))


def _report(studies: Studies, _: Query, name: str) -> tuple[str, str]:
    page = studies.folder(name) / REPORT / PAGE
    if not page.is_file():
        raise NotThereError(f"study {name} has no report yet")
    return HTML, page.read_text(encoding="utf-8")


def _compare(studies: Studies, query: Query) -> tuple[str, str]:
    return HTML, compare_page(_compared(studies, query))


def _compare_news(studies: Studies, query: Query) -> tuple[str, str]:
    return JSON, _json({"studies": _compared(studies, query)})


def _compared(studies: Studies, query: Query) -> list[dict[str, Any]]:
    names = list(dict.fromkeys(query.get("study", ())))[:MOST_COMPARED]
    if len(names) < 2:
        raise NotThereError("choose two to five studies: /compare?study=A&study=B")
    return [studies.beside(name) for name in names]


def _json(data: Any) -> str:
    return json.dumps(data, allow_nan=False, separators=(",", ":"))


ROUTES: Sequence[tuple[str, Callable[..., tuple[str, str]]]] = (
    (r"/", _list),
    (r"/compare", _compare),
    (r"/compare/news", _compare_news),
    (r"/([^/]+)/", _study),
    (r"/([^/]+)/news", _news),
    (r"/([^/]+)/report\.html", _report),
)
"""By the form of an address, what is there. A study that is called `compare` is at `/compare/`."""
