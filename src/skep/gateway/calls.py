"""One call on its way: what is known of it, what it has cost, and how it goes from attempt to attempt."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from starlette.types import Receive, Scope, Send

from skep.gateway.attempts import Attempts, Next
from skep.gateway.board import Board
from skep.gateway.deadlines import Deadlines
from skep.gateway.failures import Failure
from skep.gateway.guarding import CallGuard
from skep.gateway.headers import dollars, exceeded_headers, limit_headers, to_other_format
from skep.gateway.interfaces import AttemptFailedError, CancelledUnsentError, NoRouteError, RoutesBusyError, Upstream
from skep.gateway.media import price_of_media
from skep.gateway.metrics import STREAMS_STOPPED, count_call
from skep.gateway.models import Model, Route, StopWhen
from skep.gateway.pricing import FREE, price_of_call, price_of_ranking
from skep.gateway.profiles import MESSAGES_CAP
from skep.gateway.requests import Known, adapted
from skep.gateway.spans import Attributes, CallSpans, masked_tags
from skep.gateway.stopping import STOPPABLE, Stopper
from skep.gateway.translated import Spoken, Translations, why_not, without_signatures
from skep.gateway.usage import UNBILLED, Billing, counted
from skep.observe import NO_METRICS, Metrics, Tracer
from skep.spend import (
    CHOSEN,
    Charge,
    ContentKeeper,
    Heard,
    KeepsContent,
    Meter,
    Outcome,
    Price,
    Said,
    Settlement,
    Step,
    Ticket,
    Usage,
    cost_nusd,
    keeps,
)
from skep.web import Notes

T = TypeVar("T")

NO_USAGE = Usage(input_tokens=0, output_tokens=0)
"""Of what nobody charges for."""

_random = random.Random()  # noqa: S311 -- spreads retries; nothing depends on nobody guessing it


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """What the settings say about calls."""

    max_calls: int = 1024
    max_waiting_calls: int = 1024
    max_wait_seconds: float = 5.0
    max_body_bytes: int = 20_971_520
    max_held_bytes: int = 268_435_456
    body_timeout_seconds: float = 60.0
    max_answer_bytes: int = 67_108_864
    cancels_when_client_gone: bool = True
    drain_seconds: float = 60.0
    client_stall_seconds: float = 60.0
    content: KeepsContent = "nothing"
    content_max_bytes: int = 65_536


@dataclass(frozen=True, slots=True)
class Tools:
    """What calls are made with."""

    meter: Meter
    upstream: Upstream
    board: Board
    options: GatewayOptions
    deadlines: Deadlines = field(default_factory=Deadlines)
    metrics: Metrics = NO_METRICS
    tracer: Tracer | None = None
    """None: no call is recorded."""
    keeper: ContentKeeper | None = None
    """Who keeps what is said in calls; None: nobody."""


@dataclass(slots=True, eq=False)
class ModelCall:
    """See the module. Times are on the monotonic clock, in seconds."""

    tools: Tools
    known: Known
    model: Model
    ticket: Ticket
    scope: Scope
    receive: Receive
    send: Send
    notes: Notes
    passed_headers: Sequence[tuple[bytes, bytes]]
    """Those of the client that the provider gets."""
    started: float
    route: Route | None = None
    """The one tried last."""
    attempts: int = 0
    outside_seconds: float = 0.0
    """Spent waiting for providers, and between attempts."""
    first_byte: float | None = None
    charge: Charge | None = None
    """None until the call is settled."""
    outcome: Outcome | None = None
    """The same."""
    steps: list[Step] = field(default_factory=list)
    """What did not lead to the answer, in order: attempts that failed, routes passed over, models that a budget forbade."""
    attempt_began: float = 0.0
    is_out: bool = False
    """Whether a provider may be at work on it now."""
    has_left: bool = False
    """Whether it was sent to a provider outside of the house, with success or not."""
    wasted: list[tuple[Usage, Price | None]] = field(default_factory=list)
    """What failed attempts used that the provider may bill, with the prices of their routes."""
    wasted_estimated: bool = False
    task: asyncio.Task[object] | None = None
    """What makes it."""
    has_begun: bool = False
    """Whether the client has been sent the head of its answer."""
    events: int = 0
    """How many events of a stream it has been sent, about: an error that ends one goes on counting there."""
    billing: Billing = UNBILLED
    """What the answer says of it: the provider charges by the tier that it served by, whatever was asked for."""
    is_sound: bool = False
    """Whether its stream is sound, and no events: then nothing can be said in it."""
    is_stopped: bool = False
    """Whether the server, which stops, has broken it off."""
    spans: CallSpans | None = None
    """None: it is not recorded."""
    heard: Heard | None = None
    """The answer; None: it is not kept."""
    window_too_small: int = 0
    """The largest window, in tokens, that a provider said the request does not fit."""
    stop_when: StopWhen | None = None
    """When its stream is ended before the model does; None: never."""
    stopper: Stopper | None = None
    """What looks on for that while its stream passes."""
    translations: Translations | None = None
    """The request in the formats of those routes that speak another one than the client; None: all speak the client's."""
    guard: CallGuard | None = None
    """None: nobody looks through the answer."""
    told: Sequence[tuple[bytes, bytes]] = ()
    """Headers of the answer that say how the model was chosen."""

    def stop(self) -> None:
        """Break it off because the server stops."""
        self.is_stopped = True
        if self.task is not None:
            self.task.cancel()

    def admits(self, index: int) -> int:
        """A permit to try a route of the model now, or 0; why not is noted."""
        route, board = self.model.routes[index], self.tools.board
        if self.translations is not None:
            face = self.known.face
            reason = why_not(self.translations, face, route.face_for(face))
            if reason is not None:
                self.steps.append(Step(route.name, "untranslatable", str(reason)))
                return 0
        window = route.context_window
        if window is not None and window <= self.window_too_small:
            small = f"its window of {window} tokens is no larger than one that was too small"
            self.steps.append(Step(route.name, "context_too_long", small))
            return 0
        permit = board.admits(route, forced=self.model.is_forced)
        if not permit:
            self.steps.append(Step(route.name, "breaker_open", board.reasons((route,))))
        return permit

    def spoken(self, route: Route) -> Spoken | None:
        """The request as a route takes it that speaks another format; None: it speaks the client's."""
        if self.translations is None:
            return None
        face = route.face_for(self.known.face)
        found = None if face is None or face == self.known.face else self.translations[face]
        return found if isinstance(found, Spoken) else None

    def body(self, route: Route, known: Known) -> bytes:
        """The body for a route; ``known`` is the request in its format."""
        profile = route.provider.profile
        if self.translations is not None and known is self.known and known.face != "generate_content":
            # Of calls that another route's models asked for.
            known = without_signatures(known)
        cap = self.ticket.output_tokens_cap
        if cap is None and known.output_tokens is None and known.face == "messages":
            cap = route.max_output_tokens or MESSAGES_CAP
        return adapted(
            known,
            model=route.model,
            include_usage=profile.takes_include_usage,
            cap_fields=profile.caps_of(known.face),
            cap=cap,
        )

    def headers_to(self, route: Route, spoken: Spoken | None) -> Sequence[tuple[bytes, bytes]]:
        """The headers for a route's provider, besides its own."""
        passed, usual = self.passed_headers, route.provider.profile.default_headers
        if spoken is not None:
            passed = to_other_format(passed)
        if usual:
            named = {name for name, _ in passed}
            passed = [*passed, *(pair for pair in usual if pair[0] not in named)]
        return passed

    def settle(
        self, outcome: Outcome, *, usage: Usage | None = None, estimated: bool = False, status: int | None = None
    ) -> Charge:
        """Charge the call, once; later calls return the same charge."""
        if self.charge is None:
            route = self.route
            now = time.monotonic()
            price = self._price(route)
            if usage is not None and self.known.media is not None:
                usage, estimated = self.known.media.billed(usage, price, is_estimated=estimated)
            settlement = Settlement(
                outcome=outcome,
                usage=usage,
                estimated=estimated or self.wasted_estimated,
                status=status,
                provider=None if route is None else route.provider.name,
                model_used=None if route is None else route.model,
                attempts=self.attempts,
                ttft_ms=None if self.first_byte is None else (self.first_byte - self.started) * 1000,
                duration_ms=(now - self.started) * 1000,
                price=price,
                is_unpriced=route is not None and price is None,
                told_nusd=self.billing.cost_nusd if route is not None and route.provider.profile.tells_cost else None,
                tried=self._tried(outcome, now) if self.steps else (),
                wasted=tuple(self.wasted),
                is_remote=self._is_remote(),
            )
            if self.stopper is not None and self.stopper.why and route is not None:
                settlement.stopped = self.notes.log["stopped"] = self.stopper.why
                self.tools.metrics.add(STREAMS_STOPPED, (self.stopper.why,))
                settlement.spared_nusd = self._spared(self.stopper, route, usage, price)
            self.charge = self.tools.meter.settle(self.ticket, settlement)
            self.outcome = outcome
            self._note(outcome, usage)
            kind = "none" if self.route is None else self.route.provider.profile.kind
            count_call(self.tools.metrics, kind, outcome, usage, self.charge.cost_nusd)
            if self.spans is not None:
                self._finish_spans(self.spans, outcome, usage, status)
            if self.heard is not None:
                self._keep(self.heard, outcome)
        return self.charge

    def settle_counted(self, outcome: Outcome, output_bytes: int, pieces: int, status: int | None = None) -> Charge:
        """Charge what can be told without the provider's own count."""
        usage = replace(counted(0, output_bytes, pieces), input_tokens=self.known.input_tokens_reckoned)
        usage = usage if self.known.media is None else Usage()
        return self.settle(outcome, usage=usage, estimated=True, status=status)

    def settle_left(self, outcome: Outcome) -> Charge:
        """Charge a call that is left as it is, with or without an attempt under way."""
        return self.settle(outcome, usage=self._untold(), estimated=True) if self.is_out else self.settle(outcome)

    def note_failed(self, failure: Failure) -> None:
        """An attempt has failed: what it may cost is charged with the call, however that goes on."""
        self.is_out = False
        route = self.route
        assert route is not None, "an attempt has a route"
        step = Step(route.name, failure.kind, failure.reason, _ms(time.monotonic() - self.attempt_began))
        if self.spans is not None:
            self.spans.end_attempt(failure.kind, failure.status)
        if failure.kind == "context_too_long":
            self.window_too_small = max(self.window_too_small, route.context_window or 0)
        if failure.may_be_billed:
            usage = failure.usage or self._untold()
            price = self._price(route)
            self.wasted.append((usage, price))
            self.wasted_estimated |= failure.usage is None or failure.kind == "malformed"
            cost = None if price is None else cost_nusd(price, usage)
            step = replace(step, input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, cost_nusd=cost)
        self.steps.append(step)

    def _spared(self, stopper: Stopper, route: Route, usage: Usage | None, price: Price | None) -> int | None:
        """What a stream that was ended early would have cost more, had it been as long as others of its route; None when that is not known."""
        usual = self.tools.board.usual_output(route)
        if usual is None or usage is None or price is None:
            return None
        more = max(0, round(usual) - stopper.output_tokens)
        longer = cost_nusd(price, replace(usage, output_tokens=(usage.output_tokens or 0) + more))
        cost = cost_nusd(price, usage)
        return None if longer is None or cost is None else longer - cost

    def make_stopper(self, route: Route, known: Known) -> None:
        """Look on while the stream of a route passes, where it may have to be ended early."""
        when, self.stopper = self.stop_when, None
        if when is None or known.face not in STOPPABLE:
            return
        price, entry = self._price(route), self.known.input_tokens_reckoned
        hidden = self.tools.board.usual_hidden(route)

        def costs(output_tokens: int) -> int | None:
            usage = Usage(input_tokens=entry, output_tokens=output_tokens + hidden)
            return None if price is None else cost_nusd(price, usage)

        tells_usage = self.known.wants_usage or route.provider.profile.takes_include_usage
        self.stopper = Stopper(when, known.face, entry, costs, tells_usage=tells_usage)

    def _price(self, route: Route | None) -> Price | None:
        """What the call costs by a route; None when that is not known."""
        known = self.known
        if known.is_free:
            return FREE
        if route is None or known.dear_field is not None:
            return None
        if known.face in route.provider.profile.free_faces:
            return FREE
        if known.media is not None:
            return price_of_media(route, known.media, self.billing)
        if known.searches_at_most:
            told = self.billing.searches
            return price_of_ranking(route, known.searches_at_most if told is None else told)
        return price_of_call(route, self.billing.service_tier or known.service_tier, searches=known.searches)

    def _untold(self) -> Usage:
        """What an attempt is reckoned to have used of which nothing came. A stream is written while we look on; of a whole answer
        the provider may have written all that the reservation has room for.
        """
        if self.known.media is not None:
            return self.known.media.billed(Usage(), self._price(self.route), is_estimated=True)[0]
        usage = Usage(input_tokens=self.known.input_tokens_reckoned, output_tokens=0)
        return usage if self.known.stream else replace(usage, output_tokens=self.ticket.output_tokens_reckoned)

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers that tell about the call; with its cost once it is settled and known."""
        own = time.monotonic() - self.started - self.outside_seconds
        found = [
            (b"x-skep-call-id", self.ticket.ask.call_id.encode()),
            (b"x-skep-model", self.model.name.encode("utf-8")),
            (b"x-skep-overhead-ms", b"%.3f" % (own * 1000)),
        ]
        found += self.told
        if self.route is not None:
            found.append((b"x-skep-provider", self.route.provider.name.encode("utf-8")))
        if self.charge is not None and self.charge.cost_nusd is not None:
            found.append((b"x-skep-cost-usd", dollars(self.charge.cost_nusd).encode()))
        rooms = self.tools.meter.rooms(self.ticket)
        if rooms:
            found += limit_headers(rooms)
        found += exceeded_headers(self.ticket.exceeded)
        if self.ticket.output_tokens_cap is not None:
            found.append((b"x-skep-output-tokens-cap", b"%d" % self.ticket.output_tokens_cap))
        return found

    def _finish_spans(self, spans: CallSpans, outcome: Outcome, usage: Usage | None, status: int | None) -> None:
        told: Attributes = {"gen_ai.request.model": self.model.name, "skep.call.id": self.ticket.ask.call_id}
        if self.ticket.ask.caller.tags:
            told["skep.tags"] = masked_tags(self.ticket.ask.caller.tags)
        if self.known.stream:
            told["gen_ai.request.stream"] = True
        if self.first_byte is not None:
            told["gen_ai.response.time_to_first_chunk"] = self.first_byte - self.started
        if outcome == "ok" and spans.attempts:
            spans.end_attempt("", status)
        # Where nobody was asked, every route is closed.
        failed = outcome if spans.attempts else "no_route"
        spans.finish(self.known.face, told, usage, "" if outcome == "ok" else failed)

    def _keep(self, answer: Heard, outcome: Outcome) -> None:
        """Have what was said kept, where the settings ask for it; never waits."""
        options, keeper, ask = self.tools.options, self.tools.keeper, self.ticket.ask
        if keeper is not None and keeps(options.content, outcome):
            request = Heard(answer.max_bytes)
            request.add(self.known.body)
            keeper.take(Said(ask.call_id, ask.caller.project_id, outcome, request, answer))

    def _note(self, outcome: Outcome, usage: Usage | None) -> None:
        """What the request's line in the log says about the call."""
        log = self.notes.log
        log["call"] = self.ticket.ask.call_id
        log["model"] = self.model.name
        log["through"] = None if self.route is None else self.route.name
        log["outcome"] = outcome
        if usage is not None:
            # In tokens. Words with "token" in them make every line of the log be searched for secrets.
            log["input"], log["output"] = usage.input_tokens, usage.output_tokens
        if self.charge is not None:
            log["cost_nusd"] = self.charge.cost_nusd
        failures = [step for step in self.steps if step.outcome not in CHOSEN] if self.steps else []
        if self.attempts > 1 or failures:
            log["attempts"] = self.attempts
            log["failures"] = "; ".join(f"{step.what} {step.outcome}: {step.reason}" for step in failures)

    def _is_remote(self) -> bool | None:
        if self.has_left or (self.guard is not None and self.guard.has_left):
            return True
        return None if self.route is None else False

    def _tried(self, outcome: Outcome, now: float) -> tuple[Step, ...]:
        """The way of the call: an attempt that did not fail stands at its end."""
        if self.route is None or outcome not in ("ok", "cancelled"):
            return tuple(self.steps)
        return (*self.steps, Step(self.route.name, outcome, "", _ms(now - self.attempt_began)))


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


