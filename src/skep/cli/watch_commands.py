"""``skep watch``."""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio import TaskGroup
from collections.abc import Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Annotated

import typer

from skep.access import Principal
from skep.app import Skep, make_watcher, watched_folders
from skep.cli.config_commands import command_line
from skep.cli.knowledge_output import change_line
from skep.cli.opening import ConfigOption, DataDirOption, JsonOption, settings_for, with_skep
from skep.errors import UnavailableError
from skep.knowledge import ChangeNotice, NothingToWatchError, Watcher
from skep.priority import step_back
from skep.server import begin_embedding
from skep.settings import CommandLine
from skep.terminal import Terminal

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)

WATCH_NICENESS = 5
"""Behind searches, before index jobs."""

_SILENCE_SECONDS = 60.0

_EMBED_SECONDS = 3.0
"""Between two looks at whether something waits for its vectors; loading the model for each edit would take longer than they."""


def _examples(*lines: str) -> str:
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


@app.command("watch", epilog=_examples("skep watch", "skep watch .", "skep watch ~/src/app ~/notes --json"))
def watch(
    context: typer.Context,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH]...", help="Folders to watch, indexed first if need be; default: all indexed here."
        ),
    ] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Keep the index of folders fresh, and tell what changes, until stopped."""
    terminal = Terminal(json=json)
    settings = settings_for(context, terminal, config, data_dir)
    step_back(os.getpid(), WATCH_NICENESS)
    said = command_line(context, config, data_dir)
    with_skep(settings, terminal, lambda skep, who: _watch(skep, who, terminal, said, tuple(paths or ())))


async def _watch(skep: Skep, who: Principal, terminal: Terminal, said: CommandLine, paths: Sequence[Path]) -> None:
    # Whoever ends us in another way than Ctrl-C means the same.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, signal.raise_signal, signal.SIGINT)
    chosen = {await _indexed(skep, who, terminal, path) for path in paths}
    folders = await watched_folders(skep, project_id=who.project_id)
    if not folders:
        raise NothingToWatchError
    watcher = make_watcher(
        skep,
        notice=terminal.say,
        project_id=who.project_id,
        wanted=(lambda folder: (folder.collection, folder.root) in chosen) if chosen else None,
    )
    async with (
        aclosing(skep.changes.follow(who, (), silence_seconds=_SILENCE_SECONDS)) as changes,
        TaskGroup() as tasks,
    ):
        # From here on nothing that the watcher does goes untold.
        await anext(changes)
        tasks.create_task(watcher.run(), name="skep-watch")
        tasks.create_task(_tell_begin(watcher, terminal), name="skep-watch-begin")
        tasks.create_task(_keep_embedded(skep, said), name="skep-watch-embedding")
        async for told in changes:
            if told is not None and (told.notice.event == "gone" or told.notice.collection in watcher.collections):
                _tell_change(told.notice, terminal)


async def _indexed(skep: Skep, who: Principal, terminal: Terminal, path: Path) -> tuple[str, str]:
    """The collection and root of the indexed folder that a path means; what is not indexed yet is, first."""
    place = await skep.knowledge.place_of(who, path, collection=None)
    known = await watched_folders(skep, project_id=who.project_id)
    if not any((folder.collection, folder.root) == (place.collection, place.root) for folder in known):
        with terminal.progress("indexing") as bar:
            await skep.knowledge.index(
                who,
                path,
                report=lambda phase, done, total: bar.update(description=phase, completed=done, total=total or None),
            )
    return place.collection, place.root


async def _tell_begin(watcher: Watcher, terminal: Terminal) -> None:
    folders = await watcher.caught_up()
    for folder in folders:
        terminal.say(f"watching {folder.root} ({folder.collection})")


async def _keep_embedded(skep: Skep, said: CommandLine) -> None:
    """Have what was found embedded, as after `skep index`, unless somebody does that already."""
    while skep.settings.embedding.enabled:
        # A database that is away is what the watcher waits for; afterwards there is time for vectors.
        with suppress(UnavailableError):
            if await skep.knowledge.has_embedding_work():
                begin_embedding(said, skep.settings.data_folder)
        await asyncio.sleep(_EMBED_SECONDS)


def _tell_change(notice: ChangeNotice, terminal: Terminal) -> None:
    terminal.result(notice, lambda: change_line(notice))
