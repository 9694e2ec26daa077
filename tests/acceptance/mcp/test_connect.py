"""`skep connect`, and what it wrote, run as the program would run it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters, stdio_client

from tests.command import Command, write


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.mark.measured
async def test_what_was_written_works(skep_on: Command, home: Path) -> None:
    write(skep_on.folder, {"src/retry.py": "class RetryPolicy:\n    attempts = 3\n"})
    skep_on("index", ".")
    skep_on.more = {"HOME": str(home)}
    file = skep_on.folder / ".mcp.json"
    shown = skep_on("connect", "claude-code")
    assert not file.exists()
    assert str(file) in shown.err
    done = skep_on("connect", "claude-code", "--write")
    assert '+    "skep": {' in done.out
    assert f"wrote {file}" in done.err
    assert "SKEP_DATABASE_URL" in done.err
    assert json.loads(file.read_text()) == json.loads(shown.out)
    again = skep_on("connect", "claude-code", "--write", "--json")
    assert (again.answer["written"], again.answer["change"]) == (False, "")

    entry = json.loads(file.read_text())["mcpServers"]["skep"]
    assert entry["args"][:2] == ["--data-dir", str(skep_on.data)]
    command = [str(word) for word in skep_on.line(*entry["args"])]
    server = StdioServerParameters(
        command=command[0], args=command[1:], env=skep_on.environment, cwd=str(skep_on.folder)
    )
    async with Client(stdio_client(server)) as opened:
        result = await opened.call_tool("search", {"query": "RetryPolicy"})
        assert result.content[0].type == "text"
        assert "src/retry.py" in result.content[0].text


@pytest.mark.measured
def test_keys_are_never_written(skep_on: Command, home: Path) -> None:
    skep_on("status")
    key = (skep_on.data / "admin.key").read_text().strip()
    skep_on.more = {"HOME": str(home), "SKEP_KEY": key}
    for name in ("claude-code", "cursor", "vscode", "codex", "windsurf", "gemini-cli", "opencode"):
        done = skep_on("connect", name, "--http", "--write")
        assert "the key is not written" in done.err
        assert key not in done.out + done.err
    files = [file for folder in (home, skep_on.folder) for file in folder.rglob("*") if file.is_file()]
    assert len(files) == 7
    assert [file for file in files if key in file.read_text()] == []


def test_refusals(skep_on: Command, home: Path) -> None:
    skep_on.more = {"HOME": str(home)}
    assert skep_on("connect", "emacs", "--json", code=2).error["code"] == "client_unknown"
    assert skep_on("connect", "zed", "--http", "--json", code=2).error["code"] == "http_unsupported"
    settings = skep_on.folder / ".vscode" / "mcp.json"
    write(skep_on.folder, {".vscode/mcp.json": '{\n  // mine\n  "servers": {}\n}\n'})
    error = skep_on("connect", "vscode", "--write", "--json", code=1).error
    assert error["code"] == "config_not_plain"
    assert "--write" in error["fix"]
    assert "// mine" in settings.read_text()
