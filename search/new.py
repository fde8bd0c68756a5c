"""`python -m search.new SPACE.yaml --data DATA --model MODEL`: writes a first space file, commented and checked."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mgc.config import DataConfig, SplitPolicy
from mgc.datasets.registry import open_dataset
from mgc.files.paths import expanded
from mgc.models.registry import MODELS, model_class
from mgc.plugins.sources import add_option, use_files
from mgc.tracks.dataset import Dataset
from mgc.tracks.splits import make_split
from mgc.words.command import TextParser, exit_code, program
from mgc.words.errors import ConfigError
from search.record.files import checked_name
from search.space.document import read_text
from search.space.space import Space
from search.space.starter import starter

ENDINGS = (".yaml", ".yml")


def main(words: Sequence[str] | None = None) -> int:
    """Write the file. Returns 2 for a mistake of the user's."""
    arguments = parser().parse_args(words)
    return exit_code(lambda: _main(arguments))


def _main(arguments: argparse.Namespace) -> int:
    use_files(*arguments.plugin)
    path = arguments.space
    check_path(path)
    model = model_class(arguments.model)
    dataset = open_dataset(arguments.data, make=False)
    data = data_config(dataset, arguments.data)
    text = starter(model, data, remark(dataset, data))
    space = Space.of(read_text(text, path), path, strict=True)
    try:
        with path.open("x") as file:
            file.write(text)
    except FileExistsError:
        check_path(path)
    print(f"{path} searches {', '.join(space.varying)} of {model.name} on {remark(dataset, data)}")
    print(f"next     python -m search.run {path} --dry-run")
    return 0


def check_path(path: Path) -> None:
    """Raise ConfigError for a path that no new space file can have."""
    if path.suffix not in ENDINGS:
        raise ConfigError(f"a space file must end in .yaml, got {str(path)!r}")
    checked_name(path.stem)
    if path.exists() or path.is_symlink():
        raise ConfigError(f"{path}: is there already, and is never written over")


def data_config(dataset: Dataset, spec: str) -> DataConfig:
    """The dataset with the most honest split that can divide it. ConfigError where none can."""
    place = expanded(spec)
    name = str(place.absolute()) if place.exists() else spec
    policies: list[SplitPolicy] = ["fault_filtered"] if dataset.is_gtzan else []
    policies += ["given"] if dataset.own_split else []
    for policy in (*policies, "artist"):
        try:
            make_split(dataset, data := DataConfig.checked({"dataset": name, "split": policy}))
            return data
        except ConfigError:
            continue
    make_split(dataset, data := DataConfig.checked({"dataset": name, "split": "track"}))
    return data


def remark(dataset: Dataset, data: DataConfig) -> str:
    """What the dataset holds, and by what it is divided."""
    artists = len({track.artist for track in dataset.tracks if track.artist})
    known = f"{artists} artists" if artists else "no artist named"
    genres = len(dataset.genres)
    return f"{len(dataset.tracks)} tracks, {genres} genres, {known}; split {data.split}"


def parser() -> TextParser:
    made = TextParser(prog=program("search.new"), description="Write a space file for a dataset and a model.")
    made.add_argument("space", metavar="SPACE.yaml", type=Path, help="the file; one that is there is left alone")
    add_option(made)
    made.add_argument("--data", metavar="NAME|DIR|FILE", default="synthetic", help="dataset (default: %(default)s)")
    made.add_argument("--model", default="se_cnn", help=f"{', '.join(MODELS)} or timm/NAME (default: %(default)s)")
    return made


if __name__ == "__main__":
    sys.exit(main())
