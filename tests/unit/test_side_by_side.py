"""The table that the README and the documentation show is the one that the kept figures make."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.results import Figure, load
from bench.side_by_side import PAGES, SEARCH, TABLES, Table


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.columns[1])
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_show_the_figures_kept(page: Path, table: Table) -> None:
    assert table.filled(load()) in page.read_text(), "run python -m bench.side_by_side"


def test_figures_are_rounded_and_the_peers_are_its_own() -> None:
    changed = [
        Figure(figure.name, "t", "s", "less", (0.25,), peer=7.77) if figure.name == "indexing.unchanged" else figure
        for figure in load()
    ]
    assert "| nothing changed, as a command | 0.2 s | 7.8 s |\n" in SEARCH.filled(changed)


def test_a_figure_that_was_never_measured_is_an_error() -> None:
    with pytest.raises(KeyError):
        SEARCH.filled([figure for figure in load() if figure.name != "searching.command"])


def test_only_the_table_is_replaced() -> None:
    new = SEARCH.filled(load())
    assert SEARCH.replaced(f"before\n\n{new.replace('0.', '9.')}\nafter\n", new) == f"before\n\n{new}\nafter\n"
    for page in ("no table", f"{new}\n{new}"):
        with pytest.raises(ValueError, match="once"):
            SEARCH.replaced(page, new)
