"""Reads the section ``guards`` of the settings, and which models have which. Pure."""

from __future__ import annotations

from typing import cast, get_args

from skep.gateway.guarding.detectors import COUNTRIES
from skep.gateway.models import Country, Guard, GuardAction, GuardKind, Side
from skep.gateway.tables import Table

_KINDS: tuple[GuardKind, ...] = tuple(kind for kind in get_args(GuardKind) if kind != "denied")
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


def read_guard(name: str, table: Table) -> Guard | None:
    """One guard; None when it would do nothing."""
    kinds = table.words("kinds", _KINDS, default=())
    deny = table.texts("deny", longest=_LONGEST_WORD, most=_MOST_WORDS)
    on = table.words("on", _SIDES, default=_SIDES)
    action = table.choice("action", get_args(GuardAction))
    countries = table.words("countries", COUNTRIES, default=())
    score = table.number("injection_score", 1.0, least=0.1, most=10.0)
    if not table.has("kinds") and not table.has("deny"):
        table.problem("", "it looks for nothing: name kinds, or words to deny")
    if "injection" in kinds and action == "redact":
        table.problem(
            "action",
            "an injection is a text as a whole: observe or block it, or redact other kinds in a guard of their own",
        )
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
    )
