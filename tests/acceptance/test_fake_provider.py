"""The scripted provider as its users meet it: OpenAI's own client, and sockets that see each byte."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import os
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import psutil
import pytest
from openai import OpenAI
from pydantic import BaseModel

from tests.command import Command
from tests.scripted import Scripted, scripted

QUESTION: Any = [{"role": "user", "content": "What is the weather?"}]
MIB = 2**20


@contextmanager
def provider_and_client(folder: Path, script: str) -> Iterator[tuple[Scripted, OpenAI]]:
    with (
        scripted(folder, script) as provider,
        OpenAI(base_url=provider.url, api_key="sk-test", max_retries=0, timeout=10) as client,
    ):
        yield provider, client


@pytest.mark.measured
def test_chat_and_its_truth(tmp_path: Path) -> None:
    script = """\
prices: {gpt-x: {input_usd_per_mtok: 0.15, cached_input_usd_per_mtok: 0.075, output_usd_per_mtok: 0.60}}
otherwise: {text: Sunny., usage: {input_tokens: 1000, cached_input_tokens: 400, output_tokens: 50, reasoning_tokens: 20}}
"""
    with provider_and_client(tmp_path, script) as (provider, client):
        answer = client.chat.completions.create(
            model="gpt-x", messages=QUESTION, extra_headers={"x-skep-call-id": "call-1"}
        )
        entry = provider.truth()[0]
    assert answer.choices[0].message.content == "Sunny."
    assert answer.choices[0].finish_reason == "stop"
    usage = answer.usage
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    assert usage.completion_tokens_details is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (1000, 50, 1050)
    assert usage.prompt_tokens_details.cached_tokens == 400
    assert usage.completion_tokens_details.reasoning_tokens == 20
    assert (entry["call_id"], entry["model"], entry["stream"], entry["status"]) == ("call-1", "gpt-x", False, 200)
    assert entry["usage"]["cached_input_tokens"] == 400
    assert entry["cost_nusd"] == 600 * 150 + 400 * 75 + 50 * 600


def test_tools_whole_and_streamed(tmp_path: Path) -> None:
    script = "otherwise: {tool_calls: [{name: look, arguments: {city: Bern}}, {name: count, arguments: '{\"n\": 2}'}]}"
    with provider_and_client(tmp_path, script) as (_, client):
        choice = client.chat.completions.create(model="m", messages=QUESTION).choices[0]
        with client.chat.completions.stream(model="m", messages=QUESTION) as stream:
            streamed = stream.get_final_completion().choices[0]
    for one in (choice, streamed):
        assert one.finish_reason == "tool_calls"
        calls: Any = one.message.tool_calls
        assert [(call.function.name, json.loads(call.function.arguments)) for call in calls] == [
            ("look", {"city": "Bern"}),
            ("count", {"n": 2}),
        ]
        assert len({call.id for call in calls}) == 2


class Weather(BaseModel):
    city: str
    degrees: int
    windy: bool


def test_structured_output_fits_without_a_word_of_script(tmp_path: Path) -> None:
    with provider_and_client(tmp_path, "") as (_, client):
        message = (
            client.chat.completions.parse(model="m", messages=QUESTION, response_format=Weather).choices[0].message
        )
    assert isinstance(message.parsed, Weather)


def test_a_refusal(tmp_path: Path) -> None:
    with provider_and_client(tmp_path, "otherwise: {refusal: No.}") as (_, client):
        message = (
            client.chat.completions.parse(model="m", messages=QUESTION, response_format=Weather).choices[0].message
        )
    assert (message.refusal, message.parsed, message.content) == ("No.", None, None)


@pytest.mark.parametrize("usage", ["bytes", "missing"])
def test_streams(tmp_path: Path, usage: str) -> None:
    script = f"otherwise: {{text: It is sunny., usage: {usage}}}"
    with provider_and_client(tmp_path, script) as (provider, client):
        chunks = list(
            client.chat.completions.create(
                model="m", messages=QUESTION, stream=True, stream_options={"include_usage": True}
            )
        )
        entry = provider.truth()[0]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "It is sunny."
    told = [chunk.usage for chunk in chunks if chunk.usage is not None]
    assert len(told) == (usage == "bytes")
    assert entry["stream"]
    assert entry["usage"]["output_tokens"] == 3
    assert all(one.completion_tokens == 3 and one.prompt_tokens == entry["usage"]["input_tokens"] for one in told)


def test_legacy_completions_whole_and_streamed(tmp_path: Path) -> None:
    with provider_and_client(tmp_path, "otherwise: {text: Once upon a time}") as (_, client):
        whole = client.completions.create(model="m", prompt="Begin")
        parts = list(client.completions.create(model="m", prompt="Begin", stream=True))
    assert (whole.choices[0].text, whole.choices[0].finish_reason) == ("Once upon a time", "stop")
    assert "".join(part.choices[0].text for part in parts) == "Once upon a time"
    assert parts[-1].choices[0].finish_reason == "stop"


def test_embeddings_are_the_same_in_both_encodings(tmp_path: Path) -> None:
    with provider_and_client(tmp_path, "") as (_, client):
        packed = client.embeddings.create(model="m", input=["a", "b"], dimensions=16)
        plain = client.embeddings.create(model="m", input=["a", "b"], dimensions=16, encoding_format="float")
    assert [len(one.embedding) for one in packed.data] == [16, 16]
    for one, other in zip(packed.data, plain.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, rel=1e-6)
    assert packed.usage.total_tokens == packed.usage.prompt_tokens > 0


def test_models(tmp_path: Path) -> None:
    with provider_and_client(tmp_path, "models: [gpt-x, gpt-y]") as (_, client):
        assert [model.id for model in client.models.list()] == ["gpt-x", "gpt-y"]
        assert client.models.retrieve("gpt-y").id == "gpt-y"
        with pytest.raises(openai.NotFoundError) as caught:
            client.chat.completions.create(model="gpt-z", messages=QUESTION)
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ("{status: 400}", openai.BadRequestError),
        ("{status: 401}", openai.AuthenticationError),
        ("{status: 403}", openai.PermissionDeniedError),
        ("{status: 404}", openai.NotFoundError),
        ("{status: 409}", openai.ConflictError),
        ("{status: 422}", openai.UnprocessableEntityError),
        ("{status: 429, retry_after: 1}", openai.RateLimitError),
        ("{status: 500}", openai.InternalServerError),
        ("{fault: close}", openai.APIConnectionError),
        ("{fault: reset}", openai.APIConnectionError),
        ("{fault: not_http}", openai.APIConnectionError),
        ("{fault: close_in_body}", openai.APIConnectionError),
    ],
)
def test_errors_as_the_client_knows_them(tmp_path: Path, script: str, kind: type[openai.OpenAIError]) -> None:
    with provider_and_client(tmp_path, f"otherwise: {script}") as (_, client), pytest.raises(kind):
        client.chat.completions.create(model="m", messages=QUESTION)


def test_the_client_retries_what_asks_for_it(tmp_path: Path) -> None:
    script = "rules: [{when: {calls: 1-2}, then: {status: 429, retry_after: 0.01}}]\notherwise: {text: At last.}"
    with provider_and_client(tmp_path, script) as (provider, client):
        answer = client.with_options(max_retries=2).chat.completions.create(model="m", messages=QUESTION)
        statuses = [entry["status"] for entry in provider.truth()]
    assert answer.choices[0].message.content == "At last."
    assert statuses == [429, 429, 200]


class Wire:
    """One connection that sees every byte."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)

    def ask(self, *, stream: bool = False) -> None:
        body = json.dumps({"model": "m", "messages": QUESTION, "stream": stream}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
        self.socket.sendall(head.encode() + body)

    def rest(self, at_most: int = 10 * MIB) -> bytes:
        """Everything up to the end of the connection."""
        parts, size = [], 0
        while size < at_most and (data := self.socket.recv(MIB)):
            parts.append(data)
            size += len(data)
        return b"".join(parts)

    def until(self, word: bytes) -> bytes:
        data = b""
        while word not in data:
            more = self.socket.recv(MIB)
            assert more, data
            data += more
        return data

    def is_silent(self) -> bool:
        """Whether the connection is open and nothing comes."""
        self.socket.settimeout(0.3)
        try:
            return self.socket.recv(1) == b"never"
        except TimeoutError:
            return True


@contextmanager
def wire(folder: Path, behaviour: str, *options: str, stream: bool = False) -> Iterator[Wire]:
    with scripted(folder, f"otherwise: {behaviour}", *options) as provider:
        one = Wire(provider.port)
        with one.socket:
            one.ask(stream=stream)
            yield one


def parts_of(answer: bytes) -> tuple[dict[bytes, bytes], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = [line.partition(b": ") for line in head.split(b"\r\n")[1:]]
    return {name: value for name, _, value in lines}, body


def test_hang_before_the_first_byte(tmp_path: Path) -> None:
    with wire(tmp_path, "{fault: hang}") as one:
        assert one.is_silent()


def test_hang_in_a_body(tmp_path: Path) -> None:
    with wire(tmp_path, "{fault: {kind: hang_in_body, after_bytes: 5}}") as one:
        headers, body = parts_of(one.until(b'\r\n\r\n{"id"'))
        assert one.is_silent()
    assert (body, int(headers[b"content-length"]) > 100) == (b'{"id"', True)


def test_hang_in_a_stream(tmp_path: Path) -> None:
    with wire(tmp_path, "{text: a b c, fault: {kind: hang_in_stream, after_events: 2}}", stream=True) as one:
        said = one.until(b'"content":"a"')
        assert one.is_silent()
    assert said.count(b"data: ") == 2


@pytest.mark.parametrize("fault", ["close", "close_in_body", "close_in_stream"])
def test_hang_up(tmp_path: Path, fault: str) -> None:
    with wire(tmp_path, f"{{text: a b c d, fault: {fault}}}", stream=fault == "close_in_stream") as one:
        answer = one.rest()
    expected = {"close": (b"", 0), "close_in_body": (b'{"id":"chatcmpl-', 0), "close_in_stream": (b"data: ", 2)}
    start, events = expected[fault]
    assert start in answer
    assert (answer.count(b"data: "), b"[DONE]" in answer, answer.endswith(b"0\r\n\r\n")) == (events, False, False)


@pytest.mark.parametrize("fault", ["reset", "reset_in_body", "reset_in_stream"])
def test_reset(tmp_path: Path, fault: str) -> None:
    with wire(tmp_path, f"{{fault: {fault}}}", stream=True) as one, pytest.raises(ConnectionResetError):
        one.rest()


@pytest.mark.parametrize("by_bytes", [10, -10])
def test_a_wrong_length(tmp_path: Path, by_bytes: int) -> None:
    with wire(tmp_path, f"{{fault: {{kind: wrong_length, by_bytes: {by_bytes}}}}}") as one:
        headers, body = parts_of(one.rest())
    assert int(headers[b"content-length"]) == len(body) + by_bytes
    assert json.loads(body)["object"] == "chat.completion"


def test_truncated_json(tmp_path: Path) -> None:
    with wire(tmp_path, "{fault: truncated_json}") as one:
        headers, body = parts_of(one.until(b'{"id"'))
    assert int(headers[b"content-length"]) == len(body)
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)


def test_a_page_instead_of_json(tmp_path: Path) -> None:
    with wire(tmp_path, "{fault: wrong_content_type}") as one:
        headers, body = parts_of(one.until(b"</html>\n"))
    assert headers[b"content-type"] == b"text/html"
    assert b"502 Bad Gateway" in body


def test_no_http(tmp_path: Path) -> None:
    with wire(tmp_path, "{fault: not_http}") as one:
        assert not one.rest().startswith(b"HTTP/")


@pytest.mark.parametrize(
    ("fault", "last"),
    [
        ("no_done", b'"finish_reason":"stop"'),
        ("error_in_stream", b'"type":"server_error"'),
        ("malformed_event", b"[DONE]"),
    ],
)
def test_streams_that_end_wrongly_end_as_http(tmp_path: Path, fault: str, last: bytes) -> None:
    with wire(tmp_path, f"{{text: a b c, fault: {fault}}}", stream=True) as one:
        answer = one.until(b"\r\n0\r\n\r\n")
    events = [line[6:] for line in answer.split(b"\n") if line.startswith(b"data: ")]
    assert last in events[-1]
    assert (b"[DONE]" in events) == (fault == "malformed_event")
    assert (b'{"id": "chatcmpl-' in events) == (fault == "malformed_event")


def test_a_flood_of_headers(tmp_path: Path) -> None:
    with wire(tmp_path, "{fault: {kind: header_flood, count: 3000, bytes: 50}}") as one:
        headers, _ = parts_of(one.until(b'{"id"'))
    assert sum(name.startswith(b"x-flood-") and value == b"f" * 50 for name, value in headers.items()) == 3000


@pytest.mark.parametrize("stream", [False, True])
def test_a_huge_body_is_sent_without_being_held(tmp_path: Path, stream: bool) -> None:
    with scripted(tmp_path, f"otherwise: {{fault: {{kind: huge_body, bytes: {400 * MIB}}}}}") as provider:
        one = Wire(provider.port)
        with one.socket:
            one.ask(stream=stream)
            received = len(one.rest(300 * MIB))
            held = psutil.Process(provider.pid).memory_info().rss
    assert received >= 300 * MIB
    assert held < 250 * MIB


def test_a_bomb_of_gzip(tmp_path: Path) -> None:
    with wire(tmp_path, f"{{fault: {{kind: gzip_bomb, bytes: {64 * MIB}}}}}") as one:
        head = one.until(b"\r\n\r\n")
        headers, body = parts_of(head)
        while len(body) < int(headers[b"content-length"]):
            body += one.socket.recv(MIB)
    assert (headers[b"content-encoding"], len(body) < MIB) == (b"gzip", True)
    unpacked = gzip.decompress(body)
    assert len(unpacked) > 64 * MIB
    assert json.loads(unpacked)["object"] == "chat.completion"


def test_honest_gzip(tmp_path: Path) -> None:
    with provider_and_client(tmp_path, "otherwise: {text: a b c, gzip: true}") as (_, client):
        whole = client.chat.completions.create(model="m", messages=QUESTION)
        parts = list(client.chat.completions.create(model="m", messages=QUESTION, stream=True))
    assert whole.choices[0].message.content == "a b c"
    assert "".join(part.choices[0].delta.content or "" for part in parts) == "a b c"


def test_tls_is_refused_with_an_alert(tmp_path: Path) -> None:
    context = ssl.create_default_context()
    with scripted(tmp_path, "") as provider, socket.create_connection(("127.0.0.1", provider.port)) as plain:
        with pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):
            context.wrap_socket(plain, server_hostname="localhost")
        assert provider.truth() == []


