"""What a key is for, and its own budget, hold where models are called."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx

from tests.acceptance.gateway.conftest import Served
from tests.serving import FAST


def make(served: Served, name: str, **more: object) -> str:
    with served.client() as client:
        answer = client.post("/api/v1/keys", json={"name": name, **more})
    assert answer.status_code == 201, answer.text
    secret: str = answer.json()["key"]
    return secret


def ask(served: Served, secret: str, model: str, path: str = "/v1/chat/completions", **headers: str) -> httpx.Response:
    sent = headers or {"authorization": f"Bearer {secret}"}
    with httpx.Client(base_url=served.url, headers=sent, timeout=30) as client:
        return client.post(path, json={"model": model, "messages": [], "prompt": "x", "input": "x"})


def until(holds: Callable[[], bool], seconds: float) -> None:
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < seconds
        time.sleep(0.02)


def test_a_key_opens_what_it_is_for(served: Served) -> None:
    secret = make(served, "narrow", models=["ok", "pack*"], faces=["chat.completions"])
    assert [ask(served, secret, model).status_code for model in ("ok", "packed")] == [200, 200]
    refused = ask(served, secret, "no_usage")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "model_not_allowed")
    refused = ask(served, secret, "ok", "/v1/completions")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "face_not_allowed")
    with httpx.Client(base_url=served.url, headers={"x-api-key": secret}) as client:
        names = [model["id"] for model in client.get("/v1/models").json()["data"]]
    assert sorted(names) == ["ok", "packed"]


def test_a_key_is_of_use_only_where_it_belongs(served: Served) -> None:
    refused = ask(served, make(served, "elsewhere", addresses=["192.0.2.0/24"]), "ok")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "address_not_allowed")
    assert ask(served, make(served, "here", addresses=["127.0.0.0/8"]), "ok").status_code == 200


def test_the_limit_of_a_key_refuses_its_calls_alone(served: Served) -> None:
    secret = make(served, "bounded", requests_per_minute=0)
    until(lambda: ask(served, secret, "ok").status_code == 429, 5)
    assert served.ask("ok").status_code == 200


def test_a_revoked_key_calls_nothing_more_within_a_second(served: Served) -> None:
    secret = make(served, "short")
    assert ask(served, secret, "ok").status_code == 200
    with served.client() as client:
        assert client.delete("/api/v1/keys/short").status_code == 200
    until(lambda: ask(served, secret, "ok").status_code == 401, 1)


def test_a_key_calls_nothing_more_when_its_time_is_over(served: Served) -> None:
    ends = datetime.now(UTC) + timedelta(seconds=4)
    secret = make(served, "momentary", expires_at=ends.isoformat())
    assert ask(served, secret, "ok").status_code == 200
    until(lambda: ask(served, secret, "ok").status_code == 401, 4 + FAST)
    assert datetime.now(UTC) >= ends


def test_a_new_secret_calls_beside_the_old_one_and_then_alone(served: Served) -> None:
    old = make(served, "turning")

    def rotate(overlap_hours: float) -> str:
        with served.client() as client:
            answer = client.post("/api/v1/keys/turning/rotate", json={"overlap_hours": overlap_hours})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["key"])

    new = rotate(1)
    assert [ask(served, secret, "ok").status_code for secret in (old, new)] == [200, 200]
    newest = rotate(0)
    until(lambda: [ask(served, secret, "ok").status_code for secret in (old, new)] == [401, 401], 1)
    assert ask(served, newest, "ok").status_code == 200
