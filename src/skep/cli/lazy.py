"""Commands that are loaded when they are called, so that `skep --help` imports none of what they need."""

from __future__ import annotations

import gc
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typing_extensions import override


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """A row of the command line's table of contents."""

    name: str
    module: str
    """The module whose ``app`` has the command (or, for a group, is the group)."""
    summary: str
    """The first sentence of its help; a test compares the two."""
    forerunner: Callable[[], None] | None = None
    """What is done before its module is imported, because it takes as long and needs another core."""


class LazyGroup(TyperGroup):
    """A group whose members are known by name and summary until one of them is called."""

    rows: tuple[LazyCommand, ...] = ()

    @override
    def list_commands(self, ctx: Any) -> list[str]:
        return [row.name for row in self.rows]

    @override
    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        # Only lists and completions ask here, and for them the summary is enough; a call goes through resolve_command.
        row = next((row for row in self.rows if row.name == cmd_name), None)
        return None if row is None else TyperCommand(row.name, help=row.summary)

    @override
    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        row = next((row for row in self.rows if row.name == args[0]), None)
        if row is None:
            self.commands = {known.name: TyperCommand(known.name) for known in self.rows}
            return super().resolve_command(ctx, args)
        return row.name, load(row), args[1:]


def load(row: LazyCommand) -> TyperCommand | TyperGroup:
    """The command itself: its module is imported now."""
    if row.forerunner is not None:
        row.forerunner()
    module = importlib.import_module(row.module)
    # All that was loaded stays to the end: from here on garbage is looked for, but not among it.
    gc.freeze()
    gc.enable()
    group = typer.main.get_group(module.app)
    command = group.commands.get(row.name, group)
    if not isinstance(command, TyperCommand | TyperGroup):
        raise TypeError(f"{row.module} has no command {row.name}")
    return command
