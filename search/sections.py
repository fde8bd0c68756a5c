"""The sections of a study's report: each a function of the study's folder, none of them needed by another."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mgc.config import Vote
from mgc.metrics import classification_scores
from search import plots
from search.answer import named
from search.confirmed import VOTES, Confirmed
from search.cost import spent
from search.domains import label
from search.front import pareto
from search.material import Material
from search.overview import brief, finite_score, networks
from search.page import Picture, Section, Table
from search.record import TrialRecord
from search.sampler import importances
from search.stats import verdict
from search.tables import duration

FEW_TRIALS = 30
"""Complete trials below which importances say little."""
ROWS_SHOWN = 40
NUM_WRONG = 12


def confirmation(of: Material) -> Iterator[Section]:
    """The test part: figures over seeds and tracks, under every vote, and pairwise differences."""
    for found in of.confirmations:
        rows = [(c.name, c.accuracy, c.right_SM.mean(axis=1).tolist()) for c in found.configs]
        plot = plots.png(plots.intervals(rows, f"test accuracy, split {found.heading.split}"))
        yield Section(
            title=f"Confirmed over seeds: {found.name}",
            remarks=(
                f"Trained on {found.train_on} for the whole budget with seeds that the search had not used, then "
                f"tested on {found.num_tracks} tracks ({found.opened}, split {found.heading.split}). Intervals are at "
                "95 %: Student's t over seeds; percentile bootstrap over tracks; differences by a bootstrap that draws "
                "tracks and seeds, paired in both (Owen 2007).",
                opened_remark(of),
            ),
            pictures=(Picture(name=found.name, data=plot, text="test accuracy of each config with its interval"),),
            tables=(_confirmed_table(found), _difference_table(found)),
        )
    if not of.confirmations:
        yield Section(title="Test part", remarks=(opened_remark(of),))


def opened_remark(of: Material) -> str:
    times = len(of.openings)
    if not times:
        return "The test part has not been opened: every figure on this page is of the validation part."
    when = "; ".join(f"{each['when']} by {each['study']}" for each in of.openings)
    return f"The test part was opened {times} time{'s' * (times > 1)} for this study: {when}."


def _confirmed_table(found: Confirmed) -> Table:
    columns = ["config", "role", "seeds", "accuracy, over seeds", "over tracks", "macro F1"]
    rows = [
        [
            named(c.varying, None),
            c.role,
            str(len(c.trials)),
            str(c.accuracy),
            str(c.accuracy_over_tracks),
            str(c.by(c.vote, "f1")),
        ]
        + [str(c.by(vote)) for vote in VOTES]
        for c in found.configs
    ]
    return Table(name=found.name, columns=[*columns, *(f"accuracy, vote {vote}" for vote in VOTES)], rows=rows)


def _difference_table(found: Confirmed) -> Table:
    rows = [
        [a.name, b.name, f"{100 * gap.mean:+.1f} [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}]",
         verdict(a.name, b.name, gap)] for a, b, gap in found.differences
    ]  # fmt: skip
    columns = ["a", "b", "a - b in points", "in words"]
    return Table(name=f"{found.name}-differences", columns=columns, rows=rows, shown=ROWS_SHOWN)


def params(of: Material) -> Iterator[Section]:
    """Score against each searched param, and the table of effective networks."""
    found = networks(of.trials, of.heading.objectives)
    stairs = of.record.notes().get("stairs", {})
    drawn = [
        Picture(
            name=f"param-{name}",
            data=plots.png(
                plots.against_param(name, of.trials, of.heading, log=_is_log(of.header, name), stairs=stairs)
            ),
            text=f"{of.heading.metric} against {name}",
        )
        for name in of.names
    ]
    rows = [
        [f"{n.mean:.4f}", "-" if n.std is None else f"{n.std:.4f}", str(len(n.scores)),
         ", ".join(str(t.number) for t in n.trials), *(n.values(name) for name in of.names), n.key] for n in found
    ]  # fmt: skip
    remark = (
        "A horizontal line is one effective network: all values under it build and train the same one, so trials on it "
        "are repeats with other seeds. Error bars are 95 % t intervals over such repeats. Hollow points were stopped "
        "early and are not comparable with the others."
    )
    columns = [f"mean {of.heading.metric}", "deviation", "trainings", "trials", *of.names, "network"]
    yield Section(
        title=f"{of.heading.metric} against each param (split {of.heading.split})",
        remarks=(remark,),
        pictures=drawn,
        tables=(Table(name="networks", columns=columns, rows=rows, shown=ROWS_SHOWN),) if rows else (),
    )


def _is_log(header: Mapping[str, Any], name: str) -> bool:
    form = header.get("canonical", {}).get("params", {}).get(name)
    return isinstance(form, Mapping) and bool({"loguniform", "logint"} & form.keys())


def course(of: Material) -> Iterator[Section]:
    """How the search went: scores in order, learning curves, what stopping saved."""
    rungs = of.header.get("rungs", [])
    drawn = [("history", plots.history(of.trials, of.heading), "scores in the order of trials")]
    drawn += [("curves", plots.curves(of.trials, of.heading, rungs), "learning curves of all trials")]
    yield Section(
        title="Course of the search",
        remarks=(saved(of), *_cost(of), *_asha(rungs)),
        pictures=[Picture(name=name, data=plots.png(figure), text=text) for name, figure, text in drawn],
    )


def _asha(rungs: Sequence[int]) -> tuple[str, ...]:
    return (
        (f"ASHA's rungs are after epochs {', '.join(map(str, rungs))}.",)
        if rungs
        else ("No trial was stopped early: every one had the same budget.",)
    )


def _cost(of: Material) -> tuple[str, ...]:
    cost = str(spent(of.record.notes()))
    return (f"The cluster's machines were paid for meanwhile: {cost}.",) if cost else ()


def saved(of: Material) -> str:
    """What early stopping saved, against all ended trials running to the end at their own speed."""
    ended = [trial for trial in of.trials if trial.state in ("complete", "stopped") and trial.epochs]
    done = sum(len(trial.epochs) for trial in ended)
    full = of.heading.max_epochs * len(ended)
    seconds = sum(_seconds(trial) for trial in of.trials)
    left = sum(
        (of.heading.max_epochs - len(t.epochs)) * _seconds(t) / len(t.epochs)
        for t in ended if t.state == "stopped" and t.epochs
    )  # fmt: skip
    cost = f"Training took {duration(seconds)} of trial time"
    if not left:
        return f"{cost} for {done} epochs; early stopping saved nothing."
    return (
        f"{cost} for {done} of {full} epochs: early stopping saved {full - done} epochs ({(full - done) / full:.0%}), "
        f"about {duration(left)} at the speed of the stopped trials."
    )


def _seconds(trial: TrialRecord) -> float:
    return 0.0 if trial.reuse is not None else sum(epoch.get("seconds", 0.0) for epoch in trial.epochs)


def importance(of: Material) -> Iterator[Section]:
    """Which params matter, and every complete trial as a line through its params."""
    complete = of.heading.objectives.ranked(of.trials)
    pictures, remarks = [], []
    shares = importances(complete, {t.number: t.last[of.heading.metric] for t in complete}) if of.names else {}
    if shares:
        pictures.append(
            Picture(name="importance", data=plots.png(plots.importance(shares)), text="importance of params")
        )
        remarks.append("Share of the variance of complete trials' scores that each param explains (fANOVA, by Optuna).")
    if len(of.names) == 1:
        remarks.append("Only one param varies, so all that is explained is explained by it.")
    if len(complete) < FEW_TRIALS:
        remarks.append(f"Caution: {len(complete)} complete trials are few for this; read it as a hint, not a finding.")
    if complete and of.names:
        drawn = plots.png(plots.parallel(of.trials, of.heading, of.names))
        pictures.append(Picture(name="parallel", data=drawn, text="parallel coordinates of complete trials"))
    yield Section(title="Importance and parallel coordinates", remarks=remarks, pictures=pictures)


def best(of: Material) -> Iterator[Section]:
    """The best trial's confusion matrix, scores per genre, and the tracks it was surest and wrong about."""
    if of.said is None or of.best is None:
        return
    said, pictures = of.said
    vote: Vote = "sum" if of.vote == "none" else of.vote
    confusion_GG = said.confusion(vote)
    drawn = plots.png(plots.confusion(confusion_GG, said.genres))
    yield Section(
        title=f"The best trial on the validation part: {named(of.best.varying)} (trial {of.best.number})",
        remarks=(f"{len(said.track_ids)} tracks, vote {vote}, split {of.heading.split}.",),
        pictures=(Picture(name="confusion", data=drawn, text="confusion matrix of the best trial"),),
        tables=(_genre_table(confusion_GG, said.genres),),
    )
    wrong = said.most_wrong(NUM_WRONG)
    shown = [
        (f"{w.track_id}\n{w.genre}, heard as {w.predicted} ({w.probability:.2f})", pictures[w.track_id])
        for w in wrong
        if w.track_id in pictures
    ]
    rows = [[w.track_id, w.genre, w.predicted, f"{w.probability:.3f}"] for w in wrong]
    yield Section(
        title="Most confidently wrong",
        remarks=("Spectrograms of whole tracks, low frequencies at the bottom.",) if shown else (),
        pictures=(Picture(name="wrong", data=plots.png(plots.pictures(shown)), text="their spectrograms"),)
        if shown
        else (),
        tables=(Table(name="wrong", columns=["track", "genre", "heard as", "probability"], rows=rows),) if rows else (),
    )


