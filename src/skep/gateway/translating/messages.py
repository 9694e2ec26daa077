"""Requests and whole answers of Anthropic's messages (https://platform.claude.com/docs/en/api/messages). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import orjson

from skep.gateway.translating.interfaces import AnswerStrangeError, UntranslatableError, Values, Wanted
from skep.gateway.translating.models import (
    Answer,
    Conversation,
    Document,
    Effort,
    Image,
    Part,
    Reasoning,
    Refusal,
    Role,
    Shape,
    Stop,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
)
from skep.gateway.translating.reading import Fields
from skep.gateway.translating.sharing import said_in
from skep.gateway.usage import messages_usage_of
from skep.spend import Usage
from skep.web import anthropic_type

HINTS: Mapping[str, str] = {
    "cache_control": "what the provider shall keep in its cache; here and in blocks and tools",
    "context_management": "only `clear_thinking_20251015`: earlier thinking is left out anyway",
    "diagnostics": "asks why a cache was missed",
    "messages.N.content.N (thinking, redacted_thinking)": "earlier thinking, which models do without",
    "thinking.display": "how much of the thinking is shown",
    "tools.N.eager_input_streaming": "how arguments are cut in a stream",
}

_NEUTRAL: Mapping[str, tuple[object, ...]] = {"service_tier": ("auto",), "speed": ("standard",)}
_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_TOOL_NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "type": ("custom",),
    "defer_loading": (False,),
    "allowed_callers": (["direct"],),
    "input_examples": ([],),
}
_ROLES = ("user", "assistant", "system")

_STOPS: Mapping[str, Stop] = {
    "end_turn": "end",
    "max_tokens": "length",
    "stop_sequence": "stop_sequence",
    "tool_use": "tools",
    "refusal": "refusal",
    "pause_turn": "pause",
    "model_context_window_exceeded": "context",
}
REASONS: Mapping[Stop, str] = {stop: reason for reason, stop in _STOPS.items()}


def read_request(values: Mapping[str, Any]) -> Conversation:
    """See `Format`."""
    fields = Fields(values)
    fields.drop("cache_control", "diagnostics")
    fields.drop_neutral(_NEUTRAL)
    metadata = fields.inner("metadata")
    config = fields.inner("output_config")
    effort = None if config is None else config.get("effort", str)
    shape = None if config is None else _shape(config)
    _management(fields)
    system = tuple(_blocks(fields, "system"))
    most = fields.get("max_tokens", int)
    if most == 0:
        raise fields.refuse("max_tokens", "0 cannot be said in the format of the provider")
    conversation = Conversation(
        model=fields.need("model", str),
        turns=(
            *([Turn("system", system)] if system else []),
            *(_turn(each) for each in fields.objects("messages")),
        ),
        tools=tuple(_tool(each) for each in fields.objects("tools")),
        tool_choice=_tool_choice(fields),
        shape=shape,
        reasoning=(reasoning := _reasoning(fields, effort)),
        shows_thinking=reasoning.mode in ("adaptive", "budget"),
        max_tokens=most,
        temperature=fields.get("temperature", float),
        top_p=fields.get("top_p", float),
        stops=tuple(fields.get("stop_sequences", list) or ()),
        user=None if metadata is None else metadata.get("user_id", str),
        stream=fields.get("stream", bool) or False,
        source="messages",
        only=fields.rest(),
    )
    for each in (metadata, config):
        if each is not None:
            each.finish()
    return conversation


def _management(fields: Fields) -> None:
    management = fields.inner("context_management")
    if management is None:
        return
    for edit in management.objects("edits"):
        if edit.any("type") != "clear_thinking_20251015":
            raise edit.refuse("type")
    management.finish()


def _reasoning(fields: Fields, effort: str | None) -> Reasoning:
    if effort is not None and effort not in _EFFORTS:
        raise UntranslatableError("output_config.effort", f"must be one of {', '.join(_EFFORTS)}")
    known = cast("Effort | None", effort)
    thinking = fields.inner("thinking")
    if thinking is None:
        return Reasoning(None, known)
    kind = thinking.need("type", str)
    thinking.drop("display")
    budget = thinking.get("budget_tokens", int)
    thinking.finish()
    modes: Mapping[str, Any] = {"disabled": "off", "adaptive": "adaptive", "enabled": "budget"}
    if kind not in modes:
        raise thinking.refuse("type", f"{kind} cannot be said in the format of the provider")
    return Reasoning(modes[kind], known, budget)


def _shape(config: Fields) -> Shape | None:
    form = config.inner("format")
    if form is None:
        return None
    if form.any("type") != "json_schema":
        raise form.refuse("type")
    shape = Shape(form.need("schema", dict))
    form.finish()
    return shape


def _turn(fields: Fields) -> Turn:
    role = fields.need("role", str)
    if role not in _ROLES:
        raise fields.refuse("role", f"must be one of {', '.join(_ROLES)}")
    parts = tuple(_blocks(fields, "content"))
    fields.finish()
    return Turn(cast("Role", role), parts)


def _blocks(fields: Fields, name: str) -> Iterator[Part]:
    content = fields.any(name)
    if content is None:
        return
    if isinstance(content, str):
        yield Text(content)
        return
    if not isinstance(content, list):
        raise fields.refuse(name, "must be a text or a list of blocks")
    for index, value in enumerate(content):
        block = Fields(value, f"{fields.at(name)}.{index}")
        block.drop("cache_control")
        block.drop_neutral({"citations": ([], {"enabled": False}), "caller": ({"type": "direct"},)})
        yield _block(block)
        block.finish()


def _block(block: Fields) -> Part:
    kind = block.need("type", str)
    if kind == "text":
        return Text(block.need("text", str))
    if kind == "image":
        return _image(block)
    if kind == "document":
        return _document(block)
    if kind == "tool_use":
        written = block.need("input", dict)
        return ToolUse(block.need("id", str), block.need("name", str), orjson.dumps(written).decode())
    if kind == "tool_result":
        return _tool_result(block)
    if kind == "thinking":
        return Thinking(block.need("thinking", str), block.get("signature", str) or "")
    if kind == "redacted_thinking":
        return Thinking(block.need("data", str), is_redacted=True)
    raise block.refuse("type", f"{kind} cannot be said in the format of the provider")


def _tool_result(block: Fields) -> ToolResult:
    parts = tuple(_blocks(block, "content"))
    if not all(isinstance(part, Text | Image) for part in parts):
        raise block.refuse("content", "only text and images can be said in the format of the provider")
    is_error = block.get("is_error", bool) or False
    return ToolResult(block.need("tool_use_id", str), cast("tuple[Text | Image, ...]", parts), is_error)


def _source(block: Fields) -> Fields:
    source = block.inner("source")
    if source is None:
        raise block.refuse("source", "is missing")
    return source


def _image(block: Fields) -> Image:
    block.drop_neutral({"transformations": ({},)})
    source = _source(block)
    kind = source.need("type", str)
    if kind == "base64":
        image = Image(source.need("media_type", str), source.need("data", str))
    elif kind == "url":
        image = Image(url=source.need("url", str))
    else:
        raise source.refuse("type", f"{kind} cannot be said in the format of the provider")
    source.finish()
    return image


def _document(block: Fields) -> Document:
    source = _source(block)
    if source.need("type", str) != "base64" or source.need("media_type", str) != "application/pdf":
        raise source.refuse("type", "only a PDF in base64 can be said in the format of the provider")
    document = Document(source.need("data", str), block.get("title", str))
    source.finish()
    return document


def _tool(fields: Fields) -> Tool:
    fields.drop("cache_control", "eager_input_streaming")
    fields.drop_neutral(_TOOL_NEUTRAL)
    if "type" in fields:
        raise fields.refuse("type", f"{fields.any('type')} cannot be said in the format of the provider")
    tool = Tool(
        fields.need("name", str),
        fields.get("description", str),
        fields.need("input_schema", dict),
        fields.get("strict", bool),
    )
    fields.finish()
    return tool


def _tool_choice(fields: Fields) -> ToolChoice:
    choice = fields.inner("tool_choice")
    if choice is None:
        return ToolChoice()
    modes: Mapping[str, Any] = {"auto": "auto", "any": "any", "none": "none", "tool": "one"}
    kind = choice.need("type", str)
    if kind not in modes:
        raise choice.refuse("type", f"must be one of {', '.join(modes)}")
    name = choice.need("name", str) if kind == "tool" else None
    single = choice.get("disable_parallel_tool_use", bool)
    choice.finish()
    return ToolChoice(modes[kind], name, None if single is None else not single)


def write_request(conversation: Conversation) -> Values:
    """See `Format`. Without a bound of the output: Anthropic asks for one, which is up to whoever sends it."""
    others = said_in(conversation, "messages")
    turns = list(conversation.turns)
    system: list[Part] = []
    while turns and turns[0].role in ("system", "developer"):
        system += turns.pop(0).parts
    values: Values = {"model": conversation.model, "messages": list(_messages(turns))}
    if system:
        values["system"] = _content(system)
    if conversation.tools:
        values["tools"] = [_written_tool(tool) for tool in conversation.tools]
    choice = _written_choice(conversation)
    thinking, config = _written_reasoning(conversation)
    plain = {
        "tool_choice": choice,
        "thinking": thinking,
        "output_config": config or None,
        "max_tokens": conversation.max_tokens,
        "temperature": conversation.temperature,
        "top_p": conversation.top_p,
        "stop_sequences": list(conversation.stops) or None,
        "metadata": {"user_id": conversation.user} if conversation.user is not None else None,
        "stream": conversation.stream or None,
    }
    values.update({name: value for name, value in plain.items() if value is not None})
    return {**values, **others}


def _written_choice(conversation: Conversation) -> Values | None:
    choice = conversation.tool_choice
    # A choice without tools is refused there.
    if not conversation.tools or (choice.mode is None and choice.parallel is None):
        return None
    modes = {"auto": "auto", "any": "any", "none": "none", "one": "tool"}
    values: Values = {"type": modes[choice.mode or "auto"]}
    if choice.name is not None:
        values["name"] = choice.name
    if choice.parallel is not None and choice.mode != "none":
        values["disable_parallel_tool_use"] = not choice.parallel
    return values


def _written_reasoning(conversation: Conversation) -> tuple[Values | None, Values]:
    reasoning, config = conversation.reasoning, cast("Values", {})
    if reasoning.effort is not None:
        config["effort"] = "low" if reasoning.effort == "minimal" else reasoning.effort
    if conversation.shape is not None:
        config["format"] = {"type": "json_schema", "schema": conversation.shape.schema}
    if reasoning.mode == "budget":
        return {"type": "enabled", "budget_tokens": reasoning.budget_tokens}, config
    if reasoning.mode is None:
        return None, config
    return {"type": "disabled" if reasoning.mode == "off" else "adaptive"}, config


def _messages(turns: Iterable[Turn]) -> Iterator[Values]:
    """Results of several calls belong into one message, the client's next words after them."""
    waiting: list[Part] = []
    for turn in turns:
        if turn.role == "user" and waiting:
            waiting += turn.parts
        elif turn.role == "user" and any(isinstance(part, ToolResult) for part in turn.parts):
            waiting = list(turn.parts)
        else:
            if waiting:
                yield {"role": "user", "content": _content(waiting)}
                waiting = []
            role = "system" if turn.role == "developer" else turn.role
            parts = [part for part in turn.parts if not _is_foreign_thinking(part)]
            if parts or role != "assistant":
                yield {"role": role, "content": _content(parts)}
    if waiting:
        yield {"role": "user", "content": _content(waiting)}


