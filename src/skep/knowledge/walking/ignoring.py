"""Which names of a folder are ignored, decided while walking down: ignore files compiled once, matched name by name.

A `RuleFile` is one ignore file. A `View` is a rule file as seen from one folder at or below its own: it remembers how
far each pattern with slashes has matched on the way down. Views are shared between folders with the same progress, so
a tree of thousands of folders compiles a handful of expressions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from skep.knowledge.walking.patterns import (
    DEEP,
    EVERY_NAME,
    Name,
    Pattern,
    Segments,
    literal,
    literal_suffix,
    name_regex,
    parse_lines,
)

_UNDECIDED = -1

State = frozenset[tuple[int, int]]
"""Progress of the patterns with slashes: (index in the list of segment lists, next segment)."""


class NameMatcher:
    """Finds the last of many name patterns that matches a name.

    Most lines of real ignore files are a plain name or ``*.ext``; both are dictionary look-ups here, and only the rest
    goes through one combined expression.
    """

    def __init__(self, ranked: Iterable[tuple[int, Name]]) -> None:
        """``ranked``: (rank, pattern) in any order; the match with the highest rank wins."""
        self._literals: dict[bytes, int] = {}
        self._suffixes: dict[bytes, list[tuple[bytes, int]]] = {}
        rest: list[tuple[int, Name]] = []
        for rank, name in sorted(ranked, key=lambda item: item[0]):
            whole, suffix = literal(name), literal_suffix(name)
            if whole is not None:
                self._literals[whole] = rank
            elif suffix is not None and b"." in suffix:
                extension = suffix[suffix.rindex(b".") :]
                self._suffixes.setdefault(extension, []).insert(0, (suffix, rank))
            else:
                rest.append((rank, name))
        rest.reverse()
        self._rest_ranks = [rank for rank, _ in rest]
        alternatives = b"|".join(b"(" + name_regex(name) + b")" for _, name in rest)
        self._rest = re.compile(b"(?:" + alternatives + b")\\Z", re.DOTALL) if rest else None

    def match(self, name: bytes) -> int:
        """The highest rank that matches, or -1."""
        best = self._literals.get(name, _UNDECIDED)
        if self._suffixes:
            dot = name.rfind(b".")
            for suffix, rank in self._suffixes.get(name[dot:], ()) if dot >= 0 else ():
                if rank > best and name.endswith(suffix):
                    best = rank
                    break
        if self._rest is not None and (found := self._rest.match(name)) is not None and found.lastindex is not None:
            best = max(best, self._rest_ranks[found.lastindex - 1])
        return best


class RuleFile:
    """The patterns of one ignore file. A rank is the pattern's position times two, plus one when it is negated."""

    def __init__(self, patterns: list[Pattern]) -> None:
        self._names: list[tuple[int, bool, Name]] = []
        self._segments: list[tuple[int, bool, Segments]] = []
        for position, pattern in enumerate(patterns):
            rank = position * 2 + pattern.negated
            if pattern.name is not None:
                self._names.append((rank, pattern.folders_only, pattern.name))
            self._segments.extend((rank, pattern.folders_only, segments) for segments in pattern.paths)
        self._steps: dict[Name, re.Pattern[bytes]] = {}
        self._views: dict[State, View] = {}
        self._matchers: dict[State, tuple[NameMatcher, NameMatcher]] = {}

    def top(self) -> View:
        """The view from the ignore file's own folder."""
        return self._view(self._closed((index, 0) for index in range(len(self._segments))))

    def below(self, state: State, name: bytes) -> View:
        """The view from the subfolder ``name`` of a folder whose progress is ``state``."""
        return self._view(self._closed(self._advance(state, name)))

    def _advance(self, state: State, name: bytes) -> Iterator[tuple[int, int]]:
        for index, position in state:
            segments = self._segments[index][2]
            segment = segments[position]
            if segment is DEEP:
                yield index, position
            elif position + 1 < len(segments) and self._step(segment).fullmatch(name) is not None:
                yield index, position + 1

    def _step(self, segment: Name) -> re.Pattern[bytes]:
        if segment not in self._steps:
            self._steps[segment] = re.compile(name_regex(segment), re.DOTALL)
        return self._steps[segment]

    def _closed(self, reached: Iterable[tuple[int, int]]) -> State:
        """Progress including what follows a ``**`` in the middle, which may stand for no folder at all."""
        state: set[tuple[int, int]] = set()
        for index, start in reached:
            position, segments = start, self._segments[index][2]
            state.add((index, position))
            while segments[position] is DEEP and position + 1 < len(segments):
                position += 1
                state.add((index, position))
        return frozenset(state)

    def _view(self, state: State) -> View:
        if state not in self._views:
            last = frozenset(at for at in state if at[1] == len(self._segments[at[0]][2]) - 1)
            if last not in self._matchers:
                self._matchers[last] = (self._matcher(last, folders=False), self._matcher(last, folders=True))
            files, folders = self._matchers[last]
            self._views[state] = View(self, state, files, folders)
        return self._views[state]

    def _matcher(self, last: State, *, folders: bool) -> NameMatcher:
        ranked = [(rank, name) for rank, folders_only, name in self._names if folders or not folders_only]
        for index, position in last:
            rank, folders_only, segments = self._segments[index]
            segment = segments[position]
            if folders or not folders_only:
                ranked.append((rank, EVERY_NAME if segment is DEEP else segment))
        return NameMatcher(ranked)


