"""``skep config`` with all its commands. ``check`` stands here: every command imports its neighbours, and it needs the gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skep.cli.config_commands import (
    ConfigOption,
    DataDirOption,
    JsonOption,
    app,
    command_line,
    config_app,
    register,
)
from skep.gateway import doubts, read_config
from skep.settings import all_rows, load_settings
from skep.terminal import Terminal

__all__ = ["app", "check", "register"]

CHECK_EXAMPLES = """\
\b
Examples:
  skep config check
  skep config check deploy/skep.yaml --json
"""


@config_app.command("check", epilog=CHECK_EXAMPLES)
def check(
    context: typer.Context,
    path: Annotated[
        Path | None, typer.Argument(help="File to check; the one that would be used when left out.")
    ] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Check the settings: file, environment and options. Exits with 2 and names every problem when they are not valid."""
    terminal = Terminal(json=json)
    settings = load_settings(command_line(context, path or config, data_dir))
    read_config(settings.open_sections)
    warnings = [*settings.warnings, *doubts(settings.open_sections, embeds=settings.embedding.enabled)]
    for warning in warnings:
        terminal.warn(str(warning))
    where = f"{settings.file} is valid" if settings.file else "no skep.yaml was found"
    answer = {"valid": True, "file": settings.file, "settings_said": len(settings.origins)}
    terminal.result(
        {**answer, "warnings": warnings},
        f"{where} ({len(settings.origins)} of {len(all_rows())} settings are set, the others have their defaults)",
    )
