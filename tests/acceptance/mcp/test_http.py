"""`/mcp` of a real server."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.command import Command, write

FILES = {"src/retry.py": "class RetryPolicy:\n    attempts = 3\n", "docs/guide.md": "# Guide\n\nA timeout.\n"}


@pytest.fixture
def server(skep_on: Command) -> Iterator[tuple[str, str]]:
    """Address and key of a server that has indexed a folder."""
    write(skep_on.folder, FILES)
    skep_on("index", ".")
    process = skep_on.start("up", "--port", "0", "--json")
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        said: dict[str, Any] = json.loads(process.stdout.readline())
        assert said["ready"], said
        yield said["url"], Path(said["key_file"]).read_text().strip()
    finally:
        process.send_signal(signal.SIGTERM)
        with process:
            process.communicate(timeout=25)


@asynccontextmanager
async def client(url: str, key: str, **headers: str) -> AsyncIterator[Client]:
    sent = {"authorization": f"Bearer {key}", **headers}
    async with (
        httpx2.AsyncClient(headers=sent, timeout=30) as carrier,
        Client(streamable_http_client(f"{url}/mcp", http_client=carrier)) as opened,
    ):
        yield opened


async def text_of(opened: Client, name: str, **arguments: object) -> str:
    (content,) = (await opened.call_tool(name, arguments)).content
    assert content.type == "text"
    return content.text


@pytest.mark.measured
async def test_an_agent_searches_reads_and_looks_around(server: tuple[str, str]) -> None:
    async with client(*server) as opened:
        assert [tool.name for tool in (await opened.list_tools()).tools] == ["search", "similar", "read", "status"]
        assert "src/retry.py:1-2" in await text_of(opened, "search", query="RetryPolicy")
        assert "1\tclass RetryPolicy:" in await text_of(opened, "read", path="src/retry.py")
        assert "project: 2 files" in await text_of(opened, "status")


def test_strangers_are_kept_out(server: tuple[str, str]) -> None:
    url, key = server
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    accepts = {"accept": "application/json, text/event-stream"}
    with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}", **accepts}) as carrier:
        assert carrier.post("/mcp", json=message).status_code == 200
        for headers, status, code in (
            ({"authorization": ""}, 401, "key_missing"),
            ({"authorization": f"Bearer {key[:-1]}"}, 401, "key_invalid"),
            ({"host": "evil.example"}, 403, "host_refused"),
            ({"origin": "http://evil.example"}, 403, "origin_refused"),
        ):
            answer = carrier.post("/mcp", json=message, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert carrier.get("/mcp").status_code == 405
        assert carrier.delete("/mcp").status_code == 405
        assert carrier.post("/mcp", content=b"x" * 3_000_000).status_code == 413
