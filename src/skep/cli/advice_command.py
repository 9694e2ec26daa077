"""``skep gateway advice``: what would have served calls more cheaply."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
  skep gateway advice --all
  skep gateway advice --since 7d --json
"""

_SHOWN = 3
"""Models, and routes, of each kind of calls."""

_BEST_FIRST = ("recommended", "try", "worse")


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
    is_all: Annotated[
        bool,
        typer.Option("--all", help="Every model and route that would have cost less, not the best three of each kind."),
    ] = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Show which calls other models or routes would have served for less, what speaks for them, and how to find out."""
    terminal = Terminal(json=json)
    span = {"since": since.isoformat()} | ({} if until is None else {"until": until.isoformat()})
    path = f"/api/v1/gateway/advice?{urlencode(span)}"
    answer = ask_server(settings_for(context, terminal, config, data_dir), path)
    terminal.result(answer, lambda: "\n".join(advice_text(answer, most=None if is_all else _SHOWN)))


def advice_text(answer: dict[str, Any], *, most: int | None) -> Iterator[str]:
    """The advice in words: of each kind of calls so many models and routes, the best first; None: all."""
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
        models, more = _best(group["models"], most)
        for option in models:
            yield f"  model {option['model']}: {_saving(option)}"
            if option["to_try"] is not None and option["verdict"] == "try":
                yield f"    to try it, give that model of skep.yaml the experiment in {option['to_try']}"
        yield from more
        routes, more = _best(group["routes"], most)
        for option in routes:
            yield f"  route {option['route']} ({option['relation']}): {_saving(option)}"
        yield from more
    yield from answer["limits"]


def _best(options: Sequence[dict[str, Any]], most: int | None) -> tuple[Sequence[dict[str, Any]], Sequence[str]]:
    """Those to show, and what is said of the others. The server has the most saving first, which stays so among equals."""
    ordered = sorted(options, key=lambda each: _BEST_FIRST.index(each["verdict"]))
    left = 0 if most is None else len(ordered) - most
    return ordered[:most], [f"  and {left} more: --all"] if left > 0 else []


def _saving(option: dict[str, Any]) -> str:
    found = f"{option['cost_usd']} USD, {_share(option['saves_share'])} less; {option['verdict']}: {option['words']}"
    if option["failure_rate"] is not None:
        found += f"; failed {_share(option['failure_rate']['value'])}"
    if option["difference"] is None:
        return found
    value, low, high = (f"{100 * option['difference'][name]:+.2f}" for name in ("value", "low", "high"))
    return f"{found} ({value} %, {low} to {high})"


def _share(share: float) -> str:
    return f"{100 * share:.1f} %"
