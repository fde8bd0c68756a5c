"""A client of MLflow that answers or fails within seconds: its URIs, its settings, and what its errors mean."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from mgc.files.cache import built, locked
from mgc.files.whole import own_name
from mgc.words.errors import one_line
from mgc.words.redact import HIDDEN, redacted_word
from search.tracking.backend import AwayError, RefusedError, TrackingError

if TYPE_CHECKING:
    # Importing MLflow takes 1 to 2 s: whatever imports it for real stands in a function.
    from mlflow import MlflowClient

_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # whoever calls tries again; MLflow's own way takes minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # printing it costs a request for each run that ends
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # `ui` starts a dozen processes for jobs that no study has
}
"""MLflow reads these from the environment only; a value that the user has set is left."""
MOST_BYTES = 64 * 2**20
"""Of one answer of a server: a page of 1000 runs has some 10 MB."""
_FILE = "sqlite:///"
_SERVERS = re.compile(r"(https?|postgresql|mysql|mssql)(\+\w+)?://|databricks")
_PASSWORD = "MLFLOW_TRACKING_PASSWORD"


def is_file(uri: str) -> bool:
    """Whether a URI means a sqlite file, and no server."""
    return uri.startswith("sqlite:")


def check_uri(uri: str) -> None:
    """Raise TrackingError for a URI that nobody could use; MLflow tries a broken sqlite file again for minutes."""
    if uri.startswith(_FILE):
        _check_file(_path(uri))
    elif not _SERVERS.match(uri):
        raise TrackingError(
            "tracking URI must be sqlite:///FILE or http(s)://HOST:PORT (MLflow takes no folders), "
            f"got {redacted_word(uri)!r}"
        )
    else:
        _check_server(uri)


def complete(uri: str) -> str:
    """The URI with the password of $MLFLOW_TRACKING_PASSWORD, where it is an HTTP server's and names a user without
    one. MLflow itself ignores that password beside a user in the URI.
    """
    parts = urlsplit(uri)
    password = os.environ.get(_PASSWORD)
    is_without = parts.scheme in ("http", "https") and parts.username and parts.password in (None, "", HIDDEN)
    if not is_without or password is None:
        return uri
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{parts.username}:{quote(password, safe='')}@{host}").geturl()


def file_uri(path: Path) -> str:
    """The URI of a sqlite file.

    >>> file_uri(Path("/runs?/50%/mlflow.db"))
    'sqlite:////runs%3F/50%25/mlflow.db'
    """
    return _FILE + str(path).replace("%", "%25").replace("?", "%3F")


def is_new_file(uri: str) -> bool:
    """Whether a URI means a sqlite file that has yet to be made."""
    return uri.startswith(_FILE) and not _path(uri).exists()


def artifact_folder(uri: str) -> str | None:
    """Where a sqlite file's artifacts lie: `mlartifacts` beside it. A server knows its own place."""
    return (_path(uri).resolve().parent / "mlartifacts").as_uri() if is_file(uri) else None


