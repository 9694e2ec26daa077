"""What files are, by their content."""

from __future__ import annotations

import pytest

from skep.documents.drafting import Source
from skep.documents.interfaces import (
    FileEmptyError,
    FileLockedError,
    FormatOldError,
    FormatUnknownError,
    SandboxMissingError,
)
from skep.documents.understanding import understand
from skep.errors import SkepError
from tests import documents

CONTENTS = {
    "pdf": documents.pdf(["text"]),
    "docx": documents.docx(),
    "pptx": documents.pptx(),
    "xlsx": documents.xlsx([["a"]]),
    "epub": documents.epub(["<p>text</p>"]),
    "html": documents.HTML.encode(),
    "email": documents.email(),
    "image": documents.picture(),
    "notebook": documents.notebook(),
    "json": b'{"a": 1}',
    "markdown": documents.MARKDOWN.encode(),
    "text": b"plain words",
}


@pytest.mark.parametrize("name", CONTENTS)
def test_content_tells_the_format_without_an_extension(name: str) -> None:
    document = understand(Source(CONTENTS[name], "file"))
    assert (document.format, [note for note in document.notes if "ends with" in note]) == (name, [])


@pytest.mark.parametrize(
    ("content", "name", "found"),
    [
        ("docx", "letter.pdf", "DOCX"),
        ("pdf", "letter.docx", "PDF"),
        ("text", "letter.PDF", "text"),
        ("html", "page.xlsx", "HTML"),
        ("html", "answer.json", "HTML"),
        ("html", "page.csv", "HTML"),
        ("image", "scan.pdf", "a picture"),
        ("pdf", "notes.md", "PDF"),
    ],
)
def test_a_wrong_extension_is_noted(content: str, name: str, found: str) -> None:
    document = understand(Source(CONTENTS[content], name))
    assert document.format == content
    extension = name.rpartition(".")[2].lower()
    assert document.notes[0] == f"The name ends with .{extension}, but the content is {found}."


@pytest.mark.parametrize(
    ("name", "found"), [("a.md", "markdown"), ("a.rst", "rst"), ("a.csv", "csv"), ("a.txt", "text"), ("a.py", "text")]
)
def test_the_extension_chooses_among_kinds_of_text(name: str, found: str) -> None:
    document = understand(Source(b"one, two\nthree, four\n", name))
    assert (document.format, document.notes) == (found, ())


REFUSED: list[tuple[str, bytes, type[SkepError], str]] = [
    ("empty", b"", FileEmptyError, "empty"),
    ("blank", b"\0\0\n ", FileEmptyError, "empty"),
    ("old word", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), FormatOldError, "DOC, XLS, PPT"),
    (
        "encrypted word",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + "EncryptedPackage".encode("utf-16-le"),
        FileLockedError,
        "password",
    ),
    ("program", b"\x7fELF" + bytes(100), FormatUnknownError, "a program"),
    ("rtf", b"{\\rtf1 words}", FormatUnknownError, "RTF"),
    ("gzip", b"\x1f\x8b\x08" + bytes(100), FormatUnknownError, "archive"),
    ("noise", bytes(range(256)) * 4, FormatUnknownError, "neither text"),
    ("other archive", documents.archive({"a.txt": "words"}), FormatUnknownError, "no document"),
]


@pytest.mark.parametrize(("data", "error", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_cannot_be_read_is_said(data: bytes, error: type[SkepError], words: str) -> None:
    with pytest.raises(error) as caught:
        understand(Source(data, "file"))
    assert words in str(caught.value)
    assert caught.value.fix_text


PLAIN = ("markdown", "text", "json", "notebook")


@pytest.mark.parametrize("name", CONTENTS)
def test_without_a_sandbox_only_plain_formats_are_read(name: str) -> None:
    source = Source(CONTENTS[name], "file")
    if name in PLAIN:
        assert understand(source, "it rains").format == name
        return
    with pytest.raises(SandboxMissingError) as caught:
        understand(source, "it rains")
    assert "it rains" in str(caught.value)
    assert "apt-get install bubblewrap" in caught.value.fix_text
    assert "allow_unsandboxed" in caught.value.fix_text
