"""Every route of the server, with who may call it. A new route needs a line here, and somebody who thought about it."""

from __future__ import annotations

import json
import re
from contextlib import AbstractAsyncContextManager
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typing_extensions import override

from skep.app import Skep
from skep.gateway import Gateway
from skep.observe import open_metrics
from skep.server.application import all_endpoints
from skep.server.docs import curl, docs_page
from skep.server.interfaces import NotReadyError
from skep.server.metrics import ALL_METRICS
from skep.server.openapi import openapi, operation_id
from skep.server.opening import Opening
from skep.settings import MetricsSettings, Settings
from skep.web import Endpoint

INVENTORY = {
    "GET /healthz": "public",
    "GET /readyz": "public",
    "GET /health/workers": "public",
    "GET /config": "public",
    "GET /api/docs": "public",
    "GET /api/docs.css": "public",
    "GET /api/openapi.json": "public",
    "POST /api/v1/search": "reader",
    "POST /api/v1/ask": "reader",
    "GET /api/v1/collections": "reader",
    "POST /api/v1/collections": "member",
    "GET /api/v1/collections/{name}": "reader",
    "DELETE /api/v1/collections/{name}": "member",
    "DELETE /api/v1/collections/{name}/documents/{path:path}": "member",
    "GET /api/v1/collections/{name}/similar": "reader",
    "POST /api/v1/collections/{name}/index": "member",
    "POST /api/v1/collections/{name}/verify": "member",
    "GET /api/v1/jobs": "reader",
    "GET /api/v1/jobs/{job_id}": "reader",
    "GET /api/v1/jobs/{job_id}/events": "reader",
    "DELETE /api/v1/jobs/{job_id}": "member",
    "POST /api/v1/jobs/{job_id}/retry": "member",
    "GET /api/v1/changes": "reader",
    "GET /api/v1/keys": "admin",
    "POST /api/v1/keys": "admin",
    "GET /api/v1/keys/{key}": "admin",
    "DELETE /api/v1/keys/{key}": "admin",
    "POST /api/v1/keys/{key}/rotate": "admin",
    "GET /api/v1/budgets": "reader",
    "POST /api/v1/budgets": "admin",
    "GET /api/v1/budgets/{name}": "reader",
    "PUT /api/v1/budgets/{name}": "admin",
    "DELETE /api/v1/budgets/{name}": "admin",
    "GET /api/v1/limits": "reader",
    "POST /api/v1/limits": "admin",
    "GET /api/v1/limits/{name}": "reader",
    "PUT /api/v1/limits/{name}": "admin",
    "DELETE /api/v1/limits/{name}": "admin",
    "GET /api/v1/projects": "admin",
    "POST /api/v1/projects": "admin",
    "PATCH /api/v1/projects/{project}": "admin",
    "POST /v1/chat/completions": "member",
    "POST /v1/completions": "member",
    "POST /v1/embeddings": "member",
    "POST /v1/messages": "member",
    "POST /v1/messages/count_tokens": "member",
    "POST /v1/responses": "member",
    "POST /v1/moderations": "member",
    "POST /v1/rerank": "member",
    "POST /v1/images/generations": "member",
    "POST /v1/images/edits": "member",
    "POST /v1/images/variations": "member",
    "POST /v1/audio/speech": "member",
    "POST /v1/audio/transcriptions": "member",
    "POST /v1/audio/translations": "member",
    "GET /v1/responses/{response:path}": "member",
    "POST /v1/responses/{response:path}": "member",
    "DELETE /v1/responses/{response:path}": "member",
    "GET /v1/models": "member",
    **{f"GET /v1beta/models{more}": "member" for more in ("", "/{model:path}")},
    **{
        f"POST /{version}/models/{{model:path}}:{method}": "member"
        for version in ("v1", "v1beta")
        for method in ("generateContent", "streamGenerateContent", "countTokens")
    },
    **{f"POST /{version}/models/{{model:path}}": "member" for version in ("v1", "v1beta")},
    "GET /v1/models/{model:path}": "member",
    "GET /api/v1/gateway/status": "reader",
    "GET /api/v1/gateway/models": "reader",
    "GET /api/v1/gateway/experiments/{name}": "reader",
    "GET /api/v1/cost/report": "reader",
    "GET /api/v1/cost/savings": "reader",
    "GET /api/v1/cost/trend": "reader",
    "GET /api/v1/cost/privacy": "reader",
    "GET /api/v1/cost/streams": "reader",
    "GET /api/v1/gateway/advice": "reader",
    **{f"{method} /services/{{name}}/{{path:path}}": "member" for method in ("GET", "POST", "PUT", "PATCH", "DELETE")},
    "GET /api/v1/rate-limit/status": "reader",
    "GET /api/v1/calls/{call_id}": "reader",
    "GET /api/v1/calls/{call_id}/content": "admin",
    "POST /api/v1/gateway/cache/clear": "admin",
    "POST /api/v1/gateway/reload": "admin",
    "POST /mcp": "reader",
    "GET /metrics": "reader",
}

