"""The log of a study's faults: every traceback stays, and a fault that cannot be noted makes no second one."""

from search.record.faults import note_fault


def fail():
    raise ZeroDivisionError("no tracks")


def noted(folder, what):
    try:
        fail()
    except ZeroDivisionError:
        return note_fault(folder, what)


def test_the_log_has_what_failed_and_the_traceback_of_each_fault(tmp_path):
    noted(tmp_path, "the plots")
    log = noted(tmp_path, "the best model")
    text = log.read_text()
    assert log == tmp_path / "errors.log"
    assert text.index("the plots") < text.index("the best model")
    assert text.count("in fail\n") == text.count("ZeroDivisionError: no tracks\n") == 2


def test_a_log_that_cannot_be_written_raises_nothing(tmp_path):
    assert noted(tmp_path / "gone", "the plots") == tmp_path / "gone" / "errors.log"
