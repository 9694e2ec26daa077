"""The route by which an administrator has the settings read again."""

from __future__ import annotations

from starlette.types import ASGIApp

from skep.server.interfaces import ReloadRefusedError
from skep.server.reloading import Reload, Reloaded
from skep.web import Call, Endpoint, json_answer


def reload_endpoints(reload: Reload) -> tuple[Endpoint, ...]:
    """The route."""

    async def handle(_: Call) -> ASGIApp:
        return json_answer(await reload())

    return (
        Endpoint(
            method="POST",
            path="/api/v1/gateway/reload",
            caller="admin",
            handle=handle,
            summary="Read the settings again: providers, models, gateway.* and log.level count at once",
            description="In every process of this server. Calls under way go on by what counted when they began. Settings"
            " that are not valid are refused, and the old ones go on.",
            answer=Reloaded,
            answer_example={"process": 4711, "changed": ["models"], "needs_restart": ["server.port"]},
            errors=(ReloadRefusedError,),
        ),
    )
