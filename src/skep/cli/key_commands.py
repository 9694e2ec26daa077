"""``skep key``: keys with what they are for and what they may use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated

import typer

from skep.access import DEFAULT_OVERLAP_HOURS, Key, KeyWish, Role
from skep.cli.model_names import names_in, unmatched
from skep.cli.opening import ConfigOption, DataDirOption, JsonOption, settings_for, with_skep
from skep.cli.rule_options import rule_line
from skep.spend import (
    IssuedKey,
    KeyLimits,
    MeteredKey,
    Period,
    administer,
    parse_usd,
    usd_to_nusd,
)
from skep.terminal import Terminal

CREATE_EXAMPLES = """\
\b
Examples:
  skep key create --name ci --budget-usd 5 --per day --rpm 60 --models smart
  skep key create --name anna --user anna --models 'gpt-*' --expires-days 90 --json
  skep key create --name office --addresses 10.0.0.0/8 --faces chat.completions,embeddings
"""
LIST_EXAMPLES = """\
\b
Examples:
  skep key list
  skep key list --all --json
"""
SHOW_EXAMPLES = """\
\b
Examples:
  skep key show ci
"""
REVOKE_EXAMPLES = """\
\b
Examples:
  skep key revoke ci
"""
ROTATE_EXAMPLES = """\
\b
Examples:
  skep key rotate ci
  skep key rotate ci --overlap-hours 0
"""

NameArgument = Annotated[str, typer.Argument(metavar="KEY", help="Its name or its id.")]

key_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Make, show, renew and revoke the keys of a project."
)
app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
app.add_typer(key_app, name="key")


@key_app.command("create", epilog=CREATE_EXAMPLES)
def create(
    context: typer.Context,
    name: Annotated[str, typer.Option("--name", help="What to call it; no other active key may have it.")],
    role: Annotated[Role, typer.Option("--role", help="What it may do in the project.")] = "member",
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--models", metavar="NAMES", help="Models it may ask for, parted by commas; * at the end matches all."
        ),
    ] = None,
    faces: Annotated[
        list[str] | None, typer.Option("--faces", metavar="NAMES", help="Faces it may use, as chat.completions.")
    ] = None,
    addresses: Annotated[
        list[str] | None, typer.Option("--addresses", metavar="NETWORKS", help="Where it may be used from.")
    ] = None,
    budget_usd: Annotated[
        Decimal | None, typer.Option("--budget-usd", metavar="USD", parser=parse_usd, help="What its calls may cost.")
    ] = None,
    per: Annotated[
        Period | None, typer.Option("--per", help="When the budget starts anew (UTC); default: total, never.")
    ] = None,
    rpm: Annotated[int | None, typer.Option("--rpm", min=0, help="Calls a minute.")] = None,
    tpm: Annotated[int | None, typer.Option("--tpm", min=0, help="Tokens a minute, in and out.")] = None,
    concurrent: Annotated[int | None, typer.Option("--concurrent", min=0, help="Calls at once.")] = None,
    user: Annotated[str | None, typer.Option("--user", help="Whose key it is: its calls count as theirs.")] = None,
    tier: Annotated[str | None, typer.Option("--tier", help="For rules that count by tier.")] = None,
    local_only: Annotated[
        bool, typer.Option("--local-only", help="Its calls of models stay with local providers, or are refused.")
    ] = False,
    expires_days: Annotated[
        float | None, typer.Option("--expires-days", min=0, max=36_500, help="How long it lives; default: for ever.")
    ] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Make a key, with its budget and its limits. Its secret is shown this once."""
    terminal = Terminal(json=json)
    expires_at = None if expires_days is None else datetime.now(UTC) + timedelta(days=expires_days)
    wish = KeyWish(name, role, listed(models), listed(faces), listed(addresses), expires_at, user, tier, local_only)
    budget_nusd = None if budget_usd is None else usd_to_nusd(budget_usd)
    limits = KeyLimits(budget_nusd, per, rpm, tpm, concurrent)
    settings = settings_for(context, terminal, config, data_dir)
    made = with_skep(
        settings,
        terminal,
        lambda skep, who: administer(skep.database, skep.access.key_file).keys.create(who, wish, limits),
    )
    _tell(terminal, made)
    known = names_in(settings.open_sections)
    for sentence in unmatched(wish.models or () if known else (), known):
        terminal.warn(f"{sentence} The key is good for it as soon as there is one.")


