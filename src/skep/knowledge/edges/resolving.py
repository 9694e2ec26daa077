"""From what files say to the edges between them. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from skep.knowledge.edges.models import MAX_DEFINERS, MAX_TOLD_NAMES, Edge, EdgeKind, Mentions
from skep.knowledge.edges.profiles import symbol_family


@dataclass(frozen=True, slots=True)
class Party:
    """A file as resolving sees it: what it says, and what it defines."""

    mentions: Mentions
    defines: frozenset[str]


class Lead(NamedTuple):
    """That a key or name of one file means another: the row of the statement ``fetch_leads``."""

    source: int
    kind: EdgeKind
    clue: str
    """The module key or the name."""
    target: int


def resolve(parties: Mapping[int, Party]) -> list[Edge]:
    """Every edge between the files of a collection. Depends on nothing but what they are now: what the database has to say."""
    index = _Index(parties)
    return weigh(lead for number, party in parties.items() for lead in _leads(number, party.mentions, index))


def weigh(leads: Iterable[Lead]) -> list[Edge]:
    """The edges of whole files, sorted by source, target and kind; ``leads`` in any order."""
    targets: dict[tuple[int, EdgeKind, str], set[int]] = defaultdict(set)
    for source, kind, clue, target in leads:
        targets[source, kind, clue].add(target)
    best: dict[tuple[int, int, EdgeKind], float] = {}
    names: dict[tuple[int, int, EdgeKind], list[tuple[float, str]]] = defaultdict(list)
    for (source, kind, clue), found in targets.items():
        if len(found) > MAX_DEFINERS:
            continue
        share = 1 / len(found)
        for target in found - {source}:
            edge = (source, target, kind)
            if clue.endswith("/"):
                best[edge] = max(share, best.get(edge, 0.0))
            else:
                names[edge].append((-share, clue))
    edges = []
    for edge in sorted(best.keys() | names.keys()):
        uses = sorted(names.get(edge, ()))
        weight = best.get(edge, 0.0) - sum(share for share, _ in uses)
        edges.append(Edge(*edge, round(weight, 6), tuple(name for _, name in uses[:MAX_TOLD_NAMES])))
    return edges


def _leads(number: int, mentions: Mentions, index: _Index) -> Iterator[Lead]:
    keyed: EdgeKind = "import" if mentions.reach else "mention"
    named: EdgeKind = "reference" if mentions.reach else "mention"
    for key in mentions.subjects:
        yield from (Lead(number, "test", key, target) for target in index.having(key, mentions.reach))
    for key in mentions.imports:
        yield from (Lead(number, keyed, key, target) for target in index.having(key, mentions.reach))
    for name in mentions.names:
        yield from (Lead(number, named, name, target) for target in index.definers[mentions.reach, name])


class _Index:
    """Who defines a name in a family (empty: in any), and who has which module key."""

    def __init__(self, parties: Mapping[int, Party]) -> None:
        self.definers: dict[tuple[str, str], set[int]] = defaultdict(set)
        for number, party in parties.items():
            for name in party.defines if symbol_family(party.mentions.family) else ():
                self.definers[party.mentions.family, name].add(number)
                self.definers["", name].add(number)
        self._families = {number: party.mentions.family for number, party in parties.items()}
        self._modules = sorted((party.mentions.module, number) for number, party in parties.items())

    def having(self, key: str, reach: str) -> set[int]:
        """The files that a module key means."""
        found: set[int] = set()
        position = bisect_left(self._modules, (key, -1))
        while position < len(self._modules) and self._modules[position][0].startswith(key):
            number = self._modules[position][1]
            if not reach or key.endswith("//") or self._families[number] == reach:
                found.add(number)
            position += 1
        return found
