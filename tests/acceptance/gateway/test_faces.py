"""Each face of OpenAI's API: what every answer tells in its headers, and that every refusal has OpenAI's shape."""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from tests.acceptance.gateway.conftest import Served

CHAT, TEXT, VECTORS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
SKEP = ("call-id", "model", "provider", "cost-usd", "overhead-ms")
STREAMED = {"stream": True}

FACES: dict[str, tuple[str, dict[str, Any]]] = {
    "a chat": (CHAT, {"model": "ok", "messages": []}),
    "a chat, streamed": (CHAT, {"model": "stream_ok", "messages": [], **STREAMED}),
    "a text": (TEXT, {"model": "ok", "prompt": "x"}),
    "a text, streamed": (TEXT, {"model": "stream_ok", "prompt": "x", **STREAMED}),
    "vectors": (VECTORS, {"model": "ok", "input": "x"}),
    "vectors of our own": (VECTORS, {"model": "local", "input": "x"}),
}


@pytest.mark.parametrize("face", FACES)
def test_an_answer_tells_of_its_call(served: Served, face: str) -> None:
    path, body = FACES[face]
    with served.client() as client:
        answer = client.post(path, json=body)
        assert answer.status_code == 200, answer.text
        told = {name: answer.headers.get(f"x-skep-{name}") for name in SKEP}
        assert told["model"] == body["model"]
        assert told["provider"] == ("local" if body["model"] == "local" else "raw")
        assert 0 < float(told["overhead-ms"] or 0) < 10_000
        if body.get("stream"):
            assert told["cost-usd"] is None
            found = re.search(r"^: x-skep-cost-usd (\S+)\n\ndata: \[DONE\]", answer.text, re.MULTILINE)
            assert found is not None
            cost = float(found[1])
        else:
            cost = float(told["cost-usd"] or "nan")
        assert cost == (0 if body["model"] == "local" else 0.00018)
        found_call = _in_ledger(client, str(told["call-id"]))
        assert (found_call["model"], found_call["provider"], found_call["outcome"]) == (
            told["model"],
            told["provider"],
            "ok",
        )


def test_calls_of_the_local_model_are_counted(served: Served) -> None:
    def counted() -> tuple[float, float]:
        samples = [each for family in parse(client.get("/metrics").text) for each in family.samples]
        own = [each for each in samples if each.labels.get("provider") == "local"]
        calls = sum(
            each.value for each in own if each.name == "skep_model_calls_total" and each.labels["outcome"] == "ok"
        )
        return calls, sum(each.value for each in own if each.name == "skep_model_tokens_total")

    with served.client() as client:
        before = counted()
        answer = client.post(VECTORS, json={"model": "local", "input": ["one text", "another text"]})
        after = counted()
    assert after[0] - before[0] == 1
    assert after[1] - before[1] == answer.json()["usage"]["prompt_tokens"] > 0


def _in_ledger(client: httpx.Client, call_id: str) -> dict[str, Any]:
    until = time.monotonic() + 10
    while (answer := client.get(f"/api/v1/calls/{call_id}")).status_code != 200:
        assert time.monotonic() < until, answer.text
        time.sleep(0.1)
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("path", [CHAT, TEXT, VECTORS])
def test_a_call_that_failed_tells_of_itself_too(served: Served, path: str) -> None:
    body = {"model": "wrong", "messages": [], "prompt": "x", "input": "x"}
    with served.client() as client:
        answer = client.post(path, json=body)
    assert answer.status_code == 400
    told = {name: answer.headers.get(f"x-skep-{name}") for name in SKEP}
    assert (told["model"], told["provider"]) == ("wrong", "raw")
    assert told["call-id"]
    assert float(told["overhead-ms"] or 0) > 0
    assert float(told["cost-usd"] or 0) == 0


def _key(served: Served, **wish: object) -> str:
    with served.client() as client:
        answer = client.post("/api/v1/keys", json={"name": f"faces-{uuid4().hex}", **wish})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["key"])


def test_a_key_sees_the_models_that_it_may_ask_for(served: Served) -> None:
    def listed(key: str) -> set[str]:
        answer = httpx.get(f"{served.url}/v1/models", headers={"authorization": f"Bearer {key}"})
        assert answer.json()["object"] == "list"
        assert {model["object"] for model in answer.json()["data"]} <= {"model"}
        return {model["id"] for model in answer.json()["data"]}

    def shown(key: str, model: str) -> httpx.Response:
        return httpx.get(f"{served.url}/v1/models/{model}", headers={"authorization": f"Bearer {key}"})

    everything = listed(served.key)
    assert {"ok", "local", "stream_ok"} < everything
    some = _key(served, models=["ok", "stream_*", "unheard-of"])
    assert listed(some) == {"ok"} | {name for name in everything if name.startswith("stream_")}
    assert listed(_key(served, models=["unheard-of"])) == set()
    window = {"context_window": None}
    assert shown(some, "ok").json() == {"id": "ok", "object": "model", "created": 0, "owned_by": "skep"} | window
    assert shown(served.key, "local").status_code == 200
    # What it may not have it cannot find either.
    for hidden in ("local", "unheard-of", "a/b"):
        answer = shown(some, hidden)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


