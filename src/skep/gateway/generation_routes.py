"""What is peculiar to the addresses of Gemini's API: they name the model, and say whether the answer is a stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

from starlette.types import ASGIApp

from skep.gateway.generate_requests import Named
from skep.gateway.interfaces import MethodNotServedError, ModelNotFoundError, RequestInvalidError
from skep.gateway.models import LOCAL_MODEL, Route
from skep.gateway.purposes import is_for
from skep.gateway.service import Gateway
from skep.spend import AddressLimitError, MeterUnavailableError
from skep.web import Call, Endpoint, json_answer

GENERATION_PATHS = ("/v1/models", "/v1beta/models")
"""Google's clients have taken the former since their version 3; where a model is asked for, nobody else is there."""

_PATH = "/v1beta/models"

AS_GEMINI = (
    "Takes and gives what Gemini's API does at this address; what Skep does not know passes through untouched. A model whose provider has"
    " another API is asked by that; what cannot be said there is refused by its name. The key stands in `x-goog-api-key`."
)

_LONGEST = 200
_METHODS = ("generateContent", "streamGenerateContent", "countTokens")


def named_whole(call: Call) -> Named:
    """What an address says that asks for a whole answer."""
    return Named(call.path("model"))


def named_stream(call: Call) -> Named:
    """The same for a stream. Raises RequestInvalidError for one that is no stream of events."""
    if call.request.query_params.get("alt") != "sse":
        reason = (
            "a stream is had as server-sent events, with alt=sse in the address; a list of answers in pieces is not"
        )
        raise RequestInvalidError(reason=reason, param="alt")
    return Named(call.path("model"), streams=True)


@dataclass(frozen=True, slots=True)
class GenerationModel:
    """A model, as Google lists it."""

    name: str
    displayName: str  # noqa: N815 -- Google's name
    supportedGenerationMethods: tuple[str, ...] = _METHODS  # noqa: N815 -- the same
    inputTokenLimit: int | None = None  # noqa: N815 -- the same
    """How many tokens it can have before it, by its largest route; left out where that is unknown."""
    outputTokenLimit: int | None = None  # noqa: N815 -- the same
    """How many it puts out at most; the same."""


@dataclass(frozen=True, slots=True)
class GenerationModels:
    """Every model."""

    models: list[GenerationModel]


def generation_models(gateway: Callable[[], Gateway]) -> tuple[Endpoint, ...]:
    """The addresses that list the models."""

    async def models(call: Call) -> ASGIApp:
        return listed(gateway(), call)

    async def model(call: Call) -> ASGIApp:
        return shown(gateway(), call)

    example = _told(GenerationModel("models/smart", "smart", inputTokenLimit=1_048_576))
    return (
        Endpoint(
            method="GET",
            path=_PATH,
            caller="member",
            takes_keyless=True,
            handle=models,
            summary="The models that may be asked for, as Gemini's API lists them",
            answer=GenerationModels,
            answer_example={"models": [example]},
            errors=(AddressLimitError, MeterUnavailableError),
        ),
        Endpoint(
            method="GET",
            path=f"{_PATH}/{{model:path}}",
            caller="member",
            takes_keyless=True,
            handle=model,
            summary="One of the models that may be asked for, as Gemini's API shows it",
            answer=GenerationModel,
            answer_example=example,
            errors=(ModelNotFoundError, AddressLimitError, MeterUnavailableError),
        ),
    )


def is_googles(call: Call) -> bool:
    """Whether one of Google's clients asks, where OpenAI's have the same address."""
    return "x-goog-api-key" in call.request.headers


def listed(gateway: Gateway, call: Call) -> ASGIApp:
    """The models that a caller may ask for contents."""
    names = (name for name in gateway.model_names(call.principal) if _generates(gateway, name))
    return json_answer({"models": [_told(_model(gateway, name)) for name in names]})


def shown(gateway: Gateway, call: Call) -> ASGIApp:
    """One of them. Raises ModelNotFoundError."""
    name = call.path("model")
    if name not in gateway.model_names(call.principal) or not _generates(gateway, name):
        raise ModelNotFoundError(name=name[:200], param="model")
    return json_answer(_told(_model(gateway, name)))


def _generates(gateway: Gateway, name: str) -> bool:
    """Whether a name is one of what can be asked for contents: tiers and roles are, and models that do not only rank, speak or draw."""
    if name == LOCAL_MODEL:
        return False
    model = gateway.config.models.get(name)
    return model is None or any(_can_generate(route) for route in model.routes)


def _can_generate(route: Route) -> bool:
    # Google has models that draw and speak at this address, too.
    return "generate_content" in route.paths or (
        is_for(route.purpose, "generate_content") and route.face_for("generate_content") is not None
    )


def _model(gateway: Gateway, name: str) -> GenerationModel:
    model = gateway.config.models.get(name)
    if model is None:
        return GenerationModel(f"models/{name}", name)
    bounds = [route.max_output_tokens for route in model.routes]
    known = [bound for bound in bounds if bound is not None]
    most = max(known) if len(known) == len(bounds) else None
    return GenerationModel(f"models/{name}", name, inputTokenLimit=model.context_window, outputTokenLimit=most)


def _told(model: GenerationModel) -> dict[str, object]:
    """As Google says it, where what is not known is left out."""
    return {name: value for name, value in asdict(model).items() if value is not None}


def unknown_methods(path: str) -> Endpoint:
    """What is asked of a model that nothing here does, at one of `GENERATION_PATHS`."""

    async def handle(call: Call) -> ASGIApp:
        name, _, method = call.path("model").rpartition(":")
        if not name:
            name, method = method, ""
        raise MethodNotServedError(method=method[:_LONGEST] or "nothing", model=name[:_LONGEST])

    return Endpoint(
        method="POST",
        path=f"{path}/{{model:path}}",
        caller="member",
        takes_keyless=True,
        handle=handle,
        summary="Refused: of Gemini's methods three are served",
        errors=(MethodNotServedError, AddressLimitError, MeterUnavailableError),
    )
