from __future__ import annotations

import pytest
from starlette.types import ASGIApp

from skep.server.interfaces import MethodNotAllowedError, RouteNotFoundError
from skep.server.routing import Router
from skep.web import Call, Endpoint, json_answer


async def nothing(_: Call) -> ASGIApp:
    return json_answer(None)


def get(path: str) -> Endpoint:
    return Endpoint(method="GET", path=path, caller="public", handle=nothing, summary="x")


def delete(path: str) -> Endpoint:
    return Endpoint(method="DELETE", path=path, caller="admin", handle=nothing, summary="x")


ROUTER = Router([get("/a"), get("/a/{name}"), delete("/a/{name}"), delete("/a/{name}/documents/{path:path}")])


@pytest.mark.parametrize(
    ("method", "path", "route", "parameters"),
    [
        ("GET", "/a", "/a", {}),
        ("HEAD", "/a", "/a", {}),
        ("GET", "/a/b", "/a/{name}", {"name": "b"}),
        ("GET", "/a/../b", None, {}),
        ("DELETE", "/a/b", "/a/{name}", {"name": "b"}),
        ("DELETE", "/a/b/documents/c/d e.py", "/a/{name}/documents/{path:path}", {"name": "b", "path": "c/d e.py"}),
        ("GET", "/a/", None, {}),
        ("GET", "/A", None, {}),
        ("GET", "//a", None, {}),
        ("GET", "/a/b/c", None, {}),
        ("GET", "", None, {}),
        ("GET", "/a/b\0", None, {}),
    ],
)
def test_match(method: str, path: str, route: str | None, parameters: dict[str, str]) -> None:
    if route is None:
        with pytest.raises(RouteNotFoundError):
            ROUTER.match(method, path)
        return
    match = ROUTER.match(method, path)
    assert (match.endpoint.path, match.parameters) == (route, parameters)


@pytest.mark.parametrize(
    ("method", "path", "allowed"), [("POST", "/a", "GET"), ("POST", "/a/b", "DELETE, GET"), ("TRACE", "/a", "GET")]
)
def test_another_method(method: str, path: str, allowed: str) -> None:
    with pytest.raises(MethodNotAllowedError) as caught:
        ROUTER.match(method, path)
    assert caught.value.fields["allowed"] == allowed


def test_two_routes_at_one_address_are_refused() -> None:
    with pytest.raises(ValueError, match="two routes claim GET /a"):
        Router([get("/a"), get("/a")])
