"""Finds the route of a request. What may be done is decided on the route found, never on the address as it was sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from re import Pattern
from typing import Any

from starlette.convertors import Convertor
from starlette.routing import compile_path

from skep.server.interfaces import MethodNotAllowedError, RouteNotFoundError
from skep.web import Endpoint


@dataclass(frozen=True, slots=True)
class Match:
    """A route and what its address named."""

    endpoint: Endpoint
    parameters: dict[str, Any]


class Router:
    """The table of routes. Raises ValueError when two of them claim the same method and address."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self.endpoints = tuple(endpoints)
        self._fixed: dict[str, dict[str, Endpoint]] = {}
        self._patterns: dict[str, tuple[Pattern[str], dict[str, Convertor[Any]], dict[str, Endpoint]]] = {}
        for endpoint in self.endpoints:
            by_method = self._methods_at(endpoint.path)
            if endpoint.method in by_method:
                raise ValueError(f"two routes claim {endpoint.method} {endpoint.path}")
            by_method[endpoint.method] = endpoint

    def match(self, method: str, path: str) -> Match:
        """The route of a decoded path; HEAD is answered as GET.

        Raises RouteNotFoundError, MethodNotAllowedError.
        """
        wanted = "GET" if method == "HEAD" else method
        fixed = self._fixed.get(path)
        if fixed is not None and wanted in fixed:
            return Match(fixed[wanted], {})
        for by_method, parameters in self._at(path):
            endpoint = by_method.get(wanted)
            if endpoint is not None:
                return Match(endpoint, parameters)
        allowed = ", ".join(self.methods(path))
        raise MethodNotAllowedError(path=path, method=method, allowed=allowed, reason="method")

    def methods(self, path: str) -> tuple[str, ...]:
        """What a decoded path takes. Raises RouteNotFoundError."""
        allowed = {method for by_method, _ in self._at(path) for method in by_method}
        if not allowed:
            raise RouteNotFoundError(what="route", name=path, path=path)
        return tuple(sorted(allowed))

    def _methods_at(self, path: str) -> dict[str, Endpoint]:
        if "{" not in path:
            return self._fixed.setdefault(path, {})
        pattern, _, convertors = compile_path(path)
        return self._patterns.setdefault(path, (pattern, convertors, {}))[2]

    def _at(self, path: str) -> list[tuple[dict[str, Endpoint], dict[str, Any]]]:
        fixed = self._fixed.get(path)
        if fixed is not None:
            return [(fixed, {})]
        found: list[tuple[dict[str, Endpoint], dict[str, Any]]] = []
        if "\0" in path:
            # No name has a NUL in it, and the database takes none.
            return found
        for pattern, convertors, by_method in self._patterns.values():
            match = pattern.match(path)
            if match is not None:
                values = {name: convertors[name].convert(text) for name, text in match.groupdict().items()}
                found.append((by_method, values))
        return found
