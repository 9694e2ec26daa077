"""What the gateway stands on, and its errors.

UsageError
├── RequestInvalidError        the body is not what the face takes (400)
├── ContentTypeWrongError      the body is neither what the face takes nor said to be (415)
├── FaceNotSpokenError         no provider of the model has the address, nor one to translate into (400)
├── RequestUntranslatableError a field cannot be said to any of the model's providers (400)
├── BodyTimeoutError           the body did not come in time (408)
└── ProviderRefusedError       the provider says so, in words that cannot be passed on (400)
RefusedError
└── LocalOnlyError             no route of the model stays in the house, and the call must (403)
NotFoundError
├── ModelNotFoundError         nobody serves a model of this name (404)
├── ResponseNotKeptError       answers are not kept, so none can be fetched (404)
├── MethodNotServedError       Gemini's API has methods that are not served here (404)
├── TierNotFoundError          no model is of this tier (404)
└── RoleNotFoundError          the settings have no role of this name (404)
UnavailableError
├── OverloadedError            too many calls are under way (503)
├── BodiesFullError            their bodies hold as much memory as they may (503)
├── CallStoppedError           the server stops, and the call had no time left (503)
├── NoRouteError               every route of the model is closed by its breaker (503)
│   └── RoutesBusyError        because their providers take no more calls (429)
├── ProviderFailedError        the provider gave no answer that can be passed on (502)
├── ProviderTimeoutError       it took too long (504)
└── ProviderBusyError          it has its own limits (429)
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Protocol

from skep.errors import NotFoundError, RefusedError, SkepError, UnavailableError, UsageError
from skep.gateway.failures import Failure
from skep.gateway.models import Provider


class RequestInvalidError(UsageError):
    """The request is not what this address takes: {reason}"""

    http_status = 400
    fix = (
        "See the reference of the API whose address this is; headers and names of Skep's own stand in docs/reference/headers.md."
        " What Skep does not know passes through untouched."
    )


class ContentTypeWrongError(UsageError):
    """This address takes {expected}, and what came {came}."""

    http_status = 415
    fix = "Send it as that, and say so in the header content-type."


class FaceNotSpokenError(UsageError):
    """No provider of {model} has {face}, nor an address that such a request can be translated for; it can be asked for {known}."""

    http_status = 400
    fix = "Ask another model, or {model} at another address; `skep gateway models` shows what each can be asked for."


class RequestUntranslatableError(UsageError):
    """No provider of {model} can be told {param} of this request: {reason}"""

    http_status = 400
    fix = "Leave it out, or ask for a model whose provider has this address itself; docs/reference/translation.md says what can be translated."


class LocalOnlyError(RefusedError):
    """No route of {model} is local, and {whose} must stay with local providers."""

    fix = "Ask for a model with a local route; an administrator may mark a provider as such (local: true) under providers: in the settings."


class BodyTimeoutError(UsageError):
    """The body of the request did not come within {seconds} s."""

    http_status = 408
    fix = "Send it faster or in smaller parts, or let an administrator raise gateway.body_timeout_seconds."


class ModelNotFoundError(NotFoundError):
    """There is no model named {name} here."""

    fix = "GET /v1/models lists them; an administrator adds one under models: in the settings."


class ResponseNotKeptError(NotFoundError):
    """Of responses only POST /v1/responses is served here, not {method} {address}: answers are not kept."""

    fix = "Send the whole conversation with each request; what a provider has stored is had from the provider itself."


class MethodNotServedError(NotFoundError):
    """Of Gemini's methods generateContent, streamGenerateContent and countTokens are served here, not {method} of {model}."""

    fix = "Vectors are had at POST /v1/embeddings, pictures and sound at /v1/images and /v1/audio; docs/reference has every address."


class TierNotFoundError(NotFoundError):
    """No model is of the tier {name} here. Tiers: {tiers}."""

    fix = "Ask for one of them as tier:NAME; an administrator says which models are of a tier: models.MODEL.tier in the settings."


class RoleNotFoundError(NotFoundError):
    """There is no role named {name} here. Roles: {roles}."""

    fix = "Name one of them in x-skep-role; an administrator adds one under roles: in the settings."


class OverloadedError(UnavailableError):
    """Too many calls are under way: {active} run and {waiting} wait."""

    fix = (
        "Try again after a moment, as Retry-After says; gateway.max_calls and gateway.max_waiting_calls set the bounds."
    )


class BodiesFullError(UnavailableError):
    """Requests under way hold {held_bytes} bytes; {limit_bytes} are allowed."""

    fix = "Try again after a moment, as Retry-After says; gateway.max_held_bytes sets the bound."


