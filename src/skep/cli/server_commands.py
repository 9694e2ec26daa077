"""``skep up``, ``down``, ``worker``, ``doctor``. What they start or ask runs in other processes, so that this one stays small."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from skep.cli.config_commands import ConfigOption, DataDirOption, JsonOption, command_line
from skep.jobs import known_queues
from skep.server import (
    STOP_SECONDS,
    Orders,
    Running,
    Started,
    find_running,
    log_to_its_place,
    run_examination,
    run_server,
    stop,
    stop_database,
)
from skep.settings import CommandLine, Settings, load_settings
from skep.terminal import Terminal

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)

_STOP_SECONDS = 5.0
"""So much longer than a server gives its own processes is waited for it."""


def _examples(*lines: str) -> str:
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


@app.command("up", epilog=_examples("skep up", "skep up --port 8000 --workers 2", "skep up --json"))
def up(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes any free one.")] = None,
    workers: Annotated[int | None, typer.Option("--workers", metavar="N", help="Number of server processes.")] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Start the HTTP API and the background worker."""
    terminal = Terminal(json=json)
    said = command_line(context, config, data_dir)
    own: dict[str, object] = {"server.host": host, "server.port": port, "server.workers": workers}
    said = replace(said, overrides={**said.overrides, **own})
    settings = _settings(said, terminal)
    log_to_its_place(settings.log, "server")
    asyncio.run(run_server(settings, said, lambda started: terminal.result(started, lambda: _started_lines(started))))


@app.command("down", epilog=_examples("skep down", "skep down --json"))
def down(
    context: typer.Context, config: ConfigOption = None, data_dir: DataDirOption = None, json: JsonOption = False
) -> None:
    """Stop the server and the embedded database of the data folder."""
    terminal = Terminal(json=json)
    said = command_line(context, config, data_dir)
    settings = _settings(said, terminal)
    running = find_running(settings.data_folder)
    seconds = settings.server.drain_seconds + STOP_SECONDS + _STOP_SECONDS
    # Servers first: they end their workers; and all before the database, which they would start again.
    stop([process for process in running if process.role == "server"], timeout_seconds=seconds)
    stop([process for process in running if process.role != "server"], timeout_seconds=seconds)
    stopped = stop_database(said)
    answer = {"processes": [asdict(process) for process in running], "database": stopped}
    terminal.result(answer, lambda: _stopped_line(running, database=stopped))


@app.command("worker", epilog=_examples("skep worker", "skep worker --queues ingest,analysis --concurrency 4"))
def worker(
    context: typer.Context,
    queues: Annotated[
        list[str] | None,
        typer.Option(
            "--queues", metavar="NAMES", help="ingest, analysis, default, folders (this machine's); all if unsaid."
        ),
    ] = None,
    concurrency: Annotated[
        int,
        typer.Option(
            min=0, max=64, metavar="N", help="Jobs to run at the same time; 0: one on folders and four others."
        ),
    ] = 0,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Run background jobs until stopped."""
    said = command_line(context, config, data_dir)
    load_settings(said)
    command = Orders.for_command("worker", said, concurrency=concurrency, queues=known_queues(queues)).command()
    # The same program that `skep up` starts, in our place: signals meant for us reach it.
    os.execv(command[0], command)  # noqa: S606 -- no shell is wanted


@app.command("doctor", epilog=_examples("skep doctor", "skep doctor --json"))
def doctor(
    context: typer.Context, config: ConfigOption = None, data_dir: DataDirOption = None, json: JsonOption = False
) -> None:
    """Check everything Skep needs and say how to mend what is wrong."""
    checks = run_examination(command_line(context, config, data_dir))
    healthy = all(check["state"] != "fail" for check in checks)
    Terminal(json=json).result({"healthy": healthy, "checks": checks}, lambda: _check_lines(checks))
    if not healthy:
        raise typer.Exit(1)


def _settings(said: CommandLine, terminal: Terminal) -> Settings:
    settings = load_settings(said)
    for warning in settings.warnings:
        terminal.warn(str(warning))
    return settings


def _started_lines(started: Started) -> str:
    lines = [
        f"Skep answers at {started.url} (API: {started.docs})",
        f"key:  {_key_place(started.key_file)}",
        "stop: Ctrl-C, or `skep down`",
    ]
    if not started.ready:
        lines.append(f"not ready yet, it goes on trying: {started.reason}")
    return "\n".join(lines)


def _key_place(path: Path) -> str:
    return (
        str(path) if path.exists() else "that of the machine that made the tables: bring its admin.key, or set SKEP_KEY"
    )


def _stopped_line(running: Sequence[Running], *, database: bool) -> str:
    stopped = [f"the {process.role} (process {process.pid})" for process in running]
    stopped += ["the embedded database"] if database else []
    return f"stopped {', '.join(stopped)}" if stopped else "nothing was running"


def _check_lines(checks: Sequence[dict[str, str]]) -> str:
    lines = []
    for check in checks:
        lines.append(f"{check['state']:<4}  {check['name']}: {check['detail']}")
        if check["fix"]:
            lines.append(f"      fix: {check['fix']}")
    return "\n".join(lines)
