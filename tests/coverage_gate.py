"""The coverage gate: at least 80 % of the lines, and at least 90 % of the functions entered; prints what is missing."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LINES_PERCENT = 80.0
FUNCTIONS_PERCENT = 90.0
SHOWN = 15
"""How many of the functions that no test enters are named."""


@dataclass(frozen=True)
class Coverage:
    """Counts over all source files; a function counts as covered when at least one of its lines ran."""

    lines: int
    lines_covered: int
    functions: int
    untouched: tuple[str, ...]
    """Functions of which no line ran, as ``file:qualified name``, the longest first."""

    @property
    def lines_percent(self) -> float:
        """Of the lines that can run; 0 when there are none, for nothing measured is nothing covered."""
        return 100 * self.lines_covered / self.lines if self.lines else 0.0

    @property
    def functions_percent(self) -> float:
        """Of the functions that have a line of their own; 0 when there are none."""
        return 100 * (self.functions - len(self.untouched)) / self.functions if self.functions else 0.0


def summarise(report: dict[str, Any]) -> Coverage:
    """Count over the report that ``coverage json`` writes."""
    functions = 0
    untouched: list[tuple[int, str]] = []
    for path, file in report["files"].items():
        for name, region in file["functions"].items():
            summary = region["summary"]
            if not name or not summary["num_statements"]:
                continue
            functions += 1
            if not summary["covered_lines"]:
                untouched.append((-summary["num_statements"], f"{path}:{name}"))
    totals = report["totals"]
    return Coverage(
        lines=totals["num_statements"],
        lines_covered=totals["covered_lines"],
        functions=functions,
        untouched=tuple(name for _, name in sorted(untouched)),
    )


def main() -> int:
    """Combine what the test processes left, judge, and say it in two lines; 0 when both gates are met."""
    output = Path(".coverage/coverage.json")
    coverage = [sys.executable, "-m", "coverage"]
    subprocess.run(
        [*coverage, "combine", "--append", "--quiet"], capture_output=True
    )  # exits 1 when all is combined already
    subprocess.run([*coverage, "json", "--quiet"], check=True)
    result = summarise(json.loads(output.read_text(encoding="utf-8")))
    ok = result.lines_percent >= LINES_PERCENT and result.functions_percent >= FUNCTIONS_PERCENT
    print(
        f"coverage: {result.lines_percent:.1f} % of {result.lines} lines (at least {LINES_PERCENT:.0f} %), "
        f"{result.functions_percent:.1f} % of {result.functions} functions (at least {FUNCTIONS_PERCENT:.0f} %)"
    )
    if not ok:
        print("functions that no test enters, the longest first:", *result.untouched[:SHOWN], sep="\n  ")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
