"""What calls cost can be asked of the server and on the command line: added up, and one by one."""

from __future__ import annotations

import csv
import io
import json
import time
from typing import Any

import httpx
import pytest

from tests.acceptance.gateway.conftest import Served
from tests.acceptance.gateway.test_status_command import run


def explained(served: Served, answer: httpx.Response) -> dict[str, Any]:
    """What the ledger says of an answer's call; it gets there within a second."""
    until = time.monotonic() + 10
    with served.client() as client:
        while True:
            found = client.get(f"/api/v1/calls/{answer.headers['x-skep-call-id']}")
            if found.status_code != 404 or time.monotonic() > until:
                assert found.status_code == 200, found.text
                told: dict[str, Any] = found.json()
                return told
            time.sleep(0.1)


def test_a_call_is_explained(served: Served) -> None:
    answer = served.ask("ok", max_tokens=100)
    call = explained(served, answer)
    assert (call["model"], call["outcome"], call["status"], call["attempts"]) == ("ok", "ok", 200, 1)
    assert [(step["what"], step["outcome"]) for step in call["steps"]] == [("raw/ok", "ok")]
    assert (call["usage"]["input_tokens"], call["usage"]["output_tokens"]) == (1000, 50)
    cost = call["cost"]
    assert cost["parts"] == [
        {"what": "input", "tokens": 1000, "nusd_per_mtok": 150_000_000, "per": 1_000_000},
        {"what": "output", "tokens": 50, "nusd_per_mtok": 600_000_000, "per": 1_000_000},
    ]
    assert sum(part["tokens"] * part["nusd_per_mtok"] for part in cost["parts"]) == cost["cost_nusd"] * 10**6
    assert cost["cost_usd"] == answer.headers["x-skep-cost-usd"] == "0.00018"
    assert cost["price"]["version"] == cost["price_version"]


def test_every_step_of_a_call_is_told(served: Served) -> None:
    call = explained(served, served.ask("falls_back"))
    told = [(step["what"], step["outcome"]) for step in call["steps"]]
    assert told == [("raw/broken", "server_error"), ("closed/m", "unreachable"), ("spare/slow_ok", "ok")]
    assert "500" in call["steps"][0]["reason"]
    assert call["steps"][2]["ms"] >= 400
    failed = explained(served, served.ask("cut_off"))
    assert [step["outcome"] for step in failed["steps"]] == ["malformed"]
    assert failed["cost"]["estimated"]


def test_a_breaker_that_forbids_a_route_is_told(served: Served) -> None:
    refused = [served.ask("refused_key_explained") for _ in range(4)][-1]
    assert refused.json()["error"]["code"] == "no_route"
    (step,) = explained(served, refused)["steps"]
    assert (step["what"], step["outcome"]) == ("raw/refused_key_explained", "breaker_open")
    assert "401" in step["reason"]


def test_rules_that_counted_a_call_are_told(served: Served) -> None:
    with served.client() as client:
        made = client.post("/api/v1/keys", json={"name": "counted", "budget_usd": 1, "per": "day", "concurrent": 3})
        with served.client(authorization=f"Bearer {made.json()['key']}") as theirs:
            body = {"model": "ok", "messages": [], "max_tokens": 100}
            answer = theirs.post("/v1/chat/completions", json=body, headers={"x-skep-tags": "blue"})
        call = explained(served, answer)
        charges = {charge["rule"]["metric"]: charge for charge in call["rules"]}
        assert charges["cost"]["charged"] == call["cost"]["cost_nusd"] == 180_000
        assert charges["cost"]["reserved"] > 60_000
        assert (charges["concurrent"]["reserved"], charges["concurrent"]["charged"]) == (1, 0)
        assert charges["cost"]["rule"]["value"] == made.json()["id"]
        assert (call["key_name"], call["tags"]) == ("counted", ["blue"])
        client.delete("/api/v1/keys/counted")
        assert [charge["rule"] for charge in explained(served, answer)["rules"]] == [None, None]
    code, out, err = run(served.data, "explain", call["call_id"], database=served.database)
    assert (code, err) == (0, "")
    for words in ("tried: raw/ok: ok after", "1000 input x 0.15 USD per million", "cost: 0.00018 USD, price"):
        assert words in out


def report(served: Served, **query: str) -> list[dict[str, Any]]:
    with served.client() as client:
        answer = client.get("/api/v1/cost/report", params=query)
    assert answer.status_code == 200, answer.text
    lines: list[dict[str, Any]] = answer.json()["lines"]
    return lines


def costs(served: Served, *arguments: str) -> tuple[int, str, str]:
    return run(served.data, "report", *arguments, group="cost", database=served.database)


def test_calls_are_added_up(served: Served) -> None:
    explained(served, served.ask("slow_ok", user="zoe"))
    explained(served, served.ask("html", user="zoe"))
    (line,) = [line for line in report(served, by="user", since="1h") if line["value"] == "zoe"]
    assert (line["calls"], line["failed"]) == (2, 1)
    assert line["cost_nusd"] >= 180_000
    assert line["duration"]["p99_ms"] >= 400
    assert line["ttft"] is None
    (project,) = report(served, by="project")
    assert project["value"] == "default"
    assert report(served, since="2020-01-01", until="2020-01-02") == []
    with served.client() as client:
        text = client.get("/api/v1/cost/report", params={"by": "user", "format": "csv"})
        assert text.headers["content-type"].startswith("text/csv")
        for wrong in ({"since": "7x"}, {"by": "colour"}, {"untill": "1h"}):
            assert client.get("/api/v1/cost/report", params=wrong).json()["code"] == "query_invalid"
    assert {row["value"] for row in csv.DictReader(io.StringIO(text.text))} >= {"zoe"}
    code, out, err = costs(served, "--by", "user", "--since", "1h")
    assert (code, err) == (0, "")
    assert out.startswith("user ")
    assert "zoe" in out
    told = json.loads(costs(served, "--by", "user", "--format", "json")[1])
    assert {each["value"] for each in told["lines"]} >= {"zoe"}
    assert costs(served, "--since", "soon")[0] == 2


def test_other_projects_see_nothing(served: Served) -> None:
    answer = served.ask("ok")
    explained(served, answer)
    with served.client() as client:
        key = client.post("/api/v1/projects", json={"name": "elsewhere"}).json()["key"]
    with served.client(authorization=f"Bearer {key}") as stranger:
        assert stranger.get(f"/api/v1/calls/{answer.headers['x-skep-call-id']}").json()["code"] == "call_not_found"
        assert stranger.get("/api/v1/cost/report").json()["lines"] == []


@pytest.mark.parametrize("path", ["/api/v1/cost/report", "/api/v1/calls/x"])
def test_a_key_is_needed(served: Served, path: str) -> None:
    assert httpx.get(f"{served.url}{path}").status_code == 401
