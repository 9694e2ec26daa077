"""Requests and whole answers of OpenAI's chat completions (https://platform.openai.com/docs/api-reference/chat). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import orjson

from skep.gateway.translating.interfaces import AnswerStrangeError, Values, Wanted
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
    ToolResult,
    ToolUse,
    Turn,
)
from skep.gateway.translating.reading import Fields, read_tool_choice
from skep.gateway.translating.sharing import said_in
from skep.gateway.usage import usage_of
from skep.spend import Usage

HINTS: Mapping[str, str] = {
    "metadata": "labels for the provider's own records",
    "prompt_cache_key": "where the provider looks for a cache",
    "prompt_cache_options": "how the provider uses its cache",
    "prompt_cache_retention": "how long the provider keeps a cache",
    "stream_options": "of the stream itself; `include_usage` is heeded",
    "messages.N.reasoning_content": "earlier thinking, which models do without",
    "messages.N.annotations": "notes on an earlier answer, not part of what it says",
}

_NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "n": (1,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "store": (False,),
    "modalities": (["text"],),
    "service_tier": ("auto", "default"),
    "verbosity": ("medium",),
}
_ROLES = ("system", "developer", "user", "assistant", "tool")
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")

_STOPS: Mapping[str, Stop] = {
    "stop": "end",
    "length": "length",
    "tool_calls": "tools",
    "function_call": "tools",
    "content_filter": "refusal",
}
REASONS: Mapping[Stop, str] = {
    "end": "stop",
    "length": "length",
    "stop_sequence": "stop",
    "tools": "tool_calls",
    "refusal": "content_filter",
    "pause": "stop",
    "context": "length",
}

_BUDGETS: tuple[tuple[int, Effort], ...] = ((4_096, "low"), (16_384, "medium"))
"""Anthropic's bound of thinking as OpenAI's effort; beyond them it is high. OpenAI has no bound in tokens."""


def read_request(values: Mapping[str, Any]) -> Conversation:
    """See `Format`."""
    fields = Fields(values)
    options = fields.inner("stream_options")
    effort = fields.get("reasoning_effort", str)
    if effort is not None and effort not in _EFFORTS:
        raise fields.refuse("reasoning_effort", f"must be one of {', '.join(_EFFORTS)}")
    fields.drop(*(name for name in HINTS if "." not in name))
    fields.drop_neutral(_NEUTRAL)
    stop = fields.any("stop")
    bounds = [fields.get(name, int) for name in ("max_completion_tokens", "max_tokens")]
    user = fields.get("user", str)
    return Conversation(
        model=fields.need("model", str),
        turns=tuple(_turn(each) for each in fields.objects("messages")),
        tools=tuple(_tool(each) for each in fields.objects("tools")),
        tool_choice=read_tool_choice(fields, _chosen_function),
        shape=_shape(fields),
        reasoning=Reasoning() if effort is None else _reasoning(effort),
        max_tokens=next((bound for bound in bounds if bound is not None), None),
        temperature=fields.get("temperature", float),
        top_p=fields.get("top_p", float),
        stops=_texts(fields, "stop", stop),
        user=fields.get("safety_identifier", str) or user,
        stream=fields.get("stream", bool) or False,
        wants_usage=options is not None and options.any("include_usage") is True,
        source="chat",
        only=fields.rest(),
    )


def _reasoning(effort: str) -> Reasoning:
    return Reasoning("off") if effort == "none" else Reasoning("adaptive", cast("Effort", effort))


def _texts(fields: Fields, name: str, value: object) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value or []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise fields.refuse(name, "must be a text or a list of texts")
    return tuple(texts)


def _turn(fields: Fields) -> Turn:
    role = fields.need("role", str)
    if role not in _ROLES:
        raise fields.refuse("role", f"must be one of {', '.join(_ROLES)}")
    fields.drop("annotations")
    if role == "tool":
        return _tool_turn(fields)
    parts: list[Part] = []
    if role == "assistant":
        thought = fields.get("reasoning_content", str)
        parts += [Thinking(thought)] if thought else []
    parts += _parts(fields)
    refusal = fields.get("refusal", str)
    parts += [Refusal(refusal)] if refusal else []
    parts += [_tool_use(each) for each in fields.objects("tool_calls")]
    fields.finish()
    return Turn(cast("Role", role), tuple(parts))


def _tool_turn(fields: Fields) -> Turn:
    parts = tuple(_parts(fields))
    name = fields.need("tool_call_id", str)
    fields.finish()
    if not all(isinstance(part, Text) for part in parts):
        raise fields.refuse("content", "must be text")
    return Turn("user", (ToolResult(name, cast("tuple[Text, ...]", parts)),))


def _tool_use(fields: Fields) -> ToolUse:
    if fields.any("type") not in ("function", None):
        raise fields.refuse("type")
    fields.drop("index")
    function = fields.inner("function")
    if function is None:
        raise fields.refuse("function", "is missing")
    use = ToolUse(
        fields.need("id", str), function.need("name", str), arguments_of(function.get("arguments", str) or "", function)
    )
    function.finish()
    fields.finish()
    return use


def arguments_of(text: str, fields: Fields) -> str:
    """The arguments of a call, which must be a JSON object; nothing is an empty one."""
    if not text.strip():
        return "{}"
    if not _is_object(text):
        raise fields.refuse("arguments", "must be a JSON object as text")
    return text


def _is_object(text: str) -> bool:
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False


def _parts(fields: Fields) -> Iterator[Part]:
    content = fields.any("content")
    if content is None:
        return
    if isinstance(content, str):
        yield Text(content)
        return
    if not isinstance(content, list):
        raise fields.refuse("content", "must be a text or a list of parts")
    for index, value in enumerate(content):
        part = Fields(value, f"{fields.at('content')}.{index}")
        yield _part(part)
        part.finish()


def _part(part: Fields) -> Part:
    kind = part.need("type", str)
    if kind == "text":
        return Text(part.need("text", str))
    if kind == "refusal":
        return Refusal(part.need("refusal", str))
    if kind == "image_url":
        return _image(part)
    if kind == "file":
        return _file(part)
    raise part.refuse("type", f"{kind} cannot be said in the format of the provider")


def _image(part: Fields) -> Image:
    inner = part.inner("image_url")
    if inner is None:
        raise part.refuse("image_url", "is missing")
    url = inner.need("url", str)
    # What is not low is seen as it is.
    inner.drop_neutral({"detail": ("auto", "high")})
    inner.finish()
    if not url.startswith("data:"):
        return Image(url=url)
    media_type, data = inline_data(inner, "url", url)
    return Image(media_type, data)


def _file(part: Fields) -> Document:
    inner = part.inner("file")
    if inner is None:
        raise part.refuse("file", "is missing")
    if "file_data" not in inner:
        inner.finish()
        raise inner.refuse("file_data", "is missing")
    media_type, data = inline_data(inner, "file_data", inner.need("file_data", str))
    name = inner.get("filename", str)
    inner.finish()
    if media_type != "application/pdf":
        raise inner.refuse("file_data", f"{media_type} cannot be said in the format of the provider; a PDF can")
    return Document(data, name)


def inline_data(fields: Fields, name: str, url: str) -> tuple[str, str]:
    """The media type of an address that holds its bytes, and those in base64."""
    head, comma, data = url.partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        raise fields.refuse(name, "must be an address, or data: with a media type and base64")
    return head.removeprefix("data:").removesuffix(";base64").partition(";")[0], data


def _tool(fields: Fields) -> Tool:
    if fields.need("type", str) != "function":
        raise fields.refuse("type", "only functions can be said in the format of the provider")
    function = fields.inner("function")
    if function is None:
        raise fields.refuse("function", "is missing")
    tool = Tool(
        function.need("name", str),
        function.get("description", str),
        function.get("parameters", dict),
        function.get("strict", bool),
    )
    function.finish()
    fields.finish()
    return tool


def _chosen_function(choice: Fields) -> str:
    function = choice.inner("function")
    name = None if function is None else function.get("name", str)
    if name is None:
        raise choice.refuse("function.name", "is missing")
    return name


def _shape(fields: Fields) -> Shape | None:
    # Any JSON some others can say, too: it is up to whoever writes the request.
    form = None if fields.says("response_format", {"type": "json_object"}) else fields.inner("response_format")
    if form is None:
        return None
    kind = form.need("type", str)
    if kind == "text":
        return None
    schema = form.inner("json_schema")
    if kind != "json_schema" or schema is None:
        raise form.refuse("type", f"{kind} cannot be said in the format of the provider; json_schema can")
    # Whether it is strict: a schema that is said is always kept to elsewhere.
    schema.drop("strict")
    if "description" in schema:
        raise schema.refuse("description")
    shape = Shape(schema.need("schema", dict), schema.get("name", str) or "answer")
    schema.finish()
    form.finish()
    return shape


def write_request(conversation: Conversation) -> Values:
    """See `Format`."""
    others = said_in(conversation, "chat")
    values: Values = {"model": conversation.model, "messages": list(_messages(conversation.turns))}
    choice, said = conversation.tool_choice, values.update
    if conversation.tools:
        said(tools=[_written_tool(tool) for tool in conversation.tools])
    if choice.mode is not None:
        one = {"type": "function", "function": {"name": choice.name}}
        said(tool_choice={"auto": "auto", "any": "required", "none": "none", "one": one}[choice.mode])
    if choice.parallel is not None and conversation.tools:
        said(parallel_tool_calls=choice.parallel)
    if conversation.shape is not None:
        schema = {"name": conversation.shape.name, "schema": conversation.shape.schema, "strict": True}
        said(response_format={"type": "json_schema", "json_schema": schema})
    effort = effort_of(conversation.reasoning)
    plain = {
        "reasoning_effort": effort,
        "max_completion_tokens": conversation.max_tokens,
        "temperature": conversation.temperature,
        "top_p": conversation.top_p,
        "stop": list(conversation.stops) or None,
        "user": conversation.user,
        "stream": conversation.stream or None,
        "stream_options": {"include_usage": True} if conversation.stream and conversation.wants_usage else None,
    }
    values.update({name: value for name, value in plain.items() if value is not None})
    return {**values, **others}


def effort_of(reasoning: Reasoning) -> str | None:
    """How much the model shall think, in OpenAI's words."""
    if reasoning.mode == "off":
        return "none"
    if reasoning.effort is not None:
        return "xhigh" if reasoning.effort == "max" else reasoning.effort
    if reasoning.mode == "budget":
        budget = reasoning.budget_tokens or 0
        return next((effort for most, effort in _BUDGETS if budget <= most), "high")
    return None


