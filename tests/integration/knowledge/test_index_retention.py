"""What was replaced or deleted is kept for its time and no longer, also where nobody indexes any more; times are followed."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from skep.app import chores
from skep.knowledge import SearchRequest, retention
from skep.settings import IndexSettings
from tests.workspace import Workspace, open_workspace, settings_for

TIME_PASSES = "update version set removed_at = removed_at - interval '8 days'"


@pytest.fixture(autouse=True)
def _forget_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The change log is not kept for those who are told of changes."""
    monkeypatch.setattr(retention, "KEEP_CHANGES", timedelta(0))


async def contents(workspace: Workspace) -> list[str]:
    """Every original's passages that are stored anywhere, of whichever project."""
    return [str(text) for (text,) in await workspace.rows("select trim(text) from chunk order by text")]


async def fill(workspace: Workspace) -> None:
    """Two collections; a file of the first was deleted more than a week ago."""
    for path in ("one/a.py", "one/b.py", "two/c.py"):
        workspace.write(path, f"# {path}\n")
    await workspace.index("one")
    await workspace.index("two")
    (workspace.folder / "one/a.py").unlink()
    await workspace.index("one")
    assert len(await contents(workspace)) == 3
    await workspace.execute(TIME_PASSES)


async def test_a_run_expires_the_other_collections_of_its_project_too(workspace: Workspace) -> None:
    await fill(workspace)
    await workspace.index("two")
    assert [text.strip() for text in await contents(workspace)] == ["# one/b.py", "# two/c.py"]
    assert len(await workspace.rows("select * from document")) == 2
    assert await workspace.differences() == []


async def test_a_collection_that_was_forgotten_expires_without_being_indexed(workspace: Workspace) -> None:
    await fill(workspace)
    await workspace.skep.knowledge.forget(workspace.who, "one", None)
    assert [text.strip() for text in await contents(workspace)] == ["# one/b.py", "# two/c.py"]
    await workspace.execute(TIME_PASSES)
    await workspace.skep.knowledge.forget(workspace.who, "two", None)
    assert [text.strip() for text in await contents(workspace)] == ["# two/c.py"]


async def test_nothing_is_kept_if_nothing_shall_be(database_url: str, tmp_path: Path) -> None:
    settings = settings_for(database_url, tmp_path / "data", index=IndexSettings(jobs=1, retention_days=0))
    async with open_workspace(None, tmp_path, settings) as workspace:
        workspace.write("a.py", "def heron(): pass\n")
        await workspace.index()
        await workspace.skep.knowledge.forget(workspace.who, "project", None)
        assert await contents(workspace) == []
        assert await workspace.differences() == []
        await workspace.index()
        await workspace.assert_true()


async def test_the_workers_chores_expire_every_project(workspace: Workspace) -> None:
    stranger = await workspace.new_principal()
    workspace.write("mine/a.py", "# mine\n")
    workspace.write("theirs/a.py", "# theirs\n")
    await workspace.index("mine")
    await workspace.index("theirs", who=stranger)
    for who, name in ((workspace.who, "mine"), (stranger, "theirs")):
        await workspace.skep.knowledge.forget(who, name, None)
    await workspace.execute(TIME_PASSES)
    for chore in chores(workspace.skep):
        await chore()
    assert await contents(workspace) == []
    assert await workspace.rows("select * from document") == []
    assert await workspace.rows("select * from change_log") == []


@pytest.mark.parametrize("seconds", [1_000_000_000, 3_000_000_000, -5])
async def test_a_touched_file_is_found_by_its_new_time(workspace: Workspace, seconds: int) -> None:
    """Its content is the same, so that no new version is made of it."""
    for name in ("a.py", "b.py"):
        workspace.write(name, "def heron(): pass\n")
    await workspace.index()
    os.utime(workspace.folder / "a.py", (seconds, seconds))
    report = await workspace.index()
    assert (report.files_changed, report.files_unchanged, report.chunks_new) == (0, 2, 0)
    clamped = max(0, seconds)
    for since, until, expected in (
        (clamped, clamped, {"a.py"}),
        (clamped + 1, 2_900_000_000, {"b.py"} if seconds < 2e9 else set()),
    ):
        request = SearchRequest("heron", modified_since=since, modified_until=until)
        found = await workspace.skep.knowledge.search(workspace.who, request)
        assert {result.path for result in found.results} == expected
    assert len(await workspace.rows("select * from version")) == 2
    await workspace.assert_true()
    before = await workspace.rows("select last_seq from collection where project_id = 1")
    os.utime(workspace.folder / "a.py", ns=(0, seconds * 10**9 + 5))
    await workspace.index()
    assert await workspace.rows("select last_seq from collection where project_id = 1") == before, "the same second"
