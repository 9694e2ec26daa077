"""How the arms of an experiment compare, over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from starlette.types import ASGIApp

from skep.gateway.models import Arm, GatewayConfig
from skep.spend import Comparison, ExperimentNotFoundError, Ledger, parse_since
from skep.store import Database
from skep.web import Call, Endpoint, json_answer

Moment = Annotated[datetime, BeforeValidator(parse_since, json_schema_input_type=str)]


class SpanQuery(BaseModel):
    """Of which calls."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    since: Moment = Field("7d", validate_default=True, description="A span such as 7d, 24h or 90m, or a date or time.")
    until: Moment | None = Field(None, description="The same; left out: now.")


def experiment_endpoints(config: Callable[[], GatewayConfig], database: Callable[[], Database]) -> tuple[Endpoint, ...]:
    """The routes. ``config`` and ``database`` give what counts now, or raise why there is nothing."""

    async def compare(call: Call) -> ASGIApp:
        query, name = call.query(SpanQuery), call.path("name")
        arms = [arm.name for arm in arms_of(config(), name)]
        ledger = Ledger(database())
        return json_answer(await ledger.compare(call.principal, name, arms=arms, since=query.since, until=query.until))

    return (
        Endpoint(
            method="GET",
            path="/api/v1/gateway/experiments/{name}",
            caller="reader",
            handle=compare,
            summary="How the arms of an experiment compare: failures, cost, times, each with its interval",
            description="Of the calls of the project for which a provider was asked. Intervals are of 95 % and take calls as independent"
            " of each other. Differences are to the first arm; an interval that has 0 within shows none.",
            query=SpanQuery,
            answer=Comparison,
            answer_example=_COMPARISON,
            errors=(ExperimentNotFoundError,),
        ),
    )


def arms_of(config: GatewayConfig, experiment: str) -> tuple[Arm, ...]:
    """The arms of an experiment, in order; none when the settings do not know it."""
    experiments = (model.experiment for model in config.models.values())
    return next((each.arms for each in experiments if each is not None and each.name == experiment), ())


_COMPARISON: dict[str, object] = {
    "experiment": "cheaper",
    "since": "2026-11-13T10:13:00+00:00",
    "until": None,
    "arms": [
        {
            "arm": "control",
            "calls": 1900,
            "keys": 41,
            "cached": 0,
            "failed": 19,
            "failure_rate": {"value": 0.01, "low": 0.0064, "high": 0.0156},
            "priced": 1900,
            "mean_cost_nusd": {"value": 1_200_000.0, "low": 1_150_000.0, "high": 1_250_000.0},
            "output_tokens": 402_100,
            "mean_duration_ms": {"value": 941.2, "low": 902.8, "high": 979.6},
            "mean_ttft_ms": {"value": 331.0, "low": 318.4, "high": 343.6},
            "duration": {"p50_ms": 861.08, "p95_ms": 2435.5, "p99_ms": 2896.31},
            "ttft": {"p50_ms": 304.44, "p95_ms": 724.08, "p99_ms": 861.08},
        }
    ],
    "differences": [
        {
            "arm": "canary",
            "to": "control",
            "failure_rate": {"value": 0.002, "low": -0.011, "high": 0.038},
            "mean_cost_nusd": {"value": -700_000.0, "low": -790_000.0, "high": -610_000.0},
            "mean_duration_ms": {"value": -310.5, "low": -402.1, "high": -218.9},
            "mean_ttft_ms": {"value": -40.2, "low": -61.0, "high": -19.4},
            "words": "no difference in failures can be seen, costs less",
        }
    ],
}
