"""The command `python -m search.record repair STUDY`: it makes a damaged record readable again."""

from __future__ import annotations

import sys
from pathlib import Path

from mgc.words.command import TextParser, exit_code, folder, program
from search.record.damage import Repair, repair
from search.record.files import JOURNAL, study_names
from search.record.journal import RecordError, locked, not_writable
from search.record.ranking import states_text
from search.record.record import NotBegunError, Record


def main(arguments: list[str] | None = None) -> int:
    """Run the command line. Returns its exit code: 0, or 2 where no study could be saved."""
    options = parser().parse_args(arguments)
    return exit_code(lambda: _mend(options.out / options.study))


def parser() -> TextParser:
    made = TextParser(prog=program("search.record"), description="Repair the record of a study.")
    made.add_argument("command", choices=["repair"], help="save what can be saved of a damaged record")
    study = made.add_argument("study", metavar="STUDY", help="name of the study")
    study.completer = study_names  # type: ignore[attr-defined]
    made.add_argument("--out", type=folder, default=Path("runs"), help="folder of the studies (default: %(default)s)")
    return made


def _mend(study: Path) -> int:
    for line in mend(study):
        print(line)
    return 0


def mend(study: Path) -> list[str]:
    """Repair a study's record. Returns what was done, a sentence for each line.

    Raises RecordError where there is no record, where another driver runs the study, or where nothing could be saved.
    """
    if not (study / JOURNAL).is_file():
        raise NotBegunError(f"{study}: no study here (there is no {JOURNAL})")
    with locked(study):
        try:
            done = repair(study / JOURNAL)
        except OSError as error:
            raise not_writable(study, error) from None
        try:
            trials = Record.open(study).trials()
        except NotBegunError:
            raise RecordError(f"{study}: no study could be saved, since the damage is in its first lines") from None
    states = states_text(trials, live=False)
    has = f"{study.name} has {len(trials)} trial{'s' * (len(trials) != 1)} ({states or 'none'})"
    return [*(f"{study / JOURNAL}{what}" for what in _sentences(done)), has]


def _sentences(done: Repair) -> list[str]:
    if done.kept is None:
        return [": no line is damaged"]
    mended = [f":{number}: a flipped bit is put right" for number in done.mended]
    cut = [] if done.cut is None else [f":{done.cut}: this line is damaged, and cut off with all that follow"]
    return [*mended, *cut, f": what stood there from the first damage on is in {done.kept.name}"]


if __name__ == "__main__":
    sys.exit(main())
