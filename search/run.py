"""`python -m search.run SPACE.yaml`: the command line of a study, and nothing else."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mgc.plugins.sources import add_option, use_files
from mgc.words.command import EXIT_FAILED, EXIT_INTERRUPTED, TextParser, exit_code, folder, program
from mgc.words.errors import ConfigError
from mgc.words.redact import redacted_word
from search.arguments import limit, study, words_of
from search.space.shipped import offered_spaces
from search.space.space import Space

if TYPE_CHECKING:
    from search.record.record import Record
    from search.study.searching import Outcome


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a study. Returns 0, 1 for a study without a complete trial, 2 for a mistake of the user's, 130 if stopped."""
    args = parsed(arguments)
    return exit_code(lambda: _main(args), interrupted="interrupted before the study began")


def _main(args: argparse.Namespace) -> int:
    use_files(*args.plugin)
    if args.rerun is not None:
        return _rerun(args)
    space = _space(args)
    if args.dry_run:
        from search.estimate.dryrun import dry_run

        dry_run(space)
        return 0
    if args.cluster is not None or str(args.address).startswith("http"):
        return _submit(space, args)
    return _run(space, args)


def _space(args: argparse.Namespace) -> Space:
    """The space of the command line. Of a study that goes on, a plug-in that is missing is said first: without it the
    space may name what is unknown.
    """
    try:
        return Space.load(args.space, profile=args.profile, data=args.data, overrides=overrides(args))
    except ConfigError:
        if args.resume is not None:
            _check_plugins_of_resumed(args)
        raise


