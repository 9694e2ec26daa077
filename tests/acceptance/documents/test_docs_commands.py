"""`skep docs read`, and what the doctor says of the sandbox."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import documents
from tests.command import Command


@pytest.fixture
def skep(tmp_path: Path) -> Command:
    folder = tmp_path / "project"
    folder.mkdir()
    return Command(tmp_path / "data", folder)


def test_it_shows_what_was_understood(skep: Command) -> None:
    data = documents.pdf(["Bees hum.", ""], title="The hive", bookmarks=[("Part one", 0)])
    (skep.folder / "report.docx").write_bytes(data)
    done = skep("docs", "read", "report.docx")
    assert done.out.splitlines() == [
        "format: pdf",
        "title: The hive",
        "pages: 2",
        "author: A. Writer",
        "note: The name ends with .docx, but the content is PDF.",
        "",
        "[page 1, Part one, text]",
        "Bees hum.",
    ]
    assert done.err == ""
    assert not skep.data.exists()


def test_as_json(skep: Command) -> None:
    (skep.folder / "a.md").write_text("# Title\n\nWords.\n")
    answer = skep("docs", "read", "a.md", "--json").answer
    assert (answer["format"], answer["title"]) == ("markdown", "Title")
    assert answer["blocks"][1] == {
        "text": "Words.",
        "kind": "text",
        "page": None,
        "headings": ["Title"],
        "first_line": 3,
        "last_line": 3,
    }


@pytest.mark.parametrize(
    ("data", "code", "error"),
    [
        (documents.pdf(["x"], is_encrypted=True), 1, "file_locked"),
        (b"", 1, "file_empty"),
        (b"x" * (11 << 20), 1, "file_too_large"),
        (documents.docx()[:2000], 1, "file_damaged"),
        (None, 2, "document_file"),
    ],
)
def test_failures_have_a_code_and_a_fix(skep: Command, data: bytes | None, code: int, error: str) -> None:
    path = skep.folder / "file"
    if data is None:
        path.mkdir()
    else:
        path.write_bytes(data)
    told = skep("docs", "read", "file", "--json", code=code).error
    assert told["code"] == error
    assert told["fix"]


def test_without_bubblewrap_it_says_how_to_get_it(skep: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(skep.folder))
    (skep.folder / "a.pdf").write_bytes(documents.pdf(["Bees hum."]))
    done = skep("docs", "read", "a.pdf", code=3)
    assert done.err.splitlines()[0].endswith("in a sandbox only, and there is none: bubblewrap is not installed.")
    assert "apt-get install bubblewrap" in done.err
    skep.more = {"SKEP_DOCUMENTS_ALLOW_UNSANDBOXED": "true"}
    assert "Bees hum." in skep("docs", "read", "a.pdf").out


def test_the_doctor_says_whether_the_sandbox_works(skep: Command) -> None:
    checks = {check["name"]: check for check in skep("doctor", "--json", code=None).answer["checks"]}
    assert checks["sandbox"]["state"] == "ok"
