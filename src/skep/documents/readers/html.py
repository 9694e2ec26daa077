"""HTML: headings, paragraphs, lists, tables and code, without scripts, styles and navigation."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree

from skep.documents.archives import Element
from skep.documents.drafting import Draft, Source
from skep.documents.interfaces import FileUnfoldsError
from skep.documents.models import Document
from skep.documents.texts import decode, row_text

_LEFT_OUT = frozenset(
    ["script", "style", "template", "noscript", "svg", "iframe", "object", "nav", "head", "select", "button", "canvas"]
)
_BLOCKS = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "dd",
        "details",
        "dialog",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "header",
        "hr",
        "html",
        "main",
        "p",
        "section",
        "summary",
    ]
)
_WHOLE = {"ul": "list", "ol": "list", "table": "table", "pre": "code"}
"""Elements that stay one block, with what is in them."""

_LEVELS = {f"h{level}": level for level in range(1, 7)}
_CHARSET = re.compile(rb"""<meta[^>]{0,200}charset\s*=\s*["']?([\w-]{1,40})""", re.IGNORECASE)
_CHARSET_WITHIN = 4096
_NAMES = {"author": "author", "description": "description", "keywords": "keywords", "date": "created"}
_MAX_WHOLE_CHARACTERS = 20_000
"""A list or table with more text, often one that only lays out the page, is taken apart."""


def read(source: Source) -> Document:
    """Reads whatever there is, as browsers do. Raises FileUnfoldsError and FormatUnknownError."""
    match = _CHARSET.search(source.data[:_CHARSET_WITHIN])
    decoded = decode(source.data, declared=match[1].decode() if match else "")
    draft = Draft("html")
    if decoded.is_guessed:
        draft.notes.append("Its encoding is not said; it was read as Windows-1252.")
    read_into(draft, decoded.text)
    return draft.finished()


def read_into(draft: Draft, text: str) -> None:
    """Add the text of a page. Raises FileUnfoldsError."""
    # An encoding that the text states, and that is no longer its own, must not count.
    data = text.replace("\0", "").encode("utf-8", "replace")
    parser = etree.HTMLParser(encoding="utf-8", no_network=True, huge_tree=True, remove_comments=True, remove_pis=True)
    root = etree.fromstring(data, parser) if data.strip() else None
    if any(error.type_name == "ERR_RESOURCE_LIMIT" for error in parser.error_log):
        # The rest of the page would be missing.
        raise FileUnfoldsError(reason="its elements are nested too deeply")
    if root is None:
        return
    _describe(draft, root)
    _Page(draft).read(root)


def _describe(draft: Draft, root: Element) -> None:
    title = root.find(".//title")
    if title is not None and not draft.title:
        draft.title = "".join(title.itertext())
    draft.describe("language", root.get("lang") or "")
    for meta in root.iterfind(".//meta"):
        name = _NAMES.get((meta.get("name") or "").lower())
        if name is not None:
            draft.describe(name, meta.get("content") or "")


class _Page:
    """Puts the text of a tree into a draft. It keeps its own stack: a page may be as deep as it likes."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._parts: list[str] = []

    def read(self, root: Element) -> None:
        self._draft.enter(1)
        waiting: list[tuple[Element, Iterator[Element]]] = [(root, iter(root))]
        self._parts.append(root.text or "")
        while waiting:
            element, rest = waiting[-1]
            child = next(rest, None)
            if child is None:
                waiting.pop()
                if element.tag in _BLOCKS or element.tag in _WHOLE or element.tag in ("li", "tr", "td", "th"):
                    self._flush()
                self._parts.append(element.tail or "")
            elif not self._took_whole(child):
                if child.tag in _BLOCKS:
                    self._flush()
                self._parts.append(child.text or "")
                waiting.append((child, iter(child)))
        self._flush()

    def _took_whole(self, element: Element) -> bool:
        """Whether the element is done with: left out, or a block of its own."""
        tag = element.tag
        if not isinstance(tag, str) or tag in _LEFT_OUT or element.get("hidden") is not None:
            self._parts.append(element.tail or "")
            return True
        if tag == "br":
            self._parts.append(f"\n{element.tail or ''}")
            return True
        if tag not in _LEVELS and tag not in _WHOLE:
            return False
        text = _whole_text(element)
        if tag not in _LEVELS and len(text) > _MAX_WHOLE_CHARACTERS:
            self._flush()
            return False
        self._flush()
        if tag in _LEVELS:
            self._draft.add_heading(text, _LEVELS[tag])
        elif tag == "pre":
            self._draft.add(text, "code")
        else:
            self._draft.add(text, "table" if tag == "table" else "list")
        self._parts.append(element.tail or "")
        return True

    def _flush(self) -> None:
        self._draft.add("\n".join(_lines("".join(self._parts))))
        self._parts.clear()


def _whole_text(element: Element) -> str:
    if element.tag == "pre":
        return _all_text(element)
    if element.tag == "table":
        rows = (row_text([_all_text(cell) for cell in row if cell.tag in ("td", "th")]) for row in element.iter("tr"))
        return "\n".join(row for row in rows if row)
    if element.tag in ("ul", "ol"):
        return "\n".join(f"- {text}" for item in element.iter("li") if (text := " ".join(_own_text(item).split())))
    return _all_text(element)


def _all_text(element: Element) -> str:
    return "".join(_texts(element, frozenset()))


def _own_text(item: Element) -> str:
    """The text of an item without the lists in it, whose items stand for themselves."""
    return "".join(_texts(item, frozenset({"ul", "ol"})))


def _texts(element: Element, without: frozenset[str]) -> Iterator[str]:
    yield element.text or ""
    waiting = [(element, iter(element))]
    while waiting:
        inner, rest = waiting[-1]
        child = next(rest, None)
        if child is None:
            waiting.pop()
            if waiting:
                # What stands in blocks of their own is no one word.
                yield (" " if inner.tag in _BLOCKS else "") + (inner.tail or "")
        elif not isinstance(child.tag, str) or child.tag in _LEFT_OUT or child.tag in without:
            yield child.tail or ""
        else:
            yield ("\n" if child.tag == "br" else " " if child.tag in _BLOCKS else "") + (child.text or "")
            waiting.append((child, iter(child)))


def _lines(text: str) -> Iterator[str]:
    return (line for part in text.split("\n") if (line := " ".join(part.split())))
