"""What each format can say that the other one can, field by field: the page docs/reference/translation.md is made of this, and tests hold it true."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skep.gateway.translating import FormatName, UntranslatableError, translate_request
from tests.translation_sample import BASE, Outcome, Sample
from tests.translations_gemini import GEMINI_SAMPLES

_FUNCTION: dict[str, Any] = {"name": "f", "parameters": {"type": "object"}}
_TOOL = {"type": "function", "function": _FUNCTION}
_MESSAGES_TOOL = {"name": "f", "input_schema": {"type": "object"}}
_SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
_PDF = "data:application/pdf;base64,JVBERg=="

FORMAT_NAMES: tuple[FormatName, ...] = ("chat", "messages", "responses", "gemini")


def _asks(content: object, role: str = "user") -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "Hello"}, {"role": role, "content": content}]}


def _answers(**message: object) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", **message}]}


_CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
_USE = {"type": "tool_use", "id": "c", "name": "f", "input": {}}


def _result(**more: object) -> dict[str, Any]:
    block = {"type": "tool_result", "tool_use_id": "c", **more}
    return {"messages": [*_answers(content=[_USE])["messages"], {"role": "user", "content": [block]}]}


_RESPONSES_TOOL = {"type": "function", **_FUNCTION}
_FUNCTION_CALL = {"type": "function_call", "id": "i", "call_id": "c", "name": "f", "arguments": "{}"}
_PNG = "data:image/png;base64,AA=="
_PIXEL = {"type": "input_image", "image_url": _PNG}


def _items(*items: Mapping[str, Any]) -> dict[str, Any]:
    return {"input": [{"role": "user", "content": "Hello"}, *items]}


def _shows(part: Mapping[str, Any]) -> dict[str, Any]:
    return _items({"role": "user", "content": [part]})


def _input_text(text: str) -> dict[str, Any]:
    return {"type": "input_text", "text": text}


def _function_output(output: object) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": "c", "output": output}


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
        Sample("`stop`", {"stop": ["END"]}, "said", {"responses": "refused"}),
        Sample(
            "`stream`, `stream_options.include_usage`",
            {"stream": True, "stream_options": {"include_usage": True}},
            "said",
        ),
        Sample("`user`", {"user": "u"}, "said", {"gemini": "left out"}),
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
        Sample(
            "`response_format`: `json_object`",
            {"response_format": {"type": "json_object"}},
            "refused",
            {"responses": "said", "gemini": "said"},
        ),
        Sample("`reasoning_effort`", {"reasoning_effort": "low"}, "said"),
        Sample("`n`: more than 1", {"n": 2}, "refused"),
        Sample("`seed`", {"seed": 7}, "refused", {"gemini": "said"}),
        Sample("`logprobs`", {"logprobs": True}, "refused"),
        Sample("`logit_bias`", {"logit_bias": {"1": 1}}, "refused"),
        Sample("`frequency_penalty`, `presence_penalty`", {"frequency_penalty": 1}, "refused", {"gemini": "said"}),
        Sample("`modalities`, `audio`", {"modalities": ["text", "audio"]}, "refused"),
        Sample("`prediction`", {"prediction": {"type": "content", "content": "x"}}, "refused"),
        Sample("`web_search_options`", {"web_search_options": {}}, "refused"),
        Sample(
            "`service_tier`: `flex`, `priority`",
            {"service_tier": "flex"},
            "refused",
            {"responses": "said", "gemini": "said"},
        ),
        Sample("`store`", {"store": True}, "refused"),
        Sample("`verbosity`: other than `medium`", {"verbosity": "low"}, "refused", {"responses": "said"}),
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
        Sample("`top_k`", {"top_k": 5}, "refused", {"gemini": "said"}),
        Sample("`stop_sequences`", {"stop_sequences": ["END"]}, "said", {"responses": "refused"}),
        Sample("`stream`", {"stream": True}, "said"),
        Sample("`metadata.user_id`", {"metadata": {"user_id": "u"}}, "said", {"gemini": "left out"}),
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
    "responses": (
        Sample("`instructions`", {"instructions": "s"}, "said"),
        Sample(
            "input: system, developer", _items({"role": "developer", "content": "s"}), "said", {"gemini": "refused"}
        ),
        Sample("input: texts", _items({"role": "user", "content": [_input_text("x"), _input_text("y")]}), "said"),
        Sample("input: picture by address", _shows({"type": "input_image", "image_url": "https://x/y.png"}), "said"),
        Sample("input: picture in base64", _shows({"type": "input_image", "image_url": _PNG}), "said"),
        Sample("input: picture by id", _shows({"type": "input_image", "file_id": "f"}), "refused"),
        Sample("input: picture with less detail", _shows({**_PIXEL, "detail": "low"}), "refused"),
        Sample("input: PDF in base64", _shows({"type": "input_file", "filename": "a.pdf", "file_data": _PDF}), "said"),
        Sample("input: file by id, by address", _shows({"type": "input_file", "file_url": "https://x"}), "refused"),
        Sample("input: audio", _shows({"type": "input_audio", "input_audio": {}}), "refused"),
        Sample("input: calls of functions and their results", _items(_FUNCTION_CALL, _function_output("r")), "said"),
        Sample("input: pictures from functions", _items(_FUNCTION_CALL, _function_output([_PIXEL])), "said"),
        Sample(
            "input: earlier refusals",
            _items({"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}),
            "said",
        ),
        Sample("input: earlier thinking", _items({"type": "reasoning", "id": "r", "summary": []}), "left out"),
        Sample(
            "input: `annotations`, `logprobs`",
            _items({"role": "assistant", "content": [{"type": "output_text", "text": "x", "annotations": []}]}),
            "left out",
        ),
        Sample("input: marks for caches", _shows({**_input_text("x"), "prompt_cache_breakpoint": {}}), "left out"),
        Sample("input: references to stored items", _items({"type": "item_reference", "id": "m"}), "refused"),
        Sample("input: calls of other tools", _items({"type": "web_search_call", "id": "w"}), "refused"),
        Sample("`previous_response_id`, `conversation`", {"previous_response_id": "r"}, "refused"),
        Sample("`prompt`", {"prompt": {"id": "p"}}, "refused"),
        Sample("`max_output_tokens`", {"max_output_tokens": 5}, "said"),
        Sample("`temperature`", {"temperature": 0.5}, "said"),
        Sample("`top_p`", {"top_p": 0.5}, "said"),
        Sample("`stream`", {"stream": True}, "said"),
        Sample("`stream_options.include_obfuscation`", {"stream_options": {"include_obfuscation": False}}, "left out"),
        Sample("`user`, `safety_identifier`", {"safety_identifier": "u"}, "said", {"gemini": "left out"}),
        Sample("`tools`: functions", {"tools": [_RESPONSES_TOOL]}, "said"),
        Sample("`tools`: `strict`", {"tools": [{**_RESPONSES_TOOL, "strict": True}]}, "said"),
        Sample("`tools`: custom", {"tools": [{"type": "custom", "name": "c"}]}, "refused"),
        Sample("`tools`: the provider's own", {"tools": [{"type": "web_search"}]}, "refused"),
        Sample("`tool_choice`: `required`", {"tools": [_RESPONSES_TOOL], "tool_choice": "required"}, "said"),
        Sample(
            "`tool_choice`: a function",
            {"tools": [_RESPONSES_TOOL], "tool_choice": {"type": "function", "name": "f"}},
            "said",
        ),
        Sample(
            "`tool_choice`: `allowed_tools`",
            {"tools": [_RESPONSES_TOOL], "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}},
            "refused",
        ),
        Sample("`parallel_tool_calls`", {"tools": [_RESPONSES_TOOL], "parallel_tool_calls": False}, "said"),
        Sample("`max_tool_calls`", {"max_tool_calls": 3}, "left out"),
        Sample(
            "`text.format`: `json_schema`",
            {"text": {"format": {"type": "json_schema", "name": "a", "schema": _SCHEMA}}},
            "said",
        ),
        Sample(
            "`text.format`: `json_object`",
            {"text": {"format": {"type": "json_object"}}},
            "said",
            {"messages": "refused"},
        ),
        Sample(
            "`text.verbosity`", {"text": {"verbosity": "low"}}, "said", {"messages": "refused", "gemini": "refused"}
        ),
        Sample("`reasoning.effort`", {"reasoning": {"effort": "low"}}, "said"),
        Sample("`reasoning.summary`: the answer shows it", {"reasoning": {"summary": "auto"}}, "left out"),
        Sample("`reasoning.mode`: other than `standard`", {"reasoning": {"mode": "pro"}}, "refused"),
        Sample("`include`: `reasoning.encrypted_content`", {"include": ["reasoning.encrypted_content"]}, "left out"),
        Sample("`include`: anything else", {"include": ["message.output_text.logprobs"]}, "refused"),
        Sample("`service_tier`: `flex`, `priority`", {"service_tier": "flex"}, "said", {"messages": "refused"}),
        Sample("`store`: `false`", {"store": False}, "left out"),
        Sample("`store`: `true`", {"store": True}, "refused"),
        Sample("`background`", {"background": True}, "refused"),
        Sample("`truncation`: `auto`", {"truncation": "auto"}, "refused"),
        Sample("`context_management`", {"context_management": [{"type": "compaction"}]}, "refused"),
        Sample("`top_logprobs`", {"top_logprobs": 2}, "refused"),
        Sample("`metadata`", {"metadata": {"a": "b"}}, "left out"),
        Sample("`prompt_cache_key`, `prompt_cache_options`", {"prompt_cache_key": "k"}, "left out"),
        Sample("what is not known", {"brand_new": 1}, "refused"),
    ),
    "gemini": GEMINI_SAMPLES,
}


def outcome_of(source: FormatName, sample: Sample, target: FormatName) -> tuple[Outcome, str]:
    """What becomes of a field, and why it is refused."""
    try:
        written, _ = translate_request({**BASE[source], **sample.more}, source, target)
    except UntranslatableError as error:
        return "refused", str(error)
    return ("said" if written != _without(source, sample, target) else "left out"), ""


def _without(source: FormatName, sample: Sample, target: FormatName) -> dict[str, Any]:
    """The request in the other format without the field, where it stands at the top; else with nothing but texts in its messages."""
    if source == "gemini":
        contents = sample.more.get("contents", BASE[source]["contents"])
        plain = {**BASE[source], "contents": [_plain_content(each) for each in contents]}
        return translate_request(plain, source, target)[0]
    turns = "input" if source == "responses" else "messages"
    more: dict[str, Any] = {}
    if turns in sample.more:
        said = [turn for turn in sample.more[turns] if turn.get("role") in ("user", "assistant")]
        more = {turns: [_plain(turn) for turn in said]}
    return translate_request({**BASE[source], **more}, source, target)[0]


def _plain_content(content: Mapping[str, Any]) -> dict[str, Any]:
    texts = [{"text": part["text"]} for part in content["parts"] if "text" in part and not part.get("thought")]
    return {"role": content["role"], "parts": texts}


def _plain(message: Mapping[str, Any]) -> dict[str, Any]:
    content = message["content"]
    if isinstance(content, list):
        content = "".join(block.get("text", "") for block in content)
    return {"role": message["role"], "content": content or ""}
