"""Where a setting's value came from, what can be wrong with it, and the errors that say so.

UsageError
├── InvalidSettingsError        some settings are wrong; all of them are named at once
├── SettingsFileMissingError    the file that was asked for is not there
├── SettingsFileUnreadableError the file is there but cannot be read
├── NoCurrentFolderError        the folder the process stands in was deleted
└── NoHomeFolderError           nobody said where data goes, and the user has no home
ConflictError
└── SettingsFileExistsError     a file would be overwritten
SkepError
└── SettingsFileUnwritableError a file cannot be written
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from typing_extensions import override

from skep.errors import ConflictError, SkepError, UsageError

OriginKind = Literal["default", "file", "environment", "command line"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was said. Lines and columns count from 1 and are None outside files, or for a file as a whole."""

    kind: OriginKind
    file: Path | None = None
    line: int | None = None
    column: int | None = None
    variable: str = ""
    """Name of the environment variable, else empty."""

    @override
    def __str__(self) -> str:
        if self.kind == "environment":
            return f"environment variable {self.variable}"
        if self.file is None:
            return self.kind
        return str(self.file) if self.line is None else f"{self.file}:{self.line}"


MAX_TOLD = 100
"""A file that is no settings file at all can have a problem in every word; nobody reads more than this."""

DEFAULT = Origin("default")
COMMAND_LINE = Origin("command line")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong (or doubtful) in the settings. Never contains the value of a secret."""

    where: Origin
    field: str
    """Dotted name, such as ``server.port``; empty when the file as a whole is meant."""
    reason: str
    nearest: str = ""
    """The valid word that looks most like what was written; empty when none does."""

    @override
    def __str__(self) -> str:
        column = f":{self.where.column}" if self.where.column is not None else ""
        field = f"{self.field}: " if self.field else ""
        nearest = f"; did you mean {self.nearest}?" if self.nearest else ""
        return f"{self.where}{column}: {field}{self.reason}{nearest}"


class InvalidSettingsError(UsageError):
    """The settings are not valid: {reason}"""

    fix = "Correct what is named, then try `skep config check`."

    def __init__(self, problems: Sequence[Problem]) -> None:
        """Fields: ``reason`` (the problem itself when there is one, else their number) and ``problems`` (the first MAX_TOLD)."""
        self.problems = tuple(problems[:MAX_TOLD])
        reason = str(self.problems[0]) if len(problems) == 1 else f"{len(problems)} problems"
        if len(problems) > MAX_TOLD:
            reason += f", the first {MAX_TOLD} are"
        super().__init__(reason=reason, problems=self.problems)


class SettingsFileMissingError(UsageError):
    """There is no settings file at {path}."""

    fix = "Correct --config or SKEP_CONFIG, or write a new file with `skep init {path}`."


class SettingsFileUnreadableError(UsageError):
    """The settings file {path} cannot be read: {reason}"""

    fix = "Make the file readable for this user, or name another one with --config."


class NoCurrentFolderError(UsageError):
    """The current folder no longer exists."""

    fix = "Change to a folder that exists."


class NoHomeFolderError(UsageError):
    """There is no place for Skep's data: this user has no home folder."""

    fix = "Name a folder with --data-dir or SKEP_HOME."


class SettingsFileExistsError(ConflictError):
    """There is already a file at {path}."""

    fix = "Add --force to replace it, or name another path."


class SettingsFileUnwritableError(SkepError):
    """The settings file {path} cannot be written: {reason}"""

    fix = "Name a path in a folder that exists and that this user may write to."


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What the command line said about the settings."""

    config: Path | None = None
    """The settings file to read; None when ``--config`` was not given."""
    overrides: Mapping[str, object] = field(default_factory=dict)
    """Values by dotted name, such as ``server.port``; None stands for an option that was not given."""
