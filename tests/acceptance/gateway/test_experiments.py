"""Experiments through a server of two processes: who is in which arm, what it may and costs there, and how arms compare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import anthropic
import httpx
import openai
import pytest

from skep.gateway.experiments import assigned
from skep.gateway.models import Arm, Experiment
from skep.server.supervisor import KEY_FILE
from tests.acceptance.gateway.test_exact_budget import server
from tests.command import Command
from tests.postgres import ScratchServer
from tests.scripted import Scripted, scripted
from tests.serving import eventually

SCRIPT = """\
rules:
  - {when: {models: [up-failing]}, then: {status: 500}}
  - {when: {models: [up-small, claude]}, then: {text: Small., usage: {input_tokens: 100, output_tokens: 10}}}
otherwise: {text: Big., usage: {input_tokens: 100, output_tokens: 10}}
"""
SETTINGS = """\
providers:
  house: {{kind: openai_compatible, base_url: "{url}"}}
  away: {{kind: openai_compatible, base_url: "{url}", local: false}}
  claude: {{kind: anthropic, base_url: "{url}", api_key: k}}
models:
  smart:
    routes: [{{provider: house, model: up-big}}]
    price: {{input_usd_per_mtok: 2, output_usd_per_mtok: 10}}
    experiment: {{name: cheaper, sticky_by: user, arms: {{control: {{weight: 50}}, canary: {{weight: 50, model: small}}}}}}
  small: {{routes: [{{provider: away, model: up-small}}], cache_seconds: 300, price: {{input_usd_per_mtok: 1, output_usd_per_mtok: 5}}}}
  kept:
    routes: [{{provider: house, model: up-big}}]
    cache_seconds: 300
    experiment: {{name: a-a, sticky_by: header, arms: {{one: {{}}, two: {{}}}}}}
  always:
    routes: [{{provider: house, model: up-big}}]
    price: {{input_usd_per_mtok: 2, output_usd_per_mtok: 10}}
    experiment: {{name: all-of-it, arms: {{control: {{weight: 0}}, canary: {{model: small}}}}}}
  translated:
    routes: [{{provider: house, model: up-big}}]
    experiment: {{name: formats, arms: {{control: {{weight: 0}}, claude: {{model: claude}}}}}}
  claude: {{routes: [{{provider: claude, model: claude}}], price: {{input_usd_per_mtok: 1, output_usd_per_mtok: 5}}}}
  risky:
    retries: 0
    routes: [{{provider: house, model: up-big}}]
    price: {{input_usd_per_mtok: 2, output_usd_per_mtok: 10}}
    experiment: {{name: risk, sticky_by: none, arms: {{control: {{}}, failing: {{model: failing}}}}}}
  failing: {{retries: 0, routes: [{{provider: away, model: up-failing}}], price: {{input_usd_per_mtok: 1, output_usd_per_mtok: 5}}}}
