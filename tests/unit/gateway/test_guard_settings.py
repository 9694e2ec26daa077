"""The section guards: what it means, and that every mistake is named with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from skep.gateway.caching import seed_of
from skep.gateway.models import Guard, Moderation
from skep.settings import InvalidSettingsError
from tests.unit.gateway.test_configuring import read

PROVIDERS = "providers: {p: {base_url: http://127.0.0.1:1/v1}, a: {kind: anthropic, api_key: x}}\n"
ROUTES = "routes: [{provider: p, model: m}]"
GOOD = (
    PROVIDERS
    + f"""
guards:
  pii: {{kinds: [email, card], on: [request], action: redact}}
  words: {{deny: ["Project Hive"], action: block, everywhere: true}}
  judge: {{moderation: {{provider: p, model: mod, on_failure: open, timeout_seconds: 2}}, action: block}}
  watch: {{kinds: [injection, phone], action: observe, countries: [DE], injection_score: 0.5}}
models:
  a: {{guards: [pii, watch], {ROUTES}}}
  b: {{{ROUTES}}}
  c: {{guards: [judge], {ROUTES}}}
"""
)


def test_what_the_section_means(tmp_path: Path) -> None:
    config = read(tmp_path, GOOD)
    words = Guard(name="words", deny=("Project Hive",), action="block")
    assert config.models["b"].guards == (words,)
    assert config.models["a"].guards == (
        Guard(name="pii", kinds=("email", "card"), on=("request",), action="redact"),
        words,
        Guard(name="watch", kinds=("injection", "phone"), action="observe", countries=("DE",), injection_score=0.5),
    )


def test_a_moderation(tmp_path: Path) -> None:
    config = read(tmp_path, GOOD)
    _, judge = config.models["c"].guards
    assert judge.moderation == Moderation(
        provider=config.providers["p"], model="mod", passes_on_failure=True, timeout_seconds=2.0
    )


def test_other_guards_make_other_questions(tmp_path: Path) -> None:
    first = read(tmp_path, GOOD).models["b"]
    second = read(tmp_path, GOOD.replace("Hive", "Nest")).models["b"]
    assert seed_of(first) != seed_of(second)


@pytest.mark.parametrize(
    ("guards", "models", "field", "reason"),
    [
        ("g: {kinds: [mail], action: observe}", "", "guards.g.kinds.0", "expected email"),
        ("g: {kinds: [email]}", "", "guards.g.action", "is missing"),
        ("g: {kinds: [email], action: hide}", "", "guards.g.action", "observe, redact or block"),
        ("g: {action: block}", "", "guards.g", "looks for nothing"),
        ("g: {kinds: [injection], action: redact}", "", "guards.g.action", "as a whole"),
        ("g: {deny: [12], action: block}", "", "guards.g.deny.0", "put numbers in quotes"),
        ("g: {deny: word, action: block}", "", "guards.g.deny", "expected a list"),
        ("g: {kinds: [email], action: block, onn: [answer]}", "", "guards.g.onn", "no such setting"),
        ("g: {kinds: [email], action: block, everywhere: 1}", "", "guards.g.everywhere", "true or false"),
        ("g: {moderation: {model: m}, action: block}", "", "guards.g.moderation.provider", "is missing"),
        ("g: {moderation: {provider: p}, action: block}", "", "guards.g.moderation.model", "is missing"),
        (
            "g: {moderation: {provider: p, model: m, on_failure: no}, action: block}",
            "",
            "guards.g.moderation.on_failure",
            "open",
        ),
        ("g: {moderation: {provider: p, model: m}, action: redact}", "", "guards.g.action", "as a whole"),
        (
            "g: {moderation: {provider: p, model: m}, on: [answer], action: block}",
            "",
            "guards.g.moderation",
            "only requests",
        ),
        ("g: {moderation: {provider: a, model: m}, action: block}", "", "guards.g.moderation.provider", "OpenAI's API"),
        ("g: {kinds: [email], action: block}", "guards: [h], ", "models.a.guards.0", "expected g"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, guards: str, models: str, field: str, reason: str) -> None:
    with pytest.raises(InvalidSettingsError) as told:
        read(tmp_path, f"{PROVIDERS}guards:\n  {guards}\nmodels:\n  a: {{{models}{ROUTES}}}\n")
    assert [(problem.field, reason in problem.reason) for problem in told.value.problems] == [(field, True)]
