"""Several at once on the same collection, contents or index: nobody waits for ever, nothing is lost, doubled or half gone."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from skep.app import knowledge_options
from skep.knowledge import CollectionGoneError, Knowledge, NothingIndexedError, SearchRequest, indexing, storing
from skep.knowledge.describing import Describer
from skep.knowledge.lexical import LexicalWriteError, LexicalWriter
from skep.knowledge.preparing import PreparedFile, StoredContent
from skep.knowledge.ranking import Question
from skep.knowledge.retention import expire
from skep.knowledge.searching import Searcher
from skep.knowledge.storing import Target
from skep.knowledge.views import View
from skep.settings import IndexSettings
from skep.store import Connection, Database
from tests.levels import by_level
from tests.workspace import Workspace, open_workspace, settings_for

PATIENCE_SECONDS = 40.0
"""A deadlock, which PostgreSQL ends after one second, or two that wait for each other, must not look like a slow test."""

DOUBLED = """
select path, count(*) from document d join version v using (document_id)
where v.removed_at is null and v.version_id is distinct from d.version_id group by path
"""


def fill(workspace: Workspace, count: int, *, folder: str = "", seed: int = 0) -> None:
    for number in range(count):
        body = "\n".join(f"    total_{number} += {line + seed}" for line in range(20))
        workspace.write(f"{folder}src/module_{number}.py", f"def function_{number}():\n{body}\n")


@asynccontextmanager
async def services(workspace: Workspace, count: int) -> AsyncIterator[list[Workspace]]:
    """The workspace as several processes of one machine see it."""
    options = knowledge_options(workspace.skep.settings, workspace.skep.node)
    made = [Knowledge(workspace.skep.database, options, notice=workspace_note) for _ in range(count)]
    try:
        yield [replace(workspace, skep=replace(workspace.skep, knowledge=knowledge)) for knowledge in made]
    finally:
        for knowledge in made:
            await knowledge.close()


async def eventually(workspace: Workspace, statement: str) -> None:
    """Wait until a statement gives a row."""
    while not await workspace.rows(statement):  # noqa: ASYNC110 -- another process would not set an event either
        await asyncio.sleep(0.01)


def workspace_note(text: str) -> None:
    """Nobody listens."""


@pytest.mark.parametrize("count", [2, 4])
async def test_several_indexers_of_one_collection(workspace: Workspace, count: int) -> None:
    fill(workspace, 60)
    async with services(workspace, count) as all_of_them, asyncio.timeout(PATIENCE_SECONDS):
        reports = await asyncio.gather(*(each.index() for each in all_of_them))
        assert sum(report.files_added for report in reports) == 60
        fill(workspace, 40, seed=1)
        (workspace.folder / "src/module_50.py").unlink()
        reports = await asyncio.gather(*(each.index() for each in all_of_them))
        assert sum(report.files_changed for report in reports) == 40
        assert sum(report.files_removed for report in reports) == 1
        assert await workspace.rows(DOUBLED) == []
    await workspace.assert_true()


async def test_two_collections_that_share_contents(workspace: Workspace) -> None:
    for folder in ("one/", "two/"):
        fill(workspace, 40, folder=folder)
    # The same contents in opposite orders: whoever locks them as they come locks the other out.
    for number in range(40):
        (workspace.folder / f"two/src/module_{number}.py").rename(workspace.folder / f"two/src/z{99 - number}.py")
    async with services(workspace, 2) as (first, second), asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.gather(first.index("one"), second.index("two"))
    assert await workspace.differences() == []
    ((blobs, versions),) = await workspace.rows("select (select count(*) from blob), (select count(*) from version)")
    assert (blobs, versions) == (40, 80)


async def test_a_collection_purged_while_it_is_indexed(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "_BATCH_FILES", 5)
    fill(workspace, 100)
    async with services(workspace, 2) as (indexer, remover), asyncio.timeout(PATIENCE_SECONDS):
        run = asyncio.create_task(indexer.index())
        await eventually(workspace, "select 1 from version limit 1")
        folder = workspace.lexical_folder(await workspace.uid())
        await remover.skep.knowledge.purge(workspace.who, "project", None)
        with pytest.raises(CollectionGoneError):
            await run
        for table in (
            "collection",
            "source",
            "document",
            "version",
            "placement",
            "symbol",
            "mention",
            "blob",
            "chunk",
            "follower",
        ):
            assert await workspace.rows(f"select * from {table}") == [], table
        assert not folder.exists()
        with pytest.raises(NothingIndexedError):
            await workspace.search("function")
        await indexer.index()
    await workspace.assert_true()


async def test_search_goes_on_while_indexing(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "_BATCH_FILES", 5)
    workspace.write("first.py", "def pelican(): pass\n")
    await workspace.index()
    fill(workspace, 100)
    async with services(workspace, 2) as (indexer, searcher), asyncio.timeout(PATIENCE_SECONDS):
        run = asyncio.create_task(indexer.index())
        behind = 0
        while not run.done():
            response = await searcher.skep.knowledge.search(workspace.who, SearchRequest(query="pelican"))
            assert [result.path for result in response.results] == ["first.py"]
            behind += bool(response.behind)
            await asyncio.sleep(0.005)
        await run
        response = await searcher.skep.knowledge.search(workspace.who, SearchRequest(query="function_99"))
        assert (response.behind, response.results[0].path) == ((), "src/module_99.py")
    assert behind > 0


async def test_a_version_is_not_expired_while_its_passages_are_copied(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A donor that vanished between being chosen and being copied would leave a file without passages."""
    workspace.write("one/a.py", "def heron(): pass\n")
    workspace.write("two/keep.py", "def gull(): pass\n")
    await workspace.index("one")
    await workspace.index("two")
    (workspace.folder / "one/a.py").unlink()
    await workspace.index("one")
    number = await workspace.collection_id("one")
    choose = storing._fetch_donors
    expiring: list[asyncio.Task[int]] = []

    async def interrupted(connection: Connection, target: Target, files: list[PreparedFile]) -> storing.Donors:
        donors = await choose(connection, target, files)
        assert donors
        bound = {"project_id": workspace.who.project_id, "collection_id": number}
        expiring.append(asyncio.create_task(expire(workspace.skep.database, **bound, keep=timedelta())))
        await asyncio.sleep(0.3)
        return donors

    monkeypatch.setattr(storing, "_fetch_donors", interrupted)
    workspace.write("two/b.py", "def heron(): pass\n")
    report = await workspace.index("two")
    assert (report.chunks_new, report.chunks_reused) == (0, 1)
    assert await expiring[0] == 1
    monkeypatch.undo()
    assert await workspace.paths("heron") == {"b.py"}
    assert await workspace.differences() == []


