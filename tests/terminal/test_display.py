"""What somebody sees of a study, on a terminal and in a file, looked at as text."""

import io
import re

import pytest
from rich.console import Console
from small_study import add_epoch, add_trial, ended, new_record

from search.record.notes import RUNS_PAGE
from search.record.trial import Proposal
from search.space.document import read_file
from search.terminal.display import Display, EpochClock, Pace, epochs_left, show_summary
from search.terminal.tables import headline, live_groups, live_view
from search.words import pairs


@pytest.fixture
def record(tmp_path):
    return new_record(tmp_path, trials=8)


def plain(width=200):
    """A console that is a file."""
    return Console(file=io.StringIO(), width=width)


def terminal(width=100, height=24):
    return Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system="truecolor")


def text(console):
    return console.file.getvalue()


def shown(record, *, width=100, height=24, left_s=None, **options):
    """The live view as text."""
    console = plain(width)
    size = {"width": width, "height": height}
    console.print(live_view(record.name, record.header, record.trials(), **size, left_s=left_s, **options))
    return text(console)


def told(record, **options):
    """What a display writes to a file while these trials end one after another."""
    console = plain()
    trials = record.trials()
    empty = new_record(record.folder / "empty", trials=8)
    with Display(empty, console=console, **options) as display:
        for count in range(1, len(trials) + 1):
            display.update(trials[:count])
    return text(console).splitlines()


def test_a_file_gets_one_line_for_each_trial_that_ends(record):
    add_trial(record, "complete", [0.4, 0.5, 0.6], r=31.4283)
    add_trial(record, "stopped", [0.5], r=8.0, reason="ASHA after epoch 1")
    add_trial(record, "complete", [0.4, 0.5, 0.7], r=31.9)
    add_trial(record, "failed", [0.2], r=2.0, reason="NaN loss [batch 3]")
    add_trial(record, "failed", r=64.0, reason="out of memory")
    add_trial(record, scores=[0.9], r=4.0)
    assert told(record) == [
        "trial 0  complete  epoch 3/3  val_accuracy 0.600  best  r 31.43",
        "trial 1  stopped  epoch 1/3  val_accuracy 0.500  r 8",
        "trial 2  complete  epoch 3/3  val_accuracy 0.700  best  r 31.9 (network of trial 0)",
        "trial 3  failed  epoch 1/3  val_accuracy 0.200  r 2  NaN loss [batch 3]",
        "trial 4  failed  epoch 0/3  r 64  out of memory",
    ]


def test_quiet_shows_failures_alone(record):
    add_trial(record, "complete", [0.6])
    add_trial(record, "failed", r=2.0, reason="NaN loss")
    assert told(record, quiet=True) == ["trial 1  failed  epoch 0/3  r 2  NaN loss"]
    console = plain()
    Display(record, quiet=True, console=console).line("a remark")
    assert text(console) == ""


def test_a_resumed_study_does_not_tell_its_old_trials_again(record):
    add_trial(record, "complete", [0.6])
    console = plain()
    with Display(record, console=console) as display:
        display.update(record.trials())
        add_trial(record, "stopped", [0.5], r=8.0)
        display.update(record.trials())
    assert text(console).splitlines() == ["trial 1  stopped  epoch 1/3  val_accuracy 0.500  r 8"]


def test_a_file_gets_no_escape_sequence_and_no_broken_line(record):
    add_trial(record, "failed", [0.6], reason="x" * 500)
    console = plain(width=40)
    with Display(new_record(record.folder / "empty"), console=console) as display:
        display.line("y" * 100)
        display.update(record.trials())
    assert "\x1b" not in text(console)
    assert len(text(console).splitlines()) == 2


def test_a_terminal_gets_a_table_that_is_gone_afterwards_and_failures_that_stay(record):
    console = terminal()
    with Display(record, console=console) as display:
        display.line("trials run 2 at a time")
        assert "\x1b[?25l" not in text(console), "the terminal is the earlier work's until trials run"
        add_trial(record, "failed", [0.2], reason="NaN loss")
        display.update(record.trials())
        assert "\x1b[?25l" in text(console)  # the cursor is hidden
    assert "study se_ratio-001: 1 of 8 trials, 1 failed" in text(console)
    assert "NaN loss" in text(console)
    assert text(console).rfind("\x1b[?25h") > text(console).rfind("\x1b[?25l"), "the cursor is back"


