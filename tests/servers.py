"""Servers that tests start: a real MLflow on a free port of loopback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from base64 import b64encode
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from waiting import until

from search.tracking.registry import default_uri


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


@contextmanager
def server(record, port):
    """A real MLflow server on the record's store, killed with all of its processes at the end."""
    store = default_uri(record.folder.parent)
    command = ["-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    process = subprocess.Popen(
        [sys.executable, *command, "--backend-store-uri", store, "--artifacts-destination", str(record.folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},  # eight processes that no study asks for
    )
    try:
        until(lambda: answers(f"http://127.0.0.1:{port}/health"), "MLflow answers", seconds=180)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def door(port, user, password):
    """A port of loopback that lets this user in to the server behind it, and answers others with 401."""
    entry = f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"

    class Door(BaseHTTPRequestHandler):
        def pass_on(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Authorization") != entry:
                return self.answer(401, b"who are you?")
            headers = {name: value for name, value in self.headers.items() if name not in ("Host", "Authorization")}
            url = f"http://127.0.0.1:{port}{self.path}"
            request = urllib.request.Request(url, body or None, headers, method=self.command)
            try:
                with urllib.request.urlopen(request, timeout=60) as response:
                    return self.answer(response.status, response.read())
            except urllib.error.HTTPError as error:
                return self.answer(error.code, error.read())

        def answer(self, code, body):
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    Thread(target=listener.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{listener.server_address[1]}"
    listener.shutdown()
    listener.server_close()


@contextmanager
def long_answers(num_bytes):
    """The URI of a server whose answers are so long, and how much of each it has sent when the client hung up."""
    sent = []

    class Long(BaseHTTPRequestHandler):
        def answer(self):
            self.send_response(200)
            self.end_headers()
            of_this = 0
            with suppress(OSError):
                while of_this < num_bytes:
                    of_this += self.wfile.write(b" " * 2**16)
            sent.append(of_this)

        def log_message(self, *arguments):
            pass

        do_GET = do_POST = answer

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Long)
    Thread(target=listener.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{listener.server_address[1]}", sent
    listener.shutdown()
    listener.server_close()


class Relay:
    """A port of loopback behind which a server is there or, once the relay is cut, away."""

    def __init__(self, port):
        self._server = ("127.0.0.1", port)
        self._own = ("127.0.0.1", free_port())
        self.uri = f"http://127.0.0.1:{self._own[1]}"
        self._sockets = []

    def __enter__(self):
        self.join()
        return self

    def __exit__(self, *exception):
        self.cut()

    def join(self):
        """Let new connections through."""
        listener = socket.create_server(self._own)
        self._sockets.append(listener)
        Thread(target=self._accept, args=[listener], daemon=True).start()

    def cut(self):
        """End every connection in the middle of whatever it carries, and refuse new ones."""
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._sockets.clear()

    def _accept(self, listener):
        with suppress(OSError):  # the listener was closed
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(self._server)
                self._sockets += [near, far]
                for pair in ((near, far), (far, near)):
                    Thread(target=_carry, args=pair, daemon=True).start()


def _carry(source, target):
    with suppress(OSError):
        while block := source.recv(65536):
            target.sendall(block)
        target.shutdown(socket.SHUT_WR)
