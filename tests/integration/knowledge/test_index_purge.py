"""A purge is done when its transaction is: whatever stands in its way then is finished later, and nothing undoes it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from skep.app import knowledge_options
from skep.knowledge import Knowledge, indexing, scrubbing, service, storing
from skep.knowledge.lexical import LexicalWriteError, LexicalWriter
from skep.knowledge.preparing import PreparedFile
from skep.knowledge.sweeping import scratch_folder, sweep
from skep.store import Database, DatabaseFullError
from tests.postgres import ScratchServer
from tests.workspace import Workspace

MARKER = b"zqxbitternmarker"
FOREIGN = "01234567-89ab-cdef-0123-456789abcdef"


async def fill(workspace: Workspace) -> Path:
    """Two files; where their lexical index is."""
    workspace.write("a.py", b"def " + MARKER + b"(): pass\n")
    workspace.write("b.py", "def heron(): pass\n")
    await workspace.index()
    return workspace.lexical_folder(await workspace.uid())


@asynccontextmanager
async def restarted(workspace: Workspace, data_folder: Path | None = None) -> AsyncIterator[Workspace]:
    """The workspace as the next process sees it, of the same machine or of another one."""
    options = knowledge_options(workspace.skep.settings, workspace.skep.node)
    if data_folder is not None:
        options = replace(options, data_folder=data_folder, node="elsewhere")
    knowledge = Knowledge(workspace.skep.database, options, notice=workspace.notices.append)
    try:
        yield replace(workspace, skep=replace(workspace.skep, knowledge=knowledge))
    finally:
        await knowledge.close()


async def unscrubbed(workspace: Workspace) -> int:
    """How many purges have not been cleaned out of the database's files."""
    return len(await workspace.rows("select * from purge where scrubbed_at is null"))


async def has_marker(workspace: Workspace, server: ScratchServer) -> bool:
    """Whether the files of this database have the bytes of what was purged."""
    ((oid,),) = await workspace.rows("select oid::text from pg_database where datname = current_database()")
    server.admin.execute("checkpoint")
    files = (server.data / "base" / str(oid)).rglob("*")
    return any(MARKER in path.read_bytes() for path in files if path.is_file())


async def killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("path", [None, "a.py"], ids=["collection", "document"])
async def test_what_a_killed_purge_left_is_finished_by_the_next_process(
    workspace: Workspace, scratch_server: ScratchServer, monkeypatch: pytest.MonkeyPatch, path: str | None
) -> None:
    folder = await fill(workspace)
    foreign = folder.with_name(FOREIGN)
    foreign.mkdir()
    with monkeypatch.context() as patched:
        patched.setattr(Knowledge, "_purge_index", killed)
        with pytest.raises(KeyboardInterrupt):
            await workspace.skep.knowledge.purge(workspace.who, "project", path)
    assert (await unscrubbed(workspace), folder.exists()) == (1, True)
    workspace.write("other/c.py", "def gull(): pass\n")
    async with restarted(workspace) as later:
        await later.index("other")
        assert [Path(found).name for found in await later.paths("gull")] == ["c.py"]
        assert await later.differences() == []
    assert await unscrubbed(workspace) == 0
    assert not await has_marker(workspace, scratch_server)
    assert folder.exists() == (path is not None)
    assert foreign.exists(), "that of another database"


async def test_other_machines_remove_the_index_of_a_purged_collection(workspace: Workspace, tmp_path: Path) -> None:
    folder = await fill(workspace)
    workspace.write("kept/c.py", "def gull(): pass\n")
    await workspace.index("kept", collection="kept")
    elsewhere = tmp_path / "elsewhere"
    async with restarted(workspace, elsewhere) as other:
        assert await other.paths("heron") == {"b.py"}
    assert (elsewhere / "lexical" / folder.name).is_dir()
    await workspace.skep.knowledge.purge(workspace.who, "project", None)
    async with restarted(workspace, elsewhere) as other:
        assert await other.paths("gull") == {"c.py"}
    assert os.listdir(elsewhere / "lexical") == [await workspace.uid("kept")]


