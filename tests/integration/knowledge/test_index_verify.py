"""Verify finds damage wherever it is planted, and only then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from skep.knowledge import CollectionNotFoundError
from skep.knowledge.following import VersionRow, fetch_documents
from skep.knowledge.lexical import (
    LexicalDamagedError,
    LexicalDocument,
    LexicalHits,
    LexicalIndex,
    LexicalQuery,
    LexicalWriter,
)
from tests.levels import by_level
from tests.workspace import Workspace

FILES = {
    "src/app.py": "class Store:\n    def get(self):\n        return 1\n\n\ndef main():\n    return Store().get()\n",
    "src/other.py": "def helper():\n    return 2\n",
    "docs/guide.md": "# Guide\n\nHow to use it.\n\n## Retries\n\nThree times.\n",
}

OF_THE_FILE = "version_id = (select version_id from document where path = 'src/app.py')"


async def fill(workspace: Workspace) -> None:
    for path, text in FILES.items():
        workspace.write(path, text)
    await workspace.index()
    assert await workspace.differences() == []


PLANTED = {
    "a changed text": (
        "update chunk set text = text || ' ' where sha256 = (select min(chunk_sha256) from placement)",
        "stored otherwise than it is cut",
    ),
    "a missing text": (
        "delete from chunk where sha256 = (select min(chunk_sha256) from placement)",
        "are stored instead of",
    ),
    "a missing placement": (f"delete from placement where {OF_THE_FILE}", "0 passages are stored instead of"),
    "an additional placement": (
        f"insert into placement select project_id, version_id, 99, chunk_sha256, 1, 1, '', '', input_sha256 from placement "
        f"where {OF_THE_FILE} and ordinal = 0",
        "passages are stored instead of",
    ),
    "a wrong line": (
        f"update placement set end_line = end_line + 1 where {OF_THE_FILE}",
        "passage 0 is stored otherwise",
    ),
    "a wrong heading": ("update placement set heading = 'x' where heading <> ''", "is stored otherwise"),
    "a wrong symbol in a placement": (f"update placement set symbol = 'x' where {OF_THE_FILE}", "is stored otherwise"),
    "a wrong line of a symbol": (
        f"update symbol set start_line = start_line + 1 where name = 'main' and {OF_THE_FILE}",
        "symbol 2 is stored otherwise",
    ),
    "a missing symbol": (
        f"delete from symbol where {OF_THE_FILE} and ordinal = 2",
        "2 symbols are stored instead of 3",
    ),
    "a symbol that nobody can mean": (
        f"update symbol set family = null where {OF_THE_FILE} and ordinal = 1",
        "symbol 1 is stored otherwise",
    ),
    "missing mentions": (f"delete from mention where {OF_THE_FILE}", "what it says of other files"),
    "another name": ("update mention set names = '{x}' where family = 'python'", "what it says of other files"),
    "another module": (f"update mention set module = 'x//' where {OF_THE_FILE}", "what it says of other files"),
    "a symbol of another collection": (
        f"update symbol set collection_id = -1 where {OF_THE_FILE}",
        "or of another collection, can be reached by edges",
    ),
    "another language": (
        f"update version set language = 'go' where {OF_THE_FILE}",
        "it is stored as go/code, not python",
    ),
    "another kind": (f"update version set kind = 'docs' where {OF_THE_FILE}", "it is stored as python/docs"),
    "another chunker": (f"update version set chunker = '0' where {OF_THE_FILE}", "it was cut by chunker 0"),
    "a wrong count": (f"update version set chunks = chunks + 1 where {OF_THE_FILE}", "passages"),
    "a missing original": ("delete from blob", "its original bytes are not stored"),
    "garbage for an original": ("update blob set deflated = 'garbage'", "cannot be unpacked"),
    "another original": (
        "update blob b set deflated = (select min(deflated) from blob o where o.sha256 <> b.sha256)",
        "not those of its hash",
    ),
    "a missing version": (f"delete from version where {OF_THE_FILE}", "its version is missing or counts as removed"),
    "a version that counts as removed": (
        f"update version set removed_at = now() where {OF_THE_FILE}",
        "its version is missing or counts as removed",
    ),
    "a version of another document": (
        f"update version set document_id = (select document_id from document where path = 'src/other.py') "
        f"where {OF_THE_FILE}",
        "its version is missing",
    ),
    "a wrong time": (
        f"update version set modified_at = modified_at + interval '1 day' where {OF_THE_FILE}",
        "it is said to be of second",
    ),
    "an unfinished change log": (
        "update collection set last_seq = last_seq - 1",
        "lexical index: it has applied change",
    ),
}


@pytest.mark.parametrize("what", PLANTED)
async def test_damage_in_the_database_is_found(workspace: Workspace, what: str) -> None:
    await fill(workspace)
    statement, sentence = PLANTED[what]
    assert await workspace.execute(statement) > 0
    differences = await workspace.differences()
    assert any(sentence in difference for difference in differences), differences


async def test_an_edge_to_what_was_replaced_is_found(workspace: Workspace) -> None:
    await fill(workspace)
    workspace.write("src/app.py", "def other():\n    return 3\n")
    await workspace.index()
    assert await workspace.differences() == []
    await workspace.execute("update symbol set family = 'python' where family is null and name = 'Store'")
    assert await workspace.differences() == [
        "1 versions that are not findable, or of another collection, can be reached by edges"
    ]


Change = Callable[[LexicalWriter, list[LexicalDocument]], object]


def forgotten(writer: LexicalWriter, documents: list[LexicalDocument]) -> None:
    writer.remove([documents[0].version_id])


def left_over(writer: LexicalWriter, documents: list[LexicalDocument]) -> None:
    writer.add([_with(documents[0], version_id=10**6)])


def altered_text(writer: LexicalWriter, documents: list[LexicalDocument]) -> None:
    writer.add([_with(document, text=document.text + " intruder") for document in documents])


def altered_path(writer: LexicalWriter, documents: list[LexicalDocument]) -> None:
    writer.add([_with(document, path="src/elsewhere.py") for document in documents])


def altered_time(writer: LexicalWriter, documents: list[LexicalDocument]) -> None:
    writer.add([_with(document, modified_at=1) for document in documents])


def altered_names(writer: LexicalWriter, documents: list[LexicalDocument]) -> None:
    writer.add([_with(document, defines=("Stranger",)) for document in documents])


def _with(document: LexicalDocument, **changes: object) -> LexicalDocument:
    fields = {name: getattr(document, name) for name in LexicalDocument.__slots__}
    return LexicalDocument(**{**fields, **changes})


CHANGES: dict[str, tuple[Change, str]] = {
    "a missing document": (forgotten, "missing version"),
    "an extra document": (left_over, "extra version 1000000"),
    "another text": (altered_text, "different version"),
    "another path": (altered_path, "different version"),
    "another time": (altered_time, "different version"),
    "other names": (altered_names, "different version"),
}


@pytest.mark.parametrize("what", CHANGES)
async def test_damage_in_the_lexical_index_is_found(workspace: Workspace, what: str) -> None:
    await fill(workspace)
    change, sentence = CHANGES[what]
    rows = await workspace.rows(
        "select version_id, path, language, kind, extract(epoch from modified_at)::bigint, chunks"
        " from version join document using (version_id) where path = 'src/app.py'"
    )
    documents = await fetch_documents(
        workspace.skep.database,
        workspace.who.project_id,
        [VersionRow(*row) for row in rows],  # type: ignore[arg-type]
    )
    with LexicalWriter(workspace.lexical_folder(await workspace.uid())) as writer:
        seq = writer.applied_seq
        change(writer, documents)
        writer.commit(seq=seq)
    differences = await workspace.differences()
    assert any(f"lexical index: {sentence}" in difference for difference in differences), differences
    # Told once, and mended: nothing else would ever notice an index that opens and has applied every change.
    assert ["built anew: it is not what it should be" in notice for notice in workspace.notices] == [True]
    assert await workspace.differences() == []


async def test_an_index_that_cannot_be_read_in_the_middle_is_a_difference(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a disk flips bits: it opens well, and fails when its postings are read."""
    await fill(workspace)

    def broken(self: LexicalIndex, field: str, prefix: str) -> dict[str, int]:
        raise LexicalDamagedError(folder="there", reason="index out of bounds")

    with monkeypatch.context() as patched:
        patched.setattr(LexicalIndex, "term_counts", broken)
        (difference,) = await workspace.differences()
    assert difference == "lexical index: The lexical index in there is damaged: index out of bounds"
    assert len(workspace.notices) == 1
    assert await workspace.differences() == []


