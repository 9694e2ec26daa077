"""The gateway: every call of a model goes through `Gateway.call`, whichever face it came by."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from starlette.types import Receive, Scope, Send

from skep.access import Principal, allows_model, may_call
from skep.errors import SkepError
from skep.gateway.admitting import admit
from skep.gateway.answering_here import Here
from skep.gateway.board import Board
from skep.gateway.bodies import Bodies
from skep.gateway.caching import AnswerCache, Entry, Headers, Question, Recorder, give_kept, seed_of
from skep.gateway.calls import GatewayOptions, ModelCall, Tools
from skep.gateway.counting import answer_estimate, is_countable
from skep.gateway.guarding import CallGuard, Guards, guards_of
from skep.gateway.headers import privacy_of, to_provider, told_by_caller
from skep.gateway.interfaces import (
    BodiesFullError,
    BodyTimeoutError,
    LocalEmbedder,
    LocalOnlyError,
    ModelNotFoundError,
    RequestInvalidError,
    Upstream,
)
from skep.gateway.large_bodies import is_quick, prepare
from skep.gateway.local import LocalModel, answer_locally
from skep.gateway.models import LOCAL_MODEL, GatewayConfig, Model, Route
from skep.gateway.pricing import FREE, dearest, price_of_call
from skep.gateway.profiles import Face
from skep.gateway.relaying import run_call
from skep.gateway.requests import Known, read_request
from skep.gateway.spans import CallSpans
from skep.gateway.statuses import GatewayStatus, ProcessStatus
from skep.gateway.strategies import by_cost, by_load, by_weight
from skep.gateway.translated import Translations, foreign_faces, translations
from skep.gateway.turns import Turns
from skep.observe import NO_METRICS, Metrics, Tracer, current_trace_id
from skep.spend import (
    AddressWindows,
    Ask,
    BudgetExceededError,
    Caller,
    ContentKeeper,
    Heard,
    LimitExceededError,
    Meter,
    Price,
    Step,
    Ticket,
    UnpricedError,
)
from skep.web import Notes

_LONGEST_NAME = 200

_random = random.Random()  # noqa: S311 -- spreads calls; nothing depends on nobody guessing it


@dataclass(frozen=True, slots=True)
class Served:
    """A model, with what is reckoned once."""

    model: Model
    dearest: Price | None
    """None when the price of a route is unknown."""
    max_output_tokens: int | None
    """The most that any of its routes puts out for one choice; None when that of one is unknown."""
    cache_seed: bytes
    """See `seed_of`."""
    foreign: Mapping[Face, frozenset[Face]]
    """See `foreign_faces`."""
    guards: Guards | None
    """None: nothing is looked at."""
    in_house: Served | None
    """The same with its local routes only; None when it has none."""


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
        self._served = {name: serve(model) for name, model in config.models.items()}
        self._turns = Turns(options.max_calls, options.max_waiting_calls, options.max_wait_seconds)
        self._bodies = Bodies(options.max_body_bytes, options.max_held_bytes, options.body_timeout_seconds)
        self._readers = ThreadPoolExecutor(1, thread_name_prefix="skep-bodies")
        self._calls: set[ModelCall] = set()
        self._local = None if embedder is None else LocalModel(embedder)
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
        self.config, self.options = config, options
        self._tools = replace(self._tools, options=options)
        self._served = {name: serve(model) for name, model in config.models.items()}
        self._turns.resize(options.max_calls, options.max_waiting_calls, options.max_wait_seconds)
        self._bodies.resize(options.max_body_bytes, options.max_held_bytes, options.body_timeout_seconds)
        self._tools.upstream.retire(config.providers.values(), options.max_answer_bytes)
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

    def model_names(self) -> list[str]:
        """What clients may ask for."""
        return [*self._served, *([] if self._local is None else [LOCAL_MODEL])]

    def route_names(self) -> frozenset[str]:
        """Every route, as the board calls it."""
        return frozenset(route.name for model in self.config.models.values() for route in model.routes)

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
        self, face: Face, principal: Principal, scope: Scope, receive: Receive, send: Send, notes: Notes
    ) -> None:
        """Make one call of a model and answer it.

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
            known = read_request(face, body, quick=True) if is_quick(body) else await self._read_large(face, body)
            await self._call(known, principal, scope, receive, send, notes, started)
        finally:
            self._bodies.leave(len(body))

    async def _read_large(self, face: Face, body: bytes) -> Known:
        """Read it in a thread: nobody else should wait."""
        read = partial(read_request, face, body, quick=False)
        return await asyncio.get_running_loop().run_in_executor(self._readers, read)

    async def _call(
        self,
        known: Known,
        principal: Principal,
        scope: Scope,
        receive: Receive,
        send: Send,
        notes: Notes,
        started: float,
    ) -> None:
        face, headers = known.face, scope["headers"]
        # Also of calls that are refused; a client may write what it likes.
        notes.log["model"] = known.model[:_LONGEST_NAME]
        client = scope.get("client")
        may_call(principal, model=known.model, face=face, address=client[0] if client else "")
        caller = caller_of(principal, known.user, *told_by_caller(headers))
        local = self._local if known.model == LOCAL_MODEL else None
        served = self._served.get(known.model)
        if served is None and local is None:
            raise ModelNotFoundError(name=known.model, param="model")
        whose = local_only(principal, headers)
        if served is not None and whose:
            served = served.in_house
            if served is None:
                raise LocalOnlyError(model=known.model, whose=whose, param="model")
        guard: CallGuard | None = None
        if served is not None and served.guards is not None:
            known, guard = await self._guarded(served, known, None, notes)
        question, kept = await self._look_up(served, known, caller, headers)
        if served is not None and (kept is not None or (known.is_free and not is_countable(served.model))):
            here = Here(self._tools, known, caller, _to_client(send, guard), notes, self._spans(headers), started)
            await (answer_estimate(here, known.model) if kept is None else give_kept(kept, here, known.model))
            return
        turns = self._turns
        if not turns.try_take():
            await turns.take()
        try:
            if served is None:
                assert local is not None, "either of them was found"
                metrics, spans = self._tools.metrics, self._spans(headers)
                await answer_locally(local, self._tools.meter, known, caller, send, notes, metrics, spans)
                return
            asked, steps = served, list[Step]()
            said = await _translate(served, known)
            served, ticket = await self._admit(served, principal, caller, known, steps, notes, in_house=bool(whose))
            if served is not asked:
                known, guard, said = await self._told_another(served, known, guard, ticket, notes)
            self._tools.meter.begin(ticket)
            send = _to_client(send, guard)
            # What another model answers in its stead is not its answer.
            recorder = Recorder(send) if question is not None and served is asked else None
            send, passed = recorder or send, to_provider(headers)
            model = self._arranged(served.model, known)
            call = ModelCall(self._tools, known, model, ticket, scope, receive, send, notes, passed, started)
            call.steps, call.translations, call.guard = steps, said, guard
            await self._run(call, headers)
            if question is not None and recorder is not None:
                await self._keep(question, recorder, call)
        finally:
            turns.leave()

    async def _guarded(
        self, served: Served | None, known: Known, guard: CallGuard | None, notes: Notes
    ) -> tuple[Known, CallGuard | None]:
        """The request as a model's guards let it pass, after those of ``guard``. Raises the errors of guards."""
        if served is None or served.guards is None:
            return known, guard
        if guard is None:
            guard = CallGuard(
                served.guards, known.face, served.model.name, self._readers, self._tools.metrics, notes.log
            )
            return await guard.request(known), guard
        return await guard.request_too(known, served.guards), guard

    async def _told_another(
        self, served: Served, known: Known, guard: CallGuard | None, ticket: Ticket, notes: Notes
    ) -> tuple[Known, CallGuard | None, Translations | None]:
        """What a model is told that answers in another's stead. Gives the ticket back where it cannot be told."""
        try:
            known, guard = await self._guarded(served, known, guard, notes)
            return known, guard, await _translate(served, known)
        except BaseException:
            self._tools.meter.cancel(ticket)
            raise

    async def _look_up(
        self, served: Served | None, known: Known, caller: Caller, headers: Headers
    ) -> tuple[Question | None, Entry | None]:
        """What to keep the call's answer for, and the answer that is kept already."""
        if served is None or not served.model.cache_seconds or self.cache is None:
            return None, None
        question = self.cache.question(served.model, served.cache_seed, known, caller.project_id, headers)
        return question, None if question is None else await self.cache.find(question)

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

    def _arranged(self, model: Model, known: Known) -> Model:
        """The model with its routes in the order in which this call shall try them."""
        if model.strategy == "ordered" or len(model.routes) == 1:
            return model
        routes: Iterable[Route] = model.routes
        if model.strategy == "weighted":
            routes = by_weight(model.routes, _random.random)
        elif model.strategy == "lowest_cost":
            routes = by_cost(model.routes, known)
        else:
            routes = by_load(model.routes, self.board.loads(model.routes, streams=known.stream), _random.random)
        return replace(model, routes=tuple(routes))

    async def _keep(self, question: Question, recorder: Recorder, call: ModelCall) -> None:
        """Keep the answer of a call that came to a good end."""
        if self.cache is None or call.outcome != "ok" or call.route is None or call.charge is None:
            return
        if call.ticket.output_tokens_cap is not None and recorder.was_cut:
            # A budget's bound, not the client's: whoever asks with a larger budget gets a whole answer.
            return
        provider, cost = call.route.provider.name, call.charge.cost_nusd
        await self.cache.keep(question, recorder, provider=provider, model_used=call.route.model, cost_nusd=cost)

    def _spans(self, headers: Iterable[tuple[bytes, bytes]]) -> CallSpans | None:
        """None where the call is not recorded."""
        tracer = self._tools.tracer
        recorded = None if tracer is None else tracer.recorded(current_trace_id(), headers)
        return None if tracer is None or recorded is None else CallSpans(recorded, tracer.sink)

    async def _admit(
        self,
        served: Served,
        principal: Principal,
        caller: Caller,
        known: Known,
        steps: list[Step],
        notes: Notes,
        *,
        in_house: bool,
    ) -> tuple[Served, Ticket]:
        """The right to make the call, with the model asked for or the cheaper one that a rule names instead, if the key is for it.

        ``steps`` takes the models that were refused before.
        """
        tools = self._tools
        tried: set[str] = set()
        while True:
            try:
                ticket = await admit(tools.meter, make_ask(served, caller, known), tools.metrics, notes)
            except (BudgetExceededError, LimitExceededError, UnpricedError) as error:
                tried.add(served.model.name)
                fallback = self._fallback(error, tried, principal, notes, in_house=in_house)
                if fallback is None:
                    raise
                steps.append(Step(served.model.name, error.code, str(error)))
                served = fallback
            else:
                return served, ticket

    def _fallback(
        self, error: SkepError, tried: set[str], principal: Principal, notes: Notes, *, in_house: bool
    ) -> Served | None:
        """Which model a refusal names instead; None when it names none, or one that cannot be."""
        name = error.fields.get("fallback_model")
        if not isinstance(name, str):
            return None
        fallback = self._served.get(name)
        if fallback is not None and in_house:
            fallback = fallback.in_house
        if fallback is None:
            notes.log["no_fallback"] = f"{name} is not served" + (" by a local route" if in_house else "")
        elif name in tried or not _is_for(principal, fallback.model):
            notes.log["no_fallback"] = f"not by {name} either"
            fallback = None
        return fallback


