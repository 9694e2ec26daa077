"""The addresses of OpenAI's API, and how the gateway fares.

These are plain routes: what is in a request passes through, so nothing is checked here but who asks.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Literal, get_args

from starlette.types import ASGIApp, Receive, Scope, Send

from skep.access import AddressNotAllowedError, FaceNotAllowedError, ModelNotAllowedError
from skep.errors import SkepError, UnavailableError
from skep.gateway.advice_routes import advice_endpoints
from skep.gateway.board import ProviderView, RouteView
from skep.gateway.caching import cache_endpoints
from skep.gateway.experiment_routes import experiment_endpoints
from skep.gateway.facts import ModelFactsList, facts_of
from skep.gateway.generate_requests import Named
from skep.gateway.generation_routes import (
    AS_GEMINI,
    GENERATION_PATHS,
    generation_models,
    is_googles,
    listed,
    named_stream,
    named_whole,
    shown,
    unknown_methods,
)
from skep.gateway.interfaces import (
    BodiesFullError,
    BodyTimeoutError,
    CallStoppedError,
    ContentTypeWrongError,
    FaceNotSpokenError,
    LocalOnlyError,
    ModelNotFoundError,
    NoRouteError,
    OverloadedError,
    ProviderBusyError,
    ProviderFailedError,
    ProviderRefusedError,
    ProviderTimeoutError,
    RequestInvalidError,
    RequestUntranslatableError,
    ResponseNotKeptError,
    RoleNotFoundError,
    RoutesBusyError,
    TierNotFoundError,
)
from skep.gateway.profiles import COUNTING, GENERATION_COUNTING, Face
from skep.gateway.service import Gateway
from skep.gateway.services import service_endpoints
from skep.gateway.spans import refusal_span
from skep.gateway.statuses import (
    ProcessStatus,
    journals_together,
    process_status,
    providers_together,
    routes_together,
)
from skep.observe import Tracer
from skep.spend import (
    AddressLimitError,
    BudgetExceededError,
    DearFieldError,
    JournalUnwritableError,
    LimitExceededError,
    MeterUnavailableError,
    UnpricedError,
)
from skep.store import Database
from skep.web import BodyTooLargeError, Call, Endpoint, Refusal, json_answer

_ERRORS = (
    ModelNotAllowedError,
    FaceNotAllowedError,
    AddressNotAllowedError,
    RequestInvalidError,
    ContentTypeWrongError,
    RequestUntranslatableError,
    FaceNotSpokenError,
    BodyTimeoutError,
    BodyTooLargeError,
    ModelNotFoundError,
    TierNotFoundError,
    RoleNotFoundError,
    LocalOnlyError,
    BudgetExceededError,
    UnpricedError,
    DearFieldError,
    LimitExceededError,
    AddressLimitError,
    MeterUnavailableError,
    JournalUnwritableError,
    OverloadedError,
    BodiesFullError,
    CallStoppedError,
    NoRouteError,
    RoutesBusyError,
    ProviderFailedError,
    ProviderTimeoutError,
    ProviderBusyError,
    ProviderRefusedError,
)


@dataclass(frozen=True, slots=True)
class ModelObject:
    """A model, as OpenAI lists it."""

    id: str
    object: str = "model"
    created: int = 0
    owned_by: str = "skep"
    context_window: int | None = None
    """How many tokens it can have before it, by its largest route; null: unknown."""


@dataclass(frozen=True, slots=True)
class ModelList:
    """Every model."""

    object: str
    data: list[ModelObject]


@dataclass(frozen=True, slots=True)
class StatusObject:
    """How the gateway fares, in all server processes on the database together, and in each of them."""

    active_calls: int
    waiting_calls: int
    routes: list[RouteView]
    """Their attempts everywhere, and their breakers where they let the fewest calls through."""
    providers: list[ProviderView]
    """Not well if a process found them so, else as they were heard of last."""
    foreign_journals: dict[str, int]
    """Journals of calls in the data folder that belong to another database and are left alone, with their bytes."""
    processes: list[ProcessStatus]
    """Those that were heard of in the last minute; the one that answers is the first."""
    others_unknown: str | None
    """Why only the process that answers is here; null when all are."""


@dataclass(slots=True)
class _Answer:
    """The answer to a call: an ASGI application, which does the work when it is sent."""

    gateway: Gateway
    face: Face
    call: Call
    named: Named | None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Make the call."""
        call = self.call
        await self.gateway.call(self.face, call.principal, scope, receive, send, call.notes, self.named)


