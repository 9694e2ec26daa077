"""What the commands about budgets and those about limits share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from skep.access import Principal
from skep.cli.opening import settings_for, with_skep
from skep.spend import LimitState, Mode, Rulebook, RuleKind, RuleView, Subject, administer, usd_text
from skep.terminal import Terminal

T = TypeVar("T")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="What it is called.")]
SubjectOption = Annotated[Subject, typer.Option("--of", help="Whose calls it counts.")]
ValueOption = Annotated[
    str | None,
    typer.Option(
        "--value", metavar="VALUE", help="Which key (by its name or id), user, ...; default: each for itself."
    ),
]
ModeOption = Annotated[
    Mode, typer.Option("--mode", help="hard refuses, soft warns, shadow only notes what it would have refused.")
]
NewModeOption = Annotated[Mode | None, typer.Option("--mode", help="hard, soft or shadow from now on.")]
AlertOption = Annotated[
    list[int] | None,
    typer.Option(
        "--alert", metavar="PERCENT", help="Tell when so much is used; may be repeated. At first: 80, 90, 95."
    ),
]
FallbackOption = Annotated[
    str | None, typer.Option("--fallback-model", metavar="MODEL", help="Ask this model instead of refusing.")
]

ALERT_PERCENTS = (80, 90, 95)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command works, and how it answers."""

    context: typer.Context
    config: Path | None
    data_dir: Path | None
    json: bool

    def ask(self, work: Callable[[Rulebook, Principal], Awaitable[T]]) -> T:
        """What the book of rules of the local principal's project answers."""
        settings = settings_for(self.context, Terminal(json=self.json), self.config, self.data_dir)
        return with_skep(
            settings,
            Terminal(json=self.json),
            lambda skep, who: work(administer(skep.database, skep.access.key_file).rulebook, who),
        )

    def show(self, rule: RuleView, done: str) -> None:
        """Say what was done with a rule."""
        Terminal(json=self.json).result(rule, lambda: f"{done} {rule_line(rule)}")

    def show_states(self, states: Sequence[LimitState]) -> None:
        """Say where rules stand for a key."""
        lines = "\n".join(map(state_line, states)) or "no budget or limit counts this key"
        Terminal(json=self.json).result({"limits": states}, lines)

    def list(self, kind: RuleKind) -> None:
        """Show every rule of a kind."""
        rules = self.ask(lambda book, who: book.all(who, kind))
        lines = "\n".join(map(rule_line, rules)) or f"there is no {kind} yet"
        Terminal(json=self.json).result({f"{kind}s": rules}, lines)

    def delete(self, kind: RuleKind, name: str) -> None:
        """Delete a rule."""
        self.show(self.ask(lambda book, who: book.delete(who, kind, name)), "deleted")

    def change(self, kind: RuleKind, name: str, **changes: object) -> None:
        """Change of a rule what is not None."""
        said = {field: value for field, value in changes.items() if value is not None}
        if not said:
            raise typer.BadParameter("say what to change")
        self.show(self.ask(lambda book, who: book.change(who, kind, name, **said)), "changed")


def value_of(subject: Subject, value: str | None) -> str:
    """Whom a rule counts; the project as a whole has no value."""
    return value if value is not None else "" if subject == "project" else "*"


def percents_of(alert: Sequence[int] | None) -> tuple[int, ...] | None:
    """The alert percents in their order; None when none was named."""
    return tuple(sorted(set(alert))) if alert else None


def rule_line(rule: RuleView) -> str:
    """A budget or a limit with where it stands, in one line."""
    whom = "each" if rule.value == "*" else rule.value
    used = max((window.used for window in rule.windows), default=0)
    return (
        f"{rule.name}: {_amount(rule, rule.amount)}{f' per {rule.period}' if rule.period else ''}"
        f" for {' '.join(filter(None, [rule.subject, whom]))} ({rule.mode}), {_amount(rule, used)} used"
        + (" by the one that used most" if len(rule.windows) > 1 else "")
        + _forecast(rule)
        + _exceeded(rule)
    )


def _forecast(rule: RuleView) -> str:
    """Where the one that used most stands at the end, if it goes on so."""
    most = max(rule.windows, key=lambda window: window.used, default=None)
    found = None if most is None else most.forecast
    if found is None or most is None or most.used >= rule.amount:
        return ""
    if found.used_up_at is not None:
        return f", at this pace used up on {found.used_up_at:%Y-%m-%d %H:%M} UTC"
    return "" if found.used_at_end is None else f", at this pace {_amount(rule, found.used_at_end)} at its end"


def _exceeded(rule: RuleView) -> str:
    calls = sum(window.exceeded for window in rule.windows)
    if not calls:
        return ""
    return (
        f", {calls} calls would have been refused"
        if rule.mode == "shadow"
        else f", {calls} calls let pass without room"
    )


def state_line(state: LimitState) -> str:
    """Where a budget or a limit stands for a key, in one line."""
    resets = "" if state.resets_at is None else f", resets at {state.resets_at:%Y-%m-%d %H:%M:%S} UTC"
    left, whole = _amount(state, state.remaining), _amount(state, state.amount)
    return (
        f"{state.rule}: {left} of {whole}{f' per {state.period}' if state.period else ''} left ({state.mode}){resets}"
    )


def _amount(rule: RuleView | LimitState, amount: int) -> str:
    return f"{usd_text(amount)} USD" if rule.metric == "cost" else f"{amount} {rule.metric}"