def client_of(uri: str) -> MlflowClient:
    """A client that fails at once rather than trying for minutes, and logs nothing of its own.

    It asks nothing of a server; a new sqlite file is made with its tables, which takes a second or two.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    import mlflow  # noqa: F401 - which sets its own loggers' levels, so it comes before ours

    _bound_answers()
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if uri.startswith(_FILE):
        # Whole or not at all: MLflow does not go on with a file whose tables a killed process has half made.
        built(_path(uri), lambda path: _make_tables(_quiet_client(file_uri(path))))
    return _quiet_client(complete(uri))


@cache
def _bound_answers() -> None:
    """Have MLflow end a request whose answer is larger than MOST_BYTES, which it otherwise reads into memory to
    whatever end it has. It offers no setting for that, so its sessions get a hook of requests.
    """
    from mlflow.utils import request_utils

    session_of = request_utils._get_request_session

    def bounded_session(*arguments: Any, **options: Any) -> Any:
        session = session_of(*arguments, **options)  # type: ignore[no-untyped-call]
        session.hooks["response"] = [_bound]
        return session

    request_utils._get_request_session = bounded_session


def _bound(response: Any, **_: Any) -> None:
    """Let nobody read more than MOST_BYTES from a response of requests, whose body is still to come."""
    stream = response.raw.stream

    def bounded(*arguments: Any, **options: Any) -> Iterator[bytes]:
        num_bytes = 0
        for part in stream(*arguments, **options):
            num_bytes += len(part)
            if num_bytes > MOST_BYTES:
                response.close()
                raise ConnectionError(f"its answer has more than {MOST_BYTES >> 20} MB")
            yield part

    response.raw.stream = bounded


def _quiet_client(uri: str) -> MlflowClient:
    """MLflow's client. It makes the folder of a sqlite file by the name that the URI has before it is decoded: if that
    is another folder, it is removed.
    """
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    written = Path(uri.removeprefix(_FILE))
    if uri.startswith(_FILE) and written != _path(uri):
        with suppress(OSError):
            os.removedirs(written.parent)
    return client


@contextmanager
def mlflow_errors() -> Iterator[None]:
    """Raise what goes wrong inside as AwayError where trying again may help, else as RefusedError."""
    try:
        yield
    except Exception as error:
        raise (RefusedError if _is_refusal(error) else AwayError)(_reason(error)) from error


def _check_server(uri: str) -> None:
    """Raise TrackingError for a server's URI that cannot be read, or whose password was left out when it was shown."""
    shown = redacted_word(uri)
    try:
        parts = urlsplit(uri)
        is_readable = parts.port != 0 and not re.search(r"\s", uri) and (parts.hostname or not uri.startswith("http"))
    except ValueError:
        is_readable = False
    if not is_readable:
        raise TrackingError(
            f"tracking URI {shown} cannot be read; in a password write %2F for /, %3F for ?, %23 for #, %20 for a space"
        )
    if HIDDEN in complete(uri):
        raise TrackingError(
            f"tracking URI {shown}: {HIDDEN} stands for a password that is not kept; write it there, or set {_PASSWORD}"
        )


def _path(uri: str) -> Path:
    """The file that SQLAlchemy opens for a URI."""
    return Path(unquote(uri.removeprefix(_FILE).partition("?")[0]))


def _check_file(path: Path) -> None:
    """Raise TrackingError unless a sqlite file is at the path or can be made there. An empty file is removed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        probe = own_name(path)  # sqlite writes files of its own beside its database
        probe.touch()
        probe.unlink()
        if not path.exists():
            return
        with path.open("rb+") as file:
            start = file.read(16)
    except OSError as error:
        raise TrackingError(f"tracking file {path} cannot be written: {error.strerror}") from None
    if not start:
        _remove_empty(path)
    elif not start.startswith(b"SQLite format 3"):
        raise TrackingError(f"tracking file {path} is not a sqlite database")


def _remove_empty(path: Path) -> None:
    """Remove an empty file, unless another driver has put its database there meanwhile: `built` holds this lock."""
    with locked(path):
        if path.exists() and path.stat().st_size == 0:
            path.unlink()


def _make_tables(client: MlflowClient) -> None:
    """Have a client make its tables, and leave nothing of them in memory."""
    client.search_experiments(max_results=1)
    store = client._tracking_client.store
    if engine := getattr(store, "engine", None):
        engine.dispose()


def _is_refusal(error: Exception) -> bool:
    """Whether trying again cannot help: MLflow says no to what it was sent, or what should be sent is broken."""
    if (code := _status(error)) is not None:
        return 400 <= code < 500 and code != 429
    return not isinstance(error, ConnectionError | TimeoutError) and type(error).__module__ != "requests.exceptions"


def _status(error: Exception) -> int | None:
    """The HTTP status that an error of MLflow's stands for; None for any other error."""
    from mlflow.exceptions import MlflowException

    return int(error.get_http_status_code()) if isinstance(error, MlflowException) else None  # type: ignore[no-untyped-call]


def _reason(error: Exception) -> str:
    """The reason in MLflow's, or the network's, own words, without the layers that each repeat it."""
    text = " ".join(str(error).split())
    if _status(error) in (401, 403):
        return (
            f"it refuses the user or the password, which are in the URI or in MLFLOW_TRACKING_USERNAME and {_PASSWORD}"
        )
    if reason := re.search(r"\[Errno -?\d+\] ([^'\")(]+)", text):
        return reason[1].strip(" :")
    if "Invalid Host header" in text:
        return "it refuses this host name (start it with --allowed-hosts, or use its IP address)"
    return one_line(error)
