"""One file from the web to the disk: resumed where it broke off, checked, and there whole or not at all. HTTP only."""

from __future__ import annotations

import errno
import hashlib
import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from email.message import Message
from pathlib import Path

from mgc.datasets import DatasetError
from mgc.progress import progress as shown

BLOCK = 1 << 20
TIMEOUT_S = 30.0
TRIES = 5
"""Transfers in a row that bring no byte before an address is given up."""
PAUSE_S = 1.0
"""Between transfers; doubled for each in a row that brought nothing."""


_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class TransferError(DatasetError):
    """A file that could not be had; the message is one line with its address and the reason."""


def fetch(urls: Sequence[str], path: Path, *, algorithm: str, checksum: str, progress: bool = True) -> Path:
    """The file at the first of these addresses that has it, as `path`.

    What has come so far lies in `<path>.part` and is kept when the transfer breaks off, so that the next one goes on
    there. A file with another checksum is deleted; if it was put together from several transfers, it is fetched once
    more from the start. Raises TransferError.
    """
    if path.is_file():
        return path
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    for _ in ("as it comes", "from the start"):
        url, num_transfers = _from_any(urls, part, progress)
        found = _checksum(part, algorithm)
        if found == checksum:
            part.rename(path)
            return path
        part.unlink()
        if num_transfers == 1:
            break
    raise TransferError(f"{url}: {algorithm} must be {checksum}, got {found}: deleted")


def _checksum(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _from_any(urls: Sequence[str], part: Path, progress: bool) -> tuple[str, int]:
    """Complete `part` from the first address that lets us; that address, and of how many transfers `part` now is."""
    failures: list[str] = []
    for url in urls:
        try:
            return url, _complete(url, part, progress)
        except TransferError as error:
            failures.append(str(error))
    raise TransferError("; ".join(failures))


def _complete(url: str, part: Path, progress: bool) -> int:
    """Complete `part`, as often as the transfer breaks off, while each time some bytes come; of how many it now is."""
    num_transfers, num_idle, so_far = int(part.exists()), 0, _size(part)
    while num_idle < TRIES:
        num_transfers += 1
        failure = _try(url, part, progress)
        if failure is None:
            return num_transfers
        num_idle = 0 if _size(part) > so_far else num_idle + 1
        so_far = _size(part)
        time.sleep(PAUSE_S * 2**num_idle)
    raise TransferError(f"{url}: {failure} ({so_far} bytes are kept in {part}; the same command goes on there)")


def _try(url: str, part: Path, progress: bool) -> str | None:
    """One transfer; why it must be taken up again, None when all has come. TransferError where that cannot help."""
    try:
        return None if _go_on(url, part, progress) else "the connection broke off"
    except urllib.error.HTTPError as error:
        failure = f"the server answers {error.code} {error.reason}"
        if error.code < 500:
            raise TransferError(f"{url}: {failure}") from None
        return failure
    except urllib.error.URLError as error:
        return str(error.reason)
    except (http.client.HTTPException, OSError) as error:
        if isinstance(error, OSError) and (error.filename is not None or error.errno in _DISK_ERRORS):
            raise TransferError(f"{part}: cannot be written: {error.strerror}") from None
        return str(error) or type(error).__name__


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _go_on(url: str, part: Path, progress: bool) -> bool:
    """Take up the transfer where `part` ends; whether all has come."""
    have = _size(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing left, or less than we have
            if _whole_length(error.headers) == have:
                return True
            part.unlink()
            return False
        raise
    with response:
        if have and not _continues(response, have):
            part.unlink()
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length or 0)
        with part.open("ab") as file:
            for block in shown(
                _blocks(response), what=_what(url, have, total), total=-(-(total - have) // BLOCK), show=progress
            ):
                file.write(block)
    return length is None or _size(part) == total


def _what(url: str, have: int, total: int) -> str:
    """What is shown of a transfer: `genres.tar.gz, 1,226 MB, from 300 MB on`."""
    size = f", {total / 1e6:,.0f} MB" if total else ""
    return url.rsplit("/", 1)[-1] + size + (f", from {have / 1e6:,.0f} MB on" if have else "")


def _continues(response: http.client.HTTPResponse, have: int) -> bool:
    """Whether the answer begins where we are: servers that know no ranges send everything again."""
    given = re.match(r"bytes (\d+)-", response.headers.get("Content-Range") or "")
    return response.status == 206 and given is not None and int(given[1]) == have


def _whole_length(headers: Message) -> int | None:
    given = re.match(r"bytes \*/(\d+)", headers.get("Content-Range") or "")
    return int(given[1]) if given else None


def _blocks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while block := response.read(BLOCK):
        yield block