def _to_client(send: Send, guard: CallGuard | None) -> Send:
    """Sends what the client reads: values where placeholders stood in for them."""
    return send if guard is None else guard.restoring(send)


async def _translate(served: Served, known: Known) -> Translations | None:
    """The request in the formats of those routes that speak another one. Raises RequestUntranslatableError."""
    foreign = served.foreign.get(known.face)
    return None if foreign is None else await translations(known, served.model, foreign)


def _is_for(principal: Principal, model: Model) -> bool:
    return principal.models is None or allows_model(principal.models, model.name)


def caller_of(principal: Principal, user: str | None, session: str | None, tags: tuple[str, ...]) -> Caller:
    """Who makes the call, as the rules see it. A key that is somebody's counts as theirs, whoever the client names."""
    return Caller(
        project_id=principal.project_id,
        key_id=principal.key_id,
        key_name=principal.key_name,
        user=user if principal.user is None else principal.user,
        session=session,
        tier=principal.tier,
        tags=tags,
    )


def make_ask(served: Served, caller: Caller, known: Known) -> Ask:
    """The call as the rules see it: the most that it can use and cost, by whichever route."""
    output = known.output_tokens
    if served.max_output_tokens is not None:
        most = served.max_output_tokens * known.choices
        output = most if output is None else min(output, most)
    price, dear_field = FREE if known.is_free else served.dearest, None
    if known.service_tier is not None or known.searches or known.dear_field is not None:
        price, dear_field = _asked_price(served, known)
    return Ask(
        caller=caller,
        model=served.model.name,
        input_tokens_at_most=known.input_tokens_at_most,
        output_tokens_at_most=output,
        price=price,
        dear_field=dear_field,
        face=known.face,
        stream=known.stream,
        has_audio=known.has_audio,
        keeps_an_hour=known.keeps_an_hour,
    )


