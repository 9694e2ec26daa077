"""`/mcp` of a real server."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
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
from tests.postgres import ScratchServer

FILES = {"src/retry.py": "class RetryPolicy:\n    attempts = 3\n", "docs/guide.md": "# Guide\n\nA timeout.\n"}


LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}


def search(number: int) -> dict[str, Any]:
    asked = {"name": "search", "arguments": {"query": "RetryPolicy"}}
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": asked}


@pytest.fixture(scope="module")
def server(scratch_server: ScratchServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Address and key of a server that has indexed a folder; every test leaves it as it was."""
    home = tmp_path_factory.mktemp("mcp")
    folder = home / "project"
    write(folder, FILES)
    with scratch_server.database() as url:
        skep = Command(home / "data", folder, url, more={"SKEP_WATCH_ENABLED": "false"})
        skep("index", ".")
        process = skep.start("up", "--port", "0", "--json")
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


async def test_many_at_once(server: tuple[str, str]) -> None:
    url, key = server
    headers = {"authorization": f"Bearer {key}", "accept": "application/json"}
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=50, limits=limits) as carrier:
        answers = await asyncio.gather(*(carrier.post("/mcp", json=search(number)) for number in range(300)))
        for number, answer in enumerate(answers):
            message = answer.json()
            assert message["id"] == number
            assert "src/retry.py" in message["result"]["content"][0]["text"]
        listed = {(await carrier.post("/mcp", json=LIST)).content for _ in range(5)}
        assert len(listed) == 1
    # Clients that send half of a request and stay, or go away.
    address = httpx.URL(url)
    half = f"POST /mcp HTTP/1.1\r\nHost: {address.netloc.decode()}\r\nAuthorization: Bearer {key}\r\nContent-Length: 99\r\n\r\n{{"
    held = [socket.create_connection((address.host, address.port or 0)) for _ in range(200)]
    for connection in held:
        connection.sendall(half.encode())
    assert httpx.post(f"{url}/mcp", json=LIST, headers=headers, timeout=30).content in listed
    for connection in held:
        connection.close()
    assert httpx.post(f"{url}/mcp", json=LIST, headers=headers, timeout=30).content in listed


def test_without_its_database_the_server_says_what_it_can(skep_on: Command) -> None:
    away = Command(skep_on.data, skep_on.folder, "postgresql://me:hunter2@127.0.0.1:1/skep")
    process = away.start("up", "--port", "0", "--json")
    assert process.stdout is not None
    try:
        url = json.loads(process.stdout.readline())["url"]
        headers = {"authorization": "Bearer skep_unknown", "accept": "application/json"}
        with httpx.Client(base_url=url, headers=headers, timeout=30) as carrier:
            assert len(carrier.post("/mcp", json=LIST).json()["result"]["tools"]) == 4
            result = carrier.post("/mcp", json=search(1)).json()["result"]
            assert result["isError"]
            assert "127.0.0.1:1" in result["content"][0]["text"]
            assert "fix: " in result["content"][0]["text"]
            assert "hunter2" not in str(result)
            assert carrier.post("/mcp", json=LIST, headers={"authorization": ""}).status_code == 401
            assert carrier.post("/api/v1/search", json={"query": "x"}).status_code == 503
    finally:
        process.send_signal(signal.SIGTERM)
        with process:
            process.communicate(timeout=25)


def test_strangers_are_kept_out(server: tuple[str, str]) -> None:
    url, key = server
    accepts = {"accept": "application/json, text/event-stream"}
    with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}", **accepts}) as carrier:
        assert carrier.post("/mcp", json=LIST).status_code == 200
        for headers, status, code in (
            ({"authorization": ""}, 401, "key_missing"),
            ({"authorization": f"Bearer {key[:-1]}"}, 401, "key_invalid"),
            ({"host": "evil.example"}, 403, "host_refused"),
            ({"origin": "http://evil.example"}, 403, "origin_refused"),
        ):
            answer = carrier.post("/mcp", json=LIST, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert carrier.get("/mcp").status_code == 405
        assert carrier.delete("/mcp").status_code == 405
        assert carrier.post("/mcp", content=b"x" * 3_000_000).status_code == 413
