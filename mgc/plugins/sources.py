"""Which plug-ins there are: files that the command line or $MGC_PLUGINS names, and modules of installed packages."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from mgc.plugins.loading import use
from mgc.plugins.plugin import Plugin, PluginError, read

VARIABLE = "MGC_PLUGINS"
GROUPS = ("mgc.models", "mgc.features", "mgc.metrics", "mgc.datasets", "mgc.samplers")
"""The groups of entry points by which an installed package names its plug-ins: each is a module, read as a file is."""

_log = logging.getLogger("mgc")


def add_option(parser: argparse.ArgumentParser) -> None:
    """Give a command line the option `--plugin`, whose files `use_files` takes."""
    parser.add_argument(
        "--plugin",
        metavar="FILE.py",
        action="append",
        default=[],
        help="a file with models, features, metrics, datasets or samplers of yours (docs/plugins.md); repeatable "
        "(default: $MGC_PLUGINS)",
    )


def use_files(*paths: str | Path) -> None:
    """Use the plug-ins in these files, those in $MGC_PLUGINS, and those of installed packages, and no others.

    Raises PluginError, of one line with file and line, for one that cannot be used.
    """
    use(named(paths))


def named(paths: Sequence[str | Path]) -> tuple[Plugin, ...]:
    """These plug-ins, each once."""
    of_variable = [path for path in os.environ.get(VARIABLE, "").split(os.pathsep) if path]
    plugins = [*map(read, paths), *(read(path, is_asked=False) for path in of_variable), *_installed()]
    return tuple(dict.fromkeys(plugins))


def _installed() -> Iterator[Plugin]:
    """The modules that installed packages name. One that cannot be read is left out with a warning."""
    modules = {each.module for group in GROUPS for each in importlib.metadata.entry_points(group=group)}
    for module in sorted(modules):
        try:
            spec = importlib.util.find_spec(module)
            if spec is None or spec.origin is None:
                raise PluginError(f"{module}: there is no such module")
            yield read(spec.origin, name=f"{module}.py", is_asked=False)
        except Exception as error:  # whatever an installed package does when it is imported
            _log.warning("plug-in left out: %s", error)