def _messages(turns: Iterable[Turn]) -> Iterator[Values]:
    for turn in turns:
        if turn.role == "assistant":
            yield _assistant(turn.parts)
            continue
        rest: list[Part] = []
        for part in turn.parts:
            if isinstance(part, ToolResult):
                yield {"role": "tool", "tool_call_id": part.id, "content": result_text(part)}
                pictures = [each for each in part.parts if isinstance(each, Image)]
                # A tool's message has only text: what it shows follows, as the client's own words would.
                rest += [Text(f"Pictures from the tool call {part.id}:"), *pictures] if pictures else []
        rest += [part for part in turn.parts if not isinstance(part, ToolResult)]
        if rest or not turn.parts:
            yield {"role": turn.role, "content": _content(rest)}


def result_text(result: ToolResult) -> str:
    """What a tool gave back, as text."""
    text = "\n".join(part.text for part in result.parts if isinstance(part, Text))
    # There is no field for it; most results that are errors say so themselves.
    return f"Error: {text}" if result.is_error and text[:5].lower() != "error" else text


def _assistant(parts: Iterable[Part]) -> Values:
    message: Values = {"role": "assistant"}
    said = [part for part in parts if isinstance(part, Text)]
    message["content"] = _content(said) if said else None
    refusal = "".join(part.text for part in parts if isinstance(part, Refusal))
    if refusal:
        message["refusal"] = refusal
    uses = [part for part in parts if isinstance(part, ToolUse)]
    if uses:
        message["tool_calls"] = [_written_use(use) for use in uses]
    return message


