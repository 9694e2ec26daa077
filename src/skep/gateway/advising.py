"""What would have served calls more cheaply, as far as the ledger can tell: other models, and other routes. Pure.

Nothing is advised that the gateway could not do: calls that stayed in the house are only weighed by local routes, and a route must have the
address that was asked and a window that is long enough. What was asked and answered is not looked at, so nothing here knows
whether answers are as good.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast

from skep.gateway.models import GatewayConfig, Model, Route
from skep.gateway.pricing import price_of_tokens
from skep.gateway.profiles import Face
from skep.gateway.purposes import is_for
from skep.spend import (
    LEAST_CALLS,
    Comparison,
    Counts,
    Estimate,
    Group,
    Miss,
    Percentiles,
    Price,
    Usage,
    added,
    cost_of_many_nusd,
    newcombe,
    percentiles_of,
    usd_text,
    wilson,
)

MARGIN = 0.01
"""Something fails no more often than another when, 95 times of 100, it does so at most by this share of calls."""

_CLEARLY = 0.1

LIMITS = (
    "Whether answers are as good is not known: the ledger has none. What was asked is not known either, so some calls may be harder than others.",
    "Tokens are those that were counted, at the prices of now: another model counts another number, and another provider may have cached less.",
    "Keys that may not ask for a model stay with theirs, whatever is advised.",
)

_EXPERIMENTAL: Collection[str] = ("chat.completions", "completions", "messages", "responses")
"""Addresses where one model can stand for another. Vectors of two models cannot be compared."""

_WEIGHABLE: Collection[str] = (*_EXPERIMENTAL, "embeddings")
"""Addresses that are paid by kinds of tokens that the sums have. Pictures, sound and searches are paid by others, too."""

_SIZES = (0, 32_000, 100_000, 128_000, 200_000, 256_000, 272_000, 512_000)
"""Requests of a class (`Group.size`) are longer than this, in tokens."""

_CLIENTS_OWN: Collection[str] = ("client_error",)
"""Failures that say nothing of who was asked."""

_NO_NAME = re.compile(r"[^A-Za-z0-9._-]+")

Verdict = Literal["recommended", "try", "worse"]
"""``recommended``: it is shown to fail no more often; ``try``: that is not shown yet; ``worse``: it is shown to fail more often."""

Relation = Literal["same model", "same name", "same tier"]
"""Of a route to another: to a model that is called the same; of the same model of the settings; of another model of its tier."""


@dataclass(frozen=True, slots=True)
class RouteOption:
    """Another route that would have cost less."""

    route: str
    relation: Relation
    is_local: bool
    cost_usd: str
    """What the same tokens cost there."""
    saves_usd: str
    saves_share: float
    """Of what they cost, from 0 to 1."""
    attempts: int
    """Of all models by this route in this time."""
    failure_rate: Estimate | None
    """Of those."""
    difference: Estimate | None
    """To the routes that served these calls; None: too little is known of one of them."""
    duration: Percentiles | None
    ttft: Percentiles | None
    verdict: Verdict
    words: str


@dataclass(frozen=True, slots=True)
class ModelOption:
    """Another model that would have cost less."""

    model: str
    tier: str | None
    cost_usd: str
    """What the same tokens cost by its dearest route that could serve them."""
    saves_usd: str
    saves_share: float
    evidence: Literal["experiment", "traffic", "none"]
    """``experiment``: its arm; ``traffic``: other calls that it served."""
    experiment: str | None
    calls: int
    """That the evidence is made of."""
    failure_rate: Estimate | None
    """Of those; None: there are none."""
    difference: Estimate | None
    """How much more often it failed, from -1 to 1; None: too little is known."""
    duration: Percentiles | None
    ttft: Percentiles | None
    verdict: Verdict
    words: str
    to_try: str | None
    """An experiment for the settings; None: there is one already."""


@dataclass(frozen=True, slots=True)
class Advice:
    """Calls of one kind, how they fared, and what would have cost less; the most saving first."""

    model: str
    tier: str | None
    face: str
    stayed: bool
    """Whether they stayed in the house: then nothing else is advised."""
    calls: int
    weighed: int
    """Those whose tokens and cost are both known: of these are the means and all costs."""
    stream_share: float
    mean_input_tokens: float
    mean_output_tokens: float
    cached_input_share: float
    """Of the tokens that went in."""
    cost_usd: str
    failure_rate: Estimate | None
    retried: int
    fell_back: int
    cancelled: int
    ended_early: int
    duration: Percentiles | None
    ttft: Percentiles | None
    routes_used: list[str]
    models: list[ModelOption]
    routes: list[RouteOption]


@dataclass(frozen=True, slots=True)
class AdviceList:
    """What would have cost less, the dearest calls first."""

    since: datetime
    until: datetime | None
    """None: until now."""
    limits: list[str]
    """What must be known to read it."""
    groups: list[Advice]


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger tells."""

    groups: Sequence[Group]
    misses: Sequence[Miss]
    comparisons: Mapping[str, Comparison]
    """By the name of the experiment."""


