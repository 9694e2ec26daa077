"""`skep mcp` as agents run it: a real process that speaks the protocol on its standard streams."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
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
CALL = {
    "jsonrpc": "2.0",
    "id": 2,
    "method": "tools/call",
    "params": {"name": "search", "arguments": {"query": "RetryPolicy"}},
}
KEEPER = """
import subprocess, sys, time
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
print(child.pid, flush=True)
time.sleep(60)
"""
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


def test_the_first_answers_need_no_database(skep_on: Command) -> None:
    away = Command(skep_on.data, skep_on.folder, "postgresql://me:hunter2@127.0.0.1:1/skep")
    with raw(away) as opened:
        assert opened.begin()["result"]["serverInfo"]["name"] == "skep"
        opened.send({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        first = opened.receive()["result"]
        assert len(first["tools"]) == 4
        opened.send(CALL)
        result = opened.receive()["result"]
        assert result["isError"]
        (content,) = result["content"]
        assert "127.0.0.1:1" in content["text"]
        assert "hunter2" not in content["text"]
        assert "\nfix: " in content["text"]
        opened.send({"jsonrpc": "2.0", "id": 3, "method": "tools/list"})
        assert opened.receive()["result"] == first


def test_the_first_call_waits_for_the_embedded_database_to_be_made(indexed: Command) -> None:
    embedded = Command(indexed.data, indexed.folder)
    try:
        with raw(embedded) as opened:
            opened.begin()
            opened.send(CALL)
            assert "Nothing is indexed yet" in opened.receive()["result"]["content"][0]["text"]
    finally:
        assert embedded("down", "--json").answer["database"] is True


def test_whatever_is_sent_the_session_goes_on(indexed: Command) -> None:
    with raw(indexed) as opened:
        opened.begin()
        for junk in (
            b"\n",
            b"not json\n",
            b"\xff\xfe\x00\n",
            b"[]\n",
            b"{}\n",
            b"[" * 100_000 + b"\n",
            b'{"jsonrpc": "2.0", "method": "notifications/nonsense"}\n',
            b'{"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 99}}\n',
        ):
            opened.send(junk)
        opened.send({"jsonrpc": "2.0", "id": "odd", "method": "tools/poem"})
        opened.send({"jsonrpc": "2.0", "id": "call", "method": "tools/call", "params": {"name": 3}})
        opened.send(CALL)
        answers: dict[object, dict[str, Any]] = {}
        while CALL["id"] not in answers:
            answer = opened.receive()
            assert answer["jsonrpc"] == "2.0"
            answers[answer.get("id")] = answer
        assert "error" in answers["odd"]
        assert "error" in answers["call"]
        assert "src/retry.py" in answers[CALL["id"]]["result"]["content"][0]["text"]


async def test_calls_at_the_same_time_and_calls_that_are_called_off(indexed: Command) -> None:
    async with client(indexed) as opened:
        texts = await asyncio.gather(*(call(opened, "search", query=f"RetryPolicy {number}") for number in range(50)))
        assert all("src/retry.py" in text for text in texts)
        for _ in range(20):
            task = asyncio.create_task(call(opened, "search", query="RetryPolicy"))
            await asyncio.sleep(0.002)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert "src/retry.py" in await call(opened, "search", query="RetryPolicy")


def test_nothing_but_the_protocol_is_on_standard_output(indexed: Command) -> None:
    talkative = Command(
        indexed.data, indexed.folder, indexed.url, more={"SKEP_LOG_LEVEL": "debug", "SKEP_NONSENSE": "1"}
    )
    with raw(talkative) as opened:
        opened.begin()
        opened.send(CALL)
        opened.receive()
        assert opened.process.stdin is not None
        assert opened.process.stdout is not None
        assert opened.process.stderr is not None
        opened.process.stdin.close()
        assert opened.process.wait(SECONDS) == 0
        assert opened.process.stdout.read() == b""
        assert b"SKEP_NONSENSE" in opened.process.stderr.read()


def test_settings_that_are_wrong_are_said_on_standard_error(indexed: Command) -> None:
    wrong = Command(indexed.data, indexed.folder, indexed.url, more={"SKEP_SERVER_PORT": "many"})
    done = wrong("mcp", code=2)
    assert done.out == ""
    assert "SKEP_SERVER_PORT" in done.err


def test_a_killed_client_leaves_nobody(indexed: Command) -> None:
    words = [str(word) for word in indexed.line("mcp")]
    # A client that is killed closes nothing itself; the kernel closes its end of the pipe.
    keeper = subprocess.Popen(
        [sys.executable, "-c", KEEPER, *words],
        cwd=indexed.folder,
        env=indexed.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert keeper.stdout is not None
    child = psutil.Process(int(keeper.stdout.readline()))
    keeper.kill()
    keeper.wait()
    keeper.stdout.close()
    assert psutil.wait_procs([child], timeout=SECONDS)[1] == []


async def test_a_folder_can_be_named(indexed: Command, tmp_path: Path) -> None:
    program, *arguments = (str(word) for word in indexed.line("mcp", "--folder", indexed.folder / "src"))
    server = StdioServerParameters(command=program, args=arguments, env=indexed.environment, cwd=str(tmp_path))
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        async with Client(stdio_client(server, errlog=nowhere)) as opened:
            assert "note" not in await call(opened, "search", query="RetryPolicy")
            assert "1\tclass RetryPolicy" in await call(opened, "read", path="retry.py")


@pytest.mark.serial
@pytest.mark.no_cover
def test_the_first_answer_comes_at_once(indexed: Command) -> None:
    times = []
    for _ in range(5):
        started = time.perf_counter()
        with raw(indexed) as opened:
            opened.begin()
            times.append(time.perf_counter() - started)
    assert sorted(times)[2] < 1.0, times
