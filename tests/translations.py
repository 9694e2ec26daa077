"""What each format can say that the other one can, field by field: the page docs/reference/translation.md is made of this, and tests hold it true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from skep.gateway.translating import FormatName, UntranslatableError, translate_request

Outcome = Literal["said", "left out", "refused"]

_FUNCTION: dict[str, Any] = {"name": "f", "parameters": {"type": "object"}}
_TOOL = {"type": "function", "function": _FUNCTION}
_MESSAGES_TOOL = {"name": "f", "input_schema": {"type": "object"}}
_SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
_PDF = "data:application/pdf;base64,JVBERg=="

BASE: Mapping[FormatName, dict[str, Any]] = {
    "chat": {"model": "m", "messages": [{"role": "user", "content": "Hello"}]},
    "messages": {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]},
}


@dataclass(frozen=True)
class Sample:
    """A field of a format, in a request that is whole but for it."""

    field: str
    more: Mapping[str, Any]
    outcome: Outcome
    """In the other format."""


def _asks(content: object, role: str = "user") -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "Hello"}, {"role": role, "content": content}]}


def _answers(**message: object) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", **message}]}


_CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
_USE = {"type": "tool_use", "id": "c", "name": "f", "input": {}}


def _result(**more: object) -> dict[str, Any]:
    block = {"type": "tool_result", "tool_use_id": "c", **more}
    return {"messages": [*_answers(content=[_USE])["messages"], {"role": "user", "content": [block]}]}


SAMPLES: Mapping[FormatName, tuple[Sample, ...]] = {
    "chat": (
        Sample(
            "messages: system, developer",
            {"messages": [{"role": "system", "content": "s"}, *BASE["chat"]["messages"]]},
            "said",
        ),
        Sample(
            "messages: picture by address",
            _asks([{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]),
            "said",
        ),
        Sample(
            "messages: picture in base64",
            _asks([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]),
            "said",
        ),
        Sample(
            "messages: PDF in base64",
            _asks([{"type": "file", "file": {"filename": "a.pdf", "file_data": _PDF}}]),
            "said",
        ),
        Sample("messages: file by id", _asks([{"type": "file", "file": {"file_id": "f"}}]), "refused"),
        Sample(
            "messages: audio", _asks([{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}]), "refused"
        ),
        Sample(
            "messages: calls of tools and their results",
            {
                "messages": [
                    *_answers(content=None, tool_calls=[_CALL])["messages"],
                    {"role": "tool", "tool_call_id": "c", "content": "r"},
                ]
            },
            "said",
        ),
        Sample("messages: earlier refusals", _answers(content=None, refusal="no"), "said"),
        Sample("messages: `reasoning_content`", _answers(content="x", reasoning_content="t"), "left out"),
        Sample("messages: `annotations`", _answers(content="x", annotations=[]), "left out"),
        Sample("`max_completion_tokens`", {"max_completion_tokens": 5}, "said"),
        Sample("`max_tokens`", {"max_tokens": 5}, "said"),
        Sample("`temperature`", {"temperature": 0.5}, "said"),
        Sample("`top_p`", {"top_p": 0.5}, "said"),
        Sample("`stop`", {"stop": ["END"]}, "said"),
        Sample(
            "`stream`, `stream_options.include_usage`",
            {"stream": True, "stream_options": {"include_usage": True}},
            "said",
        ),
        Sample("`user`", {"user": "u"}, "said"),
        Sample("`tools`: functions", {"tools": [_TOOL]}, "said"),
        Sample(
            "`tools`: `strict`",
            {"tools": [{"type": "function", "function": {**_FUNCTION, "strict": True}}]},
            "said",
        ),
        Sample("`tools`: custom", {"tools": [{"type": "custom", "custom": {"name": "c"}}]}, "refused"),
        Sample("`tool_choice`: `required`", {"tools": [_TOOL], "tool_choice": "required"}, "said"),
        Sample(
            "`tool_choice`: a function",
            {"tools": [_TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}},
            "said",
        ),
        Sample("`parallel_tool_calls`", {"tools": [_TOOL], "parallel_tool_calls": False}, "said"),
        Sample(
            "`response_format`: `json_schema`",
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "a", "schema": _SCHEMA, "strict": True},
                }
            },
            "said",
        ),
        Sample("`response_format`: `json_object`", {"response_format": {"type": "json_object"}}, "refused"),
        Sample("`reasoning_effort`", {"reasoning_effort": "low"}, "said"),
        Sample("`n`: more than 1", {"n": 2}, "refused"),
        Sample("`seed`", {"seed": 7}, "refused"),
        Sample("`logprobs`", {"logprobs": True}, "refused"),
        Sample("`logit_bias`", {"logit_bias": {"1": 1}}, "refused"),
        Sample("`frequency_penalty`, `presence_penalty`", {"frequency_penalty": 1}, "refused"),
        Sample("`modalities`, `audio`", {"modalities": ["text", "audio"]}, "refused"),
        Sample("`prediction`", {"prediction": {"type": "content", "content": "x"}}, "refused"),
        Sample("`web_search_options`", {"web_search_options": {}}, "refused"),
        Sample("`service_tier`: `flex`, `priority`", {"service_tier": "flex"}, "refused"),
        Sample("`store`", {"store": True}, "refused"),
        Sample("`verbosity`: other than `medium`", {"verbosity": "low"}, "refused"),
        Sample("`metadata`", {"metadata": {"a": "b"}}, "left out"),
        Sample("`prompt_cache_key`, `prompt_cache_retention`", {"prompt_cache_key": "k"}, "left out"),
        Sample("`functions`, `function_call`", {"functions": [{"name": "f"}]}, "refused"),
        Sample("what is not known", {"brand_new": 1}, "refused"),
    ),
    "messages": (
        Sample("`system`", {"system": [{"type": "text", "text": "s"}]}, "said"),
        Sample(
            "messages: picture in base64",
            _asks([{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}]),
            "said",
        ),
        Sample(
            "messages: picture by address",
            _asks([{"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}]),
            "said",
        ),
        Sample(
            "messages: picture by id", _asks([{"type": "image", "source": {"type": "file", "file_id": "f"}}]), "refused"
        ),
        Sample(
            "messages: PDF in base64",
            _asks(
                [
                    {
                        "type": "document",
                        "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="},
                    }
                ]
            ),
            "said",
        ),
        Sample(
            "messages: PDF by address, text documents",
            _asks([{"type": "document", "source": {"type": "url", "url": "https://x"}}]),
            "refused",
        ),
        Sample(
            "messages: search results",
            _asks([{"type": "search_result", "source": "x", "title": "t", "content": []}]),
            "refused",
        ),
        Sample("messages: calls of tools", _answers(content=[_USE]), "said"),
        Sample("messages: results of tools: text", _result(content="r"), "said"),
        Sample(
            "messages: results of tools: pictures",
            _result(
                content=[{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}]
            ),
            "said",
        ),
        Sample("messages: results of tools: `is_error`", _result(content="r", is_error=True), "said"),
        Sample(
            "messages: earlier thinking",
            _answers(content=[{"type": "thinking", "thinking": "t", "signature": "s"}, {"type": "text", "text": "x"}]),
            "left out",
        ),
        Sample(
            "messages: `cache_control`",
            _asks([{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]),
            "left out",
        ),
        Sample(
            "messages: `citations`", _asks([{"type": "text", "text": "x", "citations": {"enabled": True}}]), "refused"
        ),
        Sample("`max_tokens`", {"max_tokens": 5}, "said"),
        Sample("`temperature`", {"temperature": 0.5}, "said"),
        Sample("`top_p`", {"top_p": 0.5}, "said"),
        Sample("`top_k`", {"top_k": 5}, "refused"),
        Sample("`stop_sequences`", {"stop_sequences": ["END"]}, "said"),
        Sample("`stream`", {"stream": True}, "said"),
        Sample("`metadata.user_id`", {"metadata": {"user_id": "u"}}, "said"),
        Sample("`tools`: functions", {"tools": [_MESSAGES_TOOL]}, "said"),
        Sample("`tools`: `strict`", {"tools": [{**_MESSAGES_TOOL, "strict": True}]}, "said"),
        Sample(
            "`tools`: the provider's own", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "refused"
        ),
        Sample("`tool_choice`: `any`", {"tools": [_MESSAGES_TOOL], "tool_choice": {"type": "any"}}, "said"),
        Sample(
            "`tool_choice`: a tool", {"tools": [_MESSAGES_TOOL], "tool_choice": {"type": "tool", "name": "f"}}, "said"
        ),
        Sample(
            "`tool_choice.disable_parallel_tool_use`",
            {"tools": [_MESSAGES_TOOL], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
            "said",
        ),
        Sample(
            "`output_config.format`", {"output_config": {"format": {"type": "json_schema", "schema": _SCHEMA}}}, "said"
        ),
        Sample("`output_config.effort`", {"output_config": {"effort": "low"}}, "said"),
        Sample("`thinking`: `disabled`", {"thinking": {"type": "disabled"}}, "said"),
        Sample(
            "`thinking`: a bound in tokens, said as an effort",
            {"thinking": {"type": "enabled", "budget_tokens": 2000}},
            "said",
        ),
        Sample("`cache_control`", {"cache_control": {"type": "ephemeral"}}, "left out"),
        Sample(
            "`context_management`: thinking",
            {"context_management": {"edits": [{"type": "clear_thinking_20251015"}]}},
            "left out",
        ),
        Sample(
            "`context_management`: tools",
            {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}},
            "refused",
        ),
        Sample("`service_tier`: `standard_only`", {"service_tier": "standard_only"}, "refused"),
        Sample("`mcp_servers`", {"mcp_servers": [{"type": "url", "url": "x", "name": "y"}]}, "refused"),
        Sample("`container`", {"container": "c"}, "refused"),
        Sample("`inference_geo`", {"inference_geo": "us"}, "refused"),
        Sample("what is not known", {"brand_new": 1}, "refused"),
    ),
}


def outcome_of(source: FormatName, sample: Sample) -> tuple[Outcome, str]:
    """What becomes of a field, and why it is refused."""
    target: FormatName = "messages" if source == "chat" else "chat"
    try:
        written, _ = translate_request({**BASE[source], **sample.more}, source, target)
    except UntranslatableError as error:
        return "refused", str(error)
    return ("said" if written != _without(source, sample, target) else "left out"), ""


def _without(source: FormatName, sample: Sample, target: FormatName) -> dict[str, Any]:
    """The request in the other format without the field, where it stands at the top; else with nothing but texts in its messages."""
    more = dict(sample.more)
    if "messages" in more:
        texts = [_plain(message) for message in more["messages"] if message["role"] in ("user", "assistant")]
        more = {"messages": texts}
    else:
        more = {}
    return translate_request({**BASE[source], **more}, source, target)[0]


def _plain(message: Mapping[str, Any]) -> dict[str, Any]:
    content = message["content"]
    if isinstance(content, list):
        content = "".join(block.get("text", "") for block in content)
    return {"role": message["role"], "content": content or ""}
