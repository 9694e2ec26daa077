"""A budget for exactly 100 calls, and a thousand at once: through real servers of one and more processes, as people set it up."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.command import SOURCE, Command
from tests.levels import by_level, full
from tests.scripted import Scripted, scripted

CALLS, FITTING, AT_ONCE = by_level(400, 1_000), by_level(40, 100), 64
OUTPUT_TOKENS = 10
NUSD_PER_TOKEN = 1_000

SCRIPT = f"""\
prices: {{gpt-x: {{input_usd_per_mtok: 0, output_usd_per_mtok: 1}}}}
otherwise: {{words: 5, latency_ms: 0-30, usage: {{input_tokens: 7, output_tokens: {OUTPUT_TOKENS}}}}}
"""
SETTINGS = """\
providers:
  fake: {{kind: openai_compatible, base_url: "{url}"}}
models:
  smart:
    routes: [{{provider: fake, model: gpt-x}}]
    price: {{input_usd_per_mtok: 0, output_usd_per_mtok: 1}}
"""


@contextmanager
def server(skep: Command, settings: Path, workers: int) -> Iterator[str]:
    """`skep up` with so many processes; its address."""
    process = subprocess.Popen(
        [*skep.line("--config", settings, "up", "--port", "0", "--workers", str(workers), "--json")],
        env={**skep.environment, "SKEP_WATCH_ENABLED": "false", "PYTHONPATH": SOURCE},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        try:
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


async def ask_all(url: str, key: str) -> Counter[int]:
    """How many calls got which status."""
    body = {"model": "smart", "messages": [{"role": "user", "content": "hello"}], "max_tokens": OUTPUT_TOKENS}
    seen: Counter[int] = Counter()
    limits = httpx.Limits(max_connections=1)

    async def ask(count: int) -> None:
        # A connection each, so that all processes of the server get their share.
        async with httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {key}"}, limits=limits) as client:
            for _ in range(count):
                answer = await client.post("/v1/chat/completions", json=body, timeout=60)
                seen[answer.status_code] += 1
                if answer.status_code == httpx.codes.PAYMENT_REQUIRED:
                    error = answer.json()["error"]
                    assert error["code"] == "budget_exceeded", error
                    assert error["fix"], error
                    assert answer.headers["x-should-retry"] == "false"

    shares = [CALLS // AT_ONCE + (number < CALLS % AT_ONCE) for number in range(AT_ONCE)]
    await asyncio.gather(*map(ask, shares))
    return seen


def charged(provider: Scripted) -> int:
    return sum(entry["cost_nusd"] for entry in provider.truth())


@pytest.mark.timeout(180)
@pytest.mark.parametrize("workers", [full(1), 2, full(4)])
def test_exactly_so_many_calls_pass(skep_on: Command, tmp_path: Path, workers: int) -> None:
    budget_nusd = FITTING * OUTPUT_TOKENS * NUSD_PER_TOKEN
    with scripted(tmp_path / "provider", SCRIPT, "--no-fsync") as provider:
        settings = tmp_path / "skep.yaml"
        settings.write_text(SETTINGS.format(url=provider.url))
        with server(skep_on, settings, workers) as url:
            made = skep_on("key", "create", "--name", "ci", "--budget-usd", f"{budget_nusd / 1e9:.9f}", "--json").answer
            seen = asyncio.run(ask_all(url, made["key"]))
            assert seen == {200: FITTING, 402: CALLS - FITTING}
            assert len(provider.truth()) == FITTING
            assert charged(provider) == budget_nusd
        (rule,) = skep_on("key", "show", "ci", "--json").answer["rules"]
        (window,) = rule["windows"]
        assert (window["used"], window["leased"], window["overage"]) == (budget_nusd, 0, 0), rule
