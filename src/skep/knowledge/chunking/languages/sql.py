"""SQL of any dialect, by its statements.

No grammar covers all dialects, and each fails in the first procedure of another one; this reads only what ends a statement
and what a CREATE names. Queries that a comment names (``-- name: find_user``) are definitions, too.
"""

from __future__ import annotations

import re

from skep.knowledge.chunking.language import Definition, Language, Outline

_TOKEN = re.compile(
    rb"""
    (?P<comment> --[^\n]*+ | /\*.*?(?:\*/|\Z) )
    | '[^']*+(?:'|\Z) | "[^"]*+(?:"|\Z) | `[^`]*+(?:`|\Z)
    | \$(?P<tag>\w{0,60})\$.*?(?:\$(?P=tag)\$|\Z)
    | (?P<semicolon> ; )
    | (?P<batch> ^(?:go|/)[ \t\r]*$ )
    | (?P<other_end> \bend\s{1,9}(?:if|loop|while|repeat|for)\b )
    | (?P<end> \bend(?:\s{1,9}case)?\b )
    | (?P<open> \b(?:begin(?!\s{0,9}(?:;|tran|work))|case)\b )
    | (?P<create> \bcreate\b )
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE | re.DOTALL,
)
_NAME = rb'(?:"[^"\n]{1,200}"|`[^`\n]{1,200}`|\[[^\]\n]{1,200}\]|[\w$@#]{1,200})'
_CREATE = re.compile(
    rb"create\s+"
    rb"(?:(?:or\s+(?:replace|alter)|global|local|temp|temporary|transient|unlogged|unique|clustered|nonclustered|bitmap"
    rb"|materialized|recursive|external|foreign|virtual|fulltext|spatial|force|editionable|noneditionable|constraint"
    rb"|definer\s*=\s*[^\s]+)\s+){0,5}"
    rb"(table|view|function|procedure|proc|index|trigger|type|domain|sequence|schema|macro|package\s+body|package|aggregate)\s+"
    rb"(?:concurrently\s+)?(?:if\s+not\s+exists\s+)?(?!on\b|authorization\b)"
    rb"(" + _NAME + rb"(?:\s?\.\s?" + _NAME + rb"){0,3})",
    re.IGNORECASE,
)
_PART = re.compile(_NAME)
_KINDS = {
    b"aggregate": "function",
    b"domain": "type",
    b"function": "function",
    b"index": "constant",
    b"macro": "macro",
    b"package": "module",
    b"proc": "function",
    b"procedure": "function",
    b"schema": "module",
    b"sequence": "constant",
    b"table": "struct",
    b"trigger": "function",
    b"type": "type",
    b"view": "type",
}
_WITH_BODY = frozenset({b"function", b"package", b"proc", b"procedure", b"trigger"})
"""What may hold statements of its own between BEGIN and END."""

_QUERY_NAME = re.compile(rb"--\s{0,9}name\s{0,9}:\s{0,9}([\w.-]{1,200})", re.IGNORECASE)


def _created(data: bytes, start: int) -> tuple[bytes, str, str] | None:
    """(what, owner, name) of the CREATE at ``start``; None when it creates nothing we name."""
    match = _CREATE.match(data, start)
    if match is None:
        return None
    parts = [part.decode("utf-8", "replace").strip('"`[]') for part in _PART.findall(match[2])]
    return match[1].lower().split()[0], ".".join(parts[:-1]), parts[-1]


def _after(data: bytes, end: int) -> int:
    """Where the next statement starts: on the next line when nothing but a comment follows on this one."""
    newline = data.find(b"\n", end, end + 200)
    rest = data[end:newline].strip() if newline >= 0 else b"x"
    return newline + 1 if not rest or rest.startswith(b"--") else end


class _Reader:
    """Reads one file. ``start`` is where the open statement begins with its comments, ``content`` where without."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._start = self._content = 0
        self._depth = 0
        self._created: tuple[bytes, str, str] | None = None
        self._query = ""
        self.starts: list[int] = []
        self.definitions: list[Definition] = []

    def read(self) -> Outline:
        for match in _TOKEN.finditer(self._data):
            self._take(match)
        self._close(len(self._data))
        return Outline(self.starts, self.definitions)

    def _take(self, match: re.Match[bytes]) -> None:
        start, end, what = match.start(), match.end(), match.lastgroup
        if what == "comment":
            self._comment(match)
        elif what == "create":
            at_line_start = start == 0 or self._data[start - 1] == 0x0A
            if self._depth and at_line_start:
                self._close(start)  # the statement before lost an END
            if not self._data[self._content : start].strip() and self._created is None:
                self._created = _created(self._data, start)
        elif what == "open":
            self._depth += self._created is not None and self._created[0] in _WITH_BODY
        elif what == "end":
            self._depth = max(0, self._depth - 1)
        elif what == "batch" or (what == "semicolon" and not self._depth):
            self._close(_after(self._data, end))

    def _comment(self, match: re.Match[bytes]) -> None:
        """Comments before a statement belong to it; one that names a query starts it."""
        if self._data[self._content : match.start()].strip():
            return
        self._content = match.end()
        name = _QUERY_NAME.match(match[0])
        if name is not None:
            if match.start() > self._start:
                self._close(match.start())
                self._content = match.end()
            self._query = name[1].decode()

    def _close(self, end: int) -> None:
        """End the open statement."""
        start = self._data.find(self._data[self._start : end].lstrip()[:1] or b"\n", self._start)
        if self._query:
            self.definitions.append(Definition(self._query, "function", start, end))
        elif self._created is not None:
            what, owner, name = self._created
            self.definitions.append(Definition(name, _KINDS[what], start, end, owner))
        if end < len(self._data):
            self.starts.append(end)
        self._start = self._content = end
        self._depth, self._created, self._query = 0, None, ""


def outline(data: bytes) -> Outline:
    """The statements of a file, and what they create."""
    return _Reader(data).read()


LANGUAGE = Language(name="sql", kind="code", extensions=(".sql", ".ddl", ".psql"), outline=outline)
