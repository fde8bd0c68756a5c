"""The table of a study on a cluster: its record goes through the job's log and is shown as at home."""

import io

import pytest
from rich.console import Console
from small_study import add_trial, new_record

from search.cluster.echo import ASKED, MARK, echoed, shown_log


def log_of(record, monkeypatch, capsys, *, asked="1"):
    """What a driver's job prints: lines of its own, and the record's."""
    monkeypatch.setenv(ASKED, asked)
    print(f"study {record.name} in the cluster")
    with echoed(record.folder):
        add_trial(record, "complete", [0.4, 0.5, 0.7], r=4.0)
        print("trial 0  complete  epoch 3/3  val_accuracy 0.700  best  r 4")
        add_trial(record, scores=[0.4], r=8.0)
    print("the summary")
    return capsys.readouterr().out


def screen(width=100):
    return Console(file=io.StringIO(), width=width, height=24, force_terminal=True, color_system=None)


@pytest.mark.parametrize("size", [7, 100_000])
def test_a_terminal_shows_the_table_of_a_job_as_at_home_however_its_log_is_cut(tmp_path, monkeypatch, capsys, size):
    log, console = log_of(new_record(tmp_path), monkeypatch, capsys), screen()
    with shown_log(console) as show:
        for start in range(0, len(log), size):
            show(log[start : start + size])
    text = console.file.getvalue()
    assert "study se_ratio-001 in the cluster" in text and "the summary" in text
    assert "study se_ratio-001: 1 of 4 trials, 1 running, best 0.700 (trial 0, r = 4)" in text
    assert " best  0      3/3    0.700         complete" in text
    assert MARK not in text and "trial 0  complete" not in text
    assert text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l"), "the cursor is back"


def test_a_file_gets_the_log_without_the_record(tmp_path, monkeypatch, capsys):
    log = log_of(new_record(tmp_path), monkeypatch, capsys)
    with shown_log() as show:
        show(log)
    assert MARK in log
    assert capsys.readouterr().out.splitlines() == [line for line in log.splitlines() if not line.startswith(MARK)]


def test_a_driver_that_nobody_follows_prints_no_record(tmp_path, monkeypatch, capsys):
    assert MARK not in log_of(new_record(tmp_path), monkeypatch, capsys, asked="")
