"""The sections of a report about the search itself: its Pareto front, its params, its course, their importance.

Each is a function of the study's material and needs no other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from search.plots import plots
from search.plots.parallel import MOST_PARAMS, parallel
from search.record.notes import COST, FIRST_RUNG, STAIRS, Cost, first_rung_text
from search.record.ranking import Network, networks, pareto_front, scores_of
from search.record.trial import TrialRecord
from search.report.data import is_log
from search.report.importances import FEWEST_TRIALS, MOST_TRIALS, importances
from search.report.material import Material
from search.report.page import Picture, Section, Table
from search.results.rungs import rung_agreement
from search.stats import FEWEST
from search.terminal.tables import proposals_text
from search.words import brief, duration

NETWORKS_SHOWN = 40


def trials(material: Material) -> Iterator[Section]:
    """Every trial, to be sorted, filtered and compared: only where a script runs."""
    if material.trials:
        yield Section(title="Trials", charts=("history", "trials", "compare"))


def pareto(material: Material) -> Iterator[Section]:
    """The trials that no other beats in every metric. A study of one metric has no such section."""
    if not material.objectives.are_several:
        return
    table = _front_table(material)
    plot = Picture(
        name="front",
        data=plots.png(plots.front(material.trials, material.header)),
        text="the trials' metrics against each other",
    )
    yield Section(
        title=f"Pareto front (split {material.header.split})",
        remarks=_front_remarks(material),
        pictures=(plot,) if table.rows else (),
        tables=(table,) if table.rows else (),
    )


def _front_remarks(material: Material) -> list[str]:
    objectives, trials = material.objectives, material.trials
    remarks = [
        f"Compared by {objectives}. A complete trial is on the front if no other one beats it: is as good in every "
        "metric and better in one. Trials stopped early are not compared; ASHA goes by the first metric alone."
    ]
    if objectives.constraints:
        outside = sum(not objectives.is_feasible(trial.last) for trial in trials)
        remarks.append(f"{outside} of {len(trials)} trials do not keep {objectives.constraints_text}.")
    return remarks


def _front_table(material: Material) -> Table:
    objectives, names = material.objectives, material.names
    rows = []
    for trial in pareto_front(material.trials, objectives):
        scores = [brief(score) for score in scores_of(trial, objectives).values()]
        values = [brief(trial.varying[name]) if name in trial.varying else "-" for name in names]
        rows.append([str(trial.number), *scores, *values])
    return Table(name="front", columns=["trial", *objectives.metrics, *names], rows=rows)


def params(material: Material) -> Iterator[Section]:
    """Score against each param that varies, and the table of effective networks."""
    header = material.header
    remark = (
        "A horizontal line is one effective network: all values that it spans build the same network, so trials on it "
        f"are repeats with other seeds. From {FEWEST} repeats on, error bars are 95 % intervals over them. Hollow "
        "points were stopped or paused early and are not comparable with the others."
    )
    table = _network_table(material)
    yield Section(
        title=f"{header.metric} against each param (split {header.split})",
        remarks=(remark,),
        charts=("slices",) if material.names else (),
        pictures=[param_picture(material, name) for name in material.names],
        tables=(table,) if table.rows else (),
    )
    if len(material.names) > 1:
        yield Section(title="Two params at once", charts=("pair",))


def param_picture(material: Material, name: str) -> Picture:
    """Score against a param that varies."""
    header, stairs = material.header, material.record.noted(STAIRS)
    plot = plots.against_param(name, material.trials, header, log=is_log(header.canonical, name), stairs=stairs)
    return Picture(name=f"param-{name}", data=plots.png(plot), text=f"{header.metric} against {name}", is_still=True)


def _network_table(material: Material) -> Table:
    names = material.names
    columns = [f"mean {material.header.metric}", "deviation", "trainings", "trials", *names, "network"]
    best_first = sorted(
        networks(material.trials, material.objectives),
        key=lambda network: network.mean,
        reverse=material.header.mode == "max",
    )
    rows = [_network_row(network, names) for network in best_first]
    return Table(name="networks", columns=columns, rows=rows, shown=NETWORKS_SHOWN)


def _network_row(network: Network, names: Sequence[str]) -> list[str]:
    deviation = "-" if network.std is None else f"{network.std:.4f}"
    numbers = ", ".join(str(trial.number) for trial in network.trials)
    values = [network.values(name) for name in names]
    return [f"{network.mean:.4f}", deviation, str(len(network.scores)), numbers, *values, network.key]


def course(material: Material) -> Iterator[Section]:
    """How the search went: scores in order, learning curves, what stopping saved."""
    header, trials = material.header, material.trials
    history = plots.png(plots.history(trials, header))
    curves = plots.png(plots.curves(trials, header, header.rungs))
    yield Section(
        title="How the search went",
        remarks=(saved(material), *_proposals(material), *_cost(material), *_rungs(material)),
        charts=("curves", "timeline"),
        pictures=(
            Picture(name="history", data=history, text="scores in the order of trials", is_still=True),
            Picture(name="curves", data=curves, text="learning curves of all trials", is_still=True),
        ),
    )


def saved(material: Material) -> str:
    """What early stopping saved, if every trial had gone on to the end at its own speed."""
    max_epochs = material.header.max_epochs
    ended = [trial for trial in material.trials if trial.state in ("complete", "stopped", "paused") and trial.epochs]
    done, full = sum(len(trial.epochs) for trial in ended), max_epochs * len(ended)
    training = f"Training took {duration(sum(map(_seconds, material.trials)))} of trial time"
    saved_s = sum(
        (max_epochs - len(trial.epochs)) * _seconds(trial) / len(trial.epochs)
        for trial in ended
        if trial.state != "complete"
    )
    if not saved_s:
        return f"{training} for {done} epochs; early stopping saved nothing."
    return (
        f"{training} for {done} of {full} epochs: early stopping saved {full - done} epochs ("
        f"{100 * (full - done) / full:.0f} %), about {duration(saved_s)} at the speed of the trials that were cut "
        "short."
    )


def _seconds(trial: TrialRecord) -> float:
    """How long a trial was trained; one that takes over the scores of another was not."""
    return 0.0 if trial.reuse is not None else sum(epoch.get("seconds", 0.0) for epoch in trial.epochs)


def _proposals(material: Material) -> tuple[str, ...]:
    text = proposals_text(material.trials)
    return (f"{text.capitalize()}.",) if text else ()


def _cost(material: Material) -> tuple[str, ...]:
    cost = str(Cost(**material.record.noted(COST)))
    return (f"Meanwhile the cluster's machines cost {cost}.",) if cost else ()


def _rungs(material: Material) -> tuple[str, ...]:
    rungs, found = material.header.rungs, material.record.noted(FIRST_RUNG)
    if not rungs:
        return ("Every trial had the same budget.",)
    places = ", ".join(map(str, rungs))
    where = f"ASHA's rung is after epoch {places}." if len(rungs) == 1 else f"ASHA's rungs are after epochs {places}."
    said = rung_agreement(material.header, material.trials) if found is None else first_rung_text(found, rungs)
    return (where,) if said is None else (where, f"{str(said).capitalize()}.")


def importance(material: Material) -> Iterator[Section]:
    """Which params matter, and every complete trial as a line through its params."""
    metric, complete = material.header.metric, material.complete
    shares = importances(complete, {trial.number: trial.last[metric] for trial in complete})
    pictures = []
    if shares:
        plot = plots.png(plots.importance(shares))
        pictures.append(Picture(name="importance", data=plot, text="importance of params"))
    names = list(shares) or material.names
    if complete and names:
        plot = plots.png(parallel(material.trials, material.header, names))
        text = "parallel coordinates of complete trials"
        pictures.append(Picture(name="parallel", data=plot, text=text, is_still=True))
    yield Section(
        title="Importance and parallel coordinates",
        remarks=[*_importance_remarks(material, shares), *_parallel_remarks(names, shares)],
        charts=("parallel",) if complete and names else (),
        pictures=pictures,
    )


def _importance_remarks(material: Material, shares: Mapping[str, float]) -> list[str]:
    num_complete = len(material.complete)
    if shares:
        return [
            "Share of the variance of complete trials' scores that each param explains (fANOVA, by Optuna). "
            f"From {min(num_complete, MOST_TRIALS)} trials it is a hint, not a finding."
        ]
    if len(material.names) > 1 and num_complete < FEWEST_TRIALS:
        return [f"Importances need at least {FEWEST_TRIALS} complete trials; there are {num_complete}."]
    return []


def _parallel_remarks(names: Sequence[str], shares: Mapping[str, float]) -> list[str]:
    if len(names) <= MOST_PARAMS:
        return []
    which = "most important" if shares else "first"
    return [f"The lines run through the {which} {MOST_PARAMS} of {len(names)} params."]
