"""What budgets and limits do to calls, as people set them up: `skep up`, `skep fake-provider` behind it, and the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.command import Command
from tests.hooks import SECRET, receiver
from tests.postgres import ScratchServer
from tests.scripted import Scripted, scripted
from tests.serving import ONLY_JOBS, Up, eventually, starting

SCRIPT = "otherwise: {text: Hello., usage: {input_tokens: 100, output_tokens: 10}}"
SETTINGS = """\
providers:
  fake: {{kind: openai_compatible, base_url: "{url}"}}
log: {{format: json}}
models:
  smart: {{routes: [{{provider: fake, model: up-smart}}], price: {{input_usd_per_mtok: 10, output_usd_per_mtok: 20}}}}
  fast: {{routes: [{{provider: fake, model: up-fast}}], price: {{input_usd_per_mtok: 1, output_usd_per_mtok: 2}}}}
  tiered:
    routes: [{{provider: fake, model: up-smart}}]
    price: {{input_usd_per_mtok: 10, output_usd_per_mtok: 20}}
    service_tiers: {{flex: 0.5}}
    search_usd: 0.01
  mystery: {{routes: [{{provider: fake, model: up-mystery}}]}}
"""
SMART_NUSD, FAST_NUSD = 1_200_000, 120_000
"""What a call costs."""


def json_lines(up: Up) -> list[dict[str, Any]]:
    """The log; what the command itself says before is no JSON."""
    return [json.loads(line) for line in up.log.read_text().splitlines() if line.startswith("{") and line.endswith("}")]


@dataclass(frozen=True)
class Ruled:
    """A server whose rules tests make, each for a tag, a user or a key of its own."""

    skep: Command
    up: Up
    provider: Scripted

    def ask(self, model: str = "smart", *, key: str | None = None, **more: Any) -> httpx.Response:
        said = {f"x-skep-{name}": more.pop(name) for name in ("tags", "session") if name in more}
        body = {"model": model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 10, **more}
        headers = {"authorization": f"Bearer {key or self.up.key}", **said}
        return httpx.post(f"{self.up.url}/v1/chat/completions", json=body, headers=headers, timeout=30)

    def explain(self, answer: httpx.Response) -> dict[str, Any]:
        """The call, once it is in the ledger."""
        call_id = answer.headers["x-skep-call-id"]
        with eventually() as waits:
            while (done := self.skep("gateway", "explain", call_id, "--json", code=None)).code and waits():
                pass
        return done.answer

    def explained(self, answer: httpx.Response) -> str:
        """The same for people."""
        self.explain(answer)
        return self.skep("gateway", "explain", answer.headers["x-skep-call-id"]).out

    def rule(self, name: str, kind: str = "budget") -> dict[str, Any]:
        rules: Sequence[dict[str, Any]] = self.skep(kind, "list", "--json").answer[f"{kind}s"]
        return next(rule for rule in rules if rule["name"] == name)

    def line(self, name: str, kind: str = "budget") -> str:
        return next(line for line in self.skep(kind, "list").out.splitlines() if line.startswith(f"{name}:"))

    def counted(self, kind: str, mode: str) -> int:
        page = httpx.get(f"{self.up.url}/metrics", headers={"authorization": f"Bearer {self.up.key}"}).text
        found = re.search(rf'^skep_calls_without_room_total{{kind="{kind}",mode="{mode}"}} (\S+)$', page, re.MULTILINE)
        return int(float(found[1])) if found else 0

    def logged(self, answer: httpx.Response) -> dict[str, Any]:
        """The line of a request."""
        trace_id = answer.headers["x-trace-id"]
        with eventually() as waits:
            while waits():
                for line in json_lines(self.up):
                    if line["event"] == "request" and line.get("trace") == trace_id:
                        return line
        raise AssertionError


@pytest.fixture(scope="module")
def ruled(tmp_path_factory: pytest.TempPathFactory, scratch_server: ScratchServer) -> Iterator[Ruled]:
    home = tmp_path_factory.mktemp("ruled")
    with scripted(home / "provider", SCRIPT) as provider, scratch_server.database() as url:
        (home / "skep.yaml").write_text(SETTINGS.format(url=provider.url))
        with starting(home / "data", SKEP_DATABASE_URL=url, **ONLY_JOBS) as run:
            yield Ruled(Command(home / "data", home, url), run(), provider)


@pytest.mark.parametrize(
    ("kind", "bound", "metric", "taken", "amount"),
    [
        ("budget", ("--usd", "0.002"), "cost", SMART_NUSD, 2_000_000),
        ("limit", ("--requests", "1"), "requests", 1, 1),
        ("limit", ("--tokens", "150"), "tokens", 110, 150),
    ],
)
@pytest.mark.parametrize("mode", ["soft", "shadow"])
def test_soft_and_shadow_rules_let_pass_and_say_so(
    ruled: Ruled, mode: str, kind: str, bound: tuple[str, str], metric: str, taken: int, amount: int
) -> None:
    name = f"{mode}-{metric}"
    ruled.skep(kind, "create", name, *bound, "--per", "total", "--of", "tag", "--value", name, "--mode", mode)
    before = ruled.counted(metric, mode)
    fits, passes = ruled.ask(tags=name), ruled.ask(tags=name)
    streamed = ruled.ask(tags=name, stream=True)
    assert [each.status_code for each in (fits, passes, streamed)] == [200, 200, 200]
    # A client is told of a soft rule only.
    told = [each.headers.get("x-skep-exceeded") for each in (fits, passes, streamed)]
    assert told == ([None, name, name] if mode == "soft" else [None, None, None])
    assert "exceeded" not in ruled.logged(fits)
    assert ruled.logged(passes)["exceeded"] == f"{name} ({mode})"
    assert ruled.counted(metric, mode) == before + 2
    (charge,) = ruled.explain(fits)["rules"]
    assert (charge["rule"]["name"], charge["exceeded"]) == (name, None)
    (charge,) = ruled.explain(passes)["rules"]
    assert charge["exceeded"] == {"taken": taken, "amount": amount}
    assert "; no room for it, a hard rule would have refused it: " in ruled.explained(passes)
    ruled.explain(streamed)
    (window,) = ruled.rule(name, kind)["windows"]
    assert (window["exceeded"], window["used"]) == (2, 3 * {"requests": 1, "tokens": 110, "cost": SMART_NUSD}[metric])
    words = "2 calls would have been refused" if mode == "shadow" else "2 calls let pass without room"
    assert ruled.line(name, kind).endswith(f", {words}")
    # The same rule, made hard, refuses.
    ruled.skep(kind, "set", name, "--mode", "hard")
    assert ruled.ask(tags=name).status_code == (402 if kind == "budget" else 429)


def test_calls_at_once_of_a_soft_limit(ruled: Ruled) -> None:
    ruled.skep("limit", "create", "none", "--concurrent", "0", "--of", "tag", "--value", "none", "--mode", "soft")
    answer = ruled.ask(tags="none")
    assert answer.headers["x-skep-exceeded"] == "none"
    assert "none (tag none, soft): 1 at once while it lasted; no room for it" in ruled.explained(answer)


def test_a_cheaper_model_answers_instead_of_a_refusal(ruled: Ruled) -> None:
    ruled.skep(
        *("budget", "create", "thrift", "--usd", "0.002", "--per", "day", "--of", "tag", "--value", "thrift"),
        *("--fallback-model", "fast"),
    )
    before = ruled.counted("cost", "hard")
    first, second = ruled.ask(tags="thrift"), ruled.ask(tags="thrift")
    assert [each.headers["x-skep-model"] for each in (first, second)] == ["smart", "fast"]
    assert ruled.provider.truth()[-1]["model"] == "up-fast"
    assert second.headers["x-skep-cost-usd"] == "0.00012"
    assert ruled.counted("cost", "hard") == before + 1
    streamed = ruled.ask(tags="thrift", stream=True)
    assert streamed.headers["x-skep-model"] == "fast"
    assert streamed.text.rstrip().endswith("data: [DONE]")
    call = ruled.explain(second)
    assert (call["asked_model"], call["model"], call["model_used"]) == ("smart", "fast", "up-fast")
    assert call["cost"]["cost_nusd"] == FAST_NUSD
    assert [(step["what"], step["outcome"]) for step in call["steps"]] == [
        ("smart", "budget_exceeded"),
        ("fake/up-fast", "ok"),
    ]
    assert (
        "The budget thrift (of the tag thrift) has no room for this call: 0.002 USD per day"
        in call["steps"][0]["reason"]
    )
    assert "asked: smart, answered by fast in its stead by chat.completions" in ruled.explained(second)
    assert ruled.explain(first)["asked_model"] == "smart"
    (window,) = ruled.rule("thrift")["windows"]
    assert window["used"] <= 2_000_000


@pytest.mark.parametrize(
    ("fallback", "models", "reason"),
    [
        ("fast", "smart", "not by fast either"),
        ("nobody", "*", "nobody is not served"),
        ("smart", "*", "not by smart either"),
    ],
)
def test_a_cheaper_model_that_may_not_answer_leaves_the_refusal(
    ruled: Ruled, fallback: str, models: str, reason: str
) -> None:
    name = f"no-{fallback}"
    made = ruled.skep("key", "create", "--name", name, "--models", models, "--json").answer
    rule = ("--usd", "0", "--per", "day", "--of", "key", "--value", name, "--fallback-model", fallback)
    ruled.skep("budget", "create", name, *rule)
    answer = ruled.ask(key=made["key"])
    assert (answer.status_code, answer.json()["error"]["code"]) == (402, "budget_exceeded")
    assert ruled.logged(answer)["no_fallback"] == reason


def test_a_cheaper_model_that_is_refused_too_names_its_own_rule(ruled: Ruled) -> None:
    wish = ("--usd", "0.0005", "--per", "hour", "--of", "tag", "--value", "both")
    ruled.skep("budget", "create", "both", *wish, "--fallback-model", "fast")
    assert ruled.ask(tags="both").headers["x-skep-model"] == "fast"
    ruled.skep("budget", "create", "neither", "--usd", "0", "--per", "hour", "--of", "tag", "--value", "neither")
    refused = ruled.ask(tags="both,neither")
    assert refused.status_code == 402
    assert "The budget neither (of the tag neither)" in refused.json()["error"]["message"]


SUBJECTS: dict[str, dict[str, Any]] = {
    "key": {},
    "user": {"user": "dora"},
    "session": {"session": "s-dora"},
    "tier": {},
    "model": {"model": "fast"},
    "tag": {"tags": "t-dora"},
    "project": {},
}


@pytest.mark.parametrize("subject", SUBJECTS)
@pytest.mark.parametrize("kind", ["budget", "limit"])
def test_a_refusal_says_which_rule_its_numbers_when_it_resets_and_what_to_do(
    ruled: Ruled, subject: str, kind: str
) -> None:
    project = ruled.skep("project", "create", f"{kind}-{subject}", "--json").answer["key"]
    skep = Command(ruled.skep.data, ruled.skep.folder, ruled.skep.url, more={"SKEP_KEY": project})
    key = skep("key", "create", "--name", "dora", "--tier", "gold", "--json").answer["key"]
    values = {"key": "dora", "user": "dora", "session": "s-dora", "tier": "gold", "model": "fast", "tag": "t-dora"}
    whom = ("--of", subject, *(("--value", values[subject]) if subject != "project" else ()))
    bound = ("--usd", "0.00001") if kind == "budget" else ("--requests", "0")
    skep(kind, "create", "tight", *bound, "--per", "day", *whom)
    asked = {"model": "smart", **SUBJECTS[subject]}
    refused = ruled.ask(key=key, **asked)
    error = refused.json()["error"]
    if kind == "budget":
        assert (refused.status_code, error["code"], error["type"]) == (402, "budget_exceeded", "insufficient_quota")
        assert refused.headers["x-should-retry"] == "false"
        assert "retry-after" not in refused.headers, "it never fits"
        assert (
            "0.00001 USD per day are allowed, 0.00 USD used, 0.00 USD reserved by calls under way" in error["message"]
        )
        assert "skep budget set tight --usd AMOUNT" in error["fix"]
    else:
        assert (refused.status_code, error["code"], error["type"]) == (429, "limit_exceeded", "rate_limit_error")
        assert "x-should-retry" not in refused.headers
        assert "0 calls per day are allowed, 0 calls used, 0 calls reserved by calls under way" in error["message"]
        assert "limit tight" in error["fix"]
    assert f"The {kind} tight (of the {subject}" in error["message"]
    assert re.search(r"; it resets at 20\d\d-\d\d-\d\d 00:00:00 UTC\.$", error["message"]), error
    # Whom the rule does not count, it does not stop.
    others = {"project": {"key": ruled.up.key}, "model": {"key": key, "model": "smart"}}.get(subject, {})
    if subject in ("key", "tier"):
        others = {"key": skep("key", "create", "--name", "else", "--json").answer["key"]}
    assert ruled.ask(**{"key": key, "model": "smart", **others}).status_code == 200


@pytest.mark.parametrize(
    ("period", "resets"),
    [
        ("hour", r"it resets at .* \d\d:00:00 UTC"),
        ("day", r"it resets at .* 00:00:00 UTC"),
        ("week", r"it resets at .* 00:00:00 UTC"),
        ("month", r"it resets at \d{4}-\d\d-01 00:00:00 UTC"),
        ("total", "it never resets"),
    ],
)
def test_periods(ruled: Ruled, period: str, resets: str) -> None:
    tag = f"p-{period}"
    ruled.skep("budget", "create", f"b-{tag}", "--usd", "0.0015", "--per", period, "--of", "tag", "--value", tag)
    ruled.skep("limit", "create", f"l-{tag}", "--requests", "1", "--per", period, "--of", "tag", "--value", f"l{tag}")
    assert [ruled.ask(tags=tag).status_code for _ in range(2)] == [200, 402]
    refused = ruled.ask(tags=tag).json()["error"]["message"]
    assert re.search(resets, refused), refused
    if period == "week":
        at = datetime.fromisoformat(re.findall(r"at (\S+ \S+) UTC", refused)[0])
        assert at.weekday() == 0
    assert ruled.ask(tags=f"l{tag}").status_code == 200
    limited = ruled.ask(tags=f"l{tag}")
    assert (limited.status_code, re.search(resets, limited.json()["error"]["message"]) is not None) == (429, True)
    # A client that heeds it comes back when there is room; where there never is, it is told no time.
    longest = {"hour": 3600, "day": 86_400, "week": 604_800, "month": 2_678_400}.get(period)
    waits = limited.headers.get("retry-after")
    assert (waits is None) == (longest is None)
    assert longest is None or (waits is not None and 1 <= int(waits) <= longest)


def test_a_call_without_a_price(ruled: Ruled) -> None:
    free = ruled.ask("mystery", tags="unpriced")
    assert free.status_code == 200
    assert "x-skep-cost-usd" not in free.headers
    assert ruled.explain(free)["cost"]["cost_nusd"] is None
    wish = ("--usd", "1", "--per", "day", "--of", "tag", "--value", "unpriced")
    ruled.skep("budget", "create", "priced", *wish)
    refused = ruled.ask("mystery", tags="unpriced")
    error = refused.json()["error"]
    assert (refused.status_code, refused.headers["x-should-retry"], error["code"]) == (402, "false", "unpriced")
    assert "mystery has no known price, and the budget priced (of the tag unpriced) counts money" in error["message"]
    assert "models.mystery.price" in error["fix"]
    assert "skep budget set priced --allow-unpriced" in error["fix"]
    ruled.skep("budget", "set", "priced", "--fallback-model", "fast")
    instead = ruled.ask("mystery", tags="unpriced")
    assert instead.headers["x-skep-model"] == "fast"
    assert ruled.explain(instead)["steps"][0]["outcome"] == "unpriced"
    ruled.skep("budget", "set", "priced", "--allow-unpriced")
    passed = ruled.ask("mystery", tags="unpriced")
    assert (passed.status_code, passed.headers["x-skep-model"]) == (200, "mystery")
    assert ruled.explain(passed)["cost"]["cost_nusd"] is None
    (line,) = [
        line
        for line in ruled.skep("cost", "report", "--by", "tag", "--format", "json").answer["lines"]
        if line["value"] == "unpriced"
    ]
    assert (line["calls"], line["unpriced"], line["cost_nusd"]) == (3, 2, FAST_NUSD)


def test_a_call_that_asks_for_more_than_the_price_says(ruled: Ruled) -> None:
    flex = ruled.ask("tiered", tags="terms", service_tier="flex")
    assert flex.headers["x-skep-cost-usd"] == "0.0006"
    assert re.search(r"cost: 0\.0006 USD, price [0-9a-f]{12} \(service_tier flex\)", ruled.explained(flex))
    assert ruled.explain(flex)["cost"]["price"]["terms"] == "service_tier flex"
    searched = ruled.ask("tiered", tags="terms", web_search_options={}, stream=True)
    assert ": x-skep-cost-usd 0.0112\n" in searched.text
    assert "0.01 USD for the call itself" in ruled.explained(searched)
    # What nobody knows the price of has no cost, and no budget takes it.
    dear = ruled.ask("tiered", tags="terms", service_tier="priority")
    assert dear.status_code == 200
    assert "x-skep-cost-usd" not in dear.headers
    assert ruled.explain(dear)["cost"]["cost_nusd"] is None
    ruled.skep("budget", "create", "terms", "--usd", "1", "--per", "day", "--of", "tag", "--value", "terms")
    unknown: dict[str, Any] = {"service_tier": "priority", "plugins": [{"id": "web"}], "provider": {"sort": "price"}}
    for field, value in unknown.items():
        refused = ruled.ask("tiered", tags="terms", **{field: value})
        error = refused.json()["error"]
        assert (refused.status_code, error["code"], error["param"]) == (402, "dear_field", field)
        assert error["fix"].startswith(f"Leave {field} out")
        assert ("models.tiered.service_tiers" in error["fix"]) == (field == "service_tier")
    assert ruled.ask("tiered", tags="terms", service_tier="flex").status_code == 200


def test_an_alert_outlives_the_process_that_noticed(tmp_path: Path, database_url: str) -> None:
    with ExitStack() as stack:
        provider = stack.enter_context(scripted(tmp_path / "provider", SCRIPT))
        taker = stack.enter_context(receiver(lambda number: 500 if number == 1 else 200))
        alerts = f"spend: {{alert_webhook_url: '{taker.url}', alert_webhook_secret: '${{HOOK_SECRET}}'}}\n"
        (tmp_path / "skep.yaml").write_text(SETTINGS.format(url=provider.url) + alerts)
        run = stack.enter_context(
            starting(tmp_path / "data", SKEP_DATABASE_URL=database_url, HOOK_SECRET=SECRET, **ONLY_JOBS)
        )
        skep = Command(tmp_path / "data", tmp_path, database_url, more={"HOOK_SECRET": SECRET})
        assert SECRET not in skep("config", "check").out + skep("config", "show").out
        up = run("--workers", "2")
        here = Ruled(skep, up, provider)
        skep("budget", "create", "team", "--usd", "0.0024", "--per", "month")
        assert here.ask().status_code == 200
        assert taker.taken == []
        assert here.ask("smart").status_code == 200
        with eventually() as waits:
            while len(taker.taken) < 3 and waits():
                pass
        # One of them was not taken, and all who could try again are killed.
        for process in up.children("http"):
            process.kill()
        with eventually(40) as waits:
            while len(taker.taken) < 4 and waits():
                pass
        assert taker.taken[3].webhook_id == taker.taken[0].webhook_id
        assert sorted(set(taker.percents())) == [80, 90, 95]
        assert len({each.webhook_id for each in taker.taken}) == 3
        assert all(each.is_genuine for each in taker.taken)
        assert {each.told["type"] for each in taker.taken} == {"budget.threshold_passed"}
        told = [line for line in json_lines(up) if line["event"] == "budget or limit nearly used up"]
        assert [(line["rule"], line["percent"], line["used"]) for line in told] == [
            ("team", percent, 2 * SMART_NUSD) for percent in (80, 90, 95)
        ]
        assert {line["alert"] for line in told} == {each.webhook_id for each in taker.taken}
        page = up.client().get("/metrics").text
        for percent in (80, 90, 95):
            assert f'skep_alerts_total{{kind="cost",percent="{percent}"}} 1' in page
        with eventually() as waits:
            while (
                'skep_alert_webhooks_total{outcome="delivered"} 3' not in up.client().get("/metrics").text and waits()
            ):
                pass
