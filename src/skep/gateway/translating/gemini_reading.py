"""Reads objects of Gemini's requests, in which each name may be written in two ways. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from skep.gateway.translating.interfaces import UntranslatableError
from skep.gateway.translating.reading import Fields

_UNDERSCORE = re.compile(r"_([a-z0-9])")
_SCHEMA_LISTS = ("anyOf", "prefixItems")
_SCHEMA_NUMBERS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")


def camel(name: str) -> str:
    """A name in the way in which Gemini's reference writes it."""
    return _UNDERSCORE.sub(lambda found: found[1].upper(), name)


def gemini_fields(values: object, path: str = "") -> Fields:
    """The fields of an object, whichever way their names are written. Raises UntranslatableError."""
    if not isinstance(values, Mapping):
        raise UntranslatableError(path or "the body", "must be an object")
    named: dict[str, Any] = {}
    for key, value in values.items():
        name = camel(key)
        if name in named:
            raise UntranslatableError(f"{path}.{name}" if path else name, "is said twice")
        named[name] = value
    return Fields(named, path)


def inner_of(fields: Fields, name: str) -> Fields | None:
    """An object in another one; None when it is absent."""
    value = fields.get(name, dict)
    return None if value is None else gemini_fields(value, fields.at(name))


def each_of(fields: Fields, name: str) -> Iterator[Fields]:
    """The objects of a list; one alone may stand for a list of one."""
    value = fields.any(name)
    values = [value] if isinstance(value, dict) else value
    if values is None:
        return
    if not isinstance(values, list):
        raise fields.refuse(name, "must be a list")
    for index, each in enumerate(values):
        yield gemini_fields(each, f"{fields.at(name)}.{index}")


def json_schema_of(schema: object, path: str) -> dict[str, Any]:
    """Gemini's own kind of schema (https://ai.google.dev/api/caching#Schema) as the JSON schema that it is nearly.

    Raises UntranslatableError.
    """
    if not isinstance(schema, Mapping):
        raise UntranslatableError(path, "must be an object")
    told: dict[str, Any] = {}
    for key, value in schema.items():
        name = camel(key)
        if value is None or name in ("propertyOrdering", "nullable"):
            continue
        if name == "type":
            told["type"] = str(value).lower()
        elif name == "properties" and isinstance(value, Mapping):
            told[name] = {each: json_schema_of(inner, f"{path}.{name}.{each}") for each, inner in value.items()}
        elif name in ("items", "additionalProperties") and isinstance(value, Mapping):
            told[name] = json_schema_of(value, f"{path}.{name}")
        elif name in _SCHEMA_LISTS and isinstance(value, list):
            told[name] = [json_schema_of(inner, f"{path}.{name}.{index}") for index, inner in enumerate(value)]
        elif name in _SCHEMA_NUMBERS and isinstance(value, str) and value.isdigit():
            # Numbers of 64 bits may be written as texts there.
            told[name] = int(value)
        elif name == "example":
            told["examples"] = [value]
        else:
            told[key if key.startswith("$") else name] = value
    if schema.get("nullable") is True and "type" in told:
        told["type"] = [told["type"], "null"]
    return told
