"""Settings read again, and a server told to stop, while streams are open: real processes, real sockets."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.command import Command
from tests.scripted import scripted

SCRIPT = """\
rules:
  - {when: {models: [slow]}, then: {words: 12, events_per_second: 4}}
  - {when: {models: [endless]}, then: {words: 400, events_per_second: 4}}
  - {when: {models: [late]}, then: {text: "Late.", latency_ms: 1000}}
  - {when: {models: [never]}, then: {latency_ms: 60000}}
  - {when: {models: [other]}, then: {text: "From elsewhere."}}
otherwise: {text: "From here."}
"""
PROVIDER = """\
providers:
  fake: {{kind: openai_compatible, base_url: "{url}"}}
"""
REFUSED = "settings refused, the old ones go on"
MESSAGES = [{"role": "user", "content": "?"}]


def model(name: str, behind: str = "") -> str:
    routes = f"[{{provider: fake, model: {behind or name}}}]"
    return f"  {name}: {{routes: {routes}, price: {{input_usd_per_mtok: 1, output_usd_per_mtok: 1}}}}\n"


@dataclass
class Server:
    url: str
    key: str
    process: subprocess.Popen[str]
    settings: Path
    skep: Command
    provider: str

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}

    def write(self, *parts: str) -> None:
        self.settings.write_text(PROVIDER.format(url=self.provider) + "models:\n" + "".join(parts))

    def ask(self, name: str, **more: Any) -> httpx.Response:
        body = {"model": name, "messages": MESSAGES, **more}
        return httpx.post(f"{self.url}/v1/chat/completions", json=body, headers=self.headers, timeout=40)

    def says(self, name: str) -> str:
        return str(self.ask(name).json()["choices"][0]["message"]["content"])

    def reload(self) -> httpx.Response:
        return httpx.post(f"{self.url}/api/v1/gateway/reload", headers=self.headers, timeout=20)

    def models(self) -> list[str]:
        found = httpx.get(f"{self.url}/v1/models", headers=self.headers, timeout=20).json()["data"]
        return [each["id"] for each in found]

    def follows(self, name: str) -> bool:
        """Whether, before long, every process knows a model: each new connection may come to any of them."""
        until = time.monotonic() + 10
        while time.monotonic() < until:
            if all(name in self.models() for _ in range(12)):
                return True
        return False


@dataclass
class Stream:
    """A stream that a thread reads."""

    server: Server
    name: str
    lines: list[str] = field(default_factory=list)
    begun: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        assert self.begun.wait(10)

    def _read(self) -> None:
        body = {"model": self.name, "messages": MESSAGES, "stream": True}
        url = f"{self.server.url}/v1/chat/completions"
        with (
            contextlib.suppress(httpx.RemoteProtocolError),
            httpx.stream("POST", url, json=body, headers=self.server.headers, timeout=40) as answer,
        ):
            for line in answer.iter_lines():
                self.lines += [line] if line else []
                self.begun.set()

    def end(self) -> list[str]:
        self._thread.join(30)
        assert not self._thread.is_alive()
        return self.lines


@pytest.fixture
def start(skep_on: Command) -> Callable[..., Any]:
    @contextmanager
    def run(*models: str, workers: int = 1, **variables: str) -> Iterator[Server]:
        folder = skep_on.folder
        with scripted(folder / "provider", SCRIPT) as provider, (folder / "log").open("w") as log:
            settings = folder / "skep.yaml"
            settings.write_text(PROVIDER.format(url=provider.url) + "models:\n" + "".join(models))
            process = subprocess.Popen(
                skep_on.line("up", "--port", "0", "--workers", str(workers), "--json"),
                cwd=folder,
                env={**skep_on.environment, "SKEP_WATCH_ENABLED": "false", **variables},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
            assert process.stdout is not None
            with process.stdout:
                said = json.loads(process.stdout.readline())
                key = Path(said["key_file"]).read_text().strip()
                try:
                    yield Server(said["url"], key, process, settings, skep_on, provider.url)
                finally:
                    process.send_signal(signal.SIGTERM)
                    assert process.wait(40) == 0

    return run


@pytest.mark.parametrize("tells", ["route", "hangup"])
def test_new_settings_count_at_once_and_no_stream_is_dropped(start: Callable[..., Any], tells: str) -> None:
    with start(model("smart"), model("slow"), workers=2) as server:
        assert server.says("smart") == "From here."
        streams = [Stream(server, "slow") for _ in range(4)]
        server.write(model("smart", "other"), model("extra"))
        if tells == "route":
            answer = server.reload()
            assert answer.status_code == 200, answer.text
            assert answer.json()["changed"] == ["models"]
        else:
            server.process.send_signal(signal.SIGHUP)
        assert server.follows("extra")
        assert server.says("smart") == "From elsewhere."
        assert server.ask("slow").status_code == 404
        # They go on by the model that is gone.
        assert [stream.end()[-1] for stream in streams] == ["data: [DONE]"] * 4
        assert all(len(stream.lines) >= 12 for stream in streams)


def test_what_is_wrong_is_refused_and_the_old_settings_go_on(start: Callable[..., Any]) -> None:
    with start(model("smart"), workers=2) as server:
        server.write("  smart: {routes: [{provider: nobody, model: m}]}\n")
        answer = server.reload()
        assert (answer.status_code, answer.json()["code"]) == (422, "reload_refused")
        assert "models.smart.routes.0.provider: expected fake" in answer.json()["detail"]
        assert server.says("smart") == "From here."
        server.settings.write_text("gateway: {max_calls: none}\n")
        assert "gateway.max_calls" in server.reload().json()["detail"]
        log = server.skep.folder / "log"
        before = log.read_text().count(REFUSED)
        server.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + 10
        while log.read_text().count(REFUSED) < before + 2:  # by each process
            assert time.monotonic() < until
            time.sleep(0.05)
        assert {server.says("smart") for _ in range(12)} == {"From here."}
        server.write(model("smart"), "gateway: {max_calls: 7}\nindex: {jobs: 3}\n")
        done = server.skep("gateway", "reload", "--json")
        assert done.answer["changed"] == ["gateway.max_calls"]
        assert done.answer["needs_restart"] == ["index.jobs"]
        assert "From here." in server.says("smart")


def test_a_terminal_that_goes_away_ends_the_server(skep_on: Command) -> None:
    controller, terminal = pty.openpty()
    # Who begins a session and opens a terminal has it as its own.
    opened = ["sh", "-c", 'exec "$@" <"$0"', os.ttyname(terminal)]
    process = subprocess.Popen(
        [*opened, *skep_on.line("up", "--port", "0", "--json")],
        cwd=skep_on.folder,
        env={**skep_on.environment, "SKEP_WATCH_ENABLED": "false"},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    os.close(terminal)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline()
        os.close(controller)
        assert process.wait(30) == 0


def test_a_stop_lets_calls_end_and_breaks_the_others_off_in_words(start: Callable[..., Any], database_url: str) -> None:
    models = [model(name) for name in ("smart", "slow", "endless", "late", "never")]
    with start(*models, workers=2, SKEP_SERVER_DRAIN_SECONDS="4") as server:
        short, long = Stream(server, "slow"), Stream(server, "endless")
        found: dict[str, httpx.Response] = {}

        def ask(name: str) -> None:
            found[name] = server.ask(name)

        asking = [threading.Thread(target=ask, args=(name,)) for name in ("late", "never")]
        for thread in asking:
            thread.start()
        time.sleep(0.4)
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.4)
        refused = server.ask("smart")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "server_stopping")
        assert refused.headers["retry-after"]
        assert refused.headers["connection"] == "close"
        assert httpx.get(f"{server.url}/healthz").status_code == 200
        assert httpx.get(f"{server.url}/readyz").status_code == 503
        for thread in asking:
            thread.join(20)
        assert server.process.wait(30) == 0
        assert 4 <= time.monotonic() - began < 15
        assert short.end()[-1] == "data: [DONE]"
        assert found["late"].json()["choices"][0]["message"]["content"] == "Late."
        assert (found["never"].status_code, found["never"].json()["error"]["code"]) == (503, "call_stopped")
        last = json.loads(long.end()[-1].removeprefix("data: "))
        assert last["error"]["code"] == "call_stopped"
        assert not [line for line in long.lines if "[DONE]" in line]
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("select model, outcome, cost_nusd is not null from call").fetchall()
    assert sorted(rows) == [
        ("endless", "interrupted", True),
        ("late", "ok", True),
        ("never", "interrupted", True),
        ("slow", "ok", True),
    ]
    assert not list((server.skep.data / "journal").glob("*")) or _is_flushed(server.skep.data / "journal")


def _is_flushed(journal: Path) -> bool:
    return all(not file.read_bytes().strip() for file in journal.rglob("*") if file.is_file())


def test_a_second_signal_stops_at_once(start: Callable[..., Any]) -> None:
    with start(model("endless"), SKEP_SERVER_DRAIN_SECONDS="60") as server:
        stream = Stream(server, "endless")
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert server.process.poll() is None
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(20)
        assert not [line for line in stream.lines if "[DONE]" in line]
