"""``skep limit``: how many calls and tokens, and how many calls at once."""

from __future__ import annotations

from typing import Annotated

import typer

from skep.cli.opening import ConfigOption, DataDirOption, JsonOption
from skep.cli.rule_options import (
    ALERT_PERCENTS,
    AlertOption,
    FallbackOption,
    ModeOption,
    NameArgument,
    NewModeOption,
    Place,
    SubjectOption,
    ValueOption,
    percents_of,
    value_of,
)
from skep.spend import Metric, Period, Rule

CREATE_EXAMPLES = """\
\b
Examples:
  skep limit create calls --requests 600 --per minute
  skep limit create tokens --tokens 200000 --per hour --of user
  skep limit create at-once --concurrent 8 --of key --value ci
"""
LIST_EXAMPLES = """\
\b
Examples:
  skep limit list
"""
SET_EXAMPLES = """\
\b
Examples:
  skep limit set calls --amount 1200
"""
STATUS_EXAMPLES = """\
\b
Examples:
  skep limit status
  skep limit status --key ci
"""
DELETE_EXAMPLES = """\
\b
Examples:
  skep limit delete calls
"""

limit_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Set how many calls of models and tokens there may be."
)
app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
app.add_typer(limit_app, name="limit")


@limit_app.command("create", epilog=CREATE_EXAMPLES)
def create(
    context: typer.Context,
    name: NameArgument,
    requests: Annotated[int | None, typer.Option("--requests", min=0, help="So many calls.")] = None,
    tokens: Annotated[int | None, typer.Option("--tokens", min=0, help="So many tokens, in and out.")] = None,
    concurrent: Annotated[int | None, typer.Option("--concurrent", min=0, help="So many calls at once.")] = None,
    per: Annotated[
        Period | None, typer.Option("--per", help="When it starts anew (UTC); for --requests and --tokens.")
    ] = None,
    of: SubjectOption = "project",
    value: ValueOption = None,
    mode: ModeOption = "hard",
    alert: AlertOption = None,
    fallback_model: FallbackOption = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Make a limit: of calls, of tokens, or of calls at once. It is in force at once, in every process."""
    metric, amount = counted(requests, tokens, concurrent)
    percents, whose = percents_of(alert) or ALERT_PERCENTS, value_of(of, value)
    rule = Rule(0, 0, name, metric, of, whose, per, amount, mode, percents, fallback_model)
    place = Place(context, config, data_dir, json)
    place.show(place.ask(lambda book, who: book.create(who, "limit", rule)), "made")


@limit_app.command("list", epilog=LIST_EXAMPLES)
def list_(
    context: typer.Context, config: ConfigOption = None, data_dir: DataDirOption = None, json: JsonOption = False
) -> None:
    """Show the limits of the project and where they stand."""
    Place(context, config, data_dir, json).list("limit")


@limit_app.command("set", epilog=SET_EXAMPLES)
def set_(
    context: typer.Context,
    name: NameArgument,
    amount: Annotated[int | None, typer.Option("--amount", min=0, help="So many calls or tokens.")] = None,
    mode: NewModeOption = None,
    alert: AlertOption = None,
    fallback_model: FallbackOption = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Change a limit. What was used of it stays used."""
    percents = percents_of(alert)
    place = Place(context, config, data_dir, json)
    place.change("limit", name, amount=amount, mode=mode, alert_percents=percents, fallback_model=fallback_model)


@limit_app.command("status", epilog=STATUS_EXAMPLES)
def status(
    context: typer.Context,
    key: Annotated[
        str | None, typer.Option("--key", metavar="KEY", help="Of which key, by its name or id; default: your own.")
    ] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Show where the budgets and limits stand that count the calls of a key."""
    place = Place(context, config, data_dir, json)
    place.show_states(place.ask(lambda book, who: book.states(who, key)))


@limit_app.command("delete", epilog=DELETE_EXAMPLES)
def delete(
    context: typer.Context,
    name: NameArgument,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Delete a limit, with what was counted for it."""
    Place(context, config, data_dir, json).delete("limit", name)


def counted(requests: int | None, tokens: int | None, concurrent: int | None) -> tuple[Metric, int]:
    """What a limit counts, and how much of it there may be. Raises BadParameter unless it is one thing."""
    said: list[tuple[Metric, int | None]] = [("requests", requests), ("tokens", tokens), ("concurrent", concurrent)]
    named = [(metric, amount) for metric, amount in said if amount is not None]
    if len(named) != 1:
        raise typer.BadParameter("give one of --requests, --tokens and --concurrent")
    return named[0]
