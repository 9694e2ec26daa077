"""Reads the sections ``providers``, ``guards``, ``models``, ``roles`` and ``services`` of the settings.

Pure; every problem is told at once, with its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol, cast, get_args

from skep.gateway.addresses import read_address, read_headers, stays_in_the_house
from skep.gateway.experiments import read_experiment
from skep.gateway.failures import FAILURES, Kind
from skep.gateway.guarding import GuardRules, read_guard
from skep.gateway.models import (
    LOCAL_MODEL,
    ROLE,
    TIER,
    Experiment,
    GatewayConfig,
    Model,
    Provider,
    Route,
    SemanticCache,
    StopWhen,
    Strategy,
)
from skep.gateway.pricing import Terms, read_price, read_terms
from skep.gateway.profiles import FORMAT_FACES, PROFILES, Profile, formats_of, profiles_by_kind
from skep.gateway.purposes import Purpose, purpose_of
from skep.gateway.roles import read_role
from skep.gateway.services import read_services, service_model
from skep.gateway.stopping import pattern_problem
from skep.gateway.tables import Path, Table, Told
from skep.settings import InvalidSettingsError, OpenSection, Problem, Secret
from skep.spend import Price


class Catalogue(Protocol):
    """What is known of models without being told, by the provider's name in the price list and the model's name there."""

    def price(self, provider: str, model: str) -> Price | None:
        """Its usual price."""
        ...

    def context_window(self, provider: str, model: str) -> int | None:
        """How many tokens it can have before it."""
        ...


_MOST_SECONDS = 86_400.0
_MOST_TOKENS = 100_000_000
_TIER = re.compile(r"[A-Za-z0-9._-]{1,40}")
LONGEST_CACHE_SECONDS = 604_800
"""A week. Clearings are remembered for longer, so that none is forgotten before what it cleared."""

MEASURED_SIMILARITY = 0.85
"""Below it nobody has measured how often an answer is to another question (`bench/semantic_cache.py`)."""

USUAL_FALLBACKS = frozenset(kind for kind, rule in FAILURES.items() if rule.falls_back)


def read_config(
    sections: Mapping[str, OpenSection], *, catalogue: Catalogue | None = None, profiles: Iterable[Profile] = PROFILES
) -> GatewayConfig:
    """The providers, models, roles and services of the settings' open sections.

    Without a ``catalogue`` nothing is known of models but what is said.

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
        model = _model(name, table, providers, frozenset(told_providers), catalogue, experiment)
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
    services = read_services(_told(sections, "services", problems))
    if problems:
        raise InvalidSettingsError(problems)
    return GatewayConfig(providers=providers, models=models, roles=roles, services=services)


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
    base_url = read_address(table)
    key = table.text("api_key")
    headers = read_headers(table)
    is_local = table.flag("local")
    connect = table.seconds("connect_timeout_seconds", 5.0, least=0.05, most=300.0)
    health = table.seconds("health_check_seconds", 0.0, least=0.0, most=_MOST_SECONDS)
    version = table.text("api_version")
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
        api_version=version or profile.api_version,
    )


def _model(
    name: str,
    table: Table,
    providers: Mapping[str, Provider],
    told_providers: frozenset[str],
    catalogue: Catalogue | None,
    experiment: Experiment | None,
) -> Model | None:
    _check_name(name, table)
    tier = table.text("tier")
    if tier is not None and _TIER.fullmatch(tier) is None:
        table.problem("tier", "a tier's name is 1 to 40 letters, digits, dots, dashes and underscores")
    usual = _read_usual(table)
    deadline = table.seconds("timeout_seconds", 600.0, least=0.1, most=_MOST_SECONDS)
    retries = table.whole("retries", 2, least=0, most=10)
    strategy = table.choice("strategy", get_args(Strategy), default="ordered")
    cache = table.whole("cache_seconds", 0, least=0, most=LONGEST_CACHE_SECONDS)
    semantic = _semantic_cache(table, cache or 0)
    stop_when = _stop_when(table)
    apology = _apology(table)
    kinds = table.words("falls_back_on", tuple(get_args(Kind)), default=tuple(USUAL_FALLBACKS))
    routes = []
    for inner in table.tables("routes"):
        own = _route(inner, providers, told_providers, usual, catalogue)
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
        stop_when=stop_when,
        cache_seconds=cache or 0,
        semantic_cache=semantic,
        falls_back_on=frozenset(kinds),
        apology=apology,
        experiment=experiment,
        tier=tier,
    )


def _check_name(name: str, table: Table) -> None:
    """Some names stand for something else."""
    if name == LOCAL_MODEL:
        table.problem("", "this is the name of the model that is part of Skep; choose another")
    if name.startswith(TIER):
        table.problem("", f"names that begin with {TIER} stand for tiers; a model says which it is of: tier: NAME")
    if name == ROLE or name.startswith(f"{ROLE}:"):
        table.problem("", f"{ROLE} and names that begin with {ROLE}: stand for the models of roles; choose another")
    if name.startswith(service_model("")):
        table.problem("", f"names that begin with {service_model('')} stand for services; choose another")


