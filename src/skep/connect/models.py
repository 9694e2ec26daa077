"""What is told to whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class StdioTarget:
    """Skep as a process that the program starts: the words of its command."""

    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HttpTarget:
    """Skep as a server that runs. The program takes the key from the environment variable."""

    url: str
    key_variable: str = "SKEP_KEY"


Target: TypeAlias = StdioTarget | HttpTarget
Setting: TypeAlias = tuple[tuple[str, ...], Any]
"""Where in a configuration something belongs (the last name is that of the entry), and what."""


@dataclass(frozen=True, slots=True)
class Client:
    """A program that speaks the protocol, and how it is told of a server."""

    name: str
    title: str
    form: Literal["json", "toml"]
    scope: Literal["project", "user"]
    file: tuple[str, ...]
    """Below the project's folder or the home folder."""
    entry: Callable[[Target], Mapping[str, Any] | None]
    """The entry for a server; None when the program cannot be told so."""
    section: str = "mcpServers"
    folder_words: tuple[str, ...] = ()
    """More words of the command, for a program that starts it elsewhere than in the project."""
    root: Mapping[str, Any] | None = None
    """What a new file begins with."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A change of a configuration, not made yet."""

    client: str
    path: Path
    snippet: str
    """What the file must contain, for people to copy."""
    before: str | None
    """The file as it is; None when there is none, or it was not read."""
    after: str | None
    """The file as it will be; None when it was not worked out."""

    @property
    def is_done(self) -> bool:
        """Whether the file says so already."""
        return self.after is not None and self.after == self.before
