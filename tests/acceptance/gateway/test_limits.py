"""Every kind of limit, for a key, a user and a project, as somebody meets it who calls: let in, refused, and told why."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.acceptance.gateway.conftest import Served
from tests.minutes import pause_seconds

CALL_TOKENS, CALL_USD = 1050, 0.00018
"""What the provider says that each call of the model ok has used."""

RULES: dict[str, tuple[str, dict[str, Any], str, int]] = {
    # Where it is made, how, what tells of it in x-ratelimit-*, and the most seconds until it begins anew.
    "requests a minute": ("limits", {"metric": "requests", "amount": 1, "period": "minute"}, "requests", 60),
    "tokens a minute": ("limits", {"metric": "tokens", "amount": CALL_TOKENS + 1, "period": "minute"}, "tokens", 60),
    "tokens an hour": ("limits", {"metric": "tokens", "amount": CALL_TOKENS + 1, "period": "hour"}, "tokens", 3600),
    "cost a day": ("budgets", {"usd": str(CALL_USD + 0.000001), "period": "day"}, "", 86_400),
    "calls at once": ("limits", {"metric": "concurrent", "amount": 1}, "", 1),
}
SUBJECTS = {"key": "*", "user": "*", "project": ""}


@dataclass
class Project:
    """A project of its own, in which nothing else happens."""

    served: Served
    admin: str

    def post(self, path: str, **body: object) -> httpx.Response:
        with self.served.client(authorization=f"Bearer {self.admin}") as client:
            return client.post(path, json=body)

    def new_key(self) -> str:
        answer = self.post("/api/v1/keys", name=f"key-{uuid4().hex}")
        return str(answer.json()["key"])

    def ask(self, key: str, user: str, model: str = "ok") -> httpx.Response:
        body = {"model": model, "messages": [], "max_tokens": 1, "user": user}
        with self.served.client(authorization=f"Bearer {key}") as client:
            return client.post("/v1/chat/completions", json=body)

    @contextmanager
    def long_call(self, key: str, user: str) -> Iterator[None]:
        body = {"model": "stream_slow", "messages": [], "stream": True, "max_tokens": 1, "user": user}
        with (
            self.served.client(authorization=f"Bearer {key}") as client,
            client.stream("POST", "/v1/chat/completions", json=body) as answer,
        ):
            assert answer.status_code == 200
            # Kept: an iterator that is gone closes the stream.
            pieces = answer.iter_bytes()
            next(pieces)
            yield


@pytest.fixture
def project(served: Served) -> Callable[[], Project]:
    def make() -> Project:
        with served.client() as client:
            made = client.post("/api/v1/projects", json={"name": f"p-{uuid4().hex}"}).json()
        return Project(served, made["key"])

    return make


@pytest.mark.parametrize("subject", SUBJECTS)
@pytest.mark.parametrize("rule", RULES)
def test_who_has_used_it_up_is_refused_and_nobody_else(project: Callable[[], Project], rule: str, subject: str) -> None:
    path, wish, metric, most_seconds = RULES[rule]
    here = project()
    made = here.post(f"/api/v1/{path}", name="bound", subject=subject, value=SUBJECTS[subject], **wish)
    assert made.status_code == 201, made.text
    key = here.new_key()
    if rule == "calls at once":
        with here.long_call(key, "anna"):
            refused, others = here.ask(key, "anna"), _ask_others(here, project, subject, key)
        assert _comes_free(here, key)
    else:
        time.sleep(pause_seconds(10) if most_seconds == 60 else 0)
        first = here.ask(key, "anna")
        assert first.status_code == 200, first.text
        refused, others = here.ask(key, "anna"), _ask_others(here, project, subject, key)
        if metric:
            assert int(first.headers[f"x-ratelimit-limit-{metric}"]) == wish["amount"]
            assert int(first.headers[f"x-ratelimit-remaining-{metric}"]) < wish["amount"]
    assert [answer.status_code for answer in others] == [200] * len(others)
    _is_explained(refused, rule)


def _ask_others(here: Project, project: Callable[[], Project], subject: str, key: str) -> list[httpx.Response]:
    """Calls that the rule counts for somebody else."""
    elsewhere = project()
    found = [elsewhere.ask(elsewhere.new_key(), "anna")]
    if subject == "key":
        found.append(here.ask(here.new_key(), "anna"))
    if subject == "user":
        found.append(here.ask(key, "berta"))
    return found


def _comes_free(here: Project, key: str) -> bool:
    """Whether there is room again soon after the long call has ended."""
    return any(here.ask(key, "anna").status_code == 200 for _ in range(5))


def _is_explained(refused: httpx.Response, rule: str) -> None:
    path, wish, metric, most_seconds = RULES[rule]
    error = refused.json()["error"]
    if path == "budgets":
        assert (refused.status_code, error["code"], error["type"]) == (402, "budget_exceeded", "insufficient_quota")
        assert refused.headers["x-should-retry"] == "false"
    else:
        assert (refused.status_code, error["code"], error["type"]) == (429, "limit_exceeded", "rate_limit_error")
        assert "x-should-retry" not in refused.headers
    assert "bound" in error["message"]
    assert error["fix"]
    assert 1 <= int(refused.headers["retry-after"]) <= most_seconds
    told = {name for name in refused.headers if name.startswith("x-ratelimit-")}
    assert told == {f"x-ratelimit-{word}-{metric}" for word in ("limit", "remaining", "reset") if metric}
    if metric:
        assert int(refused.headers[f"x-ratelimit-limit-{metric}"]) == wish["amount"]
        assert int(refused.headers[f"x-ratelimit-remaining-{metric}"]) <= 1
        assert re.fullmatch(r"\d+ms|(\d+h)?(\d+m)?\d+s", refused.headers[f"x-ratelimit-reset-{metric}"])
