"""The addresses of services."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from skep.access import AddressNotAllowedError, FaceNotAllowedError, ModelNotAllowedError, Principal
from skep.gateway.interfaces import (
    BodiesFullError,
    BodyTimeoutError,
    CallStoppedError,
    OverloadedError,
    RequestInvalidError,
)
from skep.gateway.services.interfaces import (
    ServiceClosedError,
    ServiceFailedError,
    ServiceLeavesError,
    ServiceMethodError,
    ServiceNotFoundError,
    ServicePathError,
    ServiceTimeoutError,
)
from skep.spend import (
    BudgetExceededError,
    JournalUnwritableError,
    LimitExceededError,
    MeterUnavailableError,
    UnpricedError,
)
from skep.web import BodyTooLargeError, Call, Endpoint, Notes

_ERRORS = (
    ModelNotAllowedError,
    FaceNotAllowedError,
    AddressNotAllowedError,
    RequestInvalidError,
    BodyTimeoutError,
    BodyTooLargeError,
    ServiceNotFoundError,
    ServicePathError,
    ServiceMethodError,
    ServiceLeavesError,
    BudgetExceededError,
    UnpricedError,
    LimitExceededError,
    MeterUnavailableError,
    JournalUnwritableError,
    OverloadedError,
    BodiesFullError,
    CallStoppedError,
    ServiceClosedError,
    ServiceFailedError,
    ServiceTimeoutError,
)

_Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
_METHODS: Final[tuple[_Method, ...]] = ("GET", "POST", "PUT", "PATCH", "DELETE")


class CallsServices(Protocol):
    """Who makes calls of services: the gateway."""

    def call_service(
        self, name: str, path: str, principal: Principal, scope: Scope, receive: Receive, send: Send, notes: Notes
    ) -> Awaitable[None]:
        """Make one and answer it."""
        ...


@dataclass(slots=True)
class _Answer:
    """The answer to a call: an ASGI application, which does the work when it is sent."""

    gateway: CallsServices
    call: Call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Make the call."""
        call = self.call
        name, path = call.path("name"), call.path("path")
        await self.gateway.call_service(name, path, call.principal, scope, receive, send, call.notes)


def service_endpoints(gateway: Callable[[], CallsServices]) -> tuple[Endpoint, ...]:
    """The routes, one for each method. ``gateway`` may raise why there is none."""

    async def handle(call: Call) -> ASGIApp:
        return _Answer(gateway(), call)

    return tuple(
        Endpoint(
            method=method,
            path="/services/{name}/{path:path}",
            caller="member",
            handle=handle,
            summary=f"Call a service that the settings name, by {method}",
            description="The rest of the path, the query, the body and the headers pass; credentials are the service's own. Its answer comes as it is."
            " Keys, budgets, limits and the ledger know it as the model service:NAME.",
            errors=_ERRORS,
        )
        for method in _METHODS
    )
