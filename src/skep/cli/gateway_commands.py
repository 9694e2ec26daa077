"""``skep gateway``: how calls of models fare, all of them and single ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from skep.cli.advice_command import ADVICE_EXAMPLES, advice
from skep.cli.asking import ask_server
from skep.cli.dashboards_command import DASHBOARDS_EXAMPLES, dashboards
from skep.cli.interfaces import ModelUnknownError
from skep.cli.lease_commands import LEASES_EXAMPLES, RELEASE_EXAMPLES, leases, release
from skep.cli.model_names import unmatched
from skep.cli.opening import ConfigOption, DataDirOption, JsonOption, settings_for, with_skep
from skep.cli.route_tests import RouteTest, told, try_routes
from skep.spend import Ledger, explanation_lines, parse_since, usd_text
from skep.terminal import Terminal

_EXAMPLES = """\
\b
Examples:
  skep gateway status
  skep gateway status --json
"""

_EXPLAIN_EXAMPLES = """\
\b
Examples:
  skep gateway explain 019ac1f2-7c1e-7d3a-9b1c-0a5e8f1d2c3b
  skep gateway explain 019ac1f2-7c1e-7d3a-9b1c-0a5e8f1d2c3b --content
"""
_RELOAD_EXAMPLES = """\
\b
Examples:
  skep gateway reload
  skep gateway reload --json
"""

_EXPERIMENT_EXAMPLES = """\
\b
Examples:
  skep gateway experiment cheaper
  skep gateway experiment cheaper --since 24h --json
"""

_CLEAR_EXAMPLES = """\
\b
Examples:
  skep gateway clear-cache --tag docs --tag prices
  skep gateway clear-cache --model smart
  skep gateway clear-cache
"""

_MODELS_EXAMPLES = """\
\b
Examples:
  skep gateway models
  skep gateway models --json
"""

_TEST_EXAMPLES = """\
\b
Examples:
  skep gateway test
  skep gateway test smart
"""

gateway_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Look at how calls of models fare.")
app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
app.add_typer(gateway_app, name="gateway")


@gateway_app.command("status", epilog=_EXAMPLES)
def status(
    context: typer.Context, config: ConfigOption = None, data_dir: DataDirOption = None, json: JsonOption = False
) -> None:
    """Show how the providers and routes fare: breakers, failures, health checks, and in which process calls are under way."""
    terminal = Terminal(json=json)
    answer = ask_server(settings_for(context, terminal, config, data_dir), "/api/v1/gateway/status")
    terminal.result(answer, lambda: "\n".join(_lines(answer)))


@gateway_app.command("explain", epilog=_EXPLAIN_EXAMPLES)
def explain(
    context: typer.Context,
    call_id: Annotated[str, typer.Argument(metavar="CALL_ID", help="From the header x-skep-call-id of its answer.")],
    content: Annotated[
        bool, typer.Option("--content", help="Show what was said instead, where gateway.content had it kept.")
    ] = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Explain a call: what was tried, how long it took, what it cost and why, which budgets and limits counted it."""
    terminal = Terminal(json=json)
    settings = settings_for(context, terminal, config, data_dir)
    if content:
        # By the server, whose log tells who has read it.
        said = ask_server(settings, f"/api/v1/calls/{quote(call_id, safe='')}/content")
        terminal.result(said, lambda: f"request:\n{said['request']}\nanswer:\n{said['answer']}")
        return
    found = with_skep(
        settings,
        terminal,
        lambda skep, who: Ledger(skep.database).call(who, call_id),
    )
    terminal.result(found, lambda: "\n".join(explanation_lines(found)))


@gateway_app.command("reload", epilog=_RELOAD_EXAMPLES)
def reload(
    context: typer.Context, config: ConfigOption = None, data_dir: DataDirOption = None, json: JsonOption = False
) -> None:
    """Have the running server read its settings again: providers, models, guards, roles, services, gateway.* and log.level count at once."""
    terminal = Terminal(json=json)
    answer = ask_server(settings_for(context, terminal, config, data_dir), "/api/v1/gateway/reload", method="POST")
    terminal.result(answer, lambda: "\n".join(_reloaded(answer)))


