"""A study's trials on a terminal, as lines and tables of rich: functions of records that print nothing themselves.

Wherever trials are listed, those of one effective network name each other: they are one result with its noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console, Group, RenderableType
from rich.text import Text

from search.record.header import StudyHeader
from search.record.ranking import (
    Network,
    counts,
    finite_score,
    networks,
    pareto_front,
    ranked,
    repeats,
    scores_of,
    state_of,
)
from search.record.trial import State, TrialRecord
from search.settings.metrics import COSTS
from search.stats import Interval, points_text
from search.terminal.columns import Column, fitting, short, table_of
from search.words import MOST_NAMED, brief, duration, number, numbered, pairs

COLORS: Mapping[State, str] = {
    "complete": "green",
    "stopped": "yellow",
    "failed": "red",
    "running": "cyan",
    "paused": "blue",
}
BEST_ROWS = 3
PROPOSAL_S = "proposal_seconds"
"""The fact of a trial that says how long its proposal took."""


def headline(
    name: str, header: StudyHeader, trials: Sequence[TrialRecord], left_s: float | None, cost: str = "", *, width: int
) -> Text:
    """`study r-001: 23 of 50 trials, 14 stopped, 1 failed, best 0.713 (trial 7, r = 31.4), about 2 min left, $0.12`, in
    lines that end at commas.
    """
    num_in = counts(trials)
    parts = [f"study {name}: {len(trials) - num_in['running']} of {header.trials} trials"]
    parts += [f"{num_in[state]} {state}" for state in ("running", "paused", "stopped", "failed") if num_in[state]]
    best = ranked(trials, header.objectives)[:1]
    parts += [f"best {trial.last[header.metric]:.3f} ({trial_name(trial, MOST_NAMED)})" for trial in best]
    if header.objectives.are_several:
        parts.append(f"{len(pareto_front(trials, header.objectives))} on the Pareto front")
    parts += [f"about {duration(left_s)} left"] if left_s else []
    parts += [cost] if cost else []
    return Text("\n".join(lines_of(parts, width)), style="bold")


def lines_of(parts: Sequence[str], width: int) -> list[str]:
    """Parts of a sentence between commas, in lines of at most `width` characters if no part is longer.

    >>> lines_of(["2 of 9 trials", "1 failed", "about 1 h left"], 26)
    ['2 of 9 trials, 1 failed,', 'about 1 h left']
    """
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + len(f", {part},") <= width:
            lines[-1] += f", {part}"
        else:
            lines[-1] += ","
            lines.append(part)
    return lines


def data_line(header: StudyHeader) -> Text:
    """Dataset and split, in red where nobody may overlook what they are: synthetic music, a split that leaks."""
    red = "bold red"
    return Text.assemble(
        "dataset ",
        (header.dataset_label, red if header.is_synthetic else ""),
        ", split ",
        (str(header.split), red if header.is_leaky else ""),
        f", compared by {header.objectives}",
    )


def live_view(
    name: str,
    header: StudyHeader,
    trials: Sequence[TrialRecord],
    *,
    width: int,
    height: int,
    left_s: float | None,
    cost: str = "",
    running: Mapping[int, str] | None = None,
    warning: str | None = None,
) -> Group:
    """Headline and table within `height` lines: the best networks, the running trials, and others. `running` says how
    far running trials are in their epochs, `warning` what is wrong with the search.

    A frame that is higher than the terminal would leave its first lines behind when it ends.
    """
    names, objectives = varying_names(trials), header.objectives
    top = [headline(name, header, trials, left_s, cost, width=width), data_line(header)]
    top += [Text(warning, style="yellow")] if warning else []
    front = pareto_front(trials, objectives) if objectives.are_several else []
    best = (front or [network.trials[0] for network in networks(trials, objectives)])[:BEST_ROWS]
    ruler, rows = Console(width=width, height=height), height
    while rows > 0:
        groups = live_groups(best, trials, rows=rows)
        view = Group(*top, *_live_table(header, trials, groups, names, front, running or {}, width))
        excess = len(ruler.render_lines(view)) - height
        if excess <= 0:
            return view
        rows = min(rows, sum(map(len, groups))) - excess
    return Group(*top)


def _live_table(
    header: StudyHeader,
    trials: Sequence[TrialRecord],
    groups: Sequence[Sequence[TrialRecord]],
    names: Sequence[str],
    front: Sequence[TrialRecord],
    running: Mapping[int, str],
    width: int,
) -> list[RenderableType]:
    """The table of these groups, and below it all params of the best trial where there is no column for some."""
    shown, best = [trial for group in groups for trial in group], groups[0][:1]
    places = ["best" if trial in best else "front" if trial in front else "" for trial in shown]
    same = repeats(trials)
    columns = [
        Column(title="", cells=[Text(place, style="bold green") for place in places]),
        *_trial_columns(shown, header, running),
        Column(title="same network", cells=[Text(_numbers(same[trial.number])) for trial in shown], may_go=True),
        *_param_columns(names, [_values(trial) for trial in shown]),
    ]
    ends = [len(groups[0]), len(groups[0]) + len(groups[1])]
    kept = fitting(columns, width)
    table = table_of(kept, sections=ends)
    if not (left_out := [name for name in names if name not in {column.title for column in kept}]):
        return [table]
    whole = [Text(f"trial {trial.number}: {pairs(trial.varying)}") for trial in best]
    return [table, *(whole or [Text(f"not shown: {', '.join(left_out)}")])]


def live_groups(best: list[TrialRecord], trials: Sequence[TrialRecord], *, rows: int) -> list[list[TrialRecord]]:
    """The trials that the live table has rows for: the best, the running ones, and in the rest the complete ones, then
    those that ended or paused last.
    """
    best = best[:rows]
    running = [trial for trial in trials if trial.state == "running"][: max(rows - len(best), 0)]
    best_numbers = {trial.number for trial in best}
    others = [trial for trial in trials if trial.state != "running" and trial.number not in best_numbers]
    others.sort(key=lambda trial: (trial.state == "complete", trial.last.get("order", -1), trial.number), reverse=True)
    return [best, running, others[: max(rows - len(best) - len(running), 0)]]


def trial_line(trial: TrialRecord, header: StudyHeader, same: Sequence[int], *, is_best: bool) -> Text:
    """`trial 7  complete  epoch 9/9  val_accuracy 0.713  best  r 31.43 (network of trials 3, 5)`.

    `same`: the numbers of the other trials of its network.
    """
    objectives = header.objectives
    parts = [f"trial {trial.number}", state_of(trial, objectives), f"epoch {len(trial.epochs)}/{header.max_epochs}"]
    parts += [f"{name} {score_text(name, score)}" for name, score in scores_of(trial, objectives).items()]
    parts += ["best"] if is_best else []
    parts += ["  ".join(f"{name} {brief(value)}" for name, value in trial.varying.items())]
    parts[-1] += f" (network of {numbered(same)})" if same else ""
    parts += [str(trial.reason)] if trial.state == "failed" else []
    parts += [violations] if (violations := objectives.violations_text(trial.last)) else []
    return Text("  ".join(parts), style=COLORS[trial.state] if trial.state == "failed" else "")


def network_table(header: StudyHeader, groups: Sequence[Network], width: int) -> Group:
    """Complete trials by effective network: best score, of networks with repeats the mean and its 95 % interval or the
    single scores, and the params of each.
    """
    names = varying_names([trial for network in groups for trial in network.trials])
    repeated = [network for network in groups if len(network.scores) > 1]
    intervals = [network.interval for network in groups]
    numbers = [_numbers(sorted(trial.number for trial in network.trials)) for network in groups]
    columns = [
        _column("best", [f"{network.scores[0]:.3f}" for network in groups]),
        _column("mean", [f"{network.mean:.3f}" for network in groups] if repeated else []),
        _column(_spread_title(intervals), [_spread(interval) for interval in intervals]),
        _column("n", [str(len(network.scores)) for network in groups] if repeated else []),
        _column("trials" if repeated else "trial", numbers),
        *_param_columns(names, [{name: _network_value(network, name) for name in names} for network in groups]),
    ]
    return _fitted(columns, names, width, f"best networks, {header.metric}")


def _spread(interval: Interval) -> str:
    if interval.is_known:
        return f"[{interval.low:.3f}, {interval.high:.3f}]"
    return points_text(interval.points)


def _spread_title(intervals: Sequence[Interval]) -> str:
    """What a column of these holds."""
    kinds = [kind for kind, holds in (("95 %", any(each.is_known for each in intervals)),
                                      ("scores", any(each.points for each in intervals))) if holds]  # fmt: skip
    return " or ".join(kinds)


def front_table(header: StudyHeader, front: Sequence[TrialRecord], width: int) -> Group:
    """The trials of the Pareto front with every metric, and the params of each."""
    objectives, names = header.objectives, varying_names(front)
    scores = [scores_of(trial, objectives) for trial in front]
    columns = [
        _column("trial", [str(trial.number) for trial in front]),
        *(_column(metric, [score_text(metric, each[metric]) for each in scores]) for metric in objectives.metrics),
        *_param_columns(names, [_values(trial) for trial in front]),
    ]
    return _fitted(columns, names, width, f"Pareto front, {objectives}")


def proposals_text(trials: Sequence[TrialRecord]) -> str:
    """How long the sampler took: `choosing params took 3 s in all, 0.2 s at most (trial 7)`; empty in records that do
    not say.
    """
    seconds = {trial.number: float(trial.facts[PROPOSAL_S]) for trial in trials if PROPOSAL_S in trial.facts}
    if not seconds:
        return ""
    longest = max(seconds, key=seconds.__getitem__)
    total, most = duration(sum(seconds.values())), duration(seconds[longest])
    return f"choosing params took {total} in all, {most} at most (trial {longest})"


def score_text(metric: str, value: float) -> str:
    """A metric's value in a table: three places of a score, four digits of a cost."""
    return number(value) if metric in COSTS else f"{value:.3f}"