def advise(config: GatewayConfig, known: Known) -> list[Advice]:
    """For every kind of calls whose cost is known."""
    kinds: dict[tuple[str, str | None, str, bool], list[Group]] = defaultdict(list)
    for group in (each for each in known.groups if each.face in _WEIGHABLE):
        kinds[group.model, group.tier, group.face, _stayed(group, config)].append(group)
    found = [_Kind(config, known, groups, stayed=kind[-1]).advice() for kind, groups in kinds.items()]
    weighed = [each for each in found if each.weighed]
    return sorted(weighed, key=lambda each: (-float(each.cost_usd), each.model, each.face))


def _stayed(group: Group, config: GatewayConfig) -> bool:
    provider = config.providers.get(group.provider)
    return provider is not None and provider.is_local if group.is_remote is None else not group.is_remote


class _Kind:
    """Calls of one kind."""

    def __init__(self, config: GatewayConfig, known: Known, groups: Sequence[Group], *, stayed: bool) -> None:
        self._config, self._known, self._groups, self._stayed = config, known, groups, stayed
        self._name, self._face = groups[0].model, groups[0].face
        self._all = added(group.counts for group in groups)
        self._used = sorted({group.route for group in groups})

    def advice(self) -> Advice:
        counts, weighed = self._all, max(1, self._all.weighed)
        return Advice(
            model=self._name,
            tier=self._groups[0].tier,
            face=self._face,
            stayed=self._stayed,
            calls=counts.calls,
            weighed=counts.weighed,
            stream_share=sum(group.counts.calls for group in self._groups if group.stream) / counts.calls,
            mean_input_tokens=round(counts.input_tokens / weighed, 1),
            mean_output_tokens=round(counts.output_tokens / weighed, 1),
            cached_input_share=counts.cached_input_tokens / max(1, counts.input_tokens),
            cost_usd=usd_text(counts.cost_nusd),
            failure_rate=wilson(counts.failed, counts.calls),
            retried=counts.retried,
            fell_back=counts.fell_back,
            cancelled=counts.cancelled,
            ended_early=counts.stopped,
            duration=percentiles_of(counts.duration),
            ttft=percentiles_of(counts.ttft),
            routes_used=self._used,
            models=sorted(self._models(), key=lambda each: -each.saves_share),
            routes=sorted(self._routes(), key=lambda each: -each.saves_share),
        )

    def _models(self) -> Iterable[ModelOption]:
        own = self._config.models.get(self._name)
        if own is None or self._face not in _EXPERIMENTAL:
            return
        for model in self._config.models.values():
            routes = [route for route in model.routes if self._could_serve(route)]
            costs = [self._cost(_price_of_words(route.price)) for route in routes]
            known = [cost for cost in costs if cost is not None]
            if model.name != self._name and known and len(known) == len(costs) and max(known) < self._all.cost_nusd:
                yield self._model_option(own, model, max(known))

    def _routes(self) -> Iterable[RouteOption]:
        own = self._config.models.get(self._name)
        names = {_plain(group.model_used or "") for group in self._groups}
        seen = set(self._used)
        for model in self._config.models.values():
            for route in model.routes:
                relation = _relation(own, model, route, names, self._face)
                if relation is None or route.name in seen or not self._could_serve(route):
                    continue
                seen.add(route.name)
                cost = self._cost(price_of_tokens(route.price))
                if cost is not None and cost < self._all.cost_nusd:
                    yield self._route_option(route, relation, cost)

    def _could_serve(self, route: Route) -> bool:
        if (self._stayed and not route.provider.is_local) or not is_for(route.purpose, self._face):
            return False
        if route.face_for(cast("Face", self._face)) is None:
            return False
        longest = max((_SIZES[group.size] for group in self._groups if group.size is not None), default=0)
        return route.context_window is None or route.context_window > longest

    def _cost(self, price: Price | None) -> int | None:
        """What the tokens cost by another price, class by class; None when it is not known."""
        if price is None or not self._all.weighed:
            return None
        costs = [
            cost_of_many_nusd(price, _usage(group.counts), group.counts.weighed)
            for group in self._groups
            if group.counts.weighed
        ]
        return sum(cost or 0 for cost in costs)

    def _saved(self, cost_nusd: int) -> tuple[str, str, float]:
        saved = self._all.cost_nusd - cost_nusd
        return usd_text(cost_nusd), usd_text(saved), saved / self._all.cost_nusd

    def _model_option(self, own: Model, model: Model, cost_nusd: int) -> ModelOption:
        theirs = added(
            each.counts for each in self._known.groups if each.model == model.name and each.face == self._face
        )
        tried = _arm_of(own, model.name)
        evidence: Literal["experiment", "traffic", "none"]
        if own.experiment is not None and tried is not None:
            evidence, experiment = "experiment", own.experiment.name
            calls, rate, difference = _in_experiment(self._known.comparisons.get(experiment), tried)
        else:
            experiment, calls, rate = None, theirs.calls, wilson(theirs.failed, theirs.calls)
            evidence = "traffic" if calls else "none"
            difference = _difference((theirs.failed, theirs.calls), (self._all.failed, self._all.calls))
        verdict, words = judged(evidence, calls, difference)
        if evidence == "traffic" and difference is None and _fails_more(theirs, self._all):
            verdict, words = "worse", f"of {calls} calls of its own {theirs.failed} failed"
        return ModelOption(
            model.name,
            model.tier,
            *self._saved(cost_nusd),
            evidence,
            experiment,
            calls,
            rate,
            difference,
            percentiles_of(theirs.duration),
            percentiles_of(theirs.ttft),
            verdict,
            words,
            None if own.experiment is not None else experiment_for(self._name, model.name),
        )

    def _route_option(self, route: Route, relation: Relation, cost_nusd: int) -> RouteOption:
        counts, (missed, attempts) = self._by_route({route.name})
        difference = _difference((missed, attempts), self._by_route(set(self._used))[1])
        rate = wilson(missed, attempts)
        verdict, words = judged_route(relation, attempts, difference)
        return RouteOption(
            route.name,
            relation,
            route.provider.is_local,
            *self._saved(cost_nusd),
            attempts,
            rate,
            difference,
            percentiles_of(counts.duration),
            percentiles_of(counts.ttft),
            verdict,
            words,
        )

    def _by_route(self, routes: Collection[str]) -> tuple[Counts, tuple[int, int]]:
        """What routes served, and how many of how many attempts failed: also those of calls that others answered then."""
        counts = added(each.counts for each in self._known.groups if each.route in routes)
        missed = sum(
            each.attempts for each in self._known.misses if each.route in routes and each.outcome not in _CLIENTS_OWN
        )
        return counts, (missed, counts.calls - counts.failed + missed)


