"""Calls a service for a client: admitted, reserved and written down like a call of a model, and passed on as it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from starlette.types import Receive, Send

from skep.gateway.admitting import admit
from skep.gateway.calls import NO_USAGE, Tools
from skep.gateway.failures import Failure, retry_after_seconds
from skep.gateway.headers import dollars, exceeded_headers, header, limit_headers, to_client, to_service
from skep.gateway.interfaces import AttemptFailedError, CallStoppedError, CancelledUnsentError, Stream
from skep.gateway.metrics import count_call
from skep.gateway.models import Route
from skep.gateway.pricing import FREE
from skep.gateway.services.interfaces import ServiceClosedError, ServiceFailedError, ServiceTimeoutError
from skep.gateway.services.models import SERVICES_FACE, Service
from skep.gateway.watching import ClientWatch
from skep.spend import Ask, Caller, Outcome, Price, Rates, Settlement, Step, Ticket, make_price
from skep.web import Notes

_NO_RATES = Rates(input_nusd_per_mtok=0, output_nusd_per_mtok=0)
_KIND = "service"


@dataclass(slots=True, eq=False)
class ServiceCall:
    """One call. ``target`` is the path behind the service's address with its query; ``started`` is monotonic."""

    service: Service
    caller: Caller
    method: str
    path: str
    """Decoded, for the rules about costs."""
    target: str
    headers: Sequence[tuple[bytes, bytes]]
    """Of the client."""
    body: bytes
    receive: Receive
    send: Send
    notes: Notes
    started: float = field(default_factory=time.monotonic)
    task: asyncio.Task[object] | None = None
    is_stopped: bool = False

    def stop(self) -> None:
        """Break it off because the server stops."""
        self.is_stopped = True
        if self.task is not None:
            self.task.cancel()


async def call_service(call: ServiceCall, tools: Tools) -> None:
    """Make the call and answer the client.

    Raises the errors of services and of spending; after the answer has begun, too, which breaks it off.
    """
    service = call.service
    cost = service.cost_of(call.method, call.path)
    price = None if cost is None else make_price(_NO_RATES, request_nusd=cost)
    permit = tools.board.admits(service.route)
    if not permit:
        left = max(1.0, tools.board.seconds_left((service.route,)))
        reason = tools.board.reasons((service.route,))
        raise ServiceClosedError(service=service.name, reason=reason, retry_after_seconds=left)
    try:
        if call.is_stopped:
            raise CallStoppedError(model=service.provider.name)
        ask = Ask(call.caller, service.provider.name, 0, 0, price, face=SERVICES_FACE, saving="Ask for what costs less")
        ticket = await admit(tools.meter, ask, tools.metrics, call.notes)
        tools.meter.begin(ticket)
    except BaseException:
        tools.board.abandoned(service.route, permit)
        raise
    await _Run(call, tools, ticket, permit, price).go()


