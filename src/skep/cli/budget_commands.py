"""``skep budget``: what calls may cost."""

from __future__ import annotations

from decimal import Decimal
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
from skep.spend import Period, Rule, parse_usd, usd_to_nusd

CREATE_EXAMPLES = """\
\b
Examples:
  skep budget create team --usd 500 --per month
  skep budget create each-user --usd 2 --per day --of user
  skep budget create ci-total --usd 20 --per total --of key --value ci --mode soft --alert 50
"""
LIST_EXAMPLES = """\
\b
Examples:
  skep budget list
"""
SET_EXAMPLES = """\
\b
Examples:
  skep budget set team --usd 800
  skep budget set team --mode soft --allow-unpriced
"""
DELETE_EXAMPLES = """\
\b
Examples:
  skep budget delete team
"""

budget_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Set what calls of models may cost.")
app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
app.add_typer(budget_app, name="budget")


@budget_app.command("create", epilog=CREATE_EXAMPLES)
def create(
    context: typer.Context,
    name: NameArgument,
    usd: Annotated[Decimal, typer.Option("--usd", metavar="USD", parser=parse_usd, help="What calls may cost.")],
    per: Annotated[Period, typer.Option("--per", help="When it starts anew (UTC); total never does.")],
    of: SubjectOption = "project",
    value: ValueOption = None,
    mode: ModeOption = "hard",
    alert: AlertOption = None,
    fallback_model: FallbackOption = None,
    allow_unpriced: Annotated[
        bool, typer.Option("--allow-unpriced", help="Let calls pass whose price is not known.")
    ] = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Make a budget. It is in force at once, in every process."""
    amount, percents = usd_to_nusd(usd), percents_of(alert) or ALERT_PERCENTS
    whose = value_of(of, value)
    rule = Rule(0, 0, name, "cost", of, whose, per, amount, mode, percents, fallback_model, allow_unpriced)
    place = Place(context, config, data_dir, json)
    place.show(place.ask(lambda book, who: book.create(who, "budget", rule)), "made")


@budget_app.command("list", epilog=LIST_EXAMPLES)
def list_(
    context: typer.Context, config: ConfigOption = None, data_dir: DataDirOption = None, json: JsonOption = False
) -> None:
    """Show the budgets of the project and where they stand."""
    Place(context, config, data_dir, json).list("budget")


@budget_app.command("set", epilog=SET_EXAMPLES)
def set_(
    context: typer.Context,
    name: NameArgument,
    usd: Annotated[
        Decimal | None, typer.Option("--usd", metavar="USD", parser=parse_usd, help="What calls may cost.")
    ] = None,
    mode: NewModeOption = None,
    alert: AlertOption = None,
    fallback_model: FallbackOption = None,
    allow_unpriced: Annotated[
        bool | None,
        typer.Option("--allow-unpriced/--refuse-unpriced", help="Whether calls pass whose price is not known."),
    ] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Change a budget. What was used of it stays used."""
    Place(context, config, data_dir, json).change(
        "budget",
        name,
        amount=None if usd is None else usd_to_nusd(usd),
        mode=mode,
        alert_percents=percents_of(alert),
        fallback_model=fallback_model,
        allow_unpriced=allow_unpriced,
    )


@budget_app.command("delete", epilog=DELETE_EXAMPLES)
def delete(
    context: typer.Context,
    name: NameArgument,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Delete a budget, with what was counted for it. Calls stay in the ledger."""
    Place(context, config, data_dir, json).delete("budget", name)