def gateway_endpoints(
    gateway: Callable[[], Gateway], database: Callable[[], Database], tracer: Tracer | None = None
) -> tuple[Endpoint, ...]:
    """The routes of this room. ``gateway`` and ``database`` give what is opened, or raise why there is none.

    ``tracer`` gets the spans of calls that are refused; None where no call is recorded.
    """

    async def models(call: Call) -> ASGIApp:
        if is_googles(call):
            return listed(gateway(), call)
        names = gateway().model_names(call.principal)
        return json_answer(ModelList("list", [_model_object(gateway(), name) for name in names]))

    async def model(call: Call) -> ASGIApp:
        if is_googles(call):
            return shown(gateway(), call)
        name = call.path("model")
        if name not in gateway().model_names(call.principal):
            raise ModelNotFoundError(name=name[:200], param="model")
        return json_answer(_model_object(gateway(), name))

    return (
        *_faces(gateway, tracer),
        *(endpoint for path in GENERATION_PATHS for endpoint in _generations(gateway, tracer, path)),
        *generation_models(gateway),
        *(unknown_methods(path) for path in GENERATION_PATHS),
        *(_not_kept(method) for method in ("GET", "POST", "DELETE")),
        Endpoint(
            method="GET",
            path="/v1/models",
            caller="member",
            takes_keyless=True,
            handle=models,
            summary="The models that may be asked for",
            answer=ModelList,
            answer_example={"object": "list", "data": [asdict(ModelObject("smart"))]},
            errors=(AddressLimitError, MeterUnavailableError),
        ),
        Endpoint(
            method="GET",
            path="/v1/models/{model:path}",
            caller="member",
            takes_keyless=True,
            handle=model,
            summary="One of the models that may be asked for",
            answer=ModelObject,
            answer_example=asdict(ModelObject("smart")),
            errors=(ModelNotFoundError, AddressLimitError, MeterUnavailableError),
        ),
        *_showing(gateway),
        *cache_endpoints(database),
        *service_endpoints(gateway),
        *experiment_endpoints(lambda: gateway().config, database),
        *advice_endpoints(lambda: gateway().config, database),
    )


def _showing(gateway: Callable[[], Gateway]) -> tuple[Endpoint, ...]:
    """What is known of the gateway, and how it fares."""

    async def facts(_: Call) -> ASGIApp:
        return json_answer(facts_of(gateway().config, get_args(Face)))

    async def status(_: Call) -> ASGIApp:
        return json_answer(await _status(gateway()))

    return (
        Endpoint(
            method="GET",
            path="/api/v1/gateway/models",
            caller="reader",
            handle=facts,
            summary="What is known of the models and their routes: what they can be asked for, windows, prices",
            answer=ModelFactsList,
            answer_example=_FACTS,
        ),
        Endpoint(
            method="GET",
            path="/api/v1/gateway/status",
            caller="reader",
            handle=status,
            summary="How the providers and routes fare, in every process: breakers, failures, health checks, calls under way",
            answer=StatusObject,
        ),
    )


_FACTS: dict[str, object] = {
    "models": [
        {
            "name": "smart",
            "tier": None,
            "strategy": "ordered",
            "routes": [
                {
                    "route": "openai/gpt-x",
                    "provider": "openai",
                    "kind": "openai",
                    "model": "gpt-x",
                    "faces": ["chat.completions", "messages", "responses"],
                    "context_window": 128_000,
                    "max_output_tokens": None,
                    "purpose": None,
                    "is_priced": True,
                    "is_local": False,
                }
            ],
        }
    ]
}


def _model_object(gateway: Gateway, name: str) -> ModelObject:
    model = gateway.config.models.get(name)
    return ModelObject(name, context_window=None if model is None else model.context_window)


async def _status(gateway: Gateway) -> StatusObject:
    unknown = None
    try:
        processes = await gateway.everywhere()
    except UnavailableError as error:
        processes, unknown = [process_status(os.getpid(), "", gateway.status())], str(error)
    return StatusObject(
        active_calls=sum(process.active_calls for process in processes),
        waiting_calls=sum(process.waiting_calls for process in processes),
        routes=routes_together(processes),
        providers=providers_together(processes),
        foreign_journals=journals_together(processes),
        processes=processes,
        others_unknown=unknown,
    )


def _faces(gateway: Callable[[], Gateway], tracer: Tracer | None) -> tuple[Endpoint, ...]:
    """The addresses at which models are called."""
    return (
        _face(gateway, tracer, "chat.completions", "/v1/chat/completions", "Let a model answer a chat"),
        _face(gateway, tracer, "completions", "/v1/completions", "Let a model go on with a text"),
        _face(
            gateway, tracer, "embeddings", "/v1/embeddings", "Turn texts into vectors; the model local is part of Skep"
        ),
        _face(
            gateway,
            tracer,
            "messages",
            "/v1/messages",
            "Let a model answer messages",
            "Takes and gives what Anthropic's API does at this address. A model whose provider has another one is asked by that;"
            " what cannot be said there is refused by its name. With `stream: true` the answer is a stream of server-sent events.",
        ),
        _face(
            gateway,
            tracer,
            COUNTING,
            "/v1/messages/count_tokens",
            "Say how many tokens a request for /v1/messages would have",
            "Asked of the model's provider where that can be; else an estimate, with the header `x-skep-estimated: true`.",
        ),
        _face(gateway, tracer, "responses", "/v1/responses", "Let a model answer, as a response", _RESPONSES),
        _face(gateway, tracer, "moderations", "/v1/moderations", "Let a model say whether texts or pictures do harm"),
        _face(gateway, tracer, "rerank", "/v1/rerank", "Let a model rank documents by a query", _RANKING),
        _face(gateway, tracer, "images.generations", "/v1/images/generations", "Let a model draw pictures", _MEDIA),
        _face(gateway, tracer, "images.edits", "/v1/images/edits", "Let a model change pictures", _MEDIA),
        _face(gateway, tracer, "images.variations", "/v1/images/variations", "Let a model vary a picture", _MEDIA),
        _face(gateway, tracer, "audio.speech", "/v1/audio/speech", "Let a model speak a text", _MEDIA),
        _face(
            gateway,
            tracer,
            "audio.transcriptions",
            "/v1/audio/transcriptions",
            "Let a model write what is said",
            _MEDIA,
        ),
        _face(
            gateway,
            tracer,
            "audio.translations",
            "/v1/audio/translations",
            "Let a model write in English what is said",
            _MEDIA,
        ),
    )