@key_app.command("list", epilog=LIST_EXAMPLES)
def list_(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Revoked ones too.")] = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Show the keys of the project, without their secrets."""
    terminal = Terminal(json=json)
    keys = with_skep(
        settings_for(context, terminal, config, data_dir),
        terminal,
        lambda skep, who: administer(skep.database, skep.access.key_file).keys.all(who, revoked=everything),
    )
    terminal.result({"keys": keys}, lambda: "\n".join(_line(key) for key in keys))


@key_app.command("show", epilog=SHOW_EXAMPLES)
def show(
    context: typer.Context,
    key: NameArgument,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Show one key: what it is for, its rules and where they stand."""
    terminal = Terminal(json=json)
    found = with_skep(
        settings_for(context, terminal, config, data_dir),
        terminal,
        lambda skep, who: administer(skep.database, skep.access.key_file).keys.get(who, key),
    )
    terminal.result(found, lambda: "\n".join(key_lines(found)))


@key_app.command("revoke", epilog=REVOKE_EXAMPLES)
def revoke(
    context: typer.Context,
    key: NameArgument,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """End a key for good, with its rules. Running servers refuse it within a second."""
    terminal = Terminal(json=json)
    ended = with_skep(
        settings_for(context, terminal, config, data_dir),
        terminal,
        lambda skep, who: administer(skep.database, skep.access.key_file).keys.revoke(who, key),
    )
    terminal.result(ended, lambda: f"revoked {ended.name} ({ended.id})")


@key_app.command("rotate", epilog=ROTATE_EXAMPLES)
def rotate(
    context: typer.Context,
    key: NameArgument,
    overlap_hours: Annotated[
        float, typer.Option("--overlap-hours", help="How long the old secret is good as well; 0: no moment.")
    ] = DEFAULT_OVERLAP_HOURS,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Give a key another secret, shown this once. Id, rules and what was counted stay; the old secret works for a while."""
    terminal = Terminal(json=json)
    made = with_skep(
        settings_for(context, terminal, config, data_dir),
        terminal,
        lambda skep, who: administer(skep.database, skep.access.key_file).keys.rotate(
            who, key, overlap_hours=overlap_hours
        ),
    )
    _tell(terminal, made)


def listed(entries: Sequence[str] | None) -> tuple[str, ...] | None:
    """The parts of options that may be repeated or hold several, parted by commas; None when there are none."""
    return tuple(part.strip() for entry in entries for part in entry.split(",")) if entries else None


def key_lines(key: MeteredKey) -> Iterator[str]:
    """What is to be known of a key."""
    yield _line(key)
    for what, entries in (("models", key.models), ("faces", key.faces), ("addresses", key.addresses)):
        yield f"  {what}: {'all' if entries is None else ', '.join(entries)}"
    for what, word in (("user", key.user), ("tier", key.tier)):
        if word is not None:
            yield f"  {what}: {word}"
    if key.local_only:
        yield "  calls of models: with local providers only"
    yield from (f"  rule {rule_line(rule)}" for rule in key.rules)


def _tell(terminal: Terminal, made: IssuedKey) -> None:
    terminal.result(made, made.key)
    if not terminal.json:
        terminal.say_lines("\n".join([*key_lines(made), "This is the only time that its secret is shown."]))


def _line(key: Key) -> str:
    ends = "" if key.expires_at is None else f", until {_minute(key.expires_at)}"
    also = "" if key.previous_until is None else f", the old secret too until {_minute(key.previous_until)}"
    return f"{key.name} ({key.id}): {key.role}, {key.state}{ends}{also}"


def _minute(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
