"""What was taken away is not findable from that moment on; what was erased is not in the files any more."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from skep.access import Principal, RoleTooLowError
from skep.knowledge import CollectionNotFoundError, DocumentNotFoundError, Knowledge, NothingIndexedError, SearchRequest
from skep.knowledge.lexical import LexicalIndex, LexicalWriter
from skep.knowledge.lexical.schema import TERM_FIELDS
from skep.store import DatabaseBusyError
from tests.postgres import ScratchServer
from tests.workspace import Workspace, open_workspace, quiet, settings_for

MARKER = "zqxbitternmarker"

SECRET = f"""# About {MARKER}title

def {MARKER}function():
    '''Says {MARKER}text.'''
    return 1
"""


async def test_a_forgotten_document_is_not_findable_though_the_index_still_has_it(workspace: Workspace) -> None:
    workspace.write("a.py", "def heron(): pass\n")
    workspace.write("b.py", "def heron(): return 2\n")
    await workspace.index()
    with LexicalWriter(workspace.lexical_folder(await workspace.uid())):  # nobody can follow now
        await workspace.execute("update version set removed_at = now() where version_id = 1")
        await workspace.execute("update document set version_id = null where version_id = 1")
        await workspace.execute("update collection set last_seq = last_seq + 1")
        response = await workspace.search("heron")
    assert [result.path for result in response.results] == ["b.py"]
    assert len(response.behind) == 1


async def test_forgotten_documents_come_back_with_the_next_run_and_no_sooner(workspace: Workspace) -> None:
    workspace.write("a.py", "def heron(): pass\n")
    workspace.write("sub/b.py", "def heron(): return 2\n")
    workspace.write("subway/c.py", "def heron(): return 3\n")
    await workspace.index()
    removed = await workspace.skep.knowledge.forget(workspace.who, "project", "sub")
    assert (removed.documents, removed.versions) == (1, 0)
    assert await workspace.paths("heron") == {"a.py", "subway/c.py"}
    with pytest.raises(DocumentNotFoundError):
        await workspace.skep.knowledge.forget(workspace.who, "project", "sub")
    assert (await workspace.skep.knowledge.forget(workspace.who, "project", None)).documents == 2
    assert await workspace.paths("heron") == set()
    assert await workspace.differences() == []
    report = await workspace.index()
    assert (report.files_added, report.chunks_reused, report.chunks_new) == (3, 3, 0)
    await workspace.assert_true()


async def test_a_deleted_file_is_not_findable_and_its_neighbour_is(workspace: Workspace) -> None:
    for name in ("a", "b"):
        workspace.write(f"{name}.py", f"def heron_{name}(): pass\n")
    await workspace.index()
    (workspace.folder / "a.py").unlink()
    assert (await workspace.index()).files_removed == 1
    assert await workspace.paths("heron") == {"b.py"}
    (status,) = await workspace.skep.knowledge.status(workspace.who)
    assert (status.files, status.chunks, status.languages, status.lexical_state) == (1, 1, {"python": 1}, "current")


async def test_purge_takes_every_version_and_only_what_nobody_else_has(workspace: Workspace) -> None:
    workspace.write("a.py", "def early(): pass\n")
    workspace.write("twin.py", "def heron(): pass\n")
    await workspace.index()
    workspace.write("a.py", "def heron(): pass\n")
    await workspace.index()
    removed = await workspace.skep.knowledge.purge(workspace.who, "project", "a.py")
    assert (removed.documents, removed.versions, removed.chunks, removed.blobs) == (1, 2, 1, 1)
    assert await workspace.paths("heron") == {"twin.py"}
    assert await workspace.differences() == []
    with pytest.raises(DocumentNotFoundError):
        await workspace.skep.knowledge.purge(workspace.who, "project", "a.py")
    (workspace.folder / "a.py").unlink()
    await workspace.index()
    await workspace.assert_true()


async def test_a_deleted_document_can_still_be_purged(workspace: Workspace) -> None:
    workspace.write("a.py", "def heron(): pass\n")
    await workspace.index()
    (workspace.folder / "a.py").unlink()
    await workspace.index()
    removed = await workspace.skep.knowledge.purge(workspace.who, "project", "a.py")
    assert (removed.documents, removed.versions, removed.chunks, removed.blobs) == (1, 1, 1, 1)
    assert await workspace.rows("select * from document") == []


@pytest.mark.parametrize("whole", [True, False], ids=["collection", "document"])
async def test_purge_leaves_no_bytes(workspace: Workspace, scratch_server: ScratchServer, whole: bool) -> None:
    """In the tables and indexes of the database and the lexical index. The write-ahead log has them until it is recycled."""
    workspace.write(f"{MARKER}name.py", SECRET)
    workspace.write("docs/guide.md", f"# {MARKER}heading\n\nText.\n\n## Two\n\n{MARKER}prose\n")
    for number in range(40):
        workspace.write(f"other_{number}.py", f"def heron_{number}(): pass\n")
    await workspace.index()
    workspace.write(f"{MARKER}name.py", SECRET.replace("return 1", "return 2"))
    await workspace.index()
    deflated = zlib.compress(SECRET.encode(), 1)
    for table in ("chunk", "blob", "placement", "symbol", "mention", "document", "version"):
        await workspace.execute(f"analyze {table}")
    ((oid,),) = await workspace.rows("select oid::text from pg_database where datname = current_database()")
    files = scratch_server.data / "base" / str(oid)
    patterns = (MARKER.encode(), deflated[8:40])
    scratch_server.admin.execute("checkpoint")
    assert [has(files, pattern) for pattern in patterns] == [True, True]
    assert lexical_terms(workspace, await workspace.uid()) > 0

    if whole:
        await workspace.skep.knowledge.purge(workspace.who, "project", None)
        assert list((workspace.skep.settings.data_folder / "lexical").iterdir()) == []
    else:
        await workspace.skep.knowledge.purge(workspace.who, "project", f"{MARKER}name.py")
        await workspace.skep.knowledge.purge(workspace.who, "project", "docs")
        assert len(await workspace.paths("heron")) == 40
        assert await workspace.differences() == []
        assert lexical_terms(workspace, await workspace.uid()) == 0
    scratch_server.admin.execute("checkpoint")
    assert [has(files, pattern) for pattern in patterns] == [False, False]


def has(folder: Path, pattern: bytes) -> bool:
    """Whether some file of a folder has these bytes."""
    return any(pattern in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def lexical_terms(workspace: Workspace, uid: str) -> int:
    """Terms with the marker in the lexical index, which packs its terms so that no search for bytes finds them.

    An index that holds nothing but living passages has nothing of others either: they go only when it is built anew.
    """
    folder = workspace.lexical_folder(uid)
    index = LexicalIndex(folder)
    index.open()
    found = sum(len(index.term_counts(name, MARKER)) for name in TERM_FIELDS)
    assert found or (index.deleted_share == 0 and len(list(folder.glob("generation-*"))) == 1)
    index.close()
    return found


async def test_a_purge_that_was_interrupted_is_finished_by_the_followers(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the database has let go, the index of this and every other machine knows that it must be built anew."""
    workspace.write("a.py", SECRET)
    workspace.write("b.py", "def heron(): pass\n")
    await workspace.index()

    async def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Knowledge, "_purge_index", killed)
    with pytest.raises(KeyboardInterrupt):
        await workspace.skep.knowledge.purge(workspace.who, "project", "a.py")
    assert await workspace.rows("select path from document") == [("b.py",)]
    assert len(await workspace.rows("select * from blob")) == 1
    assert await workspace.paths("heron") == {"b.py"}
    assert lexical_terms(workspace, await workspace.uid()) == 0
    assert ["left behind" in notice for notice in workspace.notices] == [True]


