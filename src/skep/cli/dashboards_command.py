"""``skep gateway dashboards``: dashboards for Grafana, as files."""

from __future__ import annotations

import json as jsons
from pathlib import Path
from typing import Annotated

import typer

from skep.cli.dashboards import DASHBOARDS, grafana_json
from skep.cli.opening import JsonOption
from skep.terminal import Terminal

DASHBOARDS_EXAMPLES = """\
\b
Examples:
  skep gateway dashboards --output /etc/grafana/dashboards
  skep gateway dashboards --json
"""


def dashboards(
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="DIR", help="Write each into a file in this folder; default: only name them."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Write dashboards for Grafana: what calls cost, from the views of the ledger, and how it fares, from /metrics."""
    terminal = Terminal(json=json)
    made = {f"{dashboard.uid}.json": grafana_json(dashboard) for dashboard in DASHBOARDS}
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        for name, dashboard in made.items():
            (output / name).write_text(jsons.dumps(dashboard, indent=2) + "\n", encoding="utf-8")
    lines = [f"{name if output is None else output / name}: {dashboard['title']}" for name, dashboard in made.items()]
    terminal.result({"dashboards": list(made.values())}, "\n".join(lines))
