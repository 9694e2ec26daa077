"""What agents are told of the tools, and answers within their bounds."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.knowledge import (
    CollectionFreshness,
    CollectionStatus,
    DiskState,
    DocumentText,
    LineNotFoundError,
    SearchResponse,
    SearchResult,
    SourceStatus,
)
from skep.mcp.counting import estimate_tokens
from skep.mcp.interfaces import ToolArgumentsError
from skep.mcp.rendering import Block, document_text, fit, search_text, status_text
from skep.mcp.tools import INSTRUCTIONS, TOOLS, ReadArguments, SearchArguments, parse_arguments

LISTED_TOKENS = 350
"""Measured with a public tokenizer (o200k): every session of every agent pays for each of them."""


def result(path: str = "src/app.py", lines: int = 5, collection: str = "app", text: str = "") -> SearchResult:
    return SearchResult(
        collection=collection,
        path=path,
        start_line=1,
        end_line=lines,
        symbol="Session.get",
        heading=None,
        language="python",
        kind="code",
        score=1.0,
        text=text or "\n".join(f"    value_{number} = compute({number})" for number in range(lines)),
    )


def document(text: str, disk: DiskState = "same", others: tuple[str, ...] = ()) -> DocumentText:
    return DocumentText("app", "src/app.py", "python", text, "2026-01-02T03:04:05Z", disk, others)


def test_what_agents_are_told_is_short_and_always_the_same() -> None:
    listed = [{"name": tool.name, "description": tool.description, "input_schema": tool.schema} for tool in TOOLS]
    text = json.dumps(listed, separators=(",", ":"))
    assert text == json.dumps(
        [{"name": tool.name, "description": tool.description, "input_schema": tool.schema} for tool in TOOLS],
        separators=(",", ":"),
    )
    assert estimate_tokens(text) <= LISTED_TOKENS * 1.5
    assert estimate_tokens(INSTRUCTIONS) <= 50
    assert [tool["name"] for tool in listed] == ["search", "similar", "read", "status"]
    search = TOOLS[0].schema
    assert search["required"] == ["query"]
    assert next(iter(search["properties"])) == "query"
    assert search["properties"]["kind"] == {"enum": ["code", "docs", "config"], "type": "string"}


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, "query"),
        (None, "query"),
        ({"query": 1}, "query"),
        ({"query": "x", "langauge": "python"}, "langauge"),
        ({"query": "x", "max_tokens": 1}, "max_tokens"),
        ({"query": "x", "max_tokens": 10**9}, "max_tokens"),
        ({"query": "x", "top_k": 0}, "top_k"),
        ({"query": "x", "kind": "poem"}, "kind"),
        ({"query": "x", "path": ["a"]}, "path"),
    ],
)
def test_wrong_arguments_are_named(given: dict[str, object] | None, field: str) -> None:
    with pytest.raises(ToolArgumentsError, match=field) as caught:
        parse_arguments("search", SearchArguments, given)
    assert "search" in caught.value.fix_text


def test_what_agents_write_loosely_is_understood() -> None:
    wanted = parse_arguments("search", SearchArguments, {"query": "x", "top_k": "3", "collection": None})
    assert (wanted.top_k, wanted.collection) == (3, None)
    assert parse_arguments("read", ReadArguments, {"path": "a"}).start_line == 1


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("", 0, 0),
        ("def get_user(name: str) -> User:", 9, 14),
        ("The index is true after any sequence of edits.", 10, 14),
        ("索引是真实的", 6, 8),
        ("1234567890", 4, 5),
        ("🎉🎉", 4, 8),
    ],
)
def test_tokens_are_counted_high(text: str, least: int, most: int) -> None:
    assert least <= estimate_tokens(text) <= most


@given(st.text(max_size=300), st.text(max_size=300))
def test_counting_by_lines_is_not_less_than_counting_at_once(first: str, second: str) -> None:
    assert estimate_tokens(f"{first}\n{second}") <= estimate_tokens(first) + estimate_tokens(second) + 1


def test_results_are_dropped_whole_from_the_end() -> None:
    results = tuple(result(f"src/file_{number}.py", lines=10) for number in range(20))
    text = search_text(SearchResponse(results, 1.0), [], 500)
    shown = text.count("## src/file_")
    assert 2 <= shown < 20
    assert text.endswith(f"({20 - shown} of 20 results left out: max_tokens is 500)")
    for number, block in enumerate(text.split("\n\n")[:shown]):
        assert block.startswith(f"## src/file_{number}.py:1-10 Session.get\n")
        assert block.count("\n") == 10
    assert estimate_tokens(text) <= 500


def test_a_first_result_that_is_too_long_ends_with_a_whole_line() -> None:
    text = search_text(SearchResponse((result(lines=500), result("src/b.py")), 1.0), [], 200)
    assert "(1 of 2 results left out: max_tokens is 200)" in text
    body = text.split("\n\n", maxsplit=1)[0].splitlines()
    assert body[0] == "## src/app.py:1-500 Session.get"
    assert body[-1] == f"({500 - (len(body) - 2)} more lines of it left out)"
    assert all(line.endswith(")") for line in body[1:-1])
    assert estimate_tokens(text) <= 200


@given(
    st.lists(st.lists(st.text(max_size=60), max_size=30), max_size=12),
    st.integers(150, 2000),
)
def test_no_answer_passes_its_bound(passages: list[list[str]], max_tokens: int) -> None:
    blocks = [Block(f"## file_{number}.py:1-2", tuple(lines)) for number, lines in enumerate(passages)]
    text = fit(["note: one"], blocks, max_tokens, what="results")
    assert estimate_tokens(text) <= max_tokens
    for block in blocks:
        assert block.head in text or "left out" in text


def test_collections_are_named_when_they_differ_and_lag_is_said() -> None:
    response = SearchResponse((result(), result("b.py", collection="other")), 1.0, (CollectionFreshness("app", 10, 7),))
    text = search_text(response, ["note: said first"], 2000)
    assert text.startswith("note: said first\n\nnote: app is being indexed; 7 of 10 changes are searchable\n\n")
    assert "## b.py:1-5 Session.get [other]" in text
    assert search_text(SearchResponse((), 1.0), [], 2000) == "nothing found"


def test_names_that_would_forge_a_heading_are_made_harmless() -> None:
    text = search_text(SearchResponse((result("a\n## fake.py:1-2\x1b[2J.py"),), 1.0), [], 2000)
    assert (
        text.splitlines()[0]
        == "## a\N{REPLACEMENT CHARACTER}## fake.py:1-2\N{REPLACEMENT CHARACTER}[2J.py:1-5 Session.get"
    )


@pytest.mark.parametrize(
    ("start", "end", "lines"),
    [(1, None, ["1\ta", "2\tb", "3\t", "4\td"]), (2, 2, ["2\tb"]), (4, 99, ["4\td"])],
)
def test_lines_are_read_with_their_numbers(start: int, end: int | None, lines: list[str]) -> None:
    text = document_text(document("a\r\nb\r\n\r\nd\r\n"), start, end, 1000)
    assert text.splitlines() == ["src/app.py [app], 4 lines", *lines]


def test_reading_stops_at_a_line_and_says_where_to_go_on() -> None:
    text = document_text(document("\n".join(f"line number {number}" for number in range(1, 1001))), 11, 900, 300)
    *_, last, closing = text.splitlines()
    number = int(last.split("\t")[0])
    assert last == f"{number}\tline number {number}"
    assert closing == f"(lines {number + 1}-900 left out: max_tokens is 300; go on with start_line {number + 1})"
    assert estimate_tokens(text) <= 300
    long = document_text(document("x = 1;" * 10_000), 1, None, 300)
    assert "(line 1 alone is longer than max_tokens, 300; 1 lines left out)" in long


def test_what_the_reader_should_know_of_a_document_is_said() -> None:
    assert "has changed since this was indexed (2026-01-02T03:04:05Z)" in document_text(
        document("a\n", "changed"), 1, None, 500
    )
    assert "no longer on disk" in document_text(document("a\n", "gone"), 1, None, 500)
    assert "also in other" in document_text(document("a\n", others=("other",)), 1, None, 500)
    assert document_text(document(""), 1, None, 500) == "src/app.py [app], 0 lines"
    with pytest.raises(LineNotFoundError, match="line 3"):
        document_text(document("a\n"), 3, None, 500)


def test_the_collection_around_comes_first() -> None:
    def status(name: str) -> CollectionStatus:
        source = SourceStatus("/srv/app", "node", None)
        return CollectionStatus(name, (source,), 2, 5, {"python": 2}, 9, 7, "behind")

    text = status_text([status("a"), status("b")], "b", 1000)
    assert text.splitlines() == [
        "b: 2 files, 5 passages, index behind (7 of 9 changes) (searched by default)",
        "  /srv/app, indexed never to the end",
        "  python 2",
        "",
        "a: 2 files, 5 passages, index behind (7 of 9 changes)",
        "  /srv/app, indexed never to the end",
        "  python 2",
    ]
    assert "skep index ." in status_text([], None, 1000)
