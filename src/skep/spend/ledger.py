"""What the ledger tells, and how it is kept in shape."""

from __future__ import annotations

import asyncio
import csv
import io
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from skep.access import DEFAULT_PROJECT, Principal, require_role
from skep.observe import event
from skep.spend.comparing import EXPERIMENT_TAGS, ArmRow, Comparison, Moments, compared, experiment_tag
from skep.spend.contents import CallContent
from skep.spend.database_bank import queries
from skep.spend.explaining import CallRow, ChargedRule, Explanation, explain
from skep.spend.forecasting import Pace, pace_of
from skep.spend.histograms import percentiles
from skep.spend.interfaces import (
    CallNotFoundError,
    ContentNotKeptError,
    ExperimentNotFoundError,
    ProcessNotReleasableError,
    ReleaseForeignError,
)
from skep.spend.models import Percentiles, ProcessState, ReportLine, Savings, SavingsLine, TrendPoint
from skep.spend.money import usd_text
from skep.spend.reporting import CLOCK_SKEW, harmless
from skep.store import Database

TrendPer = Literal["hour", "day"]
ReportBy = Literal["project", "model", "key", "user", "tier", "provider", "outcome", "tag"]
DIMENSIONS: tuple[ReportBy, ...] = ("project", "model", "key", "user", "tier", "provider", "outcome", "tag")

KEPT_ROLLUP_DAYS = 800
"""Sums are small: they are kept longer than calls."""

_DAY_GROUPS = ("delete_day_groups", "insert_day_groups", "insert_day_misses")
_HOURS_AT_A_TIME = 100
_DAYS_AT_A_TIME = 1000

DAYS_AHEAD = 3
"""Partitions that are made before their day comes."""

KEPT_WINDOW_DAYS = 40
"""Ended windows, and alerts, are kept for so long, for people who look back at a month."""

_MOST_LINES = 1000
_CSV_COLUMNS = (
    *("value", "calls", "cost_usd", "unpriced", "estimated", "failed"),
    *("input_tokens", "cached_input_tokens", "output_tokens", "cached", "saved_usd"),
    *("ttft_p50_ms", "ttft_p95_ms", "ttft_p99_ms", "duration_p50_ms", "duration_p95_ms", "duration_p99_ms"),
)
_UUID7_VERSION = 7

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trend:
    """What calls cost over time."""

    per: str
    since: datetime
    points: list[TrendPoint]
    """Those with calls, in their order; ``start`` is in UTC."""
    pace: Pace | None
    """None where not a whole day, or not the whole month, is looked at."""


