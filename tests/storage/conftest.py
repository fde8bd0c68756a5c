"""Storages to try things on: a folder of a disk, and a bucket of a server on loopback."""

from __future__ import annotations

import pytest
from buckets_here import BUCKET, bucket_server


@pytest.fixture(scope="module")
def server():
    with bucket_server() as endpoint:
        yield endpoint


@pytest.fixture(params=["disk", "bucket"])
def storage(request, tmp_path):
    """An empty place, as a user names it."""
    if request.param == "disk":
        return str(tmp_path / "shared")
    request.getfixturevalue("server")
    name = request.node.nodeid.partition("::")[2].translate(str.maketrans("[]- ", "____"))
    return f"{BUCKET}/{name}"
