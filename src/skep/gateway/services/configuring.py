"""Reads the section ``services`` of the settings. Pure; every problem is told at once, with its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from skep.gateway.addresses import is_private, read_address, read_headers, stays_in_the_house
from skep.gateway.models import Provider
from skep.gateway.services.models import METHODS, SERVICE_PROFILE, CostRule, Service, service_model
from skep.gateway.tables import Table
from skep.settings import Secret

_MOST_SECONDS = 3_600.0


def read_services(tables: Mapping[str, Table]) -> dict[str, Service]:
    """The services of the section's tables, by name; of broken ones the problems are noted, and they are left out."""
    services = {}
    for name, table in tables.items():
        if not name.replace("-", "").replace("_", "").isalnum() or not name.isascii():
            table.problem(
                "", "the name of a service has letters, digits, hyphens and underscores: it stands in an address"
            )
        service = _service(name, table)
        table.finish()
        if service is not None:
            services[name] = service
    return services


def _service(name: str, table: Table) -> Service | None:
    address = read_address(table)
    if address is None and not table.has("base_url"):
        table.problem("base_url", "is missing; expected an address such as https://api.example.com/v1")
    key = table.text("api_key")
    key_header = (table.text("key_header") or "authorization").lower()
    is_local = table.flag("local")
    headers = read_headers(table)
    connect = table.seconds("connect_timeout_seconds", 5.0, least=0.05, most=300.0)
    private = table.flag("private")
    timeout = table.seconds("timeout_seconds", 60.0, least=0.05, most=_MOST_SECONDS)
    idle = table.seconds("idle_timeout_seconds", min(60.0, timeout), least=0.05, most=_MOST_SECONDS)
    methods = table.words("methods", METHODS, default=METHODS)
    cost = table.money("cost_usd")
    costs = _costs(table) if table.has("costs") else ()
    if address is None:
        return None
    if not private and is_private(address):
        table.problem("base_url", "this address is private; say private: true to have it called")
    # A key with a space says its own scheme, such as Basic.
    prefix = "Bearer " if key_header == "authorization" and key is not None and " " not in key else ""
    provider = Provider(
        name=service_model(name),
        profile=replace(SERVICE_PROFILE, key_header=key_header, key_prefix=prefix),
        base_url=address,
        api_key=Secret(key) if key else None,
        headers=headers,
        is_local=stays_in_the_house(address) if is_local is None else is_local,
        connect_timeout_seconds=connect,
        allows_private=bool(private),
    )
    return Service(
        name=name,
        provider=provider,
        methods=methods,
        costs=costs,
        cost_nusd=cost,
        timeout_seconds=timeout,
        idle_timeout_seconds=idle,
    )


def _costs(table: Table) -> tuple[CostRule, ...]:
    found = []
    for inner in table.tables("costs"):
        methods = inner.words("methods", METHODS, default=())
        path = inner.text("path") or "*"
        cost = inner.money("cost_usd", required=True)
        inner.finish()
        if cost is not None:
            found.append(CostRule(methods, path, cost))
    return tuple(found)
