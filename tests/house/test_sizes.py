"""The tail is budgeted: a soft limit with a ratchet for what is above it, and a hard limit without one."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.house.source import Function, Module, definitions, modules, report

FOLDERS = ("src", "tests", "bench", "deploy", "training")
RATCHET = Path(__file__).with_name("ratchet.json")

Measured = Iterator[tuple[str, int]]


def _lines(node: Function | ast.ClassDef) -> int:
    """The lines of a definition without its decorators and docstring."""
    assert node.end_lineno is not None
    total = node.end_lineno - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node, clean=False) is not None and first.end_lineno is not None:
        total -= first.end_lineno - first.lineno + 1
    return total


def file_lines(module: Module) -> Measured:
    yield module.place, module.text.count("\n")


def function_lines(module: Module) -> Measured:
    for name, node in definitions(module.tree):
        if isinstance(node, Function):
            yield f"{module.place}:{name}", _lines(node)


def class_lines(module: Module) -> Measured:
    for name, node in definitions(module.tree):
        if isinstance(node, ast.ClassDef):
            yield f"{module.place}:{name}", _lines(node)


def parameters(module: Module) -> Measured:
    """Parameters without ``self``; a command's parameters are the options of its face, so those do not count."""
    if module.place.endswith("/commands.py") or "/cli/" in module.place:
        return
    for name, node in definitions(module.tree):
        if isinstance(node, Function):
            given = node.args
            names = [parameter.arg for parameter in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
            yield f"{module.place}:{name}", len(names) - (names[:1] in (["self"], ["cls"]))


_BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.TryStar, ast.Match)
"""What nests, as pylint's ``too-many-nested-blocks`` counts it: ``with`` holds a resource, it does not branch."""


def _depth(node: ast.AST) -> int:
    deepest = 0
    for field, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, Function | ast.ClassDef | ast.Lambda):
                continue
            is_elif = field == "orelse" and isinstance(node, ast.If) and isinstance(child, ast.If) and len(value) == 1
            deepest = max(deepest, _depth(child) + (isinstance(child, _BLOCKS) and not is_elif))
    return deepest


def nesting(module: Module) -> Measured:
    for name, node in definitions(module.tree):
        if isinstance(node, Function):
            yield f"{module.place}:{name}", _depth(node)


@dataclass(frozen=True)
class Budget:
    """How much of something is fine, and how much is never fine."""

    measure: Callable[[Module], Measured]
    soft: int
    hard: int

    @property
    def name(self) -> str:
        return self.measure.__name__


BUDGETS = (
    Budget(file_lines, soft=500, hard=800),
    Budget(function_lines, soft=60, hard=100),
    Budget(class_lines, soft=400, hard=400),
    Budget(parameters, soft=8, hard=8),
    Budget(nesting, soft=3, hard=3),
)


def _measured(budget: Budget) -> dict[str, int]:
    return {place: size for module in modules(*FOLDERS) for place, size in budget.measure(module)}


@pytest.mark.parametrize("budget", BUDGETS, ids=lambda budget: budget.name)
def test_nothing_is_over_its_budget(budget: Budget) -> None:
    allowed: dict[str, int] = json.loads(RATCHET.read_text(encoding="utf-8")).get(budget.name, {})
    over = [
        f"{place}: {size}"
        for place, size in _measured(budget).items()
        if size > min(max(budget.soft, allowed.get(place, 0)), budget.hard)
    ]
    assert not over, report(f"{budget.name}: at most {budget.soft}, never over {budget.hard}; split it", over)


@pytest.mark.parametrize("budget", BUDGETS, ids=lambda budget: budget.name)
def test_the_ratchet_only_turns_down(budget: Budget) -> None:
    allowed: dict[str, int] = json.loads(RATCHET.read_text(encoding="utf-8")).get(budget.name, {})
    measured = _measured(budget)
    loose = [
        f"{place}: {limit}, now {measured.get(place, 'gone')}"
        for place, limit in allowed.items()
        if measured.get(place, 0) <= budget.soft or measured[place] < limit
    ]
    assert not loose, report("these got smaller: lower or remove their entry in tests/house/ratchet.json", loose)