class CallStoppedError(UnavailableError):
    """The server stops, and this call of {model} was not finished in the time that was left."""

    fix = "Send it again after a moment; server.drain_seconds sets how long calls may go on when a server stops."


class NoRouteError(UnavailableError):
    """No provider can be asked for {model} now: {reason}"""

    fix = "Try again after Retry-After; `skep gateway status` shows whose breakers are open and why."


class RoutesBusyError(NoRouteError):
    """No provider takes more calls of {model} for now: {reason}"""

    http_status = 429
    fix = "Wait as long as Retry-After says; the settings may name another route to fall back on."


class ProviderFailedError(UnavailableError):
    """The provider {provider} failed with {model} ({kind}): {reason}"""

    http_status = 502
    fix = "`skep gateway status` shows how its routes fare; the settings may name a second route to fall back on."


class ProviderTimeoutError(UnavailableError):
    """The provider {provider} took too long with {model}: {reason}"""

    http_status = 504
    fix = "Ask for less at a time, or let an administrator raise timeout_seconds of the route in the settings."


class ProviderBusyError(UnavailableError):
    """The provider {provider} takes no more calls of {model} for now: {reason}"""

    http_status = 429
    fix = "Wait as long as Retry-After says; the settings may name a second route to fall back on."


class ProviderRefusedError(UsageError):
    """The provider {provider} refuses this request to {model} ({kind}): {reason}"""

    http_status = 400
    fix = "See the provider's reference; Skep passes on what it does not know."


def failed_error(failure: Failure, *, provider: str, model: str) -> SkepError:
    """The error that a client gets when this was the last failure of its call."""
    by_status = {429: ProviderBusyError, 504: ProviderTimeoutError, 400: ProviderRefusedError}
    kind = by_status.get(failure.rule.client_status, ProviderFailedError)
    wait = failure.retry_after_seconds
    return kind(provider=provider, model=model, kind=failure.kind, reason=failure.reason, retry_after_seconds=wait)


class AttemptFailedError(Exception):
    """One attempt did not succeed; only between the upstream and those who decide what comes next."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        super().__init__(failure.reason)


class CancelledUnsentError(asyncio.CancelledError):
    """A call was cancelled before a connection was made: nothing of it has left."""


class LocalEmbedder(Protocol):
    """The embedding model that is part of Skep, as it is handed in."""

    @property
    def dimensions(self) -> int:
        """The length of a vector."""

    def embed(self, texts: Sequence[str]) -> Iterable[Any]:
        """One vector (numbers, in order) of unit length per text. Blocks; safe to call in a thread. Raises UnavailableError."""

    def count_tokens(self, texts: Sequence[str]) -> int:
        """How many tokens of the texts were looked at. Blocks like `embed`."""


class Answer(Protocol):
    """A provider's whole answer."""

    status: int
    headers: Sequence[tuple[str, str]]
    """Names in lower case."""
    body: bytes
    """Unpacked."""


class Stream(Protocol):
    """A provider's answer that has begun. Must be closed."""

    status: int
    headers: Sequence[tuple[str, str]]
    """Names in lower case."""

    async def read(self, timeout_seconds: float) -> bytes:
        """The next piece, unpacked; empty at the end.

        Raises AttemptFailedError: ``timeout`` after so many seconds without a byte, ``interrupted`` when the connection
        broke.
        """

    async def close(self) -> None:
        """Let go of the connection; one that is not read to its end is closed, so that the provider stops."""


class Upstream(Protocol):
    """Sends requests to providers. Cancelling a call closes its connection, and raises CancelledUnsentError before there is one."""

    async def fetch(
        self,
        provider: Provider,
        path: str,
        body: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        *,
        timeout_seconds: float,
    ) -> Answer:
        """Send, and read the answer to its end, which must have come after ``timeout_seconds``.

        Raises AttemptFailedError: ``unreachable``, ``timeout``, ``malformed`` for an answer that is cut off, too large or
        packed in a way nobody asked for.
        """

    async def stream(
        self,
        provider: Provider,
        path: str,
        body: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        *,
        timeout_seconds: float,
        method: str = "POST",
    ) -> Stream:
        """Send, and wait so long for the head of the answer. Raises as `fetch` does."""

    async def probe(self, provider: Provider, path: str, *, timeout_seconds: float) -> int:
        """The status that a GET is answered with. Raises as `fetch` does."""

    def retire(self, providers: Collection[Provider], max_answer_bytes: int) -> None:
        """From now on these are the providers: no connection to another one is used again once its call has ended."""

    async def close(self) -> None:
        """Close every connection."""