def judged(evidence: str, calls: int, difference: Estimate | None) -> tuple[Verdict, str]:
    """What can be said of another model. Only an experiment shows how it does with the same calls."""
    if evidence == "none":
        return "try", "it served no such calls yet"
    if difference is None:
        return "try", f"too few calls to say anything: {calls}, and each side needs {LEAST_CALLS}"
    where = "in the experiment" if evidence == "experiment" else "in calls of its own"
    if difference.low > 0:
        return "worse", f"{where} it fails more often"
    if difference.high > MARGIN:
        return "try", f"{where} it is not shown to fail no more often: more calls are needed"
    if evidence == "experiment":
        return "recommended", f"{where} it fails no more often"
    return "try", f"{where} it fails no more often, but these are other calls"


def judged_route(relation: Relation, attempts: int, difference: Estimate | None) -> tuple[Verdict, str]:
    """What can be said of another route: the same model answers alike wherever it is, another one must be tried."""
    if difference is None:
        return "try", f"too few attempts to say anything: {attempts}, and each side needs {LEAST_CALLS}"
    if difference.low > 0:
        return "worse", "it fails more often"
    if difference.high > MARGIN:
        return "try", "it is not shown to fail no more often: more attempts are needed"
    if relation == "same tier":
        return "try", "it fails no more often, but another model answers there"
    return "recommended", "it fails no more often"