def trial_name(trial: TrialRecord, most: int | None = None) -> str:
    """A trial by number and params, `trial 7, r = 31.43`; by its number alone where more than `most` params vary."""
    is_short = most is None or len(trial.varying) <= most
    return ", ".join([f"trial {trial.number}", *([pairs(trial.varying)] if trial.varying and is_short else [])])


def varying_names(trials: Sequence[TrialRecord]) -> list[str]:
    """The names of the params that vary in any of these trials, in the order of the space."""
    return list(dict.fromkeys(name for trial in trials for name in trial.varying))


def _trial_columns(shown: Sequence[TrialRecord], header: StudyHeader, running: Mapping[int, str]) -> list[Column]:
    """How each trial stands: number, epoch, scores, state."""
    metrics = header.objectives.metrics
    scores = {metric: [finite_score(trial, metric) for trial in shown] for metric in metrics}
    states = [" ".join([state_of(trial, header.objectives), running.get(trial.number, "")]).strip() for trial in shown]
    return [
        _column("trial", [str(trial.number) for trial in shown]),
        _column("epoch", [f"{len(trial.epochs)}/{header.max_epochs}" for trial in shown]),
        *(_column(name, ["" if each is None else score_text(name, each) for each in scores[name]]) for name in metrics),
        Column(
            title="state",
            cells=[Text(text, style=COLORS[trial.state]) for text, trial in zip(states, shown, strict=True)],
        ),
    ]


