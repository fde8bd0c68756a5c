"""Which study goes on, to how many trials, and what may have changed meanwhile."""

import pytest
from small_study import add_trial, ended, new_record, study_header

from mgc.words.errors import ConfigError
from search.record.files import JOURNAL
from search.record.header import new_header
from search.record.notes import OPEN
from search.record.record import Record
from search.record.studies import (
    ResumeError,
    check_data,
    check_space,
    folder_to_resume,
    folder_to_start,
    is_finished,
    num_trials,
    sampler_of,
)
from search.space.space import Space

ODD = [
    "",
    "..",
    ".hidden",
    "../x",
    "/x",
    "a/b",
    "a\nb",
    "it's",
    'a"b',
    "a`b",
    "$x",
    "-x",
    " x",
    "x ",
    "x" * 101,
    "\udcff",
]
STATES = ("complete", "stopped", "failed", "complete")


def finished(out, name, created):
    record = new_record(out, name, created=created)
    for state in STATES:
        add_trial(record, state, None if state == "failed" else [0.5])
    record.note(OPEN, False)
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


def test_a_study_whose_driver_left_before_its_report_goes_on(tmp_path):
    finished(tmp_path, "se_ratio-001", created="2026-01-01T00:00:00+00:00").note(OPEN, True)
    finished(tmp_path, "se_ratio-002", created="2026-01-02T00:00:00+00:00")
    assert folder_to_resume(tmp_path, "se_ratio", None) == tmp_path / "se_ratio-001"


def test_with_nothing_to_resume_a_study_begins(tmp_path):
    assert folder_to_resume(tmp_path, "se_ratio", None) == tmp_path / "se_ratio-001"
    assert folder_to_resume(tmp_path, "se_ratio", "mine") == tmp_path / "mine"


@pytest.mark.parametrize("name", ODD)
def test_a_name_that_would_need_quotes_or_leave_the_folder_begins_no_study(tmp_path, name):
    for folder in (folder_to_start, folder_to_resume):
        with pytest.raises(ConfigError, match=r"^the name of a study has 1 to 100 letters, .* got ") as caught:
            folder(tmp_path, "se_ratio", name)
        assert str(caught.value).endswith(repr(name))
    assert list(tmp_path.iterdir()) == []


def test_a_study_may_be_called_after_any_space_file_that_needs_no_quotes(tmp_path):
    for space in ("a[1]", "my space", "r=2,lr (new)", "\u00e4"):
        assert folder_to_start(tmp_path, space, None) == tmp_path / f"{space}-001"
        new_record(tmp_path, f"{space}-001", space=space)
        assert folder_to_start(tmp_path, space, None) == tmp_path / f"{space}-002"
        assert folder_to_resume(tmp_path, space, None) == tmp_path / f"{space}-001"
    with pytest.raises(ConfigError, match='got "it\'s-001"'):
        folder_to_start(tmp_path, "it's", None)


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
    assert Record.create(folder, study_header()).trials() == []


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
    assert num_trials(record, Asking(file_now), trials_given=given_now) == expected


def test_a_study_is_finished_when_all_its_trials_have_ended(tmp_path):
    record = new_record(tmp_path, trials=2)
    add_trial(record, "complete", [0.5])
    assert not is_finished(record)
    number = add_trial(record, "running", [0.5])
    assert not is_finished(record)
    record.end(number, ended("stopped"), values=[0.5])
    assert is_finished(record)


def test_another_dataset_is_refused(tmp_path):
    record = new_record(tmp_path)
    check_data(record, {"dataset": "d1", "split": "s1"})
    with pytest.raises(ResumeError, match=r"began with another dataset: digest d1 then, d2 now$"):
        check_data(record, {"dataset": "d2", "split": "s1"})


@pytest.mark.parametrize(
    ("file_then", "header", "file_now", "expected"),
    [
        ("tpe", None, "tpe", None),  # an earlier version's study goes on as it began
        ("tpe", None, "auto", None),
        ("tpe", None, "rung_gp", "rung_gp"),  # somebody asks for another one
        ("auto", "rung_gp", "auto", "rung_gp"),
        ("auto", "rung_gp", "tpe", "tpe"),
        ("auto", "tpe", "auto", "tpe"),
        ("tpe", "tpe", "auto", "tpe"),
        ("random", "tpe", "random", "random"),  # and once more
    ],
)
def test_a_study_keeps_its_sampler_unless_the_file_names_another(tmp_path, file_then, header, file_now, expected):
    def space(sampler):
        (tmp_path / "s.yaml").write_text(
            f"params: {{model: se_cnn, r: {{uniform: [2, 64]}}}}\nsearch: {{sampler: {sampler}}}\n"
        )
        return Space.load(tmp_path / "s.yaml")

    began = new_header(space(file_then), "s-001").amended(sampler=header)
    record = Record.create(tmp_path / "s-001", began)
    assert sampler_of(record, space(file_now)) == expected
    changes = [f"search.sampler: {file_then} -> {file_now}"] if file_now not in (file_then, "auto") else []
    assert check_space(record, space(file_now)) == changes


def test_a_new_study_notes_which_sampler_auto_is(tmp_path):
    (tmp_path / "s.yaml").write_text("params: {model: se_cnn, r: {uniform: [2, 64]}}\n")
    assert new_header(Space.load(tmp_path / "s.yaml"), "s-001").sampler == "rung_gp"


SPACE = """
data: {{dataset: synthetic, split: artist}}
params: {{model: se_cnn, r: {r}, optimizer: {optimizer}}}
search: {{sampler: {sampler}, seed: {seed}}}
"""
BEGUN = {"r": "{uniform: [2, 64]}", "optimizer": "{choice: [adam, sgd]}", "sampler": "tpe", "seed": "0"}


def space_with(tmp_path, **changes):
    path = tmp_path / "x.yaml"
    path.write_text(SPACE.format(**{**BEGUN, **changes}))
    return Space.load(path)


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"r": "{uniform: [4, 32]}"}, None),
        ({"sampler": "random"}, None),
        ({"r": "{uniform: [4, 32]}", "sampler": "qmc"}, None),
        ({"r": "{loguniform: [2, 64]}"}, "params.r: "),
        ({"r": "16"}, "params.r: "),
        ({"optimizer": "{choice: [adam, adamw]}"}, "params.optimizer: "),
        ({"seed": "1", "sampler": "random"}, "search.seed: 0 -> 1"),
    ],
)
def test_a_numeric_range_and_the_sampler_may_change_and_nothing_else(tmp_path, changes, refused):
    record = new_record(tmp_path, canonical=space_with(tmp_path).canonical())
    space = space_with(tmp_path, **changes)
    if refused is None:
        assert len(check_space(record, space)) == len(changes)
        return
    with pytest.raises(ResumeError) as error:
        check_space(record, space)
    start = "study se_ratio-001 cannot go on with this space, whose trials could not be compared with those so far: "
    assert str(error.value).startswith(start + refused) and "\n" not in str(error.value)
