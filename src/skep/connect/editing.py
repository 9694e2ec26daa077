"""A configuration with our entry in it, and everything else as it was. Pure."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skep.connect.interfaces import ConfigNotPlainError, ConfigUnusableError

NAME = "skep"
"""What our entry is called, and by agents our tools after it."""

_INDENT = 2
_COMMENT = re.compile(r"^\s*(//|/\*)|[,\[{\]}\"\d]\s*(//|/\*)|,\s*[\]}]", re.MULTILINE)


class _RepeatedError(Exception):
    """A name stands twice in one object."""


def json_with(
    text: str | None, section: str, entry: Mapping[str, Any], root: Mapping[str, Any] | None, path: Path
) -> str:
    """JSON with the entry in its section; ``text`` itself when it says so already.

    Raises ConfigNotPlainError for comments and names that stand twice, ConfigUnusableError.
    """
    whole = dict(root or {}) if text is None or not text.strip() else _read_json(text, path)
    inner = whole.get(section, {})
    if not isinstance(inner, dict):
        raise ConfigUnusableError(what="the file", path=path, reason=f"{section} is no object")
    if text is not None and inner.get(NAME) == entry:
        return text
    whole[section] = {**inner, NAME: entry}
    return json.dumps(whole, indent=_indent_of(text or ""), ensure_ascii=False) + "\n"


def json_snippet(section: str, entry: Mapping[str, Any]) -> str:
    """What people put into a JSON file."""
    return json.dumps({section: {NAME: entry}}, indent=_INDENT, ensure_ascii=False)


def toml_with(text: str | None, section: str, entry: Mapping[str, Any], path: Path) -> str:
    """TOML with the entry in its section; ``text`` itself when it says so already. Comments stay.

    Raises ConfigNotPlainError when our entry is there, but not written as one table, ConfigUnusableError.
    """
    old = text or ""
    before = _read_toml(old, path)
    inner = before.get(section, {})
    if not isinstance(inner, dict):
        raise ConfigUnusableError(what="the file", path=path, reason=f"{section} is no table")
    if inner.get(NAME) == entry:
        return old
    table = toml_snippet(section, entry)
    if NAME not in inner:
        new = f"{old.rstrip()}\n\n{table}\n" if old.strip() else f"{table}\n"
    else:
        new = _replaced(old, f"[{section}.{NAME}]", table)
    try:
        after = tomllib.loads(new)
    except tomllib.TOMLDecodeError:
        after = {}
    # Whatever was there is there still, and ours is what we meant; else the file is written in another way than we read.
    if after != {**before, section: {**inner, NAME: dict(entry)}}:
        raise ConfigNotPlainError(
            what="the file", reason="form", path=path, feature=f"an entry {section}.{NAME} in another form"
        )
    return new


def toml_snippet(section: str, entry: Mapping[str, Any]) -> str:
    """What people put into a TOML file."""
    lines = [f"[{section}.{NAME}]"]
    # A JSON string or list of strings without characters beyond the first plane's escapes is one of TOML too.
    lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in entry.items()]
    return "\n".join(lines)


def _read_json(text: str, path: Path) -> dict[str, Any]:
    try:
        whole = json.loads(text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}"), object_pairs_hook=_unrepeated)
    except _RepeatedError as error:
        raise ConfigNotPlainError(
            what="the file", reason="names", path=path, feature=f"the name {error} twice in one object"
        ) from error
    except ValueError as error:
        if _COMMENT.search(text):
            raise ConfigNotPlainError(
                what="the file", reason="comments", path=path, feature="comments or closing commas"
            ) from error
        raise ConfigUnusableError(what="the file", path=path, reason=f"it is no JSON: {error}") from error
    if not isinstance(whole, dict):
        raise ConfigUnusableError(what="the file", path=path, reason="it is no JSON object")
    return whole


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _RepeatedError(name)
        found[name] = value
    return found


def _read_toml(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigUnusableError(what="the file", path=path, reason=f"it is no TOML: {error}") from error


def _replaced(text: str, header: str, table: str) -> str:
    """The text with the table of this header replaced; unchanged when no line is that header."""
    lines = text.split("\n")
    start = next((number for number, line in enumerate(lines) if line.split("#")[0].strip() == header), None)
    if start is None:
        return text
    end = next(
        (number for number in range(start + 1, len(lines)) if lines[number].lstrip().startswith("[")), len(lines)
    )
    while end > start + 1 and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
        end -= 1  # blank lines and comments before the next table belong to that one
    return "\n".join([*lines[:start], table, *lines[end:]])


def _indent_of(text: str) -> int | str:
    found = re.search(r"^([ \t]+)\"", text, re.MULTILINE)
    return found[1] if found else _INDENT