async def test_projects_do_not_see_each_other(workspace: Workspace) -> None:
    workspace.write("mine/a.py", "def heron(): return 'shared'\n")
    workspace.write("theirs/a.py", "def heron(): return 'shared'\n")
    workspace.write("theirs/b.py", "def pelican(): pass\n")
    them = await workspace.new_principal()
    await workspace.index("mine")
    report = await workspace.index("theirs", who=them)
    assert (report.chunks_new, report.chunks_reused) == (2, 0), "what another project has tells nothing"

    knowledge = workspace.skep.knowledge
    assert await workspace.paths("heron") == {"a.py"}
    assert {result.collection for result in (await workspace.search("heron")).results} == {"mine"}
    assert {result.collection for result in (await workspace.search("heron", who=them)).results} == {"theirs"}
    assert await workspace.paths("pelican") == set()
    assert [status.collection for status in await knowledge.status(workspace.who)] == ["mine"]
    assert [report.collection for report in await workspace.verify(who=them)] == ["theirs"]
    for call in (
        knowledge.search(workspace.who, SearchRequest(query="pelican", collections=("theirs",))),
        knowledge.similar(workspace.who, "b.py:1", SearchRequest(query="", collections=("theirs",))),
        knowledge.verify(workspace.who, "theirs", report=quiet),
        knowledge.forget(workspace.who, "theirs", None),
        knowledge.purge(workspace.who, "theirs", None),
        knowledge.purge(workspace.who, "theirs", "b.py"),
    ):
        with pytest.raises(CollectionNotFoundError) as failure:
            await call
        assert failure.value.fields["known"] == "mine"
    assert await knowledge.collection_around(workspace.who, workspace.folder / "theirs") is None

    await knowledge.purge(workspace.who, "mine", None)
    assert await workspace.differences(who=them) == []
    assert await workspace.paths("heron", who=them) == {"a.py"}
    with pytest.raises(NothingIndexedError):
        await workspace.search("heron")


