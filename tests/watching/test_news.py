"""What a watched page is told: everything once, and then what is new alone."""

import pytest
from invented_study import add_invented, invented
from small_study import add_epoch, add_trial, ended, new_record

from search.record.header import StudyHeader
from search.record.journal import RecordError, locked
from search.report.data import page_data
from search.watching.news import News
from search.watching.pages import best_so_far, compared


@pytest.fixture
def record(tmp_path):
    return new_record(tmp_path, rungs=[1])


def numbers(news):
    return [trial["number"] for trial in news.get("trials", ())]


def test_the_first_look_is_the_whole_study(tmp_path):
    record = invented(tmp_path, trials=6, epochs=3)
    first = News(record.folder).since(0)
    whole = page_data(record)
    assert first["trials"] == whole["trials"]
    assert whole["study"].items() <= first["study"].items()


def test_later_looks_are_of_new_and_changed_trials_alone(record):
    for r in (8.0, 16.0):
        add_trial(record, scores=[0.5], r=r)
    news = News(record.folder)
    first = news.since(0)
    assert numbers(first) == [0, 1]
    assert news.since(first["version"]) == {"version": first["version"]}
    add_epoch(record, 1, 2, 0.6)
    second = news.since(first["version"])
    assert numbers(second) == [1] and second["trials"][0]["curve"] == [0.5, 0.6]
    record.end(0, ended("stopped", "ASHA after epoch 1"))
    add_trial(record, r=4.0)
    assert numbers(news.since(second["version"])) == [0, 2]
    assert numbers(news.since(first["version"])) == [0, 1, 2], "a reader who was away gets all that he missed"


def test_a_page_that_outlives_its_server_gets_all_from_the_next(record):
    add_trial(record, scores=[0.5])
    before = News(record.folder).since(0)["version"]
    add_epoch(record, 0, 2, 0.6)
    assert numbers(News(record.folder).since(before)) == [0]


def test_the_words_at_the_top_follow_the_study(record):
    news = News(record.folder)
    first = news.since(0)
    assert first["study"]["state"] == "interrupted" and "0 of 4 trials have begun (none)" in first["study"]["about"]
    with locked(record.folder):
        add_trial(record, "complete", [0.7], r=31.0)
        record.amend(split="by track")
        second = news.since(first["version"])["study"]
    assert second["state"] == "running" and "split by track" in second["about"]
    assert second["answer"].startswith("The best of 1 trials is r = 31 (trial 0): val_accuracy 0.700 ")


def test_half_a_line_at_the_end_of_the_record_is_not_read_yet(record):
    add_trial(record, scores=[0.5])
    news = News(record.folder)
    version = news.since(0)["version"]
    journal = record.folder / "record.log"
    whole = journal.read_bytes()
    add_epoch(record, 0, 2, 0.6)
    line = journal.read_bytes().removeprefix(whole)
    journal.write_bytes(whole + line[: len(line) // 3])
    second = news.since(version)
    assert numbers(second) == []
    journal.write_bytes(whole + line)
    assert news.since(second["version"])["trials"][0]["curve"] == [0.5, 0.6]


def test_there_is_no_news_of_no_study(tmp_path):
    with pytest.raises(RecordError, match="no study here"):
        News(tmp_path / "none")


def test_the_best_so_far_is_counted_in_trials_and_in_seconds(record):
    for state, score in (("stopped", 0.9), ("complete", 0.5), ("complete", 0.4), ("complete", 0.6), ("failed", None)):
        add_trial(record, state, score and [score], reason="out of memory" if state == "failed" else None)
    steps = list(best_so_far(record.trials(), record))
    assert [(count, score) for count, _, score in steps] == [(2, 0.5), (4, 0.6), (5, 0.6)]
    assert [seconds for _, seconds, _ in steps] == sorted(seconds for _, seconds, _ in steps)


def test_a_study_without_a_best_stands_beside_others(record):
    beside = compared(record)
    assert (beside["best"], beside["params"], beside["steps"]) == ("", {}, [])


def test_the_header_is_the_studys(tmp_path):
    record = invented(tmp_path, trials=1, epochs=3)
    add_invented(record, 1, end=False)
    assert isinstance(record.header, StudyHeader)
    assert News(record.folder).since(0)["study"]["is_open"] is True
