"""Services as the settings say them, and what is decided about a request to one. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from urllib.parse import quote, unquote

from skep.gateway.models import Provider, Route
from skep.gateway.profiles import Profile
from skep.gateway.services.interfaces import (
    ServiceLeavesError,
    ServiceMethodError,
    ServiceNotFoundError,
    ServicePathError,
)

SERVICES_FACE = "services"
"""Its name in the ledger, and in the faces that a key may use."""

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")

SERVICE_PROFILE = Profile(
    kind="service", summary="another service", base_url=None, needs_key=False, paths={}, content_type=None
)

_PATH_CHARACTERS = "/:@!$&'()*+,;=~-._"
_MOST_UNQUOTES = 3
_STEP = re.compile(r"(?:^|[/\\])\.{1,2}(?:[/\\;?#]|$)")


def service_model(name: str) -> str:
    """What rules, keys and the ledger call a service, beside models."""
    return f"service:{name}"


@dataclass(frozen=True, slots=True)
class CostRule:
    """What certain calls cost."""

    methods: tuple[str, ...]
    """Empty: all."""
    path: str
    """A pattern for the path behind the service's address; ``*`` stands for anything."""
    cost_nusd: int

    def counts(self, method: str, path: str) -> bool:
        """Whether it is about a call."""
        return (not self.methods or method in self.methods) and fnmatchcase(path, self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Something behind an address that is called by HTTP."""

    name: str
    provider: Provider
    """How connections are made: its address, its headers, with its credentials."""
    methods: tuple[str, ...] = METHODS
    costs: tuple[CostRule, ...] = ()
    """The first that is about a call counts."""
    cost_nusd: int | None = None
    """Of other calls; None: not known, and a money budget refuses them unless it allows unpriced calls."""
    timeout_seconds: float = 60.0
    """Until the head of the answer."""
    idle_timeout_seconds: float = 60.0
    route: Route = field(init=False)
    """For the breaker."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "route", Route(provider=self.provider, model="*"))

    def cost_of(self, method: str, path: str) -> int | None:
        """What a call costs, in nano-dollars; None when that is not known."""
        for rule in self.costs:
            if rule.counts(method, path):
                return rule.cost_nusd
        return self.cost_nusd


def target_path(path: str) -> str | None:
    """The decoded path behind a service's address as it is sent; None for one that could lead elsewhere.

    Steps to another folder are refused however they are written (``..``, ``%2e%2e``, ``%252e``, with backslashes), as are control characters:
    a proxy or server behind may undo what this one does not.
    """
    plain = path
    for _ in range(_MOST_UNQUOTES):
        if (
            _STEP.search(plain)
            or "\\" in plain
            or any(ord(character) < 32 or ord(character) == 127 for character in plain)
        ):
            return None
        undone = unquote(plain)
        if undone == plain:
            break
        plain = undone
    else:
        return None
    return "/" + quote(path.lstrip("/"), safe=_PATH_CHARACTERS)


def chosen_service(
    services: Mapping[str, Service], name: str, path: str, *, method: str, whose: str
) -> tuple[Service, str]:
    """The service that a call is for, and the path to send. ``whose``: who says that it must stay in the house; empty: nobody.

    Raises ServiceNotFoundError, ServiceMethodError, ServicePathError, ServiceLeavesError.
    """
    service = services.get(name)
    if service is None:
        raise ServiceNotFoundError(name=name[:100], known=", ".join(services) or "none")
    if method not in service.methods:
        raise ServiceMethodError(service=name, method=method, allowed=", ".join(service.methods))
    if whose and not service.provider.is_local:
        raise ServiceLeavesError(service=name, whose=whose)
    target = target_path(path)
    if target is None:
        raise ServicePathError(service=name, path=path[:100])
    return service, target