def _is_foreign_thinking(part: Part) -> bool:
    """Whether it was not signed: then its provider does not take it back."""
    return isinstance(part, Thinking) and not part.is_redacted and not part.signature


def _content(parts: Iterable[Part]) -> str | list[Values]:
    parts = list(parts)
    if len(parts) == 1 and isinstance(parts[0], Text):
        return parts[0].text
    # Empty texts are refused there.
    return [_written_block(part) for part in parts if not (isinstance(part, Text) and not part.text)]


def _written_block(part: Part) -> Values:
    if isinstance(part, Image):
        return {"type": "image", "source": _written_source(part)}
    if isinstance(part, Document):
        source = {"type": "base64", "media_type": "application/pdf", "data": part.data}
        return {"type": "document", "source": source, **({} if part.name is None else {"title": part.name})}
    if isinstance(part, ToolUse):
        return _written_use(part)
    if isinstance(part, ToolResult):
        values: Values = {"type": "tool_result", "tool_use_id": part.id, "content": _content(part.parts)}
        return {**values, "is_error": True} if part.is_error else values
    if isinstance(part, Thinking):
        return _written_thinking(part)
    return {"type": "text", "text": part.text}


def _written_source(image: Image) -> Values:
    if image.url:
        return {"type": "url", "url": image.url}
    return {"type": "base64", "media_type": image.media_type, "data": image.data}


