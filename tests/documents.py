"""Documents for tests, made by the libraries that others make them with, or by hand."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from io import BytesIO
from typing import Any

_PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415478da63f8cfc0000003010100c9fe92ef"
    "0000000049454e44ae426082"
)


def picture() -> bytes:
    return _PNG


def pdf(
    pages: Sequence[str],
    *,
    title: str = "",
    bookmarks: Sequence[tuple[str, int]] = (),
    is_encrypted: bool = False,
    is_scanned: bool = False,
    are_words_set: bool = False,
) -> bytes:
    """A PDF with one line of text per line of each page. ``bookmarks``: titles and the indexes of their pages;
    ``are_words_set``: each word by itself.
    """
    objects: list[bytes] = []

    def put(body: bytes) -> int:
        objects.append(body)
        return len(objects)

    def stream(dictionary: str, data: bytes) -> int:
        return put(f"<< {dictionary} /Length {len(data)} >>\nstream\n".encode() + data + b"\nendstream")

    put(b"")  # the catalog and the tree of pages, filled in below
    put(b"")
    font = put(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
    image = stream(
        "/Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8", b"\x80"
    )
    kids = []
    for text in pages:
        drawn = b"q 500 0 0 700 50 50 cm /P Do Q" if is_scanned else _drawn(text, are_words_set=are_words_set)
        content = stream("/Filter /FlateDecode", zlib.compress(drawn))
        resources = f"/Resources << /Font << /F {font} 0 R >> /XObject << /P {image} 0 R >> >>"
        kids.append(
            put(f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] {resources} /Contents {content} 0 R >>".encode())
        )
    outlines = ""
    if bookmarks:
        root = len(objects) + 1
        put(b"")
        first = len(objects) + 1
        for number, (name, index) in enumerate(bookmarks):
            after = f"/Next {first + number + 1} 0 R" if number + 1 < len(bookmarks) else ""
            put(f"<< /Title ({name}) /Parent {root} 0 R /Dest [{kids[index]} 0 R /Fit] {after} >>".encode())
        last = len(objects)
        objects[root - 1] = (
            f"<< /Type /Outlines /First {first} 0 R /Last {last} 0 R /Count {len(bookmarks)} >>".encode()
        )
        outlines = f"/Outlines {root} 0 R"
    objects[0] = f"<< /Type /Catalog /Pages 2 0 R {outlines} >>".encode()
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(f'{kid} 0 R' for kid in kids)}] /Count {len(kids)} >>".encode()
    trailer = f"/Root 1 0 R /Info {put(f'<< /Title ({title}) /Author (A. Writer) >>'.encode())} 0 R"
    if is_encrypted:
        # The hashes fit no password.
        lock = put(f"<< /Filter /Standard /V 1 /R 2 /O <{'11' * 32}> /U <{'22' * 32}> /P -4 >>".encode())
        trailer += f" /Encrypt {lock} 0 R /ID [<{'33' * 16}> <{'33' * 16}>]"
    return pdf_file(objects, trailer)


def _drawn(text: str, *, are_words_set: bool) -> bytes:
    lines = []
    for line in text.split("\n"):
        escaped = line.encode("cp1252", "replace").replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")
        if are_words_set:
            lines.append(b"[(" + escaped.replace(b" ", b") -278 (") + b")] TJ T*")
        else:
            lines.append(b"(" + escaped + b") Tj T*")
    return b"BT /F 11 Tf 50 790 Td 14 TL\n" + b"\n".join(lines) + b"\nET"


def pdf_file(objects: Sequence[bytes], trailer: str) -> bytes:
    """A PDF of these objects, numbered from 1."""
    out = BytesIO()
    out.write(b"%PDF-1.7\n")
    places = []
    for number, body in enumerate(objects, 1):
        places.append(out.tell())
        out.write(f"{number} 0 obj\n".encode() + body + b"\nendobj\n")
    start = out.tell()
    out.write(f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode())
    out.write(b"".join(f"{place:010d} 00000 n \n".encode() for place in places))
    out.write(f"trailer\n<< /Size {len(objects) + 1} {trailer} >>\nstartxref\n{start}\n%%EOF\n".encode())
    return out.getvalue()


def docx() -> bytes:
    """A title, two levels of headings, a list and a table."""
    import docx as library

    made = library.Document()
    made.core_properties.title = "The hive"
    made.core_properties.author = "A. Writer"
    made.add_heading("Bees", 1)
    made.add_paragraph("Bees live in a hive.")
    made.add_heading("Queens", 2)
    made.add_paragraph("There is one queen.")
    made.add_paragraph("eggs", style="List Bullet")
    made.add_paragraph("honey", style="List Bullet")
    table = made.add_table(rows=2, cols=2)
    for row, names in zip(table.rows, (("who", "count"), ("drones", "300")), strict=True):
        for cell, name in zip(row.cells, names, strict=True):
            cell.text = name
    return _saved(made)


def pptx() -> bytes:
    """Two slides, the second with notes and a table."""
    from pptx import Presentation
    from pptx.util import Inches

    made = Presentation()
    first = made.slides.add_slide(made.slide_layouts[1])
    first.shapes.title.text = "Why bees"
    first.placeholders[1].text = "They pollinate."
    second = made.slides.add_slide(made.slide_layouts[5])
    second.shapes.title.text = "How many"
    table = second.shapes.add_table(1, 2, Inches(1), Inches(2), Inches(4), Inches(1)).table
    table.cell(0, 0).text, table.cell(0, 1).text = "drones", "300"
    second.notes_slide.notes_text_frame.text = "Say it slowly."
    return _saved(made)


def xlsx(rows: Sequence[Sequence[Any]], name: str = "Harvest") -> bytes:
    """One sheet of these rows, and an empty one."""
    import openpyxl

    made = openpyxl.Workbook()
    made.active.title = name
    for row in rows:
        made.active.append(list(row))
    made.create_sheet("Later")
    return _saved(made)


def _saved(made: Any) -> bytes:
    out = BytesIO()
    made.save(out)
    return out.getvalue()


def archive(members: Mapping[str, bytes | str]) -> bytes:
    """A ZIP archive."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in members.items():
            made.writestr(name, data)
    return out.getvalue()


