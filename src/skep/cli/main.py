"""The entry of the command line: the table of commands, and the one place that turns errors into exit codes.

0 ok    1 failed    2 wrong usage    3 refused by a rule    4 something needed does not answer    130 interrupted
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from typer import _click

from skep import __version__
from skep.children import start_parser_early
from skep.cli.interfaces import CommandUsageError
from skep.cli.lazy import LazyCommand, LazyGroup
from skep.errors import SkepError, UsageError
from skep.settings import CommandLine
from skep.terminal import Terminal

KNOWLEDGE, SERVER, CONFIG = "skep.cli.knowledge_commands", "skep.cli.server_commands", "skep.cli.config_commands"
WATCH = "skep.cli.watch_commands"
MCP, CONNECT = "skep.cli.mcp_command", "skep.cli.connect_command"

COMMANDS = (
    LazyCommand("index", KNOWLEDGE, "Index a folder, or bring its index up to date.", start_parser_early),
    LazyCommand("watch", WATCH, "Keep the index of folders fresh, and tell what changes, until stopped."),
    LazyCommand("search", KNOWLEDGE, "Search what was indexed."),
    LazyCommand("ask", "skep.cli.ask_command", "Answer a question with quotes from what was indexed."),
    LazyCommand("similar", KNOWLEDGE, "Find passages like the one at a line of a file."),
    LazyCommand("status", KNOWLEDGE, "Show what is indexed and how fresh it is."),
    LazyCommand("verify", KNOWLEDGE, "Compare the index with one rebuilt from the stored originals."),
    LazyCommand("forget", KNOWLEDGE, "Make documents unfindable; a later index run may bring them back."),
    LazyCommand("purge", KNOWLEDGE, "Erase documents for good, with all their versions."),
    LazyCommand("embed", "skep.cli.embedding_commands", "Wait until what is indexed can be found by its meaning."),
    LazyCommand(
        "docs", "skep.cli.docs_commands", "Look at documents: PDF, office files, web pages, e-mail and the like."
    ),
    LazyCommand("up", SERVER, "Start the HTTP API and the background worker."),
    LazyCommand("down", SERVER, "Stop the server and the embedded database of the data folder."),
    LazyCommand("worker", SERVER, "Run background jobs until stopped."),
    LazyCommand("jobs", "skep.cli.job_commands", "Look at background jobs and steer them."),
    LazyCommand("doctor", SERVER, "Check everything Skep needs and say how to mend what is wrong."),
    LazyCommand("mcp", MCP, "Serve the index to an agent over standard input and output."),
    LazyCommand("connect", CONNECT, "Show or write the configuration that gives an agent the tools of this Skep."),
    LazyCommand("key", "skep.cli.key_commands", "Make, show, renew and revoke the keys of a project."),
    LazyCommand("budget", "skep.cli.budget_commands", "Set what calls of models may cost."),
    LazyCommand("limit", "skep.cli.limit_commands", "Set how many calls of models and tokens there may be."),
    LazyCommand("cost", "skep.cli.cost_commands", "Show what calls of models cost."),
    LazyCommand(
        "project",
        "skep.cli.project_commands",
        "Make, show and change projects: teams that share a Skep and nothing else.",
    ),
    LazyCommand("fake-provider", "skep.cli.fake_command", "Play a model provider that follows a script, for tests."),
    LazyCommand("gateway", "skep.cli.gateway_commands", "Look at how calls of models fare."),
    LazyCommand("config", "skep.cli.config_group", "Check and show the settings."),
    LazyCommand(
        "init", CONFIG, "Write a skep.yaml that shows every setting, commented out, with its default and meaning."
    ),
)

EXIT_INTERRUPTED = 130
"""What a shell reports for a process that SIGINT ended: 128 + 2."""

_EPILOG = """\
\b
First steps:
  skep index .
  skep search "where are retries configured"
  skep up
"""


class _Skep(LazyGroup):
    rows = COMMANDS


app = typer.Typer(
    cls=_Skep,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        Terminal().result({"version": __version__}, f"skep {__version__}")
        raise typer.Exit


@app.callback()
def skep(
    context: typer.Context,
    config: Annotated[Path | None, typer.Option(metavar="PATH", help="Settings file to read.")] = None,
    data_dir: Annotated[Path | None, typer.Option(metavar="PATH", help="Folder for everything Skep keeps.")] = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Skep: knows your code and documents, and stands between your team and its language models."""
    context.obj = CommandLine(config, {} if data_dir is None else {"data_folder": data_dir})


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; returns its exit code. Errors are said as the command's ``--json`` demands."""
    terminal = Terminal(json="--json" in arguments)
    try:
        code = app(arguments, prog_name="skep", standalone_mode=False)
        if code == EXIT_INTERRUPTED:
            raise KeyboardInterrupt  # which typer has turned into a number without words
    except SkepError as error:
        return terminal.show_error(error)
    except _click.exceptions.NoArgsIsHelpError as error:
        terminal.say_lines(error.format_message())
        return UsageError.exit_code
    except _click.exceptions.UsageError as error:
        command = error.ctx.command_path if error.ctx else "skep"
        return terminal.show_error(CommandUsageError(reason=error.format_message(), command=command))
    except (KeyboardInterrupt, typer.Abort):
        terminal.say("interrupted; nothing is lost, run it again to go on")
        return EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001 -- the last border: whatever was not foreseen must still end in words
        import traceback  # 10 ms that only a crash has to pay

        terminal.say_lines(traceback.format_exc())
        return terminal.show_error(SkepError(reason=f"{type(error).__name__}: {error}"))
    return code if isinstance(code, int) else 0
