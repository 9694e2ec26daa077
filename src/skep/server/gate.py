"""The ASGI application: everything that is done for every request, in one place and in one order.

    host and origin → route → key → role → the route's own work → answer or problem → one line in the log, and counted

There is no other way in: a route is an `Endpoint`, and an `Endpoint` says who may call it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from skep.access import Principal, Role, may_call, require_role
from skep.errors import SkepError, UnavailableError
from skep.observe import NO_METRICS, Metrics, event, trace_id_of, tracing
from skep.server.clients import client_address
from skep.server.credentials import KEY_HEADERS, key_header, refuse_key_in_address, sent_key
from skep.server.http_protocol import WHOLE
from skep.server.interfaces import (
    HostRefusedError,
    MethodNotAllowedError,
    OriginRefusedError,
    RouteNotFoundError,
    ServerStoppingError,
    UnforeseenError,
)
from skep.server.keyless import with_window
from skep.server.metrics import HTTP_IN_FLIGHT, note_request
from skep.server.origins import (
    PASSED_ON,
    Asked,
    Policy,
    host_is_ours,
    is_cross_origin_allowed,
    is_from_here,
    origin_is_allowed,
)
from skep.server.problems import MEDIA_TYPE, problem_bytes, problem_headers
from skep.server.routing import Match, Router
from skep.spend import AddressWindow
from skep.web import (
    ANTHROPIC_PREFIX,
    OPENAI_PREFIX,
    WHOLE_ANSWER,
    Call,
    Notes,
    Refusal,
    anthropic_error_bytes,
    gemini_error_bytes,
    is_geminis,
    openai_error_bytes,
    openai_error_headers,
    openai_status,
)

Authenticate = Callable[[str], Awaitable[Principal]]
"""The principal of a key. Raises the errors of access, or NotReadyError."""

Recall = Callable[[str], Principal | None]

AdmitKeyless = Callable[[str], Awaitable[tuple[Principal, AddressWindow] | None]]
"""As whom an address may call that sent no key, and what it has left; None: it may not. Raises AddressLimitError, an UnavailableError."""


async def no_keyless(_address: str) -> None:
    """For a server where every call needs a key."""


_CLIENT_GONE = 499
"""What nginx logs when a client went away before the answer; never sent."""

_SINGLE = frozenset({b"host", b"origin", b"authorization", *KEY_HEADERS})
"""Headers of which a second one would leave open which of the two counts."""

_READ = _SINGLE | PASSED_ON | {b"traceparent", b"sec-fetch-site", b"sec-fetch-mode"}

_MOST_HOSTS = 1_000
"""Answers to "is this host ours" that are remembered; a client that sends ever new names must not fill the memory."""

_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
"""A page and the WebSockets it opens are of one origin."""

_NOTHING: Mapping[str, Any] = MappingProxyType({})

_STARTS = ("http.response.start", "websocket.http.response.start")

_ALWAYS = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))
_CORS_HEADERS = "authorization, content-type, last-event-id, traceparent, x-api-key, x-goog-api-key"
_CORS_EXPOSED = b"retry-after, x-trace-id"
_CORS_SECONDS = "600"

_log = logging.getLogger(__name__)


class _Exchange:
    """One request on its way: what is known of it, and what was answered."""

    __slots__ = (
        "_send",
        "api_key",
        "asked",
        "authorization",
        "headers",
        "key_header",
        "key_id",
        "method",
        "notes",
        "on_refusal",
        "route",
        "scope",
        "started",
        "status",
        "trace_id",
        "window",
    )

    def __init__(self, scope: Scope, send: Send, started: float) -> None:
        headers, doubled = _headers(scope["headers"])
        self.started = started
        self.on_refusal: Callable[[Refusal], None] | None = None
        get = headers.get
        self.scope = scope
        self.headers = headers
        self.method: str = scope.get("method", "GET")
        self.trace_id = trace_id_of(get(b"traceparent"))
        self.route = ""
        self.key_id: str | None = None
        self.status = 0
        self.asked = Asked(
            host=None if b"host" in doubled else get(b"host"),
            origin="" if b"origin" in doubled else get(b"origin"),
            scheme=_SCHEMES[scope["scheme"]],
            fetch_site=get(b"sec-fetch-site"),
            fetch_mode=get(b"sec-fetch-mode"),
            local_address=scope["server"][0] if scope.get("server") else None,
        )
        # Of two keys neither is meant: the request has none.
        self.authorization = None if b"authorization" in doubled else get(b"authorization")
        self.key_header = key_header(scope["path"], headers)
        self.api_key = None if self.key_header in doubled else get(self.key_header)
        self.notes = Notes({}, [(b"x-trace-id", self.trace_id.encode()), *_ALWAYS])
        self.window: AddressWindow | None = None
        """Where its address stands, when it has no key and needs none."""
        self._send = send

    @property
    def is_keyless(self) -> bool:
        """Whether no key was sent at all."""
        return b"authorization" not in self.headers and self.headers.keys().isdisjoint(KEY_HEADERS)

    @property
    def is_keyless_from_here(self) -> bool:
        """Whether a program of this machine asks, and sent no key at all."""
        return self.is_keyless and is_from_here(self.asked, self.address or None, self.headers)

    @property
    def address(self) -> str:
        """Whose request it is; empty when that is not known."""
        client = self.scope.get("client")
        return client[0] if client else ""

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == WHOLE_ANSWER:
            await self._send_whole(message)
            return
        if kind == "websocket.accept":
            self.status = HTTPStatus.SWITCHING_PROTOCOLS
        if kind in _STARTS:
            self.status = message["status"]
            message = {**message, "headers": self._all_headers(message.get("headers", ()))}
        await self._send(message)

    async def _send_whole(self, message: Message) -> None:
        status, body = message["status"], message["body"]
        self.status = status
        headers = self._all_headers(message["headers"])
        headers.append((b"content-length", b"%d" % len(body)))
        extension = self.scope.get("extensions", _NOTHING).get(WHOLE)
        if extension is not None:
            await extension["send"](status, header_lines(headers), body)
            return
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    def _all_headers(self, own: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        headers = [*own, *self.notes.headers]
        for name, _ in headers:
            if name == b"cache-control":
                break
        else:
            headers.append((b"cache-control", b"no-store"))
        return headers if self.window is None else with_window(headers, self.window)


class Gate:
    """See the module. ``authenticate`` may raise an UnavailableError while the server has no database yet.

    Once ``ending`` is set, nothing but what is public is let in. ``recall`` knows at once who has a key that was authenticated a moment ago; None when it does not.
    """

    def __init__(
        self,
        router: Router,
        policy: Policy,
        authenticate: Authenticate,
        *,
        max_body_bytes: int,
        metrics: Metrics = NO_METRICS,
        recall: Recall = lambda _: None,
        keyless: AdmitKeyless = no_keyless,
        ending: asyncio.Event | None = None,
    ) -> None:
        self._router = router
        self._recall = recall
        self._keyless = keyless
        self._hosts: dict[tuple[str | None, str | None], bool] = {}
        self._policy = policy
        self._authenticate = authenticate
        self._max_body_bytes = max_body_bytes
        self._metrics = metrics
        self._ending = ending or asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] not in ("http", "websocket"):
            return
        started = time.perf_counter()
        if self._policy.proxies and scope.get("client"):
            peer, port = scope["client"]
            scope["client"] = client_address(peer, scope["headers"], self._policy.proxies), port
        exchange = _Exchange(scope, send, started)
        self._metrics.add(HTTP_IN_FLIGHT)
        with tracing(exchange.trace_id):
            try:
                await (self._answer if scope["type"] == "http" else self._talk)(exchange, receive)
            finally:
                seconds = time.perf_counter() - started
                status = exchange.status or _CLIENT_GONE
                method, route = exchange.method, exchange.route
                note_request(self._metrics, method, route, status, seconds)
                ms = int(seconds * 100_000) / 100
                log, key = exchange.notes.log, exchange.key_id
                event(
                    _log,
                    logging.INFO,
                    "request",
                    method=method,
                    route=route or None,
                    status=status,
                    ms=ms,
                    key=key,
                    **log,
                )

    async def _answer(self, exchange: _Exchange, receive: Receive) -> None:
        try:
            answer = await self._admit(exchange, receive)
            await answer(exchange.scope, receive, exchange.send)
        except ClientDisconnect:
            return
        except SkepError as error:
            if exchange.status:
                # The answer has begun; breaking the connection off is the only way to say that it is not whole.
                _log.exception("answer broken off")
                raise
            if error.http_status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                event(_log, logging.WARNING, "request failed", code=error.code, reason=str(error))
            await self._send_problem(exchange, receive, error)
        except Exception:
            _log.exception("request failed")
            if exchange.status:
                raise
            await self._send_problem(exchange, receive, UnforeseenError(trace_id=exchange.trace_id))

    async def _talk(self, exchange: _Exchange, receive: Receive) -> None:
        """Let a WebSocket through by the rules of its route, or refuse it with an answer like any other's."""
        websocket = WebSocket(exchange.scope, receive, exchange.send)
        try:
            self._check_origin(exchange)
            match = self._router.match("GET", exchange.scope["path"])
            if match.endpoint.socket is None:
                raise RouteNotFoundError(what="route", name=exchange.scope["path"], path=exchange.scope["path"])
            exchange.route = match.endpoint.path
            if self._ending.is_set():
                raise ServerStoppingError
            principal = await self._principal(exchange, match)
            scope = {**exchange.scope, "type": "http", "method": "GET", "path_params": match.parameters}
            await match.endpoint.socket(Call(Request(scope, receive), self._max_body_bytes, principal), websocket)
        except SkepError as error:
            if exchange.status:
                _log.exception("connection broken off")
                raise
            answer = Response(
                problem_bytes(error, exchange.trace_id), error.http_status, dict(problem_headers(error)), MEDIA_TYPE
            )
            await websocket.send_denial_response(answer)

    async def _admit(self, exchange: _Exchange, receive: Receive) -> ASGIApp:
        """The answer, if the request may have one. Raises the error that says why not."""
        if self._ending.is_set():
            # So that the next request of this client goes to a server that stays.
            exchange.notes.headers.append((b"connection", b"close"))
        self._check_origin(exchange)
        path: str = exchange.scope["path"]
        if exchange.method == "OPTIONS":
            return self._preflight(exchange, path)
        match = self._router.match(exchange.method, path)
        exchange.route = match.endpoint.path
        exchange.on_refusal = match.endpoint.on_refusal
        if self._ending.is_set() and match.endpoint.caller != "public":
            raise ServerStoppingError
        principal = await self._principal(exchange, match)
        scope = exchange.scope
        scope["path_params"] = match.parameters
        call = Call(Request(scope, receive), self._max_body_bytes, principal, exchange.notes, exchange.window)
        return await match.endpoint.handle(call)

    def _check_origin(self, exchange: _Exchange) -> None:
        asked = exchange.asked
        if not self._is_our_host(asked):
            raise HostRefusedError(reason="host", host=_shortened(asked.host))
        if asked.origin is not None and is_cross_origin_allowed(asked.origin, self._policy):
            # From here on also problems can be read by the page.
            exchange.notes.headers += [
                (b"access-control-allow-origin", asked.origin.encode("latin-1")),
                (b"access-control-expose-headers", _CORS_EXPOSED),
            ]
        if self._policy.origins:
            exchange.notes.headers.append((b"vary", b"Origin"))
        if not origin_is_allowed(asked, self._policy):
            raise OriginRefusedError(reason="origin", origin=_shortened(asked.origin) or "another site")

    def _is_our_host(self, asked: Asked) -> bool:
        """Remembered: reading addresses takes longer than everything else that is done here."""
        known = self._hosts.get((asked.host, asked.local_address))
        if known is None:
            if len(self._hosts) >= _MOST_HOSTS:
                self._hosts.clear()
            known = self._hosts[asked.host, asked.local_address] = host_is_ours(asked, self._policy)
        return known

    async def _principal(self, exchange: _Exchange, match: Match) -> Principal | None:
        needed = match.endpoint.caller
        if needed == "public" or (match.endpoint.keyless_on_loopback and exchange.is_keyless_from_here):
            return None
        if match.endpoint.takes_keyless and exchange.is_keyless:
            admitted = await self._keyless(exchange.address)
            if admitted is not None:
                principal, exchange.window = admitted
                return self._checked(exchange, principal, needed)
        if exchange.is_keyless:
            refuse_key_in_address(exchange.scope)
        key = sent_key(exchange.authorization, exchange.api_key, exchange.key_header)
        try:
            principal = self._recall(key) or await self._authenticate(key)
        except UnavailableError:
            if match.endpoint.answers_without_database:
                return None
            raise
        return self._checked(exchange, principal, needed)

    def _checked(self, exchange: _Exchange, principal: Principal, needed: Role) -> Principal:
        """The principal, if their key is for this. Raises AddressNotAllowedError, RoleTooLowError."""
        exchange.key_id = principal.key_id
        if principal.networks is not None:
            may_call(principal, address=exchange.address)
        require_role(principal, needed)
        return principal

    def _preflight(self, exchange: _Exchange, path: str) -> ASGIApp:
        """The answer to a browser that asks whether a page may ask (https://fetch.spec.whatwg.org/#http-cors-protocol)."""
        allowed = self._router.methods(path)
        if exchange.asked.origin is None or not is_cross_origin_allowed(exchange.asked.origin, self._policy):
            raise MethodNotAllowedError(path=path, method="OPTIONS", allowed=", ".join(allowed), reason="method")
        return Response(
            status_code=HTTPStatus.NO_CONTENT,
            headers={
                "access-control-allow-methods": ", ".join(allowed),
                "access-control-allow-headers": _CORS_HEADERS,
                "access-control-max-age": _CORS_SECONDS,
            },
        )

    async def _send_problem(self, exchange: _Exchange, receive: Receive, error: SkepError) -> None:
        if exchange.on_refusal is not None:
            exchange.on_refusal(
                Refusal(
                    code=error.code,
                    status=openai_status(error),
                    trace_id=exchange.trace_id,
                    headers=exchange.scope["headers"],
                    log=exchange.notes.log,
                    seconds=time.perf_counter() - exchange.started,
                )
            )
        path = f"{exchange.scope['path']}/"
        if is_geminis(exchange.scope["path"], has_key=b"x-goog-api-key" in exchange.headers):
            headers = {**problem_headers(error), **openai_error_headers(error)}
            answer = Response(gemini_error_bytes(error), openai_status(error), headers, "application/json")
        elif path.startswith(OPENAI_PREFIX):
            headers = {**problem_headers(error), **openai_error_headers(error)}
            is_anthropics = path.startswith(ANTHROPIC_PREFIX)
            body = anthropic_error_bytes(error, exchange.trace_id) if is_anthropics else openai_error_bytes(error)
            if is_anthropics:
                headers["request-id"] = exchange.trace_id
            answer = Response(body, openai_status(error), headers, "application/json")
        else:
            answer = Response(
                problem_bytes(error, exchange.trace_id), error.http_status, dict(problem_headers(error)), MEDIA_TYPE
            )
        await answer(exchange.scope, receive, exchange.send)


def header_lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Headers as lines. Raises ValueError for one that would be more than a line, or that ends where it should not."""
    lines = [b"%b: %b\r\n" % header for header in headers]
    joined = b"".join(lines)
    if joined.count(b"\r") != len(lines) or joined.count(b"\n") != len(lines) or b"\0" in joined:
        raise ValueError("a header has the end of a line in it")
    return joined


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> tuple[dict[bytes, str], set[bytes]]:
    """The headers that are looked at here by name, and which of those that must be single are not."""
    found: dict[bytes, str] = {}
    doubled: set[bytes] = set()
    for name, value in raw:
        if name in _READ:
            if name in found and name in _SINGLE:
                doubled.add(name)
            found[name] = value.decode("latin-1")
    return found, doubled


def _shortened(text: str | None) -> str:
    return (text or "")[:200]
