"""Dashboards for Grafana: one on the views of the ledger, one on what `/metrics` tells. Pure: the one place that both are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from skep.store import Queries

_queries = Queries("skep.cli")

SCHEMA_VERSION = 41
"""Of Grafana 12; older ones take what they know of it, newer ones bring it up to date themselves."""

_COLUMNS = 24
_HEIGHT = 8

Kind = Literal["timeseries", "table", "stat"]


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture."""

    title: str
    kind: Kind
    query: str
    """The name of a statement in `queries.sql`, or PromQL."""
    unit: str = "short"
    """As Grafana names it."""
    legend: str = ""
    """Of PromQL: which labels name a line."""
    width: int = 12
    bars: bool = False


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Pictures of one source."""

    uid: str
    title: str
    source: str
    """The kind of data source, as Grafana names it."""
    panels: tuple[Panel, ...]
    variables: tuple[Mapping[str, Any], ...] = ()


_SPAN = "$__timeFilter(day) and project in ($project)"
_DAY = "day::timestamp at time zone 'UTC'"


def _sql(name: str) -> str:
    """A statement of ours, with what stands for the span of days and for a day's beginning put in."""
    text = _queries[name].decode()
    return text.replace("$span", _SPAN).replace("$day", _DAY)


_LEDGER = (
    Panel("Spent", "stat", "show_spent", "currencyUSD", width=6),
    Panel("Calls", "stat", "show_calls", width=6),
    Panel(
        "Saved by kept answers and early ends",
        "stat",
        "show_saved_by_kept_answers_and_early_ends",
        "currencyUSD",
        width=6,
    ),
    Panel("Stayed in the house", "stat", "show_stayed_in_the_house", "percentunit", width=6),
    Panel("Spent by model", "timeseries", "show_spent_by_model", "currencyUSD", bars=True),
    Panel("Tokens", "timeseries", "show_tokens", bars=True),
    Panel("Spent by key", "table", "show_spent_by_key"),
    Panel("Spent by user", "table", "show_spent_by_user"),
    Panel("Time until the end", "timeseries", "show_time_until_the_end", "ms"),
    Panel("Time until the first token of streams", "timeseries", "show_time_until_the_first_token_of_streams", "ms"),
    Panel("Calls that failed, by outcome", "timeseries", "show_calls_that_failed_by_outcome", bars=True),
    Panel("Attempts that failed, by route", "table", "show_attempts_that_failed_by_route"),
    Panel("Routes", "table", "show_routes"),
    Panel("Answers that were kept", "timeseries", "show_answers_that_were_kept", bars=True),
    Panel("Tiers over the last 30 days", "table", "show_tiers_over_the_last_30_days"),
    Panel("What streams brought", "table", "show_what_streams_brought"),
    Panel("Where calls went", "timeseries", "show_where_calls_went", bars=True),
    Panel("Where calls of keys went", "table", "show_where_calls_of_keys_went"),
)

_RATE = "[$__rate_interval]"

