"""The sections of a report about what the study's results are worth: confirmed, beside the papers', reproduced.

Each is a function of the study's material and needs no other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from search.plots import plots
from search.record.ranking import finite_score, state_of
from search.record.trial import TrialRecord
from search.report.material import Material
from search.report.page import Picture, Section, Table
from search.results.commands import rerun_command
from search.results.confirmed import VOTES, Confirmed, ConfirmedConfig
from search.stats import FEWEST, verdict
from search.words import brief, moment, named, pairs

ROWS_SHOWN = 40


def confirmation(material: Material) -> Iterator[Section]:
    """Each confirmation: scores on the test part over seeds and tracks, under every vote, and pairwise differences."""
    opened = opened_remark(material)
    for confirmed in material.confirmations:
        split = confirmed.header.split
        rows = [(config.name, config.accuracy, config.right_SM.mean(axis=1).tolist()) for config in confirmed.configs]
        plot = plots.png(plots.intervals(rows, f"test accuracy, split {split}"))
        about = (
            f"Trained on {confirmed.train_on} for the whole budget with seeds that the search had not used, then "
            f"tested on {confirmed.num_tracks} tracks ({moment(confirmed.opened)}, split {split}). Intervals are at "
            f"95 %: over seeds Student's t of the log odds (with fewer than {FEWEST} seeds the scores themselves, in "
            "parentheses); over tracks a percentile bootstrap; of differences a bootstrap that draws tracks and seeds, "
            "paired in both (Owen 2007)."
        )
        yield Section(
            title=f"Confirmed over seeds: {confirmed.name}",
            remarks=(about, opened),
            pictures=(Picture(name=confirmed.name, data=plot, text="test accuracy of each config with its interval"),),
            tables=(_confirmed_table(confirmed), _difference_table(confirmed)),
        )
    if not material.confirmations:
        yield Section(title="Test part", remarks=(opened,))


def opened_remark(material: Material) -> str:
    """How often the test part was opened, when and by whom."""
    times = len(material.openings)
    if not times:
        return "The test part has not been opened: every figure on this page is of the validation part."
    when = "; ".join(f"{moment(each['when'])} by {each['study']}" for each in material.openings)
    return f"The test part was opened {times} time{'s' * (times > 1)} for this study: {when}."


def _confirmed_table(confirmed: Confirmed) -> Table:
    columns = ["config", "role", "seeds", "accuracy, over seeds", "over tracks", "macro F1"]
    columns += [f"accuracy, vote {vote}" for vote in VOTES]
    return Table(name=confirmed.name, columns=columns, rows=[_config_row(config) for config in confirmed.configs])


def _config_row(config: ConfirmedConfig) -> list[str]:
    scores = [config.accuracy, config.accuracy_over_tracks, config.by(config.vote, "f1"), *map(config.by, VOTES)]
    role = f"{config.role}, infeasible: {config.violations}" if config.violations else config.role
    return [named(config.varying, None), role, str(len(config.trials)), *map(str, scores)]


def _difference_table(confirmed: Confirmed) -> Table:
    rows = []
    for a, b, gap in confirmed.differences:
        points = f"{100 * gap.mean:+.1f} [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}]"
        rows.append([a.name, b.name, points, verdict(a.name, b.name, gap)])
    columns = ["a", "b", "a - b in points", "in words"]
    return Table(name=f"{confirmed.name}-differences", columns=columns, rows=rows, shown=ROWS_SHOWN)


def published(material: Material) -> Iterator[Section]:
    """The papers' figures beside ours, each with its split."""
    figures = material.header.published
    if not figures:
        return
    columns = ["paper", "table", "setting", "published", "on", f"ours, {material.header.metric}", "on"]
    remark = "Do not compare figures on different splits: a leak changes an accuracy by more than most settings."
    table = Table(name="published", columns=columns, rows=[_figure_row(material, figure) for figure in figures])
    yield Section(title="Published figures beside ours", remarks=(remark,), tables=(table,))


def _figure_row(material: Material, figure: Mapping[str, Any]) -> list[str]:
    return [
        figure.get("paper") or "",
        figure["table"],
        pairs(figure["params"]),
        f"{figure['metric']} {figure['value']:.3f}",
        f"{figure['dataset']}, {figure.get('split') or 'split not named'}",
        _our_score(material, figure["params"]),
        f"{material.header.dataset_label}, {material.header.split}",
    ]


def _our_score(material: Material, params: Mapping[str, Any]) -> str:
    """The mean score of our complete trials with a figure's settings; a dash where there is none."""
    settings = {name: value for name, value in params.items() if name != "epochs"}
    scores = [
        trial.last[material.header.metric] for trial in material.complete
        if all(_is_alike(trial.params.get(name), value) for name, value in settings.items())
    ]  # fmt: skip
    return f"{sum(scores) / len(scores):.3f} ({len(scores)} trials)" if scores else "-"


def _is_alike(ours: Any, theirs: Any) -> bool:
    """Whether two values of a param are equal; real numbers to 2 %."""
    if isinstance(ours, float) and isinstance(theirs, int | float):
        return math.isclose(ours, theirs, rel_tol=0.02)
    return bool(ours == theirs)


def reproduce(material: Material) -> Iterator[Section]:
    """Commit, digests and versions of the study, and for each trial the command that trains it again."""
    header, metrics = material.header, material.objectives.metrics
    digests = ", ".join(f"{name} {digest}" for name, digest in header.digests.items())
    versions = ", ".join(f"{name} {version}" for name, version in header.versions.items())
    remarks = (
        f"Commit {header.commit or 'unknown (no git)'}; digests: {digests or 'unknown'}; {versions}; precision "
        f"{header.precision}.",
        f"The study itself {f'was started by `{header.command}`' if header.command else 'was started from Python'}. "
        "A trial's command trains it again, alone and for as many epochs; on the same kind of machine its scores are "
        "the same. `trials.csv` has all commands.",
    )
    columns = ["trial", "state", *metrics, "epochs", "seed", "params", "command"]
    rows = [_trial_row(material, trial) for trial in material.trials]
    table = Table(name="trials", columns=columns, rows=rows, shown=ROWS_SHOWN, is_still=True)
    yield Section(title="How to reproduce each trial", remarks=remarks, tables=(table,) if rows else ())


def _trial_row(material: Material, trial: TrialRecord) -> list[str]:
    """A trial that has no epoch has no command: there is nothing to compare with."""
    scores = [_score(trial, metric) for metric in material.objectives.metrics]
    facts = [str(len(trial.epochs)), str(trial.seed), pairs(trial.varying)]
    command = rerun_command(material.record.folder, trial.number) if trial.epochs else "-"
    return [str(trial.number), state_of(trial, material.objectives), *scores, *facts, command]


def _score(trial: TrialRecord, metric: str) -> str:
    score = finite_score(trial, metric)
    return "-" if score is None else brief(score)