def test_tls_with_a_certificate_that_nobody_trusts(tmp_path: Path) -> None:
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout {key} -out {certificate}"
    subprocess.run(command.split(), check=True, capture_output=True)
    with scripted(tmp_path, "", "--tls-certificate", str(certificate), "--tls-key", str(key)) as provider:
        client = OpenAI(base_url=provider.url, api_key="x", max_retries=0)
        with client, pytest.raises(openai.APIConnectionError):
            client.models.list()
        context = ssl.create_default_context(cafile=str(certificate))
        context.check_hostname = False
        with socket.create_connection(("127.0.0.1", provider.port)) as plain, context.wrap_socket(plain) as one:
            one.sendall(b"GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            assert one.recv(MIB).startswith(b"HTTP/1.1 200 OK\r\n")


def test_requests_on_one_connection_are_answered_in_their_order(tmp_path: Path) -> None:
    script = "rules: [{when: {calls: 1}, then: {text: first, latency_ms: 200}}]\notherwise: {text: later}"
    with scripted(tmp_path, script) as provider:
        one = Wire(provider.port)
        with one.socket:
            one.ask()
            one.ask()
            answers = one.until(b'"later"')
    assert 0 < answers.index(b'"first"') < answers.index(b'"later"')


def test_pace(tmp_path: Path) -> None:
    with wire(tmp_path, "{text: a b c, latency_ms: 200, events_per_second: 10}", stream=True) as one:
        started = time.monotonic()
        one.until(b"data: ")
        first = time.monotonic() - started
        one.until(b"[DONE]")
        total = time.monotonic() - started
    assert 0.15 < first < total - 0.1, "what comes first is not held back"
    assert 0.65 < total < 2.5  # the latency and five pauses: role, three words, end, [DONE]


def test_a_large_request_is_asked_for_before_it_is_sent(tmp_path: Path) -> None:
    with scripted(tmp_path, "") as provider, socket.create_connection(("127.0.0.1", provider.port), timeout=10) as one:
        one.sendall(b"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
        assert one.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        one.sendall(b"{}")
        assert one.recv(100).startswith(b"HTTP/1.1 400 Bad Request\r\n")


@pytest.mark.parametrize("junk", [b"\x00\x01\x02\r\n\r\n", b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n"])
def test_junk_is_refused(tmp_path: Path, junk: bytes) -> None:
    with scripted(tmp_path, "") as provider, socket.create_connection(("127.0.0.1", provider.port), timeout=10) as one:
        one.sendall(junk)
        assert one.recv(100).startswith(b"HTTP/1.1 400 ")
        assert one.recv(100) == b""


@pytest.mark.parametrize("option", ["--fsync", "--no-fsync"])
async def test_the_truth_is_written_before_the_answer_also_when_it_is_killed(tmp_path: Path, option: str) -> None:
    """Clients in closed loops, the process killed under them: whoever has an answer stands in the log."""
    answered: list[str] = []

    async def loop(port: int, client: int) -> None:
        body = json.dumps({"model": "m", "messages": QUESTION}).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.closing(writer):
            for number in range(10_000):
                call = f"{client}-{number}"
                head = f"POST /v1/chat/completions HTTP/1.1\r\nx-skep-call-id: {call}\r\ncontent-length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                answer = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(answer.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
                answered.append(call)

    with scripted(tmp_path, "", option) as provider:
        loops = [asyncio.create_task(loop(provider.port, client)) for client in range(16)]
        async with asyncio.timeout(20):
            while len(answered) <= 50:  # noqa: ASYNC110 -- a slow disk takes its time to sync, and no event tells
                await asyncio.sleep(0.05)
        os.kill(provider.pid, signal.SIGKILL)
        ends = await asyncio.gather(*loops, return_exceptions=True)
    assert {type(end) for end in ends} <= {asyncio.IncompleteReadError, ConnectionResetError, BrokenPipeError}
    lines = provider.log.read_text().split("\n")
    logged = [json.loads(line)["call_id"] for line in lines[:-1]]
    assert len(answered) > 50
    assert len(set(logged)) == len(logged)
    assert set(answered) <= set(logged)


def test_ends_tell_who_hung_up(tmp_path: Path) -> None:
    with scripted(tmp_path, "otherwise: {text: a b c d e f g h, events_per_second: 20}", "--ends") as provider:
        for word in (b"[DONE]", b"data: "):
            one = Wire(provider.port)
            with one.socket:
                one.ask(stream=True)
                one.until(word)
        deadline = time.monotonic() + 5
        while len(provider.truth("end")) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert [entry["whole"] for entry in provider.truth("end")] == [True, False]
        assert [entry["number"] for entry in provider.truth("end")] == [1, 2]


def test_a_log_that_cannot_be_written(skep_without_database: Command, tmp_path: Path) -> None:
    done = skep_without_database("fake-provider", "--log", tmp_path, "--json", code=4)
    assert done.error["code"] == "truth_log"


def test_a_wrong_script_is_told_with_line_and_word(skep_without_database: Command, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("seed: 1\nrulez: []\n")
    done = skep_without_database("fake-provider", "--script", tmp_path / "s.yaml", code=2)
    assert f"{tmp_path}/s.yaml:2:1: rulez: there is no such word here; did you mean rules?" in done.err


def test_a_port_that_is_taken(skep_without_database: Command, tmp_path: Path) -> None:
    with scripted(tmp_path, "") as provider:
        done = skep_without_database("fake-provider", "--port", str(provider.port), "--json", code=4)
    assert done.error["code"] == "fake_address"


@pytest.fixture
def skep_without_database(tmp_path: Path) -> Command:
    return Command(tmp_path / "data", tmp_path)
