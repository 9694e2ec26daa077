"""What is peculiar to the addresses of Gemini's API: they name the model, and say whether the answer is a stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

from starlette.types import ASGIApp

from skep.gateway.generate_requests import Named
from skep.gateway.interfaces import ModelNotFoundError, RequestInvalidError
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
    """How many tokens it can have before it, by its largest route; null: unknown."""


@dataclass(frozen=True, slots=True)
class GenerationModels:
    """Every model."""

    models: list[GenerationModel]


def generation_models(gateway: Callable[[], Gateway]) -> tuple[Endpoint, ...]:
    """The addresses that list the models."""

    async def models(call: Call) -> ASGIApp:
        return json_answer(listed(gateway(), call))

    async def model(call: Call) -> ASGIApp:
        return json_answer(shown(gateway(), call))

    example = asdict(GenerationModel("models/smart", "smart"))
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


def listed(gateway: Gateway, call: Call) -> GenerationModels:
    """The models that a caller may ask for."""
    return GenerationModels([_model(gateway, name) for name in gateway.model_names(call.principal)])


def shown(gateway: Gateway, call: Call) -> GenerationModel:
    """One of them. Raises ModelNotFoundError."""
    name = call.path("model")
    if name not in gateway.model_names(call.principal):
        raise ModelNotFoundError(name=name[:200], param="model")
    return _model(gateway, name)


def _model(gateway: Gateway, name: str) -> GenerationModel:
    model = gateway.config.models.get(name)
    return GenerationModel(f"models/{name}", name, inputTokenLimit=None if model is None else model.context_window)
