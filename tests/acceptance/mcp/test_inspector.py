"""The tools as the protocol's own inspector sees them. It is installed from npm, pinned with all it needs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.command import Command, write

LOCKED = Path(__file__).with_name("inspector")

pytestmark = [pytest.mark.full, pytest.mark.no_cover, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def inspector(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The inspector's command."""
    node, npm = shutil.which("node"), shutil.which("npm")
    assert node, "the full level needs node and npm; .ci/run installs them"
    assert npm, "the full level needs node and npm; .ci/run installs them"
    folder = tmp_path_factory.mktemp("inspector")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(LOCKED / name, folder / name)
    done = subprocess.run(
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--omit=dev"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        env=_environment(),
    )
    assert done.returncode == 0, done.stderr
    return [node, str(folder / "node_modules" / ".bin" / "mcp-inspector"), "--cli"]


def _environment() -> dict[str, str]:
    """That of a user: npm has its cache and its settings in the home folder."""
    return {**os.environ, "HOME": os.environ.get("SKEP_TEST_ORIGINAL_HOME") or os.environ["HOME"]}


def _ask(inspector: list[str], *words: str, env: dict[str, str], cwd: Path) -> dict[str, Any]:
    done = subprocess.run([*inspector, *words], capture_output=True, text=True, timeout=60, env=env, cwd=cwd)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.fixture
def indexed(skep_on: Command) -> Command:
    write(skep_on.folder, {"src/retry.py": "class RetryPolicy:\n    attempts = 3\n"})
    skep_on("index", ".")
    return skep_on


@pytest.fixture
def http(indexed: Command) -> Iterator[list[str]]:
    """How the inspector is told of a running server."""
    process = indexed.start("up", "--port", "0", "--json")
    assert process.stdout is not None
    try:
        said = json.loads(process.stdout.readline())
        key = Path(said["key_file"]).read_text().strip()
        yield [f"{said['url']}/mcp", "--transport", "http", "--header", f"Authorization: Bearer {key}"]
    finally:
        process.send_signal(signal.SIGTERM)
        with process:
            process.communicate(timeout=25)


def _see(inspector: list[str], target: list[str], indexed: Command) -> None:
    def ask(*words: str) -> dict[str, Any]:
        return _ask(inspector, *target, *words, env=indexed.environment, cwd=indexed.folder)

    assert [tool["name"] for tool in ask("--method", "tools/list")["tools"]] == ["search", "similar", "read", "status"]
    found = ask("--method", "tools/call", "--tool-name", "search", "--tool-arg", "query=RetryPolicy", "max_tokens=500")
    assert found["content"][0]["text"].startswith("## src/retry.py:1-2 RetryPolicy\n")
    refused = ask("--method", "tools/call", "--tool-name", "read", "--tool-arg", "path=/etc/passwd")
    assert refused["isError"] is True
    assert "fix: " in refused["content"][0]["text"]


def test_over_standard_streams(inspector: list[str], indexed: Command) -> None:
    _see(inspector, [str(word) for word in indexed.line("mcp")], indexed)


def test_over_http(inspector: list[str], indexed: Command, http: list[str]) -> None:
    _see(inspector, http, indexed)
