"""The API keeps what its OpenAPI document says, whatever is sent: schemathesis makes the requests from the document itself."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import requests
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from skep.server.application import all_endpoints, make_application, make_opening
from skep.server.openapi import openapi
from skep.settings import Settings
from tests.levels import by_level
from tests.postgres import ScratchServer
from tests.workspace import settings_for

EXAMPLES = by_level(4, 60)

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def refuses_what_is_wrong(context: Any, response: Any, case: Any) -> bool | None:
    """`negative_data_rejection`, but for parameters that were made up and not sent: an empty list has no place in an address."""
    sent = parse_qs(urlsplit(response.request.url).query, keep_blank_values=True)
    if set(case.query or {}) - set(sent):
        return None
    return negative_data_rejection(context, response, case)


REFUSES = [*CHECKS, refuses_what_is_wrong]

ENDLESS = ("/api/v1/changes",)
"""Streams without an end."""


def _operations(wanted: Callable[[str, dict[str, Any]], bool] = lambda *_: True) -> list[str]:
    nothing = Settings(data_folder=Path("/nonexistent"))
    opening = make_opening(nothing, notice=lambda _: None)
    paths = openapi(all_endpoints(opening, nothing))["paths"]
    return [
        f"{method.upper()} {path}"
        for path, found in paths.items()
        for method, operation in found.items()
        if path not in ENDLESS and wanted(path, operation)
    ]


def _can_be_wrong(_: str, operation: dict[str, Any]) -> bool:
    return "requestBody" in operation or any(each["in"] == "query" for each in operation["parameters"])


@dataclass(frozen=True)
class Api:
    """The server, in a thread of its own, and its document."""

    url: str
    key: str
    schema: Any


@pytest.fixture(scope="module")
def api(scratch_server: ScratchServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    data = tmp_path_factory.mktemp("contract") / "data"
    with scratch_server.database() as url, socket.create_server(("127.0.0.1", 0)) as listener:
        server = _Server(settings_for(url, data), listener)
        thread = threading.Thread(target=server.run, name="skep-api", daemon=True)
        thread.start()
        try:
            yield _prepared(server, thread)
        finally:
            server.end()
            thread.join(20)
            assert not thread.is_alive()


class _Server:
    def __init__(self, its_settings: Settings, listener: socket.socket) -> None:
        self.settings = its_settings
        self.listener = listener
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.opening = make_opening(its_settings, notice=lambda _: None)
        app = make_application(self.opening, its_settings)
        self._uvicorn = uvicorn.Server(
            uvicorn.Config(app, lifespan="off", log_config=None, http="httptools", timeout_graceful_shutdown=1)
        )

    def run(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        holding = asyncio.create_task(self.opening.hold())
        # Not `serve`, which would take over the process's signals.
        await self._uvicorn._serve([self.listener])
        self.opening.end()
        await holding

    def end(self) -> None:
        self._uvicorn.should_exit = True


def _prepared(server: _Server, thread: threading.Thread) -> Api:
    """Once it is ready: with something of each kind in it, so that not everything is just not found."""
    until = time.monotonic() + 30
    while True:
        assert thread.is_alive()
        assert time.monotonic() < until
        try:
            if httpx.get(f"{server.url}/readyz").status_code == 200:
                break
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    key = (server.settings.data_folder / "admin.key").read_text().strip()
    with httpx.Client(base_url=server.url, headers={"authorization": f"Bearer {key}"}) as client:
        rule = {"subject": "project"}
        made = [
            client.post("/api/v1/collections", json={"name": "there"}),
            client.post("/api/v1/keys", json={"name": "there"}),
            client.post("/api/v1/budgets", json=rule | {"name": "there", "usd": 5, "period": "day"}),
            client.post(
                "/api/v1/limits",
                json=rule | {"name": "there too", "metric": "requests", "amount": 5, "period": "minute"},
            ),
        ]
        document = client.get("/api/openapi.json").json()
    assert [answer.status_code for answer in made] == [201] * 4, [answer.text for answer in made]
    return Api(server.url, key, schemathesis.openapi.from_dict(document))


def _run(api: Api, operation: str, mode: GenerationMode, checks: list[Any], **fixed: Any) -> None:
    method, path = operation.split(" ")
    chosen = api.schema[path][method]
    headers = {"authorization": f"Bearer {api.key}"}
    session = requests.Session()
    session.trust_env = False

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=chosen.as_strategy(mode, **fixed))
    def ask(case: Any) -> None:
        answer = case.call(base_url=api.url, session=session, headers=headers, timeout=10)
        case.validate_response(answer, checks=checks, headers=headers)

    with session:
        ask()


@pytest.mark.parametrize("operation", _operations())
def test_what_the_document_allows(api: Api, operation: str) -> None:
    _run(api, operation, GenerationMode.POSITIVE, CHECKS)


@pytest.mark.parametrize("operation", _operations(lambda path, _: "{" in path))
def test_what_the_document_allows_of_something_that_is_there(api: Api, operation: str) -> None:
    names = {"name": "there too" if "/limits/" in operation else "there", "key": "there", "path": "there.md"}
    named = {name: value for name, value in names.items() if f"{{{name}}}" in operation}
    _run(api, operation, GenerationMode.POSITIVE, CHECKS, path_parameters=named)


@pytest.mark.parametrize("operation", _operations(_can_be_wrong))
def test_what_the_document_does_not_allow(api: Api, operation: str) -> None:
    _run(api, operation, GenerationMode.NEGATIVE, REFUSES)
