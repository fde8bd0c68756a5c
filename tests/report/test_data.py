"""The study as the page's script gets it: each trial by itself, rounded, exact where it is copied, harmless as HTML."""

import json
import re
from dataclasses import replace

import pytest
from invented_study import invented
from small_study import add_epoch, add_trial, new_record

from search.record.record import Record
from search.report import data, page
from search.report.data import page_data
from search.report.page import in_script
from search.report.timeline import stretches
from search.space.document import read_file

HOSTILE = '</script><script>alert(1)</script>"\u202eright to left'


@pytest.fixture
def record(tmp_path):
    return new_record(tmp_path, rungs=[1])


def config_of(data, number):
    """A trial's config as the script puts it together: the lines of trial 0, and those in which the trial differs."""
    trial = data["trials"][number]
    base = {name: line for name, line in data["study"]["base"].items() if name not in trial["without"]}
    return "\n".join(["params:", *(f"  {line}" for line in (base | trial["lines"]).values())])


def test_every_config_can_be_copied_into_a_space_file(tmp_path, record):
    for params in (
        {"lr": 1e-5, "channels": [32, 64]},
        {"lr": 0.1234567890123456, "label": "1e3"},
        {"on": True, "no": None},
    ):
        add_trial(record, "complete", [0.5], params=params, r=31.428371239)
    made = page_data(record)
    for number in range(3):
        (tmp_path / "copied.yaml").write_text(config_of(made, number))
        assert read_file(tmp_path / "copied.yaml").values == {"params": dict(record.trial(number).params)}


def test_a_trial_is_told_by_itself_so_that_news_of_it_replace_it(record):
    number = add_trial(record, scores=[0.5])
    before = page_data(record)
    add_epoch(record, number, 2, float("nan"))
    add_epoch(record, number, 3, 0.712345678)
    after = page_data(Record.open(record.folder))["trials"][number]
    assert (before["trials"][number]["curve"], after["curve"]) == ([0.5], [0.5, None, 0.71235])
    assert (after["state"], after["epochs"], after["scores"], after["values"]) == ("running", 3, [0.71235], {"r": 16})


def test_params_have_the_order_and_the_scale_of_the_space(tmp_path):
    params = page_data(invented(tmp_path, trials=12, epochs=3))["study"]["params"]
    assert params == [
        {"name": "lr", "log": True},
        {"name": "r", "log": False},
        {"name": "optimizer", "labels": ["adam", "sgd", "adamw"]},
        {"name": "channels", "labels": ["[16, 32]", "[32, 64, 128]", "[8, 8]"]},
    ]


def test_the_command_is_cut_where_a_trials_number_stands(tmp_path):
    record = new_record(tmp_path / "my runs", "r-001")
    before, after = page_data(record)["study"]["command"]
    assert f"{before}7{after}" == f"python -m search.run --rerun r-001/7 --out '{tmp_path}/my runs'"


def test_names_of_any_kind_stay_text(record):
    add_trial(record, "failed", [0.5], params={"label": HOSTILE, "long": "x" * 10_000}, reason=HOSTILE)
    text = in_script(page_data(record))
    assert "<" not in text
    assert json.loads(text)["trials"][0]["reason"] == HOSTILE


def test_of_too_many_epochs_an_even_sample_of_the_curves_is_kept(tmp_path, monkeypatch):
    record = invented(tmp_path, trials=30, epochs=3)
    num_epochs = sum(len(trial.epochs) for trial in record.trials())
    monkeypatch.setattr(data, "MOST_EPOCHS", num_epochs // 3)
    with_curve = [trial["number"] for trial in page_data(record)["trials"] if "curve" in trial]
    assert with_curve == list(range(0, 30, 3))


@pytest.mark.parametrize(
    ("promoted", "ended", "expected"),
    [
        ((), 20.0, [(0.0, 20.0)]),
        ((), None, [(0.0, 30.0)]),
        ((1,), 20.0, [(0.0, 1.0), (18.0, 20.0)]),
        ((1, 2), 21.0, [(0.0, 1.0), (10.0, 11.0), (20.0, 21.0)]),
        ((1,), None, [(0.0, 1.0), (28.0, 30.0)]),
    ],
)
def test_a_trial_is_trained_from_its_start_to_its_pauses_and_its_end(record, promoted, ended, expected):
    number = add_trial(record, scores=[0.5, 0.6, 0.7])
    trial = replace(record.trial(number), started=0.0, ended=ended, promotions=dict.fromkeys(promoted, 0))
    assert stretches(trial, 30.0) == expected
    assert stretches(replace(trial, reuse=1), 30.0) == []


def test_a_paused_trial_waits_since_its_last_epoch(record):
    number = add_trial(record, scores=[0.5, 0.6])
    trial = replace(record.trial(number), started=0.0, state="paused")
    assert stretches(trial, 30.0) == [(0.0, 2.0)]
    assert stretches(replace(trial, promotions={1: 0}), 30.0) == [(0.0, 1.0), (15.0, 16.0)]


def test_the_page_names_no_chart_that_the_script_does_not_draw():
    source = (page.HERE / "search_sections.py").read_text()
    named = set(re.findall(r'"(\w+)"', " ".join(re.findall(r"charts=\(([^)]*)\)", source))))
    drawn = set(re.findall(r"^  (\w+): \(host\)", (page.HERE / "script" / "start.js").read_text(), re.M))
    assert named == drawn
