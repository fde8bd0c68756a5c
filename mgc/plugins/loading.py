"""The plug-ins in use in this process: their texts run, and what they declared entered into the registries.

It knows the registries of `mgc`. It must not know where a plug-in's text is from.
"""

from __future__ import annotations

import inspect
import linecache
import logging
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mgc.features import registry as features
from mgc.models import registry as models
from mgc.plugins.declared import Declaration, Kind, noted
from mgc.plugins.plugin import Plugin, PluginError, read
from mgc.plugins.samplers import DECLARED_SAMPLERS, DeclaredSampler
from mgc.training.part_metrics import PART_METRICS, PartMetric
from mgc.words.errors import ConfigError, one_line

if TYPE_CHECKING:
    from mgc.tracks.dataset import Dataset

_log = logging.getLogger("mgc")


@dataclass(frozen=True)
class _Loaded:
    """A plug-in that is in use, and what it added."""

    plugin: Plugin
    declarations: tuple[Declaration, ...]


_loaded: list[_Loaded] = []


def in_use() -> tuple[Plugin, ...]:
    """The plug-ins in use, in the order in which they were named."""
    return tuple(each.plugin for each in _loaded)


def names_of(plugin: Plugin) -> set[str]:
    """What a plug-in in use adds, by the names that a space file has: `mine`, `val_top3`."""
    declarations = next(each.declarations for each in _loaded if each.plugin == plugin)
    return {f"val_{each.name}" if each.kind == "metric" else each.name for each in declarations}


def use(plugins: Iterable[Plugin]) -> None:
    """Use these plug-ins, and no longer those of before.

    Raises PluginError, and uses none, where one cannot be used. One that nobody asked for, since it is installed, is
    left out with a warning then.
    """
    wanted = tuple(plugins)
    if wanted == in_use():
        return
    _forget_all()
    try:
        for plugin in wanted:
            _enter_if_usable(plugin)
    except BaseException:
        _forget_all()
        raise


def _enter_if_usable(plugin: Plugin) -> None:
    try:
        _enter(plugin)
    except PluginError as error:
        if plugin.is_asked:
            raise
        _log.warning("plug-in left out: %s", error)


def _enter(plugin: Plugin) -> None:
    if plugin.name in {each.name for each in in_use()}:
        raise plugin.error("there are two plug-ins of this name; give one file another name")
    with noted() as declarations:
        _run(plugin)
    if not declarations:
        _forget(_Loaded(plugin, ()))
        raise plugin.error(
            'adds nothing: put @model("name"), @feature, @metric, @dataset or @sampler of mgc.plugins over what it adds'
        )
    entered: list[Declaration] = []
    try:
        for each in declarations:
            _ENTER[each.kind](plugin, each)
            entered.append(each)
    except ConfigError as error:
        _forget(_Loaded(plugin, tuple(entered)))
        raise plugin.error(str(error), each.line) from None
    _loaded.append(_Loaded(plugin, tuple(entered)))


def _module_name(plugin: Plugin) -> str:
    """Under which a plug-in's module is known to Python; a dot would make it part of a package."""
    return f"mgc_plugin_{plugin.name.removesuffix('.py').replace('.', '_').replace('-', '_')}_{plugin.digest}"


def _file_name(plugin: Plugin) -> str:
    """Under which tracebacks name it. No file: the text may be from another machine."""
    return f"<plug-in {plugin.name} {plugin.digest}>"


def _run(plugin: Plugin) -> None:
    name, file = _module_name(plugin), _file_name(plugin)
    module = ModuleType(name)
    module.__package__ = plugin.package or None
    linecache.cache[file] = (len(plugin.text), None, plugin.text.splitlines(keepends=True), file)
    sys.modules[name] = module  # pydantic looks there for the names in annotations
    try:
        exec(compile(plugin.text, file, "exec", dont_inherit=True), module.__dict__)
    except (Exception, SystemExit) as error:  # whatever it may be, the code is the user's
        _forget(_Loaded(plugin, ()))
        raise plugin.error(_import_fault(error), line_of(error, plugin)) from None


def _import_fault(error: BaseException) -> str:
    match error:
        case ModuleNotFoundError(name=str(package)):
            return f"needs the package {package.partition('.')[0]}, which is not installed here"
        case SyntaxError(msg=text):
            return f"is no Python: {text}"
        case ConfigError():
            return str(error)
    return f"cannot be imported: {error_text(error)}"


def error_text(error: BaseException) -> str:
    """`ValueError: what it says`, in one line."""
    text = one_line(error) if isinstance(error, Exception) else str(error)
    return f"{type(error).__name__}: {text}"


def line_of(error: BaseException, plugin: Plugin) -> int | None:
    """The last line of the plug-in that an error came through; None for an error that came through none."""
    file = _file_name(plugin)
    if isinstance(error, SyntaxError) and error.filename == file:
        return error.lineno
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return lines[-1] if lines else None


def by_digest(digest: str | None) -> Plugin:
    """The plug-in in use that has this digest."""
    return next(plugin for plugin in in_use() if plugin.digest == digest)


# ---- entering


def _enter_model(plugin: Plugin, declared: Declaration) -> None:
    if isinstance(declared.thing, type):
        declared.thing.name, declared.thing.plugin = declared.name, plugin.digest  # type: ignore[attr-defined]
    models.add(declared.thing)


