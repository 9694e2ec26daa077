"""Watching a real folder: whatever is done to it is searchable soon, exactly as after an index run."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from skep.knowledge import WatchOptions
from skep.knowledge.watching import InotifyEvents, WatchLimitError
from skep.knowledge.watching.notify import NotifyEvents
from tests.levels import full
from tests.watching import USUAL, Watched, eventually, watching
from tests.workspace import Workspace


def _setup(workspace: Workspace) -> None:
    workspace.write("src/one.py", "def aardvark():\n    return 1\n")
    workspace.write("src/deep/two.py", "def buffalo():\n    return 2\n")
    workspace.write("notes.md", "# Notes\n\nAbout the walrus.\n")
    workspace.write(".gitignore", "*.log\nbuild/\n")


def _edit(folder: Path) -> None:
    (folder / "src/one.py").write_text("def cormorant():\n    return 1\n")


def _replace_as_editors_do(folder: Path) -> None:
    (folder / "src/.one.py.swp").write_text("def cormorant():\n    return 1\n")
    (folder / "src/.one.py.swp").rename(folder / "src/one.py")


def _delete(folder: Path) -> None:
    (folder / "src/deep/two.py").unlink()


def _delete_folder(folder: Path) -> None:
    shutil.rmtree(folder / "src")


def _rename(folder: Path) -> None:
    (folder / "src/one.py").rename(folder / "src/uno.py")


def _change_case(folder: Path) -> None:
    (folder / "src/one.py").rename(folder / "src/One.py")


def _move_folder_and_edit_inside(folder: Path) -> None:
    (folder / "src").rename(folder / "lib")
    (folder / "lib/deep/two.py").write_text("def dolphin():\n    return 2\n")


def _move_folder_out(folder: Path) -> None:
    (folder / "src").rename(folder.parent / "elsewhere")


def _make_folders(folder: Path) -> None:
    (folder / "a/b/c").mkdir(parents=True)
    (folder / "a/b/c/new.py").write_text("def elephant():\n    return 3\n")


def _ignore_more(folder: Path) -> None:
    (folder / ".gitignore").write_text("*.log\nbuild/\ndeep/\n")


def _ignore_less(folder: Path) -> None:
    (folder / "trace.log").write_text("a walrus was seen\n")
    (folder / ".gitignore").unlink()


def _exclude(folder: Path) -> None:
    (folder / ".git/info").mkdir(parents=True)
    (folder / ".git/info/exclude").write_text("deep/\n")


def _mark_as_cache(folder: Path) -> None:
    (folder / "src/deep/CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55\n")


def _replace_folder_by_file(folder: Path) -> None:
    shutil.rmtree(folder / "src")
    (folder / "src").write_text("a plain file now\n")


def _link_in_a_circle(folder: Path) -> None:
    (folder / "src/deep/loop").symlink_to(folder / "src", target_is_directory=True)
    (folder / "outside").symlink_to("/etc", target_is_directory=True)
    _edit(folder)


def _add_secret(folder: Path) -> None:
    (folder / ".env").write_text("PASSWORD=hunter2walrus\n")
    (folder / "src/key.py").write_text("# no secret\n")


def _touch(folder: Path) -> None:
    os.utime(folder / "src/one.py", (1_000_000_000, 1_000_000_000))


def _name_oddly(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/odd\\\xff\n.py")).write_text("def flamingo():\n    return 1\n")


CHANGES = (
    _replace_as_editors_do,
    _delete_folder,
    _move_folder_and_edit_inside,
    _ignore_less,
    _replace_folder_by_file,
    _name_oddly,
    *map(
        full,
        (
            _edit,
            _delete,
            _rename,
            _change_case,
            _move_folder_out,
            _make_folders,
            _ignore_more,
            _exclude,
            _mark_as_cache,
            _link_in_a_circle,
            _add_secret,
            _touch,
        ),
    ),
)


async def _is_true(workspace: Workspace) -> bool:
    return await workspace.state() == await workspace.clean_state() and await workspace.differences() == []


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.strip("_"))
async def test_what_is_watched_equals_a_build_from_scratch(
    workspace: Workspace, change: Callable[[Path], None]
) -> None:
    _setup(workspace)
    await workspace.index()
    before = await workspace.state()
    async with watching(workspace) as watched:
        change(workspace.folder)
        await eventually(lambda: _is_true(workspace))
        if change is not _exclude:
            assert await workspace.state() != before
        # And it goes on being watched, where it is now.
        workspace.write("afterwards.py", "def gazelle():\n    return 4\n")
        for folder in sorted({Path(root) for root, _, _ in os.walk(workspace.folder) if ".git" not in root}):
            (folder / "later.py").write_text(f"# {folder.name}\ndef heron():\n    return 5\n")
        await eventually(lambda: _is_true(workspace))
        assert watched.notices == []


@pytest.mark.parametrize(
    "change",
    [
        _move_folder_and_edit_inside,
        _ignore_more,
        *map(full, (_edit, _delete_folder, _make_folders, _exclude, _mark_as_cache)),
    ],
)
async def test_events_of_other_systems_lead_to_the_same(workspace: Workspace, change: Callable[[Path], None]) -> None:
    """What macOS uses; it works here, too."""
    _setup(workspace)
    workspace.write("node_modules/pkg/index.js", "let a = 1\n")
    await workspace.index()
    async with watching(workspace, replace(USUAL, open_events=NotifyEvents)) as watched:
        change(workspace.folder)
        await eventually(lambda: _is_true(workspace))
        workspace.write("afterwards.py", "def gazelle():\n    return 4\n")
        await watched.until_found("gazelle", "afterwards.py")
        await watched.until_still()
        begun = len(watched.looks)
        workspace.write("node_modules/pkg/other.js", "let b = 2\n")
        await asyncio.sleep(0.3)
        assert watched.looks[begun:] == []
        assert watched.notices == []


async def test_a_start_catches_up(workspace: Workspace) -> None:
    _setup(workspace)
    await workspace.index()
    _edit(workspace.folder)
    _delete(workspace.folder)
    async with watching(workspace):
        assert await workspace.paths("cormorant") == {"src/one.py"}
        assert await workspace.paths("buffalo") == set()


async def test_git_and_ignored_folders_wake_nobody(workspace: Workspace) -> None:
    _setup(workspace)
    workspace.write("node_modules/pkg/index.js", "let a = 1\n")
    folder = workspace.folder
    subprocess.run(["git", "init", "-q", folder], check=True)
    subprocess.run(["git", "-C", folder, "add", "."], check=True)
    await workspace.index()
    async with watching(workspace) as watched:
        await watched.until_still()
        begun = len(watched.looks)
        subprocess.run(["git", "-C", folder, "status"], check=True, capture_output=True)
        subprocess.run(["git", "-C", folder, "commit", "-qm", "first"], check=True, capture_output=True)
        for number in range(300):
            workspace.write(f"node_modules/pkg/file{number}.js", "let b = 2\n")
        await asyncio.sleep(0.5)
        assert watched.looks[begun:] == []


async def test_a_burst_is_few_runs(workspace: Workspace) -> None:
    _setup(workspace)
    await workspace.index()
    async with watching(workspace) as watched:
        for number in range(1500):
            workspace.write(f"part{number % 40}/module{number}.py", f"def burst_function_{number}():\n    return 1\n")
        await eventually(lambda: _has_files(workspace, 1504), seconds=50)
        await watched.until_still()
        assert len(watched.looks) < 12, watched.looks
        assert await workspace.differences() == []


async def _has_files(workspace: Workspace, files: int) -> bool:
    (status,) = await workspace.skep.knowledge.status(workspace.who)
    return status.files == files


async def test_a_folder_indexed_later_is_watched_and_a_purged_one_let_go(workspace: Workspace) -> None:
    _setup(workspace)
    async with watching(workspace) as watched:
        assert watched.watcher.collections == frozenset()
        await workspace.index()

        async def is_watched() -> bool:
            return watched.watcher.collections == {"project"}

        await eventually(is_watched)
        await watched.watcher.caught_up()
        _edit(workspace.folder)
        await watched.until_found("cormorant", "src/one.py")
        await workspace.skep.knowledge.purge(workspace.who, "project", None)

        async def is_let_go() -> bool:
            return watched.watcher.collections == frozenset()

        await eventually(is_let_go)
        _edit(workspace.folder)
        await asyncio.sleep(0.3)
        assert await workspace.skep.knowledge.status(workspace.who) == ()


async def test_a_root_that_is_gone_is_waited_for_and_not_taken_for_deleted(workspace: Workspace) -> None:
    _setup(workspace)
    await workspace.index()
    folder, away = workspace.folder, workspace.folder.with_name("away")
    async with watching(workspace) as watched:
        folder.rename(away)
        await eventually(lambda: _said(watched, "cannot be looked at now"))
        assert await workspace.paths("aardvark") == {"src/one.py"}
        (away / "src/one.py").write_text("def ibis():\n    return 1\n")
        away.rename(folder)
        await watched.until_found("ibis", "src/one.py")
        _edit(folder)
        await watched.until_found("cormorant", "src/one.py")
        assert any("watched again" in notice for notice in watched.notices)


async def _said(watched: Watched, words: str) -> bool:
    return any(words in notice for notice in watched.notices)


def _no_watches(root: bytes, tell: object) -> InotifyEvents:
    raise WatchLimitError(root=os.fsdecode(root), reason="the system allows no more than 3 folders.")


@pytest.mark.parametrize(
    "options",
    [full(replace(USUAL, use_events=False)), replace(USUAL, open_events=_no_watches)],
    ids=["chosen", "limit"],
)
async def test_polling_finds_the_same(workspace: Workspace, options: WatchOptions) -> None:
    _setup(workspace)
    await workspace.index()
    async with watching(workspace, options) as watched:
        _edit(workspace.folder)
        _make_folders(workspace.folder)
        await watched.until_found("cormorant", "src/one.py")
        await eventually(lambda: _is_true(workspace))
        if options.use_events:
            notice = watched.notices[0]
            assert "looked through every 0.2 s" in notice
            assert "fix: Raise the limits" in notice
        ((method,),) = await workspace.rows("select distinct method from watch")
        assert method == "polling"


async def test_two_watchers_do_no_harm(workspace: Workspace) -> None:
    _setup(workspace)
    await workspace.index()
    async with watching(workspace), watching(workspace):
        for turn in range(10):
            for number in range(20):
                workspace.write(f"module{number}.py", f"def turn_{turn}_of_{number}():\n    return {turn}\n")
            await asyncio.sleep(0.05)
        await eventually(lambda: _is_true(workspace))


async def test_hints_that_the_system_lost_cost_a_look_at_everything(workspace: Workspace) -> None:
    """The queue of the system holds 16,384 events; the loop is kept from reading them."""
    _setup(workspace)
    await workspace.index()
    async with watching(workspace) as watched:
        for number in range(9_000):
            (workspace.folder / f"flood{number % 2}.log").write_text("x")
            (workspace.folder / f"flood{number % 2}.log").unlink()
        _edit(workspace.folder)
        await watched.until_found("cormorant", "src/one.py")
        assert await _said(watched, "more changed")
