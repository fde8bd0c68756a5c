"""What is sent first, what is sent again, and what is still lacking at the end."""

import threading
from pathlib import Path

import pytest

from search.tracking import outbox as module
from search.tracking.backend import STUDY
from search.tracking.outbox import Item, Outbox

FILE = Item(4, Path("weights"), "best")


def drained(outbox):
    """All items in the order in which they are handed out, each of them sent."""
    items = []
    while (item := outbox.take()) is not None:
        items.append(item)
        outbox.done(item)
    return items


def outbox_with(*numbers, files=(), study_was_described=False):
    outbox = Outbox()
    if study_was_described:
        outbox.mark([STUDY])
        outbox.done(outbox.take())
    outbox.mark(numbers)
    for file in files:
        outbox.add(file)
    return outbox


def test_a_description_that_is_due_comes_first_then_trials_in_the_order_of_their_change_then_files():
    outbox = outbox_with(4, 2, STUDY, 4, files=[FILE])
    items = [outbox.take() for _ in range(4)]
    assert items == [Item(STUDY), Item(4), Item(2), FILE]


def test_a_description_that_is_not_due_waits_behind_trials_and_files():
    outbox = outbox_with(STUDY, 2, files=[FILE], study_was_described=True)
    assert [outbox.take(), outbox.take()] == [Item(2), FILE]


def test_a_description_is_handed_out_as_soon_as_it_is_due(monkeypatch):
    monkeypatch.setattr(module, "DESCRIBE_EVERY_S", 0.05)
    outbox = outbox_with(STUDY, study_was_described=True)
    assert outbox.take() == Item(STUDY)


def test_at_the_end_the_study_comes_after_the_trials_though_its_description_is_due():
    outbox = outbox_with(STUDY, 3, files=[FILE])
    outbox.close([5, STUDY])
    assert drained(outbox) == [Item(3), Item(5), Item(STUDY), FILE]


def test_a_run_that_changes_while_it_is_sent_is_sent_again():
    outbox = outbox_with(1)
    item = outbox.take()
    outbox.mark([1])
    outbox.done(item)
    assert outbox.take() == Item(1)


def test_a_run_that_failed_keeps_no_other_run_back():
    outbox = outbox_with(1, 2)
    outbox.put_back(outbox.take())
    outbox.close([])
    assert drained(outbox) == [Item(2), Item(1)]


def test_a_file_that_failed_keeps_no_other_file_back():
    other = Item(5, Path("report.html"))
    outbox = outbox_with(files=[FILE, other])
    outbox.put_back(outbox.take())
    outbox.close([])
    assert drained(outbox) == [other, FILE]


def test_take_waits_for_an_item_and_ends_when_there_is_none_and_none_can_come():
    outbox, items = Outbox(), []
    taker = threading.Thread(target=lambda: items.extend(drained(outbox)), daemon=True)
    taker.start()
    taker.join(0.05)
    assert taker.is_alive()
    outbox.mark([7])
    outbox.close([])
    taker.join(5)
    assert not taker.is_alive() and items == [Item(7)]


def test_what_is_lacking_counts_runs_files_what_was_refused_and_what_was_not_finished():
    outbox = outbox_with(1, 2, 3, STUDY, files=[FILE])
    outbox.close([])
    outbox.done(outbox.take())
    outbox.refuse(outbox.take())
    outbox.take()
    assert outbox.abandon() == {2, 3, STUDY, 4}
    assert outbox.take() is None


def test_what_was_refused_and_is_accepted_later_is_not_lacking():
    outbox = outbox_with(1)
    outbox.refuse(outbox.take())
    outbox.mark([1])
    outbox.done(outbox.take())
    assert outbox.abandon() == set()


@pytest.mark.parametrize(
    "happens",
    [
        lambda outbox: outbox.mark([1]),
        lambda outbox: outbox.add(FILE),
        lambda outbox: outbox.close([]),
    ],
    ids=["a trial's second change", "a file", "the end"],
)
def test_a_result_a_file_or_the_end_ends_the_wait_for_a_result(happens):
    outbox = outbox_with(1, STUDY, STUDY)
    waiter = threading.Thread(target=outbox.wait_for_result, args=[30.0], daemon=True)
    waiter.start()
    waiter.join(0.05)
    assert waiter.is_alive()  # a trial that began and a study that changed twice are no result
    happens(outbox)
    waiter.join(5)
    assert not waiter.is_alive()


def test_the_end_cuts_a_pause_short():
    outbox = Outbox()
    pausing = threading.Thread(target=outbox.pause, args=[30.0], daemon=True)
    pausing.start()
    outbox.mark([1])
    pausing.join(0.05)
    assert pausing.is_alive()
    outbox.close([])
    pausing.join(5)
    assert not pausing.is_alive()
