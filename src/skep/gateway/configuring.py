"""Reads the sections ``providers``, ``guards``, ``models`` and ``roles`` of the settings. Pure; every problem is told at once, with its place."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from ipaddress import ip_address
from typing import cast, get_args
from urllib.parse import urlsplit

from skep.gateway.experiments import read_experiment
from skep.gateway.failures import FAILURES, Kind
from skep.gateway.guarding import GuardRules, read_guard
from skep.gateway.models import LOCAL_MODEL, ROLE, TIER, Experiment, GatewayConfig, Model, Provider, Route, Strategy
from skep.gateway.pricing import Terms, read_price, read_terms
from skep.gateway.profiles import FORMAT_FACES, PROFILES, Profile, profiles_by_kind
from skep.gateway.roles import read_role
from skep.gateway.tables import Path, Table, Told
from skep.settings import InvalidSettingsError, OpenSection, Problem, Secret
from skep.spend import Price

PriceOf = Callable[[str, str], Price | None]
"""The usual price of a model, by the provider's name in the price list and the model's name there."""

_MOST_SECONDS = 86_400.0
_TIER = re.compile(r"[A-Za-z0-9._-]{1,40}")
LONGEST_CACHE_SECONDS = 604_800
"""A week. Clearings are remembered for longer, so that none is forgotten before what it cleared."""

_OUR_HEADERS = ("host", "content-length", "transfer-encoding", "connection", "accept-encoding")

USUAL_FALLBACKS = frozenset(kind for kind, rule in FAILURES.items() if rule.falls_back)


def no_price(_provider: str, _model: str) -> Price | None:
    """For an installation without a price list."""
    return None


def read_config(
    sections: Mapping[str, OpenSection], *, price_of: PriceOf = no_price, profiles: Iterable[Profile] = PROFILES
) -> GatewayConfig:
    """The providers, models and roles of the settings' open sections.

    Raises InvalidSettingsError with everything that is wrong.
    """
    problems: list[Problem] = []
    kinds = profiles_by_kind(tuple(profiles))
    told_providers = _told(sections, "providers", problems)
    providers = {}
    for name, table in told_providers.items():
        provider = _provider(name, table, kinds)
        table.finish()
        if provider is not None:
            providers[name] = provider
    guards = GuardRules()
    for name, table in _told(sections, "guards", problems).items():
        guards.add(
            name,
            read_guard(name, table, {each: providers.get(each) for each in told_providers}),
            everywhere=table.flag("everywhere") or False,
        )
        table.finish()
    models, experiments = {}, dict[str, str]()
    told_models = _told(sections, "models", problems)
    for name, table in told_models.items():
        experiment = read_experiment(name, table, told_models)
        if experiment is not None and experiments.setdefault(experiment.name, name) != name:
            other = experiments[experiment.name]
            table.problem("experiment", f"{other} has an experiment of the name {experiment.name} already")
        model = _model(name, table, providers, frozenset(told_providers), price_of, experiment)
        guarded_by = guards.of(table)
        table.finish()
        if model is not None:
            models[name] = replace(model, guards=guarded_by)
    roles, tiers = {}, dict.fromkeys(model.tier for model in models.values() if model.tier is not None)
    for name, table in _told(sections, "roles", problems).items():
        role = read_role(name, table, tuple(told_models), tuple(tiers))
        table.finish()
        if role is not None:
            roles[name] = role
    if problems:
        raise InvalidSettingsError(problems)
    return GatewayConfig(providers=providers, models=models, roles=roles)


def _told(sections: Mapping[str, OpenSection], name: str, problems: list[Problem]) -> dict[str, Table]:
    """The tables of a section by name; broken ones are noted and left out."""
    section = sections.get(name)
    if section is None or section.value is None:
        return {}
    if not isinstance(section.value, dict):
        problems.append(Problem(section.place(()), name, "expected names with values, indented below it"))
        return {}
    tables = {}
    for key, value in section.value.items():
        path: Path = (key,)
        if not isinstance(value, dict):
            problems.append(Problem(section.place(path), f"{name}.{key}", "expected names with values"))
        elif not key.strip() or len(key) > 200 or not key.isprintable():
            problems.append(
                Problem(section.place(path), f"{name}.{key!r}", "a name is 1 to 200 characters that can be seen")
            )
        else:
            tables[key] = Table(Told(section, problems), path, value)
    return tables


def _provider(name: str, table: Table, kinds: Mapping[str, Profile]) -> Provider | None:
    kind = table.choice("kind", tuple(kinds), default="openai_compatible" if table.has("base_url") else None)
    profile = kinds.get(kind or "")
    base_url = _base_url(table)
    key = table.text("api_key")
    headers = _headers(table)
    is_local = table.flag("local")
    connect = table.seconds("connect_timeout_seconds", 5.0, least=0.05, most=300.0)
    health = table.seconds("health_check_seconds", 0.0, least=0.0, most=_MOST_SECONDS)
    if profile is None:
        return None
    if base_url is None and profile.base_url is None and not table.has("base_url"):
        table.problem("base_url", f"the kind {profile.kind} has no address of its own; name one")
    if key is None and profile.needs_key and not table.has("api_key"):
        table.problem("api_key", f"the kind {profile.kind} needs a key, such as ${{{name.upper()}_API_KEY}}")
    address = base_url or profile.base_url
    if address is None:
        return None
    return Provider(
        name=name,
        profile=profile,
        base_url=address,
        api_key=Secret(key) if key else None,
        headers=headers,
        is_local=stays_in_the_house(address) if is_local is None else is_local,
        connect_timeout_seconds=connect,
        health_check_seconds=health,
    )


def stays_in_the_house(address: str) -> bool:
    """Whether an address is of this machine or of a private network, as far as it says so itself: a name that is looked up may be anybody's."""
    host = urlsplit(address).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        found = ip_address(host)
    except ValueError:
        return False
    return found.is_loopback or (found.is_private and not found.is_unspecified)


