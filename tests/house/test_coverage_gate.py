"""The coverage gate counts what it says it counts."""

from __future__ import annotations

from typing import Any

from tests.coverage_gate import Coverage, summarise


def _region(statements: int, covered: int) -> dict[str, Any]:
    return {"summary": {"num_statements": statements, "covered_lines": covered}}


def test_functions_count_when_one_line_ran() -> None:
    functions = {
        "": _region(9, 9),  # the module's own lines belong to no function
        "half": _region(10, 1),
        "never": _region(3, 0),
        "never_long": _region(7, 0),
        "nothing_to_run": _region(0, 0),
    }
    report = {
        "files": {"a.py": {"functions": functions}},
        "totals": {"num_statements": 29, "covered_lines": 10},
    }
    result = summarise(report)
    assert result == Coverage(29, 10, functions=3, untouched=("a.py:never_long", "a.py:never"))
    assert round(result.functions_percent) == 33
    assert round(result.lines_percent) == 34


def test_nothing_measured_is_nothing_covered() -> None:
    empty = summarise({"files": {}, "totals": {"num_statements": 0, "covered_lines": 0}})
    assert (empty.lines_percent, empty.functions_percent) == (0.0, 0.0)