@gateway_app.command("experiment", epilog=_EXPERIMENT_EXAMPLES)
def experiment(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name in the settings.")],
    since: Annotated[
        datetime,
        typer.Option("--since", metavar="WHEN", parser=parse_since, help="A span such as 7d, 24h or 90m, or a date."),
    ] = "7d",  # type: ignore[assignment]  # typer parses it
    until: Annotated[
        datetime | None,
        typer.Option("--until", metavar="WHEN", parser=parse_since, help="The same; default: now."),
    ] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Compare the arms of an experiment: failures, cost and times of the project's calls, with intervals of 95 %."""
    terminal = Terminal(json=json)
    span = {"since": since.isoformat()} | ({} if until is None else {"until": until.isoformat()})
    path = f"/api/v1/gateway/experiments/{quote(name, safe='')}?{urlencode(span)}"
    answer = ask_server(settings_for(context, terminal, config, data_dir), path)
    terminal.result(answer, lambda: "\n".join(_compared(answer)))


gateway_app.command("advice", epilog=ADVICE_EXAMPLES)(advice)
gateway_app.command("dashboards", epilog=DASHBOARDS_EXAMPLES)(dashboards)
gateway_app.command("leases", epilog=LEASES_EXAMPLES)(leases)
gateway_app.command("release", epilog=RELEASE_EXAMPLES)(release)


@gateway_app.command("clear-cache", epilog=_CLEAR_EXAMPLES)
def clear_cache(
    context: typer.Context,
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="TAG", help="Answers with this tag; can be given more than once."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="NAME", help="Answers of this model; can be given more than once."),
    ] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Give kept answers no more: those with a tag, those of a model, or all of the key's project."""
    terminal = Terminal(json=json)
    body = {"tags": tag or [], "models": model or []}
    settings = settings_for(context, terminal, config, data_dir)
    answer = ask_server(settings, "/api/v1/gateway/cache/clear", method="POST", body=body)
    terminal.result(answer, lambda: f"cleared: {', '.join(answer['cleared'])}")
    if model:
        known = [each["name"] for each in ask_server(settings, "/api/v1/gateway/models")["models"]]
        for sentence in unmatched(model, known):
            terminal.warn(f"{sentence} If there never was one, nothing was kept of it.")


@gateway_app.command("models", epilog=_MODELS_EXAMPLES)
def models(
    context: typer.Context, config: ConfigOption = None, data_dir: DataDirOption = None, json: JsonOption = False
) -> None:
    """Show what is known of the models and their routes: what they can be asked for, context windows, prices, whether they are local."""
    terminal = Terminal(json=json)
    answer = ask_server(settings_for(context, terminal, config, data_dir), "/api/v1/gateway/models")
    terminal.result(answer, lambda: "\n".join(_facts(answer)))


