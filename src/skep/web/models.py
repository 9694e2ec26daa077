"""What a route is: its address, who may call it, what it takes and gives; and one call of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Literal, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Scope
from starlette.websockets import WebSocket

from skep.access import Principal, Role
from skep.errors import SkepError
from skep.spend import AddressWindow
from skep.web.interfaces import BodyInvalidError, BodyTooLargeError, QueryInvalidError

WHOLE_ANSWER: Final = "skep.whole_answer"
"""The type of a message of ours, which the gate takes beside those of ASGI: ``status``, ``headers`` and ``body`` of an answer that is
there as a whole, without ``content-length``. It leaves in one write where the server can do that."""

WHOLE_BODY: Final = "skep.whole_body"
"""Among a request's extensions, where the server can do that: a function that gives the body if all of it is there, else None. Without
a timer, a message and waiting; what it gave is not received any more."""

BREAK: Final = "skep.break"
"""Among a request's extensions, where the server can do that: a function that closes the connection in the middle of an answer."""

Caller = Literal["public"] | Role
"""Who may call a route: anybody, or at least this role."""

Model = TypeVar("Model", bound=BaseModel)


@dataclass(slots=True)
class Notes:
    """What a route adds to what is done for every request."""

    log: dict[str, object] = field(default_factory=dict)
    """Facts for the request's one line in the log; None is left out."""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    """For the answer, whatever it becomes; to be added before it begins."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that was answered with an error, before or after its route took it."""

    code: str
    status: int
    trace_id: str
    headers: Iterable[tuple[bytes, bytes]]
    """Of the request."""
    log: Mapping[str, object]
    """What the route noted of it for the log."""
    seconds: float
    """How long it took."""


@dataclass(slots=True)
class Call:
    """One request that was let through."""

    request: Request
    max_body_bytes: int
    asked_by: Principal | None
    """None on a public route, or where one may answer without the database or without a key."""
    notes: Notes = field(default_factory=Notes)
    window: AddressWindow | None = None
    """Where the address stands that asks, when it sent no key; None when it sent one."""

    @property
    def principal(self) -> Principal:
        """Who is asking. Not for public routes."""
        assert self.asked_by is not None, "a public route has no principal"
        return self.asked_by

    def path(self, name: str) -> str:
        """A part of the address that the route names."""
        return str(self.request.path_params[name])

    async def body(self, model: type[Model]) -> Model:
        """The JSON body. No body at all stands for an empty object.

        Raises BodyTooLargeError, BodyInvalidError.
        """
        try:
            return model.model_validate_json(await self.raw_body() or b"{}")
        except ValidationError as error:
            problems = field_problems(error)
            raise BodyInvalidError(reason=_first(problems), problems=problems) from error

    def query(self, model: type[Model]) -> Model:
        """The parameters after ``?``. Raises QueryInvalidError."""
        try:
            return model.model_validate(dict(self.request.query_params))
        except ValidationError as error:
            problems = field_problems(error)
            raise QueryInvalidError(reason=_first(problems), problems=problems) from error

    async def raw_body(self) -> bytes:
        """The bytes of the body. Raises BodyTooLargeError as soon as there are too many."""
        announced = self.request.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > self.max_body_bytes:
            raise BodyTooLargeError(limit_bytes=self.max_body_bytes)
        parts: list[bytes] = []
        size = 0
        async for part in self.request.stream():
            size += len(part)
            if size > self.max_body_bytes:
                raise BodyTooLargeError(limit_bytes=self.max_body_bytes)
            parts.append(part)
        return b"".join(parts)


Handler = Callable[[Call], Awaitable[ASGIApp]]
"""Does what a route is for; what it returns is sent as the answer (Starlette's responses are such)."""


SocketHandler = Callable[[Call, WebSocket], Awaitable[None]]
"""Talks over a WebSocket that was let through: accepts it, and closes it unless the client did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A route. One that does not say who may call it cannot be written."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    """As Starlette writes it: ``/api/v1/jobs/{job_id}``; ``{path:path}`` takes slashes too."""
    caller: Caller
    handle: Handler
    summary: str
    """One sentence, without a full stop."""
    description: str = ""
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    answer: Any = None
    """The type of the JSON answer; None when it is no JSON."""
    status: HTTPStatus = HTTPStatus.OK
    media_type: str = "application/json"
    other_media_types: tuple[str, ...] = ()
    """Of texts that it answers with instead, when it is asked to."""
    body_example: object = None
    answer_example: object = None
    socket: SocketHandler | None = None
    """What a WebSocket of the same address gets; None when it takes none."""
    answers_without_database: bool = False
    """Whether it is called, by nobody known, when a key cannot be looked up; then ``Call.asked_by`` is None too."""
    keyless_on_loopback: bool = False
    """Whether programs of this machine may call it without a key; then ``Call.asked_by`` is None too."""
    takes_keyless: bool = False
    """Whether it is called, for the key that the settings name for that, also when no key was sent; then ``Call.window`` is there."""
    other_answers: Mapping[int, str] = field(default_factory=dict)
    """Answers that a protocol behind the route gives by itself, mostly in JSON: what they mean, by status."""
    on_refusal: Callable[[Refusal], None] | None = None
    """Is told of requests that were answered with an error of ours; must not fail."""
    errors: Sequence[type[SkepError]] = ()
    """What it may refuse with, besides what every route may."""


def break_connection(scope: Scope) -> None:
    """End an answer that has begun in a way that nobody takes for its end: nothing can be said in the middle of what is no text.

    Raises ConnectionAbortedError where the server cannot do it; that ends it, too.
    """
    close = scope.get("extensions", {}).get(BREAK)
    if close is None:
        raise ConnectionAbortedError
    close()


def json_answer(value: object, status: HTTPStatus = HTTPStatus.OK, headers: dict[str, str] | None = None) -> Response:
    """An answer in JSON. Takes dataclasses, times, and plain values."""
    return Response(orjson.dumps(value), status, headers, "application/json")


def field_problems(error: ValidationError) -> tuple[dict[str, str], ...]:
    """Each wrong field by its dotted name, with a sentence; what was sent is not repeated."""
    return tuple(
        {"field": ".".join(map(str, problem["loc"])), "reason": problem["msg"]}
        for problem in error.errors(include_url=False, include_context=False, include_input=False)
    )


def _first(problems: Sequence[dict[str, str]]) -> str:
    first = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return (f"{first['field']}: " if first["field"] else "") + first["reason"] + more
