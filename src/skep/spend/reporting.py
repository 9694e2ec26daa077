"""Reports of where calls went, of what streams bring, and the sums that others begin with."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from skep.access import Principal, require_role
from skep.spend.database_bank import queries
from skep.spend.groups import NUMBERS, Counts, Group, Miss, added
from skep.spend.histograms import numbers_of, percentiles_of
from skep.spend.models import Percentiles
from skep.spend.money import usd_text
from skep.store import Database

CLOCK_SKEW = timedelta(minutes=10)
"""Calls that other machines' clocks put a little after now are of now."""

_MOST_LINES = 10_000
_IDENTITY = 8
"""Columns that say what a group is."""


@dataclass(frozen=True, slots=True)
class PrivacyLine:
    """Where calls with one value of a property went."""

    day: datetime | None
    """In UTC; None: all days of the span."""
    value: str | None
    """None: the calls have none."""
    calls: int
    remote: int
    """That left the house, be it in an attempt that failed or to be judged by somebody."""
    local: int
    """That were sent to local providers alone."""
    kept: int
    """That were answered from the cache: nothing was sent."""
    unknown: int
    """Nobody was asked, or it is not known: lost calls, and those of before Skep wrote it down."""
    stayed_share: float | None
    """Of the calls that it is known of, from 0 to 1; None: of none."""
    remote_tokens: int
    """In and out."""
    local_tokens: int
    stayed_token_share: float | None
    remote_cost_usd: str
    local_cost_usd: str


@dataclass(frozen=True, slots=True)
class Privacy:
    """How much stayed in the house."""

    by: str
    since: datetime
    until: datetime | None
    """None: until now."""
    lines: list[PrivacyLine]


@dataclass(frozen=True, slots=True)
class StreamLine:
    """What streams of a model brought."""

    model: str
    calls: int
    """For which a provider was asked, streams or not."""
    streams: int
    stream_share: float
    """From 0 to 1."""
    mean_first_ms: float | None
    """Until the first token of streams; None: of none it came."""
    mean_stream_ms: float | None
    """Until the end of streams."""
    mean_whole_ms: float | None
    """Until the answer of calls that are no streams."""
    saved_wait_seconds: float
    """How much sooner clients had something to read, all streams together: from the first token until the end."""
    first: Percentiles | None
    stream: Percentiles | None
    whole: Percentiles | None
    cancelled: int
    """Streams that the client left: nobody waited for the rest."""
    cancelled_share: float | None
    """Of the streams."""
    stopped: int
    """Streams that were ended early by a condition."""
    spared_usd: str
    """About what that spared."""


@dataclass(frozen=True, slots=True)
class Streams:
    """What streams brought, by model."""

    since: datetime
    until: datetime | None
    """None: until now."""
    lines: list[StreamLine]


