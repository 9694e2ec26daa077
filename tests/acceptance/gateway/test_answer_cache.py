"""Answers that are given again, through a server of two processes: what is given, to whom, for how long, and what it costs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import openai
import pytest

from skep.server.supervisor import KEY_FILE
from tests.acceptance.gateway.test_exact_budget import server
from tests.command import Command
from tests.postgres import ScratchServer
from tests.scripted import Scripted, scripted

SCRIPT = """\
rules:
  - {when: {models: [failing]}, then: {status: 400}}
  - {when: {models: [cut]}, then: {words: 30, fault: close_in_stream}}
otherwise: {words: 20, usage: {input_tokens: 100, output_tokens: 20}}
"""
SETTINGS = """\
providers:
  fake: {{kind: openai_compatible, base_url: "{url}"}}
models:
  kept: {{cache_seconds: 300, routes: [{{provider: fake, model: ok}}], price: {{input_usd_per_mtok: 1, output_usd_per_mtok: 2}}}}
  brief: {{cache_seconds: 1, routes: [{{provider: fake, model: ok}}]}}
  plain: {{routes: [{{provider: fake, model: ok}}]}}
  failing: {{cache_seconds: 300, retries: 0, routes: [{{provider: fake, model: failing}}]}}
  cut: {{cache_seconds: 300, retries: 0, routes: [{{provider: fake, model: cut}}]}}
