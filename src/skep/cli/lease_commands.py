"""``skep gateway leases`` and ``release``: who holds parts of budgets, and what a machine held that is gone for good."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

import typer

from skep.cli.opening import ConfigOption, DataDirOption, JsonOption, settings_for, with_skep
from skep.spend import Ledger, ProcessState
from skep.terminal import Terminal

LEASES_EXAMPLES = """\
\b
Examples:
  skep gateway leases
  skep gateway leases --json
"""
RELEASE_EXAMPLES = """\
\b
Examples:
  skep gateway release 2874619372519
"""


def leases(
    context: typer.Context, config: ConfigOption = None, data_dir: DataDirOption = None, json: JsonOption = False
) -> None:
    """Show which processes hold parts of budgets and limits, and which of them are out of reach."""
    terminal = Terminal(json=json)
    processes = with_skep(
        settings_for(context, terminal, config, data_dir),
        terminal,
        lambda skep, who: Ledger(skep.database).processes(who),
    )
    terminal.result({"processes": processes}, lambda: "\n".join(_told(processes)))


def release(
    context: typer.Context,
    process: Annotated[
        int, typer.Argument(metavar="PROCESS", min=0, help="Its number, as `skep gateway leases` says.")
    ],
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Give back what a process held whose data folder is lost. Its calls that are not in the ledger stay unknown."""
    terminal = Terminal(json=json)
    with_skep(
        settings_for(context, terminal, config, data_dir),
        terminal,
        lambda skep, who: Ledger(skep.database).release(who, process),
    )
    terminal.result({"released": process}, f"released what {process} held")


def _told(processes: Iterable[ProcessState]) -> Iterator[str]:
    for each in processes:
        state = f"out of reach since {each.seen_at:%Y-%m-%d %H:%M:%S} UTC" if each.is_expired else "alive"
        yield f"{each.process_id} ({each.node}): {state}; parts of {each.windows} budgets and limits of this project"
