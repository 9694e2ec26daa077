"""``skep gateway advice``: what would have served calls more cheaply."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from skep.cli.asking import ask_server
from skep.cli.opening import ConfigOption, DataDirOption, JsonOption, settings_for
from skep.spend import parse_since
from skep.terminal import Terminal

ADVICE_EXAMPLES = """\
\b
Examples:
  skep gateway advice
  skep gateway advice --since 7d --json
"""


def advice(
    context: typer.Context,
    since: Annotated[
        datetime,
        typer.Option("--since", metavar="WHEN", parser=parse_since, help="A span such as 7d, 24h or 90m, or a date."),
    ] = "30d",  # type: ignore[assignment]  # typer parses it
    until: Annotated[
        datetime | None,
        typer.Option("--until", metavar="WHEN", parser=parse_since, help="The same; default: now."),
    ] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Show which calls other models or routes would have served for less, what speaks for them, and how to find out."""
    terminal = Terminal(json=json)
    span = {"since": since.isoformat()} | ({} if until is None else {"until": until.isoformat()})
    path = f"/api/v1/gateway/advice?{urlencode(span)}"
    answer = ask_server(settings_for(context, terminal, config, data_dir), path)
    terminal.result(answer, lambda: "\n".join(_told(answer)))


def _told(answer: dict[str, Any]) -> Iterator[str]:
    groups = [group for group in answer["groups"] if group["models"] or group["routes"]]
    if not groups:
        yield "nothing that is configured would have been cheaper for calls whose cost is known"
        return
    for group in groups:
        place = ", in the house" if group["stayed"] else ""
        yield f"{group['model']} ({group['face']}{place}): {group['calls']} calls, {group['cost_usd']} USD"
        yield (
            f"  in the mean {group['mean_input_tokens']:.0f} tokens in and {group['mean_output_tokens']:.0f} out; failed"
            f" {_share(group['failure_rate']['value'])}, retried {group['retried']}, by {', '.join(group['routes_used'])}"
        )
        for option in group["models"]:
            yield f"  model {option['model']}: {_saving(option)}"
            if option["to_try"] is not None and option["verdict"] == "try":
                yield f"    to try it, give that model of skep.yaml the experiment in {option['to_try']}"
        for option in group["routes"]:
            yield f"  route {option['route']} ({option['relation']}): {_saving(option)}"
    yield from answer["limits"]


def _saving(option: dict[str, Any]) -> str:
    found = f"{option['cost_usd']} USD, {_share(option['saves_share'])} less; {option['verdict']}: {option['words']}"
    if option["difference"] is None:
        return found
    value, low, high = (f"{100 * option['difference'][name]:+.2f}" for name in ("value", "low", "high"))
    return f"{found} ({value} %, {low} to {high})"


def _share(share: float) -> str:
    return f"{100 * share:.1f} %"
