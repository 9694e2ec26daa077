"""``skep ask``: a first answer from what is indexed, quoted, without any model."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from skep.access import Principal
from skep.answers import Answer, AskRequest, Quote
from skep.app import Skep
from skep.cli.opening import ConfigOption, DataDirOption, JsonOption, settings_for, with_skep
from skep.terminal import Terminal, printable, printable_lines

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)

_EXAMPLES = """\
\b
Examples:
  skep ask "how do I revoke a key"
  skep ask "what happens when the disk is full" -c handbook -n 5
"""


@app.command("ask", epilog=_EXAMPLES)
def ask(
    context: typer.Context,
    question: Annotated[str, typer.Argument(help="A question in words.")],
    most: Annotated[int, typer.Option("-n", "--quotes", metavar="N", min=1, max=10, help="Most quotes to show.")] = 3,
    collection: Annotated[
        list[str] | None,
        typer.Option("--collection", "-c", metavar="NAME", help="Ask this collection; may be given several times."),
    ] = None,
    everywhere: Annotated[bool, typer.Option("--all", help="Ask every collection, wherever you are.")] = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Answer a question with quotes from what was indexed. Inside an indexed folder that folder is asked, elsewhere everything."""
    terminal = Terminal(json=json)
    request = AskRequest(question, tuple(collection or ()), most)

    async def work(skep: Skep, who: Principal) -> Answer:
        here = None
        if not everywhere and not request.collections:
            here = await skep.knowledge.collection_around(who, Path(os.getcwd()))
        return await skep.answers.ask(who, replace(request, collections=(here,)) if here else request)

    answer = with_skep(settings_for(context, terminal, config, data_dir), terminal, work)
    for collection_behind in answer.behind:
        terminal.warn(f"{collection_behind.collection} is being indexed: not all of it is searchable yet")
    terminal.result(answer, lambda: "\n".join(answer_lines(answer)))


def answer_lines(answer: Answer) -> Iterator[str]:
    """The quotes, each with where it stands."""
    if not answer.is_answered:
        yield "nothing that is indexed here answers that; `skep search` shows what comes nearest"
        return
    shows_collection = len({quote.collection for quote in answer.quotes}) > 1
    yield "quoted from what is indexed; nothing here was written by a model"
    for quote in answer.quotes:
        yield ""
        yield f"[{quote.number}] {_place(quote, shows_collection=shows_collection)}"
        yield from (f"    {line}" for line in printable_lines(quote.text).splitlines())


def _place(quote: Quote, *, shows_collection: bool) -> str:
    collection = f"{quote.collection}: " if shows_collection else ""
    lines = str(quote.start_line) if quote.start_line == quote.end_line else f"{quote.start_line}-{quote.end_line}"
    heading = f"  {printable(quote.heading)}" if quote.heading else ""
    return f"{collection}{printable(quote.path)}:{lines}{heading}  (version {quote.version[:12]})"
