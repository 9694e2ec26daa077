"""What would be written where, and the writing."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import skep
from skep.connect.clients import CLIENTS
from skep.connect.editing import json_snippet, json_with, toml_snippet, toml_with
from skep.connect.interfaces import (
    ClientUnknownError,
    ConfigChangedError,
    ConfigUnusableError,
    ConfigUnwritableError,
    HttpUnsupportedError,
)
from skep.connect.models import Connection, StdioTarget, Target

_NEW_FILE_MODE = 0o644


def plan(name: str, target: Target, *, project: Path, home: Path, read: bool) -> Connection:
    """What a program's configuration must say; with ``read`` also what its file is now and would be.

    Raises ClientUnknownError, HttpUnsupportedError; with ``read`` also the errors of the file.
    """
    client = next((client for client in CLIENTS if client.name == name), None)
    if client is None:
        raise ClientUnknownError(name=name, reason="unknown", known=", ".join(client.name for client in CLIENTS))
    if isinstance(target, StdioTarget):
        target = StdioTarget((*target.command, *client.folder_words))
    entry = client.entry(target)
    if entry is None:
        raise HttpUnsupportedError(title=client.title, reason="key")
    path = (project if client.scope == "project" else home).joinpath(*client.file)
    snippet = (json_snippet if client.form == "json" else toml_snippet)(client.section, entry)
    if not read:
        return Connection(name, path, snippet, None, None)
    before = _read(path)
    if client.form == "json":
        after = json_with(before, client.section, entry, client.root, path)
    else:
        after = toml_with(before, client.section, entry, path)
    return Connection(name, path, snippet, before, after)


def write(connection: Connection) -> None:
    """Make the change: the file is there whole, as it was or as it shall be. A link to it stays a link.

    Raises ConfigChangedError when it is no longer what it was, ConfigUnwritableError.
    """
    if connection.after is None or connection.is_done:
        return
    path = Path(os.path.realpath(connection.path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = path.stat().st_mode & 0o777 if path.exists() else _NEW_FILE_MODE
        descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
                file.write(connection.after)
                file.flush()
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            if _read(path) != connection.before:
                raise ConfigChangedError(what="the file", reason="changed", path=connection.path)
            Path(draft).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(draft).unlink()
            raise
    except OSError as error:
        raise ConfigUnwritableError(
            what="the file", path=connection.path, reason=error.strerror or str(error)
        ) from error


def own_command() -> tuple[str, ...]:
    """The words that start this very Skep from anywhere."""
    package = Path(skep.__file__).parent
    launcher = package.parent.parent / "skep"
    if launcher.is_file() and os.access(launcher, os.X_OK) and package.parent.name == "src":
        return (str(launcher),)
    script = Path(sys.executable).with_name("skep")
    if script.is_file():
        return (str(script),)
    return (sys.executable, "-P", "-m", "skep")


def _read(path: Path) -> str | None:
    try:
        if path.exists() and not path.is_file():
            raise ConfigUnusableError(what="the file", path=path, reason="it is no regular file")
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise ConfigUnusableError(what="the file", path=path, reason="it is not UTF-8") from error
    except OSError as error:
        raise ConfigUnwritableError(what="the file", path=path, reason=error.strerror or str(error)) from error