def _genre_table(confusion_GG: Any, genres: Sequence[str]) -> Table:
    rows = []
    for index, genre in enumerate(genres):
        hits, is_it, heard = confusion_GG[index, index], confusion_GG[index].sum(), confusion_GG[:, index].sum()
        rows.append([genre, str(is_it), _share(hits, heard), _share(hits, is_it), _share(2 * hits, is_it + heard)])
    mean = classification_scores(confusion_GG)
    rows.append(["macro mean", str(confusion_GG.sum()), *(f"{x:.3f}" for x in (mean.precision, mean.recall, mean.f1))])
    return Table(name="genres", columns=["genre", "tracks", "precision", "recall", "F1"], rows=rows)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.3f}" if whole else "-"


def published(of: Material) -> Iterator[Section]:
    """The papers' figures beside ours, each with its split."""
    figures = of.header.get("published", [])
    if not figures:
        return
    here = f"{of.heading.dataset_label}, {of.heading.split}"
    rows = [
        [
            figure.get("paper") or "",
            figure["table"],
            _settings(figure["params"]),
            f"{figure['metric']} {figure['value']:.3f}",
            f"{figure['dataset']}, {figure.get('split') or 'split not named'}",
            _ours(of, figure["params"]),
            here,
        ]
        for figure in figures
    ]
    columns = ["paper", "table", "setting", "published", "on", f"ours, {of.heading.metric}", "on"]
    remark = "Figures on other splits are no yardstick: a split that leaks alone is worth more than most settings."
    yield Section(
        title="Published figures beside ours",
        remarks=(remark,),
        tables=(Table(name="published", columns=columns, rows=rows),),
    )


