"""Answers to questions that were put in other words, through two servers with one Redis: given to whom, told how, and never to another question."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

import httpx
import openai
import pytest

from tests.acceptance.gateway.test_answer_cache import Server
from tests.acceptance.gateway.test_exact_budget import server
from tests.command import Command
from tests.postgres import ScratchServer
from tests.redis_server import redis_server
from tests.scripted import scripted
from tests.serving import eventually

SCRIPT = "otherwise: {words: 20, usage: {input_tokens: 100, output_tokens: 20}}\n"
SETTINGS = """\
cache: {{redis_url: "{redis}"}}
providers:
  fake: {{kind: openai_compatible, base_url: "{url}"}}
guards:
  hide: {{kinds: [email], action: redact}}
models:
  exact: {{cache_seconds: 300, routes: [{{provider: fake, model: ok}}]}}
  kept:
    cache_seconds: 300
    semantic_cache: {{wait_seconds: 10}}
    routes: [{{provider: fake, model: ok}}]
    price: {{input_usd_per_mtok: 1, output_usd_per_mtok: 2}}
  guarded:
    cache_seconds: 300
    semantic_cache: {{wait_seconds: 10}}
    guards: [hide]
    routes: [{{provider: fake, model: ok}}]
"""


class Servers:
    """Two servers of one installation, without memory of their own for answers."""

    def __init__(self, one: Server, other: Server) -> None:
        self.one, self.other = one, other


def keep(server: Server, model: str, words: str, **more: Any) -> tuple[httpx.Response, set[str]]:
    """Ask until the answer is kept, which is a moment after it was given: the kept one, and the calls that were answered."""
    calls: set[str] = set()
    with eventually() as waits:
        while (found := server.ask(model, words, **more)).headers["x-skep-cache"] != "hit":
            calls.add(found.headers["x-skep-call-id"])
            waits()
    return found, calls


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, scratch_server: ScratchServer) -> Iterator[Servers]:
    folder: Path = tmp_path_factory.mktemp("semantic")
    with (
        scripted(folder / "provider", SCRIPT, "--no-fsync") as provider,
        redis_server(folder / "redis") as redis,
        scratch_server.database() as url,
    ):
        (folder / "skep.yaml").write_text(SETTINGS.format(url=provider.url, redis=redis.url))
        more = {"SKEP_EMBEDDING_ENABLED": "true"}
        skeps = [Command(folder / name, folder, url, more=more) for name in ("one", "other")]
        key = skeps[0]("key", "create", "--name", "ci", "--json").answer["key"]
        with server(skeps[0], folder / "skep.yaml", 2) as first, server(skeps[1], folder / "skep.yaml", 1) as second:
            found = [
                Server(address, key, provider, skep, stores=1)
                for address, skep in zip((first, second), skeps, strict=True)
            ]
            yield Servers(*found)


def wordings() -> tuple[str, str, str]:
    """A question that nobody has asked, in other words, and one that looks like it."""
    thing = f"package x{uuid4().hex[:8]}"
    return (
        f"How do I install {thing} on Linux?",
        f"Please tell me how to install the {thing} on linux",
        f"How do I uninstall {thing} on Linux?",
    )


def test_a_question_in_other_words_is_answered_by_either_server_and_one_that_looks_like_it_is_not(two: Servers) -> None:
    asked, again, other = wordings()
    first, calls = keep(two.one, "kept", asked)
    before = two.one.asked()
    for each in (two.one, two.other):
        found = each.ask("kept", again)
        assert found.headers["x-skep-cache"] == "semantic"
        assert found.content == first.content
        assert 0.85 <= float(found.headers["x-skep-cache-similarity"]) <= 1
        assert found.headers["x-skep-cache-call"] in calls
        assert unquote(found.headers["x-skep-cache-question"]) == asked
        assert (found.headers["x-skep-cost-usd"], int(found.headers["age"]) < 60) == ("0", True)
    # Once more, now that the server remembers the call.
    assert [two.one.ask("kept", again).headers["x-skep-cache"] for _ in range(6)] == ["semantic"] * 6
    assert two.one.asked() == before
    assert two.other.ask("kept", other).headers["x-skep-cache"] == "miss"
    assert two.other.ask("kept", asked).headers["x-skep-cache"] == "hit"


def test_only_models_that_opted_in_and_calls_that_do_not_refuse(two: Servers) -> None:
    asked, again, _ = wordings()
    keep(two.one, "exact", asked)
    assert two.one.ask("exact", again).headers["x-skep-cache"] == "miss"
    keep(two.one, "kept", asked)
    assert two.one.ask("kept", again, x_skep_cache="exact").headers["x-skep-cache"] == "miss"
    refused = two.one.ask("kept", again, x_skep_cache="exat")
    assert (refused.status_code, refused.json()["error"]["message"]) == (
        400,
        "The request is not what this address takes: x-skep-cache must be exact",
    )
    assert "x-skep-cache" not in two.one.ask("kept", again.upper(), cache_control="no-store").headers
    assert two.one.ask("kept", again.upper(), cache_control="no-cache").headers["x-skep-cache"] == "miss"


def test_projects_do_not_share_and_what_else_differs_is_asked(two: Servers) -> None:
    asked, again, _ = wordings()
    keep(two.one, "kept", asked)
    assert two.one.ask("kept", again, key=two.one.new_project_key()).headers["x-skep-cache"] == "miss"
    assert two.one.ask("kept", again, openai_beta="x").headers["x-skep-cache"] == "miss"
    body: dict[str, Any] = {"model": "kept", "messages": [{"role": "user", "content": again}], "stream": False}
    headers = {"authorization": f"Bearer {two.one.key}"}
    for more in ({"temperature": 0.5}, {"messages": [{"role": "system", "content": "Be kind."}, *body["messages"]]}):
        answer = httpx.post(f"{two.one.url}/v1/chat/completions", json={**body, **more}, headers=headers, timeout=30)
        assert answer.headers["x-skep-cache"] == "miss"
    assert two.one.ask("kept", again).headers["x-skep-cache"] == "semantic"


def test_openais_client_reads_a_stream_that_answers_it_in_other_words(two: Servers) -> None:
    asked, again, _ = wordings()
    client = openai.OpenAI(base_url=f"{two.other.url}/v1", api_key=two.other.key, max_retries=0)

    def ask(words: str) -> tuple[str, list[str]]:
        with client.chat.completions.with_raw_response.create(
            model="kept", messages=[{"role": "user", "content": words}], stream=True
        ).parse() as stream:
            said = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
            return stream.response.headers["x-skep-cache"], said

    with eventually() as waits:
        while (first := ask(asked))[0] != "hit":
            waits()
    kind, said = ask(again)
    assert (kind, said) == ("semantic", first[1])
    assert len("".join(said).split()) == 20
    # Asked as a whole it is another question.
    assert two.other.ask("kept", again).headers["x-skep-cache"] == "miss"


@pytest.mark.parametrize("what", [{"tags": ["docs"]}, {"models": ["kept"]}, {}])
def test_what_was_cleared_is_no_answer_in_other_words_either(two: Servers, what: dict[str, list[str]]) -> None:
    asked, again, _ = wordings()
    keep(two.one, "kept", asked, x_skep_cache_tags="docs")
    assert two.other.ask("kept", again, x_skep_cache_tags="docs").headers["x-skep-cache"] == "semantic"
    # Whoever names a tag can rely on it: this was not kept under it.
    assert two.other.ask("kept", f"{again}!", x_skep_cache_tags="late").headers["x-skep-cache"] == "miss"
    fresh, newer, _ = wordings()
    keep(two.one, "kept", fresh, x_skep_cache_tags="docs")
    two.one.clear(**what)
    with eventually() as waits:
        while two.other.ask("kept", newer, x_skep_cache_tags="docs").headers["x-skep-cache"] == "semantic":
            waits()


def test_guards_see_what_is_asked_before_it_is_looked_up(two: Servers) -> None:
    thing = uuid4().hex[:8]
    keep(two.one, "guarded", f"How do I write to anna@example.com about x{thing}?")
    again = two.one.ask("guarded", f"Please tell me how to write to bert@example.com about x{thing}.")
    assert again.headers["x-skep-cache"] == "semantic"
    assert "example.com" not in unquote(again.headers["x-skep-cache-question"])


def test_the_ledger_counts_it_as_a_hit_and_explain_says_which_call_was_answered(two: Servers) -> None:
    asked, again, _ = wordings()
    _, calls = keep(two.one, "kept", asked)
    found = two.one.ask("kept", again)
    with eventually() as waits:
        while (done := two.one.skep("gateway", "explain", found.headers["x-skep-call-id"], code=None)).code:
            waits()
    assert "tried: cache: semantic" in done.out
    assert any(f"to the question of call {call}, of similarity 0.9" in done.out for call in calls)
    assert "saved: 0.00014 USD, by an answer that was kept" in done.out
    assert "cost: 0.00 USD" in done.out
    assert asked not in done.out
