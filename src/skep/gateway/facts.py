"""What the settings, the kinds of providers and the price list say of the models, for people and for `skep gateway test`. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from skep.gateway.models import GatewayConfig, Model, Route
from skep.gateway.profiles import Face
from skep.gateway.purposes import Purpose


@dataclass(frozen=True, slots=True)
class RouteFacts:
    """One way in which a model is asked."""

    route: str
    provider: str
    kind: str
    model: str
    """As the provider calls it."""
    faces: list[str]
    """What clients can ask it for; some are translated."""
    context_window: int | None
    """In tokens; null: not known."""
    max_output_tokens: int | None
    purpose: Purpose | None
    """What the model is for, as the settings say or its name or price does; null: nothing says so."""
    is_priced: bool
    """Whether it is known what its tokens cost."""
    is_local: bool
    """Whether what is sent there stays in the house."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model that clients may ask for."""

    name: str
    tier: str | None
    strategy: str
    routes: list[RouteFacts]


@dataclass(frozen=True, slots=True)
class ModelFactsList:
    """Every model of the settings, in their order."""

    models: list[ModelFacts]


def facts_of(config: GatewayConfig, faces: tuple[Face, ...]) -> ModelFactsList:
    """Of every model. ``faces``: all there are."""
    return ModelFactsList([_model(model, faces) for model in config.models.values()])


def _model(model: Model, faces: tuple[Face, ...]) -> ModelFacts:
    return ModelFacts(model.name, model.tier, model.strategy, [_route(route, faces) for route in model.routes])


def _route(route: Route, faces: tuple[Face, ...]) -> RouteFacts:
    return RouteFacts(
        route=route.name,
        provider=route.provider.name,
        kind=route.provider.profile.kind,
        model=route.model,
        faces=[face for face in faces if route.face_for(face) is not None],
        context_window=route.context_window,
        max_output_tokens=route.max_output_tokens,
        purpose=route.purpose,
        is_priced=route.price is not None,
        is_local=route.provider.is_local,
    )
