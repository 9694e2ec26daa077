"""Keys together with the budget and the limits that are theirs alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from skep.access import DEFAULT_OVERLAP_HOURS, Key, Keys, KeyWish, Principal
from skep.spend.interfaces import RuleInvalidError
from skep.spend.models import Metric, Period, Rule
from skep.spend.rules import Rules
from skep.spend.views import IssuedKey, MeteredKey, RuleView, issued, metered, view_of
from skep.store import Connection


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """What a key may use. None: no rule of its own; 0: nothing."""

    budget_nusd: int | None = None
    budget_period: Period | None = None
    """None: the budget never starts anew."""
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent: int | None = None
    """Calls at once."""


def rules_of(key_id: str, key_name: str, limits: KeyLimits) -> list[Rule]:
    """The rules that say so. Raises RuleInvalidError for a period without a budget."""
    if limits.budget_nusd is None and limits.budget_period is not None:
        raise RuleInvalidError(reason="a period needs a budget")
    return list(_rules(key_id, key_name, limits))


def _rules(key_id: str, key_name: str, limits: KeyLimits) -> Iterator[Rule]:
    wanted: list[tuple[Metric, Period | None, int | None]] = [
        ("cost", limits.budget_period or "total", limits.budget_nusd),
        ("requests", "minute", limits.requests_per_minute),
        ("tokens", "minute", limits.tokens_per_minute),
        ("concurrent", None, limits.concurrent),
    ]
    for metric, period, amount in wanted:
        if amount is not None:
            # The id keeps apart what belongs to keys that were called the same one after the other.
            name = "-".join(filter(None, [key_name, key_id, metric, period]))
            yield Rule(0, 0, name, metric, "key", key_id, period, amount)


class MeteredKeys:
    """What `Keys` does, with rules. Everything here needs the role ``admin``."""

    def __init__(self, keys: Keys, rules: Rules) -> None:
        self._keys = keys
        self._rules = rules

    async def create(self, principal: Principal, wish: KeyWish, limits: KeyLimits) -> IssuedKey:
        """A new key with its rules: all of it or nothing. Raises what `Keys.create` raises, RuleInvalidError."""

        async def bound(connection: Connection, key_id: str) -> None:
            for rule in rules_of(key_id, wish.name, limits):
                await self._rules.create_within(connection, principal, rule)

        made = await self._keys.create(principal, wish, bound)
        await self._rules.be_heard()
        return issued(made, await self._views(principal))

    async def all(self, principal: Principal, *, revoked: bool = False) -> list[MeteredKey]:
        """Every key, the newest first; with ``revoked`` those too, after the others."""
        keys = await self._keys.all(principal, revoked=revoked)
        views = await self._views(principal)
        return [metered(key, views) for key in keys]

    async def get(self, principal: Principal, name: str) -> MeteredKey:
        """The key of an id or a name. Raises KeyNotFoundError."""
        return metered(await self._keys.get(principal, name), await self._views(principal))

    async def revoke(self, principal: Principal, name: str) -> Key:
        """End a key for good, and delete its rules; its calls stay in the ledger. Raises what `Keys.revoke` raises."""

        async def freed(connection: Connection, key_id: str) -> None:
            await self._rules.delete_of_key(connection, principal, key_id)

        return await self._keys.revoke(principal, name, freed)

    async def rotate(
        self, principal: Principal, name: str, *, overlap_hours: float = DEFAULT_OVERLAP_HOURS
    ) -> IssuedKey:
        """Another secret for the same key, with the same rules. Raises what `Keys.rotate` raises."""
        made = await self._keys.rotate(principal, name, overlap_hours=overlap_hours)
        return issued(made, await self._views(principal))

    async def _views(self, principal: Principal) -> list[RuleView]:
        rules, windows = await self._rules.all(principal), await self._rules.windows(principal)
        return [view_of(rule, windows) for rule in rules]
