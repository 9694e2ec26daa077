"""Bad files of every format end with a reason and a fix, in the real sandbox."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator

import pytest

from skep.documents import DocumentError, Documents, FileDamagedError, FileLockedError, FileUnfoldsError, Limits
from tests import documents

PDF = documents.pdf([f"Page {number}." for number in range(50)])
DOCX, PPTX, XLSX = documents.docx(), documents.pptx(), documents.xlsx([["a", "b"], [1, 2]])
EPUB = documents.epub(["<h1>One</h1>"] * 5)
EMAIL, NOTEBOOK = documents.email(attachment=b"x" * 5000), documents.notebook()

WHOLE = {
    "a.pdf": PDF,
    "a.docx": DOCX,
    "a.pptx": PPTX,
    "a.xlsx": XLSX,
    "a.epub": EPUB,
    "a.eml": EMAIL,
    "a.ipynb": NOTEBOOK,
}

_LAUGHS = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + "".join(
    f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9)
)
BOMB_XML = _LAUGHS + "]><x>&j;</x>"
FILE_XML = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>'
ZEROS = b"\0" * (200 << 20)
DEEP_XML = b"<x>" * 100_000 + b"</x>" * 100_000
DAMAGED, UNFOLDS, LOCKED = FileDamagedError, FileUnfoldsError, FileLockedError
MAIN = {"docx": "word/document.xml", "pptx": "ppt/presentation.xml", "xlsx": "xl/workbook.xml", "epub": "OPS/book.opf"}
ARCHIVES = {"docx": DOCX, "pptx": PPTX, "xlsx": XLSX, "epub": EPUB}


@pytest.fixture(scope="module")
def reading() -> Iterator[Documents]:
    with Documents(Limits(seconds=20)) as opened:
        yield opened


@pytest.mark.parametrize("name", WHOLE)
def test_the_whole_files_are_read(reading: Documents, name: str) -> None:
    assert reading.read_now(WHOLE[name], name).blocks


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9, 0.98])
def test_files_that_are_cut_off_fail_with_a_reason(reading: Documents, name: str, share: float) -> None:
    # The headers of a letter alone are a letter without text.
    least = EMAIL.index(b"\n\n") + 60 if name == "a.eml" else 0
    data = WHOLE[name][: max(least, int(len(WHOLE[name]) * share))]
    with pytest.raises(DocumentError) as caught:
        reading.read_now(data, name)
    assert caught.value.fix_text
    assert type(caught.value) is FileDamagedError, caught.value


@pytest.mark.parametrize("kind", MAIN)
@pytest.mark.parametrize(
    ("part", "error"),
    [
        (b"", DAMAGED),
        (b"<a><b></a>", DAMAGED),
        (b"no markup", DAMAGED),
        (BOMB_XML.encode(), DAMAGED),
        (FILE_XML.encode(), DAMAGED),
        (DEEP_XML, DAMAGED),
        (ZEROS, UNFOLDS),
    ],
    ids=["empty", "crossed", "words", "entity bomb", "entity of a file", "deep", "zip bomb"],
)
def test_archives_with_bad_parts(reading: Documents, kind: str, part: bytes, error: type[DocumentError]) -> None:
    data = documents.with_member(ARCHIVES[kind], MAIN[kind], part)
    with pytest.raises(error) as caught:
        reading.read_now(data, f"a.{kind}")
    assert caught.value.fix_text


def _sheet_of_spaces() -> bytes:
    sheet = documents.member(XLSX, "xl/worksheets/sheet1.xml")
    rows = b"".join(
        b'<row r="%d"><c r="A%d" t="inlineStr"><is><t>%s</t></is></c></row>' % (n, n, b"x" * 30_000)
        for n in range(1, 2000)
    )
    return documents.with_member(XLSX, "xl/worksheets/sheet1.xml", sheet.replace(b"<sheetData>", b"<sheetData>" + rows))


def _flat_bomb() -> bytes:
    """An archive whose directory says that a part is small."""
    data = bytearray(documents.with_member(DOCX, "word/document.xml", ZEROS))
    size = len(ZEROS).to_bytes(4, "little")
    place = data.find(size)
    while place >= 0:
        data[place : place + 4] = (1000).to_bytes(4, "little")
        place = data.find(size, place)
    return bytes(data)


def _many_parts() -> bytes:
    return documents.archive({**{f"p{n}": "" for n in range(10_001)}, "word/document.xml": "<x/>"})


def _stream_bomb() -> bytes:
    """A PDF whose one page unfolds from 3 kB to 1.2 GB."""
    page = zlib.compress(zlib.compress(b"0 0 m " * (200 << 20), 9), 9)
    return documents.pdf_file(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R >>",
            b"<< /Filter [/FlateDecode /FlateDecode] /Length %d >>\nstream\n%s\nendstream" % (len(page), page),
        ],
        "/Root 1 0 R",
    )


CASES: list[tuple[str, Callable[[], bytes], type[DocumentError]]] = [
    ("a.xlsx", _sheet_of_spaces, UNFOLDS),
    ("a.docx", _flat_bomb, DocumentError),
    ("a.docx", _many_parts, UNFOLDS),
    ("a.pdf", lambda: documents.pdf(["x"], is_encrypted=True), LOCKED),
    ("a.pdf", lambda: documents.pdf([]), DAMAGED),
    ("a.pdf", lambda: b"%PDF-1.7\n" + bytes(range(256)) * 100 + b"%%EOF", DAMAGED),
    ("a.epub", lambda: documents.epub(["x"], more={"META-INF/encryption.xml": _DRM}), LOCKED),
    ("a.epub", lambda: documents.with_member(EPUB, "META-INF/container.xml", "<container/>"), DAMAGED),
    ("a.json", lambda: b'{"a": [1, 2', DAMAGED),
    ("a.json", lambda: b"[" * 1_000_000, DAMAGED),
    ("a.json", lambda: b"1" * 100_000, DAMAGED),
    ("a.ipynb", lambda: b'{"cells": 3}', DAMAGED),
    ("a.html", lambda: b"<table><tr><td>" * 20_000 + b"deep", UNFOLDS),
    ("a.html", lambda: b"<ul><li>" * 5_000 + b"deep", UNFOLDS),
    ("a.pdf", _stream_bomb, DocumentError),
]
_DRM = (
    '<encryption><EncryptedData><EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#aes128-cbc"/>'
    "</EncryptedData></encryption>"
)


@pytest.mark.parametrize(
    ("name", "make", "error"), CASES, ids=[f"{name}-{number}" for number, (name, *_) in enumerate(CASES)]
)
def test_bad_files(reading: Documents, name: str, make: Callable[[], bytes], error: type[DocumentError]) -> None:
    with pytest.raises(error) as caught:
        reading.read_now(make(), name)
    assert caught.value.fix_text
    assert "Error at" not in str(caught.value), caught.value


LENIENT = {
    "a.html": b"<p>" * 100_000 + b"deep",
    "b.html": b"<div>" * 1_500 + b"deep",
    "c.html": b"<!DOCTYPE x [<!ENTITY a 'aaaa'>]><p>&a;&a; words</p>",
    "a.md": b"> " * 100_000 + b"[" * 100_000 + b"\n" + b"*" * 100_000,
    "a.rst": (b"=" * 50 + b"\n") * 20_000,
    "a.txt": b"x" * 5_000_000,
    "a.eml": b"From: a@b\nSubject: =?utf-8?q?" + b"=?" * 20_000 + b"\nTo: " + b"(" * 20_000 + b"\n\nwords\n",
}


@pytest.mark.parametrize("name", LENIENT)
def test_odd_text_is_read_in_time(reading: Documents, name: str) -> None:
    """Text has no form that it could break; it must only not take forever."""
    assert reading.read_now(LENIENT[name], name).blocks
