"""Which study goes on, to how many trials, and what may have changed meanwhile."""

import pytest
from small_study import HEADER, add_trial, new_record

from search.journal import JOURNAL
from search.record import Record
from search.resume import ResumeError, check_data, folder_to_resume, folder_to_start, is_finished, num_trials

STATES = ("complete", "stopped", "failed", "complete")


def finished(out, name, created):
    record = new_record(out, name, created=created)
    for state in STATES:
        add_trial(record, state, None if state == "failed" else [0.5])
    return record


class Asking:
    """As much of a space as decides how many trials there are to be."""

    def __init__(self, num_trials):
        self.num_trials = num_trials


def test_the_newest_unfinished_study_goes_on(tmp_path):
    new_record(tmp_path, "se_ratio-001", created="2026-01-01T00:00:00+00:00")
    new_record(tmp_path, "named", created="2026-01-02T00:00:00+00:00")
    finished(tmp_path, "se_ratio-002", created="2026-01-03T00:00:00+00:00")
    new_record(tmp_path, "other-001", created="2026-01-04T00:00:00+00:00", space="other")
    assert folder_to_resume(tmp_path, "se_ratio", None) == tmp_path / "named"


def test_where_all_are_finished_it_is_the_newest(tmp_path):
    finished(tmp_path, "se_ratio-001", created="2026-01-02T00:00:00+00:00")
    finished(tmp_path, "se_ratio-002", created="2026-01-01T00:00:00+00:00")
    assert folder_to_resume(tmp_path, "se_ratio", None) == tmp_path / "se_ratio-001"


def test_with_nothing_to_resume_a_study_begins(tmp_path):
    assert folder_to_resume(tmp_path, "se_ratio", None) == tmp_path / "se_ratio-001"
    assert folder_to_resume(tmp_path, "se_ratio", "mine") == tmp_path / "mine"


@pytest.mark.parametrize("left", [None, b"", b'{"op_code":0,"worker_id":"w","study_name":"se_ratio-002","dir'])
def test_a_folder_whose_driver_died_before_its_record_is_used_again(tmp_path, left):
    new_record(tmp_path, "se_ratio-001")
    folder = tmp_path / "se_ratio-002"
    folder.mkdir()
    (folder / "lock").write_text("pid 1 on nowhere")
    if left is not None:
        (folder / JOURNAL).write_bytes(left)

    assert folder_to_resume(tmp_path, "se_ratio", None) == folder
    assert folder_to_resume(tmp_path, "se_ratio", "se_ratio-002") == folder
    assert folder_to_start(tmp_path, "se_ratio", "se_ratio-002") == folder
    assert Record.create(folder, HEADER).trials() == []


def test_a_name_that_is_taken_is_refused_without_resume(tmp_path):
    new_record(tmp_path, "mine")
    with pytest.raises(ResumeError, match=r"^study mine is there already: --resume mine goes on with it$"):
        folder_to_start(tmp_path, "se_ratio", "mine")
    assert folder_to_start(tmp_path, "se_ratio", None) == tmp_path / "se_ratio-001"


def test_a_slip_in_the_name_is_not_taken_for_a_new_study(tmp_path):
    new_record(tmp_path, "attention")
    with pytest.raises(ResumeError, match=r"^no study 'atention' in .* \(did you mean 'attention'\?\)$"):
        folder_to_resume(tmp_path, "se_ratio", "atention")


@pytest.mark.parametrize(
    ("at_start", "given_then", "file_now", "given_now", "expected"),
    [
        (6, True, 50, False, 6),  # --trials 6, then --resume alone
        (50, False, 80, False, 80),  # the file was mended
        (6, True, 80, True, 80),  # --trials 80 --resume
        (50, False, 2, True, 4),  # never fewer than there are
    ],
)
def test_a_study_goes_on_to_the_number_that_was_asked_for(
    tmp_path, at_start, given_then, file_now, given_now, expected
):
    record = new_record(tmp_path, trials=at_start, trials_given=given_then)
    for state in STATES:
        add_trial(record, state, [0.5])
    assert num_trials(record, Asking(file_now), given=given_now) == expected


def test_a_study_is_finished_when_all_its_trials_have_ended(tmp_path):
    record = new_record(tmp_path, trials=2)
    add_trial(record, "complete", [0.5])
    assert not is_finished(record)
    number = add_trial(record, "running", [0.5])
    assert not is_finished(record)
    record.end(number, "stopped", values=[0.5])
    assert is_finished(record)


def test_another_dataset_is_refused(tmp_path):
    record = new_record(tmp_path)
    check_data(record, {"dataset": "d1", "split": "s1"})
    with pytest.raises(ResumeError, match=r"began with another dataset: digest d1 then, d2 now$"):
        check_data(record, {"dataset": "d2", "split": "s1"})
