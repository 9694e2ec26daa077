"""``skep config show`` and ``skep init``, and what all commands say about settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skep.settings import (
    CommandLine,
    Origin,
    Settings,
    all_rows,
    load_settings,
    shown,
    value_of,
    write_commented_file,
)
from skep.terminal import Terminal

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="PATH", help="Settings file to read; a folder stands for its skep.yaml."),
]
DataDirOption = Annotated[
    Path | None, typer.Option("--data-dir", metavar="PATH", help="Folder for everything Skep keeps.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write one JSON object to standard output.")]

SHOW_EXAMPLES = """\
\b
Examples:
  skep config show
  skep config show --origin
  SKEP_SERVER_PORT=8000 skep config show --json
"""
INIT_EXAMPLES = """\
\b
Examples:
  skep init
  skep init ~/.config/skep/skep.yaml
  skep init --force
"""

config_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Check and show the settings.")


def register(app: typer.Typer) -> None:
    """Puts these commands into the command line."""
    app.add_typer(config_app, name="config")
    app.command("init", epilog=INIT_EXAMPLES)(init)


def command_line(context: typer.Context, config: Path | None = None, data_dir: Path | None = None) -> CommandLine:
    """What the options say about settings: those of this command, else those given before its name.

    The latter are the ``CommandLine`` that an outer command left as its context's object, if any.
    """
    outer = context.find_object(CommandLine) or CommandLine()
    inner = {} if data_dir is None else {"data_folder": data_dir}
    return CommandLine(config if config is not None else outer.config, {**outer.overrides, **inner})


@config_app.command("show", epilog=SHOW_EXAMPLES)
def show(
    context: typer.Context,
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value comes from.")] = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Show every setting with the value that counts. Secrets are shown as stars."""
    settings = load_settings(command_line(context, config, data_dir))
    answer = {"file": settings.file, "settings": settings_object(settings, origin=origin)}
    Terminal(json=json).result(answer, lambda: settings_lines(settings, origin=origin))


def init(
    path: Annotated[Path, typer.Argument(help="Where to write: a file, or a folder for its skep.yaml.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is already there.")] = False,
    json: JsonOption = False,
) -> None:
    """Write a skep.yaml that shows every setting, commented out, with its default and meaning."""
    written = write_commented_file(path, force=force)
    Terminal(json=json).result({"file": written}, f"wrote {written}")


app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
register(app)


def settings_object(settings: Settings, *, origin: bool) -> dict[str, dict[str, object]]:
    """Every setting by dotted name with its ``value`` and, if asked for, its ``origin``."""
    named: dict[str, dict[str, object]] = {}
    for row in all_rows():
        named[row.name] = {"value": value_of(settings, row)}
        if origin:
            named[row.name]["origin"] = settings.origin(row.name)
    return named


def settings_lines(settings: Settings, *, origin: bool) -> str:
    """Every setting on its own line, in the order of the table."""
    lines = [(f"{row.name}: {shown(value_of(settings, row))}", settings.origin(row.name)) for row in all_rows()]
    width = min(max(len(text) for text, _ in lines), 70)
    return "\n".join(_line(text, source, width) if origin else text for text, source in lines)


def _line(text: str, source: Origin, width: int) -> str:
    return f"{text:<{width}}  # {source}"