def _check_plugins_of_resumed(args: argparse.Namespace) -> None:
    from search.record.plugins import go_on_with
    from search.record.record import readable
    from search.record.studies import folder_to_resume

    record = readable(folder_to_resume(args.out, args.space.stem, args.resume or None))
    if record is not None:
        go_on_with(record)


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line; what is no study's ends the process with argparse's line and status 2."""
    command_line = parser()
    options = command_line.parse_args(arguments)
    if (options.space is None) == (options.rerun is None):
        command_line.error("either SPACE.yaml or --rerun STUDY/TRIAL is needed")
    return options


def overrides(args: argparse.Namespace) -> list[str]:
    """The --set options, and --trials, which is short for one."""
    if args.trials is not None and args.trials < 1:
        raise ConfigError(f"--trials must be >= 1, got {args.trials}")
    return [*args.set, *([f"search.trials={args.trials}"] if args.trials is not None else [])]


def parser() -> TextParser:
    made = TextParser(
        prog=program("search.run"),
        description="Search the hyperparameters of a space file: Optuna proposes trials, Ray trains them, ASHA ends "
        "bad ones early, MLflow shows them.",
        epilog="Where several give the same key, the first of these counts: --set, --data, --profile, the file.",
    )
    add = made.add_argument
    space = add(
        "space", metavar="SPACE.yaml", type=Path, nargs="?", help="the space file, or the name of a shipped one"
    )
    space.completer = offered_spaces  # type: ignore[attr-defined]
    add(
        "--data",
        metavar="NAME|DIR|FILE",
        help="dataset: a name, a folder <genre>/<file>, or an .npz (default: the file's)",
    )
    add_option(made)
    add("--profile", metavar="NAME", help="apply one of the file's profiles, which change its settings (default: none)")
    add(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="change one key: --set params.lr=0.01; repeatable",
    )
    add("--trials", metavar="N", type=int, help="number of trials (default: the file's)")
    add("--name", metavar="X", type=study, help="name of the study (default: the space's with the next number)")
    add("--resume", metavar="NAME", nargs="?", const="", help="go on with a study (default: the newest unfinished one)")
    add(
        "--warm-start",
        metavar="STUDY",
        help="let the sampler learn from an earlier study too: its name, or its folder",
    )
    add("--rerun", metavar="STUDY/TRIAL", help="train one trial again, as the record has it, and compare the scores")
    add(
        "--offline",
        action="store_true",
        help="send nothing to MLflow; python -m search.tracking sync STUDY does so later",
    )
    add("--out", metavar="DIR", type=folder, default=Path("runs"), help="folder of the studies (default: %(default)s)")
    add(
        "--storage",
        metavar="s3://...|DIR",
        default=os.environ.get("MGC_STORAGE") or None,
        help="a place that every node reaches, for checkpoints and a copy of the study (default: $MGC_STORAGE, else "
        "OUT)",
    )
    add("--cluster", metavar="CLUSTER.yaml", type=Path, help="run on the head of this cluster, which `ray up` started")
    add(
        "--address",
        metavar="auto|HOST|URL",
        help="Ray cluster to join (default: one running here, else one of its own), or http://... to send the study to",
    )
    add(
        "--max-hours",
        metavar="H",
        type=limit,
        help="stop after so many hours, earlier starts of the study included; what runs finishes its epoch",
    )
    add("--max-cost", metavar="USD", type=limit, help="stop when the cluster has cost so many dollars during the study")
    add(
        "--tracking-uri",
        metavar="URI",
        help="MLflow's address (default: $MLFLOW_TRACKING_URI, else OUT/mlflow.db)",
    )
    add("--dry-run", action="store_true", help="show what would be searched and how long it takes; start nothing")
    add("--json", action="store_true", help="end with the result as one JSON object on the last line of stdout")
    add("--quiet", action="store_true", help="print only the result and errors")
    return made


def _run(space: Space, args: argparse.Namespace) -> int:
    from search.machines.cost import Limits
    from search.study.plan import SearchOptions
    from search.study.searching import run_study  # Ray, Optuna: only once the file is known to be right
    from search.terminal.display import show_summary

    options = SearchOptions(
        out=args.out,
        offline=args.offline,
        warm_start=_earlier(args),
        trials_given=any(setting.split("=")[0].strip() == "search.trials" for setting in overrides(args)),
        name=args.resume or args.name,
        resume=args.resume is not None,
        address=args.address,
        tracking_uri=args.tracking_uri,
        quiet=args.quiet,
        storage=args.storage,
        limits=Limits(hours=args.max_hours, usd=args.max_cost),
    )
    outcome = run_study(space, options)
    show_summary(
        outcome.record,
        seconds=outcome.seconds,
        tracking=redacted_word(outcome.tracking_uri),
        following=None if outcome.interrupted else next_command(outcome, args),
        unsent=outcome.unsent,
        quiet=args.quiet,
    )
    if args.json:
        print(json.dumps(result(outcome)), flush=True)
    if outcome.interrupted:
        print(f"stopped; to go on: {next_command(outcome, args)}", file=sys.stderr)
        return EXIT_INTERRUPTED
    return EXIT_FAILED if outcome.best is None else 0


def _submit(space: Space, args: argparse.Namespace) -> int:
    """The same study on the head of a cluster, which finds its own folder, Ray and data."""
    from search.cluster.token import user_token
    from search.record.header import commit
    from search.record.plugins import needed_by

    plugins = {plugin.name: plugin.text for plugin in needed_by(space)}
    words = {"space": space.path.name, "plugin": [*plugins], "storage": args.storage, "cluster": None, "address": None}
    there = words_of(parser(), args, **words)
    environment = {"MGC_COMMIT": version} if (version := commit()) else {}
    with user_token():
        from search.cluster import jobs

        return jobs.run(
            there,
            module="search.run",
            name=space.name,
            files=[space.path],
            texts=plugins,
            environment=environment,
            cluster=args.cluster,
            address=args.address,
        )


def _earlier(args: argparse.Namespace) -> Record | None:
    """The study of --warm-start."""
    from search.record.record import Record

    if args.warm_start is None:
        return None
    folder = Path(args.warm_start)
    return Record.open(folder if folder.is_dir() else args.out / args.warm_start)


def _rerun(args: argparse.Namespace) -> int:
    from search.study.rerun import rerun

    return 0 if rerun(args.out, args.rerun) else EXIT_FAILED


def next_command(outcome: Outcome, args: argparse.Namespace) -> str | None:
    """The command to type next: it goes on with an interrupted study, or confirms the best of one that has ended; None
    where there is no best.
    """
    from search.record.notes import TRACKING_URI
    from search.results.commands import confirm_command

    record = outcome.record
    if not outcome.interrupted:
        uri = record.noted(TRACKING_URI)
        command = confirm_command(record.folder, tracking_uri=uri, address=args.address)
        return None if outcome.best is None else command
    once = {"name": None, "warm_start": None, "max_hours": None, "max_cost": None, "quiet": False, "json": False}
    kept = {"resume": outcome.record.name, "storage": args.storage, "tracking_uri": args.tracking_uri}
    words = words_of(parser(), args, **kept, **once)
    return f"python -m search.run {shlex.join(map(redacted_word, words))}"


def result(outcome: Outcome) -> dict[str, Any]:
    """The outcome as `--json` prints it."""
    from search.record.ranking import counts, pareto_front, scores_of
    from search.space.describe import params_block

    record, header, best = outcome.record, outcome.record.header, outcome.best
    trials, by = record.trials(), header.objectives
    ended = counts(trials)
    return {
        "study": record.name,
        "space": header.space,
        "dataset": header.dataset,
        "split": header.split,
        "trials": len(trials),
        "complete": ended["complete"],
        "paused": ended["paused"],
        "stopped": ended["stopped"],
        "failed": ended["failed"],
        "infeasible": sum(not by.is_feasible(trial.last) for trial in trials),
        "best": best
        and {
            "trial": best.number,
            "params": dict(best.params),
            "yaml": params_block(best.params),
            "score": best.score(by.metric),
            "run_id": outcome.run_ids.get(best.number),
        },
        "front": [
            {"trial": t.number, "params": dict(t.params), "scores": scores_of(t, by)} for t in pareto_front(trials, by)
        ],
        "seconds": round(outcome.seconds, 1),
        "out": str(record.folder),
    }


if __name__ == "__main__":
    sys.exit(main())
