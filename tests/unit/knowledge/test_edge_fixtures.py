"""One fixture per family of languages: ``X.txt`` holds small files, ``X.expected`` every edge between them, one line each."""

from __future__ import annotations

from pathlib import Path

import pytest

from skep.knowledge.chunking import LANGUAGES, language_of, parse_file
from skep.knowledge.edges import PROFILES, Party, resolve
from skep.knowledge.preparing import mentions_of

FIXTURES = Path(__file__).parent / "fixtures" / "edges"
NAMES = sorted(path.stem for path in FIXTURES.glob("*.txt"))


def files_of(name: str) -> dict[str, str]:
    """The files in a fixture, by path."""
    parts = (FIXTURES / f"{name}.txt").read_text().removeprefix("=== ").split("\n=== ")
    return {path: text + "\n" for path, _, text in (part.partition("\n") for part in parts)}


def described(files: dict[str, str]) -> list[str]:
    """Every edge, in the form of the ``.expected`` files."""
    parties: dict[int, Party] = {}
    for number, (path, text) in enumerate(files.items()):
        parsed = parse_file(path, text)
        defined = frozenset(symbol.name for symbol in parsed.symbols)
        parties[number] = Party(mentions_of(path, text, parsed), defined)
    paths = list(files)
    return [
        f"{paths[edge.source]} -> {paths[edge.target]} {edge.kind} {edge.weight:g} {' '.join(edge.names)}".rstrip()
        for edge in resolve(parties)
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_fixture_gives_the_expected_edges(name: str) -> None:
    assert described(files_of(name)) == (FIXTURES / f"{name}.expected").read_text().splitlines()


def test_every_language_with_edges_has_a_fixture() -> None:
    covered = {language_of(path).name for name in NAMES for path in files_of(name)}
    assert set(PROFILES) <= covered


def test_every_language_with_a_syntax_tree_has_edges() -> None:
    trees = {row.name for row in LANGUAGES if row.grammar is not None and row.kind == "code"}
    assert trees <= set(PROFILES)
    assert set(PROFILES) <= {row.name for row in LANGUAGES}
