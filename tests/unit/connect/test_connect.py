"""Configuration of other programs: what is written, what stays, what is refused."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

from skep.connect import (
    CLIENTS,
    ClientUnknownError,
    ConfigChangedError,
    ConfigNotPlainError,
    ConfigUnusableError,
    HttpTarget,
    HttpUnsupportedError,
    StdioTarget,
    Target,
    plan,
    write,
)

STDIO = StdioTarget(("/opt/skep", "mcp"))
HTTP = HttpTarget("http://127.0.0.1:7117/mcp")
BEARER: dict[str, object] = {"Authorization": "Bearer ${SKEP_KEY}"}

ENTRIES: list[tuple[str, Target, str, dict[str, Any]]] = [
    ("claude-code", STDIO, "mcpServers", {"type": "stdio", "command": "/opt/skep", "args": ["mcp"]}),
    ("claude-code", HTTP, "mcpServers", {"type": "http", "url": HTTP.url, "headers": BEARER}),
    (
        "cursor",
        STDIO,
        "mcpServers",
        {"command": "/opt/skep", "args": ["mcp", "--folder", "${workspaceFolder}"]},
    ),
    (
        "cursor",
        HTTP,
        "mcpServers",
        {"url": HTTP.url, "headers": {"Authorization": "Bearer ${env:SKEP_KEY}"}},
    ),
    (
        "vscode",
        STDIO,
        "servers",
        {"type": "stdio", "command": "/opt/skep", "args": ["mcp", "--folder", "${workspaceFolder}"]},
    ),
    (
        "vscode",
        HTTP,
        "servers",
        {"type": "http", "url": HTTP.url, "headers": {"Authorization": "Bearer ${env:SKEP_KEY}"}},
    ),
    ("codex", STDIO, "mcp_servers", {"command": "/opt/skep", "args": ["mcp"]}),
    ("codex", HTTP, "mcp_servers", {"url": HTTP.url, "bearer_token_env_var": "SKEP_KEY"}),
    ("windsurf", STDIO, "mcpServers", {"command": "/opt/skep", "args": ["mcp"]}),
    (
        "windsurf",
        HTTP,
        "mcpServers",
        {"serverUrl": HTTP.url, "headers": {"Authorization": "Bearer ${env:SKEP_KEY}"}},
    ),
    ("zed", STDIO, "context_servers", {"command": "/opt/skep", "args": ["mcp"], "env": {}}),
    ("gemini-cli", STDIO, "mcpServers", {"command": "/opt/skep", "args": ["mcp"]}),
    (
        "gemini-cli",
        HTTP,
        "mcpServers",
        {"httpUrl": HTTP.url, "headers": {"Authorization": "Bearer $SKEP_KEY"}},
    ),
    ("opencode", STDIO, "mcp", {"type": "local", "command": ["/opt/skep", "mcp"], "enabled": True}),
    (
        "opencode",
        HTTP,
        "mcp",
        {
            "type": "remote",
            "url": HTTP.url,
            "headers": {"Authorization": "Bearer {env:SKEP_KEY}"},
            "enabled": True,
        },
    ),
]


def read(path: Path) -> dict[str, Any]:
    text = path.read_text()
    found: dict[str, Any] = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    return found


def connect(name: str, target: Target, folder: Path) -> Path:
    connection = plan(name, target, project=folder / "project", home=folder / "home", read=True)
    write(connection)
    return connection.path


def file_of(name: str, folder: Path, text: str) -> Path:
    path = plan(name, STDIO, project=folder / "project", home=folder / "home", read=False).path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(("name", "target", "section", "entry"), ENTRIES)
def test_what_is_shown_is_what_is_written_once(
    tmp_path: Path, name: str, target: Target, section: str, entry: dict[str, Any]
) -> None:
    path = connect(name, target, tmp_path)
    assert read(path)[section] == {"skep": entry}
    again = plan(name, target, project=tmp_path / "project", home=tmp_path / "home", read=True)
    assert again.is_done
    write(again)
    shown = again.snippet
    assert (tomllib.loads(shown) if path.suffix == ".toml" else json.loads(shown)) == {section: {"skep": entry}}
    assert oct(path.stat().st_mode & 0o777) == "0o644"
    assert [each.name for each in path.parent.iterdir() if each.name.startswith(f".{path.name}.")] == []


def test_every_program_is_tested() -> None:
    assert {name for name, *_ in ENTRIES} == {client.name for client in CLIENTS}


@pytest.mark.parametrize("name", ["claude-code", "zed", "opencode", "vscode"])
def test_everything_else_stays(tmp_path: Path, name: str) -> None:
    section = next(client.section for client in CLIENTS if client.name == name)
    before: dict[str, Any] = {
        "first": [1, 2.5, None, True, {"ü": '→ \U0001f389 \\ " \n'}],
        section: {"other": {"command": "x"}, "skep": {"command": "old"}, "last": {}},
        "théme": {"nested": {"deep": [[]]}},
    }
    path = file_of(name, tmp_path, json.dumps(before, indent=4, ensure_ascii=False))
    connect(name, STDIO, tmp_path)
    after = read(path)
    assert list(after) == list(before)
    assert list(after[section]) == ["other", "skep", "last"]
    assert after[section].pop("skep")["command"] in ("/opt/skep", ["/opt/skep", "mcp"])
    del before[section]["skep"]
    assert after == before
    assert '\n    "first"' in path.read_text()


def test_toml_keeps_its_comments(tmp_path: Path) -> None:
    text = (
        "# mine\nmodel = 'x'  # why\n\n[mcp_servers.other]\ncommand = \"a\"\n\n"
        '[mcp_servers.skep] # ours\ncommand = "old"\nargs = [\n  "a",\n]\n\n# of the last\n[tui]\ntheme = "dark"\n'
    )
    path = file_of("codex", tmp_path, text)
    connect("codex", STDIO, tmp_path)
    assert path.read_text() == (
        "# mine\nmodel = 'x'  # why\n\n[mcp_servers.other]\ncommand = \"a\"\n\n"
        '[mcp_servers.skep]\ncommand = "/opt/skep"\nargs = ["mcp"]\n\n# of the last\n[tui]\ntheme = "dark"\n'
    )
    path.write_text("# mine\n")
    connect("codex", HTTP, tmp_path)
    assert path.read_text().startswith("# mine\n\n[mcp_servers.skep]\nurl = ")


@pytest.mark.parametrize(
    ("name", "text", "error", "said"),
    [
        ("vscode", '{\n  // mine\n  "servers": {}\n}', ConfigNotPlainError, "comments"),
        ("zed", '{"theme": "x", /* y */ "a": 1}', ConfigNotPlainError, "comments"),
        ("zed", '{"theme": "x",}', ConfigNotPlainError, "commas"),
        ("cursor", '{"a": 1, "a": 2}', ConfigNotPlainError, "the name a twice"),
        ("cursor", '{"url": "http://x", oops}', ConfigUnusableError, "no JSON"),
        ("cursor", "[]", ConfigUnusableError, "no JSON object"),
        ("cursor", '{"mcpServers": []}', ConfigUnusableError, "mcpServers is no object"),
        ("codex", "= 1", ConfigUnusableError, "no TOML"),
        ("codex", "mcp_servers = 1", ConfigUnusableError, "no table"),
        ("codex", 'mcp_servers = {skep = {command = "x"}}', ConfigNotPlainError, "another form"),
        ("codex", '[mcp_servers.skep]\ncommand = "x"\n[mcp_servers.skep.env]\nA = "b"\n', ConfigNotPlainError, "form"),
        ("codex", 'text = """\n[mcp_servers.skep]\n"""\n[mcp_servers]\nskep = {}\n', ConfigNotPlainError, "form"),
    ],
)
def test_a_file_that_would_lose_something_is_left_alone(
    tmp_path: Path, name: str, text: str, error: type[Exception], said: str
) -> None:
    path = file_of(name, tmp_path, text)
    with pytest.raises(error, match=said):
        connect(name, STDIO, tmp_path)
    assert path.read_text() == text


def test_odd_files(tmp_path: Path) -> None:
    path = file_of("cursor", tmp_path, "")
    connect("cursor", STDIO, tmp_path)
    assert "skep" in read(path)["mcpServers"]
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigUnusableError, match="UTF-8"):
        connect("cursor", STDIO, tmp_path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ConfigUnusableError, match="regular"):
        connect("cursor", STDIO, tmp_path)


def test_a_linked_file_stays_a_link_and_rights_stay(tmp_path: Path) -> None:
    path = file_of("windsurf", tmp_path, "{}")
    real = tmp_path / "dotfiles.json"
    path.rename(real)
    real.chmod(0o600)
    path.symlink_to(real)
    connect("windsurf", STDIO, tmp_path)
    assert path.is_symlink()
    assert "skep" in read(real)["mcpServers"]
    assert oct(real.stat().st_mode & 0o777) == "0o600"


def test_a_change_of_somebody_else_is_not_overwritten(tmp_path: Path) -> None:
    path = file_of("cursor", tmp_path, "{}")
    connection = plan("cursor", STDIO, project=tmp_path / "project", home=tmp_path / "home", read=True)
    path.write_text('{"new": 1}')
    with pytest.raises(ConfigChangedError):
        write(connection)
    assert path.read_text() == '{"new": 1}'
    assert os.listdir(path.parent) == ["mcp.json"]


def test_what_is_not_known_is_said(tmp_path: Path) -> None:
    with pytest.raises(ClientUnknownError) as caught:
        plan("emacs", STDIO, project=tmp_path, home=tmp_path, read=False)
    assert "claude-code" in caught.value.fix_text
    with pytest.raises(HttpUnsupportedError, match="Zed"):
        plan("zed", HTTP, project=tmp_path, home=tmp_path, read=False)