"""
QUESTION: Any = [{"role": "user", "content": "How is the hive?"}]
CHEAPER = Experiment(
    name="cheaper",
    sticky_by="user",
    arms=(Arm(name="control", weight=50), Arm(name="canary", weight=50, model="small")),
)
BIG_NUSD, SMALL_NUSD = 100 * 2000 + 10 * 10_000, 100 * 1000 + 10 * 5000


def user_in(arm: str) -> str:
    """Somebody new who is in an arm of the experiment ``cheaper``."""
    names = (f"u-{uuid4().hex}" for _ in range(1000))
    return next(name for name in names if assigned(CHEAPER, name).name == arm)


@dataclass
class Server:
    url: str
    key: str
    provider: Scripted
    skep: Command

    def ask(self, model: str, *, key: str = "", path: str = "chat/completions", **more: Any) -> httpx.Response:
        """Over a connection of its own: each comes to any of the processes."""
        sent = {"authorization": f"Bearer {key or self.key}", **more.pop("headers", {})}
        body = {"model": model, "messages": QUESTION, "max_tokens": 10, **more}
        return httpx.post(f"{self.url}/v1/{path}", json=body, headers=sent, timeout=30)

    def administer(self, path: str, **body: object) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {(self.skep.data / KEY_FILE).read_text().strip()}"}
        answer = httpx.post(f"{self.url}/api/v1/{path}", json=body, headers=headers, timeout=30)
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def key_for(self, **wish: object) -> str:
        return str(self.administer("keys", name=uuid4().hex, **wish)["key"])

    def compared(self, name: str, calls: int) -> dict[str, Any]:
        """As the command tells it, once so many calls are in the ledger."""
        with eventually() as waits:
            while True:
                found = self.skep("gateway", "experiment", name, "--since", "1h", "--json").answer
                if sum(arm["calls"] for arm in found["arms"]) >= calls:
                    return found
                waits()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, scratch_server: ScratchServer) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("experiments")
    with scripted(folder / "provider", SCRIPT, "--no-fsync") as provider, scratch_server.database() as url:
        skep = Command(folder / "data", folder, url)
        (folder / "skep.yaml").write_text(SETTINGS.format(url=provider.url))
        key = skep("key", "create", "--name", "ci", "--json").answer["key"]
        with server(skep, folder / "skep.yaml", workers=2) as address:
            yield Server(address, key, provider, skep)


def test_a_user_stays_in_one_arm_in_every_process(served: Server) -> None:
    users = [f"user-{number}" for number in range(30)]
    for user in users:
        arm = assigned(CHEAPER, user).name
        for _ in range(3):
            answer = served.ask("smart", user=user)
            assert answer.headers["x-skep-experiment"] == f"cheaper={arm}"
            assert answer.headers["x-skep-model"] == ("small" if arm == "canary" else "smart")
            assert answer.json()["choices"][0]["message"]["content"] == ("Small." if arm == "canary" else "Big.")
    assert len({assigned(CHEAPER, user).name for user in users}) == 2
    assert "x-skep-experiment" not in served.ask("small").headers


@pytest.mark.parametrize("stream", [False, True])
def test_clients_of_both_formats_see_nothing_of_it(served: Server, stream: bool) -> None:
    client = openai.OpenAI(base_url=f"{served.url}/v1", api_key=served.key, max_retries=0)
    if stream:
        chunks = list(client.chat.completions.create(model="translated", messages=QUESTION, stream=True))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "Small."
    else:
        raw = client.chat.completions.with_raw_response.create(model="translated", messages=QUESTION)
        assert raw.headers["x-skep-experiment"] == "formats=claude"
        assert raw.parse().choices[0].message.content == "Small."
    claude = anthropic.Anthropic(base_url=served.url, api_key=served.key, max_retries=0)
    with claude.messages.stream(model="always", messages=QUESTION, max_tokens=10) as events:
        assert events.get_final_text() == "Small."


def test_what_an_arm_cannot_be_told_is_answered_outside_of_the_experiment(served: Server) -> None:
    # Anthropic's format has no word for this, nor its API this address.
    for answer in (
        served.ask("translated", logit_bias={"1": 1}),
        served.ask("translated", path="completions", prompt="x", messages=None),
    ):
        assert (answer.status_code, answer.headers["x-skep-model"]) == (200, "translated"), answer.text
        assert "x-skep-experiment" not in answer.headers


def test_embeddings_take_no_part(served: Server) -> None:
    answer = httpx.post(
        f"{served.url}/v1/embeddings",
        json={"model": "always", "input": "x"},
        headers={"authorization": f"Bearer {served.key}"},
        timeout=30,
    )
    assert (answer.status_code, answer.headers["x-skep-model"]) == (200, "always")


def test_who_may_not_be_in_every_arm_takes_no_part(served: Server) -> None:
    asked = len(served.provider.truth())
    for wish in ({"models": ["always", "smart"]}, {"local_only": True}):
        key = served.key_for(**wish)
        for model in ("always", "smart"):
            answer = served.ask(model, key=key, user=user_in("canary"))
            assert (answer.status_code, answer.headers["x-skep-model"]) == (200, model)
            assert "x-skep-experiment" not in answer.headers
    truth = [entry["model"] for entry in served.provider.truth()[asked:]]
    assert truth == ["up-big"] * 4
    assert served.ask("always", key=served.key_for(models=["always", "small"])).headers["x-skep-model"] == "small"


def test_a_budget_on_the_arms_model_counts_and_its_fallback_stays_in_the_arm(served: Server) -> None:
    key = served.administer("keys", name=uuid4().hex, models=["smart", "small"])
    rule = {"usd": "0", "subject": "model", "value": "small", "period": "day"}
    name = f"b-{uuid4().hex[:8]}"
    served.administer("budgets", name=name, **rule)
    refused = served.ask("smart", key=key["key"], user=user_in("canary"))
    assert (refused.status_code, refused.json()["error"]["code"]) == (402, "budget_exceeded")
    assert served.ask("smart", key=key["key"], user=user_in("control")).status_code == 200
    served.skep("budget", "set", name, "--fallback-model", "smart")
    answer = served.ask("smart", key=key["key"], user=user_in("canary"))
    assert (answer.status_code, answer.headers["x-skep-model"]) == (200, "smart")
    # What happens to those who were put into an arm is what the arm does.
    assert answer.headers["x-skep-experiment"] == "cheaper=canary"
    served.skep("budget", "delete", name)


def test_arms_do_not_share_answers(served: Server) -> None:
    def ask(subject: str) -> httpx.Response:
        return served.ask("kept", user=words, headers={"x-skep-subject": subject})

    words = uuid4().hex
    subjects = [uuid4().hex for _ in range(16)]
    arms = {subject: ask(subject).headers["x-skep-experiment"] for subject in subjects}
    assert set(arms.values()) == {"a-a=one", "a-a=two"}
    # Once for each arm and process, and never again.
    kinds = Counter((ask(subject).headers["x-skep-cache"], arms[subject]) for subject in subjects * 3)
    before = len(served.provider.truth())
    with eventually() as waits:
        while not all(ask(subject).headers["x-skep-cache"] == "hit" for subject in subjects):
            waits()
    assert kinds[("hit", "a-a=one")] > 0
    assert kinds[("hit", "a-a=two")] > 0
    assert len(served.provider.truth()) - before <= 4
    assert ask(subjects[0]).headers["x-skep-experiment"] == arms[subjects[0]]


def test_a_call_in_an_arm_is_explained(served: Server) -> None:
    call = served.ask("smart", user=user_in("canary")).headers["x-skep-call-id"]
    with eventually() as waits:
        while (told := served.skep("gateway", "explain", call, "--json", code=None)).code:
            waits()
    found = told.answer
    assert (found["asked_model"], found["model"], found["tags"]) == ("smart", "small", ["experiment:cheaper=canary"])
    assert found["steps"][0] | {"ms": None} == found["steps"][0]
    assert (found["steps"][0]["what"], found["steps"][0]["outcome"]) == ("smart", "experiment")


def test_arms_compare_by_what_their_calls_did(served: Server) -> None:
    answers = [served.ask("risky") for _ in range(160)]
    arms = Counter(answer.headers["x-skep-experiment"].partition("=")[2] for answer in answers)
    assert {answer.status_code for answer in answers if answer.headers["x-skep-experiment"] == "risk=control"} == {200}
    found = served.compared("risk", 160)
    control, failing = found["arms"]
    assert (control["arm"], control["calls"], control["failed"]) == ("control", arms["control"], 0)
    assert (failing["arm"], failing["calls"], failing["failed"]) == ("failing", arms["failing"], arms["failing"])
    assert control["mean_cost_nusd"] == {"value": BIG_NUSD, "low": BIG_NUSD, "high": BIG_NUSD}
    assert failing["mean_cost_nusd"]["value"] == 0
    assert (control["failure_rate"]["low"], failing["failure_rate"]["high"]) == (0, 1)
    assert 0 < control["duration"]["p50_ms"] <= control["duration"]["p95_ms"]
    assert control["output_tokens"] == 10 * arms["control"]
    assert found["differences"][0]["words"] == "fails more often, costs less"
    shown = served.skep("gateway", "experiment", "risk").out
    assert f"control: {arms['control']} calls by 1 keys" in shown
    assert "failing and control: fails more often, costs less" in shown
    tags = served.skep("cost", "report", "--by", "tag", "--format", "json").answer["lines"]
    assert {line["value"]: line["calls"] for line in tags}["experiment:risk=control"] == arms["control"]


def test_a_few_calls_say_nothing_and_an_unknown_name_is_told(served: Server) -> None:
    served.ask("translated")
    found = served.compared("formats", 1)
    assert found["differences"][0]["words"].startswith("too few calls to say anything: ")
    refused = served.skep("gateway", "experiment", "nonesuch", code=None)
    assert refused.code != 0
    assert "There is no experiment named nonesuch" in refused.err
    path = f"{served.url}/api/v1/gateway/experiments/risk"
    assert httpx.get(path, headers={"authorization": f"Bearer {served.key}"}, timeout=30).status_code == 200
    assert (
        httpx.get(f"{path}?since=soon", headers={"authorization": f"Bearer {served.key}"}, timeout=30).status_code
        == 422
    )