_METRICS = (
    Panel(
        "Calls, by outcome",
        "timeseries",
        f"sum by (outcome) (rate(skep_model_calls_total{_RATE}))",
        "reqps",
        "{{outcome}}",
    ),
    Panel(
        "Calls, by kind of provider",
        "timeseries",
        f"sum by (provider) (rate(skep_model_calls_total{_RATE}))",
        "reqps",
        "{{provider}}",
    ),
    Panel(
        "Share of calls that failed",
        "timeseries",
        f'sum(rate(skep_model_calls_total{{outcome!~"ok|cancelled"}}{_RATE})) / sum(rate(skep_model_calls_total{_RATE}))',
        "percentunit",
        "failed",
    ),
    Panel(
        "Dollars an hour",
        "timeseries",
        f"3600 * sum by (provider) (rate(external_api_credit_used_total{_RATE}))",
        "currencyUSD",
        "{{provider}}",
    ),
    Panel(
        "Tokens", "timeseries", f"sum by (direction) (rate(skep_model_tokens_total{_RATE}))", "short", "{{direction}}"
    ),
    Panel(
        "Lookups of kept answers",
        "timeseries",
        f"sum by (outcome) (rate(skep_answer_cache_lookups_total{_RATE}))",
        "reqps",
        "{{outcome}}",
    ),
    Panel(
        "Calls without room in budgets and limits",
        "timeseries",
        f"sum by (kind, mode) (rate(skep_calls_without_room_total{_RATE}))",
        "reqps",
        "{{kind}} {{mode}}",
    ),
    Panel(
        "Alerts of the last hour",
        "timeseries",
        "sum by (kind, percent) (increase(skep_alerts_total[1h]))",
        "short",
        "{{kind}} {{percent}} %",
    ),
    Panel(
        "Streams ended early",
        "timeseries",
        f"sum by (condition) (rate(skep_streams_stopped_total{_RATE}))",
        "reqps",
        "{{condition}}",
    ),
    Panel(
        "Findings of guards",
        "timeseries",
        f"sum by (kind, action) (rate(skep_guard_findings_total{_RATE}))",
        "short",
        "{{kind}} {{action}}",
    ),
    Panel(
        "Time of requests, p95",
        "timeseries",
        f"histogram_quantile(0.95, sum by (le, route) (rate(skep_http_request_duration_seconds_bucket{_RATE})))",
        "s",
        "{{route}}",
    ),
    Panel(
        "Requests, by status",
        "timeseries",
        f"sum by (status) (rate(skep_http_requests_total{_RATE}))",
        "reqps",
        "{{status}}",
    ),
    Panel("Requests being answered", "timeseries", "sum(skep_http_requests_in_flight)", "short", "in flight"),
    Panel(
        "Time of searches, p95",
        "timeseries",
        f"histogram_quantile(0.95, sum by (le) (rate(skep_search_duration_seconds_bucket{_RATE})))",
        "s",
        "p95",
    ),
    Panel(
        "Age of what is not searchable yet",
        "timeseries",
        "max by (follower) (skep_freshness_lag_seconds)",
        "s",
        "{{follower}}",
    ),
    Panel("The database answers", "stat", "min(skep_database_up)", "short", "database"),
)

_POSTGRESQL, _PROMETHEUS = "grafana-postgresql-datasource", "prometheus"

_PROJECTS: Mapping[str, Any] = {
    "name": "project",
    "label": "Project",
    "type": "query",
    "datasource": {"type": _POSTGRESQL, "uid": "${datasource}"},
    "multi": True,
    "includeAll": True,
    "current": {"text": ["All"], "value": ["$__all"]},
    "refresh": 1,
}

DASHBOARDS = (
    Dashboard("skep-ledger", "Skep: what calls cost", _POSTGRESQL, _LEDGER, (_PROJECTS,)),
    Dashboard("skep-metrics", "Skep: how it fares", _PROMETHEUS, _METRICS),
)


def grafana_json(dashboard: Dashboard) -> dict[str, Any]:
    """A dashboard as Grafana imports it; it asks which data source it shall have."""
    source = {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": dashboard.source,
        "current": {},
        "refresh": 1,
    }
    days = 30 if dashboard.source == _POSTGRESQL else 1
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["skep"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "timezone": "utc",
        "time": {"from": f"now-{days}d", "to": "now"},
        "refresh": "",
        "templating": {"list": [source, *({**each, "query": _sql("list_projects")} for each in dashboard.variables)]},
        "annotations": {"list": []},
        "panels": _panels(dashboard),
    }


def _panels(dashboard: Dashboard) -> Sequence[dict[str, Any]]:
    found, x, y = list[dict[str, Any]](), 0, 0
    for number, panel in enumerate(dashboard.panels, 1):
        if x + panel.width > _COLUMNS:
            x, y = 0, y + _HEIGHT
        place = {"x": x, "y": y, "w": panel.width, "h": _HEIGHT}
        found.append(_panel(dashboard, panel, number, place))
        x += panel.width
    return found


def _panel(dashboard: Dashboard, panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    source = {"type": dashboard.source, "uid": "${datasource}"}
    target: dict[str, Any] = {"refId": "A", "datasource": source}
    if dashboard.source == _POSTGRESQL:
        form = "time_series" if panel.kind == "timeseries" else "table"
        target |= {"rawSql": _sql(panel.query), "rawQuery": True, "editorMode": "code", "format": form}
    else:
        target |= {"expr": panel.query, "legendFormat": panel.legend, "editorMode": "code", "range": True}
    custom = {"drawStyle": "bars", "fillOpacity": 60, "stacking": {"mode": "normal"}} if panel.bars else {}
    return {
        "id": number,
        "title": panel.title,
        "type": panel.kind,
        "datasource": source,
        "gridPos": place,
        "targets": [target],
        "fieldConfig": {
            "defaults": {"unit": panel.unit if panel.kind != "table" else "short", "custom": custom},
            "overrides": [],
        },
        "options": {},
    }
