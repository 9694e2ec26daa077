"""What is peculiar to requests of OpenAI's responses (https://platform.openai.com/docs/api-reference/responses/create). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from skep.gateway.interfaces import RequestInvalidError
from skep.gateway.large_bodies import Unread
from skep.gateway.naming import Names, unescaped

STORED_TOKENS = 2_000_000
"""What goes on from what a provider has stored has as much input as a model can see, at most. None behind this API sees more."""

RESPONSE_KEYS = (
    *("background", "context_management", "conversation", "input", "previous_response_id", "reasoning"),
    *("safety_identifier", "tools"),
)
"""What we go by in such requests alone."""

_FREE_TOOLS = frozenset({"function", "custom", "local_shell", "apply_patch"})
"""Tools that the client runs, for whose calls the provider charges nothing but tokens. Those that it runs itself cost more, or
have it read the input again and again."""

_LONGEST_TOOLS_BYTES = 1 << 19
_PIECE_BYTES = 1 << 16
_OVERLAP_BYTES = 1 << 10
_REFERENCE = re.compile(rb'"item_reference"|\{(?:"type":null,)?"id":"[^"]*"(?:,"type":null)?\}')
"""An item of the input that stands for one that the provider has stored. Its type may be left out."""

_LONG_CACHE = re.compile(rb'"ttl":"12h"')
"""Asked for all of the input, or at a place in it. What a cache costs that is kept for so long, no price says."""

_UNKNOWN_ITEMS = (b'"additional_tools"', b'"compaction_trigger"')


@dataclass(frozen=True, slots=True)
class ResponseTerms:
    """What a request asks for besides an answer to what it says."""

    dear_field: str | None = None
    """See `Known`."""
    stored_field: str | None = None
    """What makes it go on from what the provider has stored; None: nothing does."""


PLAIN = ResponseTerms()


def response_terms(values: Mapping[str, Any], body: bytes, plain: bytes, names: Names) -> ResponseTerms:
    """The terms of a request. Raises RequestInvalidError for what cannot be had here.

    ``plain`` is the body as `unescaped` gives it, ``names`` counts in that.
    """
    if values.get("background"):
        reason = "background asks for an answer that is fetched later, and answers are not kept here"
        raise RequestInvalidError(reason=reason, param="background")
    dear = _dear_field(values, body, names)
    if dear is None and names.count(b'"12h"') and _stands_in(plain, 0, len(plain), _LONG_CACHE):
        dear = "prompt_cache_options.ttl"
    return ResponseTerms(dear, stored_field(values, body))


def response_user(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Where such requests name the user."""
    return {"user": values.get("safety_identifier") or values.get("user")}


def _dear_field(values: Mapping[str, Any], body: bytes, names: Names) -> str | None:
    if values.get("prompt") is not None:
        # Whoever wrote it may have given it tools.
        return "prompt"
    if values.get("context_management"):
        return "context_management"
    reasoning = values.get("reasoning")
    if reasoning is not None and (not isinstance(reasoning, dict) or reasoning.get("mode") not in (None, "standard")):
        return "reasoning.mode"
    if not _are_free(_tools(values.get("tools"), body)):
        return "tools"
    return "input" if _has_dear_items(values.get("input"), names) else None


def _tools(tools: object, body: bytes) -> object:
    """The tools, read. A list that is too long for that, or no JSON, is none of which anything is known."""
    if not isinstance(tools, Unread):
        return tools
    if tools.span.end - tools.span.start > _LONGEST_TOOLS_BYTES:
        return tools
    try:
        found: object = orjson.loads(body[tools.span.start : tools.span.end])
    except orjson.JSONDecodeError:
        return tools
    return found


def _are_free(tools: object) -> bool:
    if not tools:
        return True
    return isinstance(tools, list) and all(_is_free(tool) for tool in tools)


def _is_free(tool: object) -> bool:
    if not isinstance(tool, dict):
        return False
    if tool.get("type") == "namespace":
        return all(isinstance(each, dict) and _is_free_kind(each.get("type")) for each in _list(tool.get("tools")))
    return _is_free_kind(tool.get("type"))


def _is_free_kind(kind: object) -> bool:
    return isinstance(kind, str) and kind in _FREE_TOOLS


def _list(value: object) -> Iterable[object]:
    return value if isinstance(value, list) else (value,)


def _has_dear_items(entry: object, names: Names) -> bool:
    if isinstance(entry, Unread):
        return any(names.count(word) for word in _UNKNOWN_ITEMS)
    return isinstance(entry, list) and any(_is_dear_item(item) for item in entry)


def _is_dear_item(item: object) -> bool:
    if not isinstance(item, dict):
        return False
    kind = item.get("type")
    return kind == "compaction_trigger" or (kind == "additional_tools" and not _are_free(item.get("tools")))


def stored_field(values: Mapping[str, Any], body: bytes) -> str | None:
    """The field that makes a request go on from what the provider has stored; None: nothing does."""
    for name in ("previous_response_id", "conversation"):
        if values.get(name) is not None:
            return name
    return "input" if _has_references(values.get("input"), body) else None


def _has_references(entry: object, body: bytes) -> bool:
    if isinstance(entry, Unread):
        return _stands_in(body, entry.span.start, entry.span.end, _REFERENCE)
    return isinstance(entry, list) and any(_is_reference(item) for item in entry)


def _stands_in(body: bytes, start: int, end: int, pattern: re.Pattern[bytes]) -> bool:
    """Whether something stands there, whatever space is in it. Piece by piece: other threads go on between them."""
    pieces = (body[at : min(at + _PIECE_BYTES, end)] for at in range(start, end, _PIECE_BYTES))
    packed = b"".join([piece.translate(None, b" \t\r\n") for piece in pieces])
    for at in range(0, len(packed), _PIECE_BYTES):
        if pattern.search(unescaped(packed[at : at + _PIECE_BYTES + _OVERLAP_BYTES])) is not None:
            return True
    return False


def _is_reference(item: object) -> bool:
    if not isinstance(item, dict):
        return False
    kind = item.get("type")
    return kind == "item_reference" or (kind is None and "id" in item and item.get("role") is None)
