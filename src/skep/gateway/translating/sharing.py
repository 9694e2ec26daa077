"""What OpenAI's two formats of chats can say to each other and to nobody else. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skep.gateway.translating.interfaces import UntranslatableError, Values
from skep.gateway.translating.models import Conversation


def said_in_chat(conversation: Conversation) -> Values:
    """The fields that only some formats know, as chats have them. Raises UntranslatableError for one that they do not have."""
    if conversation.source == "chat":
        return dict(conversation.only)
    said: Values = {}
    for name, value in conversation.only.items():
        if conversation.source != "responses" or name not in _IN_CHAT:
            raise UntranslatableError(name, "cannot be said in OpenAI's format")
        field = _IN_CHAT[name]
        said[field] = {"type": value} if name == "text.format" else value
    return said


def said_in_responses(conversation: Conversation) -> Values:
    """The same, as responses have them."""
    if conversation.source == "responses":
        return _nested(conversation.only)
    for name, value in conversation.only.items():
        if conversation.source != "chat" or name not in _IN_RESPONSES or not isinstance(value, str):
            raise UntranslatableError(name, "cannot be said in OpenAI's responses")
    return _nested({_IN_RESPONSES[name]: value for name, value in conversation.only.items()})


_IN_CHAT: Mapping[str, str] = {
    "service_tier": "service_tier",
    "text.verbosity": "verbosity",
    "text.format": "response_format",
}
_IN_RESPONSES: Mapping[str, str] = {"service_tier": "service_tier", "verbosity": "text.verbosity"}


def _nested(fields: Mapping[str, Any]) -> Values:
    """The fields with those that stand in ``text`` in it."""
    values: Values = {}
    for name, value in fields.items():
        outer, _, inner = name.partition(".")
        if inner:
            values.setdefault(outer, {})[inner] = {"type": value} if inner == "format" else value
        else:
            values[name] = value
    return values