def experiment_for(model: str, other: str) -> str:
    """What would try it, for the settings."""
    name = _NO_NAME.sub("-", f"{model}-or-{other}").strip(".-_")[:40] or "cheaper"
    arms = f"{{control: {{weight: 90}}, other: {{weight: 10, model: {_quoted(other)}}}}}"
    return f"models: {{{_quoted(model)}: {{experiment: {{name: {name}, sticky_by: key, arms: {arms}}}}}}}"


def _quoted(name: str) -> str:
    """A name in YAML."""
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _relation(own: Model | None, model: Model, route: Route, names: Collection[str], face: str) -> Relation | None:
    if _plain(route.model) in names:
        return "same model"
    if own is None:
        return None
    if model.name == own.name:
        return "same name"
    return "same tier" if own.tier is not None and own.tier == model.tier and face in _EXPERIMENTAL else None


def _price_of_words(price: Price | None) -> Price | None:
    """The price of a model that could write what others wrote; None for those that take something for their input alone: embeddings, rankings."""
    found = price_of_tokens(price)
    if found is None or (found.rates.input_nusd_per_mtok and not found.rates.output_nusd_per_mtok):
        return None
    return found


def _plain(model: str) -> str:
    """A model's name without what sellers of many put before it: ``openai/gpt-x`` is ``gpt-x``."""
    return model.rpartition("/")[2].lower()


def _arm_of(own: Model, other: str) -> str | None:
    arms = () if own.experiment is None else own.experiment.arms
    return next((arm.name for arm in arms if arm.model == other), None)


def _in_experiment(comparison: Comparison | None, arm: str) -> tuple[int, Estimate | None, Estimate | None]:
    """How many calls the arm had, how often it failed, and how much more often than the control; None: there are too few."""
    if comparison is None:
        return 0, None, None
    figures = {each.arm: each for each in comparison.arms}
    for each in comparison.differences:
        if each.arm == arm:
            own = figures[arm]
            enough = min(own.calls, figures[each.to].calls) >= LEAST_CALLS
            return own.calls, own.failure_rate, each.failure_rate if enough else None
    return 0, None, None


def _difference(other: tuple[int, int], own: tuple[int, int]) -> Estimate | None:
    """Of two shares, each as a number of a number."""
    if min(other[1], own[1]) < LEAST_CALLS:
        return None
    one, two = wilson(*other), wilson(*own)
    return None if one is None or two is None else newcombe(one, two)


def _fails_more(theirs: Counts, own: Counts) -> bool:
    """Whether a tenth more of all calls fails at the least, which few calls can show, too."""
    one, two = wilson(theirs.failed, theirs.calls), wilson(own.failed, own.calls)
    return one is not None and two is not None and one.low > two.high + _CLEARLY


def _usage(counts: Counts) -> Usage:
    return Usage(
        input_tokens=counts.input_tokens,
        cached_input_tokens=counts.cached_input_tokens,
        cache_write_tokens=counts.cache_write_tokens,
        output_tokens=counts.output_tokens,
        reasoning_tokens=counts.reasoning_tokens,
        input_audio_tokens=counts.input_audio_tokens,
        output_audio_tokens=counts.output_audio_tokens,
        cache_write_1h_tokens=counts.cache_write_1h_tokens,
    )
