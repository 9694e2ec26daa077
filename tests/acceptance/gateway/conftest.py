"""A server of its own for these tests: real processes, real sockets, a provider that does what a test says."""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

import skep
from tests.postgres import ScratchServer
from tests.rawprovider import STREAM_END, STREAM_HEAD, Part, RawProvider, Script, answer, chunk, raw_provider

SOURCE = str(Path(skep.__file__).parent.parent)

USAGE = {"prompt_tokens": 1000, "completion_tokens": 50, "total_tokens": 1050}
ANSWER = json.dumps(
    {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-x",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}],
        "usage": USAGE,
    }
).encode()

MOST_ANSWER_BYTES = 8_388_608


def event(delta: str | None = None, **more: object) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": {"content": delta}, "finish_reason": None}]
    told = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-x", "choices": choices, **more}
    return b"data: " + json.dumps(told).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
TOLD = event(usage=USAGE)


def parts(*given: Part) -> Script:
    return lambda: given


def stream(*given: Part) -> Script:
    return parts(STREAM_HEAD, *(chunk(part) if isinstance(part, bytes) else part for part in given))


def _large() -> Iterable[Part]:
    yield b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n"
    for _ in range(100):
        yield b" " * 1_000_000


def _endless() -> Iterable[Part]:
    yield STREAM_HEAD
    piece = chunk(event("x" * 10_000) * 10)
    while True:
        yield piece


def _error(code: str, **more: object) -> bytes:
    return json.dumps({"error": {"message": code, "type": "x", "param": None, "code": code, **more}}).encode()


_OK_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n"

SCRIPTS: dict[str, Script] = {
    "ok": parts(answer(ANSWER)),
    "slow_ok": parts(0.4, answer(ANSWER)),
    "no_usage": parts(answer(b'{"choices":[{"message":{"content":"12345678"}}]}')),
    "closes": parts(),
    "hang_before": parts(30.0),
    "hang_after": parts(_OK_HEAD + b"content-length: 200\r\n\r\n{", 30.0),
    "cut_off": parts(_OK_HEAD + b'content-length: 200\r\n\r\n{"a":'),
    "truncated_json": parts(answer(ANSWER[:-20])),
    "html": parts(answer(b"<html>maintenance</html>", content_type="text/html")),
    "large": _large,
    "flood": parts(_OK_HEAD, *(b"x-%d: y\r\n" % number for number in range(3000)), b"\r\n"),
    "bomb": parts(_OK_HEAD + b"content-encoding: gzip\r\n\r\n" + gzip.compress(b"\0" * 100_000_000)),
    "packed": parts(_OK_HEAD + b"content-encoding: gzip\r\n\r\n" + gzip.compress(ANSWER)),
    "brotli": parts(_OK_HEAD + b"content-encoding: br\r\n\r\nxx"),
    "garbage": parts(b"SSH-2.0-x\r\n\r\n"),
    "redirect": parts(answer(b"", status=302, more="location: http://127.0.0.1:9/\r\n")),
    "busy": parts(answer(_error("rate_limit_exceeded"), status=429, more="retry-after: 7\r\n")),
    "broken": parts(answer(_error("boom"), status=500)),
    "broken_storm": parts(answer(_error("boom"), status=500)),
    "refused_key": parts(answer(_error("invalid_api_key"), status=401)),
    "refused_key_twice": parts(answer(_error("invalid_api_key"), status=401)),
    "refused_key_always": parts(answer(_error("invalid_api_key"), status=401)),
    "refused_key_explained": parts(answer(_error("invalid_api_key"), status=401)),
    "context": parts(answer(_error("context_length_exceeded"), status=400)),
    "filtered": parts(answer(_error("content_filter"), status=400)),
    "wrong": parts(answer(_error("unknown_parameter", param="x"), status=400)),
    "html_400": parts(answer(b"<h1>no</h1>", status=400, content_type="text/html")),
    "error_in_200": parts(answer(_error("boom"))),
    "stream_ok": stream(event("Hel"), event("lo"), TOLD, DONE, *[]),
    "stream_pieces": parts(STREAM_HEAD, *(chunk(bytes([byte])) for byte in event("Hello") + TOLD + DONE), STREAM_END),
    "stream_cut": stream(event("Hel"), b'data: {"choices":[{"de'),
    "stream_no_done": parts(STREAM_HEAD, chunk(event("Hel")), STREAM_END),
    "stream_hang": stream(event("Hel"), 30.0),
    "stream_told": stream(event("Hel"), b"data: " + _error("overloaded") + b"\n\n", DONE),
    "stream_told_first": stream(b"data: " + _error("overloaded") + b"\n\n"),
    "stream_html": parts(answer(b"<html>", content_type="text/html")),
    "stream_huge_event": lambda: [STREAM_HEAD, chunk(event("a")), *(chunk(b"x" * 1_000_000) for _ in range(12))],
    "stream_endless": _endless,
    "stream_slow": stream(*(part for _ in range(300) for part in (event("x"), 0.1))),
}

