"""Objects in a bucket, by addresses such as s3://bucket/folder/name. It must not know what the objects are.

pyarrow moves the objects. boto3 writes those that several machines may write at once, since pyarrow has no conditional
writes. Credentials and endpoint are AWS's usual ones: the machine's instance profile, or AWS_ACCESS_KEY_ID,
AWS_ENDPOINT_URL and the rest of the environment. An object appears whole or not at all, and a second write replaces it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from pyarrow.fs import FileInfo

SCHEME = "s3://"
TIMEOUT_S = 20.0
"""How long a conditional write waits for the bucket before it tries again."""


class UnconditionalError(OSError):
    """The server refuses conditional writes: S3 has them, some servers that speak its language have not."""


def is_address(text: str) -> bool:
    """Whether a text is the address of something in a bucket."""
    return text.startswith(SCHEME)


def read(address: str) -> bytes:
    """An object's bytes. Raises FileNotFoundError where there is no such object, OSError where it cannot be read."""
    system, path = _system_and_path(address)
    with system.open_input_file(path) as file:
        content: bytes = file.read()
    return content


def write(address: str, content: bytes | memoryview) -> None:
    """Write an object. Raises OSError where that is impossible."""
    system, path = _system_and_path(address)
    with system.open_output_stream(path) as file:
        file.write(content)


def listed(address: str) -> dict[str, FileInfo]:
    """The objects below an address at any depth, by their names relative to it; empty where there are none.

    Each has `size` in bytes and `mtime_ns`. Raises OSError where the bucket does not answer, or where a name would lead
    out of the folder that the objects are copied to.
    """
    from pyarrow.fs import FileSelector, FileType

    system, path = _system_and_path(address)
    below = system.get_file_info(FileSelector(path, recursive=True, allow_not_found=True))
    objects = {info.path[len(path) + 1 :]: info for info in below if info.type == FileType.File}
    for name in objects:
        if ".." in PurePosixPath(name).parts or name.startswith("/"):
            raise OSError(f"the name of the object {name!r} leads out of its folder; delete that object")
    return objects


def info(address: str) -> FileInfo | None:
    """Size and time of one object, None where there is no such object."""
    from pyarrow.fs import FileType

    system, path = _system_and_path(address)
    entry = system.get_file_info(path)
    return entry if entry.type == FileType.File else None


def remove(address: str) -> None:
    """Delete an object if it exists."""
    if info(address) is not None:
        system, path = _system_and_path(address)
        system.delete_file(path)


def fetch(address: str, to: Path) -> None:
    """Copy an object to a file, or all objects below an address to a folder, several at once."""
    from pyarrow.fs import LocalFileSystem, copy_files

    system, path = _system_and_path(address)
    if info(address) is None:
        to.mkdir(parents=True, exist_ok=True)
    copy_files(path, str(to), source_filesystem=system, destination_filesystem=LocalFileSystem())


def version_and_content(address: str) -> tuple[str, bytes] | None:
    """An object with the version that `replace` asks for (its ETag); None where there is no such object."""
    with suppress(FileNotFoundError), _s3(address) as (client, place):
        answer = client.get_object(**place)
        return answer["ETag"], answer["Body"].read()
    return None


def replace(address: str, content: bytes, version: str | None) -> str | None:
    """Write an object if it still has this version; None stands for no object. Returns the new version; None, and
    writes nothing, where another process has written or deleted the object meanwhile.

    Raises UnconditionalError where the server says that it cannot do that. A server that ignores conditions writes in
    any case. Raises OSError where the bucket does not answer.
    """
    condition = {"IfNoneMatch": "*"} if version is None else {"IfMatch": version}
    with suppress(FileExistsError, FileNotFoundError), _s3(address) as (client, place):
        etag: str = client.put_object(**place, Body=content, **condition)["ETag"]
        return etag
    return None


def age_s(address: str) -> float:
    """Seconds since an object was written, both by the bucket's own clock. Raises FileNotFoundError, OSError."""
    with _s3(address) as (client, place):
        answer = client.head_object(**place)
    now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    return float((now - answer["LastModified"]).total_seconds())


@contextmanager
def _s3(address: str) -> Iterator[tuple[Any, dict[str, str]]]:
    """boto3's client, and what it calls the object at an address.

    The block raises FileNotFoundError where there is no such object, FileExistsError where a condition does not hold,
    UnconditionalError where the server knows no conditions, OSError for all else.
    """
    client = _client(os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"))
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _, key = address.removeprefix(SCHEME).partition("/")
    try:
        yield client, {"Bucket": bucket, "Key": key}
    except ClientError as error:
        raise _os_error(error, address) from None
    except BotoCoreError as error:
        raise OSError(" ".join(str(error).split())) from None


def _os_error(error: Any, address: str) -> OSError:
    """The OSError that says the same as an error of botocore's."""
    text = " ".join(str(error).split())
    match error.response["Error"]["Code"]:
        case "404" | "NoSuchKey":
            return FileNotFoundError(text, address)
        case "PreconditionFailed" | "ConditionalRequestConflict" | "412" | "409":
            return FileExistsError(text, address)
        case "NotImplemented" | "501":
            return UnconditionalError(text)
        case _:
            return OSError(text)


@cache
def _client(endpoint: str | None) -> Any:
    """boto3's client of this endpoint; None is AWS. Raises OSError where boto3 is not installed."""
    try:
        import boto3
        from botocore.config import Config
    except ImportError:
        raise OSError(
            "boto3 is not installed, which writes to buckets need: pip install 'mgc-search[cluster]'"
        ) from None
    config = Config(
        connect_timeout=TIMEOUT_S,
        read_timeout=TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": 3},
        # as pyarrow: other servers than AWS may know neither buckets as host names nor the newer checksums
        s3={"addressing_style": "auto" if endpoint is None else "path"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return boto3.client("s3", config=config)


def _system_and_path(address: str) -> tuple[Any, str]:
    """pyarrow's file system for an address, and the path in it. One request reads a small object, instead of three."""
    from pyarrow.fs import FileSystem

    bucket, _, key = address.removeprefix(SCHEME).partition("/")
    try:
        system, path = FileSystem.from_uri(f"{SCHEME}{bucket}/{quote(key)}?allow_delayed_open=true")
    except ValueError as error:
        raise OSError(f"{address} is no address in a bucket: {error}") from None
    return system, path.rstrip("/")
