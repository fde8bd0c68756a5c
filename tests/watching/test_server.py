"""The server of `python -m search.watch`: what it answers, and whom."""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from http.client import HTTPConnection
from threading import Thread
from time import monotonic

import pytest
from browser import browser, chromium
from invented_study import add_invented, invented
from small_study import new_record

from search.record.files import PAGE, REPORT
from search.watch import main
from search.watching.server import Server, Studies

pytestmark = pytest.mark.slow


@contextmanager
def served(out, host="127.0.0.1"):
    """The port of a server of this folder."""
    with Server(Studies(out), host, 0) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.port
        server.shutdown()


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studies")
    for name in ("joint-001", "joint-002"):
        invented(folder, name, trials=8, epochs=3)
    new_record(folder, "other one", metric="val_loss", mode="min", description="<script>alert(1)</script>")
    return folder


@pytest.fixture(scope="module")
def port(out):
    with served(out) as port:
        yield port


def asked(port, path, method="GET", **headers):
    """The status, the headers and the text of an answer."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read().decode()


def test_all_studies_are_listed_with_their_pages(port):
    status, headers, text = asked(port, "/")
    assert status == 200 and 'href="joint-001/"' in text and 'href="other%20one/"' in text
    assert (headers["X-Content-Type-Options"], headers["Cache-Control"]) == ("nosniff", "no-store")
    assert asked(port, "/other%20one/")[0] == 200


def test_a_reader_gets_the_whole_study_then_news(port):
    first = json.loads(asked(port, "/joint-001/news")[2])
    assert len(first["trials"]) == 8
    again = json.loads(asked(port, f"/joint-001/news?since={first['version']}&studies=1")[2])
    assert again == {"version": first["version"]}
    assert len(json.loads(asked(port, "/joint-001/news?since=never")[2])["trials"]) == 8


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/none/", "no study none in "),
        ("/..%2f..%2fetc/", "the name of a study has "),
        ("/%2e%2e/", "the name of a study has "),
        ("/joint-001/record.log", "nothing is at /joint-001/record.log"),
        ("/joint-001/report.html", "study joint-001 has no report yet"),
        ("/compare?study=joint-001", "choose two to five studies"),
        ("/compare?study=joint-001&study=..", "the name of a study has "),
    ],
)
def test_what_is_not_there_is_one_line(port, path, text):
    status, headers, line = asked(port, path)
    assert (status, headers["Content-Type"]) == (404, "text/plain; charset=utf-8")
    assert line.startswith(text) and len(line.splitlines()) == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_changed(port, method):
    assert asked(port, "/joint-001/", method)[0] == 501


def test_only_names_of_this_machine_are_answered(port, out):
    for host in ("localhost", f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}"):
        assert asked(port, "/", Host=host)[0] == 200
    for host in ("evil.example", f"evil.example:{port}", f"localhost.evil.example:{port}", "", "10.0.0.1"):
        assert asked(port, "/", Host=host)[0] == 403
    with served(out, "0.0.0.0") as open_port:
        for host in ("10.0.0.1", f"{socket.gethostname()}:{open_port}"):
            assert asked(open_port, "/", Host=host)[0] == 200
        assert asked(open_port, "/", Host="evil.example")[0] == 403


def test_the_report_is_served_once_it_is_there(tmp_path):
    record = invented(tmp_path, trials=3, epochs=3)
    (record.folder / REPORT).mkdir()
    (record.folder / REPORT / PAGE).write_text("the report")
    with served(tmp_path) as port:
        assert asked(port, "/joint-001/report.html")[2] == "the report"
        assert 'href="report.html"' in asked(port, "/joint-001/")[2]


def test_mistakes_are_one_line(tmp_path, out, port, capsys):
    for words, line in (
        (["none", "--out", str(out)], f"error: no study none in {out}"),
        (["--out", str(tmp_path / "none")], f"error: there is no folder {tmp_path / 'none'}"),
        (["--out", str(out), "--port", str(port)], f"error: cannot listen on 127.0.0.1:{port}: Address already in use; "
         "choose another --port"),
        (["--out", str(out), "--port", "65536"], "error: cannot listen on 127.0.0.1:65536: bind(): port must be "
         "0-65535; choose another --port"),
    ):  # fmt: skip
        assert main(words) == 2
        assert capsys.readouterr().err == f"{line}\n"


def test_ctrl_c_ends_it_quietly(out):
    command = [sys.executable, "-m", "search.watch", "joint-001", "--out", str(out), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ})
    assert process.stdout.readline().startswith("http://127.0.0.1:")
    process.send_signal(signal.SIGINT)
    assert (process.wait(timeout=60), process.stdout.read(), process.stderr.read()) == (0, "", "")


@pytest.fixture
def tab(tmp_path):
    if chromium() is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with browser(tmp_path / "profile") as page:
        yield page


def test_a_page_follows_its_study_and_two_stand_side_by_side(tmp_path, tab):
    record = invented(tmp_path, trials=4, epochs=3)
    invented(tmp_path, "joint-002", trials=6, epochs=3)
    with served(tmp_path) as port:
        home = f"http://127.0.0.1:{port}"
        tab.open(f"{home}/joint-001/")
        tab.js("page.choose(0)")
        add_invented(record, 4)
        begin = monotonic()
        tab.until("page.trials.length === 5")
        assert monotonic() - begin < 10, "two seconds, on a machine that has time"
        assert tab.js("page.chosen") == [0] and "5 of 4 trials" in tab.js("document.querySelector('#about').innerText")
        tab.open(f"{home}/")
        tab.js("document.querySelectorAll('input').forEach((box) => box.click())")
        tab.js("document.querySelector('form button').click()")
        tab.until("document.querySelectorAll('#studies svg').length === 2")
        heads = tab.js("[...document.querySelectorAll('.compare thead th')].map((head) => head.innerText.trim())")
        assert sorted(heads) == ["joint-001", "joint-002"]
    assert tab.complaints == [] and all(url.startswith((home, "data:")) for url in tab.requests)
