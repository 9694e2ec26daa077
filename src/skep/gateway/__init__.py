"""How models are called: one pipeline for every face, from the request's bytes to the provider's and back."""

from __future__ import annotations

from skep.gateway.board import Board, ProviderView, RouteView
from skep.gateway.caching import MemoryStore, RedisStore, Store, clear, open_cache
from skep.gateway.calls import GatewayOptions
from skep.gateway.configuring import Catalogue, read_config
from skep.gateway.doubts import doubts
from skep.gateway.interfaces import (
    AttemptFailedError,
    BodiesFullError,
    BodyTimeoutError,
    CallStoppedError,
    LocalEmbedder,
    ModelNotFoundError,
    NoRouteError,
    OverloadedError,
    ProviderBusyError,
    ProviderFailedError,
    ProviderRefusedError,
    ProviderTimeoutError,
    RequestInvalidError,
    Upstream,
)
from skep.gateway.metrics import GATEWAY_METRICS
from skep.gateway.models import LOCAL_MODEL, GatewayConfig, Model, Provider, Route
from skep.gateway.profiles import FORMAT_FACES, PROFILES, Face, Profile
from skep.gateway.service import Gateway
from skep.gateway.sharing import shared
from skep.gateway.showing import shown
from skep.gateway.statuses import GatewayStatus, ProcessStatus
from skep.gateway.translating import FORMATS
from skep.gateway.upstream import HttpUpstream

__all__ = [
    "FORMATS",
    "FORMAT_FACES",
    "GATEWAY_METRICS",
    "LOCAL_MODEL",
    "PROFILES",
    "AttemptFailedError",
    "Board",
    "BodiesFullError",
    "BodyTimeoutError",
    "CallStoppedError",
    "Catalogue",
    "Face",
    "Gateway",
    "GatewayConfig",
    "GatewayOptions",
    "GatewayStatus",
    "HttpUpstream",
    "LocalEmbedder",
    "MemoryStore",
    "Model",
    "ModelNotFoundError",
    "NoRouteError",
    "OverloadedError",
    "ProcessStatus",
    "Profile",
    "Provider",
    "ProviderBusyError",
    "ProviderFailedError",
    "ProviderRefusedError",
    "ProviderTimeoutError",
    "ProviderView",
    "RedisStore",
    "RequestInvalidError",
    "Route",
    "RouteView",
    "Store",
    "Upstream",
    "clear",
    "doubts",
    "open_cache",
    "read_config",
    "shared",
    "shown",
]
