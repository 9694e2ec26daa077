from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from ipaddress import ip_network

import httpx
import pytest
from pydantic import BaseModel
from starlette.responses import StreamingResponse
from starlette.types import ASGIApp

from skep.access import KeyInvalidError, Principal, Role
from skep.errors import ConflictError
from skep.observe import Metric
from skep.server.gate import Gate
from skep.server.interfaces import NotReadyError
from skep.server.origins import policy_of
from skep.server.routing import Router
from skep.web import Call, Caller, Endpoint, json_answer

BASE = "http://127.0.0.1:7117"
SITE = "https://app.example.com"
ROLES: dict[str, Role] = {"r": "reader", "m": "member", "a": "admin", "elsewhere": "admin"}
TRACE = "0af7651916cd43dd8448eb211c80319c"


class Body(BaseModel):
    count: int


class BrokenError(Exception):
    pass


async def who(call: Call) -> ASGIApp:
    return json_answer({"key": None if call.asked_by is None else call.asked_by.key_id})


async def echo(call: Call) -> ASGIApp:
    return json_answer({"count": (await call.body(Body)).count})


async def broken(_: Call) -> ASGIApp:
    raise BrokenError("the query was: secret words")


async def conflict(_: Call) -> ASGIApp:
    raise ConflictError(what="x", reason="y")


async def half(_: Call) -> ASGIApp:
    async def parts() -> AsyncIterator[bytes]:
        yield b"begun"
        raise BrokenError("in the middle")

    return StreamingResponse(parts(), media_type="text/plain")


def at(path: str, caller: Caller, handle: object = who, method: str = "GET") -> Endpoint:
    return Endpoint(method=method, path=path, caller=caller, handle=handle, summary="x")  # type: ignore[arg-type]


ENDPOINTS = [
    at("/public", "public"),
    at("/reader", "reader"),
    at("/member", "member"),
    at("/admin", "admin"),
    at("/echo", "public", echo, "POST"),
    at("/broken", "public", broken),
    at("/conflict", "public", conflict),
    at("/half", "public", half),
    replace(at("/here", "reader"), keyless_on_loopback=True),
]


async def authenticate(key: str) -> Principal:
    if key == "down":
        raise NotReadyError(reason="no database")
    if key not in ROLES:
        raise KeyInvalidError(reason="unknown")
    networks = (ip_network("10.0.0.0/8"),) if key == "elsewhere" else None
    return Principal(1, "default", key, "name", ROLES[key], networks=networks)


@dataclass
class Noted:
    """Metrics that a test looks at."""

    sums: Counter[tuple[str, ...]] = field(default_factory=Counter)

    def add(self, metric: Metric, labels: tuple[str, ...] = (), amount: float = 1.0) -> None:
        self.sums[metric.name, *labels] += int(amount)

    def observe(self, metric: Metric, labels: tuple[str, ...], value: float) -> None:
        assert value > 0
        self.sums[metric.name, *labels] += 1


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    gate = Gate(Router(ENDPOINTS), policy_of("127.0.0.1", (), (SITE,)), authenticate, max_body_bytes=1000)
    transport = httpx.ASGITransport(gate, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as opened:
        yield opened


def problem_of(answer: httpx.Response) -> dict[str, object]:
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, object] = answer.json()
    assert found["status"] == answer.status_code
    assert found["trace_id"] == answer.headers["x-trace-id"]
    return found


