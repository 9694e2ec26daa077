"""Which rule applies to a request. It counts, so the order of requests matters; everything else here is pure."""

from __future__ import annotations

from fnmatch import fnmatchcase

from skep.fakes.content import chance_of
from skep.fakes.models import Condition, Request, Rule, Script


class Matcher:
    """Chooses rules and counts what they met."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._met = [0] * len(script.rules)
        self._needles = [tuple(text.encode() for text in rule.when.contains) for rule in script.rules]

    def choose(self, request: Request) -> Rule | None:
        """The first rule that applies; None when none does. A rule counts only requests that no rule before it took."""
        for index, rule in enumerate(self._script.rules):
            if not (_meets(rule.when, request) and all(one in request.body for one in self._needles[index])):
                continue
            self._met[index] += 1
            if _is_turn(rule, self._met[index], self._script.seed):
                return rule
        return None


def _meets(when: Condition, request: Request) -> bool:
    """Whether a request is of the kind; what a body contains is looked at by the caller."""
    if when.paths and not _fits(request.path, when.paths):
        return False
    if when.models and not _fits(request.model or "", when.models):
        return False
    if when.stream is not None and when.stream != request.streams:
        return False
    return all(fnmatchcase(request.headers.get(name, ""), pattern) for name, pattern in when.headers.items())


def _fits(text: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(text, pattern) for pattern in patterns)


def _is_turn(rule: Rule, nth: int, seed: int) -> bool:
    """Whether the nth request of the kind (from 1) is one that the rule takes."""
    when = rule.when
    if when.calls and not any(first <= nth and (last is None or nth <= last) for first, last in when.calls):
        return False
    if when.every is not None and nth % when.every:
        return False
    return when.share is None or chance_of(seed, "share", rule.name, nth).random() < when.share
