"""Calls without a key, where the settings allow them: through a real server of two processes, behind a proxy that it trusts."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.acceptance.gateway.test_exact_budget import server
from tests.command import Command
from tests.minutes import pause_seconds
from tests.scripted import Scripted, scripted

MOST = 12

SCRIPT = "otherwise: {words: 2, usage: {input_tokens: 7, output_tokens: 2}}\n"
SETTINGS = """\
server: {{trusted_proxies: ["127.0.0.1"]}}
gateway: {{keyless_key: "{key}", keyless_requests_per_minute: {most}}}
providers:
  fake: {{kind: openai_compatible, base_url: "{url}"}}
models:
  open: {{routes: [{{provider: fake, model: m}}], price: {{input_usd_per_mtok: 1, output_usd_per_mtok: 1}}}}
  kept: {{routes: [{{provider: fake, model: m}}]}}
"""


def ask(url: str, address: str, model: str = "open", **headers: str) -> httpx.Response:
    """A call over a connection of its own, so that each process gets its share."""
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}
    sent = {"x-forwarded-for": f"203.0.113.200, {address}"} | headers
    return httpx.post(f"{url}/v1/chat/completions", json=body, headers=sent, timeout=30)


@contextmanager
def keyless_server(skep: Command, folder: Path) -> Iterator[tuple[str, Scripted]]:
    key = skep("key", "create", "--name", "public", "--models", "open", "--json").answer["key"]
    with scripted(folder / "provider", SCRIPT, "--no-fsync") as provider:
        (folder / "skep.yaml").write_text(SETTINGS.format(url=provider.url, key=key, most=MOST))
        with server(skep, folder / "skep.yaml", workers=2) as url:
            yield url, provider


def test_an_address_has_so_many_calls_a_minute(skep_on: Command, tmp_path: Path) -> None:
    with keyless_server(skep_on, tmp_path) as (url, provider), ThreadPoolExecutor(16) as threads:
        time.sleep(pause_seconds(20))
        answers = list(threads.map(lambda _: ask(url, "198.51.100.7"), range(2 * MOST)))
        assert Counter(answer.status_code for answer in answers) == {200: MOST, 429: MOST}
        assert len(provider.truth()) == MOST
        left = [int(each.headers["x-ratelimit-remaining-requests"]) for each in answers if each.status_code == 200]
        assert sorted(left) == list(range(MOST))
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert refused.json()["error"].keys() == {"message", "type", "param", "code", "fix"}
        assert refused.json()["error"]["code"] == "address_limit"
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert refused.headers["x-ratelimit-limit-requests"] == str(MOST)
        assert refused.headers["x-ratelimit-reset-requests"].endswith("s")

        # Within a /64 it is one customer; another one has calls of their own.
        six = [ask(url, f"2001:db8::{number:x}") for number in range(1, MOST + 2)]
        assert [answer.status_code for answer in six] == [200] * MOST + [429]
        assert ask(url, "2001:db8:0:1::1").status_code == 200

        # A key counts by its own rules, from the same address.
        key = skep_on("key", "create", "--name", "own", "--json").answer["key"]
        keyed = ask(url, "198.51.100.7", authorization=f"Bearer {key}")
        assert keyed.status_code == 200
        assert "x-ratelimit-limit-requests" not in keyed.headers

        # What the key for them is not for, they may not.
        elsewhere = {"x-forwarded-for": "198.51.100.9"}
        assert ask(url, "198.51.100.9", "kept").json()["error"]["code"] == "model_not_allowed"
        models = httpx.get(f"{url}/v1/models", headers=elsewhere).json()["data"]
        assert [model["id"] for model in models] == ["open"]
        status = httpx.get(f"{url}/api/v1/rate-limit/status", headers=elsewhere).json()
        assert status["limits"] == []
        told = status["address"]
        assert (told["address"], told["amount"], told["remaining"]) == ("198.51.100.9", MOST, MOST - 3)
        assert httpx.get(f"{url}/api/v1/keys", headers=elsewhere).status_code == 401
    # The ledger knows whose calls they were.
    lines = skep_on("cost", "report", "--by", "key", "--json").answer["lines"]
    calls = {line["value"]: line["calls"] for line in lines}
    assert sum(calls.values()) == 2 * MOST + 2, json.dumps(lines)
    assert max(calls.values()) == 2 * MOST + 1


def test_once_the_key_for_them_is_revoked_every_call_needs_one(skep_on: Command, tmp_path: Path) -> None:
    with keyless_server(skep_on, tmp_path) as (url, _):
        assert ask(url, "198.51.100.7").status_code == 200
        skep_on("key", "revoke", "public")
        time.sleep(1)
        answers = [ask(url, "198.51.100.7") for _ in range(8)]
        assert {answer.status_code for answer in answers} == {401}
        assert "none was sent" in answers[0].json()["error"]["message"]
