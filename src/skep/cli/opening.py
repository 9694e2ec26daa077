"""What the commands share: options, and how they get an opened Skep."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from skep.access import Principal
from skep.app import Skep, open_skep
from skep.cli.config_commands import command_line
from skep.settings import Settings, load_settings
from skep.terminal import Terminal

T = TypeVar("T")

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="PATH", help="Settings file to read; a folder stands for its skep.yaml."),
]
DataDirOption = Annotated[
    Path | None, typer.Option("--data-dir", metavar="PATH", help="Folder for everything Skep keeps.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write one JSON object to standard output.")]


def settings_for(context: typer.Context, terminal: Terminal, config: Path | None, data_dir: Path | None) -> Settings:
    """The settings as this command's options, its parent's and the environment say; warnings are said aloud."""
    settings = load_settings(command_line(context, config, data_dir))
    for warning in settings.warnings:
        terminal.warn(str(warning))
    return settings


def with_skep(settings: Settings, terminal: Terminal, work: Callable[[Skep, Principal], Awaitable[T]]) -> T:
    """Open Skep, act as the local principal, close it again."""

    async def run() -> T:
        async with open_skep(settings, notice=terminal.say, name="skep command") as skep:
            return await work(skep, await skep.local_principal())

    return asyncio.run(run())
