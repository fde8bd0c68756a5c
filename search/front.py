"""The report's section of a study with several metrics: its Pareto front, as a plot, a table and a CSV file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from search import plots
from search.material import Material
from search.overview import brief
from search.page import Picture, Section, Table


def pareto(of: Material) -> Iterator[Section]:
    """Nothing for a study of one metric, whose front is its best trial."""
    by = of.heading.objectives
    if not by.are_several:
        return
    front = by.front(of.trials)
    remark = (
        f"Compared by {by}. On the front are the complete trials that no other is at least as good as in every metric "
        "and better than in one. Trials stopped early are not compared; ASHA goes by the first metric alone."
    )
    outside = [trial for trial in of.trials if by.broken(trial.last)]
    limits = (f"{len(outside)} of {len(of.trials)} trials do not keep {by.limits_text}.",) if by.limits else ()
    drawn = plots.png(plots.front(of.trials, of.heading))
    rows = [
        [str(t.number), *(brief(score) for score in by.scores(t).values()), *(_value(t.varying, n) for n in of.names)]
        for t in front
    ]
    yield Section(
        title=f"Pareto front (split {of.heading.split})",
        remarks=(remark, *limits),
        pictures=(Picture(name="front", data=drawn, text="the trials' metrics against each other"),) if rows else (),
        tables=(Table(name="front", columns=["trial", *by.metrics, *of.names], rows=rows),) if rows else (),
    )


def _value(varying: Mapping[str, object], name: str) -> str:
    return brief(varying[name]) if name in varying else "-"