"""
COST_NUSD = 100 * 1000 + 20 * 2000
PROCESSES = 2
MANY = 16
"""Calls over connections of their own after which each process was asked, but once in 30,000 times."""


@dataclass
class Server:
    url: str
    key: str
    provider: Scripted
    skep: Command
    stores: int = PROCESSES
    """How many keep answers by themselves."""

    def ask(self, model: str, words: str, key: str = "", stream: bool = False, **headers: str) -> httpx.Response:
        """Over a connection of its own: each comes to any of the processes."""
        body = {"model": model, "messages": [{"role": "user", "content": words}], "stream": stream}
        sent = {"authorization": f"Bearer {key or self.key}"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        return httpx.post(f"{self.url}/v1/chat/completions", json=body, headers=sent, timeout=30)

    def asked(self) -> int:
        """How often the provider was asked."""
        return len(self.provider.truth())

    def asks(self, words: str, **more: Any) -> tuple[list[httpx.Response], list[httpx.Response]]:
        """Ask so often that each process keeps an answer: those that the provider gave, and those that were kept."""
        misses: list[httpx.Response] = []
        hits: list[httpx.Response] = []
        while len(misses) < self.stores or len(hits) < self.stores:
            answer = self.ask("kept", words, **more)
            assert answer.status_code == 200, answer.text
            (hits if answer.headers["x-skep-cache"] == "hit" else misses).append(answer)
            assert len(misses) <= self.stores
            # Which process a connection comes to is chance, and a busy machine's is not a fair one.
            assert len(hits) < 500, "a process was never asked"
        return misses, hits

    def warm(self, words: str, **more: Any) -> httpx.Response:
        """Have the answer kept by each process; the last, which was."""
        return self.asks(words, **more)[1][-1]

    def administer(self, path: str, **body: object) -> dict[str, Any]:
        """What the administrator is answered."""
        headers = {"authorization": f"Bearer {(self.skep.data / KEY_FILE).read_text().strip()}"}
        answer = httpx.post(f"{self.url}/api/v1/{path}", json=body, headers=headers, timeout=30)
        assert answer.status_code in (200, 201), answer.text
        found: dict[str, Any] = answer.json()
        return found

    def clear(self, **what: list[str]) -> list[str]:
        found: list[str] = self.administer("gateway/cache/clear", **what)["cleared"]
        return found

    def new_key(self, **more: object) -> str:
        return str(self.administer("keys", name=uuid4().hex, **more)["key"])

    def new_project_key(self) -> str:
        return str(self.administer("projects", name=f"p-{uuid4().hex[:8]}")["key"])


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, scratch_server: ScratchServer) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("cached")
    with scripted(folder / "provider", SCRIPT, "--no-fsync") as provider, scratch_server.database() as url:
        skep = Command(folder / "data", folder, url)
        (folder / "skep.yaml").write_text(SETTINGS.format(url=provider.url))
        key = skep("key", "create", "--name", "ci", "--json").answer["key"]
        with server(skep, folder / "skep.yaml", workers=PROCESSES) as address:
            yield Server(address, key, provider, skep)


def words() -> str:
    """A question that nobody has asked."""
    return f"question {uuid4().hex}"


def test_an_answer_is_given_again_byte_by_byte(two: Server) -> None:
    before = two.asked()
    misses, hits = two.asks(words())
    first, last = misses[0], hits[-1]
    # Each process has its own.
    assert {answer.content for answer in hits} <= {answer.content for answer in misses}
    assert "age" not in first.headers
    assert last.headers["content-type"] == first.headers["content-type"]
    assert (last.headers["x-skep-model"], last.headers["x-skep-provider"]) == ("kept", "fake")
    assert last.headers["x-skep-cost-usd"] == "0"
    assert first.headers["x-skep-cost-usd"] == "0.00014"
    assert 0 <= int(last.headers["age"]) <= 60
    assert last.headers["x-skep-call-id"] != first.headers["x-skep-call-id"]
    assert two.asked() - before == len(misses)


def test_most_repeats_within_five_minutes_are_hits(two: Server) -> None:
    questions = [words() for _ in range(4)]
    found = [two.ask("kept", said).headers["x-skep-cache"] for _ in range(12) for said in questions]
    assert found.count("hit") / len(found) > 0.8


def test_a_stream_is_given_again_as_a_stream(two: Server) -> None:
    said = words()
    misses, hits = two.asks(said, stream=True)
    assert all(answer.headers["content-type"].startswith("text/event-stream") for answer in hits)
    assert all(": x-skep-cost-usd 0.00014\n" in answer.text for answer in misses)
    made = {answer.text.replace(": x-skep-cost-usd 0.00014\n", ": x-skep-cost-usd 0\n") for answer in misses}
    assert {answer.text for answer in hits} <= made
    assert all(text.endswith("data: [DONE]\n\n") for text in made)
    # Asked as a whole it is another question.
    assert two.ask("kept", said).headers["x-skep-cache"] == "miss"


def test_openais_client_reads_a_kept_stream(two: Server) -> None:
    said, before = words(), two.asked()
    client = openai.OpenAI(base_url=f"{two.url}/v1", api_key=two.key, max_retries=0)
    texts = set()
    for _ in range(MANY):
        stream = client.chat.completions.create(model="kept", messages=[{"role": "user", "content": said}], stream=True)
        texts.add("".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices))
    assert len(texts) == 1
    assert len(texts.pop().split()) == 20
    assert 1 <= two.asked() - before <= PROCESSES


def test_projects_do_not_share_answers_and_keys_of_one_do(two: Server) -> None:
    said, other = words(), two.new_key()
    two.warm(said)
    assert two.ask("kept", said, key=other).headers["x-skep-cache"] == "hit"
    stranger = two.new_project_key()
    assert two.ask("kept", said, key=stranger).headers["x-skep-cache"] == "miss"


def test_a_key_that_may_not_ask_the_model_is_refused_though_the_answer_is_there(two: Server) -> None:
    said = words()
    two.warm(said)
    assert two.ask("kept", said, key=two.new_key(models=["plain"])).status_code == 403


def test_what_differs_is_asked_anew(two: Server) -> None:
    said = words()
    two.warm(said)
    body = {"model": "kept", "messages": [{"role": "user", "content": said}], "stream": False, "temperature": 0.5}
    headers = {"authorization": f"Bearer {two.key}"}
    answer = httpx.post(f"{two.url}/v1/chat/completions", json=body, headers=headers, timeout=30)
    assert answer.headers["x-skep-cache"] == "miss"
    assert two.ask("kept", said, openai_beta="x").headers["x-skep-cache"] == "miss"


def test_what_a_client_wishes(two: Server) -> None:
    said = words()
    two.warm(said)
    before = two.asked()
    assert "x-skep-cache" not in two.ask("kept", said, cache_control="no-store").headers
    assert two.ask("kept", said, cache_control="no-cache").headers["x-skep-cache"] == "miss"
    assert two.asked() == before + 2
    time.sleep(1.1)
    assert two.ask("kept", said, cache_control="max-age=1").headers["x-skep-cache"] == "miss"
    assert two.ask("kept", said, cache_control="max-age=100").headers["x-skep-cache"] == "hit"


def test_an_answer_is_too_old_after_its_seconds(two: Server) -> None:
    said = words()
    for _ in range(MANY):
        two.ask("brief", said)
    time.sleep(1.1)
    assert two.ask("brief", said).headers["x-skep-cache"] == "miss"


def test_what_is_not_kept(two: Server) -> None:
    for model, status in (("plain", 200), ("failing", 400)):
        said, before = words(), two.asked()
        assert {two.ask(model, said).status_code for _ in range(4)} == {status}
        assert two.asked() == before + 4
    said, before = words(), two.asked()
    for _ in range(4):
        assert "data: [DONE]" not in two.ask("cut", said, stream=True).text
    assert two.asked() == before + 4


@pytest.mark.parametrize("what", [{"tags": ["docs"]}, {"models": ["kept"]}, {}])
def test_what_was_cleared_is_given_by_no_process_a_second_later(two: Server, what: dict[str, list[str]]) -> None:
    tagged, other = words(), words()
    two.warm(tagged, x_skep_cache_tags="docs, prices")
    two.warm(other, x_skep_cache_tags="prices")
    two.clear(**what)
    time.sleep(1)
    before = two.asked()
    misses, _ = two.asks(tagged, x_skep_cache_tags="docs, prices")
    assert len(misses) == two.asked() - before == PROCESSES
    assert two.ask("kept", other).headers["x-skep-cache"] == ("hit" if "tags" in what else "miss")


def test_a_tag_clears_what_was_kept_without_it_and_asked_for_with_it(two: Server) -> None:
    said = words()
    two.warm(said)
    # Whoever names a tag must be able to rely on it.
    misses, _ = two.asks(said, x_skep_cache_tags="late")
    assert misses
    assert two.ask("kept", said).headers["x-skep-cache"] == "hit"
    assert two.clear(tags=["late"]) == ["tag:late"]
    time.sleep(1)
    assert two.ask("kept", said).headers["x-skep-cache"] == "miss"


def test_the_command_clears(two: Server) -> None:
    said = words()
    two.warm(said)
    done = two.skep("gateway", "clear-cache", "--model", "kept", "--tag", "x")
    assert (done.out, done.err) == ("cleared: model:kept, tag:x\n", "")
    time.sleep(1)
    assert two.ask("kept", said).headers["x-skep-cache"] == "miss"


def test_a_model_that_is_not_there_is_said_to_be_none(two: Server) -> None:
    done = two.skep("gateway", "clear-cache", "--model", "kep", "--model", "kept")
    assert done.out == "cleared: model:kep, model:kept\n"
    assert done.err.startswith("warning: no model of the settings is called kep; did you mean kept?")


def test_a_clearing_without_a_known_field_clears_nothing(two: Server) -> None:
    said = words()
    two.warm(said)
    headers = {"authorization": f"Bearer {(two.skep.data / KEY_FILE).read_text().strip()}"}
    address = f"{two.url}/api/v1/gateway/cache/clear"
    assert httpx.post(address, json={"tag": "docs"}, headers=headers).status_code == 422
    assert httpx.post(address, json={}, headers={"authorization": f"Bearer {two.key}"}).status_code == 403
    time.sleep(1)
    assert two.ask("kept", said).headers["x-skep-cache"] == "hit"


def test_a_hit_costs_nothing_passes_a_spent_budget_and_counts_in_limits(two: Server) -> None:
    said = words()
    two.warm(said)
    poor = two.new_key(budget_usd="0.00000001", per="day")
    assert two.ask("kept", words(), key=poor).status_code == 402
    assert two.ask("kept", said, key=poor).headers["x-skep-cache"] == "hit"
    few = two.new_key(requests_per_minute=2)
    found = [two.ask("kept", said, key=few) for _ in range(4)]
    assert sorted(answer.status_code for answer in found) in ([200, 200, 429, 429], [200, 200, 200, 429], [200] * 4)
    assert found[0].headers["x-ratelimit-limit-requests"] == "2"


def test_what_has_changed_since_a_repeat_counts(two: Server) -> None:
    """Repeats are answered by what was found out before: not a word of that may be older than the key and the clearings."""
    said, tag = words(), uuid4().hex
    key, name = two.new_key(), uuid4().hex
    revoked = str(two.administer("keys", name=name)["key"])
    two.warm(said, key=key, x_skep_cache_tags=tag)
    for sent in (key, revoked):
        found = [two.ask("kept", said, key=sent, x_skep_cache_tags=tag) for _ in range(MANY)]
        assert {answer.headers["x-skep-cache"] for answer in found} == {"hit"}
    two.skep("key", "revoke", name)
    time.sleep(1)
    assert {two.ask("kept", said, key=revoked).status_code for _ in range(MANY)} == {401}
    assert two.ask("kept", said, key=key, x_skep_cache_tags=tag).headers["x-skep-cache"] == "hit"
    two.clear(tags=[tag])
    time.sleep(1)
    kinds = [two.ask("kept", said, key=key, x_skep_cache_tags=tag).headers["x-skep-cache"] for _ in range(MANY)]
    assert kinds[0] == "miss"
    assert kinds.count("miss") <= PROCESSES


def test_the_ledger_tells_hits_and_what_they_saved(two: Server) -> None:
    said, tag = words(), f"tag-{uuid4().hex[:8]}"
    made, hits = two.asks(said, x_skep_tags=tag)
    misses, calls = len(made), len(made) + len(hits)
    until = time.monotonic() + 15
    while (line := report_line(two, tag))["calls"] < calls and time.monotonic() < until:
        time.sleep(0.2)
    assert (line["calls"], line["cached"], line["failed"]) == (calls, len(hits), 0)
    assert (line["cost_nusd"], line["saved_nusd"]) == (COST_NUSD * misses, COST_NUSD * len(hits))
    assert line["saved_usd"] == f"{COST_NUSD * len(hits) / 1e9:f}".rstrip("0")
    assert (line["input_tokens"], line["output_tokens"]) == (100 * misses, 20 * misses)
    table = two.skep("cost", "report", "--by", "tag", "--since", "1h").out
    assert "from the cache" in table
    told = two.skep("gateway", "explain", hits[0].headers["x-skep-call-id"]).out
    assert "tried: cache: hit" in told
    assert "saved: 0.00014 USD, by an answer that was kept" in told
    assert "cost: 0.00 USD" in told


def report_line(two: Server, tag: str) -> dict[str, Any]:
    lines = two.skep("cost", "report", "--by", "tag", "--since", "1h", "--json").answer["lines"]
    return next((line for line in lines if line["value"] == tag), {"calls": 0})
