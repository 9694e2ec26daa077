"""What Claude Code sends, by the fields that its documentation names: byte for byte to Anthropic, and translated onto a route that speaks OpenAI's chats."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.gateway.test_exact_budget import server
from tests.command import Command
from tests.postgres import ScratchServer
from tests.rawprovider import STREAM_END, STREAM_HEAD, RawProvider, answer, chunk, raw_provider

HEADERS = {
    "accept": "application/json",
    "anthropic-beta": (
        "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27,"
        "prompt-caching-scope-2026-01-05,effort-2025-11-24"
    ),
    "anthropic-dangerous-direct-browser-access": "true",
    "anthropic-version": "2023-06-01",
    "user-agent": "claude-cli/2.1.0 (external, cli)",
    "x-app": "cli",
    "x-stainless-helper-method": "stream",
    "x-stainless-lang": "js",
    "x-stainless-retry-count": "0",
}
TOOL: dict[str, Any] = {
    "name": "Bash",
    "description": "Executes a given bash command.",
    "input_schema": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "command": {"description": "The command to execute", "type": "string"},
            "timeout": {"description": "Optional timeout in milliseconds", "type": "number"},
        },
        "required": ["command"],
        "additionalProperties": False,
    },
}
BODY: dict[str, Any] = {
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "<system-reminder>\nAs you answer, be brief.\n</system-reminder>"},
                {"type": "text", "text": "list the files", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "They want a list.", "signature": "EqQBCkYIBxgC"},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "toolu_01A", "name": "Bash", "input": {"command": "ls"}},
                {"type": "tool_use", "id": "toolu_01B", "name": "Bash", "input": {"command": "pwd"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"tool_use_id": "toolu_01A", "type": "tool_result", "content": "a.py\nb.py", "is_error": False},
                {
                    "tool_use_id": "toolu_01B",
                    "type": "tool_result",
                    "content": [{"type": "text", "text": "/home"}],
                    "cache_control": {"type": "ephemeral"},
                },
            ],
        },
    ],
    "system": [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.0; cc_entrypoint=cli;"},
        {"type": "text", "text": "You are Claude Code.", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
    ],
    "tools": [TOOL],
    "metadata": {"user_id": "user_0a_account_1b_session_2c"},
    "max_tokens": 32000,
    "thinking": {"type": "adaptive"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "output_config": {"effort": "high"},
    "stream": True,
}


def _event(kind: str, **values: object) -> bytes:
    # With spaces that no writer of ours would put there.
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **values}, separators=(', ', ':  '))}\n\n".encode()


EVENTS = (
    _event(
        "message_start",
        message={
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude",
            "content": [],
            "stop_reason": None,
            "usage": {
                "input_tokens": 3,
                "cache_creation_input_tokens": 20,
                "cache_read_input_tokens": 70,
                "output_tokens": 1,
            },
        },
    ),
    _event("content_block_start", index=0, content_block={"type": "thinking", "thinking": "", "signature": ""}),
    _event("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "Eq=="}),
    _event("content_block_stop", index=0),
    _event("ping"),
    _event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 9}, context_management={}),
    _event("message_stop"),
)
CHUNKS = (
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "Two "}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {"content": "files."}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"prompt_tokens": 90, "completion_tokens": 9, "total_tokens": 99}},
)
COUNT = b'{"input_tokens":  42}'


@dataclass
class Served:
    url: str
    key: str
    raw: RawProvider

    def post(self, path: str, body: Mapping[str, Any] | bytes, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {**HEADERS, "content-type": "application/json", "authorization": f"Bearer {self.key}", **headers}
        return httpx.post(f"{self.url}{path}", content=content, headers=sent, timeout=30)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, scratch_server: ScratchServer) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("claude-code")
    chats = [
        b"data: "
        + json.dumps({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "g", **each}).encode()
        + b"\n\n"
        for each in CHUNKS
    ]
    scripts: Any = {
        "claude-there": lambda: [STREAM_HEAD, *map(chunk, EVENTS), STREAM_END],
        "claude-counts": lambda: [answer(COUNT)],
        "gpt-there": lambda: [STREAM_HEAD, *map(chunk, chats), chunk(b"data: [DONE]\n\n"), STREAM_END],
    }
    price = {"input_usd_per_mtok": 1, "output_usd_per_mtok": 2}
    with raw_provider(scripts) as raw, scratch_server.database() as database:
        told = {
            "providers": {
                "anthropic": {"kind": "anthropic", "base_url": raw.url, "api_key": "sk-ant"},
                "openai": {"kind": "openai", "base_url": raw.url, "api_key": "sk-oai"},
            },
            "models": {
                "claude-opus": {"routes": [{"provider": "anthropic", "model": "claude-there"}], "price": price},
                "claude-there": {"routes": [{"provider": "anthropic", "model": "claude-there"}], "price": price},
                "claude-counts": {"routes": [{"provider": "anthropic", "model": "claude-counts"}], "price": price},
                "gpt": {
                    "routes": [{"provider": "openai", "model": "gpt-there", "formats": ["chat"]}],
                    "price": price,
                },
            },
        }
        skep = Command(folder / "data", folder, database)
        (folder / "skep.yaml").write_text(json.dumps(told))
        key = skep("key", "create", "--name", "cli", "--json").answer["key"]
        with server(skep, folder / "skep.yaml", workers=1) as url:
            yield Served(url, key, raw)


@pytest.mark.parametrize("model", ["claude-there", "claude-opus"])
def test_bytes_pass_to_anthropic_as_they_come(served: Served, model: str) -> None:
    # Not as Python would write it, so that writing it anew would show.
    body = json.dumps({"model": model, **BODY}, indent=1).encode()
    told = served.post("/v1/messages?beta=true", body)
    assert told.status_code == 200
    events = [part + b"\n\n" for part in told.content.split(b"\n\n") if part and not part.startswith(b":")]
    assert tuple(events) == EVENTS
    seen = served.raw.last("claude-there")
    assert seen.body == body.replace(b'"claude-opus"', b'"claude-there"')
    head = seen.head.decode().lower().split("\r\n")
    for name, value in HEADERS.items():
        assert f"{name}: {value}".lower() in head
    assert "x-api-key: sk-ant" in head
    assert served.key.lower() not in seen.head.decode().lower()


def test_tokens_are_counted_by_anthropic(served: Served) -> None:
    body = {name: value for name, value in BODY.items() if name in ("messages", "system", "tools", "thinking")}
    told = served.post("/v1/messages/count_tokens?beta=true", {"model": "claude-counts", **body})
    assert (told.status_code, told.content, told.headers["x-skep-cost-usd"]) == (200, COUNT, "0")
    seen = served.raw.last("claude-counts")
    assert seen.path.split("?")[0] == "/v1/messages/count_tokens"
    assert json.loads(seen.body) == {"model": "claude-counts", **body}


def test_another_provider_is_told_the_same_in_its_own_words(served: Served) -> None:
    told = served.post("/v1/messages?beta=true", {"model": "gpt", **BODY})
    assert told.status_code == 200, told.text
    kinds = [line.removeprefix("event: ") for line in told.text.splitlines() if line.startswith("event: ")]
    assert (kinds[0], kinds[-2:]) == ("message_start", ["message_delta", "message_stop"])
    assert '"Two "' in told.text
    assert '"files."' in told.text
    assert '"stop_reason":"end_turn"' in told.text
    seen = served.raw.last("gpt-there")
    asked = json.loads(seen.body)
    roles = [message["role"] for message in asked["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "tool"]
    assert [call["id"] for call in asked["messages"][2]["tool_calls"]] == ["toolu_01A", "toolu_01B"]
    assert [message["tool_call_id"] for message in asked["messages"][3:]] == ["toolu_01A", "toolu_01B"]
    function = asked["tools"][0]["function"]
    assert (function["name"], function["parameters"]) == ("Bash", TOOL["input_schema"])
    assert (asked["reasoning_effort"], asked["max_completion_tokens"], asked["stream"]) == ("high", 32000, True)
    assert not {"thinking", "context_management", "metadata", "system", "output_config"} & asked.keys()
    assert "anthropic-beta" not in seen.head.decode().lower()


def test_tokens_of_another_provider_are_estimated(served: Served) -> None:
    told = served.post("/v1/messages/count_tokens?beta=true", {"model": "gpt", "messages": BODY["messages"]})
    assert told.status_code == 200
    assert told.json()["input_tokens"] > 0
    assert told.headers["x-skep-estimated"] == "true"