class _Run:
    """A call that was admitted: it is settled once, however it ends."""

    def __init__(self, call: ServiceCall, tools: Tools, ticket: Ticket, permit: int, price: Price | None) -> None:
        self._call = call
        self._tools = tools
        self._ticket = ticket
        self._permit = permit
        self._price = price
        self._is_settled = False
        self._is_judged = False
        self._first_byte: float | None = None
        self._steps: tuple[Step, ...] = ()

    @property
    def _route(self) -> Route:
        return self._call.service.route

    async def go(self) -> None:
        call = self._call
        watch = ClientWatch(call.receive, cancels=True)
        call.task = asyncio.current_task()
        watch.start()
        try:
            await self._pass()
        except asyncio.CancelledError:
            if watch.is_gone:
                watch.forgive()
                return
            if not call.is_stopped or call.task is None:
                raise
            call.task.uncancel()
            raise CallStoppedError(model=call.service.provider.name) from None
        finally:
            watch.stop()
            # The service may have done what it was asked for.
            self._settle("interrupted" if call.is_stopped else "cancelled", is_charged=True)

    async def _pass(self) -> None:
        call, service = self._call, self._call.service
        passed = to_service(call.headers)
        try:
            stream = await self._tools.upstream.stream(
                service.provider,
                call.target,
                call.body,
                passed,
                timeout_seconds=service.timeout_seconds,
                method=call.method,
            )
        except AttemptFailedError as error:
            self._fail(error.failure)
            raise self._shown(error.failure) from error
        except BaseException as error:
            self._tools.board.abandoned(self._route, self._permit)
            if isinstance(error, CancelledUnsentError):
                self._settle("cancelled", is_charged=False)
            raise
        self._first_byte = time.monotonic()
        try:
            await self._relay(stream)
        finally:
            await asyncio.shield(stream.close())

    async def _relay(self, stream: Stream) -> None:
        status = stream.status
        if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST and header(stream.headers, "location"):
            reason = f"it answered {status} and sends elsewhere, where nobody here has allowed to go"
            failure = Failure("malformed", reason, status)
            self._fail(failure)
            raise self._shown(failure)
        is_good = status < HTTPStatus.BAD_REQUEST
        cost = self._settle(
            "ok" if is_good else "client_error" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error",
            is_charged=is_good,
            status=status,
        )
        try:
            await self._pass_on(stream, self._headers(stream, cost))
        except BaseException:
            # Whoever went away says nothing of the service; one that broke off was told of already.
            if not self._is_judged:
                self._tools.board.abandoned(self._route, self._permit)
            raise
        self._judge(stream)

    async def _pass_on(self, stream: Stream, headers: list[tuple[bytes, bytes]]) -> None:
        call = self._call
        await self._send({"type": "http.response.start", "status": stream.status, "headers": headers})
        left = most = self._tools.options.max_answer_bytes
        piece = b"\0"
        while piece:
            try:
                piece = await stream.read(call.service.idle_timeout_seconds)
            except AttemptFailedError as error:
                # It is charged, and stands in the ledger as answered: that was before it broke off.
                self._is_judged = True
                self._tools.board.failed(self._route, error.failure, self._permit)
                call.notes.log["failures"] = f"{error.failure.kind}: {error.failure.reason}"
                raise self._shown(error.failure) from error
            left -= len(piece)
            if left < 0:
                reason = f"its answer has more than {most} bytes"
                raise ServiceFailedError(service=call.service.name, reason=reason)
            await self._send({"type": "http.response.body", "body": piece, "more_body": bool(piece)})

    async def _send(self, message: dict[str, object]) -> None:
        seconds = self._tools.options.client_stall_seconds
        try:
            async with asyncio.timeout(seconds):
                await self._call.send(message)
        except TimeoutError as error:
            reason = f"the client took nothing of the answer for {seconds:g} s"
            raise ServiceFailedError(service=self._call.service.name, reason=reason) from error

    def _judge(self, stream: Stream) -> None:
        """Tell the breaker how the service answered."""
        board, status = self._tools.board, stream.status
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            wait = retry_after_seconds(header(stream.headers, "retry-after"), time.time())
            board.failed(self._route, Failure("rate_limited", "it answered 429", status, wait), self._permit)
        elif status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            board.failed(self._route, Failure("server_error", f"it answered {status}", status), self._permit)
        else:
            board.succeeded(self._route, self._permit, time.monotonic() - self._call.started)

    def _fail(self, failure: Failure) -> None:
        """Nothing that can be passed on came. What left may have been done: it is charged."""
        self._tools.board.failed(self._route, failure, self._permit)
        took_ms = round((time.monotonic() - self._call.started) * 1000, 1)
        self._steps = (Step(self._route.name, failure.kind, failure.reason, took_ms),)
        self._call.notes.log["failures"] = f"{failure.kind}: {failure.reason}"
        # A redirect has done nothing yet.
        charged = failure.has_left and failure.kind in ("timeout", "malformed") and failure.status is None
        cost = self._settle(failure.rule.outcome, is_charged=charged, status=failure.status)
        self._call.notes.headers += self._call_headers(cost)

    def _shown(self, failure: Failure) -> ServiceFailedError | ServiceTimeoutError:
        kind = ServiceTimeoutError if failure.kind == "timeout" else ServiceFailedError
        return kind(service=self._call.service.name, reason=failure.reason)

    def _settle(self, outcome: Outcome, *, is_charged: bool, status: int | None = None) -> int | None:
        """Charge it, once; what it costs."""
        if self._is_settled:
            return None
        self._is_settled = True
        call, now = self._call, time.monotonic()
        price = self._price if is_charged else FREE
        settlement = Settlement(
            outcome,
            NO_USAGE,
            status=status,
            provider=call.service.provider.name,
            model_used=call.method,
            ttft_ms=None if self._first_byte is None else (self._first_byte - call.started) * 1000,
            duration_ms=(now - call.started) * 1000,
            price=price,
            is_unpriced=price is None,
            tried=self._steps,
            is_remote=not call.service.provider.is_local,
        )
        charge = self._tools.meter.settle(self._ticket, settlement)
        count_call(self._tools.metrics, _KIND, outcome, NO_USAGE, charge.cost_nusd)
        call.notes.log.update(
            call=self._ticket.ask.call_id, service=call.service.name, outcome=outcome, cost_nusd=charge.cost_nusd
        )
        return charge.cost_nusd

    def _headers(self, stream: Stream, cost_nusd: int | None) -> list[tuple[bytes, bytes]]:
        found = to_client(stream.headers)
        content_type = header(stream.headers, "content-type")
        if content_type:
            found.append((b"content-type", content_type.encode("latin-1")))
        return found + self._call_headers(cost_nusd)

    def _call_headers(self, cost_nusd: int | None) -> list[tuple[bytes, bytes]]:
        found = [
            (b"x-skep-call-id", self._ticket.ask.call_id.encode()),
            (b"x-skep-service", self._call.service.name.encode()),
            *limit_headers(self._tools.meter.rooms(self._ticket)),
            *exceeded_headers(self._ticket.exceeded),
        ]
        if cost_nusd is not None:
            found.append((b"x-skep-cost-usd", dollars(cost_nusd).encode()))
        return found