def _generations(gateway: Callable[[], Gateway], tracer: Tracer | None, models: str) -> tuple[Endpoint, ...]:
    """The addresses of Gemini's API at which models are called; ``models`` is that of all models."""
    path = f"{models}/{{model:path}}"
    return (
        _face(
            gateway,
            tracer,
            "generate_content",
            f"{path}:generateContent",
            "Let a model generate content",
            AS_GEMINI,
            names=named_whole,
        ),
        _face(
            gateway,
            tracer,
            "generate_content",
            f"{path}:streamGenerateContent",
            "Let a model generate content, as a stream of server-sent events",
            f"{AS_GEMINI} Only with `alt=sse` in the address, as Google's clients have it.",
            names=named_stream,
        ),
        _face(
            gateway,
            tracer,
            GENERATION_COUNTING,
            f"{path}:countTokens",
            "Say how many tokens contents have",
            "Asked of the model's provider where that can be; else an estimate, with the header `x-skep-estimated: true`.",
            names=named_whole,
        ),
    )


_AS_OPENAI = (
    "Takes and gives what OpenAI's API does at this address; what Skep does not know passes through"
    " untouched. With `stream: true` the answer is a stream of server-sent events."
)

_RANKING = (
    "Takes and gives what the model's provider does at this address (Cohere, Jina, Voyage, vLLM and others differ a little); it passes"
    " through untouched. It is charged by searches where the settings have their price (`search_usd`), else by tokens."
)

_MEDIA = (
    "Takes and gives what OpenAI's API does at this address, JSON or a form; all but the name of the model passes through untouched, pictures,"
    " sound and streams too. It is charged by what the model's price is for: tokens, pictures, characters or time."
)

_RESPONSES = (
    f"{_AS_OPENAI} Answers are not kept here: `background` is refused, and what goes on from what the provider has stored"
    " (`previous_response_id`, `conversation`) is reserved for as if it filled the model's context."
)


def _not_kept(method: Literal["GET", "POST", "DELETE"]) -> Endpoint:
    async def handle(call: Call) -> ASGIApp:
        address = f"/v1/responses/{call.path('response')}"
        raise ResponseNotKeptError(method=method, address=address[:_LONGEST_ADDRESS])

    return Endpoint(
        method=method,
        path="/v1/responses/{response:path}",
        caller="member",
        takes_keyless=True,
        handle=handle,
        summary="Refused: answers are not kept",
        errors=(ResponseNotKeptError, AddressLimitError, MeterUnavailableError),
    )


_LONGEST_ADDRESS = 200


def _face(
    gateway: Callable[[], Gateway],
    tracer: Tracer | None,
    face: Face,
    path: str,
    summary: str,
    description: str = _AS_OPENAI,
    names: Callable[[Call], Named] | None = None,
) -> Endpoint:
    """An address at which models are called. ``names`` reads what it says itself, where the body does not name the model."""

    async def handle(call: Call) -> ASGIApp:
        return _Answer(gateway(), face, call, None if names is None else names(call))

    def record(refusal: Refusal) -> None:
        # A call that was settled has told its own spans.
        if tracer is not None and "outcome" not in refusal.log:
            recorded = tracer.recorded(refusal.trace_id, refusal.headers)
            if recorded is not None:
                is_served = _is_served(gateway, refusal.log.get("model"))
                tracer.sink.take([refusal_span(face, refusal, recorded, is_served=is_served)])

    return Endpoint(
        method="POST",
        path=path,
        caller="member",
        takes_keyless=True,
        handle=handle,
        summary=summary,
        description=description,
        status=HTTPStatus.OK,
        on_refusal=None if tracer is None else record,
        errors=_ERRORS,
    )


def _is_served(gateway: Callable[[], Gateway], model: object) -> bool:
    try:
        return model in gateway().model_names()
    except SkepError:
        return False
