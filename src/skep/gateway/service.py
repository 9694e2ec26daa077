"""The gateway: every call of a model goes through `Gateway.call`, whichever face it came by."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from starlette.types import Receive, Scope, Send

from skep.access import Principal, may_call
from skep.gateway.admitting import admit
from skep.gateway.answering_here import Here
from skep.gateway.arranging import arranged
from skep.gateway.board import Board
from skep.gateway.bodies import Bodies
from skep.gateway.caching import AnswerCache, Entry, Headers, Question, Recorder, give_kept
from skep.gateway.calls import GatewayOptions, ModelCall, Tools
from skep.gateway.choosing import Choice, Choices, caller_of, local_only
from skep.gateway.counting import answer_estimate, is_countable
from skep.gateway.generate_requests import Named
from skep.gateway.guarding import CallGuard
from skep.gateway.headers import said_to_us, to_provider, told_by_caller
from skep.gateway.interfaces import (
    BodiesFullError,
    BodyTimeoutError,
    LocalEmbedder,
    Upstream,
)
from skep.gateway.large_bodies import is_quick, prepare
from skep.gateway.local import LocalModel, answer_locally
from skep.gateway.models import GatewayConfig, Provider, Role
from skep.gateway.profiles import Face
from skep.gateway.reading import read_call
from skep.gateway.relaying import run_call
from skep.gateway.repeating import Asked, Repeats, Sent
from skep.gateway.requests import Known
from skep.gateway.roles import in_role, role_of
from skep.gateway.services import SERVICES_FACE, ServiceCall, call_service, chosen_service, service_model
from skep.gateway.serving import Served, make_ask
from skep.gateway.spans import CallSpans
from skep.gateway.speaking import spoken, translate
from skep.gateway.statuses import GatewayStatus, ProcessStatus
from skep.gateway.stopping import asked_to_stop
from skep.gateway.translated import Translations
from skep.gateway.turns import Turns
from skep.observe import NO_METRICS, Metrics, Tracer, current_trace_id
from skep.spend import (
    AddressWindows,
    BudgetExceededError,
    ContentKeeper,
    Heard,
    LimitExceededError,
    Meter,
    Step,
    Ticket,
    UnpricedError,
)
from skep.web import Notes

_LONGEST_NAME = 200

_random = random.Random()  # noqa: S311 -- spreads calls; nothing depends on nobody guessing it


class Gateway:
    """See the module. Belongs to one event loop."""

    def __init__(
        self,
        config: GatewayConfig,
        meter: Meter,
        upstream: Upstream,
        options: GatewayOptions,
        *,
        embedder: LocalEmbedder | None = None,
        metrics: Metrics = NO_METRICS,
        tracer: Tracer | None = None,
        keeper: ContentKeeper | None = None,
    ) -> None:
        self.config = config
        self.options = options
        self.board = Board()
        self._tools = Tools(meter, upstream, self.board, options, metrics=metrics, tracer=tracer, keeper=keeper)
        self._local = None if embedder is None else LocalModel(embedder)
        self._choices = self._choices_of(config)
        self._repeats = Repeats()
        self._turns = Turns(options.max_calls, options.max_waiting_calls, options.max_wait_seconds)
        self._bodies = Bodies(options.max_body_bytes, options.max_held_bytes, options.body_timeout_seconds)
        self._readers = ThreadPoolExecutor(1, thread_name_prefix="skep-bodies")
        self._calls: set[ModelCall | ServiceCall] = set()
        self._checks: list[asyncio.Task[None]] = []
        self.foreign_journals: Callable[[], Mapping[str, int]] = dict
        """Set by whoever opened the meter."""
        self.cache: AnswerCache | None = None
        """Of answers that are given again; set by whoever opened the gateway. None: there is none."""
        self.windows: AddressWindows
        """Of calls without a key. Set by whoever opened the gateway."""
        self.everywhere: Callable[[], Awaitable[list[ProcessStatus]]]
        """How the gateway fares in every process, this one first; raises an UnavailableError. Set by whoever opened the gateway."""

    def start(self) -> None:
        """Begin with the health checks that the settings ask for."""
        prepare()
        for provider in self.config.providers.values():
            if provider.health_check_seconds > 0:
                routes = [
                    route
                    for model in self.config.models.values()
                    for route in model.routes
                    if route.provider.name == provider.name
                ]
                check = self.board.check_health(provider, routes, self._tools.upstream)
                self._checks.append(asyncio.create_task(check, name=f"skep-health-{provider.name}"))

    def reconfigure(self, config: GatewayConfig, options: GatewayOptions) -> None:
        """From now on calls go by this; those under way go on by what counted when they began."""
        called = _called(config)
        self.board.forget(known.name for known in _called(self.config) if known not in called)
        self.config, self.options = config, options
        self._tools = replace(self._tools, options=options)
        self._choices = self._choices_of(config)
        self._repeats = Repeats()
        self._turns.resize(options.max_calls, options.max_waiting_calls, options.max_wait_seconds)
        self._bodies.resize(options.max_body_bytes, options.max_held_bytes, options.body_timeout_seconds)
        self._tools.upstream.retire(called, options.max_answer_bytes)
        checks, self._checks = self._checks, []
        for check in checks:
            check.cancel()
        self.start()

    def stop_calls(self) -> None:
        """Break off every call under way, each with an error that says so, because the server stops."""
        for call in self._calls:
            call.stop()

    async def close(self) -> None:
        """End the health checks and close every connection."""
        for check in self._checks:
            check.cancel()
        await asyncio.gather(*self._checks, return_exceptions=True)
        self._readers.shutdown(wait=False, cancel_futures=True)
        if self._local is not None:
            self._local.close()
        await self._tools.upstream.close()

    def _choices_of(self, config: GatewayConfig) -> Choices:
        return Choices(config, has_local=self._local is not None, has_open=self.board.has_open)

    def model_names(self, principal: Principal | None = None) -> list[str]:
        """What clients may ask for, whose key is the principal's; None: any."""
        return list(self._choices.names(principal))

    def route_names(self) -> frozenset[str]:
        """Every route, as the board calls it."""
        return frozenset(route.name for route in self.config.routes())

    def status(self) -> GatewayStatus:
        """How the gateway fares, in this process."""
        return GatewayStatus(
            active_calls=self._turns.active,
            waiting_calls=self._turns.waiting,
            routes=self.board.routes(self.config),
            providers=self.board.providers(self.config),
            foreign_journals=self.foreign_journals(),
        )

    async def call(
        self,
        face: Face,
        principal: Principal,
        scope: Scope,
        receive: Receive,
        send: Send,
        notes: Notes,
        named: Named | None = None,
    ) -> None:
        """Make one call of a model and answer it. ``named`` is what its address says, where that names the model.

        Raises what `may_call` raises, the errors of the gateway, of spending, and BodyTooLargeError, as long as the answer has not begun.
        """
        started = time.monotonic()
        try:
            body = await self._bodies.read(scope, receive)
        except (BodyTimeoutError, BodiesFullError):
            # What is still to come of it will not be read.
            notes.headers.append((b"connection", b"close"))
            raise
        try:
            sent = Sent(face, body, named)
            again = None if self._repeats.is_empty else self._asked_again(sent, principal, scope, notes)
            asked = again or await self._asked(sent, principal, scope, notes)
            kept = None if self.cache is None or asked.question is None else await self.cache.find(asked.question)
            is_here = kept is not None or asked.known.is_free
            if is_here and await self._answered_here(asked, kept, scope, send, notes, started):
                if kept is not None and again is None:
                    self._repeats.note(asked, principal, scope["headers"])
                return
            await self._call(asked, principal, scope, receive, send, notes, started)
        finally:
            self._bodies.leave(len(body))

    async def call_service(
        self, name: str, path: str, principal: Principal, scope: Scope, receive: Receive, send: Send, notes: Notes
    ) -> None:
        """Make one call of a service and answer it; ``path`` is what stands behind its name, decoded.

        Raises what `may_call` raises, the errors of services, of bodies and of spending.
        """
        started, client = time.monotonic(), scope.get("client")
        address, method, headers = client[0] if client else "", scope["method"], scope["headers"]
        may_call(principal, model=service_model(name), face=SERVICES_FACE, address=address)
        whose = local_only(principal, headers)
        service, target = chosen_service(self.config.services, name, path, method=method, whose=whose)
        if scope["query_string"]:
            target = f"{target}?{scope['query_string'].decode('latin-1')}"
        body = await self._bodies.read(scope, receive)
        try:
            if not self._turns.try_take():
                await self._turns.take()
            try:
                caller = caller_of(principal, None, *told_by_caller(headers))
                call = ServiceCall(
                    service,
                    caller,
                    method,
                    "/" + path.lstrip("/"),
                    target,
                    headers,
                    body,
                    receive,
                    send,
                    notes,
                    started,
                )
                self._calls.add(call)
                try:
                    await call_service(call, self._tools)
                finally:
                    self._calls.discard(call)
            finally:
                self._turns.leave()
        finally:
            self._bodies.leave(len(body))

    async def _in_role(self, known: Known, role: Role) -> Known:
        """With what the role says; a large one in a thread."""
        if is_quick(known.body):
            return in_role(known, role)
        return await asyncio.get_running_loop().run_in_executor(self._readers, in_role, known, role)

    def _asked_again(self, sent: Sent, principal: Principal, scope: Scope, notes: Notes) -> Asked | None:
        """What the call asks for, if the same was answered from the cache before; else None. Raises what `may_call` raises."""
        found = self._repeats.find(sent, principal, scope["headers"])
        if found is None or found.question is None or self.cache is None:
            return None
        question = self.cache.again(found.question)
        if question is None:
            return None
        notes.log["model"] = found.known.model[:_LONGEST_NAME]
        may_call(principal, face=sent.face, address=_address(scope))
        return Asked(found.known, found.choice, found.stop_when, None, question)

    async def _asked(self, sent: Sent, principal: Principal, scope: Scope, notes: Notes) -> Asked:
        """What the call asks for, as its guards let it pass. Raises what `may_call` raises, and the errors of requests, models and guards."""
        known = await read_call(sent.face, sent.body, scope["headers"], self._readers, sent.named)
        # Also of calls that are refused; a client may write what it likes.
        notes.log["model"] = known.model[:_LONGEST_NAME]
        headers = scope["headers"]
        ours = said_to_us(headers)
        role = role_of(known.model, ours, self.config.roles)
        if role is not None:
            known = await self._in_role(known, role)
        may_call(principal, face=sent.face, address=_address(scope))
        choice = self._choices.choose(known, principal, ours, headers)
        served = choice.served
        stop_when = None if served is None else asked_to_stop(ours, known, served.model.stop_when)
        is_usual = served is not None and stop_when in (None, served.model.stop_when)
        guard: CallGuard | None = None
        # Of an arm of an experiment, and of the model that has it.
        for each in (served,) if choice.outside is None else (served, choice.asked):
            if each is not None and each.guards is not None:
                known, guard = await self._guarded(each, known, guard, notes)
        question = self._question(choice, known, headers) if is_usual else None
        return Asked(known, choice, stop_when, guard, question)

    async def _answered_here(
        self,
        asked: Asked,
        kept: Entry | None,
        scope: Scope,
        send: Send,
        notes: Notes,
        started: float,
    ) -> bool:
        """Answer with what is kept, or a free call with what can be reckoned here; whether that was done. Raises the errors of spending."""
        known, choice = asked.known, asked.choice
        served = choice.served
        if served is None or (kept is None and is_countable(served.model, known.face)):
            return False
        to_client, spans = _to_client(send, asked.guard), self._spans(scope["headers"])
        here = Here(self._tools, known, choice.caller, to_client, notes, spans, started, choice.told)
        name = served.model.name
        await (answer_estimate(here, name) if kept is None else give_kept(kept, here, name, asked.question))
        return True

    async def _call(
        self,
        asked: Asked,
        principal: Principal,
        scope: Scope,
        receive: Receive,
        send: Send,
        notes: Notes,
        started: float,
    ) -> None:
        """Make a call that is not answered from here."""
        known, choice, guard, headers = asked.known, asked.choice, asked.guard, scope["headers"]
        served, caller, question = choice.served, choice.caller, asked.question
        turns = self._turns
        if not turns.try_take():
            await turns.take()
        try:
            if served is None:
                assert self._local is not None, "only then it is chosen"
                metrics, spans = self._tools.metrics, self._spans(headers)
                await answer_locally(self._local, self._tools.meter, known, caller, send, notes, metrics, spans)
                return
            wanted = served
            said: Translations | None = None
            if known.face in served.foreign:
                choice, served, said = await spoken(choice, served, known)
            steps, chosen = list(choice.steps), served
            served, ticket = await self._admit(served, choice, principal, known, steps, notes)
            if served is not chosen:
                known, guard, said = await self._told_another(served, choice, known, guard, ticket, notes)
            elif guard is not None:
                await self._judged(guard, known, choice, ticket)
            self._tools.meter.begin(ticket)
            send = _to_client(send, guard)
            # What another model answers in its stead is not its answer.
            recorder = Recorder(send) if question is not None and served is wanted else None
            send, passed = recorder or send, to_provider(headers, known.form_type)
            model = arranged(served.model, known, self.board, _random.random)
            call = ModelCall(self._tools, known, model, ticket, scope, receive, send, notes, passed, started)
            call.steps, call.translations, call.told = steps, said, choice.told
            call.guard, call.stop_when = guard, asked.stop_when
            await self._run(call, headers)
            if question is not None and recorder is not None:
                await self._keep(question, recorder, call)
        finally:
            turns.leave()

    async def _guarded(
        self, served: Served, known: Known, guard: CallGuard | None, notes: Notes
    ) -> tuple[Known, CallGuard | None]:
        """The request as a model's guards let it pass, after those of ``guard``. Raises the errors of guards."""
        if served.guards is None:
            return known, guard
        if guard is None:
            guard = CallGuard(
                served.guards, known.face, served.model.name, self._readers, self._tools.metrics, notes.log
            )
            return await guard.request(known), guard
        return await guard.request_too(known, served.guards), guard

    async def _judged(self, guard: CallGuard, known: Known, choice: Choice, ticket: Ticket) -> None:
        """Have those judge the request whom guards name. Gives the ticket back where they forbid it."""
        try:
            await guard.judge(known, self._tools.upstream, in_house=bool(choice.whose))
        except BaseException:
            self._tools.meter.cancel(ticket)
            raise

    async def _told_another(
        self, served: Served, choice: Choice, known: Known, guard: CallGuard | None, ticket: Ticket, notes: Notes
    ) -> tuple[Known, CallGuard | None, Translations | None]:
        """What a model is told that answers in another's stead. Gives the ticket back where it cannot be told."""
        try:
            known, guard = await self._guarded(served, known, guard, notes)
            if guard is not None:
                await guard.judge(known, self._tools.upstream, in_house=bool(choice.whose))
            return known, guard, await translate(served, known)
        except BaseException:
            self._tools.meter.cancel(ticket)
            raise

    def _question(self, choice: Choice, known: Known, headers: Headers) -> Question | None:
        """What to look up in the cache, and to keep the call's answer for."""
        served = choice.served
        if served is None or not served.model.cache_seconds or self.cache is None or known.media is not None:
            return None
        # The bound of a role does not stand in the body.
        seed = b"%b/%d" % (choice.seed, known.output_tokens or 0)
        return self.cache.question(served.model, seed, known, choice.caller.project_id, headers)

    async def _run(self, call: ModelCall, headers: Headers) -> None:
        """Make a call that was admitted."""
        if self._tools.tracer is not None:
            call.spans = self._spans(headers)
        if self.options.content != "nothing":
            call.heard = Heard(self.options.content_max_bytes)
        call.task = asyncio.current_task(self._tools.deadlines.loop)
        self._calls.add(call)
        try:
            await run_call(call)
        finally:
            self._calls.discard(call)

    async def _keep(self, question: Question, recorder: Recorder, call: ModelCall) -> None:
        """Keep the answer of a call that came to a good end."""
        if self.cache is None or call.outcome != "ok" or call.route is None or call.charge is None:
            return
        if call.ticket.output_tokens_cap is not None and recorder.was_cut:
            # A budget's bound, not the client's: whoever asks with a larger budget gets a whole answer.
            return
        await self.cache.keep(
            question,
            recorder,
            provider=call.route.provider.name,
            model_used=call.route.model,
            cost_nusd=call.charge.cost_nusd,
            call_id=call.ticket.ask.call_id,
        )

    def _spans(self, headers: Iterable[tuple[bytes, bytes]]) -> CallSpans | None:
        """None where the call is not recorded."""
        tracer = self._tools.tracer
        recorded = None if tracer is None else tracer.recorded(current_trace_id(), headers)
        return None if tracer is None or recorded is None else CallSpans(recorded, tracer.sink)

    async def _admit(
        self,
        served: Served,
        choice: Choice,
        principal: Principal,
        known: Known,
        steps: list[Step],
        notes: Notes,
    ) -> tuple[Served, Ticket]:
        """The right to make the call, with the model asked for or the cheaper one that a rule names instead, if the key is for it.

        ``steps`` takes the models that were refused before.
        """
        tools = self._tools
        tried: set[str] = set()
        while True:
            try:
                ticket = await admit(tools.meter, make_ask(served, choice.caller, known), tools.metrics, notes)
            except (BudgetExceededError, LimitExceededError, UnpricedError) as error:
                tried.add(served.model.name)
                fallback = self._choices.instead(error, tried, principal, notes, in_house=bool(choice.whose))
                if fallback is None:
                    raise
                steps.append(Step(served.model.name, error.code, str(error)))
                served = fallback
            else:
                return served, ticket


def _called(config: GatewayConfig) -> list[Provider]:
    """Whom calls go to: the providers of models, and services."""
    return [*config.providers.values(), *(service.provider for service in config.services.values())]


def _address(scope: Scope) -> str:
    """Whose request it is; empty when that is not known."""
    return (scope.get("client") or ("",))[0]


def _to_client(send: Send, guard: CallGuard | None) -> Send:
    """Sends what the client reads: values where placeholders stood in for them."""
    return send if guard is None else guard.restoring(send)
