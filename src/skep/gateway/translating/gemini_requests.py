"""Reads requests of Gemini's generateContent. Pure; see `gemini`, which writes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import orjson

from skep.gateway.translating.gemini_reading import each_of, gemini_fields, inner_of, json_schema_of
from skep.gateway.translating.interfaces import Values
from skep.gateway.translating.models import (
    Conversation,
    Document,
    Effort,
    Image,
    Part,
    Reasoning,
    Role,
    Shape,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
)
from skep.gateway.translating.reading import Fields
from skep.gateway.translating.signing import UNSIGNED, signed_id

HINTS: Mapping[str, str] = {
    "labels": "labels for the provider's own records",
    "safetySettings": "only those that turn a filter off: elsewhere there is none to turn off",
    "contents.N.parts.N (thought)": "earlier thinking, which models do without",
    "contents.N.parts.N.thoughtSignature": "of what Gemini's models thought, which no other can read",
}

_ROLES: Mapping[str | None, Role] = {None: "user", "user": "user", "function": "user", "model": "assistant"}
_TIERS_NEUTRAL = ("standard", "unspecified", "STANDARD", "SERVICE_TIER_UNSPECIFIED", "SERVICE_TIER_STANDARD")
_NEUTRAL: Mapping[str, tuple[object, ...]] = {"serviceTier": _TIERS_NEUTRAL, "store": (False,)}
_NO_FILTER = ("BLOCK_NONE", "OFF", "HARM_BLOCK_THRESHOLD_UNSPECIFIED")
_SETTINGS_NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "candidateCount": (1,),
    "responseLogprobs": (False,),
    "presencePenalty": (0,),
    "frequencyPenalty": (0,),
    "responseModalities": ([], ["TEXT"]),
    "mediaResolution": ("MEDIA_RESOLUTION_UNSPECIFIED",),
    "responseMimeType": ("text/plain",),
}
_PART_NEUTRAL: Mapping[str, tuple[object, ...]] = {"thought": (False,)}
_EFFORTS: Mapping[str, Effort] = {
    "MINIMAL": "minimal",
    "LOW": "low",
    "MEDIUM": "medium",
    "HIGH": "high",
    "XHIGH": "xhigh",
}
_DYNAMIC = -1
"""A bound of thinking that is none: the model decides."""


def read_request(values: Mapping[str, Any]) -> Conversation:
    """See `Format`."""
    fields = gemini_fields(values)
    fields.drop("labels")
    fields.drop_neutral(_NEUTRAL)
    _filters(fields)
    calls = _Calls()
    system = inner_of(fields, "systemInstruction")
    turns = [] if system is None else [_system(system)]
    turns += [_turn(each, calls) for each in each_of(fields, "contents")]
    tools = [tool for each in each_of(fields, "tools") for tool in _tools(each)]
    choice, validates = _choice(fields, tools)
    settings = inner_of(fields, "generationConfig") or Fields({})
    shape, kept = _shape(settings)
    settings.drop_neutral(_SETTINGS_NEUTRAL)
    reasoning, shows = _reasoning(settings)
    return Conversation(
        model=fields.need("model", str),
        turns=tuple(turns),
        tools=tuple(replace(tool, is_strict=True) for tool in tools) if validates else tuple(tools),
        tool_choice=choice,
        shape=shape,
        reasoning=reasoning,
        max_tokens=settings.get("maxOutputTokens", int),
        temperature=settings.get("temperature", float),
        top_p=settings.get("topP", float),
        stops=tuple(settings.get("stopSequences", list) or ()),
        stream=fields.get("stream", bool) or False,
        shows_thinking=shows,
        source="gemini",
        only={**{settings.at(name): value for name, value in {**kept, **settings.rest()}.items()}, **fields.rest()},
    )


def _filters(fields: Fields) -> None:
    for each in each_of(fields, "safetySettings"):
        if each.any("threshold") not in _NO_FILTER:
            raise each.refuse("threshold")


@dataclass(slots=True)
class _Calls:
    """The calls of functions so far: an id may be missing, and then a result belongs to the first call of its name that has none."""

    count: int = 0
    waiting: list[tuple[str, str]] = field(default_factory=list)

    def made(self, call_id: str | None, name: str) -> str:
        """A call; its id."""
        call_id = call_id or f"call_{self.count}"
        self.count += 1
        self.waiting.append((call_id, name))
        return call_id

    def answered(self, call_id: str | None, name: str) -> str:
        """The id of the call that a result is of."""
        for waiting in self.waiting:
            if call_id == waiting[0] or (call_id is None and name == waiting[1]):
                self.waiting.remove(waiting)
                return waiting[0]
        return call_id or f"call_{name}"


def _system(fields: Fields) -> Turn:
    fields.drop("role")
    parts = tuple(_parts(fields, _Calls()))
    if not all(isinstance(part, Text) for part in parts):
        raise fields.refuse("parts", "must be texts")
    fields.finish()
    return Turn("system", parts)


def _turn(fields: Fields, calls: _Calls) -> Turn:
    role = fields.get("role", str)
    if role not in _ROLES:
        raise fields.refuse("role", "must be user or model")
    parts = tuple(_parts(fields, calls))
    fields.finish()
    return Turn(_ROLES[role], parts)


def _parts(fields: Fields, calls: _Calls) -> Iterator[Part]:
    for part in each_of(fields, "parts"):
        signature = part.get("thoughtSignature", str) or ""
        if part.any("thought") is True:
            yield Thinking(part.get("text", str) or "")
        elif "text" in part:
            yield Text(part.need("text", str))
        else:
            yield _part(part, calls, signature)
        part.finish()


def _part(part: Fields, calls: _Calls, signature: str) -> Part:
    for name, read in (("inlineData", _inline), ("fileData", _file)):
        inner = inner_of(part, name)
        if inner is not None:
            found = read(inner)
            inner.finish()
            return found
    call = inner_of(part, "functionCall")
    if call is not None:
        name = call.need("name", str)
        call.drop_neutral({"willContinue": (False,), "partialArgs": ([],)})
        call_id = calls.made(call.get("id", str), name)
        arguments = orjson.dumps(call.get("args", dict) or {}).decode()
        call.finish()
        return ToolUse(signed_id(call_id, "" if signature == UNSIGNED else signature), name, arguments)
    result = inner_of(part, "functionResponse")
    if result is not None:
        return _result(result, calls)
    part.finish()
    raise part.refuse("text", "is missing")


def _inline(inner: Fields) -> Image | Document:
    kind, data = inner.need("mimeType", str), inner.need("data", str)
    name = inner.get("displayName", str)
    if kind == "application/pdf":
        return Document(data, name)
    if not kind.startswith("image/"):
        raise inner.refuse("mimeType", f"{kind} cannot be said in the format of the provider; a picture and a PDF can")
    return Image(kind, data)


def _file(inner: Fields) -> Image:
    kind, address = inner.get("mimeType", str), inner.need("fileUri", str)
    inner.drop("displayName")
    if kind is not None and not kind.startswith("image/"):
        raise inner.refuse("mimeType", f"the address of a {kind} cannot be said in the format of the provider")
    if not address.startswith(("https://", "http://")) or "generativelanguage.googleapis.com/" in address:
        raise inner.refuse("fileUri", "only an address that anybody can read can be said in the format of the provider")
    return Image(url=address)


def _result(result: Fields, calls: _Calls) -> ToolResult:
    name = result.need("name", str)
    call_id = calls.answered(result.get("id", str), name)
    result.drop_neutral({"willContinue": (False,), "scheduling": ("SCHEDULING_UNSPECIFIED",)})
    response = result.get("response", dict) or {}
    is_error = set(response) == {"error"}
    said = response["error"] if is_error else response.get("output") if set(response) == {"output"} else response
    text = said if isinstance(said, str) else orjson.dumps(said).decode()
    pictures = [_picture(each) for each in each_of(result, "parts")]
    result.finish()
    return ToolResult(call_id, (Text(text), *pictures), is_error)


def _picture(part: Fields) -> Image:
    inner = inner_of(part, "inlineData")
    if inner is None:
        part.finish()
        raise part.refuse("inlineData", "is missing")
    found = _inline(inner)
    if not isinstance(found, Image):
        raise inner.refuse("mimeType", "only pictures of tools can be said in the format of the provider")
    inner.finish()
    part.finish()
    return found


def _tools(fields: Fields) -> Iterator[Tool]:
    for each in each_of(fields, "functionDeclarations"):
        each.drop_neutral({"behavior": ("UNSPECIFIED", "BLOCKING")})
        schema: Values | None = each.get("parametersJsonSchema", dict)
        own = each.get("parameters", dict)
        if schema is None and own is not None:
            schema = json_schema_of(own, each.at("parameters"))
        yield Tool(each.need("name", str), each.get("description", str), schema)
        each.finish()
    fields.finish()


def _choice(fields: Fields, tools: Sequence[Tool]) -> tuple[ToolChoice, bool]:
    """Which tool is to be called, and whether arguments must fit the schemas."""
    config = inner_of(fields, "toolConfig")
    choice = None if config is None else inner_of(config, "functionCallingConfig")
    if config is not None:
        config.finish()
    if choice is None:
        return ToolChoice(), False
    choice.drop_neutral({"streamFunctionCallArguments": (False,)})
    mode, names = choice.get("mode", str) or "AUTO", choice.get("allowedFunctionNames", list) or []
    choice.finish()
    modes: Mapping[str, Any] = {"AUTO": "auto", "MODE_UNSPECIFIED": "auto", "VALIDATED": "auto", "NONE": "none"}
    if mode in modes and not names:
        return ToolChoice(modes[mode]), mode == "VALIDATED"
    if mode != "ANY":
        raise choice.refuse(
            "mode", f"must be one of {', '.join(modes)}, ANY" if mode not in modes else "takes no names"
        )
    if len(names) == 1 and len(tools) > 1:
        return ToolChoice("one", cast("str", names[0])), False
    if names and set(names) != {tool.name for tool in tools}:
        raise choice.refuse(
            "allowedFunctionNames", "only one function, or all, can be said in the format of the provider"
        )
    return ToolChoice("any"), False


def _shape(settings: Fields) -> tuple[Shape | None, Values]:
    """The schema of the answer, and what is said of its form where there is none."""
    kind = settings.any("responseMimeType")
    own, schema = settings.get("responseSchema", dict), settings.get("responseJsonSchema", dict)
    if schema is None and own is not None:
        schema = json_schema_of(own, settings.at("responseSchema"))
    if schema is not None and kind in (None, "application/json"):
        return Shape(schema), {}
    return None, {} if kind in (None, "text/plain") else {"responseMimeType": kind}


def _reasoning(settings: Fields) -> tuple[Reasoning, bool]:
    """How the model shall think, and whether the client is to see it."""
    config = inner_of(settings, "thinkingConfig")
    if config is None:
        return Reasoning(), False
    shows = config.get("includeThoughts", bool) or False
    budget, level = config.get("thinkingBudget", int), config.get("thinkingLevel", str)
    config.finish()
    if level is not None and level.upper() != "THINKING_LEVEL_UNSPECIFIED":
        if level.upper() not in _EFFORTS:
            raise config.refuse("thinkingLevel", f"must be one of {', '.join(_EFFORTS)}")
        return Reasoning("adaptive", _EFFORTS[level.upper()]), shows
    if budget == 0:
        return Reasoning("off"), False
    if budget is not None and budget != _DYNAMIC:
        return Reasoning("budget", None, budget), shows
    return Reasoning("adaptive" if shows or budget is not None else None), shows