async def test_a_search_that_meets_damage_builds_the_index_anew(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(workspace)
    folder = workspace.lexical_folder(await workspace.uid())
    search, calls = LexicalIndex.search, []

    def broken_once(self: LexicalIndex, query: LexicalQuery) -> LexicalHits:
        calls.append(query)
        if len(calls) == 1:
            raise LexicalDamagedError(folder=folder, reason="index out of bounds")
        return search(self, query)

    monkeypatch.setattr(LexicalIndex, "search", broken_once)
    assert await workspace.paths("helper") == {"src/other.py"}
    assert ["index out of bounds" in notice for notice in workspace.notices] == [True]


async def test_many_differences_are_counted_and_the_first_are_told(workspace: Workspace) -> None:
    for number in range(30):
        workspace.write(f"file{number}.txt", f"text {number}\n")
    await workspace.index()
    await workspace.execute("update placement set start_line = 0")
    (report,) = await workspace.verify()
    assert not report.is_equal
    assert report.differences_total >= 30
    assert len(report.differences) == 20
    assert report.documents_checked == 30


@pytest.mark.no_cover
async def test_verify_during_indexing_raises_no_false_alarm(workspace: Workspace) -> None:
    await fill(workspace)
    ended = asyncio.Event()

    async def write_on() -> None:
        for turn in range(by_level(4, 12)):
            for path, text in FILES.items():
                workspace.write(path, f"{text}\n# turn {turn}\n")
            await workspace.index()
        ended.set()

    writing = asyncio.create_task(write_on())
    wrong: list[str] = []
    while not ended.is_set():
        for report in await workspace.verify():
            wrong += report.differences
    await writing
    assert wrong == []


async def test_verify_names_the_collections_it_knows(workspace: Workspace) -> None:
    await fill(workspace)
    with pytest.raises(CollectionNotFoundError) as failure:
        await workspace.verify(collection="projekt")
    assert failure.value.fields["known"] == "project"


async def test_an_empty_collection_is_equal(workspace: Workspace) -> None:
    await workspace.skep.knowledge.create_collection(workspace.who, "nothing")
    (report,) = await workspace.verify()
    assert (report.is_equal, report.documents_checked) == (True, 0)
