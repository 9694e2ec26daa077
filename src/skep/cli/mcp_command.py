"""``skep mcp``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from skep.cli.config_commands import ConfigOption, DataDirOption, command_line
from skep.mcp import serve_stdio
from skep.observe import configure_logging
from skep.settings import load_settings
from skep.terminal import Terminal

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command("mcp", epilog="\b\nExamples:\n  skep connect claude-code\n  skep mcp --data-dir /srv/skep")
def mcp(
    context: typer.Context,
    folder: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="Folder the agent works in, whose collection is searched; default: this one."
        ),
    ] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Serve the index to an agent over standard input and output. The agent starts this itself: see `skep connect`."""
    settings = load_settings(command_line(context, config, data_dir))
    for warning in settings.warnings:
        Terminal().warn(str(warning))
    configure_logging(settings.log.level, settings.log.format, sys.stderr)
    serve_stdio(settings, Path.cwd() if folder is None else folder.absolute())