def _written_use(use: ToolUse) -> Values:
    return {"id": use.id, "type": "function", "function": {"name": use.name, "arguments": use.arguments}}


def _content(parts: Iterable[Part]) -> str | list[Values]:
    parts = list(parts)
    if len(parts) == 1 and isinstance(parts[0], Text):
        return parts[0].text
    return [_written_part(part) for part in parts] if parts else ""


def _written_part(part: Part) -> Values:
    if isinstance(part, Image):
        url = part.url or f"data:{part.media_type};base64,{part.data}"
        return {"type": "image_url", "image_url": {"url": url}}
    if isinstance(part, Document):
        data = f"data:application/pdf;base64,{part.data}"
        return {"type": "file", "file": {"file_data": data, "filename": part.name or "document.pdf"}}
    assert isinstance(part, Text | Refusal), "readers let nothing else stand here"
    return {"type": "text", "text": part.text}


def _written_tool(tool: Tool) -> Values:
    function: Values = {"name": tool.name}
    told = {"description": tool.description, "parameters": tool.schema, "strict": tool.is_strict}
    function.update({name: value for name, value in told.items() if value is not None})
    return {"type": "function", "function": function}


def read_answer(values: Mapping[str, Any]) -> Answer:
    """See `Format`. Only one choice was asked for."""
    try:
        choice = values["choices"][0]
        message = choice["message"]
        parts: list[Text | Thinking | ToolUse | Refusal] = []
        thought = message.get("reasoning_content") or message.get("reasoning")
        if isinstance(thought, str) and thought:
            parts.append(Thinking(thought))
        if message.get("content"):
            parts.append(Text(text_of(message["content"])))
        if message.get("refusal"):
            parts.append(Refusal(message["refusal"]))
        for index, call in enumerate(message.get("tool_calls") or ()):
            function = call["function"]
            text = function.get("arguments") or "{}"
            if not _is_object(text):
                raise AnswerStrangeError(f"the arguments of its call of {function['name']} are no JSON object")
            parts.append(ToolUse(call.get("id") or f"call_{index}", function["name"], text))
        stop = stop_of(choice.get("finish_reason"), calls=bool(message.get("tool_calls")))
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise AnswerStrangeError("it has no choice with a message") from error
    return Answer(
        id=str(values.get("id") or ""),
        model=str(values.get("model") or ""),
        parts=tuple(parts),
        stop=stop,
        usage=usage_of(values.get("usage")),
    )


