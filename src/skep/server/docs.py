"""The page that shows people the API: one static page made from the OpenAPI document, without a script or a stranger."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from http import HTTPStatus
from importlib import resources
from string import Template
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import ASGIApp

from skep import __version__
from skep.errors import SkepError
from skep.server.openapi import errors_of, openapi, operation_id
from skep.web import Call, Endpoint

_PAGE_POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def docs_endpoints(served: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
    """The routes that describe ``served`` and themselves."""

    async def document(_: Call) -> ASGIApp:
        return Response(orjson.dumps(openapi(everything)), media_type="application/json")

    async def page(_: Call) -> ASGIApp:
        return Response(
            docs_page(everything), media_type="text/html", headers={"content-security-policy": _PAGE_POLICY}
        )

    async def style(_: Call) -> ASGIApp:
        return Response(_asset("docs.css"), media_type="text/css")

    own = (
        Endpoint(
            method="GET",
            path="/api/openapi.json",
            caller="public",
            handle=document,
            summary="This description for programs (OpenAPI 3.1)",
        ),
        Endpoint(
            method="GET",
            path="/api/docs",
            caller="public",
            handle=page,
            summary="This description for people",
            media_type="text/html",
        ),
        Endpoint(
            method="GET",
            path="/api/docs.css",
            caller="public",
            handle=style,
            summary="How it looks",
            media_type="text/css",
        ),
    )
    everything = (*served, *own)
    return own


def docs_page(endpoints: Sequence[Endpoint]) -> str:
    """The whole page."""
    document = openapi(endpoints)
    contents = "\n".join(
        f'<li><a href="#{operation_id(endpoint)}"><span class="method">{endpoint.method}</span>'
        f" {escape(endpoint.path)}</a></li>"
        for endpoint in endpoints
    )
    routes = "\n".join("\n".join(_route(endpoint, document)) for endpoint in endpoints)
    return Template(_asset("docs.html")).substitute(version=escape(__version__), contents=contents, routes=routes)


def _route(endpoint: Endpoint, document: dict[str, Any]) -> Iterator[str]:
    path = endpoint.path.replace(":path}", "}")
    operation = document["paths"][path][endpoint.method.lower()]
    yield f'<section id="{operation_id(endpoint)}">'
    yield f'<h2><span class="method">{endpoint.method}</span> <code>{escape(path)}</code>'
    yield f'<span class="caller">{escape(endpoint.caller)}</span></h2>'
    yield f"<p>{escape(endpoint.summary)}.{' ' + escape(endpoint.description) if endpoint.description else ''}</p>"
    if operation["parameters"]:
        yield "<h3>Parameters</h3>"
        yield _table(
            (entry["name"], _type(entry["schema"]), entry["in"], entry.get("description", ""))
            for entry in operation["parameters"]
        )
    if endpoint.body is not None:
        yield "<h3>Body</h3>"
        yield _table(
            (name, _type(field), "required" if name in schema.get("required", ()) else "", field.get("description", ""))
            for schema in [_resolved(operation["requestBody"]["content"]["application/json"]["schema"], document)]
            for name, field in schema["properties"].items()
        )
    yield "<h3>Example</h3>"
    yield f"<pre>{escape(curl(endpoint))}</pre>"
    yield f"<h3>{int(endpoint.status)} {escape(endpoint.status.phrase)}</h3>"
    yield f"<p><code>{escape(endpoint.media_type)}</code></p>"
    if endpoint.answer_example is not None:
        yield f"<pre>{escape(_shown(endpoint.answer_example))}</pre>"
    yield "<h3>Problems</h3>"
    yield _table(
        (str(status), HTTPStatus(status).phrase, ", ".join(_code(error) for error in errors), "")
        for status, errors in errors_of(endpoint).items()
    )
    yield "</section>"


def curl(endpoint: Endpoint) -> str:
    """A command that calls a route."""
    words = ["curl -sS"]
    if endpoint.method != "GET":
        words.append(f"-X {endpoint.method}")
    if endpoint.caller != "public":
        words.append('-H "Authorization: Bearer $(cat admin.key)"')
    if endpoint.body_example is not None:
        words.append(f"-d '{json.dumps(endpoint.body_example)}'")
    return " ".join([*words, f"http://127.0.0.1:7117{endpoint.path.replace(':path}', '}')}"])


def _code(error: type[SkepError]) -> str:
    return error().code


def _table(rows: Iterable[Sequence[str]]) -> str:
    lines = ("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return "<table>" + "".join(lines) + "</table>"


def _resolved(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = document["components"]["schemas"][name] if name else schema
    return found


def _type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    return str(schema.get("format") or schema.get("type") or "object")


def _shown(example: object) -> str:
    return example if isinstance(example, str) else json.dumps(example, indent=2)


def _asset(name: str) -> str:
    return resources.files("skep.server").joinpath("assets", name).read_text(encoding="utf-8")
