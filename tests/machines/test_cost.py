"""What a study costs: counted over all its starts, by what the nodes cost while they were there."""

from __future__ import annotations

import pytest
from small_study import new_record

from mgc.words.errors import ConfigError
from search.machines.cost import Limits, Meter
from search.record.notes import COST, Cost


class Rates:
    def __init__(self, gpus, usd):
        self.gpus, self.usd = gpus, usd


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.s = 0.0

    def __call__(self):
        return self.s


class Course:
    """A meter of a study whose cluster changes."""

    def __init__(self, record, **limits):
        self.clock, self.said, self.there = Clock(), [], Rates(0, 0.2)
        self.meter = Meter(record, lambda: self.there, Limits(**limits), self.said.append, now=self.clock)

    def after(self, hours, rates):
        """So many hours later the nodes are these."""
        self.there = rates
        self.clock.s += 3600 * hours
        return self.meter()


@pytest.fixture
def record(tmp_path):
    return new_record(tmp_path)


def test_each_hour_costs_what_was_there_when_it_began(record):
    course = Course(record)
    assert not course.after(0.5, Rates(2, 1.2))
    assert not course.after(1.0, Rates(0, 0.2))
    assert not course.after(1.0, Rates(0, 0.2))
    assert course.meter.cost.hours == pytest.approx(2.5)
    assert course.meter.cost.gpu_hours == pytest.approx(2.0)
    assert course.meter.cost.usd == pytest.approx(0.5 * 0.2 + 1.0 * 1.2 + 1.0 * 0.2)


def test_what_was_spent_before_is_gone_on_from(record):
    first = Course(record)
    first.after(1.0, Rates(0, 0.2))
    first.meter.note()
    again = Course(record)
    again.after(1.0, Rates(0, 0.2))
    assert again.meter.cost.usd == pytest.approx(0.4)
    assert Cost(**record.noted(COST)).usd == pytest.approx(0.4)  # noted by itself after half a minute


def test_the_record_is_not_written_at_every_look(record):
    course = Course(record)
    course.after(10 / 3600, Rates(0, 0.2))
    assert record.noted(COST) == {}
    course.after(25 / 3600, Rates(0, 0.2))
    assert record.noted(COST)["hours"] == pytest.approx(35 / 3600)


@pytest.mark.parametrize(
    ("limits", "hours", "said"),
    [
        ({"hours": 1.5}, 1.0, "--max-hours 1.5"),
        ({"usd": 0.3}, 1.0, "--max-cost 0.3"),
        ({"hours": 9.0, "usd": 0.3}, 1.0, "--max-cost 0.3"),
    ],
)
def test_a_limit_ends_the_study_once_it_is_reached_and_says_so_once(record, limits, hours, said):
    course = Course(record, **limits)
    assert not course.after(hours, Rates(0, 0.2))
    assert course.after(hours, Rates(0, 0.2))
    assert course.after(hours, Rates(0, 0.2))
    assert [line.split(";")[0] for line in course.said] == [f"stopping: {said} is reached"]


def test_a_limit_in_dollars_without_prices_is_refused(record):
    with pytest.raises(ConfigError, match=r"^--max-cost needs prices: give node types a label usd-per-hour in the "):
        Meter(record, lambda: Rates(4, None), Limits(usd=5.0), print)


def test_without_prices_gpu_hours_are_told_alone(record):
    course = Course(record)
    course.there = Rates(4, None)
    course.meter = Meter(record, lambda: Rates(4, None), Limits(), print, now=course.clock)
    course.after(0.5, Rates(4, None))
    assert str(course.meter.cost) == "2.00 GPU hours"


def test_a_study_on_this_machine_alone_costs_nothing_that_is_told(record):
    assert str(Cost(**record.noted(COST))) == ""