@dataclass(frozen=True)
class Refusal:
    """A request, and how it is refused."""

    status: int
    code: str
    kind: str = "invalid_request_error"
    path: str = CHAT
    method: str = "POST"
    body: Any = field(default_factory=lambda: {"model": "ok", "messages": []})
    wish: Mapping[str, object] | None = None
    """The key that asks; None: the administrator's."""
    headers: Mapping[str, str] = field(default_factory=dict)
    param: str | None = None
    told: tuple[str, ...] = ()
    """Headers that belong to it."""


DENIED = "permission_error"
REFUSALS: dict[str, Refusal] = {
    "no key": Refusal(401, "invalid_api_key", "authentication_error", wish={}, headers={"authorization": ""}),
    "wrong key": Refusal(
        401,
        "invalid_api_key",
        "authentication_error",
        headers={"authorization": "Bearer sk-x"},
        told=("www-authenticate",),
    ),
    "role too low": Refusal(403, "role_too_low", DENIED, wish={"role": "reader"}),
    "model not allowed": Refusal(403, "model_not_allowed", DENIED, wish={"models": ["local"]}),
    "face not allowed": Refusal(403, "face_not_allowed", DENIED, wish={"faces": ["embeddings"]}),
    "address not allowed": Refusal(403, "address_not_allowed", DENIED, wish={"addresses": ["192.0.2.1"]}),
    "another site": Refusal(403, "origin_refused", DENIED, headers={"origin": "https://evil.example"}),
    "no budget": Refusal(
        402, "budget_exceeded", "insufficient_quota", wish={"budget_usd": "0", "per": "day"}, told=("x-should-retry",)
    ),
    "no such path": Refusal(404, "route_not_found", path="/v1/nothing"),
    "the root": Refusal(404, "route_not_found", path="/v1"),
    "no such model": Refusal(404, "model_not_found", body={"model": "nobody", "messages": []}, param="model"),
    "another method": Refusal(405, "method_not_allowed", method="GET", told=("allow",)),
    "no such method": Refusal(405, "method_not_allowed", path="/v1/models", method="DELETE", told=("allow",)),
    "no JSON": Refusal(400, "request_invalid", body=b"{"),
    "no body": Refusal(400, "request_invalid", body=b""),
    "no object": Refusal(400, "request_invalid", body=b"[1]"),
    "a form": Refusal(
        415,
        "content_type_wrong",
        body=b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\nok\r\n--x--\r\n',
        headers={"content-type": "multipart/form-data; boundary=x"},
    ),
    "packed": Refusal(400, "request_invalid", body=b"\x1f\x8b\x08\x00", headers={"content-encoding": "gzip"}),
    "no model": Refusal(400, "request_invalid", body={"messages": []}, param="model"),
    "local does not chat": Refusal(400, "request_invalid", body={"model": "local", "messages": []}, param="model"),
    "the provider fails": Refusal(502, "provider_failed", "server_error", body={"model": "html", "messages": []}),
}


def _ask(served: Served, refusal: Refusal) -> httpx.Response:
    wish = refusal.wish
    key = served.key if wish is None or "authorization" in refusal.headers else _key(served, **wish)
    content = refusal.body if isinstance(refusal.body, bytes) else json.dumps(refusal.body).encode()
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"} | dict(refusal.headers)
    if not headers["authorization"]:
        del headers["authorization"]
    return httpx.request(refusal.method, served.url + refusal.path, content=content, headers=headers, timeout=30)


def _has_openais_shape(answer: httpx.Response, status: int, code: str, kind: str) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-trace-id"]
    body = answer.json()
    assert body.keys() == {"error"}
    error: dict[str, Any] = body["error"]
    assert error.keys() == {"message", "type", "param", "code", "fix"}
    assert (answer.status_code, error["code"], error["type"]) == (status, code, kind), answer.text
    assert error["message"]
    assert "{" not in error["message"] + error["fix"]
    return error


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_has_openais_shape(served: Served, name: str) -> None:
    refusal = REFUSALS[name]
    answer = _ask(served, refusal)
    error = _has_openais_shape(answer, refusal.status, refusal.code, refusal.kind)
    assert error["param"] == refusal.param
    assert error["fix"]
    assert set(refusal.told) <= set(answer.headers)


def test_a_limit_and_a_closed_route_say_when_to_come_back(served: Served) -> None:
    limited = _key(served, requests_per_minute=1)
    body, headers = {"model": "ok", "messages": []}, {"authorization": f"Bearer {limited}"}
    answer = [httpx.post(served.url + CHAT, json=body, headers=headers) for _ in range(3)][-1]
    _has_openais_shape(answer, 429, "limit_exceeded", "rate_limit_error")
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    answer = [served.ask("refused_key_always") for _ in range(4)][-1]
    _has_openais_shape(answer, 503, "no_route", "server_error")
    assert int(answer.headers["retry-after"]) > 200
    # It was written down, and can be explained.
    assert answer.headers["x-skep-call-id"]


def test_a_body_that_is_too_large_is_refused_before_it_comes(served: Served) -> None:
    connection = http.client.HTTPConnection(served.url.removeprefix("http://"), timeout=30)
    connection.putrequest("POST", CHAT)
    for name, value in {"authorization": f"Bearer {served.key}", "content-length": "30000000"}.items():
        connection.putheader(name, value)
    connection.endheaders()
    got = connection.getresponse()
    answer = httpx.Response(got.status, headers=got.getheaders(), content=got.read())
    connection.close()
    _has_openais_shape(answer, 413, "body_too_large", "invalid_request_error")
