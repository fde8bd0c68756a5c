"""The JSON Schema (2020-12) of space files, for editors. It is made of the sections that also check a file."""

from __future__ import annotations

from typing import Any

from mgc.config import SHARED_SECTIONS, DataConfig, Section
from mgc.features.registry import FEATURES, own_keys
from mgc.models.registry import MODELS
from search.settings.sections import STUDY_SECTIONS, Published
from search.space.domains import FORMS, STEPPED
from search.space.overrides import changeable_keys

Schema = dict[str, Any]

SHARED_DEFINITIONS: dict[str, Schema] = {
    "_range": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
    "_when": {
        "type": "object",
        "description": "the param is there only where these params have this value, or one of these",
        "minProperties": 1,
        "additionalProperties": {"not": {"type": "object"}},
    },
    "_domain": {
        "type": "object",
        "oneOf": [{"required": [form]} for form in ("value", *FORMS)],
        "dependentSchemas": {"step": {"anyOf": [{"required": [form]} for form in STEPPED]}},
    },
    "_step": {
        "type": "number",
        "exclusiveMinimum": 0,
        "description": "how far apart the values are, from the lowest on",
    },
}


def space_schema() -> Schema:
    """The schema: which keys there are, and what each may be. Which values go together it cannot express."""
    values = _param_values()
    properties = {
        "description": {"type": "string", "description": "what the space is for"},
        "data": _section(DataConfig),
        "params": _object({key: _param(key, value) for key, value in values.items()}, "values or domains", ["model"]),
        **{name: _section(section) for name, section in STUDY_SECTIONS.items()},
        "profiles": _profiles(),
        "published": {"type": "array", "description": "figures of the paper", "items": _section(Published)},
        "reference": _object({key: {"$ref": f"#/$defs/{key}"} for key in values}, "params to compare with", ["model"]),
    }
    properties["data"]["properties"]["fold"] = {"$ref": "#/properties/params/properties/fold"}
    properties["budget"] |= {"if": {"required": ["epochs"]}, "then": {"maxProperties": 1}}
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "space file"}
    return {**head, **_object(properties, "a hyperparameter search", ["params"]), "$defs": SHARED_DEFINITIONS | values}


def _section(section: type[Section]) -> Schema:
    schema = section.model_json_schema()
    required = schema.get("required", [])
    return _object(_fields(section), (section.__doc__ or "").partition("\n")[0], required)


def _fields(section: type[Section]) -> dict[str, Schema]:
    properties: dict[str, Schema] = section.model_json_schema()["properties"]
    return {key: {name: part for name, part in field.items() if name != "title"} for key, field in properties.items()}


def _param_values() -> dict[str, Schema]:
    """What each param may be, by its key: of a key that models read differently, what any of them takes."""
    by_key: dict[str, list[Schema]] = {
        "model": [{"anyOf": [{"enum": list(MODELS)}, {"type": "string", "pattern": "^timm/."}]}],
        "seed": [{"type": "integer", "minimum": 0, "description": "seed of the training instead of the study's"}],
        "fold": [_fields(DataConfig)["fold"]],
    }
    fields = [item for section in (*SHARED_SECTIONS, *MODELS.values()) for item in _fields(section).items()]
    fields += [(key, _fields(each)[key]) for each in FEATURES.values() for key in own_keys(each)]
    for key, field in fields:
        value = {name: part for name, part in field.items() if name != "default"}
        if value not in by_key.setdefault(key, []):
            by_key[key].append(value)
    by_key["spectrogram"][0]["enum"] = list(FEATURES)
    return {key: values[0] if len(values) == 1 else {"anyOf": values} for key, values in by_key.items()}


def _param(key: str, value: Schema) -> Schema:
    """A value, or a domain over such values, or either under a condition."""
    reference = {"$ref": f"#/$defs/{key}"}
    choice = {"type": "array", "items": reference, "minItems": 1}
    forms = {"value": reference, **_ranges(value), "choice": choice, "grid": choice}
    return {"anyOf": [reference, {"$ref": "#/$defs/_domain", **_object({**forms, "when": {"$ref": "#/$defs/_when"}})}]}


def _ranges(value: Schema) -> dict[str, Schema]:
    """The forms of a domain that is a range of such values: none for words and lists."""
    types = {part.get("type") for part in value.get("anyOf", [value])}
    if not types & {"integer", "number"}:
        return {}
    names = ("int", "logint", "uniform", "loguniform") if "number" in types else ("int", "logint")
    return {**{name: {"$ref": "#/$defs/_range"} for name in names}, "step": {"$ref": "#/$defs/_step"}}


def _profiles() -> Schema:
    pointers = {
        f"{section}.{key}": {"$ref": f"#/properties/{section}/properties/{key}"}
        for section, keys in changeable_keys().items()
        for key in keys
    }
    description = "named changes of the settings above, as section.key: value; chosen by --profile"
    return {"type": "object", "description": description, "additionalProperties": _object(pointers)}


def _object(properties: dict[str, Schema], description: str = "", required: list[str] | None = None) -> Schema:
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    if description:
        schema["description"] = description
    if required:
        schema["required"] = required
    return schema
