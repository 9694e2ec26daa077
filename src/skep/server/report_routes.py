"""Where calls went and what streams brought, over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from starlette.responses import Response
from starlette.types import ASGIApp

from skep.spend import Privacy, ReportBy, Reports, Streams, parse_since, privacy_csv
from skep.web import Call, Endpoint, json_answer

Moment = Annotated[datetime, BeforeValidator(parse_since, json_schema_input_type=str)]


class StreamsQuery(BaseModel):
    """Which calls to look at."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    since: Moment = Field("7d", validate_default=True, description="A span such as 7d, 24h or 90m, or a date or time.")
    until: Moment | None = Field(None, description="The same; left out: now.")


class PrivacyQuery(StreamsQuery):
    """Which calls to look at, and how."""

    by: ReportBy = Field("project", description="What to add up by.")
    per: Literal["span", "day"] = Field("span", description="All days together, or each (UTC) by itself.")
    format: Literal["json", "csv"] = Field("json", description="How to answer.")


def report_endpoints(reports: Callable[[], Reports]) -> tuple[Endpoint, ...]:
    """The routes. ``reports`` may raise an UnavailableError."""

    async def privacy(call: Call) -> ASGIApp:
        query = call.query(PrivacyQuery)
        found = await reports().privacy(
            call.principal, by=query.by, per_day=query.per == "day", since=query.since, until=query.until
        )
        if query.format == "csv":
            return Response(privacy_csv(found.lines), media_type="text/csv")
        return json_answer(found)

    async def streams(call: Call) -> ASGIApp:
        return json_answer(await reports().streams(call.principal, **call.query(StreamsQuery).model_dump()))

    return (
        Endpoint(
            method="GET",
            path="/api/v1/cost/privacy",
            caller="reader",
            handle=privacy,
            summary="How many calls of the project, with how many tokens and at what cost, stayed in the house or left it",
            description="A call has left the house when it was sent to a provider that is not local, also in an attempt that failed, or to be"
            " judged there. A call with several tags counts for each of them.",
            query=PrivacyQuery,
            answer=Privacy,
            other_media_types=("text/csv",),
            answer_example=_PRIVACY,
        ),
        Endpoint(
            method="GET",
            path="/api/v1/cost/streams",
            caller="reader",
            handle=streams,
            summary="What streams brought, by model: how much sooner clients had something to read, and what was ended early",
            description="Percentiles are exact to 19 %, never too low.",
            query=StreamsQuery,
            answer=Streams,
            answer_example=_STREAMS,
        ),
    )


_PRIVACY: dict[str, object] = {
    "by": "model",
    "since": "2026-11-13T10:13:00+00:00",
    "until": None,
    "lines": [
        {
            "day": None,
            "value": "smart",
            "calls": 1000,
            "remote": 590,
            "local": 300,
            "kept": 100,
            "unknown": 10,
            "stayed_share": 0.40404,
            "remote_tokens": 812_000,
            "local_tokens": 402_000,
            "stayed_token_share": 0.33114,
            "remote_cost_usd": "1.4123",
            "local_cost_usd": "0.00",
        }
    ],
}
_FIRST = {"p50_ms": 304.44, "p95_ms": 724.08, "p99_ms": 1448.15}
_WHOLE = {"p50_ms": 2896.31, "p95_ms": 8192.0, "p99_ms": 9742.0}
_STREAMS: dict[str, object] = {
    "since": "2026-11-13T10:13:00+00:00",
    "until": None,
    "lines": [
        {
            "model": "smart",
            "calls": 1000,
            "streams": 700,
            "stream_share": 0.7,
            "mean_first_ms": 341.2,
            "mean_stream_ms": 3120.8,
            "mean_whole_ms": 2988.1,
            "saved_wait_seconds": 1945.72,
            "first": _FIRST,
            "stream": _WHOLE,
            "whole": _WHOLE,
            "cancelled": 12,
            "cancelled_share": 0.01714,
            "stopped": 41,
            "spared_usd": "0.0167",
        }
    ],
}
