"""``skep docs``: documents, and how they are read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from skep.app import open_documents
from skep.cli.opening import ConfigOption, DataDirOption, JsonOption, settings_for
from skep.documents import Block, Document
from skep.terminal import Terminal

_READ_EXAMPLES = """\
\b
Examples:
  skep docs read report.pdf
  skep docs read report.pdf --json
"""

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
docs_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Look at documents: PDF, office files, web pages, e-mail and the like.",
)
app.add_typer(docs_app, name="docs")


@docs_app.command("read", epilog=_READ_EXAMPLES)
def read(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The document.")],
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Show what is understood of a document: its format, pages and text with its places. Nothing is stored."""
    terminal = Terminal(json=json)
    with open_documents(settings_for(context, terminal, config, data_dir)) as documents:
        document = documents.read_path(file)
    terminal.result(document, lambda: "\n".join(_told(document)))


def _told(document: Document) -> Iterator[str]:
    yield f"format: {document.format}"
    if document.title:
        yield f"title: {document.title}"
    if document.page_count is not None:
        yield f"{document.page_name or 'page'}s: {document.page_count}"
    for name, value in document.metadata.items():
        yield f"{name}: {value}"
    for attachment in document.attachments:
        yield f"attachment: {attachment.name} ({attachment.media_type}, {attachment.size_bytes} bytes)"
    for note in document.notes:
        yield f"note: {note}"
    for block in document.blocks:
        yield ""
        yield f"[{_place(document, block)}]"
        yield block.text


def _place(document: Document, block: Block) -> str:
    """Where a block stands, as a citation would say it."""
    parts = [] if block.page is None else [f"{document.page_name} {block.page}"]
    if block.first_line is not None:
        unit = "row" if document.format == "xlsx" else "line"
        several = block.last_line is not None and block.last_line != block.first_line
        parts.append(f"{unit}s {block.first_line}-{block.last_line}" if several else f"{unit} {block.first_line}")
    parts += [" > ".join(block.headings)] if block.headings else []
    return ", ".join([*parts, block.kind])
