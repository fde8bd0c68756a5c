"""How trials look on a terminal: the live table, a line per trial, the table of networks. Pure functions, rich inside.

Equal effective networks are named beside each other wherever trials are listed, for they are one result with its noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from search.objectives import COSTS, number
from search.overview import Heading, Network, brief, counts, finite_score, networks, numbered, repeats
from search.record import State, TrialRecord

COLORS: Mapping[State, str] = {"complete": "green", "stopped": "yellow", "failed": "red", "running": "cyan"}
MAX_PARAM_COLUMNS = 4
"""With more varying params than this, one column holds them all."""
BEST_ROWS = 3
OTHER_LINES = 10
"""Lines of the live view that are no trials: headline, data, titles, space between sections."""


def headline(name: str, heading: Heading, trials: Sequence[TrialRecord], left_s: float | None, spent: str = "") -> Text:
    """`study r-001: 23 of 50 trials, 14 stopped, 1 failed, best 0.713 (trial 7, r = 31.4), about 2 min left, $0.12`."""
    found = counts(trials)
    ended = len(trials) - found["running"]
    parts = [f"{ended} of {heading.trials} trials"]
    parts += [f"{found[state]} {state}" for state in ("running", "stopped", "failed") if found[state]]
    best = heading.objectives.ranked(trials)[:1]
    parts += [f"best {trial.last[heading.metric]:.3f} ({called(trial, MAX_PARAM_COLUMNS)})" for trial in best]
    if heading.objectives.are_several:
        parts.append(f"{len(heading.objectives.front(trials))} on the Pareto front")
    parts += [f"about {duration(left_s)} left"] if left_s is not None else []
    parts += [spent] if spent else []
    return Text(f"study {name}: {', '.join(parts)}", style="bold")


def data_line(heading: Heading) -> Text:
    """Dataset and split, in red where nobody may overlook what they are: synthetic music, a split that leaks."""
    red = "bold red"
    return Text.assemble(
        "dataset ",
        (heading.dataset_label, red if heading.is_synthetic else ""),
        ", split ",
        (str(heading.split), red if heading.is_leaky else ""),
        f", compared by {heading.objectives}",
    )


def live_view(
    name: str, heading: Heading, trials: Sequence[TrialRecord], *, height: int, left_s: float | None, spent: str = ""
) -> Group:
    """Headline and table within `height` lines: the best networks, what runs, and the newest ended trials."""
    names = varying_names(trials)
    by = heading.objectives
    table = _table(["", "trial", "epoch", *by.metrics, "state", "same network"], names)
    same, front = repeats(trials), by.front(trials) if by.are_several else []
    on_front = {trial.number for trial in front}
    best = (front or [network.trials[0] for network in networks(trials, by)])[:BEST_ROWS]
    for section in sections(best, trials, rows=max(height - OTHER_LINES, BEST_ROWS)):
        for trial in section:
            place = "best" if trial in best[:1] else "front" if trial.number in on_front else ""
            table.add_row(Text(place, style="bold green"), *_cells(trial, heading, names, same[trial.number]))
        table.add_section()
    return Group(headline(name, heading, trials, left_s, spent), data_line(heading), table)


def sections(best: list[TrialRecord], trials: Sequence[TrialRecord], *, rows: int) -> list[list[TrialRecord]]:
    """What the live table has room for: the best, the running ones, and as many of the newest ended as still fit."""
    running = [trial for trial in trials if trial.state == "running"][: max(rows - len(best), 1)]
    listed = {trial.number for trial in best}
    ended = [trial for trial in trials if trial.ended is not None and trial.number not in listed]
    ended.sort(key=lambda trial: trial.ended or 0.0, reverse=True)
    return [best, running, ended[: max(rows - len(best) - len(running), 0)]]


def trial_line(trial: TrialRecord, heading: Heading, same: Sequence[int], *, is_best: bool) -> Text:
    """`trial 7  complete  epoch 9/9  val_accuracy 0.713  best  r 31.43 (network of trials 3, 5)`."""
    by = heading.objectives
    parts = [f"trial {trial.number}", by.state_of(trial), f"epoch {len(trial.epochs)}/{heading.max_epochs}"]
    parts += [f"{name} {shown(name, score)}" for name, score in by.scores(trial).items()]
    parts += ["best"] if is_best else []
    parts += ["  ".join(f"{name} {brief(value)}" for name, value in trial.varying.items())]
    parts[-1] += f" (network of {numbered(same)})" if same else ""
    parts += [f"{trial.reason}"] if trial.state == "failed" else []
    parts += [f"{broken}"] if (broken := by.broken(trial.last)) else []
    return Text("  ".join(parts), style=COLORS[trial.state] if trial.state == "failed" else "")


def network_table(heading: Heading, found: Sequence[Network]) -> Table:
    """Complete trials by effective network: best and mean score with its 95 % interval, and what they had."""
    names = varying_names([trial for network in found for trial in network.trials])
    table = _table(["best", "mean", "95 %", "n", "trials"], names, title=f"best networks, {heading.metric}")
    for network in found:
        sure = network.interval
        error = f"+/- {sure.high - sure.mean:.3f}" if sure.is_known else "-"
        numbers = _numbers(sorted(trial.number for trial in network.trials))
        values = {name: network.values(name) for name in names}
        scores = (f"{network.scores[0]:.3f}", f"{network.mean:.3f}", error, str(len(network.scores)))
        table.add_row(*scores, numbers, *_param_cells(names, values))
    return table


def front_table(heading: Heading, front: Sequence[TrialRecord]) -> Table:
    """The trials of the Pareto front with every metric, and what they had."""
    by, names = heading.objectives, varying_names(front)
    table = _table(["trial", *by.metrics], names, title=f"Pareto front, {by}")
    for trial in front:
        values = {name: brief(trial.varying[name]) if name in trial.varying else "-" for name in names}
        scores = [shown(name, score) for name, score in by.scores(trial).items()]
        table.add_row(str(trial.number), *scores, *_param_cells(names, values))
    return table


def shown(metric: str, value: float) -> str:
    """A metric's value in a table: three places of a score, four digits of a cost."""
    return number(value) if metric in COSTS else f"{value:.3f}"


