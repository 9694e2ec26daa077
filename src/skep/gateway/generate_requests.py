"""What is peculiar to requests of Gemini's generateContent (https://ai.google.dev/api/generate-content). Pure.

Names may be written in two ways there, and the bound of the output stands in an object.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from skep.gateway.large_bodies import Unread
from skep.gateway.splicing import splice, top_level_spans

CONFIG_NAMES = ("generationConfig", "generation_config")
BOUND_NAMES = ("maxOutputTokens", "max_output_tokens")


def config_of(values: Mapping[str, Any], body: bytes) -> tuple[str, dict[str, Any]]:
    """The name that a request gives its settings of the generation, and those; empty where it has none, or no object."""
    for name in CONFIG_NAMES:
        value = values.get(name)
        if isinstance(value, Unread):
            value = orjson.loads(body[value.span.start : value.span.end])
        if name in values:
            return name, value if isinstance(value, dict) else {}
    return CONFIG_NAMES[0], {}


def bounded(body: bytes, values: Mapping[str, Any], bound: int) -> bytes:
    """The request with that bound of its output; every other byte as it came."""
    name, config = config_of(values, body)
    field = next((each for each in BOUND_NAMES if each in config), BOUND_NAMES[0])
    if config.get(field) == bound and type(config[field]) is int:
        return body
    inner = b"{}"
    if config:
        span = top_level_spans(body, (name,))[name]
        inner = body[span.start : span.end]
    return splice(body, {name: splice(inner, {field: b"%d" % bound}, config)}, values)
