"""Samplers of plug-ins: what they propose, and the line that answers one that cannot."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest
from plugin_files import page_block, refused, written
from small_study import ended, new_record

from mgc.plugins import use_files
from mgc.plugins.loading import use
from mgc.plugins.plugin import PluginError
from search.record.journal import locked
from search.record.plugins import needed_by
from search.record.record import Record
from search.sampler.sampler import Sampler
from search.space.document import SpaceError
from search.space.schema import space_schema
from search.space.space import Space

SAMPLER = '''\
from optuna.samplers import RandomSampler

from mgc.plugins import sampler


class Climb(RandomSampler):
    def sample_independent(self, study, trial, name, distribution):
        if not any(each.value is not None for each in study.trials):
            return super().sample_independent(study, trial, name, distribution)
        return min(study.best_params[name] + 1, distribution.high)


@sampler("early")
def early(space, seed):
    """one more than the best so far"""
    assert list(space.varying) == ["r"]
    return Climb(seed=seed)
'''
SPACE = """\
params: {model: se_cnn, r: {uniform: [2, 64]}}
search: {sampler: early, trials: 20}
"""
WRONG = """\
from optuna.samplers import RandomSampler

from mgc.plugins import sampler


class Beyond(RandomSampler):
    def sample_independent(self, study, trial, name, distribution):
        return 2 * distribution.high


@sampler("early")
def early(space, seed):
    return Beyond(seed=seed)
"""


@pytest.fixture(autouse=True)
def in_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.delenv("MGC_PLUGINS", raising=False)
    monkeypatch.chdir(tmp_path)
    yield
    use(())


def space(name: str = "early") -> Space:
    Path("s.yaml").write_text(SPACE.replace("early", name))
    return Space.load("s.yaml")


def proposed(record: Record, trials: int, name: str = "early") -> list[float]:
    """The r of so many trials more, by a sampler that has just read the record. The best r is 30."""
    sampler = Sampler(space(name), lambda params: str(params["r"]))
    sampler.restore(record.trials())
    values = []
    for number in range(len(record.trials()), len(record.trials()) + trials):
        proposal = sampler.propose(number)
        record.start(proposal)
        score = 1 - abs(proposal.params["r"] - 30) / 64
        record.report(number, {"epoch": 9, "val_accuracy": score})
        record.end(number, ended("complete"), values=[score])
        sampler.tell(record.trial(number))
        values.append(proposal.params["r"])
    return values


def test_it_proposes_from_the_first_trial_on_and_learns_and_goes_on_after_a_restart() -> None:
    use_files(written(SAMPLER))
    with locked(Path("a")), locked(Path("b")):
        one, other = new_record(Path(), "a"), new_record(Path(), "b")
        at_once = proposed(one, 20)
        with_restarts = [*proposed(other, 1), *proposed(other, 6), *proposed(other, 13)]
    assert at_once == with_restarts
    for number in range(1, 20):
        best = min(at_once[:number], key=lambda r: abs(r - 30))
        assert at_once[number] == min(best + 1, 64)


def test_the_pages_sampler_learns_and_goes_on_after_a_restart() -> None:
    use_files(written(page_block("A sampler")))
    with locked(Path("a")), locked(Path("b")):
        at_once = proposed(new_record(Path(), "a"), 30, "bold_tpe")
        other = new_record(Path(), "b")
        with_restarts = [*proposed(other, 12, "bold_tpe"), *proposed(other, 18, "bold_tpe")]
    assert at_once == with_restarts
    by_chance = (28**2 + 34**2) / 2 / 62  # mean distance of a random r in [2, 64] from 30
    assert median(abs(r - 30) for r in at_once[10:]) < by_chance / 2


def test_a_study_notes_the_plugin_only_where_its_space_names_the_sampler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MGC_PLUGINS", written(SAMPLER))
    use_files()
    Path("t.yaml").write_text(SPACE.replace("early", "tpe"))
    assert [plugin.name for plugin in needed_by(space())] == ["mine.py"]
    assert needed_by(Space.load("t.yaml")) == []


def test_a_space_may_name_it_only_where_the_plugin_is_in_use() -> None:
    use_files(written(SAMPLER))
    assert "early" in space_schema()["properties"]["search"]["properties"]["sampler"]["enum"]
    use(())
    with pytest.raises(SpaceError, match=r"^s\.yaml:2: search\.sampler must be one of auto, .*, got 'early'"):
        space()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (SAMPLER.replace("(space, seed):", "(space):"),
         "mine.py:13: must be a function early(space, seed), got early(space)"),
        (SAMPLER.replace('("early")', '("Early")'),
         "mine.py:13: a sampler's name must be small letters, digits and _, got 'Early'"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_declaration_is_one_line(text: str, line: str) -> None:
    assert refused(text) == line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (SAMPLER.replace("return Climb", "Climb"),
         "mine.py:13: sampler early must return a sampler of Optuna's (BaseSampler), got NoneType"),
        (SAMPLER.replace("Climb(seed=seed)", "Climb(sede=seed)"),
         "mine.py:17: sampler early failed: TypeError: "),
        (WRONG, "mine.py:11: sampler early failed: ValueError: r must be in FloatDistribution(high=64.0, "),
        (WRONG.replace("2 * ", "0 / 0 * "), "mine.py:8: sampler early failed: ZeroDivisionError: division by zero"),
    ],
)  # fmt: skip
def test_a_sampler_that_cannot_propose_is_one_line_before_the_first_trial(text: str, line: str) -> None:
    use_files(written(text))
    with pytest.raises(PluginError, match="^" + re.escape(line)):
        Sampler(space(), lambda _: "same").propose(0)


def test_the_name_of_a_shipped_sampler_is_refused() -> None:
    use_files(written(SAMPLER.replace('"early"', '"tpe"')))
    with pytest.raises(
        PluginError, match=r"^mine\.py:13: there is a sampler 'tpe' already; give this one another name$"
    ):
        space()
