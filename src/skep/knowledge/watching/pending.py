"""Hints that wait to be looked into: when it is time, and whether for some parts of a folder or for all of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from skep.knowledge.walking import MARKERS, encode_path
from skep.knowledge.watching.interfaces import Hint

MOST_PARTS = 200
"""More than so many at once are a burst (a branch switch, an unpacked archive): one look at everything is cheaper."""

_FEW_PARTS = 20

QUIET_SECONDS, HELD_SECONDS = 0.02, 0.15
"""A look begins when nothing was heard for the first, at the latest after the second: an editor's save is two to six events
within 5 ms."""

_SOME_QUIET_SECONDS, _SOME_HELD_SECONDS = 0.1, 1.0
_BURST_QUIET_SECONDS, _BURST_HELD_SECONDS = 0.3, 5.0
"""The same for more than a few, and for bursts, which go on for seconds and shall be one run."""

_BUCKET_LOOKS, _LOOKS_PER_SECOND = 20.0, 0.5
"""A path may be looked at so often in a row, and so often for ever: a log that is written all day must not keep us busy."""

_MOST_BUCKETS = 2_000

_RULE_FILES = frozenset({b".gitignore", b".skepignore"})
_RULERS = MARKERS | {b".git"}
"""What rules by its lines, and what by being there: both decide what else of their folder is indexed."""

_EXCLUDE_FOLDER = b".git/info"


@dataclass(frozen=True, slots=True)
class Work:
    """What to look at."""

    parts: tuple[str, ...]
    """Document paths of files and folders, none inside another; one empty path stands for everything."""
    since: float
    """When the first of the hints came; seconds of the clock that `Pending` is asked with."""

    @property
    def is_whole(self) -> bool:
        """Whether it is everything."""
        return self.parts == ("",)


@dataclass(slots=True)
class _Bucket:
    """How often a path may still be looked at before it has to wait."""

    looks: float
    filled_at: float


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A part that is to be looked at."""

    first: float
    """When it was first heard of."""
    allowed_at: float


@dataclass(slots=True)
class Pending:
    """Gathers hints. All times are seconds of one monotonic clock, handed in."""

    _parts: dict[str, _Waiting] = field(default_factory=dict)
    _last: float = 0.0
    _is_burst: bool = False
    _buckets: dict[str, _Bucket] = field(default_factory=dict)

    def add_hints(self, hints: Iterable[Hint], now: float) -> None:
        """Take hints as they came."""
        for hint in hints:
            part = part_of(hint)
            if part is not None:
                self.add_part(part, now)

    def add_part(self, part: str, now: float, *, since: float | None = None) -> None:
        """Look at a part, or, when it is empty, at everything. ``since``: it was heard of then and not now."""
        since = now if since is None else since
        self._last = now
        if "" in self._parts:
            return
        if part == "" or len(self._parts) >= MOST_PARTS:
            first = min([since, *(waiting.first for waiting in self._parts.values())])
            self._is_burst = part != ""
            self._parts = {"": _Waiting(first, now)}
        elif part not in self._parts:
            self._parts[part] = _Waiting(since, self._allowed_at(part, now))

    @property
    def due_at(self) -> float | None:
        """When to look; None when there is nothing to look at."""
        if not self._parts:
            return None
        ready = [waiting.first for waiting in self._parts.values() if waiting.allowed_at <= self._last]
        if not ready:
            return min(waiting.allowed_at for waiting in self._parts.values())
        if "" in self._parts and self._is_burst:
            quiet, held = _BURST_QUIET_SECONDS, _BURST_HELD_SECONDS
        elif "" in self._parts or len(ready) > _FEW_PARTS:
            quiet, held = _SOME_QUIET_SECONDS, _SOME_HELD_SECONDS
        else:
            quiet, held = QUIET_SECONDS, HELD_SECONDS
        return min(self._last + quiet, min(ready) + held)

    def take(self, now: float) -> Work:
        """What may be looked at now; the rest stays."""
        taken = {part: waiting for part, waiting in self._parts.items() if waiting.allowed_at <= now}
        for part in taken:
            del self._parts[part]
            self._count(part, now)
        return Work(outermost(taken), min((waiting.first for waiting in taken.values()), default=now))

    def put_back(self, work: Work, now: float) -> None:
        """What could not be looked at is to be looked at again."""
        for part in work.parts:
            self.add_part(part, now, since=work.since)

    def _allowed_at(self, part: str, now: float) -> float:
        bucket = self._buckets.get(part)
        if bucket is None:
            return now
        looks = _refilled(bucket, now)
        return now if looks >= 1.0 else now + (1.0 - looks) / _LOOKS_PER_SECOND

    def _count(self, part: str, now: float) -> None:
        if len(self._buckets) >= _MOST_BUCKETS:
            self._buckets = {
                path: bucket for path, bucket in self._buckets.items() if _refilled(bucket, now) < _BUCKET_LOOKS
            }
            if len(self._buckets) >= _MOST_BUCKETS:
                self._buckets.clear()
        bucket = self._buckets.get(part)
        looks = _BUCKET_LOOKS if bucket is None else _refilled(bucket, now)
        self._buckets[part] = _Bucket(max(0.0, looks - 1.0), now)


def _refilled(bucket: _Bucket, now: float) -> float:
    return min(_BUCKET_LOOKS, bucket.looks + (now - bucket.filled_at) * _LOOKS_PER_SECOND)


def part_of(hint: Hint) -> str | None:
    """The part of the folder that a hint speaks of: what was named, or, for a rule, all it rules over.

    None for what changes nothing: the other files beside ``.git/info/exclude``.
    """
    folder, name = hint.folder, hint.name
    if folder == _EXCLUDE_FOLDER or folder.endswith(b"/" + _EXCLUDE_FOLDER):
        if name != b"exclude":
            return None
        return encode_path(folder.removesuffix(_EXCLUDE_FOLDER).rstrip(b"/"))
    if not name or name in _RULE_FILES or (hint.came_or_went and name in _RULERS):
        return encode_path(folder)
    return encode_path(folder + b"/" + name if folder else name)


def outermost(parts: Iterable[str]) -> tuple[str, ...]:
    """The parts that lie in no other of them, in order."""
    kept: list[str] = []
    # A folder sorts before what is in it, but "a-b" comes between "a" and "a/b".
    for part in sorted(parts, key=lambda path: path.split("/")):
        last = kept[-1] if kept else None
        if last is not None and (last in ("", part) or part.startswith(last + "/")):
            continue
        kept.append(part)
    return tuple(kept)
