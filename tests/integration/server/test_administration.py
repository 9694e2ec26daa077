"""Keys, budgets, limits and projects over HTTP."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import pytest

from tests.integration.server.test_api import Api, api

__all__ = ["api"]


async def as_key(api: Api, secret: str, path: str = "/api/v1/collections") -> httpx.Response:
    return await api.call("GET", path, headers={"authorization": f"Bearer {secret}"})


async def test_a_key_is_made_used_renewed_and_revoked(api: Api) -> None:
    body = {
        "name": "ci",
        "role": "reader",
        "models": ["smart"],
        "budget_usd": 0.25,
        "per": "day",
        "requests_per_minute": 60,
    }
    answer = await api.call("POST", "/api/v1/keys", body)
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    made = answer.json()
    assert [(rule["metric"], rule["amount"]) for rule in made["rules"]] == [("cost", 250_000_000), ("requests", 60)]
    assert (await as_key(api, made["key"])).status_code == 200
    assert (await as_key(api, made["key"], "/api/v1/keys")).json()["code"] == "role_too_low"
    shown = await api.json("GET", "/api/v1/keys/ci")
    assert shown == {field: value for field, value in made.items() if field != "key"}
    assert "ci" in [key["name"] for key in (await api.json("GET", "/api/v1/keys"))["keys"]]
    renewed = await api.json("POST", "/api/v1/keys/ci/rotate", {"overlap_hours": 0})
    assert (await as_key(api, renewed["key"])).status_code == 200
    await api.json("DELETE", f"/api/v1/keys/{made['id']}")
    started = time.monotonic()
    while (await as_key(api, renewed["key"])).status_code != 401:
        assert time.monotonic() - started < 1
        await asyncio.sleep(0.01)
    assert (await as_key(api, made["key"])).status_code == 401
    assert "ci" not in [key["name"] for key in (await api.json("GET", "/api/v1/keys"))["keys"]]
    assert "ci" in [key["name"] for key in (await api.json("GET", "/api/v1/keys?revoked=true"))["keys"]]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "keys", {"name": "x", "modles": ["smart"]}, 422, "body_invalid"),
        ("POST", "keys", {"name": "x", "models": []}, 422, "key_wish_invalid"),
        ("POST", "keys", {"name": "x", "addresses": ["here"]}, 422, "key_wish_invalid"),
        ("POST", "keys", {"name": "x", "expires_at": "2020-01-01T00:00:00Z"}, 422, "key_wish_invalid"),
        ("POST", "keys", {"name": "x", "expires_at": "2099-01-01T00:00:00"}, 422, "body_invalid"),
        ("POST", "keys", {"name": "x", "budget_usd": 1e-12}, 422, "rule_invalid"),
        ("POST", "keys", {"name": "x", "budget_usd": "NaN"}, 422, "body_invalid"),
        ("POST", "keys", {"name": "x", "budget_usd": 1e12}, 422, "rule_invalid"),
        ("POST", "keys", {"name": "x", "per": "day"}, 422, "rule_invalid"),
        ("POST", "keys", {"name": "x", "requests_per_minute": 10**30}, 422, "rule_invalid"),
        ("POST", "keys", {"name": "admin"}, 409, "key_exists"),
        ("DELETE", "keys/admin", None, 409, "last_admin_key"),
        ("GET", "keys/nobody", None, 404, "key_not_found"),
        ("POST", "keys/admin/rotate", {"overlap_hours": -1}, 422, "overlap_invalid"),
        ("POST", "budgets", {"name": "b", "usd": 1}, 422, "body_invalid"),
        ("POST", "budgets", {"name": "b", "usd": 1, "period": "day", "subject": "user"}, 422, "rule_invalid"),
        ("PUT", "budgets/none", {"usd": 1}, 404, "rule_not_found"),
        ("POST", "limits", {"name": "l", "metric": "cost", "amount": 1, "period": "day"}, 422, "body_invalid"),
        ("POST", "limits", {"name": "l", "metric": "tokens", "amount": 1}, 422, "rule_invalid"),
        ("DELETE", "limits/none", None, 404, "rule_not_found"),
        ("POST", "projects", {"name": "default"}, 409, "project_exists"),
        ("POST", "projects", {"name": ""}, 422, "project_name"),
    ],
)
async def test_refusals(api: Api, method: str, path: str, body: Any, status: int, code: str) -> None:
    answer = await api.json(method, f"/api/v1/{path}", body, status=status)
    assert answer["code"] == code
    assert [key["name"] for key in (await api.json("GET", "/api/v1/keys?revoked=true"))["keys"]].count("x") == 0


async def test_rules_live_their_lives(api: Api) -> None:
    budget = {"name": "team", "usd": 2.5, "period": "month", "alert_percents": [90, 50, 90]}
    made = await api.json("POST", "/api/v1/budgets", budget, status=201)
    assert (made["amount_usd"], made["alert_percents"]) == ("2.50", [50, 90])
    limit = {"name": "calls", "metric": "requests", "amount": 9, "period": "minute", "subject": "user", "value": "*"}
    await api.json("POST", "/api/v1/limits", limit, status=201)
    changed = await api.json("PUT", "/api/v1/budgets/team", {"usd": 3, "fallback_model": "small"})
    assert (changed["amount"], changed["fallback_model"], changed["alert_percents"]) == (3 * 10**9, "small", [50, 90])
    assert (await api.json("PUT", "/api/v1/budgets/team", {"fallback_model": None}))["fallback_model"] is None
    for body in ({"usd": None}, {"mode": None}):
        assert (await api.json("PUT", "/api/v1/budgets/team", body, status=422))["code"] == "rule_invalid"
    assert (await api.json("PUT", "/api/v1/limits/calls", {"amount": 10}))["amount"] == 10
    for kind, name in (("budget", "team"), ("limit", "calls")):
        path = f"/api/v1/{kind}s"
        assert [rule["name"] for rule in (await api.json("GET", path, role="reader"))[f"{kind}s"]] == [name]
        assert (await api.json("DELETE", f"{path}/{name}", role="member", status=403))["code"] == "role_too_low"
        assert (await api.json("GET", f"{path}/{name}"))["name"] == name
        await api.json("DELETE", f"{path}/{name}")
        assert (await api.json("GET", path))[f"{kind}s"] == []


async def test_a_new_project_is_its_own(api: Api) -> None:
    made = await api.json("POST", "/api/v1/projects", {"name": "research"}, status=201)
    theirs = (await as_key(api, made["key"], "/api/v1/keys")).json()["keys"]
    assert [key["id"] for key in theirs] == [made["id"]]
    assert [project["name"] for project in (await api.json("GET", "/api/v1/projects"))["projects"]] == [
        "default",
        "research",
    ]
    assert [each["name"] for each in (await as_key(api, made["key"], "/api/v1/projects")).json()["projects"]] == [
        "research"
    ]
