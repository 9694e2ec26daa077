"""Services through a server: what passes, what it costs, what is refused; with a real service behind it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from typing_extensions import override

from tests.acceptance.gateway.test_exact_budget import server
from tests.command import Command
from tests.postgres import ScratchServer
from tests.serving import eventually

pytestmark = pytest.mark.measured

SETTINGS = """\
providers: {{p: {{kind: openai_compatible, base_url: "http://127.0.0.1:1/v1"}}}}
models: {{m: {{routes: [{{provider: p, model: m}}]}}}}
gateway: {{max_answer_bytes: 1000000}}
services:
  data:
    base_url: "http://127.0.0.1:{port}/api"
    private: true
    api_key: sk-of-the-service
    headers: {{X-Account: "7"}}
    cost_usd: 0.001
    costs: [{{methods: [POST], path: /runs, cost_usd: 0.01}}]
    timeout_seconds: 1
  unpriced: {{base_url: "http://127.0.0.1:{port}", private: true}}
  inside: {{base_url: "http://2130706433:{port}"}}
  named_inside: {{base_url: "http://0x7f000001:{port}"}}
  reading: {{base_url: "http://127.0.0.1:{port}", private: true, methods: [GET], local: false}}
  failing: {{base_url: "http://127.0.0.1:{port}/failing", private: true, cost_usd: 0.001}}
