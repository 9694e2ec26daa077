"""The Vercel AI SDK from npm, pinned, by its clients for OpenAI (chats and responses), Anthropic and whatever is compatible with OpenAI."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.clients.conftest import Clients, installed_npm, outer_environment

pytestmark = [pytest.mark.full, pytest.mark.no_cover, pytest.mark.timeout(300)]

CLIENTS = ("chat", "responses", "messages", "compatible")
EXPECTED: dict[str, Any] = {
    "text": ["Hello from here.", "stop", 10, 4],
    "stream": ["Hello from here.", True, "stop", 10, 4],
    "tools": ["It is 21 degrees in Berlin.", 2, "tool-calls", ["Berlin"]],
    "stream_tools": ["It is 21 degrees in Berlin.", 2, ["Berlin"]],
    "object": {"city": "Berlin", "degrees": 21},
    "output": {"city": "Berlin", "degrees": 21},
    "errors": {
        "nobody": ["AI_APICallError", 404, False],
        "busy": ["AI_APICallError", 429, True],
        "broken": ["AI_APICallError", 502, True],
    },
    "broken_stream": [True, True],
}


def test_every_call(clients: Clients, tmp_path: Path) -> None:
    node = installed_npm(tmp_path, "ai.mjs")
    # The SDK would report to nobody, and warns on the console.
    told = {
        **outer_environment(),
        "OPENAI_BASE_URL": clients.base_url,
        "OPENAI_API_KEY": clients.key,
        "AI_SDK_LOG_WARNINGS": "false",
    }
    done = subprocess.run([node, "ai.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=90, env=told)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    found = {line["name"]: line["result"] for line in lines}
    assert found == {f"{client} {name}": result for client in CLIENTS for name, result in EXPECTED.items()}
