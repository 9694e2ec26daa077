"""The short tables beside others that README.md and docs/explanation/measured.md show, made from the figures kept.

    python -m bench.side_by_side        write it into both

A test compares: whoever keeps new figures writes it again (`bench.run --save` does).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.results import Figure, load

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs" / "explanation" / "measured.md")

Rows = tuple[tuple[str, ...], ...]

_SEARCH_ROWS: Rows = (
    (
        "index {files} files ({megabytes} MB) from nothing, durable in PostgreSQL",
        "{indexing.speed_vs_default:.1f} MB/s",
        "{peer.indexing.speed_vs_default:.1f} MB/s",
    ),
    ("nothing changed, as a command", "{indexing.unchanged:.1f} s", "{peer.indexing.unchanged:.1f} s"),
    (
        "one changed file, `skep index FILE`",
        "{indexing.one_file_alone:.1f} s",
        "{peer.indexing.one_file_in_folder:.1f} s",
    ),
    (
        "search at {passages} passages by words, through HTTP, p50 / p95",
        "{searching.server_p50_ms:.1f} / {searching.server_p95_ms:.1f} ms",
        "{peer.searching.server_p50_ms:.0f} / {peer.searching.server_p95_ms:.0f} ms (in its process)",
    ),
    ("`skep search` as a fresh process", "{searching.command:.2f} s", ""),
    (
        "finds the right file: NDCG@10, 181 questions on 9 repositories, by words",
        "{quality.lexical.ndcg_at_10:.3f}",
        "{peer.quality.lexical.ndcg_at_10:.3f}",
    ),
    (
        "the same by words and meaning, semble with our model in the place of its own",
        "{quality.hybrid.ndcg_at_10:.3f}",
        "{peer.quality.hybrid.ndcg_at_10:.3f}",
    ),
    ("the right files are within 2,000 tokens of results", "{quality.recall_within_tokens:.0%}", ""),
    ("memory while indexing, PostgreSQL included", "{indexing.memory_total:.0f} MB", ""),
)
"""What stands in a row, ours, and the peer's: figures by name, and how they are rounded."""

_FIELD = re.compile(r"\{([\w.]+)(?::([^}]*))?\}")
_GATEWAYS = ("skep", "nginx", "portkey", "litellm")


def _gateway_row(title: str, cell: str) -> tuple[str, ...]:
    return (title, *(cell.replace("NAME", name) for name in _GATEWAYS))


_GATEWAY_ROWS: Rows = (
    _gateway_row("calls in a second, 32 clients, one process", "{gateway.NAME.throughput:,.0f}"),
    _gateway_row("processor time of a call", "{gateway.NAME.cpu_us:,.0f} µs"),
    _gateway_row("added to a call of one client, p50", "{gateway.NAME.added_p50_ms:.2f} ms"),
    _gateway_row("the same, p99", "{gateway.NAME.added_p99_ms:.1f} ms"),
)


@dataclass(frozen=True, slots=True)
class Table:
    """A table as pages have it: its two first lines say which it is."""

    columns: tuple[str, ...]
    rows: Rows

    @property
    def head(self) -> str:
        """The names of the columns and the line below."""
        return f"| | {' | '.join(self.columns)} |\n|---|{'---:|' * len(self.columns)}\n"

    def filled(self, figures: Sequence[Figure]) -> str:
        """The table, in Markdown. Raises KeyError when a figure, or its peer, was never measured. Pure."""
        known = {figure.name: figure.value for figure in figures}
        known |= {f"peer.{figure.name}": figure.peer for figure in figures if figure.peer is not None}
        words = {
            "files": f"{known['corpus.files']:,.0f}",
            "megabytes": f"{known['corpus.source']:.0f}",
            "passages": f"{known['corpus.chunks'] // 1000 * 1000:,.0f}",
        }
        rows = [" | ".join(_filled(cell, known, words) for cell in row) for row in self.rows]
        # An empty cell at the end of a row has one space, as editors leave it.
        return self.head + "".join(f"| {row} |\n".replace("|  |", "| |") for row in rows)

    def replaced(self, page: str, new: str) -> str:
        """The page with ``new`` in the place of the one it has. Raises ValueError when it has none, or two."""
        text, count = re.subn(re.escape(self.head) + r"(?:\|.*\n)*", lambda _: new, page)
        if count != 1:
            raise ValueError(f"a page must have the table once, and has it {count} times")
        return text


SEARCH = Table(("Skep", "semble"), _SEARCH_ROWS)
GATEWAY = Table(("Skep", "nginx", "Portkey", "LiteLLM"), _GATEWAY_ROWS)
TABLES = (SEARCH, GATEWAY)


def write() -> None:
    """Bring every page up to date."""
    figures = load()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for table in TABLES:
            text = table.replaced(text, table.filled(figures))
        page.write_text(text, encoding="utf-8")


def _filled(cell: str, known: Mapping[str, float], words: Mapping[str, str]) -> str:
    text = _FIELD.sub(lambda found: words.get(found[1]) or format(known[found[1]], found[2] or ""), cell)
    return text.replace("%", " %")


if __name__ == "__main__":
    write()
