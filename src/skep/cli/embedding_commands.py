"""``skep embed``: wait until everything indexed can be found by its meaning; pause that, and go on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from skep.access import Principal
from skep.app import Skep
from skep.cli.config_commands import command_line
from skep.cli.opening import ConfigOption, DataDirOption, JsonOption, settings_for, with_skep
from skep.knowledge import CollectionStatus
from skep.server import begin_embedding
from skep.settings import CommandLine
from skep.terminal import Terminal

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)

_POLL_SECONDS = 0.5
_AGAIN_SECONDS = 10.0
"""How often the embedder is started once more, should it have died; nothing happens while it lives."""


@dataclass(frozen=True, slots=True)
class _Wish:
    """What the command line asked for."""

    collections: Sequence[str]
    pause: bool
    resume: bool


@app.command("embed", epilog="\b\nExamples:\n  skep embed\n  skep embed --pause\n  skep embed app --resume")
def embed(
    context: typer.Context,
    collection: Annotated[
        list[str] | None, typer.Argument(help="Collections to pause or to resume; default: all.")
    ] = None,
    pause: Annotated[bool, typer.Option("--pause", help="Embed nothing more until --resume.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after --pause.")] = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Wait until what is indexed can be found by its meaning."""
    terminal = Terminal(json=json)
    settings = settings_for(context, terminal, config, data_dir)
    if pause and resume:
        raise typer.BadParameter("give --pause or --resume, not both")
    said, wish = command_line(context, config, data_dir), _Wish(collection or (), pause, resume)
    with terminal.progress("embedding") as bar:

        def report(done: int, total: int) -> None:
            bar.update(completed=done, total=total)

        collections = with_skep(settings, terminal, lambda skep, who: _work(skep, who, said, wish, report))
    terminal.result({"collections": collections}, lambda: _lines(collections))


async def _work(
    skep: Skep, who: Principal, said: CommandLine, wish: _Wish, report: Callable[[int, int], None]
) -> tuple[CollectionStatus, ...]:
    # It is another process that embeds, and nobody would hear what keeps it from it.
    await skep.knowledge.require_embedder()
    if wish.pause or wish.resume:
        await skep.knowledge.pause_embedding(who, wish.collections, is_paused=wish.pause)
    started = 0.0
    while not wish.pause and await skep.knowledge.has_embedding_work():
        if time.monotonic() - started > _AGAIN_SECONDS:
            begin_embedding(said, skep.settings.data_folder)
            started = time.monotonic()
        rows = [row for status in await skep.knowledge.status(who) for row in status.embeddings]
        report(sum(row.embedded for row in rows), sum(row.total for row in rows))
        await asyncio.sleep(_POLL_SECONDS)
    return await skep.knowledge.status(who)


def _lines(collections: Sequence[CollectionStatus]) -> str:
    lines = [
        f"{status.collection}: {row.embedded} of {row.total} passages ({row.state}, {row.model})"
        for status in collections
        for row in status.embeddings
    ]
    return "\n".join(lines) or "nothing is embedded yet"
