"""The lexical index follows the change log: nothing lost, nothing doubled, and mended by itself when it is damaged."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from skep.app import knowledge_options
from skep.knowledge import Knowledge, LexicalBusyError, SearchRequest, following, retention, service, storing
from skep.knowledge.following import LexicalFollower
from skep.knowledge.lexical import LexicalWriter
from skep.store import Connection
from tests.workspace import Workspace, quiet


@pytest.fixture(autouse=True)
def _forget_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The change log is not kept for those who are told of changes."""
    monkeypatch.setattr(retention, "KEEP_CHANGES", timedelta(0))


@asynccontextmanager
async def other_node(workspace: Workspace, name: str) -> AsyncIterator[Workspace]:
    """The same database seen from another machine, with a data folder of its own."""
    data = workspace.folder.parent / f"data-of-{name}"
    data.mkdir(exist_ok=True)
    settings = replace(workspace.skep.settings, data_folder=data)
    notices: list[str] = []

    def note(text: str) -> None:
        notices.append(text)

    knowledge = Knowledge(workspace.skep.database, knowledge_options(settings, name), notice=note)
    try:
        skep = replace(workspace.skep, settings=settings, knowledge=knowledge, node=name)
        yield Workspace(skep, workspace.who, workspace.folder, notices)
    finally:
        await knowledge.close()


def follower_of(workspace: Workspace) -> LexicalFollower:
    """What drives the lexical index of this node."""
    folder = workspace.skep.settings.data_folder / "lexical"
    return LexicalFollower(workspace.skep.database, folder, workspace.skep.node, workspace.notices.append)


async def fill(workspace: Workspace, count: int = 5) -> None:
    for number in range(count):
        workspace.write(f"src/module_{number}.py", f"def function_{number}():\n    return 'pelican{number}'\n")
    workspace.write("README.md", "# Title\n\nAbout pelicans.\n\n## Usage\n\nRun it.\n")
    await workspace.index()


