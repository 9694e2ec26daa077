"""`skep up` with `skep fake-provider` behind it, as users of the usual client libraries have it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.command import Command
from tests.postgres import ScratchServer
from tests.scripted import Scripted, scripted

SCRIPT = """\
models: [gpt-x, picks, shapes, slow, weary, busy, broken, lasting, embed-x]
rules:
  - {when: {models: [picks], contains: ['"tool_call_id"']}, then: {text: "It is 21 degrees in Berlin."}}
  - {when: {models: [picks]}, then: {tool_calls: [{name: get_weather, arguments: {city: Berlin}}]}}
  - {when: {models: [shapes]}, then: {json: {city: Berlin, degrees: 21}}}
  - {when: {models: [slow]}, then: {text: "one two three four five six seven eight", events_per_second: 4}}
  - {when: {models: [lasting]}, then: {latency_ms: 20000}}
  - {when: {models: [weary], every: 2}, then: {text: "At last."}}
  - {when: {models: [weary]}, then: {status: 429, retry_after: "0"}}
  - {when: {models: [busy]}, then: {status: 429, retry_after: "1"}}
  - {when: {models: [broken], stream: true}, then: {text: "one two three four", fault: {kind: close_in_stream, after_events: 2}}}
  - {when: {models: [broken]}, then: {status: 500}}
  - {when: {paths: [/v1/embeddings]}, then: {dimensions: 16}}
otherwise: {text: "Hello from here.", usage: {input_tokens: 10, output_tokens: 4}}
"""

SETTINGS = """\
providers:
  fake: {{kind: openai_compatible, base_url: "{url}", api_key: sk-provider}}
models:
{models}
"""
_MODEL = """\
  {name}:
    routes: [{{provider: fake, model: {name}}}]
    retries: 0
    price: {{input_usd_per_mtok: 1, output_usd_per_mtok: 2}}
"""
MODELS = ("gpt-x", "picks", "shapes", "slow", "lasting", "weary", "busy", "broken", "embed-x")


@dataclass(frozen=True)
class Clients:
    """What a client is told, and the provider behind it."""

    base_url: str
    key: str
    provider: Scripted

    def broken_off(self, model: str) -> int:
        """How many answers for a model were not sent to their end, because nobody took them."""
        numbers = {entry["number"] for entry in self.requests(model)}
        return len([end for end in self.provider.truth("end") if end["number"] in numbers and not end["whole"]])

    @contextmanager
    def breaking_off(self, model: str, seconds: float = 5.0) -> Iterator[None]:
        """One more answer for a model is broken off in the block, or soon after it."""
        before, until = self.broken_off(model), time.monotonic() + seconds
        yield
        while self.broken_off(model) == before:
            assert time.monotonic() < until + seconds, "the provider goes on"
            time.sleep(0.05)

    def requests(self, model: str) -> list[dict[str, Any]]:
        """The requests that came for a model."""
        return [entry for entry in self.provider.truth() if entry["model"] == model]


@pytest.fixture(scope="package")
def clients(tmp_path_factory: pytest.TempPathFactory, scratch_server: ScratchServer) -> Iterator[Clients]:
    """The server, with one process."""
    home = tmp_path_factory.mktemp("clients")
    with scripted(home / "provider", SCRIPT, "--ends") as provider, scratch_server.database() as url:
        skep = Command(home / "data", home, url)
        models = "".join(_MODEL.format(name=name) for name in MODELS)
        (home / "skep.yaml").write_text(SETTINGS.format(url=provider.url, models=models))
        process = subprocess.Popen(
            skep.line("up", "--port", "0", "--json"),
            env={**skep.environment, "SKEP_WATCH_ENABLED": "false"},
            cwd=home,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None
        with process.stdout:
            try:
                said = json.loads(process.stdout.readline())
                yield Clients(f"{said['url']}/v1", Path(said["key_file"]).read_text().strip(), provider)
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(30)


def outer_environment() -> dict[str, str]:
    """That of a user: npm has its cache and its settings in the home folder."""
    return {**os.environ, "HOME": os.environ.get("SKEP_TEST_ORIGINAL_HOME") or os.environ["HOME"]}


_LOCKED = Path(__file__).with_name("npm")


def installed_npm(folder: Path, program: str) -> str:
    """Put a program and what it needs, as the lock has it, into a folder; node's path."""
    node, npm = shutil.which("node"), shutil.which("npm")
    assert node, "the full level needs node and npm; .ci/run installs them"
    assert npm, "the full level needs node and npm; .ci/run installs them"
    for name in ("package.json", "package-lock.json", program):
        shutil.copy(_LOCKED / name, folder / name)
    done = subprocess.run(
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--omit=dev"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
        env=outer_environment(),
    )
    assert done.returncode == 0, done.stderr
    return node