def _written_use(use: ToolUse) -> Values:
    # As it was written: a number that is read and written again may be another one.
    return {"type": "tool_use", "id": use.id, "name": use.name, "input": orjson.Fragment(use.arguments)}


def _written_thinking(part: Thinking) -> Values:
    if part.is_redacted:
        return {"type": "redacted_thinking", "data": part.text}
    return {"type": "thinking", "thinking": part.text, "signature": part.signature}


def _written_tool(tool: Tool) -> Values:
    values: Values = {"name": tool.name, "input_schema": tool.schema or {"type": "object", "properties": {}}}
    told = {"description": tool.description, "strict": tool.is_strict}
    return {**values, **{name: value for name, value in told.items() if value is not None}}


def read_answer(values: Mapping[str, Any]) -> Answer:
    """See `Format`."""
    try:
        parts = tuple(_answered(block) for block in values["content"])
    except (KeyError, TypeError) as error:
        raise AnswerStrangeError("it has no content") from error
    return Answer(
        id=str(values.get("id") or ""),
        model=str(values.get("model") or ""),
        parts=parts,
        stop=stop_of(values.get("stop_reason")),
        stop_sequence=values.get("stop_sequence"),
        usage=messages_usage_of(values.get("usage")),
    )


def stop_of(reason: object) -> Stop:
    """Why an answer ends."""
    return _STOPS.get(str(reason), "end")


