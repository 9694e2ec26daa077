"""Budgets and limits as people handle them: two kinds with their own names, shown with where they stand."""

from __future__ import annotations

import dataclasses
from typing import Literal

from skep.access import Keys, Principal
from skep.spend.interfaces import RuleInvalidError, RuleNotFoundError
from skep.spend.limiting import LimitState, states
from skep.spend.models import EVERY, Rule
from skep.spend.rules import Rules
from skep.spend.views import RuleView, view_of

RuleKind = Literal["budget", "limit"]


def kind_of(rule: Rule) -> RuleKind:
    """What people call it."""
    return "budget" if rule.metric == "cost" else "limit"


class Rulebook:
    """The budgets and limits of the principal's project. Changes need the role ``admin``, looking ``reader``."""

    def __init__(self, rules: Rules, keys: Keys) -> None:
        self._rules = rules
        self._keys = keys

    async def all(self, principal: Principal, kind: RuleKind) -> list[RuleView]:
        """All of a kind, by name."""
        rules, windows = await self._rules.all(principal), await self._rules.windows(principal)
        return [view_of(rule, windows) for rule in rules if kind_of(rule) == kind]

    async def states(self, principal: Principal, key: str | None = None) -> list[LimitState]:
        """Where the budgets and limits stand that count the principal's key, or another of the project, by its id or name.

        Raises KeyNotFoundError.
        """
        key_id, user, tier = principal.key_id, principal.user, principal.tier
        if key is not None:
            found = await self._keys.get(principal, key)
            key_id, user, tier = found.id, found.user, found.tier
        rules, windows = await self._rules.all(principal), await self._rules.windows(principal)
        return list(states(rules, windows, {"project": "", "key": key_id, "user": user, "tier": tier}))

    async def get(self, principal: Principal, kind: RuleKind, name: str) -> RuleView:
        """One of them. Raises RuleNotFoundError."""
        rule = await self._of_kind(principal, kind, name)
        return view_of(rule, await self._rules.windows(principal))

    async def create(self, principal: Principal, kind: RuleKind, rule: Rule) -> RuleView:
        """A new one; its number and project are given here. A key may be named by its id or its name.

        Raises KeyNotFoundError, RuleInvalidError, RuleExistsError.
        """
        if kind_of(rule) != kind:
            raise RuleInvalidError(reason=f"what counts {rule.metric} is no {kind}")
        if rule.subject == "key" and rule.value not in ("", EVERY):
            key = await self._keys.get(principal, rule.value)
            rule = dataclasses.replace(rule, value=key.id)
        return view_of(await self._rules.create(principal, rule))

    async def change(self, principal: Principal, kind: RuleKind, name: str, **changes: object) -> RuleView:
        """Change what `Rules.change` can. What was used stays used. Raises RuleNotFoundError, RuleInvalidError."""
        await self._of_kind(principal, kind, name)
        rule = await self._rules.change(principal, name, **changes)
        return view_of(rule, await self._rules.windows(principal))

    async def delete(self, principal: Principal, kind: RuleKind, name: str) -> RuleView:
        """Delete one, with what was counted for it; what it was. Raises RuleNotFoundError."""
        rule = await self._of_kind(principal, kind, name)
        await self._rules.delete(principal, name)
        return view_of(rule)

    async def _of_kind(self, principal: Principal, kind: RuleKind, name: str) -> Rule:
        rule = await self._rules.get(principal, name)
        if kind_of(rule) != kind:
            raise RuleNotFoundError(name=name)
        return rule