@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        ("/public", None, 200),
        ("/public", "unknown", 200),
        ("/reader", None, 401),
        ("/reader", "unknown", 401),
        ("/reader", "down", 503),
        *((f"/{route}", key, 200 if allowed else 403) for route, key, allowed in (
            ("reader", "r", True), ("reader", "m", True), ("reader", "a", True),
            ("member", "r", False), ("member", "m", True), ("member", "a", True),
            ("admin", "r", False), ("admin", "m", False), ("admin", "a", True),
        )),
        # A key that is for other addresses, wherever it is used.
        ("/reader", "elsewhere", 403),
        ("/admin", "elsewhere", 403),
        ("/public", "elsewhere", 200),
        ("/nowhere", None, 404),
        ("/nowhere", "a", 404),
        ("/%61dmin", "r", 403),
        ("/admin/", "r", 404),
        ("//admin", "r", 404),
    ],
)  # fmt: skip
async def test_who_may_call(client: httpx.AsyncClient, path: str, key: str | None, status: int) -> None:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    answer = await client.send(httpx.Request("GET", httpx.URL(BASE).copy_with(raw_path=path.encode()), headers=headers))
    assert answer.status_code == status
    if status != 200:
        problem_of(answer)
    assert ("www-authenticate" in answer.headers) is (status == 401)


async def test_two_keys_are_none(client: httpx.AsyncClient) -> None:
    answer = await client.get("/admin", headers=[("authorization", "Bearer r"), ("authorization", "Bearer a")])
    assert problem_of(answer)["code"] == "key_missing"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 403),
        ({"host": "localhost:7117"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": BASE}, 200),
        ({"origin": SITE}, 200),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
    ],
)
async def test_where_from_and_where_to(client: httpx.AsyncClient, headers: dict[str, str], status: int) -> None:
    answer = await client.get("/public", headers=headers)
    assert answer.status_code == status
    assert answer.headers.get("access-control-allow-origin") == (SITE if headers.get("origin") == SITE else None)


@pytest.mark.parametrize("second", ["evil.example", "127.0.0.1:7117"])
async def test_two_hosts_are_none(client: httpx.AsyncClient, second: str) -> None:
    answer = await client.get("/public", headers=[("host", "127.0.0.1:7117"), ("host", second)])
    assert problem_of(answer)["code"] == "host_refused"


async def test_a_page_of_an_allowed_site_may_ask_and_read_problems(client: httpx.AsyncClient) -> None:
    asked = {"origin": SITE, "access-control-request-method": "POST"}
    answer = await client.options("/echo", headers=asked)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == SITE
    assert answer.headers["access-control-allow-methods"] == "POST"
    assert "authorization" in answer.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in answer.headers
    refused = await client.get("/reader", headers={"origin": SITE})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, SITE)
    assert (await client.options("/echo", headers=asked | {"origin": "http://evil.example"})).status_code == 403
    assert (await client.options("/echo")).status_code == 405


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b'{"count": 1}', 200, None),
        (b"{", 422, "body_invalid"),
        (b"", 422, "body_invalid"),
        (b"[]", 422, "body_invalid"),
        (b'{"count": "many"}', 422, "body_invalid"),
        (b'{"count": 1, "pad": "' + b"x" * 1000 + b'"}', 413, "body_too_large"),
    ],
)
async def test_bodies(client: httpx.AsyncClient, content: bytes, status: int, code: str | None) -> None:
    answer = await client.post("/echo", content=content)
    assert answer.status_code == status
    if code is not None:
        assert problem_of(answer)["code"] == code


async def test_a_body_without_a_length_is_counted(client: httpx.AsyncClient) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100

    assert (await client.post("/echo", content=parts())).status_code == 413


async def test_wrong_fields_are_named_but_not_repeated(client: httpx.AsyncClient) -> None:
    found = problem_of(await client.post("/echo", content=b'{"count": "my secret"}'))
    assert found["problems"] == [
        {"field": "count", "reason": "Input should be a valid integer, unable to parse string as an integer"}
    ]
    assert "my secret" not in json.dumps(found)


