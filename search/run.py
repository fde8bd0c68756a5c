"""`python -m search.run SPACE.yaml`: the command line of a study, and nothing else."""

from __future__ import annotations

import argparse
import errno
import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mgc.config import ConfigError
from search.space import Space

if TYPE_CHECKING:
    from search.driver import Outcome
    from search.record import Record

DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a study. Returns 0, 1 for a study without a complete trial, 2 for a mistake of the user's, 130 if stopped."""
    given = parsed(arguments)
    try:
        if given.rerun is not None:
            return _rerun(given)
        space = Space.load(given.space, profile=given.profile, data=given.data, overrides=overrides(given))
        if given.dry_run:
            from search.dryrun import dry_run

            dry_run(space)
            return 0
        if given.cluster is not None or str(given.address).startswith("http"):
            return _submit(space, given, sys.argv[1:] if arguments is None else arguments)
        return _run(space, given)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    except OSError as error:
        if error.errno not in DISK_IS_FULL:
            raise
        print(f"error: {error.filename or 'disk'}: {error.strerror}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        print("interrupted before the study began", file=sys.stderr)
        return EXIT_INTERRUPTED


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line; what is no study's ends the process with argparse's line and status 2."""
    made = parser()
    given = made.parse_args(arguments)
    if (given.space is None) == (given.rerun is None):
        made.error("either SPACE.yaml or --rerun STUDY/TRIAL is needed")
    return given


def overrides(given: argparse.Namespace) -> list[str]:
    """The --set options, and --trials, which is short for one."""
    if given.trials is not None and given.trials < 1:
        raise ConfigError(f"--trials must be >= 1, got {given.trials}")
    return [*given.set, *([f"search.trials={given.trials}"] if given.trials is not None else [])]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m search.run",
        description="Search the hyperparameters of a space file: Optuna proposes, Ray runs, ASHA stops, MLflow keeps.",
        epilog="What counts, last first: --set, --data, --profile, the file.",
    )
    add = made.add_argument
    add("space", metavar="SPACE.yaml", type=Path, nargs="?", help="the space file")
    add(
        "--data",
        metavar="NAME|DIR|FILE",
        help="dataset: a name, a folder <genre>/<file>, or an .npz (default: the file's)",
    )
    add("--profile", metavar="NAME", help="lay one of the file's profiles over it (default: none)")
    add(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="change one key: --set params.lr=0.01; repeatable",
    )
    add("--trials", metavar="N", type=int, help="number of trials (default: the file's)")
    add("--name", metavar="X", help="name of the study (default: the space's with the next number)")
    add("--resume", metavar="NAME", nargs="?", const="", help="go on with a study (default: the newest unfinished one)")
    add(
        "--warm-start",
        metavar="STUDY",
        help="let the sampler begin with an earlier study's results: a name, or a folder",
    )
    add("--rerun", metavar="STUDY/TRIAL", help="train one trial again from its record and compare the scores")
    add("--offline", action="store_true", help="tell MLflow nothing; python -m search.tracking sync STUDY does later")
    add("--out", metavar="DIR", type=Path, default=Path("runs"), help="where studies are kept (default: %(default)s)")
    add(
        "--storage",
        metavar="s3://...|DIR",
        default=os.environ.get("MGC_STORAGE"),
        help="checkpoints and a copy of the study, where every node sees them (default: $MGC_STORAGE, else --out)",
    )
    add("--cluster", metavar="CLUSTER.yaml", type=Path, help="run on the head of this cluster, which `ray up` started")
    add(
        "--address",
        metavar="auto|HOST|URL",
        help="Ray cluster to join (default: one running here, else one of its own), or http://... to send the study to",
    )
    add("--max-hours", metavar="H", type=_limit, help="end politely after so many hours, all starts together")
    add("--max-cost", metavar="USD", type=_limit, help="end politely when the cluster has cost so much meanwhile")
    add("--tracking-uri", metavar="URI", help="MLflow's (default: $MLFLOW_TRACKING_URI, else OUT/mlflow.db)")
    add("--dry-run", action="store_true", help="show what would be searched and how long it takes; start nothing")
    add("--json", action="store_true", help="end with the result as one JSON object on the last line of stdout")
    add("--quiet", action="store_true", help="print the result and errors only")
    return made


def _limit(text: str) -> float:
    if not (value := float(text)) > 0:
        raise argparse.ArgumentTypeError(f"must be > 0, got {text}")
    return value


def _run(space: Space, given: argparse.Namespace) -> int:
    from search.cost import Limits
    from search.display import show_summary
    from search.driver import Options, run_study  # Ray, Optuna: only once the file is known to be right
    from search.tracking import redacted

    options = Options(
        out=given.out,
        offline=given.offline,
        warm_start=_earlier(given),
        trials_given=any(setting.split("=")[0].strip() == "search.trials" for setting in overrides(given)),
        name=given.resume or given.name,
        resume=given.resume is not None,
        address=given.address,
        tracking_uri=given.tracking_uri,
        quiet=given.quiet,
        storage=given.storage,
        limits=Limits(hours=given.max_hours, usd=given.max_cost),
    )
    outcome = run_study(space, options)
    show_summary(
        outcome.record,
        seconds=outcome.seconds,
        tracking=redacted(outcome.tracking_uri),
        following=following(outcome, given),
        unsent=outcome.unsent,
        quiet=given.quiet,
    )
    if given.json:
        print(json.dumps(result(outcome)), flush=True)
    if outcome.interrupted:
        print(f"stopped; to go on: {following(outcome, given)}", file=sys.stderr)
        return EXIT_INTERRUPTED
    return EXIT_FAILED if outcome.best is None else 0


def _submit(space: Space, given: argparse.Namespace, words: Sequence[str]) -> int:
    """The same study on the head of a cluster: what is elsewhere than here is found there."""
    from search.cluster.token import use_token

    use_token()
    from search.cluster import jobs
    from search.commit import commit

    where = {"--cluster": given.cluster, "--address": given.address}
    told = list(words)
    for option, value in where.items():
        if f"{option}={value}" in told:
            told.remove(f"{option}={value}")
        elif option in told:
            del told[told.index(option) : told.index(option) + 2]
    told = [given.space.name if Path(word) == given.space else word for word in told]
    environment = {"MGC_COMMIT": found} if (found := commit()) else {}
    return jobs.run(
        told,
        module="search.run",
        name=space.name,
        files=[given.space],
        environment=environment,
        cluster=given.cluster,
        address=given.address,
    )


def _earlier(given: argparse.Namespace) -> Record | None:
    """The study of --warm-start."""
    from search.record import Record

    if given.warm_start is None:
        return None
    folder = Path(given.warm_start)
    return Record.open(folder if folder.is_dir() else given.out / given.warm_start)


def _rerun(given: argparse.Namespace) -> int:
    from search.rerun import rerun

    return 0 if rerun(given.out, given.rerun) else EXIT_FAILED


def following(outcome: Outcome, given: argparse.Namespace) -> str:
    """The command to type next."""
    from search.tracking import redacted

    if not outcome.interrupted:
        uri = redacted(outcome.tracking_uri)
        return f"open {uri} in a browser" if uri.startswith("http") else f"mlflow ui --backend-store-uri {uri}"
    values = {"--profile": given.profile, "--data": given.data, "--address": given.address, "--out": given.out}
    values["--storage"] = given.storage
    options = [word for name, value in values.items() if value is not None for word in (name, str(value))]
    settings = [word for setting in given.set for word in ("--set", setting)]
    words = [str(given.space), "--resume", outcome.record.name, *options, *settings]
    return f"python -m search.run {shlex.join(words)}"


def result(outcome: Outcome) -> dict[str, Any]:
    """The outcome as `--json` prints it."""
    from search.objectives import Objectives
    from search.overview import counts

    record, header, best = outcome.record, outcome.record.header, outcome.best
    trials, by = record.trials(), Objectives.of(header)
    ended = counts(trials)
    return {
        "study": record.name,
        "space": header["space"],
        "dataset": header["dataset"],
        "split": header["split"],
        "trials": len(trials),
        "complete": ended["complete"],
        "stopped": ended["stopped"],
        "failed": ended["failed"],
        "infeasible": sum(by.broken(trial.last) is not None for trial in trials),
        "best": best
        and {
            "trial": best.number,
            "params": dict(best.params),
            "score": best.score(by.metric),
            "run_id": outcome.run_ids.get(best.number),
        },
        "front": [{"trial": t.number, "params": dict(t.params), "scores": by.scores(t)} for t in by.front(trials)],
        "seconds": round(outcome.seconds, 1),
        "out": str(record.folder),
    }


if __name__ == "__main__":
    sys.exit(main())
