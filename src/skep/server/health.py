"""Whether the server lives, whether it is ready, and what everybody may know about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from starlette.types import ASGIApp

from skep import __version__
from skep.jobs import FLEET_QUEUES
from skep.server.interfaces import NotReadyError
from skep.server.opening import Opening
from skep.settings import Settings
from skep.store import DatabaseUnavailableError, SchemaTooNewError
from skep.web import Call, Endpoint, json_answer


@dataclass(frozen=True, slots=True)
class Alive:
    """That the process answers."""

    status: str


@dataclass(frozen=True, slots=True)
class Ready:
    """That requests can be served."""

    status: str
    database: str


@dataclass(frozen=True, slots=True)
class Workers:
    """Whether background jobs are done."""

    status: str
    """``ok``; ``idle`` when no worker gives a sign, and nothing waits; ``unattended`` when something waits, too."""
    online: int
    """Processes that do jobs, on all machines."""
    queues: Mapping[str, int]
    """How many of them look after each queue of the fleet."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request may ask for."""

    default_top_k: int
    max_top_k: int
    max_query_bytes: int
    max_body_bytes: int


@dataclass(frozen=True, slots=True)
class PublicConfig:
    """What everybody may know."""

    name: str
    version: str
    authentication: str
    api: str
    docs: str
    limits: Limits


def health_endpoints(opening: Opening, settings: Settings, *, max_body_bytes: int) -> tuple[Endpoint, ...]:
    """The routes that need no key."""
    known = PublicConfig(
        name="skep",
        version=__version__,
        authentication="bearer",
        api="/api/v1",
        docs="/api/docs",
        limits=Limits(
            default_top_k=settings.search.default_top_k,
            max_top_k=settings.search.max_top_k,
            max_query_bytes=settings.search.max_query_bytes,
            max_body_bytes=max_body_bytes,
        ),
    )

    async def alive(_: Call) -> ASGIApp:
        return json_answer(Alive("ok"))

    async def ready(_: Call) -> ASGIApp:
        await opening.check()
        return json_answer(Ready("ready", "ok"))

    async def config(_: Call) -> ASGIApp:
        return json_answer(known)

    return (
        Endpoint(
            method="GET",
            path="/healthz",
            caller="public",
            handle=alive,
            summary="Whether the process answers",
            answer=Alive,
            answer_example={"status": "ok"},
        ),
        Endpoint(
            method="GET",
            path="/readyz",
            caller="public",
            handle=ready,
            summary="Whether requests can be served: the database answers and has this version's schema",
            answer=Ready,
            answer_example={"status": "ready", "database": "ok"},
            errors=(NotReadyError, DatabaseUnavailableError, SchemaTooNewError),
        ),
        _workers_endpoint(opening),
        Endpoint(
            method="GET",
            path="/config",
            caller="public",
            handle=config,
            summary="What everybody may know about this server",
            answer=PublicConfig,
            answer_example=asdict(known),
        ),
    )


def _workers_endpoint(opening: Opening) -> Endpoint:
    async def workers(_: Call) -> ASGIApp:
        await opening.check()
        jobs = opening.skep.jobs
        online = [worker for worker in await jobs.workers() if worker.online]
        queues = {
            queue: len({(worker.node, worker.process_id) for worker in online if queue in worker.queues})
            for queue in FLEET_QUEUES
        }
        alone = any(state.depth and not queues.get(state.queue, len(online)) for state in await jobs.queues())
        status = "unattended" if alone else "ok" if online else "idle"
        found = Workers(status, len({(worker.node, worker.process_id) for worker in online}), queues)
        return json_answer(found)

    return Endpoint(
        method="GET",
        path="/health/workers",
        caller="public",
        handle=workers,
        summary="Whether background jobs are done; unattended when some wait in a queue that no worker looks after",
        answer=Workers,
        answer_example={"status": "ok", "online": 1, "queues": {"ingest": 1, "analysis": 1, "default": 1}},
        errors=(NotReadyError, DatabaseUnavailableError, SchemaTooNewError),
    )
