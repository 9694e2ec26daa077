"""Questions and places of every bad kind: each is understood, or refused with what is possible."""

from __future__ import annotations

import pytest

from skep.errors import SkepError
from skep.knowledge import (
    CollectionNotFoundError,
    DocumentNotFoundError,
    LineNotFoundError,
    LocationInvalidError,
    NothingIndexedError,
    QueryEmptyError,
    QueryTooLongError,
    SearchRequest,
    TopKOutOfRangeError,
    UnknownFilterError,
)
from skep.knowledge.lexical import PathGlobError
from tests.workspace import Workspace, quiet

GOOD = "def heron(): pass\n"

QUESTIONS = {
    "no words": ("", QueryEmptyError),
    "blanks": (" \n\t", QueryEmptyError),
    "punctuation": ("?!.,;:-()[]{}<>*&^%$#@~`'\"\\|/", QueryEmptyError),
    "only NUL": ("\0", QueryEmptyError),
    "only a lone surrogate": ("\ud800", QueryEmptyError),
    "1 MB": ("x" * (1 << 20), QueryTooLongError),
}


@pytest.mark.parametrize("what", QUESTIONS)
async def test_questions_that_are_refused(workspace: Workspace, what: str) -> None:
    workspace.write("a.py", GOOD)
    await workspace.index()
    query, error = QUESTIONS[what]
    with pytest.raises(error):
        await workspace.search(query)


@pytest.mark.parametrize(
    "query",
    [
        "heron\0",
        "heron \ud800\udfff \udcff",
        "heron OR gull",
        "+heron -gull",
        "body:heron",
        'heron" OR "1"="1',
        "heron'; drop table chunk; --",
        "heron^100 [a TO z] {b TO y}",
        "(((heron",
        "heron*",
        "/heron.*/",
        "heron~2",
        "%s %(heron)s {heron} $1",
        "heron\u202e\u0000\ufeff",
        "HERON",
        "heron()",
        "a.b::heron",
        "hérón heron",
    ],
)
async def test_questions_in_the_syntax_of_something_else(workspace: Workspace, query: str) -> None:
    workspace.write("a.py", GOOD)
    await workspace.index()
    assert await workspace.paths(query) == {"a.py"}
    assert len(await workspace.rows("select * from chunk")) == 1


async def test_filters_and_numbers_out_of_range_name_what_is_possible(workspace: Workspace) -> None:
    workspace.write("a.py", GOOD)
    workspace.write("b.md", "# heron\n")
    await workspace.index()
    cases: list[tuple[SearchRequest, type[SkepError], dict[str, object]]] = [
        (SearchRequest("heron", top_k=0), TopKOutOfRangeError, {"top_k": 0, "limit": 1000}),
        (SearchRequest("heron", top_k=-1), TopKOutOfRangeError, {"top_k": -1}),
        (SearchRequest("heron", top_k=10**6), TopKOutOfRangeError, {"top_k": 10**6}),
        (SearchRequest("heron", languages=("klingon",)), UnknownFilterError, {"known": "markdown, python"}),
        (SearchRequest("heron", languages=("python", "\0")), UnknownFilterError, {"value": "\0"}),
        (SearchRequest("heron", kinds=("music",)), UnknownFilterError, {"known": "code, docs, config"}),  # type: ignore[arg-type]
        (SearchRequest("heron", collections=("no",)), CollectionNotFoundError, {"known": "project"}),
        (SearchRequest("heron", collections=("\0",)), CollectionNotFoundError, {"name": "\0"}),
        (SearchRequest("heron", path_glob="{{a}"), PathGlobError, {}),
    ]
    for request, error, fields in cases:
        with pytest.raises(error) as failure:
            await workspace.skep.knowledge.search(workspace.who, request)
        assert fields.items() <= failure.value.fields.items()
    everything = SearchRequest("heron", top_k=1000, languages=("python",), kinds=("code",), path_glob="*.py")
    assert len((await workspace.skep.knowledge.search(workspace.who, everything)).results) == 1
    strange = SearchRequest("heron", path_glob="\ud800*\0")
    assert (await workspace.skep.knowledge.search(workspace.who, strange)).results == ()
    never = SearchRequest("heron", modified_since=2**62, modified_until=-(2**62))
    assert (await workspace.skep.knowledge.search(workspace.who, never)).results == ()


@pytest.mark.parametrize("path", ["nothing.py", "\0", "a\ud800", "%", "../a.py", "/", "a" * 100_000], ids=ascii)
async def test_documents_that_are_not_there(workspace: Workspace, path: str) -> None:
    workspace.write("a.py", GOOD)
    await workspace.index()
    knowledge = workspace.skep.knowledge
    for call in (
        knowledge.forget(workspace.who, "project", path),
        knowledge.purge(workspace.who, "project", path),
        knowledge.similar(workspace.who, f"{path}:1", SearchRequest("")),
    ):
        with pytest.raises(DocumentNotFoundError):
            await call
    assert await workspace.paths("heron") == {"a.py"}


@pytest.mark.parametrize("location", ["", "a.py", "a.py:", "a.py:0", "a.py:-1", "a.py:1:2x", ":1", "a.py:99999999999"])
async def test_places_that_are_none(workspace: Workspace, location: str) -> None:
    workspace.write("a.py", GOOD)
    await workspace.index()
    with pytest.raises(LocationInvalidError):
        await workspace.skep.knowledge.similar(workspace.who, location, SearchRequest(""))


@pytest.mark.parametrize(
    ("location", "last_line"),
    [("a.py:3", 2), ("a.py:99999", 2), ("empty.py:1", 0), ("twice.py:8", 7)],
)
async def test_lines_beyond_the_end(workspace: Workspace, location: str, last_line: int) -> None:
    workspace.write("one/a.py", GOOD + "# the end\n")
    workspace.write("one/empty.py", b"")
    workspace.write("one/twice.py", GOOD)
    workspace.write("two/twice.py", "\n\n\n" + GOOD * 4)
    await workspace.index("one")
    await workspace.index("two")
    with pytest.raises(LineNotFoundError) as failure:
        await workspace.skep.knowledge.similar(workspace.who, location, SearchRequest(""))
    assert failure.value.fields["last_line"] == last_line
    assert f"ends with line {last_line}" in str(failure.value)


@pytest.mark.parametrize("line", [1, 2, 4, 7])
async def test_lines_that_are_blank_or_of_the_longer_of_two_files_are_answered(workspace: Workspace, line: int) -> None:
    workspace.write("one/twice.py", GOOD)
    workspace.write("two/twice.py", "\n\n\n" + GOOD * 4)
    await workspace.index("one")
    await workspace.index("two")
    response = await workspace.skep.knowledge.similar(workspace.who, f"twice.py:{line}", SearchRequest(""))
    assert len(response.results) == 1


async def test_before_anything_is_indexed(workspace: Workspace) -> None:
    assert await workspace.skep.knowledge.status(workspace.who) == ()
    for call in (
        workspace.search("heron"),
        workspace.skep.knowledge.similar(workspace.who, "a.py:1", SearchRequest("")),
        workspace.verify(collection="project"),
        workspace.skep.knowledge.forget(workspace.who, "project", None),
    ):
        with pytest.raises(NothingIndexedError):
            await call
    await workspace.skep.knowledge.index(workspace.who, workspace.folder, report=quiet)
    assert (await workspace.search("heron")).results == ()
