"""``skep cost``: what calls of models cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

import typer

from skep.cli.opening import ConfigOption, DataDirOption, JsonOption, settings_for, with_skep
from skep.spend import (
    Ledger,
    Percentiles,
    Privacy,
    Report,
    ReportBy,
    ReportLine,
    Reports,
    Savings,
    SavingsLine,
    Streams,
    Trend,
    TrendPer,
    parse_since,
    privacy_csv,
    report_csv,
)
from skep.terminal import Terminal

_REPORT_EXAMPLES = """\
\b
Examples:
  skep cost report
  skep cost report --by key --since 30d
  skep cost report --by tag --since 2026-11-01 --until 2026-11-08 --format csv
"""

_BAR = 40
"""Characters of the longest bar."""

_TREND_EXAMPLES = """\
\b
Examples:
  skep cost trend
  skep cost trend --per hour --since 48h
"""

_SAVINGS_EXAMPLES = """\
\b
Examples:
  skep cost savings
  skep cost savings --since 30d
"""

_PRIVACY_EXAMPLES = """\
\b
Examples:
  skep cost privacy
  skep cost privacy --by key --per day --since 30d --format csv
"""

_STREAMS_EXAMPLES = """\
\b
Examples:
  skep cost streams
  skep cost streams --since 30d --json
"""

cost_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Show what calls of models cost.")
app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
app.add_typer(cost_app, name="cost")


SinceOption = Annotated[
    datetime,
    typer.Option("--since", metavar="WHEN", parser=parse_since, help="A span such as 7d, 24h or 90m, or a date."),
]
UntilOption = Annotated[
    datetime | None,
    typer.Option("--until", metavar="WHEN", parser=parse_since, help="The same; default: now."),
]


@cost_app.command("report", epilog=_REPORT_EXAMPLES)
def report(
    context: typer.Context,
    by: Annotated[ReportBy, typer.Option("--by", help="What to add up by.")] = "model",
    since: SinceOption = "7d",  # type: ignore[assignment]  # typer parses it
    until: UntilOption = None,
    format_: Annotated[
        Literal["table", "csv", "json"], typer.Option("--format", help="How to show it; json is --json.")
    ] = "table",
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Show what calls of the project cost and how long they took, the dearest first. A call with several tags counts for each."""
    terminal = Terminal(json=json or format_ == "json")
    lines = with_skep(
        settings_for(context, terminal, config, data_dir),
        terminal,
        lambda skep, who: Ledger(skep.database).report(who, by=by, since=since, until=until),
    )
    shown = report_csv(lines).rstrip() if format_ == "csv" else "\n".join(_table(by, lines))
    terminal.result(Report(by, since, until, lines), shown)


