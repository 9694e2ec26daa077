"""What is said in calls, through a real server: kept only where the settings ask for it, read only by those who may."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg

from tests.command import Command
from tests.scripted import scripted
from tests.serving import ONLY_JOBS, Up, eventually, starting

SCRIPT = """
rules:
  - {when: {models: [broken]}, then: {status: 500, error_message: out of order}}
otherwise: {text: a fine answer}
"""
SETTINGS = """
gateway: {{content: {content}, content_max_bytes: 2000}}
providers:
  fake: {{kind: openai_compatible, base_url: "{url}"}}
models:
  fine: {{routes: [{{provider: fake, model: m}}], price: {{input_usd_per_mtok: 1, output_usd_per_mtok: 1}}}}
  broken: {{retries: 0, routes: [{{provider: fake, model: broken}}], price: {{input_usd_per_mtok: 1, output_usd_per_mtok: 1}}}}
"""
SECRET = "sk-abcdefgh12345678"


@contextmanager
def served(skep: Command, folder: Path, content: str) -> Iterator[tuple[Up, Path]]:
    settings = skep.folder / "skep.yaml"
    with scripted(folder / "provider", SCRIPT, "--no-fsync") as provider:
        settings.write_text(SETTINGS.format(content=content, url=provider.url))
        assert skep.url is not None
        with starting(skep.data, SKEP_DATABASE_URL=skep.url, **ONLY_JOBS) as start:
            yield start("--config", str(settings)), settings


def ask(up: Up, model: str = "fine", text: str = "hello", **more: Any) -> str:
    """Make a call; its id."""
    body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 50, **more}
    return up.client().post("/v1/chat/completions", json=body).headers["x-skep-call-id"]


def said(up: Up, call_id: str) -> dict[str, Any]:
    """What is kept of a call, as soon as it is there."""
    client = up.client()
    with eventually() as waits:
        while (answer := client.get(f"/api/v1/calls/{call_id}/content")).status_code == 404 and waits():
            pass
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def in_ledger(url: str, *call_ids: str) -> None:
    """Wait until calls are in the ledger."""
    with psycopg.connect(url, autocommit=True) as connection, eventually() as waits:
        query = "select count(*) from call where call_id = any(%s::uuid[])"
        while connection.execute(query, [list(call_ids)]).fetchone() != (len(call_ids),) and waits():
            pass


def rows(url: str) -> set[str]:
    """The calls of which something is kept."""
    with psycopg.connect(url, autocommit=True) as connection:
        return {row[0] for row in connection.execute("select call_id::text from content").fetchall()}


def test_nothing_is_kept_until_it_is_asked_for(skep_on: Command, tmp_path: Path, database_url: str) -> None:
    with served(skep_on, tmp_path, "nothing") as (up, settings):
        before = [ask(up), ask(up, stream=True), ask(up, "broken")]
        in_ledger(database_url, *before)
        assert up.client().get(f"/api/v1/calls/{before[0]}/content").json()["code"] == "content_not_kept"
        settings.write_text(settings.read_text().replace("content: nothing", "content: errors"))
        assert up.client().post("/api/v1/gateway/reload").json()["changed"] == ["gateway.content"]
        fine, broken = ask(up), ask(up, "broken", text="what went wrong?")
        found = said(up, broken)
        assert "what went wrong?" in found["request"]
        assert "out of order" in found["answer"]
        assert found["outcome"] == "server_error"
        in_ledger(database_url, fine)
    # The server has ended: whatever it was to keep is there.
    assert rows(database_url) == {broken}


def test_calls_and_streams_are_kept_and_only_administrators_read_them(skep_on: Command, tmp_path: Path) -> None:
    with served(skep_on, tmp_path, "all") as (up, _):
        whole, stream = ask(up, text=f"my key:\n{SECRET}"), ask(up, stream=True)
        found = said(up, whole)
        assert "my key:\\nsk-***" in found["request"]
        assert SECRET not in str(found)
        assert "a fine answer" in found["answer"]
        found = said(up, stream)
        assert found["answer"].startswith("data: {")
        assert "fine" in found["answer"]
        long = said(up, ask(up, text="x" * 9000))
        assert long["request"].endswith(f"x [cut: {long['request_bytes']} bytes in all]")
        assert 9000 < long["request_bytes"] < 9500
        assert len(long["request"]) < 2100

        shown = skep_on("gateway", "explain", whole, "--content")
        assert "a fine answer" in shown.out
        path = f"/api/v1/calls/{whole}/content"
        for role in ("reader", "member"):
            made = up.client().post("/api/v1/keys", json={"name": role, "role": role}).json()
            refused = up.client(authorization=f"Bearer {made['key']}").get(path)
            assert (refused.status_code, refused.json()["code"]) == (403, "role_too_low")
        assert httpx.get(f"{up.url}{path}").status_code == 401
        stranger = up.client().post("/api/v1/projects", json={"name": "elsewhere"}).json()["key"]
        refused = up.client(authorization=f"Bearer {stranger}").get(path)
        assert refused.json()["code"] == "content_not_kept"
        with eventually() as waits:
            # The log is written aside.
            while f"content of a call read call={whole} key=" not in up.log.read_text() and waits():
                pass
        assert "a fine answer" not in up.log.read_text()


def test_a_killed_server_loses_contents_at_most(skep_on: Command, tmp_path: Path, database_url: str) -> None:
    with served(skep_on, tmp_path, "all") as (up, _):
        calls = []
        for _ in range(10):
            client = up.client()
            body = {"model": "fine", "messages": [], "max_tokens": 50}
            answers = [client.post("/v1/chat/completions", json=body) for _ in range(5)]
            calls += [answer.headers["x-skep-call-id"] for answer in answers]
        (http,) = up.children("http")
        http.kill()
        # The one that takes its place settles what it left.
        in_ledger(database_url, *calls)
        with psycopg.connect(database_url, autocommit=True) as connection:
            assert connection.execute("select count(*) from call where cost_nusd is null").fetchone() == (0,)
    assert rows(database_url) <= set(calls)