async def test_contents_collected_after_they_were_seen_are_cut_again(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.write("a.py", "def heron(): pass\n")
    await workspace.index()
    (workspace.folder / "a.py").unlink()
    await workspace.index()
    look = indexing._fetch_stored
    bound = {"project_id": workspace.who.project_id, "collection_id": await workspace.collection_id("project")}

    async def look_and_collect(
        database: Database, target: Target, sizes: Collection[int]
    ) -> dict[int, frozenset[StoredContent]]:
        seen = await look(database, target, sizes)
        assert len(seen) == 1
        assert await expire(workspace.skep.database, **bound, keep=timedelta()) == 1
        return seen

    monkeypatch.setattr(indexing, "_fetch_stored", look_and_collect)
    workspace.write("b.py", "def heron(): pass\n")
    report = await workspace.index()
    assert (report.files_added, report.chunks_new) == (1, 1)
    monkeypatch.undo()
    await workspace.assert_true()


@pytest.mark.no_cover
async def test_contents_that_come_and_go_under_two_indexers(database_url: str, tmp_path: Path) -> None:
    """Nothing is kept, so each run collects what the other one may be about to use again."""
    settings = settings_for(database_url, tmp_path / "data", index=IndexSettings(jobs=1, retention_days=0))
    random_ = random.Random(7)
    async with open_workspace(None, tmp_path, settings) as workspace, services(workspace, 2) as pair:
        for folder in ("one", "two"):
            workspace.write(f"{folder}/keep.txt", "keep\n")
        for _ in range(by_level(3, 8)):
            for folder in ("one", "two"):
                for name in random_.sample("abcdef", 4):
                    workspace.write(f"{folder}/{name}.py", f"def heron_{random_.randrange(3)}(): pass\n")
                for file in random_.sample(sorted((workspace.folder / folder).glob("*.py")), 2):
                    file.unlink()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await asyncio.gather(pair[0].index("one"), pair[1].index("two"))
            assert await workspace.differences() == []
        ((unused,),) = await workspace.rows(
            "select count(*) from chunk c where not exists (select from placement where chunk_sha256 = c.sha256)"
        )
        assert unused == 0


async def test_an_old_observation_changes_nothing(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that read a file, was stopped, and goes on after somebody stored what the file is now."""
    workspace.write("a.py", "def early_heron(): pass\n")
    workspace.write("gone.py", "def early_gull(): pass\n")
    await workspace.index()
    has_read, may_go_on = asyncio.Event(), asyncio.Event()
    store = storing.store_files

    async def stopped(database: Database, target: Target, files: Iterable[PreparedFile], counts: object) -> object:
        if not has_read.is_set():
            has_read.set()
            await may_go_on.wait()
        return await store(database, target, list(files), counts)  # type: ignore[arg-type]

    monkeypatch.setattr(indexing, "store_files", stopped)
    workspace.write("a.py", "def middle_heron(): pass\n")
    (workspace.folder / "gone.py").unlink()
    zombie = asyncio.create_task(workspace.index())
    await has_read.wait()
    monkeypatch.setattr("skep.knowledge.service._WRITER_WAIT_SECONDS", 0.1)
    workspace.write("a.py", "def late_heron(): pass\n")
    workspace.write("gone.py", "def late_gull(): pass\n")
    async with services(workspace, 1) as (other,):
        with pytest.raises(Exception, match="writing the lexical index"):
            await other.index()
    may_go_on.set()
    await zombie
    assert await workspace.paths("heron") == {"a.py"}
    assert await workspace.paths("gull") == {"gone.py"}
    await workspace.assert_true()


@pytest.mark.parametrize("offset_seconds", [3600, 10 * 365 * 86_400])
async def test_a_clock_that_was_set_back_does_not_freeze_files(workspace: Workspace, offset_seconds: int) -> None:
    workspace.write("a.py", "def early_heron(): pass\n")
    workspace.write("b.py", "def early_gull(): pass\n")
    await workspace.index()
    await workspace.execute("update document set observed_ns = observed_ns + %(ns)s", ns=offset_seconds * 10**9)
    workspace.write("a.py", "def late_heron(): pass\n")
    (workspace.folder / "b.py").unlink()
    await workspace.index()
    assert await workspace.paths("early_gull") == set()
    await workspace.assert_true()


async def test_searches_at_once_count_what_they_keep_once(workspace: Workspace) -> None:
    fill(workspace, 10)
    await workspace.index()
    describer = Describer(workspace.skep.database)
    ids = [int(str(row[0])) for row in await workspace.rows("select version_id from version")]
    described = await asyncio.gather(*(describer.describe(workspace.who, ids) for _ in range(5)))
    assert described[0] == described[4]
    assert describer.cached_passages == sum(map(len, described[0].values()))


async def test_what_is_kept_of_passages_is_bounded(workspace: Workspace) -> None:
    fill(workspace, 10)
    await workspace.index()
    describer = Describer(workspace.skep.database, cached_passages=4)
    for row in await workspace.rows("select version_id from version"):
        assert await describer.describe(workspace.who, [int(str(row[0]))])
    assert 0 < describer.cached_passages <= 4


async def test_a_disk_that_cannot_be_written_does_not_stop_search(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(workspace, 3)
    await workspace.index()
    async with services(workspace, 1) as (searcher,):
        assert len(await searcher.paths("total_1")) == 3
        await workspace.execute("update collection set last_seq = last_seq + 1")

        def fail(self: LexicalWriter) -> None:
            raise LexicalWriteError(folder=workspace.folder, reason="No space left on device")

        monkeypatch.setattr(LexicalWriter, "acquire", fail)
        response = await searcher.search("total_1")
    assert (response.results[0].path, len(response.results)) == ("src/module_1.py", 3)
    assert len(response.behind) == 1


async def test_a_server_lets_go_of_the_files_of_what_another_process_purged(workspace: Workspace) -> None:
    fill(workspace, 3)
    await workspace.index()
    folder = str(workspace.lexical_folder(await workspace.uid()))
    maps = Path("/proc/self/maps")
    async with services(workspace, 2) as (searcher, remover):
        assert await searcher.paths("total_1")
        assert folder in maps.read_text()
        await remover.skep.knowledge.purge(workspace.who, "project", None)
        with pytest.raises(NothingIndexedError):
            await searcher.search("total_1")
        gc.collect()
        assert folder not in maps.read_text()


async def test_what_was_known_is_used_only_as_long_as_it_holds(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search begins before the database says how fresh the index is, and begins again when it was not."""
    asked: list[int] = []
    candidates = Searcher._candidates

    def counted(self: Searcher, question: Question, request: SearchRequest, views: Sequence[View]) -> object:
        asked.append(views[0].applied_seq)
        return candidates(self, question, request, views)

    monkeypatch.setattr(Searcher, "_candidates", counted)
    workspace.write("a.py", "def heron(): pass\n")
    await workspace.index()
    assert await workspace.paths("heron") == await workspace.paths("heron") == {"a.py"}
    assert asked == [1, 1]
    async with services(workspace, 1) as (other,):
        workspace.write("b.py", "def heron(): return 2\n")
        (workspace.folder / "a.py").unlink()
        await other.index()
        assert await workspace.paths("heron") == {"b.py"}
        assert asked == [1, 1, 1, 3]
        assert (await workspace.search("heron")).behind == ()
        await other.skep.knowledge.purge(workspace.who, "project", None)
        with pytest.raises(NothingIndexedError):
            await workspace.search("heron")
