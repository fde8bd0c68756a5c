"""The pages that a server of studies shows: one study, all of them, some side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from search.record.ranking import ranked
from search.record.record import Record
from search.record.trial import TrialRecord
from search.report.page import Page, Section, rendered
from search.results.overview import Line, line_of
from search.words import brief

Json = dict[str, Any]

SECTIONS = (
    Section(title="Trials", charts=("history", "trials", "compare")),
    Section(title="Score against each param", charts=("slices",)),
    Section(title="Two params at once", charts=("pair",)),
    Section(title="How the search goes", charts=("curves", "timeline")),
    Section(title="Parallel coordinates", charts=("parallel",)),
)
"""Of a study that is watched; its report, which comes at its end, has more."""


def study_page(name: str, news: Mapping[str, Any], *, has_report: bool) -> str:
    """The page of a study as HTML. `news` is what it begins with; its script asks for more at `news`, beside it."""
    study = news["study"]
    links = {"all studies": "../", **({"the report": "report.html"} if has_report else {})}
    page = Page(title=name, about=study["about"], answer=study["answer"], cautions=study["cautions"], links=links,
                sections=SECTIONS, data=news, is_watched=True)  # fmt: skip
    return page.html()


def list_page(out: str, lines: Sequence[Line]) -> str:
    """All studies of a folder as HTML, the newest first, each with a box that lays it beside others."""
    addresses = [f"{quote(line.study)}/" for line in lines]
    return rendered("studies.html.jinja", out=out, studies=list(zip(lines, addresses, strict=True)))


def compare_page(data: Sequence[Json]) -> str:
    """Some studies side by side as HTML."""
    return rendered("compare.html.jinja", scripts=("study", "draw", "compare"), is_watched=True, data={"studies": data})


def compared(record: Record) -> Json:
    """A study as it stands beside others: its best, with its interval, and how that became what it is."""
    line, header = line_of(record), record.header
    best = next(iter(ranked(record.trials(), header.objectives)), None)
    return {
        "name": record.name,
        "state": line.state,
        "data": f"{line.dataset}, split {line.split}",
        "metric": header.metric,
        "mode": header.mode,
        "best": line.best_text,
        "trials": f"{line.trials} of {line.of}",
        "sampler": header.sampler,
        "params": {} if best is None else {name: brief(value) for name, value in best.params.items()},
        "steps": list(best_so_far(record.trials(), record)),
    }


def best_so_far(trials: Sequence[TrialRecord], record: Record) -> Iterator[tuple[int, float, float]]:
    """Each time that a trial became the best: how many trials had ended, the seconds since the first began, the score.

    The last entry is the end of the last trial, with the best score again.
    """
    objectives = record.header.objectives
    able = {trial.number for trial in ranked(trials, objectives)}
    begin = min((trial.started for trial in trials), default=0.0)
    ended = sorted((trial for trial in trials if trial.ended is not None), key=lambda trial: trial.ended or 0.0)
    best: TrialRecord | None = None
    for count, trial in enumerate(ended, start=1):
        is_best = trial.number in able and (
            best is None or objectives.signed(trial.last) < objectives.signed(best.last)
        )
        best = trial if is_best else best
        if best is not None and (is_best or count == len(ended)):
            yield count, round((trial.ended or begin) - begin, 1), float(f"{best.last[objectives.metric]:.5g}")