def _param_columns(names: Sequence[str], rows: Sequence[Mapping[str, str]]) -> list[Column]:
    """A column for each param; a dash where a row does not have it."""
    return [Column(title=name, cells=[Text(row.get(name, "-")) for row in rows], may_go=True) for name in names]


def _values(trial: TrialRecord) -> dict[str, str]:
    return {name: short(value) for name, value in trial.varying.items()}


def _network_value(network: Network, name: str) -> str:
    """The value of a param that all trials of a network share, or all their values."""
    values = {brief(trial.varying[name]): trial.varying[name] for trial in network.trials if name in trial.varying}
    return short(*values.values()) if len(values) == 1 else network.values(name)


def _column(title: str, texts: Sequence[str]) -> Column:
    """A column that stays. Its cells are Text, in which brackets of a user's label are no markup."""
    return Column(title=title, cells=[Text(text) for text in texts])


def _numbers(numbers: Sequence[int]) -> str:
    return numbered(numbers).split(" ", 1)[1] if numbers else ""


def _fitted(columns: Sequence[Column], names: Sequence[str], width: int, title: str) -> Group:
    """The table of the columns that fit, and the names of the params that do not."""
    kept = fitting(columns, width)
    left_out = [name for name in names if name not in {column.title for column in kept}]
    remarks = [Text(f"no room for {', '.join(left_out)}")] if left_out else []
    return Group(Text(title, style="italic"), table_of(kept), *remarks)