def _semantic_cache(table: Table, cache_seconds: int) -> SemanticCache | None:
    inner = table.table("semantic_cache", such_as="{similarity: 0.85}, or {} for what is usual")
    if inner is None:
        return None
    found = SemanticCache(
        similarity=inner.number("similarity", MEASURED_SIMILARITY, least=MEASURED_SIMILARITY, most=1.0),
        wait_seconds=inner.seconds("wait_seconds", 0.05, least=0.001, most=10.0),
    )
    inner.finish()
    if not cache_seconds:
        table.problem("semantic_cache", "needs cache_seconds, which says for how long answers are kept")
    return found


def _stop_when(table: Table) -> StopWhen | None:
    inner = table.table("stop_when", such_as="{json: true}, {pattern: TEXT} or {cost_usd: 0.05}")
    if inner is None:
        return None
    found = StopWhen(inner.flag("json") or False, inner.text("pattern"), inner.money("cost_usd") or None)
    problem = "" if found.pattern is None else pattern_problem(found.pattern)
    if problem:
        inner.problem("pattern", problem)
    inner.finish()
    return found


def _apology(table: Table) -> str | None:
    text = table.text("apology", has_lines=True)
    if text is not None and any(found != "{trace_id}" for found in re.findall(r"\{\w*\}", text)):
        table.problem("apology", "in braces only {trace_id} can stand in it")
    return text


def _route(
    table: Table,
    providers: Mapping[str, Provider],
    told_providers: frozenset[str],
    usual: _Usual,
    catalogue: Catalogue | None,
) -> Route | None:
    provider_name = table.choice("provider", tuple(sorted(told_providers)))
    model = table.text("model", required=True)
    timeout = table.seconds("timeout_seconds", 600.0, least=0.05, most=_MOST_SECONDS)
    first = table.seconds("first_byte_timeout_seconds", min(120.0, timeout), least=0.05, most=_MOST_SECONDS)
    idle = table.seconds("idle_timeout_seconds", min(60.0, timeout), least=0.05, most=_MOST_SECONDS)
    own = _read_usual(table)
    listed_as = table.text("listed_as")
    weight = table.number("weight", 1.0, least=0.0, most=1000.0)
    # A provider that is known by name but wrong was told already.
    provider = providers.get(provider_name or "")
    formats = _formats(table, provider)
    if provider is None or model is None:
        return None
    price = own.price or usual.price
    window = own.context_window or usual.context_window
    seller = provider.profile.price_id
    if price is None and seller is not None and catalogue is not None:
        # Where prices are said the list, which is large, is not even read.
        price = catalogue.price(seller, listed_as or model)
        window = window or catalogue.context_window(seller, listed_as or model)
    image_prices = own.terms.image_prices or usual.terms.image_prices
    guessed = purpose_of(listed_as or model, price, sells_pictures=bool(image_prices))
    return Route(
        provider=provider,
        model=model,
        timeout_seconds=timeout,
        first_byte_timeout_seconds=first,
        idle_timeout_seconds=idle,
        max_output_tokens=own.max_output_tokens or usual.max_output_tokens,
        context_window=window,
        weight=weight,
        formats=formats,
        purpose=own.purpose or usual.purpose or guessed,
        price=price,
        service_tiers=tuple({**dict(provider.profile.service_tiers), **usual.terms.tiers, **own.terms.tiers}.items()),
        image_prices=tuple(image_prices.items()),
        search_nusd=usual.terms.search_nusd if own.terms.search_nusd is None else own.terms.search_nusd,
    )


def _formats(table: Table, provider: Provider | None) -> tuple[str, ...] | None:
    if not table.has("formats"):
        return None
    formats = table.words("formats", tuple(FORMAT_FACES), default=())
    if provider is not None:
        known = formats_of(provider.profile)
        strange = ", ".join(name for name in formats if name not in known)
        can = f"only in {', '.join(known)}" if known else "in none"
        if strange:
            table.problem("formats", f"the kind {provider.profile.kind} cannot be asked in {strange}, {can}")
    return formats


@dataclass(frozen=True, slots=True)
class _Usual:
    """What a model says for all its routes, and each route for itself."""

    price: Price | None
    terms: Terms
    max_output_tokens: int | None
    context_window: int | None
    purpose: Purpose | None


def _read_usual(table: Table) -> _Usual:
    return _Usual(
        price=read_price(table),
        terms=read_terms(table),
        max_output_tokens=table.whole("max_output_tokens", None, least=1, most=_MOST_TOKENS),
        context_window=table.whole("context_window", None, least=1, most=_MOST_TOKENS),
        purpose=cast("Purpose | None", table.choice("purpose", get_args(Purpose)) if table.has("purpose") else None),
    )
