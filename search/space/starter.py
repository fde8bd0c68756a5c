"""A first space file for a model and a dataset: what may be worth a search, and every other param as a comment.

It is made of the sections that also check a file, so a new field of a model stands in it without a word here. It knows
what a dataset holds only as far as it is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mgc.config import AugmentConfig, ClipConfig, DataConfig, FeatureConfig, OptimizerConfig, Section
from mgc.models.network import NetworkConfig
from mgc.networks.training_config import training_config
from search.space.document import written
from search.space.shipped import SHIPPED

SEARCHED = {
    "lr": "{loguniform: [1.0e-4, 1.0e-2]}",
    "batch_size": "{choice: [16, 32, 64]}",
    "r": "{uniform: [2, 64]}",
    "dropout": "{uniform: [0.0, 0.5]}",
}
"""The params that a new space searches, where the model has them, and over what."""

SHARED: Mapping[type[Section], str] = {
    FeatureConfig: "what the model hears",
    ClipConfig: "which pieces of a track",
    AugmentConfig: "how training clips are changed at random",
    OptimizerConfig: "how it learns",
}
EPOCHS = 9
INDENT = "  "
REMARK = 44
"""The column in which remarks begin."""


def starter(model: type[NetworkConfig], data: DataConfig, about_data: str) -> str:
    """The text of a space file that searches this model on these data. `about_data` is a remark on the dataset."""
    name, dataset = model.name, written({"dataset": data.dataset})[0]
    lines = [
        f"# yaml-language-server: $schema={SHIPPED.resolve() / 'schema.json'}",
        f"description: a first search of {name}",
        f"data: {{{dataset}, split: {data.split}}}   # {about_data}",
        "params:                                    # each is a value or a domain, such as those of lr and batch_size",
        f"{INDENT}model: {name}",
        *(f"{INDENT}{key}: {domain}" for key, domain in SEARCHED.items() if key in _keys(model)),
        *_section(model, model, f"{name}'s own, with the values that they have; take away # and change what you like"),
        *(line for section, title in SHARED.items() for line in _section(section, model, title)),
        "search: {trials: 30, metric: val_accuracy, mode: max, seed: 0}",
        f"budget: {{max_epochs: {EPOCHS}}}                      # of a complete trial; most are paused before that",
        "resources: {cpus_per_trial: 1, trials_per_gpu: auto}",
    ]
    return "\n".join(lines) + "\n"


def _keys(model: type[NetworkConfig]) -> set[str]:
    return {key for section in (*SHARED, model) for key in section.keys()}


def _section(section: type[Section], model: type[NetworkConfig], title: str) -> Iterator[str]:
    """The params of a section that the file does not search, each as a comment that can be taken away."""
    values = training_config({"model": model.name}, data=DataConfig(), epochs=EPOCHS).flat()
    fields = section.model_json_schema()["properties"]
    keys = [key for key in fields if key not in SEARCHED]
    if keys:
        yield f"{INDENT}# {title}:"
    for key, line in zip(keys, written({key: _plain(values[key]) for key in keys}), strict=True):
        remark = ": ".join(filter(None, [_allowed(fields[key]), fields[key].get("description", "")]))
        yield f"{INDENT}# {line:{REMARK - 4}}# {remark}".rstrip("# ")


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _allowed(field: Mapping[str, Any]) -> str:
    """Which values a field takes, in few words."""
    if "enum" in field:
        return ", ".join(map(str, field["enum"]))
    if "anyOf" in field:
        return _allowed(field["anyOf"][0])
    if field.get("type") == "boolean":
        return "true or false"
    low = field.get("minimum", field.get("exclusiveMinimum"))
    high = field.get("maximum", field.get("exclusiveMaximum"))
    if low is None or high is None:
        return ""
    above = "above " if "exclusiveMinimum" in field else ""
    below = "below " if "exclusiveMaximum" in field else ""
    return f"{above}{low:g} to {below}{high:g}"
