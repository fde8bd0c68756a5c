"""Numbers, params and times as people read them."""

import math

import pytest

from search.words import brief, duration, named, number, numbered, pairs


def test_a_param_is_shown_as_it_would_be_written():
    texts = [brief(value) for value in (31.4283, 1e-4, 32, [32, 64], None, "adam")]
    assert texts == ["31.43", "0.0001", "32", "[32, 64]", "null", "adam"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (701_584, "701,584"),
        (500000.0, "500,000"),
        (0.00123456, "0.001235"),
        (0, "0"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
    ],
)
def test_every_number_has_a_text(value, text):
    assert number(value) == text


def test_a_config_is_named_by_the_first_of_many_params():
    many = dict.fromkeys("abcdef", 1)
    assert named({"r": 31.4283}) == pairs({"r": 31.4283}) == "r = 31.43"
    assert (named({}), pairs({})) == ("the only config", "")
    assert named(many) == "a = 1, b = 1, c = 1 and 3 more params"
    assert named(many, None) == pairs(many)


def test_trials_are_named_by_the_first_of_many_numbers():
    texts = [numbered(numbers) for numbers in ([3], [3, 5], [1, 2, 3, 4, 5])]
    assert texts == ["trial 3", "trials 3, 5", "trials 1, 2, 3 and 2 more"]


def test_a_time_has_the_unit_of_its_size():
    seconds = (0, 0.02, 0.3, 3, 89.4, 90, 3560, 3600, 4000, 7200, 36_000, 172_800, 180_000)
    texts = ["0 s", "under 0.1 s", "0.3 s", "3 s", "89 s", "2 min", "59 min", "1 h", "1 h 7 min", "2 h", "10 h",
             "2 days", "2 days 2 h"]  # fmt: skip
    assert [duration(each) for each in seconds] == texts
