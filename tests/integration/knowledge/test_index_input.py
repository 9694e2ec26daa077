"""Files of every bad kind: each is told by path and reason, and the rest goes on."""

from __future__ import annotations

import asyncio
import codecs
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from skep.knowledge import (
    IndexReport,
    ParserStartError,
    indexing,
    parsing,
)
from skep.knowledge.walking import RootIsFileError, RootMissingError
from skep.settings import IndexSettings, SearchSettings
from tests.levels import by_level
from tests.workspace import Workspace, open_workspace, settings_for

GOOD = "def heron(): pass\n"

LINE_MB = by_level(5, 50)
"""Of a line that is far beyond the usual limit for a file."""


@pytest.fixture(autouse=True)
def parsers() -> None:
    """As shipped: what hostile input does to them is seen here."""


def reasons(report: IndexReport) -> dict[str, str]:
    """Everything a run tells about single files."""
    return {file.path: file.reason for file in (*report.files_failed, *report.notices)}


Make = Callable[[Path], object]

TEXTS: dict[str, tuple[bytes, str | None]] = {
    "good.py": (GOOD.encode(), None),
    "empty.py": (b"", None),
    "blank.py": (b" \n\t\n", None),
    "utf16.py": (codecs.BOM_UTF16_LE + GOOD.encode("utf-16-le"), "read as utf-16-le"),
    "utf16be.txt": (codecs.BOM_UTF16_BE + "pelican grün".encode("utf-16-be"), "read as utf-16-be"),
    "bom.py": (codecs.BOM_UTF8 + GOOD.encode(), None),
    "broken.txt": ("pelican grün über Höfe\n".encode() * 20 + b"\xff\xfe\xfa", "3 places replaced"),
    "latin.txt": ("pelican grün\n".encode("cp1252") * 3, "windows-1252"),
    "nul.txt": (b"pelican\x00heron\n" * 5, "binary"),
    "binary.txt": (bytes(range(256)) * 8, "binary"),
    "deep.py": (b"(" * 100_000 + b")" * 100_000, None),
    "deep.json": (b"[\n" * 100_000 + b"]\n" * 100_000, None),
    "deep.c": (b"{" * 100_000, None),
    "deep.md": (b"> " * 50_000 + b"pelican\n", None),
    "surrogate.txt": (b"pelican \xed\xa0\x80 heron\n" * 3, "replaced"),
    "many_lines.txt": (b"\n" * 500_000, None),
    "carriage.txt": (b"pelican\rheron\rgull\r", None),
}


@pytest.mark.no_cover
async def test_texts_of_every_kind(workspace: Workspace) -> None:
    for name, (data, _) in TEXTS.items():
        workspace.write(name, data)
    report = await workspace.index()
    said = {path: reason.lower() for path, reason in reasons(report).items()}
    for name, (_, reason) in TEXTS.items():
        assert (reason is None) == (name not in said), (name, said.get(name))
        assert reason is None or reason in said[name], said[name]
    assert report.files_failed == ()
    assert await workspace.paths("heron") >= {"good.py", "utf16.py", "bom.py", "carriage.txt"}
    assert await workspace.paths("pelican") >= {"latin.txt", "broken.txt", "deep.md", "utf16be.txt"}
    await workspace.assert_true()
    again = await workspace.index()
    assert (again.files_added, again.files_changed) == (0, 0)


NAMES = (
    b"line\nbreak.py",
    b"tab\t.py",
    b"bell\a.py",
    b"not utf8 \xff\xfe.py",
    b"back\\slash.py",
    b"quote'\".py",
    b"percent%20%s.py",
    b"dollar$(HOME)`.py",
    b"-rf.py",
    b" leading and trailing .py",
    "ünïcode 漢字.py".encode(),
    "right\u202eto left.py".encode(),
    b"a" * 250 + b".py",
)