async def test_the_same_name_in_two_projects_means_two_collections(workspace: Workspace) -> None:
    workspace.write("a.py", "def heron(): pass\n")
    them = await workspace.new_principal()
    await workspace.index()
    workspace.write("a.py", "def gull(): pass\n")
    await workspace.index(who=them)
    assert await workspace.paths("heron") == {"a.py"}
    assert await workspace.paths("heron", who=them) == set()
    await workspace.skep.knowledge.forget(workspace.who, "project", None)
    assert await workspace.paths("gull", who=them) == {"a.py"}


async def test_roles(workspace: Workspace) -> None:
    workspace.write("a.py", "def heron(): pass\n")
    await workspace.index()
    knowledge = workspace.skep.knowledge
    reader: Principal = replace(workspace.who, role="reader", key_name="eve")
    member = replace(workspace.who, role="member", key_name="mal")
    assert await workspace.paths("heron", who=reader) == {"a.py"}
    assert [report.is_equal for report in await workspace.verify(who=reader)] == [True]
    assert len(await knowledge.status(reader)) == 1
    for who, needed, call in (
        (reader, "member", knowledge.index(reader, workspace.folder, report=quiet)),
        (reader, "member", knowledge.forget(reader, "project", None)),
        (reader, "member", knowledge.create_collection(reader, "new")),
        (reader, "admin", knowledge.purge(reader, "project", None)),
        (member, "admin", knowledge.purge(member, "project", None)),
        (member, "admin", knowledge.purge(member, "project", "a.py")),
    ):
        with pytest.raises(RoleTooLowError) as failure:
            await call
        assert failure.value.fields == {"key_name": who.key_name, "role": who.role, "needed": needed}
    assert (await workspace.index(who=member)).files_unchanged == 1
    assert (await knowledge.forget(member, "project", "a.py")).documents == 1


async def test_maintenance_is_not_cut_off_by_the_limit_for_statements(
    database_url: str, scratch_server: ScratchServer, tmp_path: Path
) -> None:
    """Purging and expiring go through whole tables and wait for others; the limit is for statements that went astray."""
    settings = settings_for(database_url, tmp_path / "data", statement_timeout_seconds=2)
    async with open_workspace(None, tmp_path, settings) as workspace:
        workspace.write("a.py", "def heron(): pass\n")
        await workspace.index()
        name = database_url.rpartition("/")[2].partition("?")[0]
        with psycopg.connect(scratch_server.url(name, admin=True), autocommit=True) as admin:
            admin.execute(
                "create function dawdle() returns trigger language plpgsql as"
                " $$ begin perform pg_sleep(2.5); return old; end $$"
            )
            admin.execute("create trigger dawdle before delete on document for each row execute function dawdle()")
        with pytest.raises(DatabaseBusyError):
            await workspace.execute("delete from document")
        removed = await workspace.skep.knowledge.purge(workspace.who, "project", "a.py")
        assert removed.documents == 1
        ((limit,),) = await workspace.rows("select current_setting('statement_timeout')")
        assert limit == "2s"