class CallFailedError(Exception):
    """Every attempt that could be made has failed; only inside this package."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        super().__init__(failure.reason)


async def attempt_routes(call: ModelCall, attempt: Callable[[ModelCall, Route, float], Awaitable[T]]) -> T:
    """Attempt the call by its routes, in order, with pauses, until one succeeds.

    ``attempt`` gets the seconds it may take, and raises AttemptFailedError. Raises CallFailedError with the last failure,
    NoRouteError when no route could be tried.
    """
    board, model = call.tools.board, call.model
    deadline = call.started + model.deadline_seconds

    attempts = Attempts(model, deadline, call.admits)
    index = attempts.first()
    if index is None:
        left = max(1.0, board.seconds_left(model.routes))
        kind = RoutesBusyError if board.are_resting(model.routes) else NoRouteError
        raise kind(model=model.name, reason=board.reasons(model.routes), retry_after_seconds=left)
    while True:
        route = call.route = model.routes[index]
        call.attempts = attempts.count
        if call.spans is not None:
            call.passed_headers = call.spans.begin_attempt(route, attempts.count, call.passed_headers)
        began = call.attempt_began = time.monotonic()
        call.is_out = True
        call.has_left = call.has_left or not route.provider.is_local
        try:
            result = await attempt(call, route, min(route.timeout_seconds, deadline - began))
        except AttemptFailedError as error:
            failure = error.failure
        except BaseException as error:
            call.is_out = not isinstance(error, CancelledUnsentError)
            board.abandoned(route, attempts.permit)
            raise
        else:
            took = time.monotonic() - began
            call.outside_seconds += took
            board.succeeded(route, attempts.permit, took, streams=call.known.stream)
            return result
        board.failed(route, failure, attempts.permit)
        call.note_failed(failure)
        step = attempts.after(failure, time.monotonic(), _random.random())
        if step is None:
            call.outside_seconds += time.monotonic() - began
            raise CallFailedError(failure)
        try:
            await _wait_for(call, step, failure)
        except BaseException:
            board.abandoned(model.routes[step.route], attempts.permit)
            raise
        call.outside_seconds += time.monotonic() - began
        index = step.route


async def _wait_for(call: ModelCall, step: Next, failure: Failure) -> None:
    """Pause before another attempt. Raises CallFailedError when it has no room in the budget beside what was wasted."""
    if failure.may_be_billed and not await call.tools.meter.extend(call.ticket):
        raise CallFailedError(failure)
    if step.pause_seconds:
        await asyncio.sleep(step.pause_seconds)