async def test_names_of_every_kind(workspace: Workspace) -> None:
    for number, name in enumerate(NAMES):
        folder = os.fsencode(workspace.folder) + b"/" + (name if number % 2 else b"plain")
        os.makedirs(folder, exist_ok=True)
        with open(folder + b"/" + name, "wb") as file:
            file.write(b"def heron_%d(): pass\n" % number)
    report = await workspace.index()
    assert (report.files_added, report.files_failed) == (len(NAMES), ())
    found = {result.path for result in (await workspace.search("heron")).results}
    assert len(found) == len(NAMES)
    assert r"not utf8 \xff\xfe.py/not utf8 \xff\xfe.py" in found
    await workspace.assert_true()
    for path in found:
        removed = await workspace.skep.knowledge.purge(workspace.who, "project", path)
        assert removed.documents == 1
    assert (await workspace.index()).files_added == len(NAMES)


async def test_places_that_are_no_file(workspace: Workspace) -> None:
    workspace.write("good.py", GOOD)
    outside = workspace.folder.parent / "outside.py"
    outside.write_text("def pelican(): pass\n")
    (workspace.folder / "loop").symlink_to("loop")
    (workspace.folder / "around").symlink_to(workspace.folder)
    (workspace.folder / "outside.py").symlink_to(outside)
    (workspace.folder / "nowhere").symlink_to("/nonexistent")
    os.mkfifo(workspace.folder / "fifo.py")
    (workspace.folder / "empty folder").mkdir()
    with (workspace.folder / "huge.txt").open("wb") as huge:
        huge.truncate(1 << 30)
    said = reasons(report := await workspace.index())
    assert said.keys() == {"loop", "outside.py", "nowhere", "fifo.py", "huge.txt"}
    assert "1,073,741,824 bytes are over the limit" in said["huge.txt"]
    assert report.files_skipped == {"link": 4, "special": 1, "symlink_broken": 2, "symlink_outside": 1, "too_large": 1}
    assert await workspace.paths("heron pelican") == {"good.py"}


@pytest.fixture
async def generous(database_url: str, tmp_path: Path) -> AsyncIterator[Workspace]:
    """Skep with the limits raised."""
    index = IndexSettings(jobs=1, max_file_bytes=1 << 30, include_generated=True)
    settings = settings_for(
        database_url, tmp_path / "data", index=index, search=SearchSettings(max_query_bytes=1 << 24)
    )
    async with open_workspace(None, tmp_path, settings) as opened:
        yield opened


@pytest.mark.timeout(120)
@pytest.mark.no_cover
async def test_a_line_of_many_mb_with_a_raised_limit(generous: Workspace) -> None:
    generous.write("long.txt", b"pelican " * 2 + b"x" * (LINE_MB << 20) + b" curlew")
    generous.write("good.py", GOOD)
    report = await generous.index()
    assert (report.files_added, report.files_failed) == (2, ())
    assert await generous.paths("pelican") == {"long.txt"}
    assert await generous.paths("heron") == {"good.py"}
    assert await generous.differences() == []


@pytest.mark.serial
async def test_a_query_of_1_mb_with_a_raised_limit(generous: Workspace) -> None:
    generous.write("good.py", GOOD)
    await generous.index()
    async with asyncio.timeout(10):
        assert await generous.paths("word " * 200_000 + "heron") == {"good.py"}
        assert await generous.paths("heron" + "(" * (1 << 20)) == {"good.py"}
        assert await generous.paths(" ".join(f"w{n}" for n in range(150_000))) == set()


