"""Ctrl-C and SIGTERM, sent to a real process."""

import signal
import subprocess
import sys

import pytest

CODE = """
import sys, time
from search.signals import stop_signals
try:
    with stop_signals(lambda text: print(text, flush=True)) as stop:
        stop.polite = sys.argv[1] == "polite"
        print("ready", flush=True)
        until = time.monotonic() + 20
        while time.monotonic() < until and not (stop() and sys.argv[2] == "obeys"):
            time.sleep(0.01)
    print("ended", flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def sent(numbers, *, polite, obeys):
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, "polite" if polite else "", "obeys" if obeys else ""],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    said = []
    for number in numbers:
        process.send_signal(number)
        said.append(process.stdout.readline().rstrip())  # what it answers, before the next comes; nothing at its end
    rest = process.stdout.read()  # not communicate: it passes over what readline has read ahead
    return process.wait(timeout=15), [*filter(None, said), *rest.splitlines()]


STOPPING = "stopping: running trials end their epoch and keep checkpoints (once more ends at once)"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks(number):
    assert sent([number], polite=True, obeys=True) == (0, [STOPPING, "ended"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_second_ends_at_once(number):
    assert sent([signal.SIGINT, number], polite=True, obeys=False) == (128 + number, [STOPPING])


def test_where_nothing_has_to_be_kept_the_first_interrupts():
    assert sent([signal.SIGTERM], polite=False, obeys=False) == (0, ["interrupted"])
