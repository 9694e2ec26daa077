"""``skep index``, ``search``, ``similar``, ``status``, ``verify``, ``forget``, ``purge``."""

from __future__ import annotations

import importlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, cast

import typer

from skep.access import Principal
from skep.app import Skep
from skep.cli.config_commands import command_line
from skep.cli.knowledge_output import (
    index_lines,
    removal_line,
    search_lines,
    search_object,
    status_lines,
    verify_lines,
)
from skep.cli.opening import ConfigOption, DataDirOption, JsonOption, settings_for, with_skep
from skep.knowledge import IndexReport, Kind, SearchRequest, SearchResponse
from skep.terminal import Terminal

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)

CollectionsOption = Annotated[
    list[str] | None,
    typer.Option("--collection", "-c", metavar="NAME", help="Search this collection; may be given several times."),
]
LanguagesOption = Annotated[
    list[str] | None,
    typer.Option("--language", "-l", metavar="NAME", help="Only files of this language; may be given several times."),
]
GlobOption = Annotated[
    str | None,
    typer.Option("--path", "-p", metavar="GLOB", help="Only files whose path matches, such as 'src/**/*.py'."),
]
KindOption = Annotated[
    list[str] | None,
    typer.Option("--kind", metavar="KIND", help="Only code, docs or config; may be given several times."),
]
TopKOption = Annotated[int | None, typer.Option("-k", "--top-k", metavar="N", help="Most results to show.")]


def _examples(*lines: str) -> str:
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


@app.command(
    "index",
    epilog=_examples("skep index .", "skep index ~/src/app --collection app", "skep index src/app/main.py --json"),
)
def index(
    context: typer.Context,
    path: Annotated[
        Path, typer.Argument(help="Folder to index; a path inside an indexed folder means that part of it.")
    ],
    collection: Annotated[
        str | None,
        typer.Option("--collection", "-c", metavar="NAME", help="Name of the collection; default: the folder's."),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, max=256, help="Parsers at work; default: one per core.")
    ] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Index a folder, or bring its index up to date."""
    terminal = Terminal(json=json)
    settings = settings_for(context, terminal, config, data_dir)
    with terminal.progress("indexing") as bar:

        def report(phase: str, done: int, total: int) -> None:
            bar.update(description=phase, completed=done, total=total or None)

        async def work(skep: Skep, who: Principal) -> tuple[IndexReport, bool]:
            made = await skep.knowledge.index(who, path, collection=collection, jobs=jobs, report=report)
            return made, await skep.knowledge.has_embedding_work()

        result, to_embed = with_skep(settings, terminal, work)
    if to_embed:
        server = importlib.import_module("skep.server")  # 20 ms that only those runs pay that stored something
        server.begin_embedding(command_line(context, config, data_dir), settings.data_folder)
    terminal.result(result, lambda: index_lines(result))


@app.command(
    "search",
    epilog=_examples(
        'skep search "where are retries configured"',
        "skep search HTTPAdapter -k 3 --language python",
        "skep search 'session timeout' --path 'src/**' --kind code --explain",
    ),
)
def search(
    context: typer.Context,
    query: Annotated[str, typer.Argument(help="A question in words, or the name of a symbol.")],
    top_k: TopKOption = None,
    collection: CollectionsOption = None,
    everywhere: Annotated[bool, typer.Option("--all", help="Search every collection, wherever you are.")] = False,
    language: LanguagesOption = None,
    path: GlobOption = None,
    kind: KindOption = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            metavar="TIME", help="Only files modified at or after this time (UTC): 2026-05-01, 2026-05-01T12:30:00."
        ),
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(metavar="TIME", help="Only files modified at or before this time (UTC).")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show what each rule did to each score.")] = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Search what was indexed. Inside an indexed folder that folder is searched, elsewhere everything."""
    request = SearchRequest(
        query=query,
        collections=tuple(collection or ()),
        languages=tuple(language or ()),
        path_glob=path,
        kinds=tuple(cast(list[Kind], kind or [])),
        modified_since=_seconds(since),
        modified_until=_seconds(until),
        explain=explain,
    )
    _show_search(
        _Place(context, config, data_dir, everywhere=everywhere, json=json),
        request,
        top_k,
        lambda skep, who, wanted: skep.knowledge.search(who, wanted),
    )