def with_member(document: bytes, name: str, data: bytes | str) -> bytes:
    """The archive with one member replaced or added."""
    with zipfile.ZipFile(BytesIO(document)) as found:
        members: dict[str, bytes | str] = {info.filename: found.read(info) for info in found.infolist()}
    return archive({**members, name: data})


def member(document: bytes, name: str) -> bytes:
    with zipfile.ZipFile(BytesIO(document)) as found:
        return found.read(name)


def epub(chapters: Sequence[str], *, more: Mapping[str, str] | None = None) -> bytes:
    """A book of HTML chapters, read from the last to the first."""
    items = "".join(
        f'<item id="c{number}" href="text/c%20{number}.xhtml" media-type="application/xhtml+xml"/>'
        for number in range(len(chapters))
    )
    spine = "".join(f'<itemref idref="c{number}"/>' for number in reversed(range(len(chapters))))
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
        "<dc:title>The book</dc:title><dc:creator>A. Writer</dc:creator></metadata>"
        f"<manifest>{items}</manifest><spine>{spine}</spine></package>"
    )
    container = (
        '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="OPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
    )
    text = {f"OPS/text/c {number}.xhtml": chapter for number, chapter in enumerate(chapters)}
    head = {"mimetype": "application/epub+zip", "META-INF/container.xml": container, "OPS/book.opf": package}
    return archive({**head, **text, **(more or {})})


def email(*, attachment: bytes | None = b"%PDF-1.7 ...", html: str = "") -> bytes:
    """A letter with an attachment."""
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "Ann <ann@example.com>", "bob@example.com", "Honey, grüße"
    made["Date"] = "Mon, 02 Nov 2026 10:00:00 +0100"
    if html:
        made.set_content(html, subtype="html")
    else:
        made.set_content("The harvest is in.\n\nSee the list.")
    if attachment is not None:
        made.add_attachment(attachment, maintype="application", subtype="pdf", filename="list.pdf")
    return made.as_bytes()


def notebook() -> bytes:
    """A heading, code and what it answered."""
    cells = [
        {"cell_type": "markdown", "source": ["# Yield\n", "\n", "Per hive."]},
        {"cell_type": "code", "source": "print(42)", "outputs": [{"output_type": "stream", "text": ["42\n"]}]},
    ]
    return json.dumps({"cells": cells, "nbformat": 4, "metadata": {"language_info": {"name": "python"}}}).encode()


HTML = """<!doctype html><html lang="en"><head><title>Hives</title><meta charset="utf-8"><style>p {}</style></head>
<body><nav>Home</nav><h1>Hives</h1><p>A hive <b>hums</b>.<script>alert(1)</script></p><h2>Kinds</h2>
<ul><li>straw<ul><li>skep</li></ul></li><li>wood</li></ul>
<table><tr><th>kind</th><th>age</th></tr><tr><td>skep</td><td>2,000 years</td></tr></table>
<pre>x =  1
y = 2</pre><div>Loose <i>words</i></div></body></html>"""

MARKDOWN = """---
title: "On hives"
---
# Hives

A hive hums.

## Kinds

- straw
- wood

```python
# no heading
```

| kind | age |
|---|---|
| skep | old |
"""

RST = """=====
Hives
=====

A hive hums.

Kinds
-----

* straw
* wood

Old kinds
~~~~~~~~~

Example::

    skep = 1
"""