async def test_a_file_that_takes_more_memory_than_a_worker_may_have(
    generous: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    generous.write("huge.txt", b"")
    os.truncate(generous.folder / "huge.txt", (1 << 30) - 10)
    generous.write("good.py", GOOD)
    report = await generous.index()
    (failed,) = report.files_failed or report.notices
    assert failed.path == "huge.txt"
    assert await generous.paths("heron") == {"good.py"}


async def test_paths_that_cannot_be_indexed(workspace: Workspace) -> None:
    for path, error in (("nothing", RootMissingError), ("file.py", RootIsFileError)):
        workspace.folder.joinpath("file.py").write_text(GOOD)
        with pytest.raises(error):
            await workspace.index(path)
    workspace.folder.joinpath("file.py").unlink()
    report = await workspace.index()
    assert (report.files_seen, report.chunks_total) == (0, 0)
    workspace.write("a/b.py", GOOD)
    with pytest.raises(RootMissingError):
        await workspace.index("a/typo.py")
    assert (await workspace.index("a/b.py")).files_added == 1
    (workspace.folder / "a/b.py").unlink()
    assert (await workspace.index("a/b.py")).files_removed == 1
    assert (await workspace.index("a/b.py")).files_removed == 0
    shutil.rmtree(workspace.folder)
    with pytest.raises(RootMissingError):
        await workspace.index()


async def test_a_folder_that_vanishes_during_the_run_is_no_reason_to_forget_it(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        workspace.write(f"old_{number}.py", f"def heron_{number}(): pass\n")
    await workspace.index()
    look = indexing._fetch_stored

    async def look_and_lose(*arguments: object) -> object:
        workspace.folder.rename(workspace.folder.with_name("away"))
        return await look(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(indexing, "_fetch_stored", look_and_lose)
    for number in range(20):
        workspace.write(f"old_{number}.py", f"def gull_{number}(): pass\n")
    with pytest.raises(RootMissingError):
        await workspace.index()
    assert len(await workspace.paths("heron")) == 20
    assert await workspace.differences() == []
    workspace.folder.with_name("away").rename(workspace.folder)
    monkeypatch.undo()
    await workspace.index()
    await workspace.assert_true()


async def test_files_that_vanish_between_walk_and_read(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace.write("a.py", GOOD)
    workspace.write("sub/b.py", GOOD)
    await workspace.index()
    workspace.write("a.py", GOOD + "# changed\n")
    workspace.write("sub/b.py", GOOD + "# changed\n")
    look = indexing._fetch_stored

    async def look_and_lose(*arguments: object) -> object:
        (workspace.folder / "a.py").unlink()
        shutil.rmtree(workspace.folder / "sub")
        return await look(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(indexing, "_fetch_stored", look_and_lose)
    report = await workspace.index()
    assert (report.files_removed, report.files_failed) == (2, ())
    assert await workspace.paths("heron") == set()


@pytest.mark.parametrize("moment", [2**31, 2**33, 2**40, -(2**33)], ids=lambda moment: f"{moment:g}")
async def test_files_from_any_time(workspace: Workspace, moment: int) -> None:
    """What the file system keeps of such a time differs; whatever it is, it must not stop the run."""
    file = workspace.write("a.py", GOOD)
    os.utime(file, (moment, moment))
    assert (await workspace.index()).files_added == 1
    assert await workspace.paths("heron") == {"a.py"}
    await workspace.assert_true()


async def test_a_file_from_later_than_any_calendar(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace.write("a.py", GOOD)
    await workspace.index()
    await workspace.execute("update document set mtime_ns = 9223372036854775807, ctime_ns = -9223372036854775807")
    assert (await workspace.index()).files_unchanged == 1
    await workspace.assert_true()


def parser_pids() -> list[int]:
    """The parse workers of this process."""
    return [child.pid for child in psutil.Process().children() if "run_parse_worker.py" in " ".join(child.cmdline())]


@pytest.mark.no_cover
async def test_a_parser_that_is_killed_once_costs_no_file(workspace: Workspace) -> None:
    for number in range(300):
        workspace.write(f"f{number}.py", f"def heron_{number}(): pass\n" * 20)
    killed: set[int] = set()

    def kill_now_and_then(phase: str, done: int, total: int) -> None:
        if done % 70 == 1:
            for pid in parser_pids():
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)

    report = await workspace.skep.knowledge.index(workspace.who, workspace.folder, jobs=1, report=kill_now_and_then)
    assert len(killed) >= 2
    assert (report.files_added, report.files_failed) == (300, ())
    await workspace.assert_true()


HOSTILE = """
import os, signal, time
from skep.knowledge import parse_worker, preparing
cut = preparing.prepare_file
def hostile(root, entry, options, stored):
    if entry.path == "crash.py":
        os.kill(os.getpid(), signal.SIGSEGV)
    if entry.path == "hang.py":
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))
        time.sleep(60)
    if entry.path == "memory.py":
        bytes(3 << 30)
    if entry.path == "nonsense.py":
        os.write(1, b"\\0\\0\\0\\2xx")
    if entry.path == "bug.py":
        raise RuntimeError("unforeseen")
    return cut(root, entry, options, stored)
parse_worker.prepare_file = hostile
parse_worker.main()
"""


@pytest.mark.no_cover
async def test_files_that_crash_or_hang_the_parser(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runner = tmp_path / "hostile.py"
    real = Path(parsing.__file__).with_name("run_parse_worker.py").read_text()
    start, _, _ = real.partition("if __name__")
    place = str(Path(parsing.__file__).parent)
    runner.write_text(
        start.replace("os.path.dirname(os.path.abspath(__file__))", repr(place)) + "_enter_packages()" + HOSTILE
    )
    monkeypatch.setattr(parsing, "_RUNNER", runner)
    monkeypatch.setattr(parsing, "_FILE_TIMEOUT_SECONDS", 4.0)
    hostile = ("crash.py", "hang.py", "memory.py", "nonsense.py", "bug.py")
    for name in hostile:
        workspace.write(name, GOOD)
    workspace.write("good.py", GOOD)
    report = await workspace.index()
    said = reasons(report)
    assert said.keys() == set(hostile), said
    assert said["crash.py"] == "parser_crashed: the process that cut it ended with signal 11"
    assert said["hang.py"] == "parser_timeout: not cut within 4 s"
    assert said["memory.py"] == "parser_crashed: it takes more than 2 GiB of memory"
    assert said["nonsense.py"].startswith("parser_crashed")
    assert said["bug.py"] == "parser_crashed: the process that cut it ended with exit code 1"
    assert {file.path for file in report.files_failed} == set(hostile)
    assert await workspace.paths("heron") == {"good.py"}
    assert parser_pids() == []
    monkeypatch.undo()
    assert (await workspace.index()).files_added == len(hostile)
    await workspace.assert_true()


async def test_a_file_that_became_unreadable_is_not_findable_any_more(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.write("a.py", GOOD)
    await workspace.index()
    workspace.write("a.py", bytes(range(256)))
    report = await workspace.index()
    assert (report.files_removed, reasons(report)) == (1, {"a.py": "binary"})
    assert await workspace.paths("heron") == set()
    await workspace.assert_true()


async def test_the_folder_that_is_indexed_is_never_imported_from(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`python -m` would take modules from the current folder first: any repository could run its code in the parser."""
    for name in ("resource", "zlib", "tree_sitter", "dataclasses", "skep"):
        workspace.write(f"{name}.py", f"open({str(workspace.folder.parent / 'hacked')!r}, 'w')\nraise SystemExit(3)\n")
    monkeypatch.chdir(workspace.folder)
    report = await workspace.index()
    assert (report.files_added, report.files_failed) == (5, ())
    assert not (workspace.folder.parent / "hacked").exists()


async def test_a_parser_that_cannot_be_started_is_said(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace.write("a.py", GOOD)
    monkeypatch.setattr("sys.executable", "/nonexistent/python")
    with pytest.raises(ParserStartError, match="No such file"):
        await workspace.index()
    monkeypatch.undo()
    await workspace.index()
    await workspace.assert_true()
