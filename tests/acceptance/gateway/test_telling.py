"""What the server says of calls: in its metrics, and in its log, where no secret stands."""

from __future__ import annotations

import re

import httpx

from tests.acceptance.gateway.conftest import Served


def _counted(served: Served, name: str, **labels: str) -> float:
    page = httpx.get(f"{served.url}/metrics", headers={"authorization": f"Bearer {served.key}"}).text
    for line in page.splitlines():
        found = re.fullmatch(rf"{name}\{{(.*)\}} (\S+)", line)
        if found and dict(re.findall(r'(\w+)="([^"]*)"', found[1])) == labels:
            return float(found[2])
    return 0.0


def test_calls_tokens_and_money_are_counted(served: Served) -> None:
    kind = {"provider": "openai_compatible"}

    def now() -> list[float]:
        return [
            _counted(served, "skep_model_calls_total", **kind, outcome="ok"),
            _counted(served, "skep_model_tokens_total", **kind, direction="input"),
            _counted(served, "skep_model_tokens_total", **kind, direction="output"),
            _counted(served, "external_api_credit_used_total", **kind),
        ]

    before = now()
    cost = float(served.ask("ok").headers["x-skep-cost-usd"])
    after = now()
    assert [round(new - old, 9) for new, old in zip(after, before, strict=True)] == [1, 1000, 50, cost]


def test_no_secret_stands_in_the_log(served: Served) -> None:
    planted = "sk-planted-0123456789abcdef"
    secrets = [planted, served.key.rpartition("_")[2], "hunter2hunter2"]
    body = {"model": planted, "messages": [{"role": "user", "content": "hunter2hunter2"}], "user": planted}
    for headers in (
        {"authorization": f"Bearer {served.key}"},
        {"authorization": f"Bearer {planted}"},
        {"x-api-key": planted},
        {"authorization": f"Basic {planted}"},
        {"authorization": f"Bearer {served.key}", "x-skep-tags": planted, "cookie": planted, "traceparent": planted},
    ):
        httpx.post(f"{served.url}/v1/chat/completions", json=body, headers=headers)
        httpx.get(f"{served.url}/v1/{planted}?api_key={planted}", headers=headers)
    for model in ("refused_key", "closes", "html", "stream_told", "flood"):
        served.ask(model, user=planted)
    served.ask("ok")
    text = (served.data.parent / "log").read_text()
    assert text.count(" request ") > 10
    assert [secret for secret in [*secrets, "sk-raw"] if secret in text] == []
