"""The short table beside semble that README.md and docs/explanation/measured.md show, made from the figures kept.

    python -m bench.side_by_side        write it into both

A test compares: whoever keeps new figures writes it again (`bench.run --save` does).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.results import Figure, load

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs" / "explanation" / "measured.md")

_HEAD = "| | Skep | semble |\n|---|---:|---:|\n"
_TABLE = re.compile(re.escape(_HEAD) + r"(?:\|.*\n)*")

_ROWS = (
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


def table(figures: Sequence[Figure]) -> str:
    """The table, in Markdown. Raises KeyError when a figure, or its peer, was never measured. Pure."""
    known = {figure.name: figure.value for figure in figures}
    known |= {f"peer.{figure.name}": figure.peer for figure in figures if figure.peer is not None}
    words = {
        "files": f"{known['corpus.files']:,.0f}",
        "megabytes": f"{known['corpus.source']:.0f}",
        "passages": f"{known['corpus.chunks'] // 1000 * 1000:,.0f}",
    }
    rows = [" | ".join(_filled(cell, known, words) for cell in row) for row in _ROWS]
    # An empty cell at the end of a row has one space, as editors leave it.
    return _HEAD + "".join(f"| {row} |\n".replace("|  |", "| |") for row in rows)


def replaced(page: str, new: str) -> str:
    """The page with the table in the place of the one it has. Raises ValueError when it has none, or two."""
    text, count = _TABLE.subn(lambda _: new, page)
    if count != 1:
        raise ValueError(f"a page must have the table once, and has it {count} times")
    return text


def write() -> None:
    """Bring every page up to date."""
    new = table(load())
    for page in PAGES:
        page.write_text(replaced(page.read_text(encoding="utf-8"), new), encoding="utf-8")


def _filled(cell: str, known: Mapping[str, float], words: Mapping[str, str]) -> str:
    text = _FIELD.sub(lambda found: words.get(found[1]) or format(known[found[1]], found[2] or ""), cell)
    return text.replace("%", " %")


if __name__ == "__main__":
    write()
