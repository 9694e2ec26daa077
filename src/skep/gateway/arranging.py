"""In which order one call tries the routes of its model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from skep.gateway.board import Board
from skep.gateway.models import Model, Route
from skep.gateway.requests import Known
from skep.gateway.strategies import Chance, by_cost, by_load, by_weight, by_window, tokens_needed


def arranged(model: Model, known: Known, board: Board, chance: Chance) -> Model:
    """The model with its routes in that order; ``board`` knows how they fare."""
    if len(model.routes) == 1 or (model.strategy == "ordered" and not model.windows_differ):
        return model
    routes: Sequence[Route] = model.routes
    if model.strategy == "weighted":
        routes = by_weight(model.routes, chance)
    elif model.strategy == "lowest_cost":
        routes = by_cost(model.routes, known)
    elif model.strategy == "lowest_latency":
        routes = by_load(model.routes, board.loads(model.routes, streams=known.stream), chance)
    if model.windows_differ:
        routes = by_window(routes, tokens_needed(known))
    return replace(model, routes=tuple(routes))
