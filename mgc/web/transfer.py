"""Downloads one file by HTTP: resumes it where it broke off and checks it. The file appears whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import http.client
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from email.message import Message
from pathlib import Path

from mgc.tracks.dataset import DatasetError
from mgc.words.errors import one_line
from mgc.words.progress import progress as shown

BLOCK = 1 << 20
TIMEOUT_S = 30.0
TRIES = 5
"""After so many transfers in a row without a byte the next address is tried."""
PAUSE_S = 1.0
"""Between transfers; doubled after each one in a row without a byte."""

SLOWEST, SLOW_S = 1000, 60.0
"""A server that sends fewer bytes a second than the first, for so many seconds, would never come to its end."""

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class TransferError(DatasetError):
    """A file could not be downloaded; the message is one line with its address and the reason."""


class _UnreachableError(Exception):
    """No connection to a server: its name is not known, or nothing answers there."""


def fetch(
    urls: Sequence[str], path: Path, *, algorithm: str, checksum: str, most_bytes: int, progress: bool = True
) -> Path:
    """Download the file from the first of these addresses that has it; returns `path`. An address that sends more than
    `most_bytes` has another file, or none that ends.

    The bytes so far lie in `<path>.part`, which is kept when the transfer breaks off, so that the next one continues
    there. A file with another checksum is deleted; if it came in several transfers, it is downloaded once more from the
    start. Raises TransferError.
    """
    if path.is_file():
        return path
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    for _ in ("as it comes", "from the start"):
        url, num_transfers = _from_any(urls, part, most_bytes, progress)
        actual = _checksum(part, algorithm)
        if actual == checksum:
            part.rename(path)
            return path
        part.unlink()
        if num_transfers == 1:
            break
    raise TransferError(f"{url}: {algorithm} must be {checksum}, got {actual}: the file was deleted")


def _checksum(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _from_any(urls: Sequence[str], part: Path, most_bytes: int, progress: bool) -> tuple[str, int]:
    """Complete `part` from the first address that works; returns the address and the number of transfers in `part`."""
    failures: list[str] = []
    for url in urls:
        try:
            _say(f"asking {_host(url)} ...", progress)
            return url, _complete(url, part, most_bytes, progress)
        except TransferError as error:
            failures.append(str(error))
    kept = f" ({_size(part)} bytes are kept in {part}; the same command goes on there)" if _size(part) else ""
    raise TransferError("; ".join(failures) + kept)


def _complete(url: str, part: Path, most_bytes: int, progress: bool) -> int:
    """Complete `part`, resuming while each transfer brings some bytes; returns the number of transfers in `part`.

    A server that was never reached is given up at once: there is another one, or no network at all.
    """
    num_before = num_transfers = int(part.exists())
    num_idle, so_far = 0, _size(part)
    while num_idle < TRIES:
        num_transfers += 1
        try:
            failure = _try(url, part, most_bytes, progress)
        except _UnreachableError as error:
            failure = f"cannot be reached ({error})"
            if num_transfers == num_before + 1:
                raise TransferError(f"{_host(url)}: {failure}") from None
        if failure is None:
            return num_transfers
        num_idle = 0 if _size(part) > so_far else num_idle + 1
        so_far = _size(part)
        pause_s = PAUSE_S * 2**num_idle
        _say(f"{_host(url)}: {failure}: trying again in {pause_s:.0f} s", progress)
        time.sleep(pause_s)
    raise TransferError(f"{url}: {failure}")


def _host(url: str) -> str:
    return urllib.parse.urlsplit(url).netloc


def _say(text: str, progress: bool) -> None:
    """Print what is waited for: nobody should have to guess why nothing happens."""
    if progress:
        print(text, file=sys.stderr, flush=True)


def _try(url: str, part: Path, most_bytes: int, progress: bool) -> str | None:
    """Do one transfer; returns why it broke off, None when `part` is complete.

    Raises TransferError where another transfer cannot help, _UnreachableError where the server was not reached.
    """
    try:
        return None if _resume(url, part, most_bytes, progress) else "the connection broke off"
    except urllib.error.HTTPError as error:
        failure = f"the server answers {error.code} {error.reason}"
        if error.code < 500:
            raise TransferError(f"{url}: {failure}") from None
        return failure
    except urllib.error.URLError as error:
        reason = error.reason
        raise _UnreachableError(
            reason.strerror if isinstance(reason, OSError) and reason.strerror else reason
        ) from None
    except (http.client.HTTPException, OSError) as error:
        if isinstance(error, OSError) and (error.filename is not None or error.errno in _DISK_ERRORS):
            raise TransferError(f"{part}: cannot be written: {error.strerror}") from None
        return str(error) or type(error).__name__
    except ValueError as error:  # of a redirection to what is no address
        raise TransferError(f"{url}: the answer cannot be read: {one_line(error)}") from None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _resume(url: str, part: Path, most_bytes: int, progress: bool) -> bool:
    """Transfer what comes after the end of `part`; returns whether `part` is complete.

    Raises TransferError, and deletes `part`, where more comes than `most_bytes`.
    """
    have = _size(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # the file ends here, or is shorter than `part`
            if _whole_length(error.headers) == have:
                return True
            part.unlink()
            return False
        raise
    with response:
        if have and not _continues(response, have):
            part.unlink()
            have = 0
        length = _length(response.headers)
        total = have + (length or 0)
        with part.open("ab") as file:
            for block in shown(
                _blocks(url, response), what=_label(url, have, total), total=-(-(total - have) // BLOCK), show=progress
            ):
                if file.tell() + len(block) > most_bytes:
                    part.unlink()
                    raise TransferError(
                        f"{url}: sends more than {most_bytes / 1e6:,.0f} MB, so it is not the file that was asked for"
                    )
                file.write(block)
    return length is None or _size(part) == total


def _label(url: str, have: int, total: int) -> str:
    """The label of a transfer's progress: `genres.tar.gz, 1,226 MB, from 300 MB on`."""
    size = f", {total / 1e6:,.0f} MB" if total else ""
    return url.rsplit("/", 1)[-1] + size + (f", from {have / 1e6:,.0f} MB on" if have else "")


def _continues(response: http.client.HTTPResponse, have: int) -> bool:
    """Whether the answer begins at byte `have`: a server without ranges sends everything again."""
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range") or "")
    return response.status == 206 and match is not None and int(match[1]) == have


def _length(headers: Message) -> int | None:
    """How many bytes follow; None where the server does not say it, or says no number."""
    text = headers.get("Content-Length") or ""
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else None


def _whole_length(headers: Message) -> int | None:
    match = re.match(r"bytes \*/(\d+)", headers.get("Content-Range") or "")
    return int(match[1]) if match else None


def _blocks(url: str, response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The body in blocks of BLOCK bytes or a little more. Raises TransferError for a server that only drips."""
    block, num_bytes, since = bytearray(), 0, time.monotonic()
    while part := response.read1(BLOCK):
        block += part
        num_bytes += len(part)
        if len(block) >= BLOCK:
            yield bytes(block)
            block.clear()
        if (now := time.monotonic()) - since >= SLOW_S:
            if num_bytes < SLOWEST * SLOW_S:
                raise TransferError(f"{url}: sends less than {SLOWEST} bytes a second")
            num_bytes, since = 0, now
    if block:
        yield bytes(block)
