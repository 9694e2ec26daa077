"""`skep up` for tests: started as people start it, with its child processes in view, and ended when the test is over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.command import SOURCE, Command, Done

FAST = 20.0
"""Seconds within which something on a busy machine must have happened."""

ONLY_JOBS = {"SKEP_WATCH_ENABLED": "false", "SKEP_EMBEDDING_ENABLED": "false"}
"""For tests that are not about watching and embedding: each would start a process that computes for seconds."""


def skep(data: Path, *arguments: str, **more: str) -> Done:
    return Command(data, data.parent, more=more)(*arguments, code=None)


@dataclass
class Up:
    """A server that was started, with its parts."""

    data: Path
    process: subprocess.Popen[str]
    said: dict[str, Any]
    log: Path
    environment: dict[str, str]
    clients: list[httpx.Client] = field(default_factory=list)

    @property
    def url(self) -> str:
        return str(self.said["url"])

    @property
    def key(self) -> str:
        return Path(self.said["key_file"]).read_text().strip()

    def client(self, **headers: str) -> httpx.Client:
        sent = {"authorization": f"Bearer {self.key}"} | headers
        self.clients.append(httpx.Client(base_url=self.url, headers=sent, timeout=30))
        return self.clients[-1]

    def children(self, role: str) -> list[psutil.Process]:
        """Those that live: one that was just killed may still be there as a zombie, without a command line."""
        found = []
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.NoSuchProcess):
                if f'"role": "{role}"' in " ".join(child.cmdline()):
                    found.append(child)
        return found

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(25)


Start = Callable[..., Up]


@contextmanager
def starting(data: Path, **always: str) -> Iterator[Start]:
    """Start servers on a data folder; those that still run in the end are ended."""
    started: list[Up] = []

    def run(*arguments: str, **more: str) -> Up:
        log = data.parent / f"server-{len(started)}.log"
        command = [sys.executable, "-m", "skep", "--data-dir", str(data), "up", "--port", "0", "--json", *arguments]
        environment = {**os.environ, "PYTHONPATH": SOURCE, **always, **more}
        with log.open("w") as errors:
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment, cwd=data.parent
            )
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, log.read_text()
        started.append(Up(data, process, json.loads(line), log, environment))
        return started[-1]

    try:
        yield run
    finally:
        for up in started:
            for client in up.clients:
                client.close()
            if up.process.poll() is None:
                up.end()
            assert up.process.stdout is not None
            up.process.stdout.close()


@contextmanager
def eventually(seconds: float = FAST) -> Iterator[Callable[[], bool]]:
    """`while waits():` goes on for so long, then fails."""
    deadline = time.monotonic() + seconds

    def waits() -> bool:
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
        return True

    yield waits