@dataclass(frozen=True, slots=True)
class View:
    """A rule file as seen from one folder."""

    rules: RuleFile
    state: State
    files: NameMatcher
    folders: NameMatcher

    def below(self, name: bytes) -> View:
        """The view from a subfolder; the same object when no pattern with a slash is under way."""
        return self.rules.below(self.state, name) if self.state else self


@dataclass(frozen=True, slots=True)
class Chain:
    """Rule files of one kind, the deepest folder's first: the first that has an opinion decides."""

    view: View
    above: Chain | None

    def below(self, name: bytes) -> Chain:
        """The chain as seen from a subfolder."""
        # Iterative and from the top, because a tree may have an ignore file in each of thousands of levels.
        links: list[View] = []
        link: Chain | None = self
        while link is not None:
            links.append(link.view)
            link = link.above
        result: Chain | None = None
        for view in reversed(links):
            result = Chain(view.below(name), result)
        return result or self


def _decide(chain: Chain | None, name: bytes, *, folder: bool) -> bool | None:
    """True: ignored. False: re-included by a ``!`` line. None: no line speaks of it."""
    while chain is not None:
        rank = (chain.view.folders if folder else chain.view.files).match(name)
        if rank >= 0:
            return not rank & 1
        chain = chain.above
    return None


@dataclass(frozen=True, slots=True)
class Rules:
    """All that decides about the names in one folder.

    ``extra`` (the caller's lines), then ``.skepignore``, then ``.gitignore``, then ``.git/info/exclude``: the first
    kind that speaks of a name decides. Within a kind the deepest file wins and in it the last line, as in git.
    """

    extra: Chain | None = None
    skepignore: Chain | None = None
    gitignore: Chain | None = None
    exclude: Chain | None = None

    def with_files(
        self, *, skepignore: bytes | None = None, gitignore: bytes | None = None, exclude: bytes | None = None
    ) -> Rules:
        """The rules of a folder that has these ignore files; None where it has none."""
        if skepignore is None and gitignore is None and exclude is None:
            return self
        return replace(
            self,
            skepignore=_linked(skepignore, self.skepignore),
            gitignore=_linked(gitignore, self.gitignore),
            exclude=_linked(exclude, self.exclude),
        )

    def below(self, name: bytes) -> Rules:
        """The rules as they reach into a subfolder, before its own ignore files."""
        chains = (self.extra, self.skepignore, self.gitignore, self.exclude)
        if not any(_has_state(chain) for chain in chains):
            return self
        return Rules(*(chain.below(name) if chain is not None else None for chain in chains))

    @property
    def has_own(self) -> bool:
        """Whether `wanted` can say anything at all; most trees have only git's files."""
        return self.extra is not None or self.skepignore is not None

    def wanted(self, name: bytes, *, folder: bool) -> bool | None:
        """What our own kinds (``extra``, ``.skepignore``) say: False ignored, True re-included, None nothing."""
        verdict = _decide(self.extra, name, folder=folder)
        if verdict is None:
            verdict = _decide(self.skepignore, name, folder=folder)
        return None if verdict is None else not verdict

    def ignored_by_git(self, name: bytes, *, folder: bool) -> bool:
        """Whether git would ignore it, its folder not being ignored."""
        verdict = _decide(self.gitignore, name, folder=folder)
        if verdict is None and self.exclude is not None:
            verdict = _decide(self.exclude, name, folder=folder)
        return bool(verdict)


def extra_rules(lines: tuple[str, ...]) -> Rules:
    """Rules that consist of the caller's own lines."""
    return Rules(extra=_linked("\n".join(lines).encode("utf-8", "surrogateescape"), None))


def _linked(data: bytes | None, above: Chain | None) -> Chain | None:
    patterns = parse_lines(data) if data else []
    return Chain(RuleFile(patterns).top(), above) if patterns else above


def _has_state(chain: Chain | None) -> bool:
    while chain is not None:
        if chain.view.state:
            return True
        chain = chain.above
    return False