async def test_a_transaction_that_began_first_and_commits_last_is_not_lost(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(workspace)
    has_begun, may_go_on = asyncio.Event(), asyncio.Event()
    lock = storing.lock_collection

    async def slowly(connection: Connection, project_id: int, collection_id: int) -> storing.LockedCollection:
        if not has_begun.is_set():
            has_begun.set()
            await may_go_on.wait()
        return await lock(connection, project_id, collection_id)

    monkeypatch.setattr(storing, "lock_collection", slowly)
    monkeypatch.setattr(service, "_WRITER_WAIT_SECONDS", 0.2)
    workspace.write("first/early.py", "def early_heron(): pass\n")
    async with other_node(workspace, "b") as beside:
        slow = asyncio.create_task(workspace.index("first"))
        await has_begun.wait()
        workspace.write("second/late.py", "def late_heron(): pass\n")
        with pytest.raises(LexicalBusyError):  # the slow one holds this node's index; all is stored nevertheless
            await workspace.index("second")
        assert await beside.paths("heron") == {"second/late.py"}
        may_go_on.set()
        await slow
        for node in (workspace, beside):
            assert await node.paths("heron") == {"first/early.py", "second/late.py"}
            assert await node.differences() == []
    await workspace.assert_true()


async def test_a_follower_catches_up_in_small_steps_exactly(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_PAGE_VERSIONS", 2)
    monkeypatch.setattr(following, "_COMMIT_PASSAGES", 3)
    async with other_node(workspace, "b") as beside:
        await fill(workspace)
        assert await beside.differences() == [
            "lexical index: There is no lexical index in " + str(beside.lexical_folder(await beside.uid())) + " yet."
        ]
        assert "src/module_3.py" in await beside.paths("pelican3")
        for turn in range(3):
            for number in range(5):
                workspace.write(
                    f"src/module_{number}.py", f"def function_{number}():\n    return 'stork{turn}x{number}'\n"
                )
            await workspace.index()
            (workspace.folder / f"src/module_{turn}.py").unlink()
            await workspace.index()
        assert await beside.paths("pelican3") == {"README.md"}
        assert "src/module_3.py" in await beside.paths("stork2x3")
        assert await beside.differences() == []
    await workspace.assert_true()


async def test_a_follower_left_behind_by_a_pruned_log_builds_anew(workspace: Workspace) -> None:
    await fill(workspace)
    async with other_node(workspace, "b") as beside:
        await beside.search("pelican")
        await workspace.execute("update follower set seen_at = now() - interval '30 days' where node = 'b'")
        workspace.write("src/module_0.py", "def wholly_other(): return 'bittern'\n")
        await workspace.index()
        assert await workspace.rows("select * from change_log") == []
        assert await beside.paths("bittern") == {"src/module_0.py"}
        assert ["left behind" in notice for notice in beside.notices] == [True]
        assert await beside.differences() == []


async def test_a_log_pruned_under_a_working_follower_loses_nothing(workspace: Workspace) -> None:
    await fill(workspace)
    project, number = workspace.who.project_id, await workspace.collection_id(workspace.folder.name)
    async with (
        other_node(workspace, "b") as beside,
        follower_of(beside).following(project, number, timeout_seconds=1) as advance,
    ):
        # Nobody knows yet that this node follows, so the log is shortened to what the other one needs.
        workspace.write("src/module_0.py", "def wholly_other(): return 'bittern'\n")
        await workspace.index()
        workspace.write("src/module_1.py", "def another(): return 'curlew'\n")
        await workspace.execute("update follower set applied_seq = applied_seq - 1")
        await workspace.index()
        await advance(True)
        assert ["left behind" in notice for notice in beside.notices] == [True]
        workspace.write("src/module_2.py", "def third(): return 'dunlin'\n")
        await workspace.index()
        await advance(True)
        assert await beside.differences() == []
        assert await beside.paths("bittern") == {"src/module_0.py"}


async def test_the_log_is_kept_for_a_living_follower(workspace: Workspace) -> None:
    await fill(workspace)
    async with other_node(workspace, "b") as beside:
        await beside.search("pelican")
        workspace.write("src/module_0.py", "def wholly_other(): return 'bittern'\n")
        await workspace.index()
        assert len(await workspace.rows("select * from change_log")) == 2
        assert await beside.paths("bittern") == {"src/module_0.py"}
        assert beside.notices == []
        await workspace.index()
        assert await workspace.rows("select * from change_log") == []


async def test_replayed_changes_double_nothing(workspace: Workspace) -> None:
    await fill(workspace)
    async with other_node(workspace, "slow") as keeps_the_log:
        await keeps_the_log.search("pelican")
        for turn in range(3):
            workspace.write("src/module_0.py", f"def replaced_{turn}(): return 'bittern'\n")
            await workspace.index()
        folder = workspace.lexical_folder(await workspace.uid())
        with LexicalWriter(folder) as writer:
            applied = writer.applied_seq
            writer.commit(seq=applied - 5)
        assert await workspace.paths("bittern") == {"src/module_0.py"}
        assert await workspace.differences() == []
        assert workspace.notices == []


async def test_an_index_ahead_of_a_restored_database_builds_anew(workspace: Workspace) -> None:
    await fill(workspace)
    with LexicalWriter(workspace.lexical_folder(await workspace.uid())) as writer:
        writer.commit(seq=writer.applied_seq + 100)
    assert "src/module_1.py" in await workspace.paths("pelican1")
    assert ["restored from a backup" in notice for notice in workspace.notices] == [True]
    assert await workspace.differences() == []


def remove_folder(folder: Path) -> None:
    shutil.rmtree(folder)


def empty_folder(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def file_for_folder(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("in the way")


def garbage_pointer(folder: Path) -> None:
    (folder / "current").write_bytes(b"\xff\x00 no json")


def pointer_outside(folder: Path) -> None:
    _point(folder, generation="../../../etc")


def pointer_nowhere(folder: Path) -> None:
    _point(folder, generation="generation-999999")


def other_format(folder: Path) -> None:
    _point(folder, format="layout 0, of long ago")


def _point(folder: Path, **changes: str) -> None:
    pointer = folder / "current"
    pointer.write_text(json.dumps(json.loads(pointer.read_text()) | changes))


def no_meta(folder: Path) -> None:
    (_generation(folder) / "meta.json").unlink()


def garbage_meta(folder: Path) -> None:
    (_generation(folder) / "meta.json").write_text("{}")


def _generation(folder: Path) -> Path:
    (found,) = folder.glob("generation-*")
    return found


DAMAGES = (
    remove_folder,
    empty_folder,
    garbage_pointer,
    pointer_outside,
    pointer_nowhere,
    other_format,
    no_meta,
    garbage_meta,
)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
async def test_a_damaged_index_is_built_anew_and_said(workspace: Workspace, damage: Callable[[Path], None]) -> None:
    await fill(workspace)
    damage(workspace.lexical_folder(await workspace.uid()))
    async with other_node(workspace, "unused"):
        report = await workspace.index()
    assert report.files_unchanged + report.files_changed + report.files_added >= 6
    said = [notice for notice in workspace.notices if "built anew" in notice]
    assert len(said) == (damage is not remove_folder), workspace.notices
    assert "src/module_1.py" in await workspace.paths("pelican1")
    assert await workspace.differences() == []


SUFFIXES = (".idx", ".term", ".fast", ".pos", ".store", ".fieldnorm", ".del")


@pytest.mark.parametrize("how", ["truncated", "gone", "empty"])
async def test_no_broken_segment_file_goes_unnoticed(workspace: Workspace, how: str) -> None:
    """Searched with fresh services each time, as a new command would: nothing is open that could hide the damage."""
    await fill(workspace)
    workspace.write("src/module_0.py", "x = 'so that something is deleted in the index'\n")
    await workspace.index()
    folder = workspace.lexical_folder(await workspace.uid())
    sound = folder.with_name("sound")
    shutil.copytree(folder, sound)
    broken = {path.suffix: path.name for path in _generation(folder).iterdir() if path.suffix in SUFFIXES}
    assert len(broken) >= 5
    for name in broken.values():
        shutil.rmtree(folder)
        shutil.copytree(sound, folder)
        _break(_generation(folder) / name, how)
        async with fresh(workspace) as again:
            assert "src/module_1.py" in await again.paths("pelican1"), name
            assert await again.differences() == [], name
            assert any("built anew" in notice for notice in again.notices), name


def _break(file: Path, how: str) -> None:
    size = file.stat().st_size
    file.unlink()
    if how != "gone":
        file.write_bytes(bytes(size // 2) if how == "truncated" else b"")


@asynccontextmanager
async def fresh(workspace: Workspace) -> AsyncIterator[Workspace]:
    """The same services, opened anew."""
    notices: list[str] = []

    def note(text: str) -> None:
        notices.append(text)

    options = knowledge_options(workspace.skep.settings, workspace.skep.node)
    knowledge = Knowledge(workspace.skep.database, options, notice=note)
    try:
        yield Workspace(replace(workspace.skep, knowledge=knowledge), workspace.who, workspace.folder, notices)
    finally:
        await knowledge.close()


async def test_a_search_tells_what_it_cannot_see_yet(workspace: Workspace) -> None:
    await fill(workspace)
    request = SearchRequest(query="pelican1")
    folder = workspace.lexical_folder(await workspace.uid())
    with LexicalWriter(folder):  # somebody else is writing
        await workspace.execute("update collection set last_seq = last_seq + 3")
        (behind,) = (await workspace.skep.knowledge.search(workspace.who, request)).behind
    assert (behind.collection, behind.last_seq - behind.applied_seq) == ("project", 3)


async def test_a_long_verify_tells_how_far_it_is(workspace: Workspace) -> None:
    await fill(workspace)
    told: list[int] = []

    def report(phase: str, done: int, total: int) -> None:
        told.append(done)

    await workspace.skep.knowledge.verify(workspace.who, "project", report=report)
    assert told == [6]
    await workspace.skep.knowledge.verify(workspace.who, "project", report=quiet)


async def test_a_replaced_document_answers_with_its_former_version_until_the_index_has_the_new_one(
    workspace: Workspace,
) -> None:
    workspace.write("a.py", "def heron(): pass\n")
    await workspace.index()
    with LexicalWriter(workspace.lexical_folder(await workspace.uid())):  # nobody can follow now
        await workspace.execute(
            "insert into version select 2, project_id, collection_id, document_id, blob_sha256, chunker, language, kind, 0,"
            " modified_at from version; update version set removed_at = now() where version_id = 1;"
            " update document set version_id = 2; update collection set last_seq = last_seq + 2"
        )
        response = await workspace.search("heron")
    assert [result.path for result in response.results] == ["a.py"]
    assert len(response.behind) == 1
