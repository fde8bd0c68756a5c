"""A server on loopback that answers as S3 does (moto's), with one empty bucket: for tests of what is kept there."""

from __future__ import annotations

import logging
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import boto3
import pytest
from moto.server import ThreadedMotoServer

BUCKET = "s3://studies-here"
REGION = "us-west-2"


@contextmanager
def bucket_server() -> Iterator[str]:
    """The server runs, and this process and its children take it for AWS; its endpoint."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE"):
            patch.delenv(name, raising=False)
        own = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "AWS_DEFAULT_REGION": REGION}
        for name, value in {**own, "AWS_ENDPOINT_URL": endpoint}.items():
            patch.setenv(name, value)
        try:
            # What servers of this process held before, it still holds: moto keeps one account for all of them.
            urllib.request.urlopen(urllib.request.Request(f"{endpoint}/moto-api/reset", method="POST")).close()
            where = {"LocationConstraint": REGION}
            boto3.client("s3").create_bucket(Bucket=BUCKET.removeprefix("s3://"), CreateBucketConfiguration=where)
            yield endpoint
        finally:
            server.stop()