@app.command(
    "similar", epilog=_examples("skep similar src/app/retry.py:42", "skep similar src/app/retry.py:42 -k 5 --json")
)
def similar(
    context: typer.Context,
    location: Annotated[str, typer.Argument(metavar="PATH:LINE", help="A line of an indexed file.")],
    top_k: TopKOption = None,
    collection: CollectionsOption = None,
    everywhere: Annotated[bool, typer.Option("--all", help="Search every collection, wherever you are.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Show what each rule did to each score.")] = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Find passages like the one at a line of a file."""
    _show_search(
        _Place(context, config, data_dir, everywhere=everywhere, json=json),
        SearchRequest(query="", collections=tuple(collection or ()), explain=explain),
        top_k,
        lambda skep, who, wanted: skep.knowledge.similar(who, location, wanted, folder=Path.cwd()),
    )


@app.command("status", epilog=_examples("skep status", "skep status --json"))
def status(
    context: typer.Context, config: ConfigOption = None, data_dir: DataDirOption = None, json: JsonOption = False
) -> None:
    """Show what is indexed and how fresh it is."""
    terminal = Terminal(json=json)
    collections = with_skep(
        settings_for(context, terminal, config, data_dir), terminal, lambda skep, who: skep.knowledge.status(who)
    )
    terminal.result({"collections": collections}, lambda: status_lines(collections))


@app.command("verify", epilog=_examples("skep verify", "skep verify app --json"))
def verify(
    context: typer.Context,
    collection: Annotated[str | None, typer.Argument(help="The collection; default: all.")] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Compare the index with one rebuilt from the stored originals. Exits with 1 on any difference."""
    terminal = Terminal(json=json)
    settings = settings_for(context, terminal, config, data_dir)
    with terminal.progress("verifying") as bar:
        reports = with_skep(
            settings,
            terminal,
            lambda skep, who: skep.knowledge.verify(
                who, collection, report=lambda phase, done, _: bar.update(description=phase, completed=done)
            ),
        )
    equal = all(report.is_equal for report in reports)
    terminal.result({"equal": equal, "collections": reports}, lambda: verify_lines(reports))
    if not equal:
        raise typer.Exit(1)


@app.command("forget", epilog=_examples("skep forget app", "skep forget app docs/old.md"))
def forget(
    context: typer.Context,
    collection: Annotated[str, typer.Argument(help="The collection.")],
    path: Annotated[
        str | None, typer.Argument(help="A file or folder of it, as results print it; default: all.")
    ] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Make documents unfindable; a later index run may bring them back."""
    terminal = Terminal(json=json)
    removed = with_skep(
        settings_for(context, terminal, config, data_dir),
        terminal,
        lambda skep, who: skep.knowledge.forget(who, collection, path),
    )
    terminal.result(removed, lambda: removal_line("forgot", removed))


@app.command("purge", epilog=_examples("skep purge app docs/secret.md", "skep purge app --yes"))
def purge(
    context: typer.Context,
    collection: Annotated[str, typer.Argument(help="The collection.")],
    path: Annotated[
        str | None, typer.Argument(help="A file or folder of it, as results print it; default: all.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Erase documents for good, with all their versions."""
    terminal = Terminal(json=json)
    settings = settings_for(context, terminal, config, data_dir)
    if not yes:
        typer.confirm(f"Erase {collection}{f' {path}' if path else ''} for good?", abort=True, err=True)
    removed = with_skep(settings, terminal, lambda skep, who: skep.knowledge.purge(who, collection, path))
    terminal.result(removed, lambda: removal_line("erased", removed))


class _Place:
    """Where a search command was called, and how it shall speak."""

    def __init__(
        self, context: typer.Context, config: Path | None, data_dir: Path | None, *, everywhere: bool, json: bool
    ) -> None:
        self.terminal = Terminal(json=json)
        self.settings = settings_for(context, self.terminal, config, data_dir)
        self.everywhere = everywhere


def _show_search(
    place: _Place,
    request: SearchRequest,
    top_k: int | None,
    ask: Callable[[Skep, Principal, SearchRequest], Awaitable[SearchResponse]],
) -> None:
    wanted = replace(request, top_k=place.settings.search.default_top_k if top_k is None else top_k)

    async def work(skep: Skep, who: Principal) -> SearchResponse:
        here = None
        if not place.everywhere and not wanted.collections:
            here = await skep.knowledge.collection_around(who, Path(os.getcwd()))
        return await ask(skep, who, replace(wanted, collections=(here,)) if here else wanted)

    response = with_skep(place.settings, place.terminal, work)
    for collection in response.behind:
        place.terminal.warn(
            f"{collection.collection} is being indexed: {collection.applied_seq} of {collection.last_seq} changes"
            " are searchable yet"
        )
    fraction = response.embedded_fraction
    if fraction is not None and fraction < 1.0:
        place.terminal.say(
            f"{int(100 * fraction)} % of what was searched can be found by its meaning yet; `skep embed` waits for the rest"
        )
    place.terminal.result(search_object(response), lambda: search_lines(response))


def _seconds(moment: datetime | None) -> int | None:
    # Typer gives a time without a zone; the option says that it is UTC.
    return None if moment is None else int(moment.replace(tzinfo=UTC).timestamp())
