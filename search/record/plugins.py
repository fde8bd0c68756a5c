"""The plug-ins of a study: in its header, as texts beside its record, and in use again when it goes on.

A study never brings code that runs: what lies in its folder is read only to say whether it is what was used then.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mgc.files.whole import write_whole
from mgc.models.registry import model_class
from mgc.plugins.loading import check_in_use, in_use, names_of, use
from mgc.plugins.plugin import Plugin
from search.record.files import plugin_file
from search.record.record import Record
from search.settings.objectives import listed
from search.space.params import Param
from search.space.space import Space


def needed_by(space: Space) -> list[Plugin]:
    """Of the plug-ins in use, those that a study of this space has: all that the command line names, and of the others
    those whose models, features, metrics, dataset or sampler the space has.
    """
    names = _names_in(space)
    return [plugin for plugin in in_use() if plugin.is_asked or names_of(plugin) & names]


def go_on_with(record: Record) -> list[str]:
    """Use the plug-ins of a study that goes on, and no others. Returns a line for each that is left out.

    Raises PluginError where one of the study's is not in use, or its file has changed.
    """
    noted = record.header.plugins
    for each in noted:
        check_in_use(each.name, each.digest, of=f"study {record.name}", copy=plugin_file(record.folder, each.name))
    digests = {each.digest for each in noted}
    others = [plugin for plugin in in_use() if plugin.digest not in digests]
    use([plugin for plugin in in_use() if plugin.digest in digests])
    return [f"plug-in {plugin.place} is left out: the study began without it" for plugin in others if plugin.is_asked]


def leave_texts(folder: Path) -> None:
    """Write the texts of the plug-ins in use beside a study's record."""
    for plugin in in_use():
        write_whole(plugin_file(folder, plugin.name), plugin.text)


def _names_in(space: Space) -> set[Any]:
    """Every name of a model, feature, metric, dataset or sampler that a space has."""
    search = space.search
    metrics = {*listed(search.metric), *search.constraints}
    models = _values(space.params, "model")
    features = (*_values(space.params, "spectrogram"), *(model_class(name).paper.get("spectrogram") for name in models))
    return {space.data.dataset, search.sampler, *metrics, *models, *features}


def _values(params: Mapping[str, Param], name: str) -> tuple[Any, ...]:
    if name not in params:
        return ()
    param = params[name]
    return (param.value,) if param.domain is None else param.domain.ends()


def plugins_of(record: Record) -> tuple[Plugin, ...]:
    """The study's plug-ins, of those in use."""
    digests = {each.digest for each in record.header.plugins}
    return tuple(plugin for plugin in in_use() if plugin.digest in digests)
