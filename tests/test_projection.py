"""A param's way into MLflow and back: what stands there is what the space file would say."""

import dataclasses
import json

from hypothesis import given
from hypothesis import strategies as st

from search.domains import Choice, Float, Int, label
from search.projection import params
from search.record import TrialRecord

plain = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**9), 10**9), st.floats(allow_nan=False, allow_infinity=False)
)
values = st.one_of(plain, st.lists(st.integers(0, 512), min_size=1, max_size=6))
bounds = st.tuples(st.floats(1e-6, 1e3), st.floats(1e-6, 1e3)).filter(lambda pair: pair[0] < pair[1])


def told(**chosen):
    """The params that MLflow is told for a trial that was given these."""
    fields = {field.name: None for field in dataclasses.fields(TrialRecord)}
    return params(TrialRecord(**{**fields, "params": chosen, "seed": 0}))


@given(bounds, st.booleans(), st.randoms())
def test_a_real_number_comes_back_as_the_same_float(pair, log, rng):
    value = Float(*pair, log=log).sample(rng)
    assert float(told(x=value)["x"]) == value


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.booleans(), st.randoms())
def test_an_integer_comes_back(low, more, log, rng):
    value = Int(low, low + more, log=log).sample(rng)
    assert json.loads(told(x=value)["x"]) == value


@given(st.lists(values, min_size=1, max_size=5, unique_by=label), st.randoms())
def test_a_choice_comes_back_lists_and_nothing_included(listed, rng):
    try:
        value = Choice(tuple(listed)).sample(rng)
    except ValueError:  # 1, 1.0 and True are the same choice
        return
    assert json.loads(told(x=value)["x"]) == value


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz_", min_size=1))
def test_a_name_stands_there_as_it_is(name):
    assert told(x=name)["x"] == name