class Ledger:
    """The calls that were made. Everything is bound to the principal's project; looking needs the role ``reader``."""

    def __init__(self, database: Database, *, retention_days: int = 400, content_days: int = 7) -> None:
        self._database = database
        self._retention_days = retention_days
        self._content_days = content_days

    async def report(
        self, principal: Principal, *, by: ReportBy, since: datetime, until: datetime | None = None
    ) -> list[ReportLine]:
        """What calls since then cost and how long they took, by one of their properties, the dearest first; at most 1,000 lines.

        A call with several tags counts for each of them.
        """
        require_role(principal, "reader")
        rows = await self._database.fetch_tuples(
            queries["report_calls"],
            {
                "project_id": principal.project_id,
                "by": by,
                "since": since,
                "until": until or datetime.now(UTC) + CLOCK_SKEW,
                "limit": _MOST_LINES,
            },
            before=(queries["without_compiling"], None),
            is_planned_anew=True,
        )
        if by == "project":
            rows = [(principal.project_name, *numbers) for _, *numbers in rows]
        # A thousand lines take some hundredths of a second, in which the loop has calls to serve.
        return await asyncio.to_thread(lambda: [_line(value, numbers) for value, *numbers in rows])

    async def trend(self, principal: Principal, *, per: TrendPer, since: datetime) -> Trend:
        """What calls cost by hour or day, from the beginning of the one that ``since`` is in until now, and at which pace."""
        require_role(principal, "reader")
        now = datetime.now(UTC)
        begins = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        begins = begins.replace(hour=0) if per == "day" else begins
        bound = {"project_id": principal.project_id, "per": per, "since": begins, "until": now + CLOCK_SKEW}
        rows = await self._database.fetch_tuples(
            queries["report_trend"], bound, before=(queries["without_compiling"], None), is_planned_anew=True
        )
        points = [TrendPoint(start, calls, cost, usd_text(cost), *counts) for start, calls, cost, *counts in rows]
        return Trend(per, begins, points, pace_of(points, begins, now))

    async def savings(self, principal: Principal, *, since: datetime, until: datetime | None = None) -> Savings:
        """What calls since then saved by answers that were kept, and by streams that were ended early."""
        require_role(principal, "reader")
        bound = {
            "project_id": principal.project_id,
            "since": since,
            "until": until or datetime.now(UTC) + CLOCK_SKEW,
        }
        rows = await self._database.fetch_tuples(queries["report_savings"], bound)
        lines = [SavingsLine(by, calls, saved, usd_text(saved), unknown) for by, calls, saved, unknown in rows]
        return Savings(since, until, usd_text(sum(line.saved_nusd for line in lines)), lines)

    async def compare(
        self,
        principal: Principal,
        experiment: str,
        *,
        arms: Sequence[str],
        since: datetime,
        until: datetime | None = None,
    ) -> Comparison:
        """How the arms of an experiment fared since then, side by side.

        ``arms``: those that the settings name, in order; empty when they know no such experiment. Raises ExperimentNotFoundError.
        """
        require_role(principal, "reader")
        bound = {
            "project_id": principal.project_id,
            "prefix": experiment_tag(experiment, ""),
            "since": since,
            "until": until or datetime.now(UTC) + CLOCK_SKEW,
        }
        before = (queries["without_compiling"], None)
        found = await self._database.fetch_tuples(queries["compare_arms"], bound, before=before, is_planned_anew=True)
        rows = [_arm(row) for row in found]
        if not rows and not arms:
            raise ExperimentNotFoundError(name=experiment)
        return Comparison(experiment, since, until, *compared(rows, arms))

    async def roll_up(self) -> int:
        """Sum up the hours that have ended and to which calls were added since, and their days; how many hours there were."""
        rolled = 0
        while hours := await self._database.fetch_tuples(queries["fetch_due_hours"], {"limit": _HOURS_AT_A_TIME}):
            for (hour,) in hours:
                await self._roll_up_hour(hour)
                rolled += 1
        for (day,) in await self._database.fetch_tuples(queries["fetch_open_days"], {"limit": _DAYS_AT_A_TIME}):
            await self._roll_up_day(day)
        return rolled

    async def _roll_up_day(self, day: datetime) -> None:
        async with self._database.transaction() as connection:
            if await (await connection.execute(queries["close_day"], {"day": day})).fetchone() is None:
                return
            for statement in (
                "delete_day_rollups",
                "insert_day_rollups",
                "delete_day_arms",
                "insert_day_arms",
                *_DAY_GROUPS,
            ):
                await connection.execute(queries[statement], {"day": day})

    async def _roll_up_hour(self, hour: datetime) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(queries["stop_flushes"])
            if await (await connection.execute(queries["delete_due"], {"hour": hour})).fetchone() is None:
                return
            for statement in (
                "reopen_day",
                "delete_rollups",
                "delete_arms",
                "delete_groups",
                "insert_groups",
                "insert_misses",
            ):
                await connection.execute(queries[statement], {"hour": hour})
            await connection.execute(queries["insert_rollups"], {"hour": hour, "dimensions": list(DIMENSIONS)})
            await connection.execute(queries["insert_arms"], {"hour": hour, "prefix": EXPERIMENT_TAGS})

    async def call(self, principal: Principal, call_id: str) -> Explanation:
        """One call with everything that the ledger knows of it. Raises CallNotFoundError."""
        require_role(principal, "reader")
        since, until = _around(call_id)
        bound = {"project_id": principal.project_id, "call_id": call_id, "from": since, "until": until}
        row = await self._database.fetch_one(CallRow, queries["fetch_call"], bound)
        if row is None:
            raise CallNotFoundError(call_id=call_id)
        bound = {"project_id": principal.project_id, "window_ids": row.holds[::3]}
        rules = await self._database.fetch_all(ChargedRule, queries["fetch_charged_rules"], bound)
        return explain(row, rules)

    async def content(self, principal: Principal, call_id: str) -> CallContent:
        """What was said in one call; needs the role ``admin``, and is told in the log. Raises ContentNotKeptError."""
        require_role(principal, "admin")
        since, until = _around(call_id)
        bound = {"project_id": principal.project_id, "call_id": call_id, "from": since, "until": until}
        found = await self._database.fetch_one(CallContent, queries["fetch_content"], bound)
        if found is None:
            raise ContentNotKeptError(call_id=call_id)
        read = {"call": found.call_id, "key": principal.key_id, "project": principal.project_name}
        # A warning, so that it stands in the log also of those who want little in it.
        event(_log, logging.WARNING, "content of a call read", **read)
        return found

    async def processes(self, principal: Principal) -> list[ProcessState]:
        """Who holds leases."""
        require_role(principal, "reader")
        return await self._database.fetch_all(
            ProcessState, queries["fetch_processes"], {"project_id": principal.project_id}
        )

    async def release(self, principal: Principal, process_id: int) -> None:
        """Give back the leases of a process whose journal is lost. Its calls that are not in the ledger stay unknown.

        Only for administrators of the first project, since it holds something of every one.

        Raises ReleaseForeignError, and ProcessNotReleasableError while it may live.
        """
        require_role(principal, "admin")
        if principal.project_name != DEFAULT_PROJECT:
            raise ReleaseForeignError(home=DEFAULT_PROJECT, project_name=principal.project_name)
        bound = {"process_id": process_id}
        async with self._database.transaction() as connection:
            if await (await connection.execute(queries["lock_expired"], bound)).fetchone() is None:
                raise ProcessNotReleasableError(process_id=process_id)
            await connection.execute(queries["release_process"], bound)

    async def tidy(self) -> None:
        """A chore: make partitions ahead, sum up hours that have ended, and drop what is old."""
        await self._database.fetch_tuples(queries["open_coming_days"], {"days": DAYS_AHEAD})
        await self._database.fetch_tuples(queries["drop_old_days"], {"days": self._retention_days})
        await self._database.fetch_tuples(queries["drop_old_content_days"], {"days": self._content_days})
        for statement in ("delete_old_windows", "delete_old_alerts"):
            await self._database.execute(queries[statement], {"days": KEPT_WINDOW_DAYS})
        await self._database.execute(queries["delete_old_rollups"], {"days": KEPT_ROLLUP_DAYS})
        await self.roll_up()


