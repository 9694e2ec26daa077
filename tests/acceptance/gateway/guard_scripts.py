"""A provider that says placeholders and secrets, in every format and cut everywhere, and one that judges."""

from __future__ import annotations

import json

from tests.acceptance.gateway.conftest import DONE, event, parts, stream
from tests.rawprovider import answer

EMAIL, CARD, OTHER = "alice@example.com", "4111 1111 1111 1111", "carol@example.org"
CHAT_USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
SAID = "Dear [EMAIL_1], [CARD_1] was charged."
RESTORED = f"Dear {EMAIL}, {CARD} was charged."
LEAKED = f"Ask {OTHER}, her card is 5555-5555-5555-4444."
ARGUMENTS = '{"to": "[EMAIL_1]", "card": "[CARD_1]"}'


def tool(text: str, **more: object) -> dict[str, object]:
    return {"type": "function", **more, "function": {"name": "pay", "arguments": text}}


def chat(content: str) -> bytes:
    message = {"role": "assistant", "content": content, "tool_calls": [tool(ARGUMENTS, id="t1")]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    told = {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [choice],
        "usage": CHAT_USAGE,
    }
    return json.dumps(told).encode()


def message(content: str) -> bytes:
    blocks = [
        {"type": "text", "text": content},
        {"type": "tool_use", "id": "t1", "name": "pay", "input": json.loads(ARGUMENTS)},
    ]
    usage = {"input_tokens": 10, "output_tokens": 5}
    told = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": blocks,
        "stop_reason": "tool_use",
        "usage": usage,
    }
    return json.dumps(told).encode()


def chunk(finish: str | None = None, **delta: object) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return event(choices=choices)


def chat_events(content: str) -> list[bytes]:
    """By three characters, so that everything is cut somewhere."""
    return [
        *(chunk(content=content[at : at + 3]) for at in range(0, len(content), 3)),
        chunk(tool_calls=[tool("", id="t1", index=0)]),
        *(
            chunk(tool_calls=[{"index": 0, "function": {"arguments": ARGUMENTS[at : at + 3]}}])
            for at in range(0, len(ARGUMENTS), 3)
        ),
        chunk("tool_calls"),
        event(usage=CHAT_USAGE),
        DONE,
    ]


def block(kind: str, **more: object) -> bytes:
    return f"event: {kind}\n".encode() + b"data: " + json.dumps({"type": kind, **more}).encode() + b"\n\n"


def message_events(content: str) -> list[bytes]:
    start = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "usage": {"input_tokens": 10, "output_tokens": 1},
    }
    texts = [{"type": "text_delta", "text": content[at : at + 3]} for at in range(0, len(content), 3)]
    inputs = [
        {"type": "input_json_delta", "partial_json": ARGUMENTS[at : at + 3]} for at in range(0, len(ARGUMENTS), 3)
    ]
    return [
        block("message_start", message=start),
        block("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        *(block("content_block_delta", index=0, delta=delta) for delta in texts),
        block("content_block_stop", index=0),
        block(
            "content_block_start", index=1, content_block={"type": "tool_use", "id": "t1", "name": "pay", "input": {}}
        ),
        *(block("content_block_delta", index=1, delta=delta) for delta in inputs),
        block("content_block_stop", index=1),
        block("message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 5}),
        block("message_stop"),
    ]


EMBEDDED = json.dumps(
    {
        "object": "list",
        "model": "m",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
        "usage": {"prompt_tokens": 1, "total_tokens": 1},
    }
).encode()
COMPLETED = json.dumps(
    {
        "id": "c",
        "object": "text_completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "text": SAID, "finish_reason": "stop"}],
        "usage": CHAT_USAGE,
    }
).encode()


def judgement(flagged: bool) -> bytes:
    result = {
        "flagged": flagged,
        "categories": {"violence": flagged, "hate": False},
        "category_scores": {"violence": 0.9},
    }
    return json.dumps(
        {"id": "modr", "model": "mod", "results": [{"flagged": False, "categories": {}}, result]}
    ).encode()


SCRIPTS = {
    "mod-fine": parts(answer(judgement(flagged=False))),
    "mod-flags": parts(answer(judgement(flagged=True))),
    "mod-broken": parts(answer(b"{}", status=500)),
    "mod-odd": parts(answer(b'{"results": 5}')),
    "chat": parts(answer(chat(SAID))),
    "chat-stream": stream(*chat_events(SAID)),
    "messages": parts(answer(message(SAID))),
    "messages-stream": stream(*message_events(SAID)),
    "leak": parts(answer(chat(LEAKED))),
    "leak-stream": stream(*chat_events(LEAKED)),
    "leak-messages-stream": stream(*message_events(LEAKED)),
    "embed": parts(answer(EMBEDDED)),
    "complete": parts(answer(COMPLETED)),
}
