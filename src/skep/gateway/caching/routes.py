"""The address at which kept answers are cleared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.types import ASGIApp

from skep.gateway.caching.clearings import clear
from skep.store import Database
from skep.web import Call, Endpoint, json_answer

_Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class ClearBody(BaseModel):
    """Which kept answers are to be given no more; without both, all of the project's."""

    # A misspelt field must not clear everything.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    tags: list[_Name] = Field([], max_length=100, description="Those with one of these x-skep-cache-tags.")
    models: list[_Name] = Field([], max_length=100, description="Those of these models, as clients call them.")


@dataclass(frozen=True, slots=True)
class Cleared:
    """What was cleared."""

    cleared: list[str]
    """* for everything of the project, model:NAME, tag:TAG."""


def cache_endpoints(database: Callable[[], Database]) -> tuple[Endpoint, ...]:
    """The routes of the cache of answers."""

    async def handle(call: Call) -> ASGIApp:
        body = await call.body(ClearBody)
        return json_answer(Cleared(await clear(database(), call.principal, tags=body.tags, models=body.models)))

    return (
        Endpoint(
            method="POST",
            path="/api/v1/gateway/cache/clear",
            caller="admin",
            handle=handle,
            summary="Give kept answers no more: those with a tag, those of a model, or all of the project's",
            description="In every process on the database, within a second.",
            body=ClearBody,
            body_example={"tags": ["docs"]},
            answer=Cleared,
            answer_example={"cleared": ["tag:docs"]},
        ),
    )