def called(trial: TrialRecord, most: int | None = None) -> str:
    """A trial by number and what it had: `trial 7, r = 31.43`; the number alone if that is more than `most` params."""
    chosen = [f"{name} = {brief(value)}" for name, value in trial.varying.items()]
    return ", ".join([f"trial {trial.number}", *(chosen if most is None or len(chosen) <= most else [])])


def duration(seconds: float) -> str:
    """As somebody would say it.

    >>> [duration(seconds) for seconds in (3, 47, 130, 4000, 9000)]
    ['3 s', '47 s', '2 min', '67 min', '2.5 h']
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def varying_names(trials: Sequence[TrialRecord]) -> list[str]:
    """The params that the sampler chose for any of these trials, in the order of the space."""
    return list(dict.fromkeys(name for trial in trials for name in trial.varying))


def _cells(trial: TrialRecord, heading: Heading, names: Sequence[str], same: Sequence[int]) -> list[Text | str]:
    by = heading.objectives
    values = {name: brief(trial.varying[name]) if name in trial.varying else "-" for name in names}
    scores = [finite_score(trial, metric) for metric in by.metrics]
    return [
        str(trial.number),
        f"{len(trial.epochs)}/{heading.max_epochs}",
        *("" if score is None else shown(metric, score) for metric, score in zip(by.metrics, scores, strict=True)),
        Text(by.state_of(trial), style=COLORS[trial.state]),
        _numbers(same) if same else "",
        *_param_cells(names, values),
    ]


def _numbers(numbers: Sequence[int]) -> str:
    return numbered(numbers).split(" ", 1)[1]


def _param_cells(names: Sequence[str], values: Mapping[str, str]) -> list[Text]:
    """A cell for each param, or one for all of them. As Text: what a user wrote in brackets is no markup of rich."""
    if len(names) <= MAX_PARAM_COLUMNS:
        return [Text(values[name]) for name in names]
    return [Text("  ".join(f"{name} {values[name]}" for name in names))]


def _table(titles: Sequence[str], params: Sequence[str], title: str | None = None) -> Table:
    """A table of our columns and the params'; a column that many params share takes what width the others leave."""
    is_shared = len(params) > MAX_PARAM_COLUMNS
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False, expand=is_shared)
    for each in titles:
        table.add_column(each, no_wrap=True)
    for each in ["params"] if is_shared else params:
        table.add_column(each, no_wrap=True, ratio=1 if is_shared else None)
    return table
