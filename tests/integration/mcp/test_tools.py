"""The tools on a real index: what they give, to whom, and what they never give."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from skep.mcp.service import Caller, Tools
from tests.workspace import Workspace

NOT_READABLE = (
    "/etc/passwd",
    "../outside.txt",
    "src/../../outside.txt",
    "link.txt",
    "linked/outside.txt",
    ".env",
    "ignored.py",
    "",
    ".",
    "src",
    "src/\0app.py",
    "src/\ud800.py",
    "a" * 5000,
)


@pytest.fixture
async def filled(workspace: Workspace) -> Workspace:
    outside = workspace.folder.parent / "outside.txt"
    outside.write_text("token = 'hunter2'\n")
    workspace.write(
        "src/app.py", "class RetryPolicy:\n    attempts = 3\n\n\ndef connect(host: str) -> None:\n    print(host)\n"
    )
    workspace.write("src/other.py", "class RetryLimit:\n    attempts = 4\n")
    workspace.write("docs/guide.md", "# Guide\n\nHow a timeout is configured.\n")
    workspace.write(".env", "SECRET=hunter2\n")
    workspace.write(".gitignore", "ignored.py\n")
    workspace.write("ignored.py", "hunter2 = 1\n")
    (workspace.folder / "link.txt").symlink_to(outside)
    (workspace.folder / "linked").symlink_to(outside.parent)
    await workspace.index()
    return workspace


def tools(workspace: Workspace) -> Tools:
    return Tools(workspace.skep.knowledge, default_top_k=10)


async def given(workspace: Workspace, name: str, folder: Path | None = None, **arguments: object) -> str:
    answer = await tools(workspace).call(Caller(workspace.who, folder), name, arguments)
    assert not answer.is_error, answer.text
    return answer.text


async def refused(workspace: Workspace, name: str, folder: Path | None = None, **arguments: object) -> str:
    answer = await tools(workspace).call(Caller(workspace.who, folder), name, arguments)
    assert answer.is_error, answer.text
    assert answer.text.startswith("error: ")
    assert "\nfix: " in answer.text
    # Only the test that makes a tool fail sees that sentence.
    assert name == "status" or "not foreseen" not in answer.text, answer.text
    return answer.text


@pytest.mark.parametrize("path", NOT_READABLE, ids=range(len(NOT_READABLE)))
async def test_what_is_not_indexed_cannot_be_read(filled: Workspace, path: str) -> None:
    for folder in (None, filled.folder, filled.folder / "src", filled.folder.parent):
        said = await refused(filled, "read", folder, path=path)
        assert "hunter2" not in said
        assert "hunter2" not in await refused(filled, "similar", folder, location=f"{path}:1")


async def test_a_file_is_read_by_its_path_however_it_is_written(filled: Workspace) -> None:
    (filled.folder / "alias.py").symlink_to("src/app.py")
    (filled.folder.parent / "other_way").symlink_to(filled.folder)
    for folder, path in (
        (None, "src/app.py"),
        (None, "./src//app.py"),
        (filled.folder, "src/app.py"),
        (filled.folder / "src", "app.py"),
        (filled.folder / "src", "src/app.py"),
        (filled.folder / "docs", "../src/app.py"),
        (filled.folder, str(filled.folder / "src/app.py")),
        (filled.folder.parent / "other_way", "alias.py"),
    ):
        assert "1\tclass RetryPolicy:" in await given(filled, "read", folder, path=path), (folder, path)
        if "alias" not in path and "./" not in path:
            assert "src/other.py" in await given(filled, "similar", folder, location=f"{path}:1")


async def test_reading_tells_of_a_file_that_is_no_longer_so(filled: Workspace) -> None:
    assert "note" not in await given(filled, "read", path="src/app.py")
    file = filled.write("src/app.py", "class Changed:\n    pass\n")
    said = await given(filled, "read", path="src/app.py")
    assert "note: the file on disk has changed" in said
    assert "RetryPolicy" in said
    file.unlink()
    assert "no longer on disk" in await given(filled, "read", path="src/app.py")
    await filled.index()
    await refused(filled, "read", path="src/app.py")


async def test_a_stranger_gets_nothing_of_it(filled: Workspace) -> None:
    stranger = Caller(await filled.new_principal(), filled.folder)
    for name, arguments in (
        ("search", {"query": "RetryPolicy"}),
        ("search", {"query": "RetryPolicy", "collection": "project"}),
        ("similar", {"location": "src/app.py:1"}),
        ("read", {"path": "src/app.py"}),
        ("status", {}),
    ):
        answer = await tools(filled).call(stranger, name, arguments)
        assert "Retry" not in answer.text
        assert "src/app.py" not in answer.text.replace("no document src/app.py", "")
        assert name == "status" or answer.is_error


async def test_the_folder_chooses_the_collection(filled: Workspace, tmp_path: Path) -> None:
    second = tmp_path / "second"
    second.mkdir()
    (second / "only.py").write_text("class RetryElsewhere:\n    attempts = 5\n")
    await filled.skep.knowledge.index(filled.who, second, report=lambda *_: None)
    assert "only.py" not in await given(filled, "search", filled.folder / "src", query="retry attempts")
    everywhere = await given(filled, "search", query="retry attempts")
    assert "only.py:1-2" in everywhere
    assert "[second]" in everywhere
    assert "only.py" in await given(filled, "search", filled.folder, query="retry attempts", collection="second")
    nowhere = await given(filled, "search", tmp_path, query="retry attempts")
    assert nowhere.startswith(
        f"note: {tmp_path} is not indexed, so every collection is searched; fix: run `skep index`"
    )
    status = await given(filled, "status", second)
    assert status.startswith("second: 1 files, ")
    assert "(searched by default)" in status.splitlines()[0]


async def test_filters_and_bounds(filled: Workspace) -> None:
    assert "guide.md" not in await given(filled, "search", query="timeout retry", kind="code")
    assert "app.py" not in await given(filled, "search", query="retry", path="src/o*.py")
    assert (await given(filled, "search", query="retry attempts", top_k=1)).count("## ") == 1
    assert await given(filled, "search", query="retry", path="nowhere/**") == "nothing found"


@pytest.mark.parametrize(
    ("name", "arguments", "what"),
    [
        ("search", {"query": " "}, "no word"),
        ("search", {"query": "x", "language": "klingon"}, "klingon"),
        ("search", {"query": "x", "collection": "nope"}, "nope"),
        ("search", {"query": "x", "top_k": 100_000}, "between 1 and"),
        ("search", {"query": "retry " * 200_000}, "limit"),
        ("search", {"query": "x", "path": "[" * 5000}, "error"),
        ("similar", {"location": "src/app.py"}, "PATH:LINE"),
        ("similar", {"location": "src/app.py:99999"}, "ends with line"),
        ("read", {"path": "src/app.py", "start_line": 500}, "ends with line 6"),
        ("read", {"path": "src/app.py", "start_line": 5, "end_line": 2}, "end_line"),
        ("poem", {}, "no tool named poem"),
    ],
)
async def test_refusals_say_what_and_how_to_go_on(
    filled: Workspace, name: str, arguments: dict[str, object], what: str
) -> None:
    assert what in await refused(filled, name, filled.folder, **arguments)


async def test_an_unforeseen_failure_is_an_answer_too(filled: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(type(filled.skep.knowledge), "status", fails)
    assert "secret detail" not in await refused(filled, "status")


async def test_a_document_in_two_collections_is_named(filled: Workspace, tmp_path: Path) -> None:
    second = tmp_path / "again"
    os.makedirs(second / "src")
    (second / "src" / "app.py").write_text("second = True\n")
    await filled.skep.knowledge.index(filled.who, second, report=lambda *_: None)
    said = await given(filled, "read", path="src/app.py")
    assert "[again]" in said
    assert "also in project" in said
    assert "RetryPolicy" in await given(filled, "read", path="src/app.py", collection="project")
