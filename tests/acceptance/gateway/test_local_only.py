"""Calls that must stay in the house: said by the call, the key or the project; made by a local route, or refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from skep.server.supervisor import KEY_FILE
from tests.acceptance.gateway.test_exact_budget import server
from tests.command import Command
from tests.postgres import ScratchServer
from tests.scripted import Scripted, scripted
from tests.serving import eventually

SETTINGS = """\
providers:
  house: {{kind: openai_compatible, base_url: "{url}"}}
  away: {{kind: openai_compatible, base_url: "{url}", local: false}}
models:
  both: {{routes: [{{provider: away, model: m}}, {{provider: house, model: m}}]}}
  house: {{routes: [{{provider: house, model: m}}]}}
  away: {{routes: [{{provider: away, model: m}}], price: {{input_usd_per_mtok: 1, output_usd_per_mtok: 1}}}}
  dear: {{routes: [{{provider: house, model: m}}], price: {{input_usd_per_mtok: 1, output_usd_per_mtok: 1}}}}
"""
LOCAL_ONLY = {"x-skep-privacy": "local_only"}


@dataclass
class Server:
    url: str
    key: str
    provider: Scripted
    skep: Command

    def ask(self, model: str, key: str = "", **headers: str) -> httpx.Response:
        body = {"model": model, "max_tokens": 5, "messages": [{"role": "user", "content": "?"}]}
        sent = {"authorization": f"Bearer {key or self.key}", **headers}
        return httpx.post(f"{self.url}/v1/chat/completions", json=body, headers=sent, timeout=30)

    def administer(self, path: str, key: str = "", **body: object) -> dict[str, str]:
        admin = key or (self.skep.data / KEY_FILE).read_text().strip()
        headers = {"authorization": f"Bearer {admin}"}
        answer = httpx.post(f"{self.url}/api/v1/{path}", json=body, headers=headers, timeout=30)
        assert answer.status_code == 201, answer.text
        found: dict[str, str] = answer.json()
        return found


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, scratch_server: ScratchServer) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("local")
    with (
        scripted(folder / "provider", "otherwise: {text: Hi}\n", "--no-fsync") as provider,
        scratch_server.database() as url,
    ):
        skep = Command(folder / "data", folder, url)
        (folder / "skep.yaml").write_text(SETTINGS.format(url=provider.url))
        key = skep("key", "create", "--name", "ci", "--json").answer["key"]
        with server(skep, folder / "skep.yaml", workers=1) as address:
            yield Server(address, key, provider, skep)


def is_refused(answer: httpx.Response, model: str, whose: str) -> bool:
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (403, "local_only", "model"), answer.text
    assert "local: true" in error["fix"]
    found: bool = error["message"] == f"No route of {model} is local, and {whose} must stay with local providers."
    return found


def test_a_call_says_so_itself(served: Server) -> None:
    assert served.ask("both").headers["x-skep-provider"] == "away"
    assert served.ask("both", **LOCAL_ONLY).headers["x-skep-provider"] == "house"
    assert served.ask("house", **LOCAL_ONLY).status_code == 200
    before = len(served.provider.truth())
    assert is_refused(served.ask("away", **LOCAL_ONLY), "away", "this call (x-skep-privacy)")
    assert len(served.provider.truth()) == before


def test_what_it_may_say_is_checked(served: Server) -> None:
    answer = served.ask("both", **{"x-skep-privacy": "localonly"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "request_invalid")


def test_a_key_says_so_for_all_its_calls(served: Server) -> None:
    made = served.skep("key", "create", "--name", "private", "--local-only", "--json").answer
    assert made["local_only"] is True
    assert served.ask("both", made["key"]).headers["x-skep-provider"] == "house"
    assert is_refused(served.ask("away", made["key"]), "away", "the key private")
    assert "with local providers only" in served.skep("key", "show", "private").out
    over_http = served.administer("keys", name=uuid4().hex, local_only=True)
    assert served.ask("away", over_http["key"]).status_code == 403


def test_a_project_says_so_for_all_its_keys(served: Server) -> None:
    admin = served.administer("projects", name=f"p-{uuid4().hex[:8]}", local_only=True)["key"]
    key = served.administer("keys", admin, name="member")["key"]
    assert served.ask("both", key).headers["x-skep-provider"] == "house"
    assert is_refused(served.ask("away", key), "away", "the key member")
    assert "local providers only" in served.skep("project", "list").out


def test_a_project_that_changes_its_mind_is_heard(served: Server) -> None:
    name = f"p-{uuid4().hex[:8]}"
    admin = served.administer("projects", name=name)["key"]
    key = served.administer("keys", admin, name="member")["key"]
    assert served.ask("away", key).status_code == 200
    assert "local providers only" in served.skep("project", "set", name, "--local-only").out
    with eventually() as waits:
        while served.ask("away", key).status_code != 403:
            waits()
    headers = {"authorization": f"Bearer {(served.skep.data / KEY_FILE).read_text().strip()}"}
    address = f"{served.url}/api/v1/projects/{name}"
    assert httpx.patch(address, json={"local_only": False}, headers=headers).json()["local_only"] is False
    with eventually() as waits:
        while served.ask("away", key).status_code != 200:
            waits()
    # Its own administrators do not say what may leave the house.
    own = httpx.patch(address, json={"local_only": False}, headers={"authorization": f"Bearer {admin}"})
    assert (own.status_code, own.json()["code"]) == (403, "projects_foreign")
    assert httpx.patch(f"{address}x", json={"local_only": True}, headers=headers).status_code == 404


def test_a_cheaper_model_in_its_stead_stays_too(served: Server) -> None:
    key = served.administer("keys", name=uuid4().hex, local_only=True)
    body = {"usd": "0", "subject": "key", "value": key["id"], "period": "day"}
    served.administer("budgets", name=f"b-{uuid4().hex[:8]}", **body, fallback_model="away")
    # The cheaper model is not in the house: the call is refused by its budget.
    assert served.ask("dear", key["key"]).status_code == 402


def test_answers_of_others_are_not_asked_for_again_elsewhere(served: Server) -> None:
    answer = httpx.post(
        f"{served.url}/v1/embeddings",
        json={"model": "both", "input": "x"},
        headers={"authorization": f"Bearer {served.key}", **LOCAL_ONLY},
        timeout=30,
    )
    assert (answer.status_code, answer.headers["x-skep-provider"]) == (200, "house")