"""


@dataclass
class Heard:
    requests: list[dict[str, Any]] = field(default_factory=list)

    def last(self) -> dict[str, Any]:
        return self.requests[-1]


def handler(heard: Heard) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            heard.requests.append({"method": self.command, "path": self.path, "headers": headers, "body": body})
            if "redirect" in self.path:
                self.reply(302, b"", {"location": "http://169.254.169.254/"})
            elif "failing" in self.path:
                self.reply(500, b"boom")
            elif "missing" in self.path:
                self.reply(404, b'{"error": "nothing"}')
            elif "slow" in self.path:
                time.sleep(1.5)
                self.reply(200, b"late")
            elif "huge" in self.path:
                self.reply(200, b"x" * 2_000_000)
            else:
                self.reply(200, json.dumps({"got": len(body)}).encode(), {"x-own": "1", "set-cookie": "a=b"})

        def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"content-type": "application/json", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def __getattr__(self, name: str) -> Callable[[], None]:
            if name.startswith("do_"):
                return self.answer
            raise AttributeError(name)

        @override
        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


class Service(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


@dataclass
class Server:
    client: httpx.Client
    heard: Heard
    url: str
    settings: Path

    def key(self, **wish: object) -> httpx.Client:
        made = self.client.post("/api/v1/keys", json=wish)
        assert made.status_code == 201, made.text
        return httpx.Client(base_url=self.url, headers={"authorization": f"Bearer {made.json()['key']}"}, timeout=30)

    def explained(self, answer: httpx.Response) -> dict[str, Any]:
        """A call of the ledger, which has it about a second later."""
        call_id = answer.headers["x-skep-call-id"]
        with eventually() as waits:
            while (found := self.client.get(f"/api/v1/calls/{call_id}")).status_code == 404:
                waits()
        call: dict[str, Any] = found.json()
        return call


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, scratch_server: ScratchServer) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("services")
    heard = Heard()
    service = Service(("127.0.0.1", 0), handler(heard))
    thread = threading.Thread(target=service.serve_forever, daemon=True)
    thread.start()
    try:
        with scratch_server.database() as url:
            skep = Command(folder / "data", folder, url)
            (folder / "skep.yaml").write_text(SETTINGS.format(port=service.server_port))
            key = skep("key", "create", "--name", "ci", "--role", "admin", "--json").answer["key"]
            headers = {"authorization": f"Bearer {key}"}
            with (
                server(skep, folder / "skep.yaml", workers=1) as address,
                httpx.Client(base_url=address, headers=headers, timeout=30) as client,
            ):
                yield Server(client, heard, address, folder / "skep.yaml")
    finally:
        service.shutdown()
        thread.join()
        service.server_close()


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_what_is_sent_passes_with_the_services_own_credentials(served: Server, method: str) -> None:
    answer = served.client.request(
        method,
        "/services/data/things/a%20b?x=1&y=%2F",
        content=b"\x00\xff not JSON",
        headers={
            "content-type": "application/octet-stream",
            "x-mine": "2",
            "cookie": "c=1",
            "x-account": "mine",
            "x_account": "mine",
            "x-original-url": "/",
        },
    )
    assert answer.status_code == 200
    assert answer.json() == {"got": 11}
    heard = served.heard.last()
    assert (heard["method"], heard["path"]) == (method, "/api/things/a%20b?x=1&y=%2F")
    assert heard["body"] == b"\x00\xff not JSON"
    headers = heard["headers"]
    assert (headers["authorization"], headers["x-account"]) == ("Bearer sk-of-the-service", "7")
    assert (headers["content-type"], headers["x-mine"]) == ("application/octet-stream", "2")
    assert not {"cookie", "x_account", "x-original-url"} & headers.keys()
    assert not [name for name in headers if name.startswith("x-skep")]
    assert (answer.headers["x-own"], answer.headers["x-skep-service"]) == ("1", "data")
    assert "set-cookie" not in answer.headers
    assert answer.headers["x-skep-cost-usd"] == "0.001"
    call = served.explained(answer)
    assert (call["model"], call["face"], call["outcome"], call["status"]) == ("service:data", "services", "ok", 200)


def test_a_budget_lets_exactly_so_many_calls_pass(served: Server) -> None:
    """Twenty calls at a cent, of fifty at once, for twenty cents."""
    with served.key(name="spender", budget_usd=0.2, per="total") as client, ThreadPoolExecutor(25) as threads:
        found = list(threads.map(lambda _: client.post("/services/data/runs").status_code, range(50)))
    assert (found.count(200), found.count(402)) == (20, 30)

    def spent() -> list[int]:
        lines = served.client.get("/api/v1/cost/report?by=key").json()["lines"]
        return [line["cost_nusd"] for line in lines if line["value"] == "spender"]

    with eventually() as waits:
        while spent() != [200_000_000]:
            waits()


def test_what_was_refused_or_failed_costs_nothing(served: Server) -> None:
    missing = served.client.get("/services/data/missing")
    assert (missing.status_code, missing.json()) == (404, {"error": "nothing"})
    assert missing.headers["x-skep-cost-usd"] == "0"
    failed = served.client.get("/services/data/failing")
    assert (failed.status_code, failed.text) == (500, "boom")
    assert [served.explained(each)["outcome"] for each in (missing, failed)] == ["client_error", "server_error"]


def test_a_second_slash_does_not_pass_a_cost_by(served: Server) -> None:
    answer = served.client.post("/services/data//runs")
    assert (served.heard.last()["path"], answer.headers["x-skep-cost-usd"]) == ("/api/runs", "0.01")


def test_a_service_without_a_price_is_refused_by_a_money_budget(served: Server) -> None:
    answer = served.client.get("/services/unpriced/x")
    assert answer.status_code == 200
    assert "x-skep-cost-usd" not in answer.headers
    with served.key(name="careful", budget_usd=1, per="day") as client:
        refused = client.get("/services/unpriced/x")
    assert (refused.status_code, refused.json()["code"]) == (402, "unpriced")


def test_redirects_are_refused(served: Server) -> None:
    answer = served.client.get("/services/data/redirect")
    assert (answer.status_code, answer.json()["code"]) == (502, "service_failed")
    assert "sends elsewhere" in answer.json()["detail"]
    assert "location" not in answer.headers
    assert served.explained(answer)["cost"]["cost_nusd"] == 0


@pytest.mark.parametrize("name", ["inside", "named_inside"])
def test_private_addresses_are_refused_unless_the_settings_allow_them(served: Server, name: str) -> None:
    before = len(served.heard.requests)
    answer = served.client.get(f"/services/{name}/x")
    assert answer.status_code == 502
    assert "private: true" in answer.json()["detail"]
    assert len(served.heard.requests) == before


@pytest.mark.parametrize("path", ["../secrets", "%2e%2e/secrets", "a/%252e%252e/%252e%252e/x", "..%5cx"])
def test_a_path_cannot_leave_the_service(served: Server, path: str) -> None:
    before = len(served.heard.requests)
    # By hand: clients tidy such paths up before they send them.
    with httpx.Client(base_url=served.url, headers=served.client.headers) as client:
        request = client.build_request("GET", "/")
        request.url = request.url.copy_with(raw_path=f"/services/data/{path}".encode())
        answer = client.send(request)
    assert answer.status_code in (400, 404), answer.text
    assert len(served.heard.requests) == before


def test_who_may_call_what(served: Server) -> None:
    assert served.client.get("/services/other/x").json()["code"] == "service_not_found"
    refused = served.client.post("/services/reading/x")
    assert (refused.status_code, refused.json()["code"]) == (405, "service_method")
    with served.key(name="models-only", models=["m"]) as client:
        assert client.get("/services/data/x").status_code == 403
    with served.key(name="data-only", models=["service:data"]) as client:
        assert client.get("/services/data/x").status_code == 200
        assert client.get("/services/unpriced/x").status_code == 403
    with served.key(name="chats-only", faces=["chat.completions"]) as client:
        assert client.get("/services/data/x").status_code == 403
    leaving = served.client.get("/services/reading/x", headers={"x-skep-privacy": "local_only"})
    assert (leaving.status_code, leaving.json()["code"]) == (403, "service_leaves")
    assert served.client.get("/services/data/x", headers={"x-skep-privacy": "local_only"}).status_code == 200
    assert httpx.get(f"{served.url}/services/data/x").status_code == 401


def test_a_service_that_takes_too_long_is_charged(served: Server) -> None:
    """It may have done what it was asked for."""
    answer = served.client.get("/services/data/slow")
    assert (answer.status_code, answer.json()["code"]) == (504, "service_timeout")
    call = served.explained(answer)
    assert (call["outcome"], call["cost"]["cost_nusd"]) == ("timeout", 1_000_000)


def test_a_client_that_goes_away_ends_the_call(served: Server) -> None:
    with httpx.Client(base_url=served.url, headers=served.client.headers) as client, pytest.raises(httpx.ReadTimeout):
        client.get("/services/data/slow?gone", timeout=0.3)

    def outcomes() -> list[str]:
        lines = served.client.get("/api/v1/cost/report?by=outcome").json()["lines"]
        return [line["value"] for line in lines]

    with eventually() as waits:
        while "cancelled" not in outcomes():
            waits()


def test_an_answer_that_is_too_long_breaks_off(served: Server) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        served.client.get("/services/data/huge")


def test_a_service_that_fails_again_and_again_is_left_alone(served: Server) -> None:
    found = [served.client.get("/services/failing/x") for _ in range(40)]
    closed = [answer for answer in found if answer.status_code == 503]
    assert closed
    assert closed[0].json()["code"] == "service_closed"
    assert int(closed[0].headers["retry-after"]) >= 1
    status = served.client.get("/api/v1/gateway/status").json()
    (route,) = [each for each in status["routes"] if each["route"] == "service:failing/*"]
    assert route["breaker"]["state"] != "closed"
    assert served.client.get("/services/data/x").status_code == 200
    # At another address it counts as a service of which nothing is known.
    text = served.settings.read_text()
    served.settings.write_text(text.replace("/failing", "/mended"))
    try:
        assert served.client.post("/api/v1/gateway/reload").status_code == 200
        assert served.client.get("/services/failing/x").status_code == 200
    finally:
        served.settings.write_text(text)
        assert served.client.post("/api/v1/gateway/reload").status_code == 200