def _answered(block: Mapping[str, Any]) -> Text | Thinking | ToolUse:
    kind = block["type"]
    if kind == "text":
        return Text(block["text"])
    if kind == "thinking":
        return Thinking(block["thinking"], block.get("signature") or "")
    if kind == "redacted_thinking":
        return Thinking(block["data"], is_redacted=True)
    if kind == "tool_use":
        return ToolUse(block["id"], block["name"], orjson.dumps(block["input"]).decode())
    # Only tools of the provider's own give others, and those cannot be asked for through another format.
    raise AnswerStrangeError(f"it has a block of the type {kind}")


def write_answer(answer: Answer, wanted: Wanted) -> Values:
    """See `Format`."""
    content: list[Values] = []
    for part in answer.parts:
        if isinstance(part, Thinking):
            content += [_written_thinking(part)] if wanted.thinking else []
        elif isinstance(part, ToolUse):
            content.append(_written_use(part))
        else:
            content.append({"type": "text", "text": part.text})
    stop = "refusal" if any(isinstance(part, Refusal) for part in answer.parts) else answer.stop
    return {
        "id": answer.id,
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": content,
        "stop_reason": REASONS[stop],
        "stop_sequence": answer.stop_sequence,
        "usage": write_usage(answer.usage),
    }


def write_usage(usage: Usage | None) -> Values:
    """Usage as Anthropic tells it: what came from a cache or went into it is not part of what went in."""
    usage = usage or Usage()
    cached, written = usage.cached_input_tokens or 0, usage.cache_write_tokens or 0
    values: Values = {
        "input_tokens": max(0, (usage.input_tokens or 0) - cached - written),
        "output_tokens": usage.output_tokens or 0,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": cached,
    }
    if (hour := usage.cache_write_1h_tokens) is not None:
        values["cache_creation"] = {
            "ephemeral_5m_input_tokens": max(0, written - hour),
            "ephemeral_1h_input_tokens": hour,
        }
    if usage.reasoning_tokens is not None:
        values["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return values


def write_error(status: int, message: str, _kind: str) -> Values:
    """See `Format`."""
    return {"type": "error", "error": {"type": anthropic_type(status), "message": message}}
