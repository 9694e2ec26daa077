"""What is peculiar to requests of Gemini's generateContent (https://ai.google.dev/api/generate-content). Pure.

Names may be written in two ways there, and the bound of the output stands in an object.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from skep.gateway.interfaces import RequestInvalidError
from skep.gateway.large_bodies import Unread
from skep.gateway.naming import Names
from skep.gateway.splicing import DuplicateKeyError, splice, top_level_spans

GENERATION_KEYS = (
    *(
        "generationConfig",
        "generation_config",
        "tools",
        "cachedContent",
        "cached_content",
        "serviceTier",
        "service_tier",
    ),
    *("systemInstruction", "system_instruction", "contents", "store"),
)
"""What we go by in such requests alone."""

_TWICE = (
    ("generationConfig", "generation_config"),
    ("cachedContent", "cached_content"),
    ("serviceTier", "service_tier"),
    ("systemInstruction", "system_instruction"),
)
_TIER_PREFIX = "service_tier_"
_LONGEST_TOOLS_BYTES = 1 << 19
_FREE_TOOLS = frozenset({"functionDeclarations", "function_declarations"})
"""Tools that the client runs. Those that Google runs cost more, or have the model read what nobody has counted."""

_SOUNDS = (b'"audio/', b'"video/', b'"fileData"', b'"file_data"')
"""What may be audio, whose tokens have a price of their own."""


@dataclass(frozen=True, slots=True)
class Named:
    """What the address of a request says, where it says it: which model is asked, and whether for a stream."""

    model: str
    streams: bool = False


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
    changed = splice(_config_bytes(body, name, config), {field: b"%d" % bound}, config)
    return splice(body, {name: changed}, values)


@dataclass(frozen=True, slots=True)
class GenerationTerms:
    """What a request asks for besides an answer to what it says."""

    choices: int
    bound: int | None
    """Of the output of one candidate, in tokens; None: it names none."""
    dear_field: str | None
    """See `Known`."""
    is_stored: bool
    """Whether it goes on from what the provider keeps."""
    has_audio: bool
    service_tier: str | None


_COUNT_NAMES = ("candidateCount", "candidate_count")
_ONCE = (*BOUND_NAMES, *_COUNT_NAMES)
"""By these it is reserved."""


def generation_terms(values: Mapping[str, Any], body: bytes, names: Names) -> GenerationTerms:
    """The terms of a request. Raises RequestInvalidError for what can be read in two ways.

    ``names`` counts in the body as `unescaped` gives it.
    """
    for camel, snake in _TWICE:
        if camel in values and snake in values:
            raise RequestInvalidError(reason=f"the body says {camel} twice", param=camel)
    if "model" in values:
        raise RequestInvalidError(reason="the model stands in the address, and not in the body", param="model")
    name, config = config_of(values, body)
    if config and any(names.count(b'"%b"' % each.encode()) > 1 for each in _ONCE):
        # Whose name stands there once more may be said twice: which of them counts differs from reader to reader.
        _check_once(body, name)
    choices = _whole(config, _COUNT_NAMES, f"{name}.candidateCount") or 1
    cached = values.get("cachedContent") or values.get("cached_content")
    return GenerationTerms(
        choices=choices,
        bound=_whole(config, BOUND_NAMES, f"{name}.{BOUND_NAMES[0]}"),
        dear_field=_dear_field(values, body, config),
        is_stored=bool(cached),
        has_audio=any(names.count(word) for word in _SOUNDS),
        service_tier=_tier(values.get("serviceTier", values.get("service_tier"))),
    )


def _check_once(body: bytes, name: str) -> None:
    span = top_level_spans(body, (name,))[name]
    try:
        top_level_spans(body[span.start : span.end], _ONCE)
    except DuplicateKeyError as error:
        raise RequestInvalidError(reason=f"{name} says {error.key} twice", param=f"{name}.{error.key}") from error


def _whole(config: Mapping[str, Any], names: tuple[str, str], param: str) -> int | None:
    told = [config[name] for name in names if config.get(name) is not None]
    if len(told) > 1:
        raise RequestInvalidError(reason=f"{param} is said twice", param=param)
    if not told:
        return None
    if type(told[0]) is not int or not 1 <= told[0] <= _MOST:
        raise RequestInvalidError(reason=f"{param} must be a whole number of at least 1", param=param)
    return int(told[0])


_MOST = 1 << 40


def _tier(tier: object) -> str | None:
    if not isinstance(tier, str):
        return None
    plain = tier.lower().removeprefix(_TIER_PREFIX)
    return None if plain in ("", "standard", "unspecified") else plain[:64]


def _dear_field(values: Mapping[str, Any], body: bytes, config: Mapping[str, Any]) -> str | None:
    """Because of what nobody here knows what the call costs: tools that the provider runs, and answers that are no text."""
    if not _are_free(values.get("tools"), body):
        return "tools"
    for name in ("responseModalities", "response_modalities"):
        modalities = config.get(name)
        if modalities and (not isinstance(modalities, list) or any(each != "TEXT" for each in modalities)):
            return f"generationConfig.{name}"
    return None


def _are_free(tools: object, body: bytes) -> bool:
    if isinstance(tools, Unread):
        if tools.span.end - tools.span.start > _LONGEST_TOOLS_BYTES:
            return False
        tools = orjson.loads(body[tools.span.start : tools.span.end])
    if not tools:
        return True
    each = tools if isinstance(tools, list) else [tools]
    return all(isinstance(tool, dict) and tool.keys() <= _FREE_TOOLS for tool in each)


def media_tokens(names: Names, picture: int, file: int) -> int:
    """A bound of what is not text: a small picture can have many tokens, and what is only named any number."""
    pictures = names.count(b'"inlineData"') + names.count(b'"inline_data"')
    return picture * pictures + file * (names.count(b'"fileData"') + names.count(b'"file_data"'))


_NUMBERS: Mapping[str, tuple[str, ...]] = {"temperature": ("temperature",), "top_p": ("topP", "top_p")}


def with_defaults(body: bytes, values: Mapping[str, Any], numbers: Mapping[str, float], system: str | None) -> bytes:
    """The request with numbers and a system text that it leaves out; every other byte as it came."""
    name, config = config_of(values, body)
    inner = {
        _NUMBERS[number][0]: orjson.dumps(value)
        for number, value in numbers.items()
        if all(config.get(each) is None for each in _NUMBERS[number])
    }
    changes = {name: splice(_config_bytes(body, name, config), inner, config)} if inner else {}
    if system is not None and not any(values.get(each) for each in ("systemInstruction", "system_instruction")):
        changes["systemInstruction"] = orjson.dumps({"parts": [{"text": system}]})
    return splice(body, changes, values) if changes else body


def _config_bytes(body: bytes, name: str, config: Mapping[str, Any]) -> bytes:
    if not config:
        return b"{}"
    span = top_level_spans(body, (name,))[name]
    return body[span.start : span.end]