def test_the_headline_says_how_the_study_stands(record):
    add_trial(record, "complete", [0.7134], r=31.4283)
    add_trial(record, "stopped", [0.5], r=8.0)
    add_trial(record, "failed", r=2.0)
    add_trial(record, r=4.0)
    line = headline(record.name, record.header, record.trials(), 130, width=200)
    assert line.plain == (
        "study se_ratio-001: 3 of 8 trials, 1 running, 1 stopped, 1 failed, best 0.713 (trial 0, r = 31.43), "
        "about 2 min left"
    )


def test_a_narrow_headline_breaks_at_commas(record):
    line = str(headline(record.name, record.header, record.trials(), 5000, width=40))
    assert len(lines := line.splitlines()) > 1
    assert all(each.endswith(",") for each in lines[:-1]) and lines[-1] == "about 1 h 23 min left"


def test_the_table_marks_the_best_and_names_equal_networks(record):
    add_trial(record, "complete", [0.6], r=31.0)
    add_trial(record, "complete", [0.7], r=32.0)
    add_trial(record, scores=[0.1], r=31.5)
    rows = [" ".join(line.split()) for line in shown(record).splitlines()]
    assert "best 1 1/3 0.700 complete 0, 2 32" in rows
    assert "0 1/3 0.600 complete 1, 2 31" in rows
    assert "2 1/3 0.100 running 0, 1 31.5" in rows


def test_the_table_fits_its_height(record):
    for number in range(60):
        add_trial(record, "complete" if number % 2 else "running", [number / 100], r=1.0 + number)
    lines = shown(record, height=24).splitlines()
    assert len(lines) <= 24
    assert any(line.startswith(" best") and " 59 " in line for line in lines)
    assert any("running" in line for line in lines)


def test_the_newest_ended_trials_fill_what_the_best_and_the_running_leave(record):
    numbers = [add_trial(record, "stopped", [0.1], r=float(r)) for r in range(2, 10)]
    running = add_trial(record, r=32.0)
    groups = live_groups([], record.trials(), rows=4)
    assert [[trial.number for trial in group] for group in groups] == [[], [running], numbers[:-4:-1]]


SHAPES = [[32, 64, 128, 256, 128], [64, 64, 128, 128, 256]]


def searched(tmp_path, *, num_params=12, num_trials=30):
    """A study of many params, with long names, among which the model and the channels."""
    record = new_record(tmp_path, trials=60, metric="val_accuracy_mean3", constraints={"num_weights": {"max": 250_000}})
    for number in range(num_trials):
        names = {f"augmentation_strength_{index}": number / 7 + index for index in range(num_params - 2)}
        varying = {"model": ("se_cnn", "crnn")[number % 2], "channels": SHAPES[number % 2], **names, "unused": 0.5}
        varying |= {"picture": "only here"} if number == 0 else {}
        proposal = Proposal(params=varying, varying=varying, labels={}, distributions={}, seed=0, network=f"n{number}",
                            repeat=0)  # fmt: skip
        trial = record.start(proposal)
        for epoch in range(1, (3 if number % 3 == 0 else 1) + 1):
            record.report(trial, {"epoch": epoch, "val_accuracy_mean3": number / 40, "seconds": 10.0})
        if number < num_trials - 2:
            record.end(trial, ended("complete" if number % 3 == 0 else "stopped"), values=[number / 40])
    return record


@pytest.mark.parametrize(("width", "least"), [(80, 3), (120, 5)])
def test_each_param_has_a_column_as_far_as_the_terminal_is_wide_and_the_best_has_all(tmp_path, width, least):
    record = searched(tmp_path)
    lines = shown(record, width=width).splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= width
    rule = next(number for number, line in enumerate(lines) if "\u2500" in line)
    titles = " ".join(lines[rule - 3 : rule])
    assert all(name in titles for name in ("epoch", "state", "model", "channels"))
    assert len(re.findall(r"strength_|model|channels", titles)) >= least
    assert "same" not in titles and "picture" not in titles  # columns without content
    assert any("[64 .. 256]" in line for line in lines)
    whole = " ".join(" ".join(lines).split())
    assert f"trial 27: {pairs(record.trial(27).varying)}" in whole


def test_complete_trials_stand_before_stopped_ones(tmp_path):
    record = searched(tmp_path)
    rows = [line for line in shown(record, width=120, height=30).splitlines() if re.search(r"\d/3 ", line)]
    states = [next(state for state in ("running", "complete", "stopped") if state in row) for row in rows]
    assert states == [*["complete"] * 3, *["running"] * 2, *["complete"] * 7, *["stopped"] * (len(rows) - 12)]
    assert len(rows) > 12


