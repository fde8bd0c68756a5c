"""A param's way into MLflow and back: what stands there is what the space file would say."""

import dataclasses
import json

from hypothesis import given
from hypothesis import strategies as st

from search.record.trial import TrialRecord
from search.space.domains import Choice, Float, Int
from search.tracking.projection import params

plain = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**9), 10**9), st.floats(allow_nan=False, allow_infinity=False)
)
values = st.one_of(plain, st.lists(st.integers(0, 512), min_size=1, max_size=6))
bounds = st.tuples(st.floats(1e-6, 1e3), st.floats(1e-6, 1e3)).filter(lambda pair: pair[0] < pair[1])


def hashable(value):
    """By this a list of choices names each once: Python takes 1, 1.0 and True for the same."""
    return tuple(value) if isinstance(value, list) else value


def shown(value):
    """What MLflow shows of a trial whose param `x` has this value."""
    fields = {field.name: None for field in dataclasses.fields(TrialRecord)}
    return params(TrialRecord(**{**fields, "params": {"x": value}, "seed": 0}))["x"]


@given(bounds, st.booleans(), st.randoms())
def test_a_real_number_comes_back_as_the_same_float(pair, log, rng):
    value = Float(*pair, log=log).sample(rng)
    assert float(shown(value)) == value


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.booleans(), st.randoms())
def test_an_integer_comes_back(low, more, log, rng):
    value = Int(low, low + more, log=log).sample(rng)
    assert shown(value) == str(value)


@given(st.lists(values, min_size=1, max_size=5, unique_by=hashable))
def test_every_choice_comes_back_with_its_type(listed):
    for value in Choice(tuple(listed)).values:
        read = json.loads(shown(value))
        assert (type(read), read) == (type(value), value)  # True and 1 are equal, and not the same choice


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz_", min_size=1))
def test_a_name_stands_there_as_it_is(name):
    assert shown(name) == name
