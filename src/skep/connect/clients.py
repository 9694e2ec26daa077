"""The programs we know, as data. Each row follows the program's own documentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skep.connect.models import Client, HttpTarget, StdioTarget, Target


def _started(target: StdioTarget) -> dict[str, Any]:
    return {"command": target.command[0], "args": list(target.command[1:])}


def _asked(target: HttpTarget, variable: str, *, url_name: str = "url") -> dict[str, Any]:
    return {url_name: target.url, "headers": {"Authorization": f"Bearer {variable}"}}


def _claude_code(target: Target) -> Mapping[str, Any]:
    if isinstance(target, StdioTarget):
        return {"type": "stdio", **_started(target)}
    return {"type": "http", **_asked(target, f"${{{target.key_variable}}}")}


def _cursor(target: Target) -> Mapping[str, Any]:
    return _started(target) if isinstance(target, StdioTarget) else _asked(target, f"${{env:{target.key_variable}}}")


def _vscode(target: Target) -> Mapping[str, Any]:
    if isinstance(target, StdioTarget):
        return {"type": "stdio", **_started(target)}
    return {"type": "http", **_asked(target, f"${{env:{target.key_variable}}}")}


def _codex(target: Target) -> Mapping[str, Any]:
    if isinstance(target, StdioTarget):
        return _started(target)
    return {"url": target.url, "bearer_token_env_var": target.key_variable}


def _windsurf(target: Target) -> Mapping[str, Any]:
    if isinstance(target, StdioTarget):
        return _started(target)
    return _asked(target, f"${{env:{target.key_variable}}}", url_name="serverUrl")


def _zed(target: Target) -> Mapping[str, Any] | None:
    return {**_started(target), "env": {}} if isinstance(target, StdioTarget) else None


def _gemini_cli(target: Target) -> Mapping[str, Any]:
    if isinstance(target, StdioTarget):
        return _started(target)
    return _asked(target, f"${target.key_variable}", url_name="httpUrl")


def _opencode(target: Target) -> Mapping[str, Any]:
    if isinstance(target, StdioTarget):
        return {"type": "local", "command": list(target.command), "enabled": True}
    return {"type": "remote", **_asked(target, f"{{env:{target.key_variable}}}"), "enabled": True}


_WORKSPACE = ("--folder", "${workspaceFolder}")

CLIENTS = (
    Client("claude-code", "Claude Code", "json", "project", (".mcp.json",), _claude_code),
    Client("cursor", "Cursor", "json", "project", (".cursor", "mcp.json"), _cursor, folder_words=_WORKSPACE),
    Client(
        "vscode",
        "VS Code",
        "json",
        "project",
        (".vscode", "mcp.json"),
        _vscode,
        section="servers",
        folder_words=_WORKSPACE,
    ),
    Client("codex", "Codex", "toml", "user", (".codex", "config.toml"), _codex, section="mcp_servers"),
    Client("windsurf", "Windsurf", "json", "user", (".codeium", "windsurf", "mcp_config.json"), _windsurf),
    Client("zed", "Zed", "json", "user", (".config", "zed", "settings.json"), _zed, section="context_servers"),
    Client("gemini-cli", "Gemini CLI", "json", "project", (".gemini", "settings.json"), _gemini_cli),
    Client(
        "opencode",
        "opencode",
        "json",
        "project",
        ("opencode.json",),
        _opencode,
        section="mcp",
        root={"$schema": "https://opencode.ai/config.json"},
    ),
)