def _base_url(table: Table) -> str | None:
    text = table.text("base_url")
    if text is None:
        return None
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    else:
        if good and (parts.username or parts.password or parts.query or parts.fragment):
            table.problem("base_url", "must have no user, password, query or fragment; a key belongs into api_key")
            return None
    if not good:
        table.problem("base_url", "expected an address such as https://api.example.com/v1")
        return None
    return text.rstrip("/")


def _headers(table: Table) -> tuple[tuple[str, str], ...]:
    inner = table.table("headers")
    if inner is None:
        return ()
    found = []
    for name in inner.names():
        value = inner.text(name)
        if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
            inner.problem(name, "a header's name has letters, digits and hyphens")
        elif name.lower() in _OUR_HEADERS:
            inner.problem(name, "this header is set for each call")
        elif value is not None and not (value.isascii() and value.isprintable()):
            inner.problem(name, "a header's value is one line of ASCII characters")
        elif value is not None:
            found.append((name.lower(), value))
    return tuple(found)


def _model(
    name: str,
    table: Table,
    providers: Mapping[str, Provider],
    told_providers: frozenset[str],
    price_of: PriceOf,
    experiment: Experiment | None,
) -> Model | None:
    if name == LOCAL_MODEL:
        table.problem("", "this is the name of the model that is part of Skep; choose another")
    if name.startswith(TIER):
        table.problem("", f"names that begin with {TIER} stand for tiers; a model says which it is of: tier: NAME")
    if name == ROLE or name.startswith(f"{ROLE}:"):
        table.problem("", f"{ROLE} and names that begin with {ROLE}: stand for the models of roles; choose another")
    tier = table.text("tier")
    if tier is not None and _TIER.fullmatch(tier) is None:
        table.problem("tier", "a tier's name is 1 to 40 letters, digits, dots, dashes and underscores")
    price, has_price = read_price(table)
    terms = read_terms(table)
    most = table.whole("max_output_tokens", None, least=1, most=100_000_000)
    deadline = table.seconds("timeout_seconds", 600.0, least=0.1, most=_MOST_SECONDS)
    retries = table.whole("retries", 2, least=0, most=10)
    strategy = table.choice("strategy", get_args(Strategy), default="ordered")
    cache = table.whole("cache_seconds", 0, least=0, most=LONGEST_CACHE_SECONDS)
    apology = _apology(table)
    kinds = table.words("falls_back_on", tuple(get_args(Kind)), default=tuple(USUAL_FALLBACKS))
    routes = []
    for inner in table.tables("routes"):
        own = _route(inner, providers, told_providers, price if has_price else None, terms, most, price_of)
        inner.finish()
        if own is not None:
            routes.append(own)
    if not routes:
        return None
    return Model(
        name=name,
        routes=tuple(routes),
        deadline_seconds=deadline,
        retries=2 if retries is None else retries,
        strategy=cast("Strategy", strategy or "ordered"),
        cache_seconds=cache or 0,
        falls_back_on=frozenset(kinds),
        apology=apology,
        experiment=experiment,
        tier=tier,
    )


def _apology(table: Table) -> str | None:
    text = table.text("apology", has_lines=True)
    if text is not None and any(found != "{trace_id}" for found in re.findall(r"\{\w*\}", text)):
        table.problem("apology", "in braces only {trace_id} can stand in it")
    return text


def _route(
    table: Table,
    providers: Mapping[str, Provider],
    told_providers: frozenset[str],
    price: Price | None,
    terms: Terms,
    most: int | None,
    price_of: PriceOf,
) -> Route | None:
    provider_name = table.choice("provider", tuple(sorted(told_providers)))
    model = table.text("model", required=True)
    timeout = table.seconds("timeout_seconds", 600.0, least=0.05, most=_MOST_SECONDS)
    first = table.seconds("first_byte_timeout_seconds", min(120.0, timeout), least=0.05, most=_MOST_SECONDS)
    idle = table.seconds("idle_timeout_seconds", min(60.0, timeout), least=0.05, most=_MOST_SECONDS)
    own_price, has_own = read_price(table)
    own_terms = read_terms(table)
    weight = table.number("weight", 1.0, least=0.0, most=1000.0)
    formats = table.words("formats", tuple(FORMAT_FACES), default=()) if table.has("formats") else None
    own_most = table.whole("max_output_tokens", most, least=1, most=100_000_000)
    # A provider that is known by name but wrong was told already.
    provider = providers.get(provider_name or "")
    if provider is None or model is None:
        return None
    if not has_own:
        own_price = price
    if own_price is None and provider.profile.price_id is not None:
        own_price = price_of(provider.profile.price_id, model)
    return Route(
        provider=provider,
        model=model,
        timeout_seconds=timeout,
        first_byte_timeout_seconds=first,
        idle_timeout_seconds=idle,
        max_output_tokens=own_most,
        weight=weight,
        formats=formats,
        price=own_price,
        service_tiers=tuple({**dict(provider.profile.service_tiers), **terms.tiers, **own_terms.tiers}.items()),
        search_nusd=terms.search_nusd if own_terms.search_nusd is None else own_terms.search_nusd,
    )