@pytest.mark.parametrize("path", [None, "a.py"], ids=["collection", "document"])
async def test_a_purge_while_another_process_writes_the_index_is_a_success(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, path: str | None
) -> None:
    folder = await fill(workspace)
    monkeypatch.setattr(service, "_REMOVAL_WAIT_SECONDS", 0.1)
    with LexicalWriter(folder):
        removed = await workspace.skep.knowledge.purge(workspace.who, "project", path)
        assert removed.documents == (2 if path is None else 1)
        assert removed.notices == tuple(workspace.notices)
        assert ["Erased, and no search shows it" in notice for notice in workspace.notices] == [True]
        assert await unscrubbed(workspace) == 0
        if path is not None:
            assert await workspace.paths(MARKER.decode()) == set()
    await workspace.skep.knowledge.tidy()
    assert folder.exists() == (path is not None)
    if path is not None:
        assert await workspace.paths("heron") == {"b.py"}
        assert await workspace.differences() == []


async def test_forgetting_while_another_process_writes_the_index_is_a_success(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = await fill(workspace)
    monkeypatch.setattr(service, "_REMOVAL_WAIT_SECONDS", 0.1)
    with LexicalWriter(folder):
        assert (await workspace.skep.knowledge.forget(workspace.who, "project", "a.py")).documents == 1
        assert await workspace.paths(MARKER.decode()) == set()
    assert await workspace.differences() == []


async def test_a_table_that_is_read_all_the_time_is_cleaned_later(
    workspace: Workspace, scratch_server: ScratchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile nobody waits behind the purge for long, and it does not wait for ever."""
    await fill(workspace)
    monkeypatch.setattr(scrubbing, "_LOCK_WAIT_MS", 300)
    monkeypatch.setattr(scrubbing, "_PAUSE_SECONDS", 0.05)
    async with workspace.skep.database.transaction() as reader:
        await reader.execute("lock table chunk in access share mode")
        purging = asyncio.create_task(workspace.skep.knowledge.purge(workspace.who, "project", "a.py"))
        slowest = 0.0
        while not purging.done():
            began = time.monotonic()
            assert await workspace.paths("heron") == {"b.py"}
            slowest = max(slowest, time.monotonic() - began)
            await asyncio.sleep(0.01)
        removed = await purging
    assert slowest < 3
    assert removed.documents == 1
    assert removed.notices == tuple(workspace.notices)
    assert ["stay in the database's files" in notice for notice in workspace.notices] == [True]
    assert (await unscrubbed(workspace), await has_marker(workspace, scratch_server)) == (1, True)
    (workspace.folder / "a.py").unlink()
    await workspace.index()
    assert (await unscrubbed(workspace), await has_marker(workspace, scratch_server)) == (0, False)
    ((limit,),) = await workspace.rows("select current_setting('lock_timeout')")
    assert limit == "0"


async def test_bytes_that_an_older_statement_may_still_see_are_cleaned_after_it(
    workspace: Workspace, scratch_server: ScratchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrubbing, "_PAUSE_SECONDS", 0.01)
    await fill(workspace)
    async with workspace.skep.database.connection() as connection:
        # Reads nothing that was purged, but could: a table written anew takes along what it may see.
        await connection.execute("begin transaction isolation level repeatable read")
        await connection.execute("select 1")
        removed = await workspace.skep.knowledge.purge(workspace.who, "project", "a.py")
        assert "its bytes stay in the database's files" in removed.notices[-1]
        assert await unscrubbed(workspace) == 1
        await connection.execute("commit")
    (workspace.folder / "a.py").unlink()
    await workspace.index()
    assert (await unscrubbed(workspace), await has_marker(workspace, scratch_server)) == (0, False)


async def test_a_disk_too_full_to_clean_the_database_does_not_undo_a_purge(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = await fill(workspace)

    async def full(*_: object, **__: object) -> bool:
        raise DatabaseFullError(where="there", reason="no space left")

    monkeypatch.setattr(service, "scrub", full)
    removed = await workspace.skep.knowledge.purge(workspace.who, "project", None)
    assert removed.documents == 2
    assert ["no space left" in notice for notice in removed.notices] == [True]
    assert not folder.exists()


def delete(workspace: Workspace) -> None:
    (workspace.folder / "a.py").unlink()


def ignore(workspace: Workspace) -> None:
    workspace.write(".skepignore", "a.py\n")


@pytest.mark.parametrize("take_away", [delete, ignore])
async def test_a_run_that_read_a_file_before_it_was_purged_does_not_put_it_back(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, take_away: Callable[[Workspace], None]
) -> None:
    await fill(workspace)
    has_read, may_go_on = asyncio.Event(), asyncio.Event()
    store = storing.store_files

    async def stopped(
        database: Database, target: storing.Target, files: Iterable[PreparedFile], counts: storing.StoreCounts
    ) -> storing.NotStored:
        if not has_read.is_set():
            has_read.set()
            await may_go_on.wait()
        return await store(database, target, list(files), counts)

    monkeypatch.setattr(indexing, "store_files", stopped)
    monkeypatch.setattr(service, "_REMOVAL_WAIT_SECONDS", 0.1)
    workspace.write("a.py", b"def " + MARKER + b"_again(): pass\n")
    workspace.write("b.py", "def late_heron(): pass\n")
    workspace.write("new.py", "def gull(): pass\n")
    running = asyncio.create_task(workspace.index())
    await has_read.wait()
    take_away(workspace)
    async with restarted(workspace) as other:
        assert (await other.skep.knowledge.purge(other.who, "project", "a.py")).documents == 1
    may_go_on.set()
    report = await running
    assert (report.files_added, report.files_changed, report.files_failed) == (1, 1, ())
    assert [path for (path,) in await workspace.rows("select path from document order by path")] == ["b.py", "new.py"]
    assert await workspace.rows("select from chunk where text like %(text)s", text=f"%{MARKER.decode()}%") == []
    assert await workspace.paths("gull heron") == {"b.py", "new.py"}
    await workspace.index()
    await workspace.assert_true()


async def test_a_purge_by_a_clock_that_is_ahead_stops_no_indexing(workspace: Workspace) -> None:
    await fill(workspace)
    await workspace.execute("update collection set purged_ns = %(ns)s", ns=time.time_ns() + 3600 * 10**9)
    workspace.write("new.py", "def gull(): pass\n")
    assert (await workspace.index()).files_added == 1
    await workspace.assert_true()


async def test_sweeping_takes_what_a_killed_verify_left_and_nothing_in_use(workspace: Workspace) -> None:
    folder = await fill(workspace)
    long_ago = time.time() - 3600
    left, young = folder.with_name("verify-left"), folder.with_name("verify-young")
    for made in (left, young):
        made.mkdir()
        (made / "terms").write_bytes(MARKER)
    os.utime(left, (long_ago, long_ago))
    with scratch_folder(folder.parent) as held:
        os.utime(held, (long_ago, long_ago))
        await sweep(workspace.skep.database, folder.parent)
        assert sorted(os.listdir(folder.parent)) == sorted([folder.name, held.name, young.name])
    assert not held.exists()


async def test_verify_writes_nowhere_but_in_the_data_folder(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = await fill(workspace)
    monkeypatch.setattr("tempfile.tempdir", "/nonexistent")
    assert await workspace.differences() == []
    assert os.listdir(folder.parent) == [folder.name]


def test_a_folder_that_cannot_be_made_is_an_error_with_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LexicalWriteError), scratch_folder(tmp_path / "file"):
        pass
