"""Ctrl-C, SIGTERM and SIGHUP, sent to a real process."""

import signal
import subprocess
import sys

import pytest

CODE = """
import sys, time
from search.machines.signals import stop_signals
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


STOPPING = "stopping: running trials finish their epoch and save a checkpoint (a second Ctrl-C ends them at once)"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_asks(number):
    assert sent([number], polite=True, obeys=True) == (0, [STOPPING, "ended"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_second_ends_at_once(number):
    assert sent([signal.SIGINT, number], polite=True, obeys=False) == (128 + number, [STOPPING])


def test_where_nothing_has_to_be_kept_the_first_interrupts():
    assert sent([signal.SIGTERM], polite=False, obeys=False) == (0, ["interrupted"])


def test_under_nohup_a_closed_terminal_stops_nothing():
    code = (
        "import os, signal; from search.machines.signals import stop_signals\n"
        "with stop_signals(print) as stop:\n    os.kill(os.getpid(), signal.SIGHUP); print(stop())"
    )
    done = subprocess.run(["nohup", sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "False\n")


FORKS = """
import os, signal, subprocess, sys, time
os.register_at_fork(after_in_parent=lambda: signal.raise_signal(signal.SIGINT))
from search.machines.signals import stop_signals
try:
    with stop_signals(print):
        subprocess.run(["true"], preexec_fn=lambda: None)
        time.sleep(20)
        print("went on")
except KeyboardInterrupt:
    print("interrupted")
"""


def test_a_signal_in_the_middle_of_a_fork_interrupts_after_it():
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "interrupted\n", "")