async def test_the_unforeseen_is_a_problem_and_its_cause_is_logged(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    found = problem_of(await client.get("/broken"))
    assert (found["status"], found["code"]) == (500, "unforeseen")
    assert "secret words" not in json.dumps(found)
    assert "BrokenError: the query was" in caplog.text


async def test_other_methods_and_head(client: httpx.AsyncClient) -> None:
    answer = await client.put("/public")
    assert (problem_of(answer)["code"], answer.headers["allow"]) == ("method_not_allowed", "GET")
    assert (await client.head("/public")).status_code == 200


async def test_a_conflict_is_409(client: httpx.AsyncClient) -> None:
    assert problem_of(await client.get("/conflict"))["status"] == 409


async def test_an_answer_that_breaks_in_the_middle_is_broken_off(caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate(Router(ENDPOINTS), policy_of("127.0.0.1", (), ()), authenticate, max_body_bytes=1000)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(gate), base_url=BASE) as client:
        with pytest.raises(BaseException) as caught:  # noqa: PT011 -- anyio wraps it in a group
            await client.get("/half")
    assert "in the middle" in "".join(map(str, getattr(caught.value, "exceptions", [caught.value])))


async def test_each_request_is_logged_without_query_or_key(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "skep.server.gate")
    answer = await client.get(
        "/reader?q=where", headers={"authorization": "Bearer r", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    )
    assert answer.headers["x-trace-id"] == TRACE
    (record,) = [record for record in caplog.records if record.getMessage() == "request"]
    fields = vars(record)["skep_fields"]
    assert (fields["method"], fields["route"], fields["status"], fields["key"]) == ("GET", "/reader", 200, "r")
    assert fields["ms"] >= 0
    assert "where" not in str(fields)


async def test_every_answer_has_the_safe_headers(client: httpx.AsyncClient) -> None:
    for path in ("/public", "/reader", "/nowhere", "/broken"):
        headers = (await client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"


async def test_each_request_is_counted_by_its_declared_route() -> None:
    noted = Noted()
    gate = Gate(Router(ENDPOINTS), policy_of("127.0.0.1", (), ()), authenticate, max_body_bytes=1000, metrics=noted)
    transport = httpx.ASGITransport(gate, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
        for method, path in (
            ("GET", "/public"), ("GET", "/public"), ("GET", "/reader"), ("GET", "/broken"), ("GET", "/who/knows/what"),
            ("INVENTED", "/public"), ("GET", "/half"),
        ):  # fmt: skip
            await client.request(method, path)
    name = "skep_http_requests_total"
    assert {key[1:]: count for key, count in noted.sums.items() if key[0] == name} == {
        ("GET", "/public", "200"): 2,
        ("GET", "/reader", "401"): 1,
        ("GET", "/broken", "500"): 1,
        ("GET", "none", "404"): 1,
        ("other", "none", "405"): 1,
        ("GET", "/half", "200"): 1,
    }
    assert noted.sums["skep_http_request_duration_seconds", "GET", "/public"] == 2
    assert noted.sums["skep_http_requests_in_flight",] == 0


@pytest.mark.parametrize(
    ("address", "headers", "status", "key"),
    [
        ("127.0.0.1", {}, 200, None),
        ("127.0.0.1", {"authorization": "Bearer r"}, 200, "r"),
        ("127.0.0.1", {"authorization": "Bearer unknown"}, 401, None),
        ("127.0.0.1", {"authorization": "Bearer down"}, 503, None),
        ("127.0.0.1", {"x-forwarded-for": "10.0.0.5"}, 401, None),
        ("127.0.0.1", {"host": "evil.example"}, 403, None),
        ("10.0.0.5", {}, 401, None),
        ("10.0.0.5", {"authorization": "Bearer r"}, 200, "r"),
    ],
)
async def test_without_a_key_only_from_this_machine_and_only_where_declared(
    address: str, headers: dict[str, str], status: int, key: str | None
) -> None:
    gate = Gate(Router(ENDPOINTS), policy_of("127.0.0.1", (), ()), authenticate, max_body_bytes=1000)
    transport = httpx.ASGITransport(gate, client=(address, 4711))
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
        answer = await client.get("/here", headers=headers)
        assert answer.status_code == status
        if status == 200:
            assert answer.json() == {"key": key}
        doubled = [("authorization", "Bearer r"), ("authorization", "Bearer r")]
        assert (await client.get("/here", headers=doubled)).status_code == 401
        assert (await client.get("/reader")).status_code == 401
