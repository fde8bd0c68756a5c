"""One line of a record: a JSON object that ends with a checksum of itself. Knows no file, and not what a line means.

    {"op_code":8,"worker_id":"...","trial_id":0,"user_attr":{"node":"here"},"crc32":"0a1b2c3d"}

The checksum covers the bytes before it, and finds every flip of a single bit. It is one more key of the object, so
Optuna's own tools read the line as well. Lines of earlier versions have none, and are taken for what they say.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Mapping
from typing import Any

from mgc.files.reading import json_of

_KEY = b',"crc32":"'
_END = b'"}\n'
MAX_MENDED = 20_000
"""Bytes in which a flipped bit is looked for: a second of work. Lines of trials have some hundred bytes."""
_DIGITS = slice(-8 - len(_END), -len(_END))
_BODY = slice(None, _DIGITS.start - len(_KEY))


def encoded(log: Mapping[str, Any]) -> bytes:
    """The line of an object that has a key at least.

    >>> encoded({"op_code": 8})
    b'{"op_code":8,"crc32":"b96061e3"}\\n'
    """
    body = json.dumps(log, separators=(",", ":")).encode()[:-1]
    return b"".join([body, _KEY, _digits(body), _END])


def decoded(line: bytes) -> dict[str, Any] | None:
    """The object of a line; None for bytes that are no whole line, or whose checksum does not fit.

    >>> line = encoded({"op_code": 8})
    >>> decoded(line), decoded(line.replace(b"8", b"9", 1)), decoded(line[:-1])
    ({'op_code': 8, 'crc32': 'b96061e3'}, None, None)
    """
    if not line.endswith(b"\n") or (_has_checksum(line) and not _fits(line)):
        return None
    try:
        log = json_of(line, _with_shared_keys)
    except ValueError:
        return None
    return log if isinstance(log, dict) else None


def _with_shared_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are the same strings as in all other lines: each epoch names all metrics, and these names
    would take two fifths of what a record takes in memory.
    """
    return {sys.intern(key): value for key, value in pairs}


def is_torn(line: bytes) -> bool:
    """Whether this is the beginning of a line: its driver is writing it, or was killed while it did. A whole line whose
    last byte is another one than the end of a line is damaged, not torn.
    """
    return line.startswith(b"{") and not line.endswith(b"\n") and decoded(line[:-1] + b"\n") is None


def mended(damaged: bytes) -> bytes | None:
    """The lines that these bytes were before a single bit of them was flipped, which their checksums tell; None for any
    other damage, for lines without checksums, and for more than MAX_MENDED bytes.
    """
    if len(damaged) > MAX_MENDED:
        return None
    for place in range(len(damaged)):
        for bit in range(8):
            candidate = bytearray(damaged)
            candidate[place] ^= 1 << bit
            lines = bytes(candidate).split(b"\n")
            if not lines[-1] and all(_has_checksum(line + b"\n") and _fits(line + b"\n") for line in lines[:-1]):
                return bytes(candidate)
    return None


def _has_checksum(line: bytes) -> bool:
    return line.startswith(_KEY, len(line[_BODY]))


def _fits(line: bytes) -> bool:
    """Whether the checksum that a line has is its own."""
    return line.endswith(_END) and line[_DIGITS] == _digits(line[_BODY])


def _digits(body: bytes) -> bytes:
    return b"%08x" % zlib.crc32(body)
