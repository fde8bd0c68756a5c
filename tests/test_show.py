"""`python -m search.show`: what became of one trial, in words."""

import pytest
from small_study import add_trial, new_record

from search.show import main


@pytest.fixture
def out(tmp_path):
    record = new_record(tmp_path, "a-001")
    add_trial(record, "complete", [0.25, 0.5, 0.75], r=16.0)
    add_trial(record, "stopped", [0.25], r=2.0, reason="ASHA after epoch 1")
    add_trial(record, "failed", r=4.0, reason="loss is not finite")
    add_trial(record, "running", [0.5], r=15.9)
    record.pause(3)
    return tmp_path


def shown(capsys, *words):
    status = main(words)
    return status, *map(str.splitlines, capsys.readouterr())


def test_a_trial_is_shown_with_its_params_its_epochs_and_how_to_train_it_again(out, capsys):
    status, lines, _ = shown(capsys, "a-001/0", "--out", str(out))
    assert status == 0
    assert lines[:6] == [
        "trial 0 of a-001: complete",
        "dataset synthetic, split artist, compared by val_accuracy",
        "val_accuracy 0.750 after epoch 3 of 3",
        "params: {model: se_cnn, r: 16.0, seed: 0}",
        "what varies: r",
        "network net-8, as trial 3",
    ]
    assert f"to train it again: python -m search.run --rerun a-001/0 --out {out}" in lines
    table = [line.split() for line in lines if line.startswith((" 1 ", " 2 ", " 3 "))]
    assert table == [
        ["1", "0.250", "1.000", "1.000"],
        ["2", "0.500", "0.500", "1.000"],
        ["3", "0.750", "0.333", "1.000"],
    ]


@pytest.mark.parametrize(
    ("trial", "line"),
    [
        (1, "trial 1 of a-001: stopped: ASHA after epoch 1"),
        (2, "trial 2 of a-001: failed: loss is not finite"),
        (3, "trial 3 of a-001: paused: it waits after epoch 1 until the scheduler promotes it"),
    ],
)
def test_the_first_line_says_why_a_trial_is_in_its_state(out, capsys, trial, line):
    assert shown(capsys, f"a-001/{trial}", "--out", str(out))[1][0] == line


def test_a_trial_without_an_epoch_cannot_be_trained_again(out, capsys):
    _, lines, _ = shown(capsys, "a-001/2", "--out", str(out))
    assert "no score after epoch 0 of 3" in lines
    assert not [line for line in lines if "--rerun" in line]


def test_a_study_is_shown_as_its_answer_and_a_line_for_each_trial(out, capsys):
    _, lines, _ = shown(capsys, "a-001", "--out", str(out))
    assert lines[0].startswith(
        "The best of 4 trials is r = 16 (trial 0): val_accuracy 0.750 on synthetic, split artist"
    )
    assert [line.split("  ")[:2] for line in lines[1:]] == [
        ["trial 0", "complete"], ["trial 1", "stopped"], ["trial 2", "failed"], ["trial 3", "paused"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("which", "line"),
    [
        ("a-001/4", "error: no trial 4 in a-001 (it has 4, from 0 on)"),
        ("a-001/best", "error: must be STUDY/TRIAL, with the trial's number, got 'a-001/best'"),
    ],
)
def test_a_trial_that_there_is_not_is_a_line(out, capsys, which, line):
    assert shown(capsys, which, "--out", str(out)) == (2, [], [line])