class Reports:
    """What the ledger's sums tell. Everything is bound to the principal's project; looking needs the role ``reader``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def privacy(
        self, principal: Principal, *, by: str, per_day: bool, since: datetime, until: datetime | None = None
    ) -> Privacy:
        """How many calls stayed in the house since then, by one of their properties; the most first, at most 10,000 lines."""
        bound = {"by": by, "per_day": per_day, "limit": _MOST_LINES}
        rows = await self._ask("report_places", principal, since, until, **bound)
        named = principal.project_name if by == "project" else None
        return Privacy(by, since, until, [_privacy(row, named) for row in rows])

    async def streams(self, principal: Principal, *, since: datetime, until: datetime | None = None) -> Streams:
        """What streams brought since then, by model, the most streams first."""
        by_model: dict[str, list[Group]] = defaultdict(list)
        for group in await self.groups(principal, since=since, until=until):
            by_model[group.model].append(group)
        lines = [_streams(model, groups) for model, groups in by_model.items()]
        return Streams(since, until, sorted(lines, key=lambda line: (-line.streams, line.model)))

    async def groups(self, principal: Principal, *, since: datetime, until: datetime | None = None) -> list[Group]:
        """Calls since then for which a provider was asked, by what served them and how."""
        return [_group(row) for row in await self._ask("report_groups", principal, since, until)]

    async def misses(self, principal: Principal, *, since: datetime, until: datetime | None = None) -> list[Miss]:
        """Attempts since then that failed, by route and kind of failure."""
        return [Miss(*row) for row in await self._ask("report_misses", principal, since, until)]

    async def _ask(
        self, statement: str, principal: Principal, since: datetime, until: datetime | None, **more: object
    ) -> list[tuple[Any, ...]]:
        require_role(principal, "reader")
        bound = {
            "project_id": principal.project_id,
            "since": since,
            "until": until or datetime.now(UTC) + CLOCK_SKEW,
            **more,
        }
        before = (queries["without_compiling"], None)
        return await self._database.fetch_tuples(queries[statement], bound, before=before, is_planned_anew=True)


def privacy_csv(lines: Iterable[PrivacyLine]) -> str:
    """The report as a table of comma-separated values, with a line of names first."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [each.name for each in fields(PrivacyLine)]
    writer.writerow(names)
    for line in lines:
        told = {name: getattr(line, name) for name in names}
        day = "" if line.day is None else f"{line.day:%Y-%m-%d}"
        writer.writerow((told | {"day": day, "value": harmless(line.value)}).values())
    return text.getvalue()


def harmless(value: str | None) -> str:
    """Programs that show tables take what begins like this for a formula, and clients choose their tags and users."""
    return "" if value is None else f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _group(row: Sequence[Any]) -> Group:
    sums: dict[str, Any] = dict(zip(NUMBERS, row[_IDENTITY:-2], strict=True))
    for name, sent in zip(("duration", "ttft"), row[-2:], strict=True):
        found = numbers_of(sent)
        if found is not None:
            sums[name] = tuple(found)
    model, tier, face, stream, provider, model_used, is_remote, size = row[:_IDENTITY]
    return Group(model, tier, face, stream, provider, model_used, is_remote, size, Counts(**sums))


def _privacy(row: Sequence[Any], named: str | None) -> PrivacyLine:
    day, value, calls, kept, remote, remote_tokens, remote_nusd, local, local_tokens, local_nusd = row
    return PrivacyLine(
        day=day,
        value=named or value,
        calls=calls,
        remote=remote,
        local=local,
        kept=kept,
        unknown=calls - remote - local - kept,
        stayed_share=_share(local + kept, remote + local + kept),
        remote_tokens=remote_tokens,
        local_tokens=local_tokens,
        stayed_token_share=_share(local_tokens, remote_tokens + local_tokens),
        remote_cost_usd=usd_text(remote_nusd),
        local_cost_usd=usd_text(local_nusd),
    )


def _streams(model: str, groups: Sequence[Group]) -> StreamLine:
    streams = added(group.counts for group in groups if group.stream)
    whole = added(group.counts for group in groups if not group.stream)
    return StreamLine(
        model=model,
        calls=streams.calls + whole.calls,
        streams=streams.calls,
        stream_share=streams.calls / (streams.calls + whole.calls),
        mean_first_ms=_mean_ms(streams.ttft_us, streams.begun),
        mean_stream_ms=_mean_ms(streams.duration_us, streams.timed),
        mean_whole_ms=_mean_ms(whole.duration_us, whole.timed),
        saved_wait_seconds=round(streams.waited_us / 1e6, 3),
        first=percentiles_of(streams.ttft),
        stream=percentiles_of(streams.duration),
        whole=percentiles_of(whole.duration),
        cancelled=streams.cancelled,
        cancelled_share=_share(streams.cancelled, streams.calls),
        stopped=streams.stopped,
        spared_usd=usd_text(streams.spared_nusd),
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _mean_ms(us: int, calls: int) -> float | None:
    return round(us / calls / 1000, 3) if calls else None
