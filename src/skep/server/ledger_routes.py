"""What calls cost, over HTTP: reports, and single calls explained. Here for the same reason as the keys."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from starlette.responses import Response
from starlette.types import ASGIApp

from skep.spend import (
    CallContent,
    CallNotFoundError,
    ContentNotKeptError,
    Explanation,
    Ledger,
    Report,
    ReportBy,
    Savings,
    Trend,
    TrendPer,
    parse_since,
    report_csv,
)
from skep.web import Call, Endpoint, json_answer

Moment = Annotated[datetime, BeforeValidator(parse_since, json_schema_input_type=str)]


class ReportQuery(BaseModel):
    """Which calls to report, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    by: ReportBy = Field("model", description="What to add up by.")
    since: Moment = Field("7d", validate_default=True, description="A span such as 7d, 24h or 90m, or a date or time.")
    until: Moment | None = Field(None, description="The same; left out: now.")
    format: Literal["json", "csv"] = Field("json", description="How to answer.")


class TrendQuery(BaseModel):
    """Which calls to look at, and by what."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    per: TrendPer = Field("day", description="By hour or day, in UTC.")
    since: Moment = Field("45d", validate_default=True, description="A span such as 7d, 24h or 90m, or a date or time.")


class SavingsQuery(BaseModel):
    """Which calls to look at."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    since: Moment = Field("7d", validate_default=True, description="A span such as 7d, 24h or 90m, or a date or time.")
    until: Moment | None = Field(None, description="The same; left out: now.")


def ledger_endpoints(ledger: Callable[[], Ledger]) -> tuple[Endpoint, ...]:
    """The routes. ``ledger`` may raise an UnavailableError."""

    async def report(call: Call) -> ASGIApp:
        query = call.query(ReportQuery)
        lines = await ledger().report(call.principal, by=query.by, since=query.since, until=query.until)
        if query.format == "csv":
            return Response(report_csv(lines), media_type="text/csv")
        return json_answer(Report(query.by, query.since, query.until, lines))

    async def show(call: Call) -> ASGIApp:
        return json_answer(await ledger().call(call.principal, call.path("call_id")))

    async def content(call: Call) -> ASGIApp:
        return json_answer(await ledger().content(call.principal, call.path("call_id")))

    return (
        Endpoint(
            method="GET",
            path="/api/v1/cost/report",
            caller="reader",
            handle=report,
            summary="What calls of the project cost and how long they took, by one of their properties, the dearest first",
            description="A call with several tags counts for each of them. Percentiles are exact to 19 %, never too low.",
            query=ReportQuery,
            answer=Report,
            other_media_types=("text/csv",),
            answer_example=_REPORT,
        ),
        *_over_time(ledger),
        Endpoint(
            method="GET",
            path="/api/v1/calls/{call_id}",
            caller="reader",
            handle=show,
            summary="Explain a call: what was tried, how long it took, what it cost and why, which rules counted it",
            answer=Explanation,
            errors=(CallNotFoundError,),
        ),
        Endpoint(
            method="GET",
            path="/api/v1/calls/{call_id}/content",
            caller="admin",
            handle=content,
            summary="What was said in a call, where gateway.content had it kept; who reads it is told in the log",
            answer=CallContent,
            errors=(CallNotFoundError, ContentNotKeptError),
        ),
    )


def _over_time(ledger: Callable[[], Ledger]) -> tuple[Endpoint, ...]:
    async def trend(call: Call) -> ASGIApp:
        return json_answer(await ledger().trend(call.principal, **call.query(TrendQuery).model_dump()))

    async def savings(call: Call) -> ASGIApp:
        return json_answer(await ledger().savings(call.principal, **call.query(SavingsQuery).model_dump()))

    return (
        Endpoint(
            method="GET",
            path="/api/v1/cost/trend",
            caller="reader",
            handle=trend,
            summary="What calls of the project cost by hour or day, at which pace, and where that leads by the end of the month",
            query=TrendQuery,
            answer=Trend,
            answer_example=_TREND,
        ),
        Endpoint(
            method="GET",
            path="/api/v1/cost/savings",
            caller="reader",
            handle=savings,
            summary="What calls of the project saved, by answers that were kept and streams that were ended early",
            query=SavingsQuery,
            answer=Savings,
            answer_example=_SAVINGS,
        ),
    )


_TREND: dict[str, object] = {
    "per": "day",
    "since": "2026-10-01T00:00:00+00:00",
    "points": [
        {
            "start": "2026-11-19T00:00:00+00:00",
            "calls": 1840,
            "cost_nusd": 2_311_500_000,
            "cost_usd": "2.3115",
            "unpriced": 0,
            "failed": 2,
            "input_tokens": 1_912_000,
            "output_tokens": 402_100,
        }
    ],
    "pace": {"usd_per_day": "2.21", "usd_per_day_before": "1.87", "month_usd": "38.02", "month_end_usd": "62.33"},
}
_SAVINGS: dict[str, object] = {
    "since": "2026-11-13T10:13:00+00:00",
    "until": None,
    "saved_usd": "0.4187",
    "lines": [
        {"by": "cache", "calls": 310, "saved_nusd": 402_000_000, "saved_usd": "0.402", "unknown": 0},
        {"by": "json", "calls": 41, "saved_nusd": 16_700_000, "saved_usd": "0.0167", "unknown": 3},
    ],
}
_TIMES = {"p50_ms": 430.54, "p95_ms": 1722.16, "p99_ms": 2896.31}
_REPORT: dict[str, object] = {
    "by": "model",
    "since": "2026-11-13T10:13:00+00:00",
    "until": None,
    "lines": [
        {
            "value": "smart",
            "calls": 1840,
            "cost_nusd": 2_311_500_000,
            "cost_usd": "2.3115",
            "unpriced": 0,
            "estimated": 3,
            "input_tokens": 1_912_000,
            "cached_input_tokens": 640_000,
            "output_tokens": 402_100,
            "failed": 2,
            "cached": 310,
            "saved_nusd": 402_000_000,
            "saved_usd": "0.402",
            "ttft": _TIMES,
            "duration": _TIMES,
        }
    ],
}
