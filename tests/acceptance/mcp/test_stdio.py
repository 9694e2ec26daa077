"""`skep mcp` as agents run it: a real process that speaks the protocol on its standard streams."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from mcp import Client, StdioServerParameters, stdio_client

from tests.command import Command, write

FILES = {
    "src/retry.py": "class RetryPolicy:\n    attempts = 3\n\n    def delay(self, attempt: int) -> float:\n        return 2.0**attempt\n",
    "src/backoff.py": "class BackoffPolicy:\n    attempts = 5\n\n    def delay(self, attempt: int) -> float:\n        return 1.5\n",
    "docs/guide.md": "# Guide\n\n## Timeouts\n\nHow to configure a timeout.\n",
    ".env": "PASSWORD=hunter2\n",
    ".gitignore": "ignored.py\n",
    "ignored.py": "class RetrySecretly:\n    pass\n",
}
OPENING = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}
SECONDS = 20.0


@pytest.fixture
def indexed(skep_on: Command) -> Command:
    write(skep_on.folder, FILES)
    skep_on("index", ".")
    return skep_on


@asynccontextmanager
async def client(skep: Command, folder: Path | None = None) -> AsyncIterator[Client]:
    program, *arguments = (str(word) for word in skep.line("mcp"))
    server = StdioServerParameters(
        command=program, args=arguments, env=skep.environment, cwd=str(folder or skep.folder)
    )
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        async with Client(stdio_client(server, errlog=nowhere)) as opened:
            yield opened


async def call(opened: Client, name: str, **arguments: object) -> str:
    """The text of an answer that is no error."""
    text, is_error = await ask(opened, name, **arguments)
    assert not is_error, text
    return text


async def ask(opened: Client, name: str, **arguments: object) -> tuple[str, bool]:
    result = await opened.call_tool(name, arguments)
    (content,) = result.content
    assert content.type == "text"
    return content.text, bool(result.is_error)


class Raw:
    """The process itself, line by line."""

    def __init__(self, skep: Command, *arguments: str) -> None:
        self.process = subprocess.Popen(
            skep.line("mcp", *arguments),
            cwd=skep.folder,
            env=skep.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def send(self, message: dict[str, Any] | bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def begin(self) -> dict[str, Any]:
        self.send(OPENING)
        answer = self.receive()
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return answer


@contextmanager
def raw(skep: Command, *arguments: str) -> Iterator[Raw]:
    opened = Raw(skep, *arguments)
    try:
        yield opened
    finally:
        opened.process.kill()
        opened.process.wait()
        for stream in (opened.process.stdin, opened.process.stdout, opened.process.stderr):
            with suppress(BrokenPipeError):
                assert stream is not None
                stream.close()


@pytest.mark.measured
async def test_an_agent_searches_reads_and_looks_around(indexed: Command) -> None:
    async with client(indexed) as opened:
        assert [tool.name for tool in (await opened.list_tools()).tools] == ["search", "similar", "read", "status"]
        found = await call(opened, "search", query="RetryPolicy")
        assert found.startswith("## src/retry.py:1-5 RetryPolicy\nclass RetryPolicy:\n")
        assert "guide.md" in await call(opened, "search", query="how is a timeout configured", kind="docs")
        read = await call(opened, "read", path="src/retry.py", start_line=4)
        assert read == (
            "src/retry.py [project], 5 lines\n"
            "4\t    def delay(self, attempt: int) -> float:\n"
            "5\t        return 2.0**attempt"
        )
        assert "src/backoff.py" in await call(opened, "similar", location="src/retry.py:1")
        assert "project: 4 files" in await call(opened, "status")


async def test_it_ends_with_its_client(indexed: Command) -> None:
    for end in ("stdin", signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        with raw(indexed) as opened:
            opened.begin()
            children = psutil.Process(opened.process.pid).children(recursive=True)
            started = time.monotonic()
            if isinstance(end, signal.Signals):
                opened.process.send_signal(end)
            else:
                assert opened.process.stdin is not None
                opened.process.stdin.close()
            assert opened.process.wait(SECONDS) == 0, end
            assert time.monotonic() - started < SECONDS
            assert [child for child in children if child.is_running()] == []
            assert opened.process.stdout is not None
            assert opened.process.stdout.read() == b""
