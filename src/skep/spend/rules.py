"""Budgets and limits: what they may say, and how they are kept."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Sequence
from typing import Any

from skep.access import Principal, require_role
from skep.observe import event
from skep.spend.database_bank import queries
from skep.spend.interfaces import RuleExistsError, RuleInvalidError, RuleNotFoundError
from skep.spend.matching import LONGEST_VALUE
from skep.spend.models import EVERY, Rule, WindowState
from skep.store import Connection, Database

MOST_AMOUNT = 10**18
"""A thousand million dollars, in nano-dollars: sums of a few of them still fit into 64 bits."""

HEARD_SECONDS = 2.0
"""So long does who changes rules wait for all processes to go by them."""

_HEARD_PAUSE_SECONDS = 0.01
_LONGEST_NAME = 100
_MOST_WINDOWS = 1000


_log = logging.getLogger(__name__)


def rule_of(row: Sequence[Any]) -> Rule:
    """A rule from its row, in the order of the rule's fields."""
    rule = Rule(*row)
    return dataclasses.replace(rule, alert_percents=tuple(rule.alert_percents))


def check_rule(rule: Rule) -> None:
    """Whether a rule fits together. Raises RuleInvalidError."""
    faults = [reason for is_wrong, reason in _faults(rule) if is_wrong]
    if faults:
        raise RuleInvalidError(reason="; ".join(faults))


def _faults(rule: Rule) -> list[tuple[bool, str]]:
    is_concurrent = rule.metric == "concurrent"
    return [
        (not rule.name.strip() or len(rule.name) > _LONGEST_NAME, f"its name needs 1 to {_LONGEST_NAME} characters"),
        (not rule.name.isprintable(), "its name has characters that cannot be shown"),
        (is_concurrent and rule.period is not None, "calls at once have no period"),
        (not is_concurrent and rule.period is None, "it needs a period"),
        (rule.subject == "project" and rule.value not in ("", EVERY), "the project as a whole has no value"),
        (rule.subject != "project" and not rule.value, f"it needs a {rule.subject}, or {EVERY} for each"),
        (len(rule.value) > LONGEST_VALUE, f"its {rule.subject} has more than {LONGEST_VALUE} characters"),
        (not 0 <= rule.amount <= MOST_AMOUNT, f"its amount lies between 0 and {MOST_AMOUNT}"),
        (any(not 0 < percent <= 100 for percent in rule.alert_percents), "alert percents lie between 1 and 100"),
        (rule.allow_unpriced and rule.metric != "cost", "only a budget can allow unpriced calls"),
    ]


class Rules:
    """The budgets and limits of projects. Changes need the role ``admin``, looking ``reader``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self, principal: Principal) -> list[Rule]:
        """All of the principal's project, by name."""
        require_role(principal, "reader")
        rows = await self._database.fetch_tuples(queries["fetch_rules"], {"project_id": principal.project_id})
        return [rule_of(row) for row in rows]

    async def get(self, principal: Principal, name: str) -> Rule:
        """One of them. Raises RuleNotFoundError."""
        require_role(principal, "reader")
        rows = await self._database.fetch_tuples(
            queries["fetch_rule"], {"project_id": principal.project_id, "name": name}
        )
        if not rows:
            raise RuleNotFoundError(name=name)
        return rule_of(rows[0])

    async def create(self, principal: Principal, rule: Rule) -> Rule:
        """A new one; its number and project are given here. In force in every process when this returns (`be_heard`).

        Raises RuleInvalidError, RuleExistsError.
        """
        async with self._database.transaction() as connection:
            made = await self.create_within(connection, principal, rule)
        await self.be_heard()
        return made

    async def be_heard(self) -> bool:
        """Wait until every living process goes by the rules as they are; False when one takes longer than `HEARD_SECONDS`.

        Such a process has been stopped, or died a moment ago, or does not hear what is told (some poolers): it hears of them within
        5 s of going on.
        """
        until = time.monotonic() + HEARD_SECONDS
        while True:
            ((behind,),) = await self._database.fetch_tuples(queries["count_behind"])
            if not behind:
                return True
            if time.monotonic() >= until:
                event(_log, logging.WARNING, "rules not heard of everywhere yet", processes=behind)
                return False
            await asyncio.sleep(_HEARD_PAUSE_SECONDS)

    async def create_within(self, connection: Connection, principal: Principal, rule: Rule) -> Rule:
        """The same in somebody's transaction."""
        require_role(principal, "admin")
        check_rule(rule)
        value = "" if rule.subject == "project" else rule.value
        rule = dataclasses.replace(rule, project_id=principal.project_id, value=value)
        cursor = await connection.execute(queries["insert_rule"], _bound(rule))
        row = await cursor.fetchone()
        if row is None:
            raise RuleExistsError(name=rule.name)
        return dataclasses.replace(rule, rule_id=row[0])

    async def delete_of_key(self, connection: Connection, principal: Principal, key_id: str) -> None:
        """Delete every rule that counts one key, in somebody's transaction."""
        require_role(principal, "admin")
        await connection.execute(queries["delete_key_rules"], {"project_id": principal.project_id, "key_id": key_id})

    async def change(self, principal: Principal, name: str, **changes: object) -> Rule:
        """Change amount, mode, alert_percents, fallback_model or allow_unpriced. What was used stays used.

        Raises RuleNotFoundError, RuleInvalidError.
        """
        require_role(principal, "admin")
        unknown = set(changes) - _CHANGEABLE
        if unknown:
            raise RuleInvalidError(reason=f"{', '.join(sorted(unknown))} cannot be changed; delete it and make another")
        rule = dataclasses.replace(await self.get(principal, name), **changes)  # type: ignore[arg-type]
        check_rule(rule)
        if not await self._database.execute(queries["update_rule"], _bound(rule)):
            raise RuleNotFoundError(name=name)
        await self.be_heard()
        return rule

    async def delete(self, principal: Principal, name: str) -> None:
        """Delete one, with what was counted for it; calls stay in the ledger. Raises RuleNotFoundError."""
        require_role(principal, "admin")
        bound = {"project_id": principal.project_id, "name": name}
        if not await self._database.execute(queries["delete_rule"], bound):
            raise RuleNotFoundError(name=name)
        await self.be_heard()

    async def windows(self, principal: Principal) -> list[WindowState]:
        """Where the present windows stand, of all processes: at most 1,000, those most used of each rule first."""
        require_role(principal, "reader")
        return await self._database.fetch_all(
            WindowState, queries["fetch_windows"], {"project_id": principal.project_id, "limit": _MOST_WINDOWS}
        )


_CHANGEABLE = {"amount", "mode", "alert_percents", "fallback_model", "allow_unpriced"}


def _bound(rule: Rule) -> dict[str, object]:
    return {
        "project_id": rule.project_id,
        "name": rule.name,
        "metric": rule.metric,
        "subject": rule.subject,
        "value": rule.value,
        "period": rule.period,
        "amount": rule.amount,
        "mode": rule.mode,
        "alert_percents": list(rule.alert_percents),
        "fallback_model": rule.fallback_model,
        "allow_unpriced": rule.allow_unpriced,
    }
