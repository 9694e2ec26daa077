"""What one file says about others, and the edges that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EdgeKind = Literal["import", "reference", "test", "mention"]
"""``import``: the file names the other's path or module. ``reference``: its code uses a name that the other defines.
``test``: its name says that it tests the other. ``mention``: prose that names the other's path or a definition in it."""

EDGE_KINDS: tuple[EdgeKind, ...] = ("import", "reference", "test", "mention")

MAX_DEFINERS = 4
"""A name that more files than this define, or a module key that more files than this have, says nothing and gives no edge.
Up to there the edges of one name share a weight of 1."""


MAX_TOLD_NAMES = 3


@dataclass(frozen=True, slots=True)
class Mentions:
    """What a file says of others: of itself only, so that a version has it for ever. Each tuple without doubles."""

    family: str
    """Files of one family can use each other's names: ``python``, ``javascript``. Empty: it takes no part in edges."""
    reach: str
    """The family its names and module keys are looked up in; empty for prose: in all."""
    module: str
    """Its own key, by which others mean it: the parts of its path from the last to the first, each with a slash, and a
    second slash at the end: ``app/flask/src//``."""
    subjects: tuple[str, ...] = ()
    """Module keys of what it tests, by its name."""
    imports: tuple[str, ...] = ()
    """Module keys of what it imports or links to. A key means every module it is the start of: ``app/flask/``."""
    names: tuple[str, ...] = ()
    """Names it uses and does not define, those used most first."""


SEPARATOR = "\x1f"
"""Joins lists on their way into the database; no key or name has it, they are printable."""


def joined(mentions: Mentions) -> tuple[str, ...]:
    """The columns of a row: lists as one text."""
    lists = (SEPARATOR.join(values) for values in (mentions.subjects, mentions.imports, mentions.names))
    return (mentions.family, mentions.reach, mentions.module, *lists)


@dataclass(frozen=True, slots=True)
class Edge:
    """A file and one that it has to do with, both as versions of now."""

    source: int
    target: int
    kind: EdgeKind
    weight: float
    """Each key and name that leads from one to the other is worth 1 divided by the number of files it leads to; names add up,
    of keys the best counts."""
    names: tuple[str, ...] = ()
    """The names that lead there, at most `MAX_TOLD_NAMES`, those that say most first; none where only paths do."""