def _enter_feature(plugin: Plugin, declared: Declaration) -> None:
    place = f"{plugin.place}:{declared.line}"
    features.add(declared.name, declared.thing, plugin=plugin.digest, place=place)


def _enter_metric(plugin: Plugin, declared: Declaration) -> None:
    from mgc.training.metrics import SHIPPED, invented  # NumPy, which a plug-in of models does without

    _check_name(declared)
    if declared.name in PART_METRICS or declared.name in SHIPPED:
        raise ConfigError(f"there is a metric {declared.name!r} already; give this one another name")
    _check_arguments(declared, ("predictions",))
    metric = PartMetric(name=declared.name, of=declared.thing, mode=declared.mode, description=_first_line(declared))
    metric.value(invented())
    PART_METRICS[metric.name] = metric


def _enter_dataset(plugin: Plugin, declared: Declaration) -> None:
    from mgc.datasets import registry as datasets  # decoders of audio, which a plug-in of models does without

    if declared.name in datasets.BUILT_IN:
        raise ConfigError(f"there is a dataset {declared.name!r} already; give this one another name")
    _check_arguments(declared, ())
    datasets.BUILT_IN[declared.name] = datasets.BuiltIn(open=partial(_open_dataset, plugin, declared))


def _open_dataset(plugin: Plugin, declared: Declaration, *, progress: bool, make: bool) -> Dataset:
    from mgc.datasets.from_function import open_declared

    try:
        return open_declared(declared.name, declared.thing)
    except ConfigError as error:
        raise plugin.error(str(error), declared.line) from None
    except Exception as error:  # whatever it may be, the code is the user's
        line = line_of(error, plugin) or declared.line
        raise plugin.error(f"dataset {declared.name} failed: {error_text(error)}", line) from error


def _enter_sampler(plugin: Plugin, declared: Declaration) -> None:
    _check_name(declared)
    if declared.name in DECLARED_SAMPLERS:  # search.settings.samplers knows the shipped ones
        raise ConfigError(f"there is a sampler {declared.name!r} already; give this one another name")
    _check_arguments(declared, ("space", "seed"))
    DECLARED_SAMPLERS[declared.name] = DeclaredSampler(
        name=declared.name,
        make=declared.thing,
        description=_first_line(declared),
        plugin=plugin,
        line=declared.line,
    )


def _first_line(declared: Declaration) -> str:
    """What a function says of itself; its name where it says nothing."""
    return (inspect.getdoc(declared.thing) or declared.name).splitlines()[0]


def _check_name(declared: Declaration) -> None:
    if not declared.name.isidentifier() or declared.name != declared.name.lower():
        raise ConfigError(f"a {declared.kind}'s name must be small letters, digits and _, got {declared.name!r}")


def _check_arguments(declared: Declaration, names: tuple[str, ...]) -> None:
    """ConfigError unless it is a function that can be called with so many arguments."""
    wanted = f"{declared.name}({', '.join(names)})"
    if not callable(declared.thing):
        raise ConfigError(f"{declared.kind} {wanted} must be a function, got {declared.thing!r}")
    signature = inspect.signature(declared.thing)
    try:
        signature.bind(*names)
    except TypeError:
        raise ConfigError(f"must be a function {wanted}, got {declared.name}{signature}") from None


_ENTER: dict[str, Callable[[Plugin, Declaration], None]] = {
    "model": _enter_model,
    "feature": _enter_feature,
    "metric": _enter_metric,
    "dataset": _enter_dataset,
    "sampler": _enter_sampler,
}


def _forget_all() -> None:
    for loaded in _loaded:
        _forget(loaded)
    _loaded.clear()


def _forget(loaded: _Loaded) -> None:
    """Take out of the registries, and out of Python's modules, what a plug-in added."""
    for each in loaded.declarations:
        _registry(each.kind).pop(each.name)
    sys.modules.pop(_module_name(loaded.plugin), None)
    linecache.cache.pop(_file_name(loaded.plugin), None)


def _registry(kind: Kind) -> dict[str, Any]:
    match kind:
        case "model":
            return models.MODELS
        case "feature":
            return features.FEATURES
        case "metric":
            return PART_METRICS
        case "dataset":
            from mgc.datasets.registry import BUILT_IN

            return BUILT_IN
        case "sampler":
            return DECLARED_SAMPLERS


# ---- what was noted


def check_in_use(name: str, digest: str, *, of: str, copy: Path) -> None:
    """Raise a PluginError unless the plug-in with which something was made is in use. `of` is the study, or the model
    folder, and `copy` the text that lies there.
    """
    if digest in {plugin.digest for plugin in in_use()}:
        return
    there = f"--plugin {copy}" if _has(copy, digest) else f"--plugin FILE, where FILE is {name} as it was then"
    for plugin in in_use():
        if plugin.name == name:
            raise PluginError(
                f"{plugin.place} has changed since {of} was made (digest {digest} then, {plugin.digest} now): "
                f"what was used then is {there}"
            )
    raise PluginError(f"{of} was made with the plug-in {name} (digest {digest}): add {there}")


def _has(copy: Path, digest: str) -> bool:
    try:
        return read(copy).digest == digest
    except PluginError:
        return False
