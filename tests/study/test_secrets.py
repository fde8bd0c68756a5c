"""No file, line or command line of a study holds the password of its tracking server or an AWS key. All of it real."""

import base64
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import boto3
import pytest
from buckets_here import BUCKET, bucket_server
from drivers import Driver, place_in
from servers import door, free_port, server

pytestmark = pytest.mark.slow

PASSWORD = "pa/S4@:w%41rd"
KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIAZ9Z9Z9Z9Z9Z9Z9Z9",
    "AWS_SECRET_ACCESS_KEY": "sEcReT/q7q7q7q7q7q7q7q7q7q7q7q7q7q7q7q7",
    "AWS_SESSION_TOKEN": "tOkEntOkEntOkEntOkEn",
}
SECRETS = [
    PASSWORD,
    quote(PASSWORD, safe=""),
    base64.b64encode(f"me:{PASSWORD}".encode()).decode(),
    *KEYS.values(),
]


@pytest.fixture
def place(tmp_path):
    """Where drivers run that have AWS keys, with a $TMPDIR that is short enough for Ray's sockets."""
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        made = place_in(tmp_path, trials=6)
        made.env |= {**KEYS, "TMPDIR": short}
        made.scratch = Path(short)
        yield made


def holders(*folders):
    """The files below these folders that hold a secret."""
    files = [Path(root, name) for folder in folders for root, _, names in os.walk(folder) for name in names]
    contents = {file: file.read_bytes() for file in files if file.is_file() and not file.is_symlink()}
    assert len(contents) > 10
    return [str(file) for file, content in contents.items() if any(secret.encode() in content for secret in SECRETS)]


@pytest.mark.long
def test_nothing_that_a_study_leaves_holds_a_secret_and_it_goes_on_where_the_password_is_given_again(place):
    port = free_port()
    (place.folder / "server").mkdir()
    behind = SimpleNamespace(folder=place.folder / "server" / "record")
    with server(behind, port), door(port, "me", PASSWORD) as address:
        uri = f"http://me:{quote(PASSWORD, safe='')}@{address}"
        killed = Driver(place, "--name", "kept", f"--tracking-uri={uri}", name="kept")
        killed.until_epochs(4)
        shown = Path(f"/proc/{killed.process.pid}/cmdline").read_text()
        killed.process.kill()
        killed.end()
        assert quote(PASSWORD, safe="") not in shown, shown
        logs = list(place.scratch.glob("*/r/session_*/logs/*"))
        assert logs, "Ray's logs are among what is searched"
        assert holders(place.folder, place.scratch) == []
        assert [oct(folder.stat().st_mode & 0o077) for folder in place.scratch.glob("mgc-tmp-*")] == ["0o0"] * 2

        shown = f"http://me:***@{address}"
        asked = Driver(place, "--resume", "kept", "--tracking-uri", shown, name="kept").end()
        assert (asked.code, asked.stderr.splitlines()[-1]) == (
            2,
            f"error: tracking URI {shown}: *** stands for a password that is not kept; write it there, or set "
            "MLFLOW_TRACKING_PASSWORD",
        )
        refused = Driver(place, "--resume", "kept", "--tracking-uri", f"http://me:no@{address}", name="kept").end()
        assert (refused.code, refused.stderr.splitlines()[-1]) == (
            2,
            f"error: MLflow at {shown} cannot be used: it refuses the user or the password, which are in the URI or in "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
        )

        place.env["MLFLOW_TRACKING_PASSWORD"] = PASSWORD
        done = Driver(place, "--resume", "kept", "--tracking-uri", shown, name="kept").end()
        assert done.code == 0, done.stderr
        assert f"MLflow   {shown}" in done.stdout
        assert sync(place, "kept", "--tracking-uri", f"http://me@{address}") == 0
        del place.env["MLFLOW_TRACKING_PASSWORD"]
        place.env["MLFLOW_TRACKING_URI"] = uri
        assert sync(place, "kept") == 0
    assert f"--tracking-uri=http://me:***@{address}" in (place.runs / "kept" / "record.log").read_text()
    assert holders(place.folder, place.scratch) == []
    assert list(place.scratch.glob("mgc-*")) == []


@pytest.mark.long
def test_workers_of_this_machine_reach_a_bucket_with_keys_that_no_file_holds(place):
    with bucket_server():
        aws = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        place.env |= {**aws, **KEYS}
        killed = Driver(place, "--name", "far", "--storage", BUCKET, "--offline", name="far")
        killed.until_epochs(4)
        killed.process.kill()
        killed.end()
        assert holders(place.folder, place.scratch) == []
        done = Driver(place, "--resume", "far", "--storage", BUCKET, "--offline", name="far").end()
        assert done.code == 0, done.stderr
        kept = boto3.client("s3").list_objects_v2(Bucket=BUCKET.removeprefix("s3://"), Prefix="far/trials/")["Contents"]
        assert kept, "workers write their checkpoints there"
    assert holders(place.folder, place.scratch) == []


def sync(place, name, *arguments):
    """Exit code of the command that sends a study to MLflow."""
    command = [sys.executable, "-m", "search.tracking", "sync", name, "--out", str(place.runs), *arguments]
    return subprocess.run(command, check=False, env=place.env, cwd=Path(__file__).parents[2]).returncode
