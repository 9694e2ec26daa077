"""XLSX: the rows of each sheet with the values that were last computed, and the first row repeated above each part."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from io import BytesIO

from lxml import etree

from skep.documents.archives import Archive, Element, main_part, open_archive, parse_xml
from skep.documents.drafting import Draft, Source
from skep.documents.interfaces import FileDamagedError
from skep.documents.models import Document
from skep.documents.office import attribute, child, children, describe, local
from skep.documents.tables import TableWriter

_DATE_FORMATS = frozenset({*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)})
"""Built-in number formats that show a date or a time (ECMA-376, 18.8.30)."""

_DATE_CODE = re.compile(r"[dmyhs]", re.IGNORECASE)
_NO_CODE = re.compile(r'"[^"]*"|\[[^\]]*\]|\\.')
_REFERENCE = re.compile(r"([A-Z]{1,3})[0-9]*")
_MAX_COLUMNS = 16_384
_SECONDS_OF_DAY = 86_400
_MAX_SERIAL = 2_958_466
"""The day after 9999-12-31, the last that a sheet can show."""


def read(source: Source) -> Document:
    """Raises FileDamagedError, FileLockedError and FileUnfoldsError."""
    archive = open_archive(source.data)
    part = main_part(archive, "xl/workbook.xml")
    workbook = archive.xml(part)
    relations = archive.relations(part)
    sheets = [*children(child(workbook, "sheets") if child(workbook, "sheets") is not None else (), "sheet")]
    draft = Draft("xlsx", "sheet", page_count=len(sheets))
    describe(draft, archive)
    by_kind = {kind: name for kind, name in relations.values() if name in archive}
    properties = child(workbook, "workbookPr")
    values = _Values(
        _shared_strings(archive, by_kind.get("sharedStrings")),
        _date_styles(archive, by_kind.get("styles")),
        has_1904=properties is not None and attribute(properties, "date1904") in ("1", "true"),
    )
    for number, sheet in enumerate(sheets, 1):
        draft.page = number
        draft.enter(1, attribute(sheet, "name") or f"Sheet {number}")
        relation = next((str(value) for key, value in sheet.attrib.items() if key.endswith("}id")), "")
        kind, name = relations.get(relation, ("", ""))
        if kind == "worksheet":
            _read_sheet(archive.read(name), name, values, TableWriter(draft))
    return draft.finished()


class _Values:
    """What the cells of one workbook mean."""

    def __init__(self, shared: list[str], date_styles: frozenset[int], *, has_1904: bool) -> None:
        self._shared = shared
        self._date_styles = date_styles
        # A serial of 1 is 1900-01-01, and 60 is a 29 February that never was: from 61 on, day 0 is 1899-12-30.
        self._day_zero = datetime(1904, 1, 1) if has_1904 else datetime(1899, 12, 30)  # noqa: DTZ001 -- sheets know no zones

    def of(self, cell: Element) -> str:
        kind = cell.get("t") or "n"
        if kind == "inlineStr":
            return _rich_text(child(cell, "is"))
        found = child(cell, "v")
        value = "" if found is None else (found.text or "").strip("\n")
        if kind == "s":
            index = int(value) if value.isascii() and value.isdigit() else -1
            return self._shared[index] if 0 <= index < len(self._shared) else ""
        if kind == "b":
            return {"1": "TRUE", "0": "FALSE"}.get(value, value)
        style = cell.get("s") or ""
        if kind == "n" and value and style.isascii() and style.isdigit() and int(style) in self._date_styles:
            return self._date(value)
        return value

    def _date(self, value: str) -> str:
        try:
            serial = float(value)
        except ValueError:
            return value
        if not 0 <= serial < _MAX_SERIAL:
            return value
        moment = self._day_zero + timedelta(seconds=round(serial * _SECONDS_OF_DAY))
        if serial < 1:
            return moment.strftime("%H:%M:%S")
        return (
            moment.date().isoformat() if moment.hour == moment.minute == moment.second == 0 else moment.isoformat(" ")
        )


def _read_sheet(data: bytes, name: str, values: _Values, table: TableWriter) -> None:
    """Row by row: the tree of a whole sheet would take ten times its size."""
    if b"<!DOCTYPE" in data[:4096]:
        parse_xml(data, name)
    events = etree.iterparse(BytesIO(data), events=("end",), resolve_entities=False, no_network=True, huge_tree=False)
    number = 0
    try:
        for _, element in events:
            if local(element) != "row":
                continue
            stated = element.get("r") or ""
            number = int(stated) if stated.isascii() and stated.isdigit() and len(stated) < 9 else number + 1
            table.add(_cells(element, values), number)
            element.clear()
            while element.getprevious() is not None:
                del element.getparent()[0]
    except etree.XMLSyntaxError as error:
        raise FileDamagedError(reason=f"its part {name} is no well-formed XML") from error
    table.end()


def _cells(row: Element, values: _Values) -> list[str]:
    cells: list[str] = []
    for cell in children(row, "c"):
        match = _REFERENCE.match(cell.get("r") or "")
        column = min(_column(match[1]), _MAX_COLUMNS) if match else len(cells)
        text = values.of(cell)
        if text:
            cells += [""] * (column - len(cells))
            cells.append(text)
    return cells


def _column(letters: str) -> int:
    """From 0."""
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1


def _shared_strings(archive: Archive, part: str | None) -> list[str]:
    return [] if part is None else [_rich_text(one) for one in children(archive.xml(part), "si")]


def _rich_text(element: Element | None) -> str:
    """The text of a string, without the readings of its characters that Japanese sheets add."""

    def runs() -> Iterator[str]:
        for one in () if element is None else element:
            if local(one) == "t":
                yield one.text or ""
            elif local(one) == "r":
                yield from (text.text or "" for text in children(one, "t"))

    return "".join(runs())


def _date_styles(archive: Archive, part: str | None) -> frozenset[int]:
    """The indexes of cell styles that show a date or a time."""
    if part is None:
        return frozenset()
    styles = archive.xml(part)
    codes = child(styles, "numFmts")
    own = {
        one.get("numFmtId")
        for one in (() if codes is None else codes)
        if _DATE_CODE.search(_NO_CODE.sub("", one.get("formatCode") or ""))
    }
    own |= {str(number) for number in _DATE_FORMATS}
    cells = child(styles, "cellXfs")
    rows = () if cells is None else children(cells, "xf")
    return frozenset(index for index, one in enumerate(rows) if one.get("numFmtId") in own)
