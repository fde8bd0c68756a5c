"""The JSON Schema (2020-12) of space files for editors, made of the definitions that check them."""

from __future__ import annotations

from typing import Any

from mgc.config import SHARED_SECTIONS, DataConfig, Section
from mgc.models import MODELS
from search.domains import FORMS
from search.overrides import KEYS
from search.study import STUDY_SECTIONS, Published

Schema = dict[str, Any]

SHARED_DEFINITIONS: dict[str, Schema] = {
    "_range": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
    "_when": {
        "type": "object",
        "description": "the param is there only where these params have this value, or one of these",
        "minProperties": 1,
        "additionalProperties": {"not": {"type": "object"}},
    },
    "_domain": {"type": "object", "oneOf": [{"required": [form]} for form in ("value", *FORMS)]},
}


def space_schema() -> Schema:
    """Says which keys there are and what each may be; which values go together only the check itself can say."""
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
    """What each key of the shared sections and of any model may be: what either takes where models differ."""
    found: dict[str, list[Schema]] = {
        "model": [{"anyOf": [{"enum": list(MODELS)}, {"type": "string", "pattern": "^timm/."}]}],
        "seed": [{"type": "integer", "minimum": 0, "description": "seed of the training instead of the study's"}],
        "fold": [_fields(DataConfig)["fold"]],
    }
    for section in (*SHARED_SECTIONS, *MODELS.values()):
        for key, field in _fields(section).items():
            taken = {name: part for name, part in field.items() if name != "default"}
            if taken not in found.setdefault(key, []):
                found[key].append(taken)
    return {key: fields[0] if len(fields) == 1 else {"anyOf": fields} for key, fields in found.items()}


def _param(key: str, value: Schema) -> Schema:
    """A value, or a domain over such values, or either under a condition."""
    reference = {"$ref": f"#/$defs/{key}"}
    listed = {"type": "array", "items": reference, "minItems": 1}
    forms = {"value": reference, **_ranges(value), "choice": listed, "grid": listed}
    return {"anyOf": [reference, {"$ref": "#/$defs/_domain", **_object({**forms, "when": {"$ref": "#/$defs/_when"}})}]}


def _ranges(value: Schema) -> dict[str, Schema]:
    """The ranges that such a value may be drawn from: none for words and lists."""
    types = {part.get("type") for part in value.get("anyOf", [value])}
    if not types & {"integer", "number"}:
        return {}
    names = ("int", "logint", "uniform", "loguniform") if "number" in types else ("int", "logint")
    return {name: {"$ref": "#/$defs/_range"} for name in names}


def _profiles() -> Schema:
    pointers = {
        f"{section}.{key}": {"$ref": f"#/properties/{section}/properties/{key}"}
        for section, keys in KEYS.items()
        for key in keys
    }
    described = "named changes of the settings above, as section.key: value; chosen by --profile"
    return {"type": "object", "description": described, "additionalProperties": _object(pointers)}


def _object(properties: dict[str, Schema], description: str = "", required: list[str] | None = None) -> Schema:
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    if description:
        schema["description"] = description
    if required:
        schema["required"] = required
    return schema
