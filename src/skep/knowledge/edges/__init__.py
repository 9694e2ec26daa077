"""Edges between files: who imports, uses, tests or mentions whom.

A language takes part by one row in ``profiles.PROFILES``; `find_mentions` reads a file, `resolve` says what follows from many. Pure,
and imported by the processes that cut files; `skep.knowledge.neighbours` asks the database.
"""

from __future__ import annotations

from skep.knowledge.edges.extraction import MAX_IMPORTS, MAX_NAMES, NO_MENTIONS, find_links, find_mentions
from skep.knowledge.edges.models import EDGE_KINDS, MAX_DEFINERS, SEPARATOR, Edge, EdgeKind, Mentions, joined
from skep.knowledge.edges.profiles import PROFILES, symbol_family
from skep.knowledge.edges.resolving import Lead, Party, resolve, weigh

__all__ = [
    "EDGE_KINDS",
    "MAX_DEFINERS",
    "MAX_IMPORTS",
    "MAX_NAMES",
    "NO_MENTIONS",
    "PROFILES",
    "SEPARATOR",
    "Edge",
    "EdgeKind",
    "Lead",
    "Mentions",
    "Party",
    "find_links",
    "find_mentions",
    "joined",
    "resolve",
    "symbol_family",
    "weigh",
]
