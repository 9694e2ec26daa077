"""Named SQL statements from a ``queries.sql``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib import resources

from typing_extensions import override

_NAME = re.compile(r"^-- name: (\w+)[ \t]*\n", re.MULTILINE)


class Queries(Mapping[str, bytes]):
    """The statements of one package's ``queries.sql``, by name, ready for psycopg.

    The file is read when the first statement is asked for. Each statement starts with ``-- name: verb_object``, then
    one or more comment lines that say what it is for.

    Raises KeyError for a name that is not in the file.
    """

    def __init__(self, package: str) -> None:
        self._package = package
        self._statements: dict[str, bytes] | None = None

    def _load(self) -> dict[str, bytes]:
        if self._statements is None:
            text = resources.files(self._package).joinpath("queries.sql").read_text(encoding="utf-8")
            parts = _NAME.split(text)
            self._statements = {
                name: _without_comments(body).encode() for name, body in zip(parts[1::2], parts[2::2], strict=True)
            }
        return self._statements

    @override
    def __getitem__(self, name: str) -> bytes:
        return self._load()[name]

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._load())

    @override
    def __len__(self) -> int:
        return len(self._load())


def _without_comments(body: str) -> str:
    lines = (line for line in body.splitlines() if not line.lstrip().startswith("--"))
    return "\n".join(lines).strip().removesuffix(";")