_SETTINGS = """
providers:
  raw: {{kind: openai_compatible, base_url: "{url}", api_key: "${{RAW_KEY}}"}}
  spare: {{kind: openai_compatible, base_url: "{url}"}}
  closed: {{kind: openai_compatible, base_url: "http://127.0.0.1:1/v1"}}
  speaks_no_tls: {{kind: openai_compatible, base_url: "https://127.0.0.1:{plain_port}/v1"}}
gateway: {{max_answer_bytes: {most}, client_stall_seconds: 2}}
models:
  refused: {{retries: 0, routes: [{{provider: closed, model: m}}]}}
  tls: {{retries: 0, routes: [{{provider: speaks_no_tls, model: m}}]}}
  falls_back: {{retries: 0, routes: [{{provider: raw, model: broken}}, {{provider: closed, model: m}}, {{provider: spare, model: slow_ok}}]}}
  falls_back_stream: {{retries: 0, routes: [{{provider: raw, model: stream_told_first}}, {{provider: spare, model: stream_ok}}]}}
{models}
"""

_MODEL = """\
  {name}:
    retries: 0
    routes: [{{provider: raw, model: {name}, timeout_seconds: {most}, first_byte_timeout_seconds: 1, idle_timeout_seconds: 1}}]
    price: {{input_usd_per_mtok: 0.15, output_usd_per_mtok: 0.60}}
"""


@contextmanager
def _no_tls() -> Iterator[int]:
    """A port where whoever connects is greeted in plain text."""
    listener = socket.create_server(("127.0.0.1", 0))

    def greet() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    thread = threading.Thread(target=greet, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


@dataclass
class Served:
    """A running server, with the provider behind it."""

    url: str
    key: str
    provider: RawProvider
    pid: int
    data: Path
    database: str

    def client(self, **headers: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"authorization": f"Bearer {self.key}"} | headers, timeout=30)

    def ask(self, model: str, **more: object) -> httpx.Response:
        with self.client() as client:
            return client.post("/v1/chat/completions", json={"model": model, "messages": [], **more})


@pytest.fixture(scope="session")
def served(scratch_server: ScratchServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("gateway")
    data = folder / "data"
    with raw_provider(SCRIPTS) as provider, _no_tls() as plain_port, scratch_server.database() as database_url:
        models = "".join(
            _MODEL.format(name=name, most=5 if "endless" in name or "slow" in name else 2) for name in SCRIPTS
        )
        text = _SETTINGS.format(url=provider.url, plain_port=plain_port, most=MOST_ANSWER_BYTES, models=models)
        (folder / "skep.yaml").write_text(text)
        known = {"RAW_KEY": "sk-raw", "SKEP_WATCH_ENABLED": "false", "SKEP_DATABASE_URL": database_url}
        environment = {**os.environ, "PYTHONPATH": SOURCE, **known}
        command = [sys.executable, "-m", "skep", "--data-dir", str(data), "--config", str(folder / "skep.yaml")]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                [*command, "up", "--port", "0", "--json"],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
            )
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, (folder / "log").read_text()
        said = json.loads(line)
        try:
            yield Served(
                said["url"], Path(said["key_file"]).read_text().strip(), provider, process.pid, data, database_url
            )
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
            process.stdout.close()