@pytest.mark.parametrize("height", range(6, 30))
def test_no_frame_is_higher_than_the_terminal_so_that_none_leaves_torn_lines_behind(tmp_path, height):
    record = searched(tmp_path)
    assert len(shown(record, width=60, height=height).splitlines()) <= height


def test_the_table_moves_inside_an_epoch(record):
    number = add_trial(record, r=4.0)
    clock = iter([100.0, 112.4, 200.0, 200.4, 209.0])
    epochs = EpochClock(now=lambda: next(clock))
    assert epochs.texts(record.trials()) == {number: "0 s"}
    assert epochs.texts(record.trials()) == {number: "12 s"}  # nobody knows how long an epoch takes
    add_epoch(record, number, 1, 0.2)  # it took a second
    assert epochs.texts(record.trials()) == {number: "0%"}
    assert epochs.texts(record.trials()) == {number: "40%"}
    assert epochs.texts(record.trials()) == {number: "9 s"}  # longer than the last
    assert "running 40%" in shown(record, running={number: "40%"})


def test_labels_in_brackets_are_no_markup(record):
    add_trial(record, "complete", [0.6], r=31.0)
    trial = record.trials()[0]
    object.__setattr__(trial, "varying", {"channels": [32, 64], "label": "[red]"})
    console = plain()
    console.print(live_view(record.name, record.header, [trial], width=200, height=24, left_s=None))
    assert "[32, 64]" in text(console)
    assert "[red]" in text(console)


def test_epochs_left_without_early_stopping_are_those_of_full_budgets(record):
    add_trial(record, scores=[0.1])
    assert epochs_left(record.trials(), total=4, max_epochs=9) == 8 + 3 * 9


def test_epochs_left_follow_what_asha_has_needed(record):
    add_trial(record, "stopped", [0.1])
    add_trial(record, "complete", [0.1] * 3)
    add_trial(record, scores=[0.1])
    # At epoch 1 the running one has passed where the first was stopped: 2 to go; a new one needs 2 on average.
    assert epochs_left(record.trials(), total=5, max_epochs=3) == 2 + 2 * 2


def test_the_pace_counts_what_this_driver_did(record):
    number = add_trial(record, scores=[0.1])
    clock = iter([100.0, 104.0])
    pace = Pace(record.trials(), now=lambda: next(clock))
    pace.start()
    assert pace.left_s(record.trials(), total=1, max_epochs=3) is None
    add_epoch(record, number, 2, 0.2)
    assert pace.left_s(record.trials(), total=1, max_epochs=3) == 4.0  # one epoch in 4 s, one to go


def summary(record, **options):
    console = plain(120)
    given = {"seconds": 190.0, "tracking": "sqlite:///runs/mlflow.db", "following": "python -m search.report X"}
    show_summary(record, **{**given, **options}, console=console)
    return text(console)


def test_the_summary_gives_result_networks_places_and_what_to_type(record):
    add_trial(record, "complete", [0.6], r=31.0)
    add_trial(record, "complete", [0.7], r=32.0)
    add_trial(record, "complete", [0.65], r=8.0)
    add_trial(record, "stopped", [0.5], r=2.0)
    for r in (2.5, 2.6):
        add_trial(record, "failed", r=r, reason="NaN loss")
    lines = [" ".join(line.split()) for line in summary(record, unsent=2).splitlines()]
    assert "study se_ratio-001: 6 trials (3 complete, 1 stopped, 2 failed) in 3 min" in lines
    assert "dataset synthetic, split artist, compared by val_accuracy" in lines
    assert "caution: synthetic music: no result about real genres" in lines
    assert "best val_accuracy 0.7000 (trial 1, r = 32)" in lines
    rows = [line for line in lines if re.match(r"0\.\d", line)]
    assert rows == ["0.700 0.650 0.600, 0.700 2 0, 1 31 to 32", "0.650 0.650 1 2 8"]
    assert "failed: trials 4, 5: NaN loss" in lines
    assert f"results {record.folder}" in lines
    command = f"python -m search.tracking sync {record.name} --out {record.folder.parent}"
    assert f"lacks 2 runs; send them: {command} --tracking-uri sqlite:///runs/mlflow.db" in lines
    assert lines[-1] == "next python -m search.report X"