def _settings(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {brief(value)}" for name, value in params.items())


def _ours(of: Material, params: Mapping[str, Any]) -> str:
    """Mean score of our complete trials with these settings; a dash where there is none."""
    complete = of.heading.objectives.ranked(of.trials)
    alike = [
        t.last[of.heading.metric] for t in complete
        if all(_is_alike(t.params.get(name), value) for name, value in params.items() if name != "epochs")
    ]  # fmt: skip
    return f"{sum(alike) / len(alike):.3f} ({len(alike)} trials)" if alike else "-"


def _is_alike(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, float) and isinstance(theirs, int | float):
        return math.isclose(ours, theirs, rel_tol=0.02)
    return bool(ours == theirs)


def reproduce(of: Material) -> Iterator[Section]:
    """The command that trains each row again, with its seed; commit and digests stand above."""
    heading, by = of.heading, of.heading.objectives
    digests = ", ".join(f"{what} {digest}" for what, digest in heading.digests.items())
    versions = ", ".join(f"{name} {version}" for name, version in heading.versions.items())
    facts = (
        f"Commit {heading.commit or 'unknown (no git)'}; digests: {digests or 'unknown'}; {versions}; precision "
        f"{of.header.get('precision')}.",
        f"The study itself: `{of.header.get('command') or 'started from Python'}`. A row's command trains that trial "
        "alone, as far as it came; on the same kind of machine its scores come out the same, but for times.",
    )
    rows = [
        [str(t.number), by.state_of(t), *(_score(t, metric) for metric in by.metrics), str(len(t.epochs)), str(t.seed),
         _settings(t.varying), command(of.header, t)] for t in of.trials
    ]  # fmt: skip
    columns = ["trial", "state", *by.metrics, "epochs", "seed", "params", "command"]
    yield Section(
        title="How to reproduce each trial",
        remarks=facts,
        tables=(Table(name="trials", columns=columns, rows=rows, shown=ROWS_SHOWN),) if rows else (),
    )


def _score(trial: TrialRecord, metric: str) -> str:
    score = finite_score(trial, metric)
    return "-" if score is None else brief(score)


def command(header: Mapping[str, Any], trial: TrialRecord) -> str:
    """The command line that trains one trial again: the study's file with everything set that can differ from it."""
    data = header.get("canonical", {}).get("data", {})
    settings = {f"data.{key}": value for key, value in data.items() if value is not None}
    settings |= {f"params.{key}": value for key, value in trial.params.items()}
    settings |= {"params.seed": trial.seed, "budget.epochs": max(len(trial.epochs), 1), "search.sampler": "random"}
    parts = ["python", "-m", "search.run", str(Path(header.get("file", "SPACE.yaml"))), "--trials", "1"]
    for key, value in settings.items():
        parts += ["--set", f"{key}={json.dumps(value) if isinstance(value, list | bool) else label(value)}"]
    return shlex.join(parts)


SECTIONS = (confirmation, pareto, params, course, importance, best, published, reproduce)
"""In the order of the page."""