def _line(value: str | None, row: Sequence[Any]) -> ReportLine:
    """A row of the report, in the order of its statement after the value."""
    calls, cost, *numbers, saved, ttft, duration = row
    times = percentiles(ttft), percentiles(duration)
    return ReportLine(*(value, calls, cost, usd_text(cost), *numbers, saved, usd_text(saved), *times))


def _arm(row: Sequence[Any]) -> ArmRow:
    """A row of the comparison, in the order of its statement."""
    arm, *counts = row[:6]
    moments = [Moments(*(int(each) for each in row[first : first + 3])) for first in (6, 9, 12)]
    return ArmRow(arm, *counts, *moments, *(percentiles(histogram) for histogram in row[15:]))


def report_csv(lines: Iterable[ReportLine]) -> str:
    """A report as a table of comma-separated values, with a line of names first."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV_COLUMNS)
    for line in lines:
        counts = [line.calls, line.cost_usd, line.unpriced, line.estimated, line.failed]
        tokens = [line.input_tokens, line.cached_input_tokens, line.output_tokens, line.cached, line.saved_usd]
        times = [time for found in (line.ttft, line.duration) for time in _times(found)]
        writer.writerow([harmless(line.value), *counts, *tokens, *times])
    return text.getvalue()


def _times(found: Percentiles | None) -> tuple[float | str, ...]:
    return ("", "", "") if found is None else (found.p50_ms, found.p95_ms, found.p99_ms)


def _around(call_id: str) -> tuple[datetime, datetime]:
    """When a call may have been made, by its id; a foreign id tells nothing. Raises CallNotFoundError for what is no id."""
    try:
        found = UUID(call_id)
    except ValueError:
        raise CallNotFoundError(call_id=call_id) from None
    if found.version != _UUID7_VERSION:
        return datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
    made = datetime.fromtimestamp((found.int >> 80) / 1000, UTC)
    return made - CLOCK_SKEW, made + timedelta(days=1)
