"""``skep connect``."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated

import typer

from skep.cli.config_commands import ConfigOption, DataDirOption, JsonOption, command_line
from skep.connect import CLIENTS, Connection, HttpTarget, StdioTarget, Target, own_command, plan, write
from skep.server import find_running
from skep.settings import CommandLine, Settings, load_settings
from skep.terminal import Terminal

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)

_EXAMPLES = """\
\b
Examples:
  skep connect claude-code
  skep connect cursor --write
  skep connect codex --http --write
"""


@app.command("connect", epilog=_EXAMPLES)
def connect(
    context: typer.Context,
    client: Annotated[str, typer.Argument(help=f"The agent's program: {', '.join(one.name for one in CLIENTS)}.")],
    http: Annotated[
        bool, typer.Option("--http", help="Let it use the running server; the key comes from SKEP_KEY.")
    ] = False,
    write_it: Annotated[
        bool, typer.Option("--write", help="Write it into the program's file and show the change.")
    ] = False,
    folder: Annotated[
        Path | None, typer.Option(metavar="PATH", help="The project's folder; default: the current one.")
    ] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Show or write the configuration that gives an agent the tools of this Skep."""
    terminal = Terminal(json=json)
    said = command_line(context, config, data_dir)
    settings = load_settings(said)
    target = _http(settings) if http else _stdio(settings, said)
    project = (folder or Path.cwd()).absolute()
    connection = plan(client, target, project=project, home=Path.home(), read=write_it)
    if write_it:
        write(connection)
    _show(terminal, connection, target, settings, wrote=write_it)


def _stdio(settings: Settings, said: CommandLine) -> Target:
    """The command, with what the program's environment need not know."""
    words = [*own_command()]
    if said.config is not None:
        words += ["--config", str(said.config.absolute())]
    if settings.origin("data_folder").kind in ("environment", "command line"):
        words += ["--data-dir", str(settings.data_folder)]
    return StdioTarget((*words, "mcp"))


def _http(settings: Settings) -> Target:
    """The server that runs from this data folder; the one that the settings describe when none does."""
    running = next((each.url for each in find_running(settings.data_folder) if each.role == "server"), "")
    scheme = "http" if settings.server.tls_certificate is None else "https"
    host = settings.server.host
    described = f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.server.port}"
    return HttpTarget(f"{running or described}/mcp")


def _show(terminal: Terminal, connection: Connection, target: Target, settings: Settings, *, wrote: bool) -> None:
    change = "".join(
        difflib.unified_diff(
            (connection.before or "").splitlines(keepends=True),
            (connection.after or "").splitlines(keepends=True),
            f"{connection.path} (before)" if connection.before is not None else "/dev/null",
            str(connection.path),
        )
    )
    is_http = isinstance(target, HttpTarget)
    if not wrote:
        again = f"skep connect {connection.client}{' --http' if is_http else ''} --write"
        terminal.say(f"put this into {connection.path}, or let `{again}` do it:")
    elif connection.is_done:
        terminal.say(f"{connection.path} says so already")
    else:
        terminal.say(f"wrote {connection.path}")
    if not is_http and settings.origin("database.url").kind == "environment":
        terminal.warn("the database's address is not written: start the program with SKEP_DATABASE_URL set as here")
    if is_http:
        key = settings.data_folder / "admin.key"
        terminal.say(f"the key is not written: start the program with SKEP_KEY set to one, such as the one in {key}")
    answer = {
        "client": connection.client,
        "file": connection.path,
        "configuration": connection.snippet,
        "written": wrote and not connection.is_done,
        "change": change,
    }
    terminal.result(answer, change.rstrip("\n") if wrote else connection.snippet)
