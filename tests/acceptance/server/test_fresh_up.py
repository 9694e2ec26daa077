"""`skep up` keeps what is indexed fresh and tells what changes, over server-sent events and WebSockets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.command import Command, write

FAST = 25.0


@dataclass
class Up:
    command: Command
    process: subprocess.Popen[bytes]
    said: dict[str, Any]
    clients: list[httpx.Client] = field(default_factory=list)

    @property
    def key(self) -> str:
        return Path(self.said["key_file"]).read_text().strip()

    def client(self, **headers: str) -> httpx.Client:
        sent = {"authorization": f"Bearer {self.key}"} | headers
        self.clients.append(httpx.Client(base_url=self.said["url"], headers=sent, timeout=FAST))
        return self.clients[-1]

    def watcher(self) -> psutil.Process:
        (found,) = [
            child
            for child in psutil.Process(self.process.pid).children()
            if '"role": "watcher"' in " ".join(child.cmdline())
        ]
        return found

    def found(self, query: str) -> set[str]:
        answer = self.client().post("/api/v1/search", json={"query": query})
        assert answer.status_code == 200, answer.text
        return {result["path"] for result in answer.json()["results"]}

    def until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + FAST
        while not holds():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.05)

    @contextmanager
    def events(self, path: str = "/api/v1/changes", **headers: str) -> Iterator[Iterator[dict[str, Any]]]:
        with self.client(**headers).stream("GET", path) as stream:
            assert stream.status_code == 200, stream.read()
            lines = stream.iter_lines()
            assert next(lines).startswith(":"), "told at once that it is heard from here on"
            yield _events(lines)

    def socket(self, path: str = "/api/v1/changes", **headers: str) -> ClientConnection:
        sent = {"Authorization": f"Bearer {self.key}"} | headers
        return connect(self.said["url"].replace("http", "ws") + path, additional_headers=sent, proxy=None)


def _events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    event: dict[str, Any] = {}
    for line in lines:
        if line.startswith("data: "):
            event |= json.loads(line.removeprefix("data: "))
        elif line.startswith("id: "):
            event["id"] = line.removeprefix("id: ")
        elif not line and event:
            yield event
            event = {}


@pytest.fixture
def up(skep_on: Command) -> Iterator[Up]:
    write(skep_on.folder, {"src/one.py": "def aardvark():\n    return 1\n", "notes.md": "# About the walrus\n"})
    skep_on("index", ".")
    process = skep_on.start("up", "--port", "0", "--json")
    assert process.stdout is not None
    running = Up(skep_on, process, json.loads(process.stdout.readline()))
    try:
        yield running
    finally:
        for client in running.clients:
            client.close()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=25)


def _until_watched(up: Up) -> None:
    probe = up.command.folder / "probe.py"
    probe.write_text("def probing_hippopotamus():\n    return 0\n")
    up.until(lambda: up.found("hippopotamus") == {"probe.py"})


@pytest.mark.measured
def test_an_edit_is_found_and_told(up: Up) -> None:
    folder = up.command.folder
    _until_watched(up)
    with up.events() as events, up.socket("/api/v1/changes?collections=project") as socket:
        (folder / "src/one.py").write_text("def buffalo():\n    return 1\n")
        first = next(events)
        assert (first["event"], first["collection"]) == ("change", "project")
        assert (first["changed"], first["changed_paths"], first["added"], first["removed"]) == (1, ["src/one.py"], 0, 0)
        assert json.loads(socket.recv(timeout=FAST)) == first
        up.until(lambda: up.found("buffalo") == {"src/one.py"})

        # Whoever indexes: here the command line, in a folder that nobody watched before.
        other = folder.parent / "other"
        write(other, {"a.py": "def cormorant(): ...\n"})
        up.command("index", other)
        second = next(events)
        assert (second["collection"], second["added_paths"]) == ("other", ["a.py"])
        (other / "b.py").write_text("def dolphin(): ...\n")
        assert next(events)["added_paths"] == ["b.py"]
        up.command("purge", "other", "--yes")
        last = next(events)
        assert last["event"] == "gone"
    # After a break it goes on where it was, with collections that came meanwhile.
    (folder / "src/one.py").write_text("def elephant():\n    return 1\n")
    up.command("index", other)
    up.until(lambda: up.found("elephant") == {"src/one.py"})
    with up.events(**{"last-event-id": last["id"]}) as events:
        told = {event["collection"]: event for event in (next(events), next(events))}
        assert sorted(told["other"]["added_paths"]) == ["a.py", "b.py"]
        assert told["project"]["changed_paths"] == ["src/one.py"]


REFUSALS = [
    ({"Authorization": "Bearer skep_nonsense"}, "", 401, "key_invalid"),
    ({"Origin": "https://evil.example"}, "", 403, "origin_refused"),
    ({"Host": "evil.example"}, "", 403, "host_refused"),
    ({}, "?collections=nothing", 404, "collection_not_found"),
    ({}, "?after=nonsense", 422, "cursor_invalid"),
    ({}, "?nonsense=1", 422, "query_invalid"),
]


def test_refusals_are_the_same_for_both(up: Up) -> None:
    for headers, query, status, code in REFUSALS:
        path = f"/api/v1/changes{query}"
        if "Host" not in headers:
            with pytest.raises(InvalidStatus) as refused:
                up.socket(path, **headers)
            response = refused.value.response
            assert (response.status_code, json.loads(response.body or b"{}")["code"]) == (status, code)
        answer = up.client(**{name.lower(): value for name, value in headers.items()}).get(path)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert answer.json()["fix"]
    with pytest.raises(InvalidStatus) as refused:
        up.socket("/api/v1/collections")
    assert refused.value.response.status_code == 404


def test_a_killed_watcher_catches_up(up: Up) -> None:
    folder = up.command.folder
    _until_watched(up)
    first = up.watcher()
    os.kill(first.pid, signal.SIGKILL)
    for number in range(30):
        (folder / f"while_dead_{number}.py").write_text(f"def elephant_{number}():\n    return 1\n")
    up.until(lambda: len(up.found("elephant")) == 10)
    assert up.watcher().pid != first.pid
    assert up.command("verify", "--json").answer["equal"]


def test_a_stopped_watcher_goes_on_where_it_was(up: Up) -> None:
    folder = up.command.folder
    _until_watched(up)
    watcher = up.watcher()
    watcher.suspend()
    try:
        (folder / "src/one.py").write_text("def flamingo():\n    return 1\n")
        # Nobody is held up by it.
        assert up.found("walrus") == {"notes.md"}
        up.command("index", ".")
        assert up.found("flamingo") == {"src/one.py"}
        (folder / "src/one.py").write_text("def gazelle():\n    return 1\n")
    finally:
        watcher.resume()
    up.until(lambda: up.found("gazelle") == {"src/one.py"})
    assert up.command("verify", "--json").answer["equal"]


def test_a_slow_reader_gets_fewer_and_larger_notices(up: Up) -> None:
    folder = up.command.folder
    _until_watched(up)
    with up.socket() as slow:
        for number in range(150):
            (folder / f"many_{number}.py").write_text(f"def heron_{number}():\n    return 1\n")
        up.until(lambda: up.command("status", "--json").answer["collections"][0]["files"] == 153)
        added = 0
        while added < 150:
            notice = json.loads(slow.recv(timeout=FAST))
            assert len(notice["added_paths"]) == min(notice["added"], 100)
            added += notice["added"]
        assert added == 150


def test_open_streams_hold_up_no_end_and_a_revoked_key_ends_them(up: Up, skep_on: Command) -> None:
    _until_watched(up)
    with up.socket() as first, up.socket() as second, up.events() as events:
        first.send("what a client says is not heard")
        first.send(b"bytes neither")
        first.close()
        with psycopg.connect(str(skep_on.url), autocommit=True) as connection:
            connection.execute("update api_key set revoked_at = now()")
        with pytest.raises(ConnectionClosed) as closed:
            second.recv(timeout=FAST)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
        assert list(events) == []


def test_an_end_says_goodbye(up: Up) -> None:
    _until_watched(up)
    with up.socket() as socket:
        begun = time.monotonic()
        up.process.send_signal(signal.SIGTERM)
        with suppress(ConnectionClosed):
            deque(socket, maxlen=0)  # whatever was still told
        assert socket.close_code in (1001, 1012)
        assert up.process.wait(20) == 0
        assert time.monotonic() - begun < 15