def _asked_price(served: Served, known: Known) -> tuple[Price | None, str | None]:
    """The dearest price of a call that asks for other terms than those of the list, or the field that hides it."""
    routes = served.model.routes
    if served.dearest is None or known.dear_field is not None:
        return None, known.dear_field
    # A tier that is asked for may be denied: then the call costs what the list says, which may be more.
    tiers = (known.service_tier, None)
    price = dearest([price_of_call(route, tier, searches=known.searches) for route in routes for tier in tiers])
    if price is not None:
        return price, None
    is_tier = any(price_of_call(route, known.service_tier, searches=False) is None for route in routes)
    return None, "service_tier" if is_tier else "web_search_options"


def local_only(principal: Principal, headers: Headers) -> str:
    """Who says that a call must stay with local providers; empty when nobody does. Raises RequestInvalidError."""
    said = privacy_of(headers)
    if said not in (None, "local_only"):
        raise RequestInvalidError(reason="x-skep-privacy must be local_only", param=None)
    if principal.local_only:
        return f"the key {principal.key_name}"
    return "this call (x-skep-privacy)" if said else ""


def serve(model: Model) -> Served:
    """A model with what is reckoned once."""
    routes = tuple(route for route in model.routes if route.provider.is_local)
    if len(routes) == len(model.routes):
        whole = _serve(model, None)
        return replace(whole, in_house=whole)
    return _serve(model, _serve(replace(model, routes=routes), None) if routes else None)


def _serve(model: Model, in_house: Served | None) -> Served:
    bounds = [route.max_output_tokens for route in model.routes]
    known = [bound for bound in bounds if bound is not None]
    return Served(
        model=model,
        dearest=dearest([route.price for route in model.routes]),
        max_output_tokens=max(known) if len(known) == len(bounds) else None,
        cache_seed=seed_of(model),
        foreign=foreign_faces(model),
        guards=guards_of(model.guards),
        in_house=in_house,
    )
