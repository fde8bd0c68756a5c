"""Downloads, from a server on loopback that breaks off, corrupts, ignores ranges or is not there."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import soundfile
from waiting import until

from mgc.datasets import __main__ as cli
from mgc.datasets.registry import SOURCES, open_dataset, source
from mgc.datasets.verify import verify
from mgc.tracks.dataset import DatasetError
from mgc.web import transfer
from mgc.web.download import CHECKSUMS, download
from mgc.web.sources import Archive, Source
from mgc.web.transfer import TransferError, fetch

BODY = np.random.default_rng(0).bytes(3 << 20)


class Server(ThreadingHTTPServer):
    """Serves `body` at every path but /missing. `faults` are what it does wrong, one for each request, then nothing."""

    daemon_threads = True

    def __init__(self, body: bytes = BODY) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.faults, self.asked = body, list[str](), list[int]()
        self.knows_ranges, self.delay_s = True, 0.0
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that are killed close their connection; that is no news."""

    def url(self, name: str = "x.bin") -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        body, given = self.server.body, re.match(r"bytes=(\d+)-", self.headers.get("Range") or "")
        start = int(given[1]) if given and self.server.knows_ranges else 0
        self.server.asked.append(start)
        fault = self.server.faults.pop(0) if self.server.faults else ""
        if self.path == "/missing":
            return self.send_error(404)
        if fault == "busy":
            return self.send_error(503)
        if start >= len(body):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(body)}")
            return self.end_headers()
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        rest = body[start:]
        if fault == "corrupt":
            rest = rest[:1000] + bytes([rest[1000] ^ 1]) + rest[1001:]
        if fault == "break off":
            rest = rest[: len(rest) // 2]
        if fault == "nothing":
            rest = b""
        for place in range(0, len(rest), 1 << 18):
            self.wfile.write(rest[place : place + (1 << 18)])
            time.sleep(self.server.delay_s)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "PAUSE_S", 0.0)


def fetched(
    server: Server, path: Path, *, urls: tuple[str, ...] = (), body: bytes = BODY, most_bytes: int = len(BODY)
) -> Path:
    checksum = hashlib.md5(body).hexdigest()
    return fetch(
        urls or (server.url(),), path, algorithm="md5", checksum=checksum, most_bytes=most_bytes, progress=False
    )


def test_a_file_comes_as_it_is_and_only_once(server: Server, tmp_path: Path) -> None:
    for _ in range(2):
        assert fetched(server, tmp_path / "x").read_bytes() == BODY
    assert server.asked == [0]
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("faults", [["break off"] * 3, ["busy", "break off", "nothing", "nothing"]])
def test_a_transfer_that_breaks_off_is_taken_up_where_it_was(server: Server, tmp_path: Path, faults: list[str]) -> None:
    server.faults = list(faults)
    assert fetched(server, tmp_path / "x").read_bytes() == BODY
    assert server.asked == sorted(server.asked)
    assert server.asked[-1] >= len(BODY) // 2


