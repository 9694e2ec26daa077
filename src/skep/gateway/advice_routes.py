"""What would have served calls more cheaply, over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from pydantic import Field
from starlette.types import ASGIApp

from skep.access import Principal
from skep.gateway.advising import LIMITS, AdviceList, Known, advise
from skep.gateway.experiment_routes import Moment, SpanQuery
from skep.gateway.models import GatewayConfig
from skep.spend import Comparison, Ledger, Reports
from skep.store import Database
from skep.web import Call, Endpoint, json_answer


class AdviceQuery(SpanQuery):
    """Of which calls."""

    since: Moment = Field("30d", validate_default=True, description="A span such as 7d, 24h or 90m, or a date or time.")


def advice_endpoints(config: Callable[[], GatewayConfig], database: Callable[[], Database]) -> tuple[Endpoint, ...]:
    """The routes. ``config`` and ``database`` give what counts now, or raise why there is nothing."""

    async def show(call: Call) -> ASGIApp:
        query, reports = call.query(AdviceQuery), Reports(database())
        known = Known(
            await reports.groups(call.principal, since=query.since, until=query.until),
            await reports.misses(call.principal, since=query.since, until=query.until),
            await _compared(Ledger(database()), call.principal, config(), query.since, query.until),
        )
        return json_answer(AdviceList(query.since, query.until, list(LIMITS), advise(config(), known)))

    return (
        Endpoint(
            method="GET",
            path="/api/v1/gateway/advice",
            caller="reader",
            handle=show,
            summary="Which calls of the project other models or routes would have served for less, with the evidence and its limits",
            description="The same tokens at other prices. `recommended` needs an experiment between the two models, or attempts by a route to the"
            " same model, that show it to fail no more often, by an interval of 95 %. Calls that stayed in the house are"
            " weighed by local routes alone.",
            query=AdviceQuery,
            answer=AdviceList,
            answer_example=_ADVICE,
        ),
    )


async def _compared(
    ledger: Ledger, who: Principal, config: GatewayConfig, since: datetime, until: datetime | None
) -> Mapping[str, Comparison]:
    found = {}
    for model in config.models.values():
        if model.experiment is not None:
            name, arms = model.experiment.name, [arm.name for arm in model.experiment.arms]
            found[name] = await ledger.compare(who, name, arms=arms, since=since, until=until)
    return found


_TIMES = {"p50_ms": 861.08, "p95_ms": 2435.5, "p99_ms": 2896.31}
_ADVICE: dict[str, object] = {
    "since": "2026-10-21T10:13:00+00:00",
    "until": None,
    "limits": list(LIMITS),
    "groups": [
        {
            "model": "smart",
            "tier": "best",
            "face": "chat.completions",
            "stayed": False,
            "calls": 20_000,
            "weighed": 19_990,
            "stream_share": 0.7,
            "mean_input_tokens": 812.4,
            "mean_output_tokens": 201.3,
            "cached_input_share": 0.31,
            "cost_usd": "61.20",
            "failure_rate": {"value": 0.004, "low": 0.0032, "high": 0.005},
            "retried": 210,
            "fell_back": 44,
            "cancelled": 301,
            "ended_early": 12,
            "duration": _TIMES,
            "ttft": _TIMES,
            "routes_used": ["openai/gpt-x"],
            "models": [
                {
                    "model": "small",
                    "tier": "fast",
                    "cost_usd": "6.12",
                    "saves_usd": "55.08",
                    "saves_share": 0.9,
                    "evidence": "experiment",
                    "experiment": "cheaper",
                    "calls": 1900,
                    "difference": {"value": -0.001, "low": -0.004, "high": 0.003},
                    "duration": _TIMES,
                    "ttft": _TIMES,
                    "verdict": "recommended",
                    "words": "in the experiment it fails no more often",
                    "to_try": None,
                }
            ],
            "routes": [
                {
                    "route": "azure/gpt-x",
                    "relation": "same model",
                    "is_local": False,
                    "cost_usd": "58.00",
                    "saves_usd": "3.20",
                    "saves_share": 0.0523,
                    "attempts": 12,
                    "failure_rate": {"value": 0.0, "low": 0.0, "high": 0.2425},
                    "difference": None,
                    "duration": None,
                    "ttft": None,
                    "verdict": "try",
                    "words": "too few attempts to say anything: 12, and each side needs 30",
                }
            ],
        }
    ],
}
