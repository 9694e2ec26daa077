"""``skep fake-provider``."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from skep.cli.config_commands import JsonOption
from skep.fakes import FakeOptions, Script, load_script, serve_script
from skep.terminal import Terminal

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)

_EPILOG = """\
\b
Examples:
  skep fake-provider
  skep fake-provider --script faults.yaml --port 9100 --log truth.jsonl
"""


@app.command("fake-provider", epilog=_EPILOG)
def fake_provider(
    script: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What to answer; default: made-up words to everybody.")
    ] = None,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 takes any free one.")] = 0,
    log: Annotated[Path | None, typer.Option(metavar="FILE", help="Append a JSON line for each request to it.")] = None,
    fsync: Annotated[bool, typer.Option(help="Answer only when the disk has the line.")] = True,
    ends: Annotated[bool, typer.Option("--ends", help="Log also when, and whether, each answer ended whole.")] = False,
    tls_certificate: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Speak TLS with this certificate.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="The certificate's key.")] = None,
    json: JsonOption = False,
) -> None:
    """Play a model provider that follows a script, for tests. It costs nothing and calls nobody."""
    chosen = Script() if script is None else load_script(script)
    options = FakeOptions(host, port, log, fsync, ends, tls_certificate, tls_key)
    uvloop.run(_serve(chosen, options, Terminal(json=json)))


async def _serve(script: Script, options: FakeOptions, terminal: Terminal) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with serve_script(script, options) as url:
        terminal.result({"url": url}, f"the scripted provider answers at {url}\nstop: Ctrl-C")
        await ended.wait()
