"""Reads the section ``guards`` of the settings, and which models have which. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast, get_args

from skep.gateway.guarding.detectors import COUNTRIES
from skep.gateway.models import Country, Guard, GuardAction, GuardKind, Moderation, Provider, Side
from skep.gateway.tables import Table

_KINDS: tuple[GuardKind, ...] = tuple(kind for kind in get_args(GuardKind) if kind not in ("denied", "moderation"))
_SIDES: tuple[Side, ...] = ("request", "answer")
_MOST_WORDS = 1_000
_LONGEST_WORD = 200


class GuardRules:
    """The guards of an installation, and who has them."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._guards: dict[str, Guard] = {}
        self._everywhere: list[str] = []

    def add(self, name: str, guard: Guard | None, *, everywhere: bool) -> None:
        """Another one; None: it is wrong, and that was told."""
        self._names.append(name)
        if guard is not None:
            self._guards[name] = guard
        if everywhere:
            self._everywhere.append(name)

    def of(self, model: Table) -> tuple[Guard, ...]:
        """Those of a model: the ones that it names, and those that are everywhere."""
        named = model.words("guards", self._names, default=())
        return tuple(
            self._guards[name]
            for name in self._names
            if name in self._guards and (name in named or name in self._everywhere)
        )


def read_guard(name: str, table: Table, providers: Mapping[str, Provider | None]) -> Guard | None:
    """One guard; None when it is wrong. ``providers``: those that there are; None: it is wrong, and that was told."""
    kinds = table.words("kinds", _KINDS, default=())
    deny = table.texts("deny", longest=_LONGEST_WORD, most=_MOST_WORDS)
    on = table.words("on", _SIDES, default=_SIDES)
    action = table.choice("action", get_args(GuardAction))
    countries = table.words("countries", COUNTRIES, default=())
    score = table.number("injection_score", 1.0, least=0.1, most=10.0)
    moderation = _read_moderation(table, providers)
    if not any(table.has(each) for each in ("kinds", "deny", "moderation")):
        table.problem("", "it looks for nothing: name kinds, words to deny, or a moderation")
    if action == "redact" and ("injection" in kinds or table.has("moderation")):
        reason = (
            "injections and moderations are of texts as a whole: observe or block, and redact kinds in another guard"
        )
        table.problem("action", reason)
    if table.has("moderation") and "request" not in on:
        table.problem("moderation", "only requests are judged; leave out on, or have request in it")
    if action is None or not on:
        return None
    return Guard(
        name=name,
        kinds=cast("tuple[GuardKind, ...]", kinds),
        deny=deny,
        on=cast("tuple[Side, ...]", on),
        action=cast("GuardAction", action),
        countries=cast("tuple[Country, ...]", countries),
        injection_score=score,
        moderation=moderation,
    )


def _read_moderation(table: Table, providers: Mapping[str, Provider | None]) -> Moderation | None:
    inner = table.table("moderation")
    if inner is None:
        return None
    name = inner.choice("provider", tuple(sorted(providers)))
    model = inner.text("model", required=True)
    on_failure = inner.choice("on_failure", ("open", "closed"), default="closed")
    timeout = inner.seconds("timeout_seconds", 5.0, least=0.05, most=300.0)
    inner.finish()
    provider = providers.get(name or "")
    if provider is None or model is None:
        return None
    if "chat.completions" not in provider.profile.paths:
        inner.problem(
            "provider", f"the kind {provider.profile.kind} does not speak OpenAI's API, which moderations are part of"
        )
    return Moderation(provider=provider, model=model, passes_on_failure=on_failure == "open", timeout_seconds=timeout)
