"""One fixture per language: ``sample.X.txt`` is the file, ``sample.X.expected`` what must come out of it, one line each."""

from __future__ import annotations

from pathlib import Path

import pytest

from skep.knowledge.chunking import LANGUAGES, language_of, parse_file

FIXTURES = Path(__file__).parent / "fixtures" / "chunking"
NAMES = sorted(path.name.removesuffix(".txt") for path in FIXTURES.glob("*.txt"))


def described(name: str) -> list[str]:
    """What the chunker makes of a fixture, in the form of the ``.expected`` files."""
    parsed = parse_file(f"some/folder/{name}", (FIXTURES / f"{name}.txt").read_text())
    lines = [f"{parsed.language} {parsed.kind}"]
    for chunk in parsed.chunks:
        about = chunk.heading or chunk.symbol
        lines.append(f"chunk {chunk.start_line}-{chunk.end_line} {about}".rstrip())
    lines += [f"{s.kind} {s.start_line}-{s.end_line} {s.qualified_name}" for s in parsed.symbols]
    return lines


@pytest.mark.parametrize("name", NAMES)
def test_a_fixture_gives_the_expected_chunks_and_symbols(name: str) -> None:
    assert described(name) == (FIXTURES / f"{name}.expected").read_text().splitlines()


def test_every_language_that_is_not_cut_by_lines_alone_has_a_fixture() -> None:
    covered = {language_of(name).name for name in NAMES}
    needed = {row.name for row in LANGUAGES if row.grammar or row.headings or row.outline or row.cells}
    assert needed - {"less"} <= covered  # which is cut like scss


@pytest.mark.parametrize("name", NAMES)
def test_names_of_symbols_end_their_qualified_names(name: str) -> None:
    for symbol in parse_file(name, (FIXTURES / f"{name}.txt").read_text()).symbols:
        assert symbol.qualified_name == symbol.name or symbol.qualified_name.endswith("." + symbol.name)
        assert 1 <= symbol.start_line <= symbol.end_line
