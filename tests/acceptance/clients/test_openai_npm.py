"""OpenAI's client for JavaScript, from npm, pinned; a small program makes the calls, and the results are looked at here."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.clients.conftest import Clients, installed_npm, outer_environment

pytestmark = [pytest.mark.full, pytest.mark.no_cover, pytest.mark.timeout(300)]

EXPECTED: dict[str, Any] = {
    "chat": ["Hello from here.", "0.000018"],
    "tools": "It is 21 degrees in Berlin.",
    "structured": {"city": "Berlin", "degrees": 21},
    "stream": ["one two three four five six seven eight", True],
    "stream_usage": 14,
    "stream_tools": '{"city":"Berlin"}',
    "embeddings": [16, 16],
    "errors": {
        "nobody": ["NotFoundError", 404, "model_not_found"],
        "busy": ["RateLimitError", 429, "rate_limit_exceeded"],
        "broken": ["InternalServerError", 502, "provider_failed"],
    },
    "broken_stream": [True, True],
    "cancelled": "APIUserAbortError",
    "responses": ["Hello from here.", 14, "0.000018"],
    "responses_stream": ["response.created", "response.completed", "Hello from here."],
    "responses_tools": "It is 21 degrees in Berlin.",
    "responses_broken": True,
    "retries": "At last.",
}


def test_every_call(clients: Clients, tmp_path: Path) -> None:
    node = installed_npm(tmp_path, "calls.mjs")
    told = {**outer_environment(), "OPENAI_BASE_URL": clients.base_url, "OPENAI_API_KEY": clients.key}
    with clients.breaking_off("slow"), clients.breaking_off("lasting"):
        done = subprocess.run([node, "calls.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=90, env=told)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {line["name"]: line["result"] for line in lines} == EXPECTED
