"""Requests of OpenAI's responses (https://platform.openai.com/docs/api-reference/responses/create). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from skep.gateway.translating.chat import arguments_of, effort_of, inline_data, result_text
from skep.gateway.translating.interfaces import Values
from skep.gateway.translating.models import (
    Conversation,
    Document,
    Effort,
    Image,
    Part,
    Reasoning,
    Refusal,
    Role,
    Shape,
    Text,
    Thinking,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
)
from skep.gateway.translating.reading import Fields, read_tool_choice
from skep.gateway.translating.sharing import said_in, unsayable

HINTS: Mapping[str, str] = {
    "include": "only `reasoning.encrypted_content`: earlier thinking is left out anyway",
    "max_tool_calls": "of tools that the provider runs, and those are refused",
    "metadata": "labels for the provider's own records; the answer repeats them",
    "prompt_cache_key": "where the provider looks for a cache",
    "prompt_cache_options": "how the provider uses its cache; also marks in parts",
    "prompt_cache_retention": "how long the provider keeps a cache",
    "reasoning.context": "which earlier thinking the model sees; it is left out anyway",
    "stream_options": "how events are filled up",
    "input.N (reasoning)": "earlier thinking, which models do without",
    "input.N.content.N.annotations": "notes on an earlier answer, not part of what it says",
}

_NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "background": (False,),
    "service_tier": ("auto", "default"),
    "store": (False,),
    "top_logprobs": (0,),
    "truncation": ("disabled",),
    "context_management": ([],),
}
_CALLER: Mapping[str, tuple[object, ...]] = {"caller": ({"type": "direct"},), "namespace": ("",)}
_TOOL_NEUTRAL: Mapping[str, tuple[object, ...]] = {"defer_loading": (False,), "allowed_callers": (["direct"],)}
_ROLES = ("user", "assistant", "system", "developer")
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


def read_request(values: Mapping[str, Any]) -> Conversation:
    """See `Format`."""
    fields = Fields(values)
    if fields.any("include") not in (None, [], ["reasoning.encrypted_content"]):
        raise fields.refuse("include")
    fields.drop(*(name for name in HINTS if "." not in name))
    fields.drop_neutral(_NEUTRAL)
    instructions = fields.get("instructions", str)
    shape, kept = _text_options(fields)
    user = fields.get("user", str)
    return Conversation(
        model=fields.need("model", str),
        turns=(*([Turn("system", (Text(instructions),))] if instructions else []), *_turns(fields)),
        tools=tuple(_tool(each) for each in fields.objects("tools")),
        tool_choice=read_tool_choice(fields, lambda choice: choice.need("name", str)),
        shape=shape,
        reasoning=_reasoning(fields),
        max_tokens=fields.get("max_output_tokens", int),
        temperature=fields.get("temperature", float),
        top_p=fields.get("top_p", float),
        user=fields.get("safety_identifier", str) or user,
        stream=fields.get("stream", bool) or False,
        shows_thinking=_shows_thinking(values),
        source="responses",
        only={**kept, **fields.rest()},
    )


def _shows_thinking(values: Mapping[str, Any]) -> bool:
    """Whether the client asked for a summary of it."""
    reasoning = values.get("reasoning")
    return isinstance(reasoning, dict) and bool(reasoning.get("summary") or reasoning.get("generate_summary"))


def _reasoning(fields: Fields) -> Reasoning:
    reasoning = fields.inner("reasoning")
    if reasoning is None:
        return Reasoning()
    effort = reasoning.get("effort", str)
    reasoning.drop("summary", "generate_summary", "context")
    reasoning.drop_neutral({"mode": ("standard",)})
    reasoning.finish()
    if effort is None:
        return Reasoning()
    if effort not in _EFFORTS:
        raise reasoning.refuse("effort", f"must be one of {', '.join(_EFFORTS)}")
    return Reasoning("off") if effort == "none" else Reasoning("adaptive", cast("Effort", effort))


def _text_options(fields: Fields) -> tuple[Shape | None, Values]:
    """The schema of the answer, and what of ``text`` only some formats can say."""
    text = fields.inner("text")
    if text is None:
        return None, {}
    kept: Values = {}
    text.drop_neutral({"verbosity": ("medium",)})
    verbosity = text.get("verbosity", str)
    if verbosity is not None:
        kept["text.verbosity"] = verbosity
    form = text.inner("format")
    text.finish()
    if form is None:
        return None, kept
    kind = form.need("type", str)
    shape = None
    if kind == "json_schema":
        # Whether it is strict: a schema that is said is always kept to elsewhere.
        form.drop("strict")
        shape = Shape(form.need("schema", dict), form.get("name", str) or "answer")
    elif kind == "json_object":
        kept["text.format"] = kind
    elif kind != "text":
        raise form.refuse("type", f"{kind} cannot be said in the format of the provider")
    form.finish()
    return shape, kept


def _turns(fields: Fields) -> Iterator[Turn]:
    """What follows each other of the model is one turn: the calls of an answer belong together."""
    said: list[Part] = []
    for turn in _items(fields):
        if turn.role == "assistant":
            said += turn.parts
            continue
        if said:
            yield Turn("assistant", tuple(said))
            said = []
        yield turn
    if said:
        yield Turn("assistant", tuple(said))


def _items(fields: Fields) -> Iterator[Turn]:
    entry = fields.any("input")
    if isinstance(entry, str):
        yield Turn("user", (Text(entry),))
        return
    if not isinstance(entry, list):
        raise fields.refuse("input", "must be a text or a list of items")
    for index, value in enumerate(entry):
        item = Fields(value, f"{fields.at('input')}.{index}")
        kind = item.get("type", str) or ("message" if "role" in item else "item_reference")
        if kind not in _READERS:
            raise item.refuse("type", f"{kind} cannot be said in the format of the provider")
        yield _READERS[kind](item)
        item.finish()


def _message(item: Fields) -> Turn:
    role = item.need("role", str)
    if role not in _ROLES:
        raise item.refuse("role", f"must be one of {', '.join(_ROLES)}")
    item.drop("id", "status", "phase")
    parts = tuple(_parts(item, "content"))
    if role == "assistant" and not all(isinstance(part, Text | Refusal) for part in parts):
        raise item.refuse("content", "only text can be said there in the format of the provider")
    return Turn(cast("Role", role), parts)


def _function_call(item: Fields) -> Turn:
    item.drop("id", "status")
    item.drop_neutral(_CALLER)
    arguments = arguments_of(item.get("arguments", str) or "", item)
    return Turn("assistant", (ToolUse(item.need("call_id", str), item.need("name", str), arguments),))


def _function_output(item: Fields) -> Turn:
    item.drop("id", "status", "name")
    item.drop_neutral(_CALLER)
    parts = tuple(_parts(item, "output"))
    if not all(isinstance(part, Text | Image) for part in parts):
        raise item.refuse("output", "only text and images can be said in the format of the provider")
    return Turn("user", (ToolResult(item.need("call_id", str), cast("tuple[Text | Image, ...]", parts)),))


def _thought(item: Fields) -> Turn:
    item.drop("id", "status", "summary", "content", "encrypted_content")
    return Turn("assistant", ())


_READERS = {
    "message": _message,
    "function_call": _function_call,
    "function_call_output": _function_output,
    "reasoning": _thought,
}
"""Other items are of tools that the provider runs, or stand for what it has stored."""


def _parts(item: Fields, name: str) -> Iterator[Part]:
    content = item.any(name)
    if isinstance(content, str):
        yield Text(content)
        return
    if not isinstance(content, list):
        raise item.refuse(name, "must be a text or a list of parts")
    for index, value in enumerate(content):
        part = Fields(value, f"{item.at(name)}.{index}")
        part.drop("prompt_cache_breakpoint", "annotations", "logprobs")
        yield _part(part)
        part.finish()


def _part(part: Fields) -> Part:
    kind = part.need("type", str)
    if kind in ("input_text", "output_text"):
        return Text(part.need("text", str))
    if kind == "refusal":
        return Refusal(part.need("refusal", str))
    # What is not low is seen as it is.
    part.drop_neutral({"detail": ("auto", "high", "original")})
    if kind == "input_image" and "image_url" in part:
        url = part.need("image_url", str)
        return Image(*inline_data(part, "image_url", url)) if url.startswith("data:") else Image(url=url)
    if kind == "input_file" and "file_data" in part:
        media_type, data = inline_data(part, "file_data", part.need("file_data", str))
        if media_type != "application/pdf":
            raise part.refuse("file_data", f"{media_type} cannot be said in the format of the provider; a PDF can")
        return Document(data, part.get("filename", str))
    if kind in ("input_image", "input_file"):
        part.finish()
    raise part.refuse("type", f"{kind} cannot be said in the format of the provider")


def _tool(fields: Fields) -> Tool:
    kind = fields.need("type", str)
    if kind != "function":
        raise fields.refuse("type", f"{kind} cannot be said in the format of the provider; a function can")
    fields.drop_neutral(_TOOL_NEUTRAL)
    tool = Tool(
        fields.need("name", str),
        fields.get("description", str),
        fields.get("parameters", dict),
        fields.get("strict", bool),
    )
    fields.finish()
    return tool


def write_request(conversation: Conversation) -> Values:
    """See `Format`. Nothing is to be stored: clients of other formats know nothing of that."""
    if conversation.stops:
        raise unsayable(conversation, "stops", "cannot be said in OpenAI's responses")
    others = said_in(conversation, "responses")
    choice = conversation.tool_choice
    values: Values = {"model": conversation.model, "input": list(_written_items(conversation.turns)), "store": False}
    if conversation.tools:
        values["tools"] = [_written_tool(tool) for tool in conversation.tools]
    if choice.mode is not None:
        one = {"type": "function", "name": choice.name}
        values["tool_choice"] = {"auto": "auto", "any": "required", "none": "none", "one": one}[choice.mode]
    if (shape := conversation.shape) is not None:
        form = {"type": "json_schema", "name": shape.name, "schema": shape.schema, "strict": True}
        others.setdefault("text", {})["format"] = form
    effort = effort_of(conversation.reasoning)
    thinks = conversation.reasoning.mode in ("adaptive", "budget")
    reasoning = {"effort": effort, "summary": "auto" if thinks else None}
    plain = {
        "parallel_tool_calls": choice.parallel if conversation.tools else None,
        "reasoning": {name: value for name, value in reasoning.items() if value is not None} or None,
        "max_output_tokens": conversation.max_tokens,
        "temperature": conversation.temperature,
        "top_p": conversation.top_p,
        "user": conversation.user,
        "stream": conversation.stream or None,
    }
    values.update({name: value for name, value in plain.items() if value is not None})
    return {**values, **others}


def _written_items(turns: Iterable[Turn]) -> Iterator[Values]:
    for turn in turns:
        said: list[Part] = []
        for part in turn.parts:
            if not isinstance(part, ToolUse | ToolResult | Thinking):
                said.append(part)
                continue
            # Items stand in the order in which they were said.
            yield from _written_message(turn.role, said)
            said = []
            if isinstance(part, ToolUse):
                yield {"type": "function_call", "call_id": part.id, "name": part.name, "arguments": part.arguments}
            elif isinstance(part, ToolResult):
                yield {"type": "function_call_output", "call_id": part.id, "output": _written_output(part)}
        yield from _written_message(turn.role, said)


def _written_message(role: Role, parts: list[Part]) -> Iterator[Values]:
    if parts:
        yield {"role": role, "content": _content(parts, role)}


def _written_output(result: ToolResult) -> str | list[Values]:
    pictures = [part for part in result.parts if isinstance(part, Image)]
    text = result_text(result)
    if not pictures:
        return text
    return [*([{"type": "input_text", "text": text}] if text else []), *(_written_part(part, "") for part in pictures)]


def _content(parts: list[Part], role: Role) -> str | list[Values]:
    if len(parts) == 1 and isinstance(parts[0], Text):
        return parts[0].text
    return [_written_part(part, role) for part in parts]


def _written_part(part: Part, role: str) -> Values:
    if isinstance(part, Image):
        url = part.url or f"data:{part.media_type};base64,{part.data}"
        return {"type": "input_image", "image_url": url, "detail": "auto"}
    if isinstance(part, Document):
        data = f"data:application/pdf;base64,{part.data}"
        return {"type": "input_file", "file_data": data, "filename": part.name or "document.pdf"}
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text}
    assert isinstance(part, Text), "readers let nothing else stand here"
    return {"type": "output_text" if role == "assistant" else "input_text", "text": part.text}


def _written_tool(tool: Tool) -> Values:
    # It is strict there unless one says that it is not, and in no other format.
    values: Values = {"type": "function", "name": tool.name, "strict": bool(tool.is_strict)}
    values["parameters"] = tool.schema or {"type": "object", "properties": {}}
    return values if tool.description is None else {**values, "description": tool.description}