def test_the_best_params_can_be_copied_from_the_terminal_into_a_space_file(record, tmp_path):
    params = {"channels": [32, 64, 128, 256, 128], "lr": 1e-05, "picture": None, "pools": [[2, 2], [2, 1]]}
    add_trial(record, "complete", [0.6], r=31.428371239, params=params)
    lines = summary(record).splitlines()
    start = lines.index("the params of the best, to copy into a space file:") + 1
    end = lines.index("", start)
    (tmp_path / "copied.yaml").write_text("\n".join(lines[start:end]))
    assert read_file(tmp_path / "copied.yaml").values == {"params": dict(record.trial(0).params)}


@pytest.mark.parametrize(
    ("tracking", "lines"),
    [
        ("http://ml:5000/", ["MLflow http://ml:5000/#/experiments/7/runs?x=y"]),
        (
            "sqlite:///runs/mlflow.db",
            [
                "MLflow python -m search.tracking ui --out OUT",
                "then open http://127.0.0.1:5000/#/experiments/7/runs?x=y",
            ],
        ),
    ],
)
def test_the_summary_names_the_report_and_mlflows_page_of_the_runs(record, tracking, lines):
    add_trial(record, "complete", [0.6])
    record.note(RUNS_PAGE, "#/experiments/7/runs?x=y")
    page = record.folder / "report" / "report.html"
    page.parent.mkdir()
    page.write_text("")
    shown_lines = [" ".join(line.split()) for line in summary(record, tracking=tracking).splitlines()]
    assert f"report {page.as_uri()}" in shown_lines
    assert shown_lines[-1 - len(lines) : -1] == [line.replace("OUT", str(record.folder.parent)) for line in lines]


def test_the_summary_says_how_long_params_were_chosen_and_that_a_first_rung_told_nothing(tmp_path):
    record = new_record(tmp_path, trials=30, rungs=[1])
    for first, last in enumerate((3, 6, 0, 7, 2, 5, 1, 4)):
        number = add_trial(record, scores=[0.3 + first / 100, 0.5, 0.6 + last / 100], r=2.0 + first)
        record.fact(number, "proposal_seconds", 0.25 * first)
        record.end(number, ended("complete"), values=[0.6 + last / 100])
    lines = summary(record).splitlines()
    assert "choosing params took 7 s in all, 2 s at most (trial 7)" in lines
    assert any(line.startswith("the order of trials after epoch 1 says no more than chance about") for line in lines)
    assert "say no more than chance" in " ".join(shown(record, warning="the ranks say no more than chance").split())


def test_a_study_that_was_interrupted_has_no_running_trials_and_leaves_the_next_command_to_its_caller(record):
    add_trial(record, "complete", [0.6])
    add_trial(record, scores=[0.5], r=8.0)
    lines = summary(record, following=None).splitlines()
    assert lines[0] == "study se_ratio-001: 2 trials (1 complete, 1 interrupted) in 3 min"
    assert not [line for line in lines if line.startswith("next")]


def test_the_quiet_summary_is_the_result_alone(record):
    add_trial(record, "complete", [0.7], r=32.0)
    lines = summary(record, quiet=True).splitlines()
    assert lines[-1] == "best val_accuracy 0.7000 (trial 0, r = 32)"
    assert len(lines) == 4


def test_a_leaky_split_and_a_set_that_hides_that_it_is_synthetic_are_red(tmp_path):
    record = new_record(tmp_path, dataset="mine", split="clip (leaky)")
    add_trial(record, "complete", [0.9])
    console = terminal(200)
    show_summary(record, seconds=1, tracking="t", following="f", console=console)
    assert "\x1b[1;31mmine (synthetic)\x1b[0m" in text(console)
    assert "\x1b[1;31mclip (leaky)\x1b[0m" in text(console)
    assert "caution: split clip (leaky): accuracy on tracks known from training" in text(console)


def test_a_study_without_a_result_says_so(record):
    add_trial(record, "complete", [float("nan")])
    add_trial(record, "failed", reason="NaN loss")
    assert "no trial is complete: there is no best one" in summary(record)


def test_progress_goes_to_stderr_and_the_summary_to_stdout(record, capsys):
    with Display(record) as display:
        add_trial(record, "complete", [0.7])
        display.update(record.trials())
    show_summary(record, seconds=1, tracking="t", following="f")
    out, err = capsys.readouterr()
    assert err.splitlines() == ["trial 0  complete  epoch 1/3  val_accuracy 0.700  best  r 16"]
    assert out.startswith("study se_ratio-001: 1 trial (1 complete) in 1 s\n")
    assert "\x1b" not in out + err