@cost_app.command("trend", epilog=_TREND_EXAMPLES)
def trend(
    context: typer.Context,
    per: Annotated[TrendPer, typer.Option("--per", help="By hour or day, in UTC.")] = "day",
    since: SinceOption = "45d",  # type: ignore[assignment]  # typer parses it
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Show what calls of the project cost by hour or day, at which pace, and where that leads by the end of the month."""
    terminal = Terminal(json=json)
    found = with_skep(
        settings_for(context, terminal, config, data_dir),
        terminal,
        lambda skep, who: Ledger(skep.database).trend(who, per=per, since=since),
    )
    terminal.result(found, "\n".join(trend_text(found, datetime.now(UTC))))


def trend_text(found: Trend, now: datetime) -> Iterator[str]:
    """The costs in words, and where they lead."""
    if not found.points:
        yield "no calls in this time"
        return
    most = max(point.cost_nusd for point in found.points) or 1
    width = max(len(point.cost_usd) for point in found.points)
    for point in found.points:
        start = f"{point.start:%Y-%m-%d}" if found.per == "day" else f"{point.start:%Y-%m-%d %H:%M}"
        bar = "#" * round(_BAR * point.cost_nusd / most)
        yield f"{start}  {point.cost_usd.rjust(width)} USD  {point.calls:>7} calls  {bar}".rstrip()
    pace = found.pace
    if pace is not None:
        before = "" if pace.usd_per_day_before is None else f" ({pace.usd_per_day_before} in the days before)"
        yield f"{pace.usd_per_day} USD a day of late{before}; {pace.month_usd} USD this month, at this pace {pace.month_end_usd} at its end"
    elif found.since <= now.replace(day=1, hour=0, minute=0, second=0, microsecond=0):
        yield "at which pace, and where that leads, is not known before a whole day (UTC) is over"


@cost_app.command("savings", epilog=_SAVINGS_EXAMPLES)
def savings(
    context: typer.Context,
    since: SinceOption = "7d",  # type: ignore[assignment]  # typer parses it
    until: UntilOption = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Show what calls of the project saved: by answers that were kept, and by streams that were ended early."""
    terminal = Terminal(json=json)
    found = with_skep(
        settings_for(context, terminal, config, data_dir),
        terminal,
        lambda skep, who: Ledger(skep.database).savings(who, since=since, until=until),
    )
    terminal.result(found, "\n".join(savings_text(found)))


def savings_text(found: Savings) -> Iterator[str]:
    """The report in words."""
    if not found.lines:
        yield "nothing was saved in this time"
        return
    if not any(line.saved_nusd for line in found.lines):
        yield "nothing is known to have been saved"
    else:
        least = "at least " if any(line.unknown for line in found.lines) else ""
        yield f"{least}{found.saved_usd} USD were saved"
    for line in found.lines:
        how = "answered from the cache" if line.by == "cache" else f"ended early ({line.by})"
        yield f"  {line.calls} call{'' if line.calls == 1 else 's'} {how}: {_saved_by(line)}"


def _saved_by(line: SavingsLine) -> str:
    if line.unknown == line.calls:
        return "what that saved is not known, since the price is not"
    if line.by == "cache":
        # What an answer of unknown price would have cost counts as nothing there.
        return f"{line.saved_usd} USD" if line.saved_nusd else "0.00 USD, since it is free or has no known price"
    return f"about {line.saved_usd} USD" + (f"; of {line.unknown} it is not known" if line.unknown else "")


@cost_app.command("privacy", epilog=_PRIVACY_EXAMPLES)
def privacy(
    context: typer.Context,
    by: Annotated[ReportBy, typer.Option("--by", help="What to add up by.")] = "project",
    per: Annotated[
        Literal["span", "day"], typer.Option("--per", help="All days together, or each (UTC) by itself.")
    ] = "span",
    since: SinceOption = "7d",  # type: ignore[assignment]  # typer parses it
    until: UntilOption = None,
    format_: Annotated[
        Literal["table", "csv", "json"], typer.Option("--format", help="How to show it; json is --json.")
    ] = "table",
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Show how many calls of the project, with how many tokens and at what cost, stayed in the house or left it."""
    terminal = Terminal(json=json or format_ == "json")
    found = with_skep(
        settings_for(context, terminal, config, data_dir),
        terminal,
        lambda skep, who: Reports(skep.database).privacy(who, by=by, per_day=per == "day", since=since, until=until),
    )
    shown = privacy_csv(found.lines).rstrip() if format_ == "csv" else "\n".join(_privacy_text(found))
    terminal.result(found, shown)


def _privacy_text(found: Privacy) -> Iterator[str]:
    if not found.lines:
        yield "no calls in this time"
        return
    heads = ("day", found.by, "calls", "stayed", "local", "kept", "remote", "unknown", "tokens stayed", "remote USD")
    rows = [heads] + [
        (
            "all" if line.day is None else f"{line.day:%Y-%m-%d}",
            line.value or "(none)",
            str(line.calls),
            _percent(line.stayed_share),
            *map(str, (line.local, line.kept, line.remote, line.unknown)),
            _percent(line.stayed_token_share),
            line.remote_cost_usd,
        )
        for line in found.lines
    ]
    yield from _aligned(rows, left=2)


@cost_app.command("streams", epilog=_STREAMS_EXAMPLES)
def streams(
    context: typer.Context,
    since: SinceOption = "7d",  # type: ignore[assignment]  # typer parses it
    until: UntilOption = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Show what streams brought, by model: how much sooner clients had something to read, and what was ended early."""
    terminal = Terminal(json=json)
    found = with_skep(
        settings_for(context, terminal, config, data_dir),
        terminal,
        lambda skep, who: Reports(skep.database).streams(who, since=since, until=until),
    )
    terminal.result(found, "\n".join(_streams_text(found)))


def _streams_text(found: Streams) -> Iterator[str]:
    if not found.lines:
        yield "no calls in this time"
        return
    heads = (
        "model",
        "calls",
        "streams",
        "first token ms",
        "end of stream ms",
        "whole answer ms",
        "saved wait s",
        "cancelled",
        "ended early",
    )
    rows = [heads] + [
        (
            line.model,
            str(line.calls),
            _percent(line.stream_share),
            *map(_mean, (line.mean_first_ms, line.mean_stream_ms, line.mean_whole_ms)),
            f"{line.saved_wait_seconds:.1f}",
            _percent(line.cancelled_share),
            str(line.stopped),
        )
        for line in found.lines
    ]
    yield from _aligned(rows, left=1)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _mean(ms: float | None) -> str:
    return "-" if ms is None else f"{ms:.0f}"


def _aligned(rows: Sequence[Sequence[str]], *, left: int) -> Iterator[str]:
    """Rows as lines, the first so many columns at the left, the others at the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(cells).rstrip()


def _table(by: ReportBy, lines: Sequence[ReportLine]) -> Iterator[str]:
    if not lines:
        yield "no calls in this time"
        return
    heads = (
        by,
        "calls",
        "USD",
        "unpriced",
        "failed",
        "tokens in",
        "out",
        "first token p50/p95/p99 ms",
        "whole p50/p95/p99 ms",
    )
    rows = [heads, *(_cells(line) for line in lines)]
    if any(line.cached for line in lines):
        saved = [("from the cache", "saved USD"), *((str(line.cached), line.saved_usd) for line in lines)]
        rows = [(*row, *more) for row, more in zip(rows, saved, strict=True)]
    yield from _aligned(rows, left=1)


def _cells(line: ReportLine) -> tuple[str, ...]:
    counts = (line.calls, line.cost_usd, line.unpriced, line.failed, line.input_tokens, line.output_tokens)
    return (line.value or "(none)", *map(str, counts), _times(line.ttft), _times(line.duration))


def _times(found: Percentiles | None) -> str:
    return "-" if found is None else f"{found.p50_ms:.0f}/{found.p95_ms:.0f}/{found.p99_ms:.0f}"
