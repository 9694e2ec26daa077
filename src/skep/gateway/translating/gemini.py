"""Requests of Gemini's generateContent (https://ai.google.dev/api/generate-content). Pure.

The model, and whether the answer is a stream, stand in its address; here they are among the body's fields as ``model`` and ``stream``.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import urlsplit

import orjson

from skep.gateway.translating.chat import result_text
from skep.gateway.translating.interfaces import Values
from skep.gateway.translating.models import (
    Conversation,
    Document,
    Effort,
    Image,
    Part,
    Reasoning,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
)
from skep.gateway.translating.sharing import said_in, unsayable
from skep.gateway.translating.signing import UNSIGNED, parted_id

_LEVELS: Mapping[Effort, str] = {
    "minimal": "MINIMAL",
    "low": "LOW",
    "medium": "MEDIUM",
    "high": "HIGH",
    "xhigh": "HIGH",
    "max": "HIGH",
}
"""More than high is high: few models have a level above."""

_ONE_AT_A_TIME = "Call at most one function at a time, and wait for its result."
"""There is no field for it, and agents ask for it with every request."""


def write_request(conversation: Conversation) -> Values:
    """See `Format`."""
    others = said_in(conversation, "gemini")
    turns = list(conversation.turns)
    system: list[Part] = []
    while turns and turns[0].role in ("system", "developer"):
        system += turns.pop(0).parts
    if any(turn.role in ("system", "developer") for turn in turns):
        reason = "instructions in the middle of a conversation cannot be said in Gemini's format"
        raise unsayable(conversation, "turns", reason)
    if conversation.tools and conversation.tool_choice.parallel is False:
        system.append(Text(_ONE_AT_A_TIME))
    values: Values = {"model": conversation.model, "contents": list(_contents(turns, conversation))}
    if system:
        values["systemInstruction"] = {"parts": [_written_part(part) for part in system]}
    if conversation.tools:
        values["tools"] = [{"functionDeclarations": [_written_tool(tool) for tool in conversation.tools]}]
        choice = _written_choice(conversation)
        if choice is not None:
            values["toolConfig"] = {"functionCallingConfig": choice}
    settings = _settings(conversation) | others.pop("generationConfig", {})
    if settings:
        values["generationConfig"] = settings
    return {**values, **others, **({"stream": True} if conversation.stream else {})}


def _settings(conversation: Conversation) -> Values:
    shape = conversation.shape
    plain = {
        "temperature": conversation.temperature,
        "topP": conversation.top_p,
        "maxOutputTokens": conversation.max_tokens,
        "stopSequences": list(conversation.stops) or None,
        "responseMimeType": None if shape is None else "application/json",
        "responseJsonSchema": None if shape is None else shape.schema,
        "thinkingConfig": _written_reasoning(conversation.reasoning, shows=conversation.shows_thinking),
    }
    return {name: value for name, value in plain.items() if value is not None}


def _written_reasoning(reasoning: Reasoning, *, shows: bool) -> Values | None:
    # Nothing is said unasked: models that do not think refuse it.
    if reasoning.mode == "off":
        return {"thinkingBudget": 0}
    values: Values = {}
    if reasoning.mode == "budget":
        values["thinkingBudget"] = reasoning.budget_tokens
    elif reasoning.effort is not None:
        values["thinkingLevel"] = _LEVELS[reasoning.effort]
    if reasoning.mode is not None and shows:
        values["includeThoughts"] = True
    return values or None


def _written_choice(conversation: Conversation) -> Values | None:
    choice = conversation.tool_choice
    if choice.mode == "one":
        return {"mode": "ANY", "allowedFunctionNames": [choice.name]}
    if choice.mode in ("any", "none"):
        return {"mode": choice.mode.upper()}
    if any(tool.is_strict for tool in conversation.tools):
        # Arguments fit the schemas then, as strict says; so they do where a call must be made.
        return {"mode": "VALIDATED"}
    return None if choice.mode is None else {"mode": "AUTO"}


def _written_tool(tool: Tool) -> Values:
    told = {"name": tool.name, "description": tool.description, "parametersJsonSchema": tool.schema}
    return {name: value for name, value in told.items() if value is not None}


def _contents(turns: Iterable[Turn], conversation: Conversation) -> Iterator[Values]:
    """What each side says; what follows each other of one side is one content, as results of parallel calls must be."""
    names: dict[str, str] = {}
    role, parts = "", list[Values]()
    for turn in turns:
        side = "model" if turn.role == "assistant" else "user"
        if side != role and parts:
            yield {"role": role, "parts": parts}
            parts = []
        role = side
        parts += _written_parts(turn.parts, names, conversation)
    if parts:
        yield {"role": role, "parts": parts}


def _written_parts(parts: Iterable[Part], names: dict[str, str], conversation: Conversation) -> Iterator[Values]:
    """``names`` has the functions by the ids of their calls: a result names its function."""
    has_called = False
    for part in parts:
        if isinstance(part, ToolUse):
            names[part.id] = part.name
            # Of calls that were made together only the first is signed.
            yield _written_use(part, "" if has_called else UNSIGNED)
            has_called = True
        elif isinstance(part, ToolResult):
            if part.id not in names:
                reason = f"the result of {part.id[:80]} follows no call of that id"
                raise unsayable(conversation, "turns", reason)
            yield _written_result(part, names[part.id])
        elif not isinstance(part, Thinking):
            yield _written_part(part)


def _written_use(use: ToolUse, unsigned: str) -> Values:
    call_id, signature = parted_id(use.id)
    # As it was written: a number that is read and written again may be another one.
    call = {"id": call_id, "name": use.name, "args": orjson.Fragment(use.arguments)}
    signature = signature or unsigned
    return {"functionCall": call, **({"thoughtSignature": signature} if signature else {})}


def _written_result(result: ToolResult, name: str) -> Values:
    text = result_text(ToolResult(result.id, result.parts))
    values: Values = {
        "id": parted_id(result.id)[0],
        "name": name,
        "response": {"error" if result.is_error else "output": text},
    }
    pictures = [_written_part(part) for part in result.parts if isinstance(part, Image)]
    if pictures:
        values["parts"] = pictures
    return {"functionResponse": values}


def _written_part(part: Part) -> Values:
    if isinstance(part, Image):
        if part.url:
            return {"fileData": _file(part.url)}
        return {"inlineData": {"mimeType": part.media_type, "data": part.data}}
    if isinstance(part, Document):
        return {"inlineData": {"mimeType": "application/pdf", "data": part.data}}
    assert isinstance(part, Text | Refusal), "the others are written elsewhere"
    return {"text": part.text}


def _file(url: str) -> Values:
    guessed = mimetypes.guess_type(urlsplit(url).path)[0]
    return {"fileUri": url, **({"mimeType": guessed} if guessed else {})}