@gateway_app.command("test", epilog=_TEST_EXAMPLES)
def try_models(
    context: typer.Context,
    model: Annotated[list[str] | None, typer.Argument(metavar="MODEL", help="Which to try; all when left out.")] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Try every route of the models with a tiny call each, which costs what it costs. Exits with 1 when one did not answer."""
    terminal = Terminal(json=json)
    settings = settings_for(context, terminal, config, data_dir)
    known = ask_server(settings, "/api/v1/gateway/models")["models"]
    missing = [name for name in model or () if name not in [each["name"] for each in known]]
    if missing:
        raise ModelUnknownError(name=missing[0], known=", ".join(each["name"] for each in known) or "there are none")
    found = list[RouteTest]()
    for each in try_routes(settings, [one for one in known if not model or one["name"] in model]):
        found.append(each)
        if not json:
            terminal.say(told(each))
    counts = Counter(each.result for each in found)
    untried = f", {counts['untried']} were not tried" if counts["untried"] else ""
    terminal.result(
        {"tests": found, "failed": counts["failed"], "untried": counts["untried"]},
        f"{counts['ok']} of {len(found) - counts['untried']} routes answered{untried}",
    )
    if counts["failed"]:
        raise typer.Exit(1)


def _facts(answer: dict[str, Any]) -> Iterator[str]:
    for model in answer["models"]:
        tier = f", tier {model['tier']}" if model["tier"] else ""
        yield f"{model['name']} ({model['strategy']}{tier})"
        for route in model["routes"]:
            window = "window not known" if route["context_window"] is None else f"window {route['context_window']:,}"
            price = "priced" if route["is_priced"] else "price not known"
            place = "local" if route["is_local"] else "remote"
            purpose = f"for {route['purpose']}; " if route["purpose"] else ""
            yield f"  {route['route']} ({route['kind']}, {place}): {window}, {price}; {purpose}{', '.join(route['faces'])}"
    if not answer["models"]:
        yield "no models are configured: see providers and models in the settings"


def _compared(answer: dict[str, Any]) -> Iterator[str]:
    for arm in answer["arms"]:
        cached = f", {arm['cached']} more from the cache" if arm["cached"] else ""
        yield f"{arm['arm']}: {arm['calls']} calls by {arm['keys']} keys{cached}"
        if not arm["calls"]:
            continue
        yield f"  failed: {arm['failed']}, {_share(arm['failure_rate'])}"
        cost = "not known of two calls or more" if arm["mean_cost_nusd"] is None else _usd(arm["mean_cost_nusd"])
        yield f"  cost of a call: {cost}"
        for what, times in (("until the first token", arm["ttft"]), ("in all", arm["duration"])):
            if times is not None:
                yield f"  {what}: {times['p50_ms']:.0f} ms in the middle, {times['p95_ms']:.0f} ms at 95 %"
        if arm["mean_duration_ms"] is not None:
            yield f"  in all, on average: {_ms(arm['mean_duration_ms'])}"
        yield f"  tokens put out: {arm['output_tokens']}, {arm['output_tokens'] / arm['calls']:.0f} a call"
    for each in answer["differences"]:
        yield f"{each['arm']} and {each['to']}: {each['words']}"
        if each["failure_rate"] is not None:
            yield f"  failures: {_share(each['failure_rate'], sign='+')}"
        if each["mean_cost_nusd"] is not None:
            yield f"  cost of a call: {_usd(each['mean_cost_nusd'])}"
        if each["mean_duration_ms"] is not None:
            yield f"  in all: {_ms(each['mean_duration_ms'], sign='+')}"


def _share(found: dict[str, float], sign: str = "") -> str:
    value, low, high = (f"{100 * found[name]:{sign}.2f}" for name in ("value", "low", "high"))
    return f"{value} % ({low} to {high})"


def _ms(found: dict[str, float], sign: str = "") -> str:
    value, low, high = (f"{found[name]:{sign}.0f}" for name in ("value", "low", "high"))
    return f"{value} ms ({low} to {high})"


def _usd(found: dict[str, float]) -> str:
    value, low, high = (usd_text(round(found[name])) for name in ("value", "low", "high"))
    return f"{value} USD ({low} to {high})"


def _reloaded(answer: dict[str, Any]) -> Iterator[str]:
    changed = ", ".join(answer["changed"])
    yield f"counts from now on: {changed}" if changed else "nothing that counts at once has changed"
    if answer["needs_restart"]:
        yield f"counts when the server is started anew: {', '.join(answer['needs_restart'])}"


def _lines(answer: dict[str, Any]) -> Iterator[str]:
    processes = answer["processes"]
    for process in processes:
        yield (
            f"process {process['process']}{_elsewhere(process, processes[0])}: {process['active_calls']} calls under way,"
            f" {process['waiting_calls']} wait; heard of {process['seen_seconds_ago']:g} s ago"
        )
    if answer["others_unknown"]:
        yield f"other processes are not known now: {answer['others_unknown']}"
    for provider in answer["providers"]:
        yield f"provider {provider['provider']} ({provider['kind']}, {provider['base_url']}): {_health(provider)}"
    for route in answer["routes"]:
        breaker = route["breaker"]
        state = breaker["state"].replace("_", "-")
        if breaker["state"] == "open":
            state += f" for another {breaker['opens_again_in_seconds']:g} s"
        if breaker["state"] != "closed":
            closed = sum(_is_closed(process, route["route"]) for process in processes)
            state += f" in {len(processes) - closed} of {len(processes)} processes"
        failure = f"; last failure: {route['last_failure']}" if route["last_failure"] else ""
        yield f"route {route['route']}: breaker {state}, {route['failures']} of {route['calls']} attempts failed{failure}"
    for journal, size in answer["foreign_journals"].items():
        yield f"journal {journal}: {size} bytes of calls that belong to another database or version, left alone"
    if not answer["routes"]:
        yield "no models are configured: see providers and models in the settings"


def _health(provider: dict[str, Any]) -> str:
    if not provider["health_check_seconds"]:
        return "no health checks"
    if provider["is_well"] is None:
        return "not checked yet"
    asked = f"asked {provider['checked_seconds_ago']:g} s ago"
    return f"well, {asked}" if provider["is_well"] else f"unwell, {asked}: {provider['reason']}"


def _elsewhere(process: dict[str, Any], first: dict[str, Any]) -> str:
    return "" if process["node"] == first["node"] else f" of node {process['node']}"


def _is_closed(process: dict[str, Any], route: str) -> bool:
    return all(each["breaker"]["state"] == "closed" for each in process["routes"] if each["route"] == route)
