"""What two formats can say to each other and the hub has no word for. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from skep.gateway.translating.interfaces import UntranslatableError, Values
from skep.gateway.translating.models import Conversation, FormatName

_Turn = Callable[[Any], object]
"""From the value in one format to that in another; None: it cannot be said there."""

_NAMES: Mapping[FormatName, str] = {
    "chat": "OpenAI's format",
    "messages": "Anthropic's format",
    "responses": "OpenAI's responses",
    "gemini": "Gemini's format",
}


def said_in(conversation: Conversation, target: FormatName) -> Values:
    """The fields that only some formats know, as ``target`` has them; in its own format as they came.

    Raises UntranslatableError for one that it does not have.
    """
    if conversation.source == target:
        said = dict(conversation.only)
    else:
        words = _WORDS.get((conversation.source, target), {})
        said = {}
        for name, value in conversation.only.items():
            field, turn = words.get(name, ("", _nothing))
            turned = turn(value)
            if turned is None:
                raise UntranslatableError(name, f"cannot be said in {_NAMES[target]}")
            said[field] = turned
    return _nested(said) if target in ("responses", "gemini") else said


_CALLED: Mapping[str, Mapping[FormatName, str]] = {
    "stops": {
        "chat": "stop",
        "messages": "stop_sequences",
        "responses": "stop",
        "gemini": "generationConfig.stopSequences",
    },
    "turns": {"chat": "messages", "messages": "messages", "responses": "input", "gemini": "contents"},
}


def unsayable(conversation: Conversation, what: str, reason: str) -> UntranslatableError:
    """The error for what another format has no word for, with the name that the client knows it by."""
    return UntranslatableError(_CALLED[what][conversation.source], reason)


def _nothing(_value: object) -> None:
    return None


def _as_it_is(value: object) -> object:
    return value


def _word(value: object) -> object:
    return value if isinstance(value, str) else None


def _number(value: object) -> object:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _tier(value: object) -> object:
    return value.lower() if isinstance(value, str) else None


def _any_json(value: object) -> object:
    return _JSON if value in ("json_object", {"type": "json_object"}) else None


_PENALTIES = (
    ("seed", "generationConfig.seed"),
    ("frequency_penalty", "generationConfig.frequencyPenalty"),
    ("presence_penalty", "generationConfig.presencePenalty"),
)
_MIME = "generationConfig.responseMimeType"
_JSON = "application/json"

_WORDS: Mapping[tuple[FormatName, FormatName], Mapping[str, tuple[str, _Turn]]] = {
    ("responses", "chat"): {
        "service_tier": ("service_tier", _as_it_is),
        "text.verbosity": ("verbosity", _as_it_is),
        "text.format": ("response_format", lambda kind: {"type": kind}),
    },
    ("chat", "responses"): {
        "service_tier": ("service_tier", _word),
        "verbosity": ("text.verbosity", _word),
        "response_format": ("text.format", lambda form: "json_object" if form == {"type": "json_object"} else None),
    },
    ("chat", "gemini"): {
        "service_tier": ("serviceTier", _tier),
        "response_format": (_MIME, _any_json),
        **{name: (field, _number) for name, field in _PENALTIES},
    },
    ("responses", "gemini"): {"service_tier": ("serviceTier", _tier), "text.format": (_MIME, _any_json)},
    ("messages", "gemini"): {"top_k": ("generationConfig.topK", _number)},
    ("gemini", "chat"): {
        "serviceTier": ("service_tier", _tier),
        _MIME: ("response_format", lambda kind: {"type": "json_object"} if kind == _JSON else None),
        **{field: (name, _number) for name, field in _PENALTIES},
    },
    ("gemini", "responses"): {
        "serviceTier": ("service_tier", _tier),
        _MIME: ("text.format", lambda kind: "json_object" if kind == _JSON else None),
    },
    ("gemini", "messages"): {"generationConfig.topK": ("top_k", _number)},
}


def _nested(fields: Mapping[str, Any]) -> Values:
    """The fields, with those whose name has a dot in the object that is named before it."""
    values: Values = {}
    for name, value in fields.items():
        outer, _, inner = name.partition(".")
        if inner:
            values.setdefault(outer, {})[inner] = {"type": value} if inner == "format" else value
        else:
            values[name] = value
    return values