VOID = {"meta", "link"}


def never() -> AbstractAsyncContextManager[Skep]:
    raise NotReadyError(reason="this test has no database")


def never_opened(_: Skep) -> AbstractAsyncContextManager[Gateway]:
    raise NotReadyError(reason="this test has no database")


@pytest.fixture
def endpoints(tmp_path: Path) -> tuple[Endpoint, ...]:
    settings = Settings(data_folder=tmp_path)
    return all_endpoints(
        Opening(never, never, never_opened), settings, open_metrics(settings.metrics.backend, ALL_METRICS)
    )


def test_nobody_scrapes_a_server_that_measures_nothing(tmp_path: Path) -> None:
    found = all_endpoints(
        Opening(never, never, never_opened), Settings(data_folder=tmp_path), open_metrics("noop", ALL_METRICS)
    )
    assert "/metrics" not in {endpoint.path for endpoint in found}


@pytest.mark.parametrize("is_open", [False, True])
def test_a_key_is_dispensable_only_where_a_setting_says_so(tmp_path: Path, is_open: bool) -> None:
    settings = Settings(data_folder=tmp_path, metrics=MetricsSettings(open_to_loopback=is_open))
    found = all_endpoints(Opening(never, never, never_opened), settings, open_metrics("auto", ALL_METRICS))
    assert [endpoint.path for endpoint in found if endpoint.keyless_on_loopback] == ["/metrics"] * is_open


def test_every_route_is_known_with_its_caller(endpoints: tuple[Endpoint, ...]) -> None:
    assert {f"{endpoint.method} {endpoint.path}": endpoint.caller for endpoint in endpoints} == INVENTORY


def test_everything_that_changes_something_needs_more_than_a_reader(endpoints: tuple[Endpoint, ...]) -> None:
    found = [endpoint.path for endpoint in endpoints if endpoint.method != "GET" and endpoint.caller == "reader"]
    assert found == ["/api/v1/search", "/api/v1/ask", "/mcp"]


def test_the_description_is_complete(endpoints: tuple[Endpoint, ...]) -> None:
    document = openapi(endpoints)
    text = json.dumps(document)
    assert len({operation_id(endpoint) for endpoint in endpoints}) == len(endpoints)
    for endpoint in endpoints:
        operation = document["paths"][endpoint.path.replace(":path}", "}")][endpoint.method.lower()]
        assert operation["x-caller"] == endpoint.caller
        assert operation["security"] == ([] if endpoint.caller == "public" else [{"key": []}])
        named = {entry["name"] for entry in operation["parameters"] if entry["in"] == "path"}
        assert named == set(re.findall(r"\{(\w+)", endpoint.path))
        assert ("401" in operation["responses"]) is (endpoint.caller != "public")
    for name in re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', text):
        assert name in document["components"]["schemas"], name


@pytest.mark.parametrize(
    "path",
    [
        f"/api/v1/{name}"
        for name in ("search", "collections", "keys", "keys/{key}/rotate", "budgets", "limits", "projects")
    ],
)
def test_examples_are_valid(endpoints: tuple[Endpoint, ...], path: str) -> None:
    (endpoint,) = [each for each in endpoints if each.path == path and each.method == "POST"]
    assert endpoint.body is not None
    endpoint.body.model_validate(endpoint.body_example)


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open += [] if tag in VOID else [tag]
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.links += [value for name, value in attrs if name in ("href", "src") and value]

    @override
    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_shows_every_route_and_asks_no_stranger(endpoints: tuple[Endpoint, ...]) -> None:
    page = _Page()
    text = docs_page(endpoints)
    page.feed(text)
    assert page.open == []
    assert page.ids == [operation_id(endpoint) for endpoint in endpoints]
    assert all(link.startswith(("#", "/api/")) for link in page.links)
    assert "<script" not in text
    assert {link[1:] for link in page.links if link.startswith("#")} == set(page.ids)


def test_a_command_is_shown_for_each_route(endpoints: tuple[Endpoint, ...]) -> None:
    (search,) = [endpoint for endpoint in endpoints if endpoint.path == "/api/v1/search"]
    assert curl(search) == (
        'curl -sS -X POST -H "Authorization: Bearer $(cat admin.key)"'
        """ -d '{"query": "where are retries configured", "top_k": 3, "kinds": ["code"]}'"""
        " http://127.0.0.1:7117/api/v1/search"
    )