def text_of(content: object) -> str:
    """Some (Mistral) answer with parts."""
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content)
    if not isinstance(content, str):
        raise AnswerStrangeError("its content is no text")
    return content


def stop_of(reason: object, *, calls: bool) -> Stop:
    """Why an answer ends. Some say that it simply ends when tools are called."""
    stop = _STOPS.get(str(reason), "end")
    return "tools" if calls and stop == "end" else stop


def write_answer(answer: Answer, wanted: Wanted) -> Values:
    """See `Format`."""
    message: Values = {"role": "assistant", "content": None, "refusal": None}
    texts = [part.text for part in answer.parts if isinstance(part, Text)]
    if texts:
        message["content"] = "".join(texts)
    refusal = "".join(part.text for part in answer.parts if isinstance(part, Refusal))
    if refusal:
        message["refusal"] = refusal
    thought = "".join(part.text for part in answer.parts if isinstance(part, Thinking) and not part.is_redacted)
    if thought:
        message["reasoning_content"] = thought
    uses = [_written_use(part) for part in answer.parts if isinstance(part, ToolUse)]
    if uses:
        message["tool_calls"] = uses
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": REASONS[answer.stop]}
    values: Values = {
        "id": answer.id,
        "object": "chat.completion",
        "created": wanted.created,
        "model": answer.model,
        "choices": [choice],
    }
    return values if answer.usage is None else {**values, "usage": write_usage(answer.usage)}


def write_usage(usage: Usage) -> Values:
    """Usage as OpenAI tells it: what came from a cache is part of what went in."""
    entry, output = usage.input_tokens or 0, usage.output_tokens or 0
    values: Values = {"prompt_tokens": entry, "completion_tokens": output, "total_tokens": entry + output}
    cached, written, hour = usage.cached_input_tokens, usage.cache_write_tokens, usage.cache_write_1h_tokens
    details = {"cached_tokens": cached, "cache_write_tokens": written, "cache_write_1h_tokens": hour}
    told = {name: count for name, count in details.items() if count is not None}
    if told:
        values["prompt_tokens_details"] = told
    if usage.reasoning_tokens is not None:
        values["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return values


def write_error(status: int, message: str, kind: str) -> Values:
    """See `Format`."""
    usual = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": usual, "param": None, "code": kind or None}}
