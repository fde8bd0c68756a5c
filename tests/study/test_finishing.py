"""What a study leaves: an error in it is one line, and the log that the line names has its traceback."""

import signal
from types import SimpleNamespace

from small_study import add_trial, new_record

from search.record.files import ERRORS
from search.record.header import new_header
from search.record.notes import ANSWER, CONFIRMED_MODEL, TEST
from search.record.record import Record
from search.space.space import Space
from search.storage import checkpoints
from search.study import confirming, finishing
from search.study.plan import SearchOptions
from search.study.searching import run_study


def test_what_cannot_be_made_is_one_line_that_names_its_traceback(tmp_path, monkeypatch, caplog):
    record, done = new_record(tmp_path), []
    monkeypatch.setattr(finishing, "keep_best", lambda record: [][0])
    monkeypatch.setattr(finishing, "note_stairs", lambda record: done.append("stairs"))
    monkeypatch.setattr(finishing, "send_report", lambda record, tracker: done.append("report"))
    finishing.finish(record, None)
    log = record.folder / ERRORS
    assert caplog.messages == [f"the best model could not be made: IndexError: list index out of range (see {log})"]
    assert "Traceback" in log.read_text() and "[][0]" in log.read_text()
    assert done == ["stairs", "report"]


def test_a_study_that_is_stopped_after_its_last_trial_has_its_report_when_it_goes_on(tmp_path, monkeypatch):
    space, finishes = Space.load("spaces/se_ratio.yaml", overrides=["search.trials=1"]), []
    record = Record.create(tmp_path / "s", new_header(space, "s"))
    add_trial(record, "complete", [0.5])
    monkeypatch.setattr(finishing, "finish", lambda record, tracker: finishes.append(record.name))
    options = SearchOptions(out=tmp_path, name="s", resume=True, offline=True, quiet=True)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "export_weights", lambda *_: signal.raise_signal(signal.SIGINT) or {})
        assert run_study(space, options).interrupted
    assert finishes == []
    assert not run_study(space, options).interrupted
    assert finishes == ["s"]
    assert not run_study(space, options).interrupted
    assert finishes == ["s"]


def test_a_confirmation_stands_though_its_model_cannot_be_written(tmp_path, monkeypatch, caplog):
    original, record = new_record(tmp_path, "r-001"), new_record(tmp_path, "r-001-confirm")
    number = add_trial(record, "complete", [0.5])
    record.note(TEST, {"opened": "2026-01-02", "scores": {str(number): {"test_accuracy": 0.5}}})
    result = SimpleNamespace(
        chosen=SimpleNamespace(trials=[number], params={"r": 8}),
        configs=[SimpleNamespace(trials=[number])],
        train_on="train",
        answer=lambda openings: SimpleNamespace(text="r = 8 is the best"),
    )
    monkeypatch.setattr(confirming, "_trained_for_test", lambda record, trial: None)
    monkeypatch.setattr(confirming, "save_model", lambda *model, about: [][0])
    monkeypatch.setattr(confirming, "write_report", lambda folder: folder / "report")
    files = []
    tracker = SimpleNamespace(touch=lambda *number: None, log_artifact=files.append)
    confirming.leave(original, result, SimpleNamespace(record=record, tracker=tracker))
    assert caplog.messages[0].startswith("the confirmed model could not be made: IndexError: ")
    assert (original.noted(ANSWER), record.noted(ANSWER)) == ("r = 8 is the best", "r = 8 is the best")
    assert original.noted(CONFIRMED_MODEL) is None
    assert files == [original.folder / "report"]