def test_a_server_that_never_ends_is_left_alone_and_the_next_one_asked(server: Server, tmp_path: Path) -> None:
    def send(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while True:  # until the client closes the connection
            handler.wfile.write(bytes(1 << 20))

    endless = Server()
    endless.RequestHandlerClass = type("Endless", (Handler,), {"do_GET": send})
    try:
        with pytest.raises(TransferError, match=r"x\.bin: sends more than 3 MB, so it is not the file"):
            fetched(endless, tmp_path / "x")
        assert list(tmp_path.iterdir()) == []
        assert fetched(server, tmp_path / "x", urls=(endless.url(), server.url())).read_bytes() == BODY
    finally:
        endless.shutdown()
        endless.server_close()


def answering(do_get) -> Server:
    """A server that does this with every request."""
    server = Server()
    server.RequestHandlerClass = type("Answering", (Handler,), {"do_GET": do_get})
    return server


def test_a_server_that_only_drips_is_left_alone(server: Server, tmp_path: Path, monkeypatch) -> None:
    def send(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while True:  # until the client closes the connection
            handler.wfile.write(b"x")
            time.sleep(0.02)

    monkeypatch.setattr(transfer, "SLOW_S", 0.2)
    dripping = answering(send)
    with pytest.raises(TransferError, match=r"x\.bin: sends less than 1000 bytes a second$"):
        fetched(dripping, tmp_path / "x")
    (tmp_path / "x.part").unlink(missing_ok=True)
    assert fetched(server, tmp_path / "x", urls=(dripping.url(), server.url())).read_bytes() == BODY


@pytest.mark.parametrize("length", ["nonsense", "-5", "9" * 5000])
def test_a_length_that_is_none_is_not_believed(tmp_path: Path, length: str) -> None:
    def send(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", length)
        handler.end_headers()
        handler.wfile.write(BODY)
        handler.close_connection = True

    assert fetched(answering(send), tmp_path / "x").read_bytes() == BODY


@pytest.mark.parametrize("place", ["http://[::1", f"http://{'a' * 300}.b/", "file:///etc/passwd", "/x.bin"])
def test_a_redirection_to_nowhere_is_one_line(tmp_path: Path, place: str) -> None:
    def send(handler: Handler) -> None:
        handler.send_response(302)
        handler.send_header("Location", place)
        handler.end_headers()

    with pytest.raises(TransferError, match=r"^http://127\.0\.0\.1:\d+/x\.bin: [^\n]+$"):
        fetched(answering(send), tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_later_run_goes_on_where_the_last_one_gave_up(server: Server, tmp_path: Path) -> None:
    server.faults = ["break off"] + ["nothing"] * transfer.TRIES
    with pytest.raises(
        TransferError,
        match=r"^http://.*/x\.bin: the connection broke off \(1572864 bytes are kept in [^\n]+ goes on there\)$",
    ):
        fetched(server, tmp_path / "x")
    assert not (tmp_path / "x").exists()
    assert fetched(server, tmp_path / "x").read_bytes() == BODY
    assert server.asked[-1] == len(BODY) // 2


def test_a_server_without_ranges_sends_everything_again(server: Server, tmp_path: Path) -> None:
    server.faults, server.knows_ranges = ["break off"], False
    assert fetched(server, tmp_path / "x").read_bytes() == BODY
    assert server.asked == [0, 0]


def test_a_corrupted_file_is_deleted(server: Server, tmp_path: Path) -> None:
    server.faults = ["corrupt"]
    with pytest.raises(
        TransferError, match=r"^http://.*/x\.bin: md5 must be [0-9a-f]{32}, got [0-9a-f]{32}: the file was deleted$"
    ):
        fetched(server, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_several_transfers_that_is_wrong_is_fetched_once_more_from_the_start(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "x.part").write_bytes(b"of another version" * 1000)
    assert fetched(server, tmp_path / "x").read_bytes() == BODY
    assert server.asked == [18_000, 0]


@pytest.mark.parametrize("left", [BODY, BODY + b"more"])
def test_what_is_as_long_as_the_file_or_longer_is_checked_not_trusted(
    server: Server, tmp_path: Path, left: bytes
) -> None:
    (tmp_path / "x.part").write_bytes(left)
    assert fetched(server, tmp_path / "x").read_bytes() == BODY


def test_another_address_is_asked_where_the_first_has_nothing(server: Server, tmp_path: Path) -> None:
    urls = ("http://127.0.0.1:9/x", server.url("missing"), server.url())
    assert fetched(server, tmp_path / "x", urls=urls).read_bytes() == BODY
    with pytest.raises(TransferError, match=r"^[^\n]*Connection refused[^\n]*; [^\n]*: the server answers 404 [^\n]+$"):
        fetched(server, tmp_path / "y", urls=urls[:2])


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """No name has an address, as without a network."""

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)


@pytest.mark.usefixtures("no_network")
def test_without_a_network_a_download_says_so_at_once_in_a_short_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(transfer.time, "sleep", pauses.append)
    monkeypatch.setenv("MGC_DATA", str(tmp_path))
    assert cli.main(["download", "gtzan"]) == 2
    why = "cannot be reached (Temporary failure in name resolution)"
    assert capsys.readouterr().err.splitlines()[-3:] == [
        "asking huggingface.co ...",
        "asking opihi.cs.uvic.ca ...",
        f"error: huggingface.co: {why}; opihi.cs.uvic.ca: {why}",
    ]
    assert sum(pauses) == 0


def test_whoever_waits_for_a_busy_server_reads_why(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.faults = ["busy"]
    checksum = hashlib.md5(BODY).hexdigest()
    fetch((server.url(),), tmp_path / "x", algorithm="md5", checksum=checksum, most_bytes=len(BODY))
    line = capsys.readouterr().err.splitlines()[1]
    assert line == f"127.0.0.1:{server.server_port}: the server answers 503 Service Unavailable: trying again in 0 s"


# --- whole datasets ---------------------------------------------------------------------------------------------------


def tone(number: int) -> bytes:
    file = io.BytesIO()
    y_S = 0.5 * np.sin(2 * np.pi * (200 + number) * np.arange(16_000) / 8000)
    soundfile.write(file, y_S, 8000, format="WAV", subtype="PCM_16")
    return file.getvalue()


FILES = {f"genres/{genre}/{genre}.{n:05}.wav": tone(8 * g + n) for g, genre in enumerate("ab") for n in range(3)}


def tar_of(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in files.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            tar.addfile(about, io.BytesIO(content))
    return out.getvalue()


def zip_of(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_BZIP2) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def little(server: Server, file: str = "little.tar.gz", **changes: object) -> Source:
    """A source of what the server serves."""
    about = {
        "file": file,
        "urls": (server.url(file),),
        "algorithm": "sha1",
        "checksum": hashlib.sha1(server.body).hexdigest(),
        "num_bytes": len(server.body),
        "unpacked_bytes": 200_000,
        **changes,
    }
    return Source(name="little", about="a little set", terms="none", archives=(Archive(**about),), inside="genres")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MGC_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.mark.parametrize(("file", "pack"), [("little.tar.gz", tar_of), ("little.zip", zip_of)])
def test_a_dataset_is_fetched_unpacked_and_opens_by_its_name(server: Server, data: Path, file: str, pack) -> None:
    server.body = pack(FILES)
    assert download(little(server, file), progress=False) == data / "little"
    assert len(open_dataset("little").tracks) == 6
    assert sorted(path.name for path in data.iterdir()) == [".downloads", "little", "little.lock"]
    assert not list((data / ".downloads").iterdir())
    download(little(server, file), progress=False)
    assert server.asked == [0]


def test_what_changed_since_the_download_is_found_by_its_checksum(server: Server, data: Path) -> None:
    server.body = tar_of(FILES)
    root = download(little(server), progress=False)
    assert verify("little", progress=False).faults == ()
    assert verify("little", progress=False).num_compared == 6
    content = bytearray((root / "a" / "a.00000.wav").read_bytes())
    content[5000] ^= 1
    (root / "a" / "a.00000.wav").write_bytes(content)
    (root / "b" / "b.00001.wav").unlink()
    assert [(fault.file, fault.what) for fault in verify("little", progress=False).faults] == [
        ("a/a.00000.wav", "has changed since it was downloaded"),
        ("b/b.00001.wav", "cannot be read: No such file or directory"),
    ]
    assert (root / CHECKSUMS).is_file()


def test_a_download_that_fails_leaves_no_dataset_and_goes_on_later(server: Server, data: Path) -> None:
    server.body, server.faults = tar_of(FILES), ["break off"] + ["nothing"] * transfer.TRIES
    with pytest.raises(DatasetError, match="the connection broke off"):
        download(little(server), progress=False)
    assert not (data / "little").exists()
    assert len(list(download(little(server), progress=False).glob("*/*.wav"))) == 6
    assert server.asked[-1] == len(server.body) // 2


def test_a_full_disk_is_told_before_anything_is_fetched(server: Server, data: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"^little needs 1000000\.0 GB in .*/data, [\d.]+ GB are free \(set MGC_DATA"
    ):
        download(little(server, unpacked_bytes=10**15), progress=False)
    assert server.asked == []


@pytest.mark.parametrize("body", [b"no archive", tar_of(FILES)[:-2000]])
def test_an_archive_that_is_none_is_one_line(server: Server, data: Path, body: bytes) -> None:
    server.body = body
    with pytest.raises(DatasetError, match=r"^.*/little\.tar\.gz: cannot be unpacked: [^\n]+$"):
        download(little(server), progress=False)
    assert not (data / "little").exists()


def test_an_archive_cannot_write_outside_its_folder(server: Server, data: Path) -> None:
    server.body = tar_of({**FILES, "../../../evil.wav": b"evil"})
    with pytest.raises(DatasetError, match="cannot be unpacked"):
        download(little(server), progress=False)
    assert not list(data.parent.rglob("evil.wav"))


@pytest.mark.slow
def test_a_killed_download_goes_on_where_it_was(server: Server, data: Path) -> None:
    server.body, server.delay_s = tar_of({**FILES, "genres/noise.bin": BODY}), 0.05
    script = (
        "import sys; from mgc.web.download import *; from mgc.web.sources import *;"
        f"download({little(server)!r}, progress=False)"
    )
    part = data / ".downloads" / "little" / "little.tar.gz.part"
    process = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "MGC_DATA": str(data)})
    until(lambda: part.exists() and part.stat().st_size > 1 << 20, "a megabyte has come")
    process.send_signal(signal.SIGKILL)
    process.wait()
    had = part.stat().st_size
    server.delay_s = 0.0
    assert len(list(download(little(server), progress=False).glob("*/*.wav"))) == 6
    assert server.asked == [0, had]


# --- the command line -------------------------------------------------------------------------------------------------


def test_the_command_downloads_and_prints_the_folder(
    server: Server, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.body = tar_of(FILES)
    monkeypatch.setitem(SOURCES, "little", little(server))
    assert cli.main(["download", "little"]) == 0
    out, err = capsys.readouterr()
    assert out == f"{data / 'little'}\n"
    assert "terms: none" in err
    assert "little.tar.gz, 0 MB ..." in err
    assert cli.main(["list"]) == 0
    listed = capsys.readouterr().out
    assert re.search(r"^little +here +a little set *$", listed, re.MULTILINE)
    assert "lock" not in listed and (data / "little.lock").is_file()


def test_an_unknown_name_is_answered_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["download", "gtzn"]) == 2
    assert capsys.readouterr().err == "error: no dataset 'gtzn' to download (did you mean 'gtzan'?)\n"


def test_every_source_has_a_checksum_of_its_algorithms_length() -> None:
    for name in SOURCES:
        for archive in source(name).archives:
            assert len(archive.checksum) == 2 * hashlib.new(archive.algorithm).digest_size
            assert all(url.startswith("http") for url in archive.urls)


def test_a_folder_that_cannot_be_written_is_one_line(server: Server, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MGC_DATA", str(tmp_path / "file"))
    with pytest.raises(ValueError, match=r"^folder .*/file cannot be made: [^\n]+MGC_DATA"):
        download(little(server), progress=False)


def test_disk_usage_is_that_of_the_data_folder(server: Server, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []
    free = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: asked.append(Path(path)) or free)
    server.body = tar_of(FILES)
    download(little(server), progress=False)
    assert asked == [data / ".downloads" / "little"]
