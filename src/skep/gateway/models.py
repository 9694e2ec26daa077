"""Who serves which models, as the settings say it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from skep.gateway.profiles import Face, Profile, face_for, paths_by, stream_path
from skep.gateway.purposes import Purpose
from skep.settings import Secret
from skep.spend import Price

if TYPE_CHECKING:
    from skep.gateway.services import Service

Strategy = Literal["ordered", "weighted", "lowest_latency", "lowest_cost"]
"""In which order routes are tried. ``ordered``: as they stand in the settings. ``weighted``: by chance, in the shares that their weights say.
``lowest_latency``: what answers soonest now. ``lowest_cost``: what is cheapest for this call."""

GuardKind = Literal[
    "email",
    "phone",
    "card",
    "iban",
    "national_id",
    "address",
    "ip_address",
    "credential",
    "injection",
    "denied",
    "moderation",
]
"""What guards can find. ``injection``: words that want to lead a model astray; ``denied``: words of the settings; ``moderation``: what a
provider judges to be bad."""

GuardAction = Literal["observe", "redact", "block"]
"""What a guard does with it: it is counted; something else stands in its place as well; the call ends."""

Side = Literal["request", "answer"]

Country = Literal["DE", "ES", "FR", "GB", "IT", "NL", "PL", "US"]

TIER = "tier:"
"""Begins the name by which clients ask for any model of a tier."""

ROLE = "role"
"""The name by which clients ask for the model of the role that they name; also ``role:NAME``."""

StickyBy = Literal["key", "user", "header", "none"]
"""What stays in one arm of an experiment: calls of one key, of one user, with one value of a header, or nothing."""

LOCAL_MODEL = "local"
"""The name of the embedding model that is part of Skep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Somebody who serves models."""

    name: str
    profile: Profile
    base_url: str
    api_key: Secret | None = None
    headers: tuple[tuple[str, str], ...] = ()
    """Sent with every call; they win over those of the client."""
    is_local: bool = False
    """Whether what is sent to it stays in the house."""
    allows_private: bool = True
    """Whether its name may lead to an address of this machine or of a private network."""
    api_version: str | None = None
    """Said in the query of every address (Azure); None: it has none."""
    connect_timeout_seconds: float = 5.0
    health_check_seconds: float = 0.0
    """How often it is asked whether it answers; 0: never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One provider's model, to be tried."""

    provider: Provider
    model: str
    """As the provider calls it."""
    timeout_seconds: float = 600.0
    """For one attempt as a whole."""
    first_byte_timeout_seconds: float = 120.0
    idle_timeout_seconds: float = 60.0
    """Between two pieces of an answer."""
    max_output_tokens: int | None = None
    """The most that the model puts out for one choice; None: unknown."""
    price: Price | None = None
    """None: unknown."""
    service_tiers: tuple[tuple[str, Decimal], ...] = ()
    """What the tokens of a tier of service cost, as a multiple of the price."""
    search_nusd: int | None = None
    """What a call with ``web_search_options`` costs more; None: unknown."""
    image_prices: tuple[tuple[str, int], ...] = ()
    """What one picture costs, in nano-dollars, by its quality and size (``hd 1024x1024``, ``1024x1024``, ``hd``, ``*``); empty: its tokens."""

    context_window: int | None = None
    """How many tokens the model can have before it, its own included; None: unknown."""
    weight: float = 1.0
    """Its share among the model's routes, where those are taken by weight."""

    purpose: Purpose | None = None
    """What the model is for; None: nothing says so."""
    formats: tuple[str, ...] | None = None
    """In which formats of chats alone the model is asked there; None: in those that its provider has."""

    name: str = field(init=False)
    """For people, and for the breaker: routes to the same model of the same provider are one."""
    paths: Mapping[Face, str] = field(init=False, repr=False)
    """Which faces it has, and what stands after the provider's address for each."""
    stream_paths: Mapping[Face, str] = field(init=False, repr=False)
    """The same for streams."""

    def __post_init__(self) -> None:
        provider = self.provider
        told = paths_by(provider.profile, self.formats)
        object.__setattr__(self, "name", f"{provider.name}/{self.model}")
        object.__setattr__(self, "paths", {face: path_of(provider, path, self.model) for face, path in told.items()})
        object.__setattr__(self, "stream_paths", {face: stream_path(path) for face, path in self.paths.items()})

    def face_for(self, face: Face) -> Face | None:
        """See `profiles.face_for`."""
        return face_for(self.paths, face)


def path_of(provider: Provider, path: str, model: str = "") -> str:
    """A path of a profile for a model, with the version of the interface, where the provider wants one."""
    version = "" if provider.api_version is None else f"?api-version={quote(provider.api_version, safe='')}"
    return path.replace("{model}", quote(model, safe="")) + version


@dataclass(frozen=True, slots=True)
class StopWhen:
    """When a stream is ended before the model does. Any of these suffices."""

    json: bool = False
    """The first JSON object or list in the text is whole."""
    pattern: str | None = None
    """The text has what this regular expression (RE2's syntax, whose time is linear) is for."""
    cost_nusd: int | None = None
    """The call has cost so much, as far as that can be told before its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticCache:
    """When an answer is given to a question that is put in other words than the one it was made for."""

    similarity: float
    """The least cosine of both questions' vectors."""
    wait_seconds: float
    """So long it may take to find that out; then the provider is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moderation:
    """Who judges what is said."""

    provider: Provider
    model: str
    passes_on_failure: bool = False
    """Whether a call passes of which there is no judgement."""
    timeout_seconds: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """Looks through what is said in calls."""

    name: str
    kinds: tuple[GuardKind, ...] = ()
    deny: tuple[str, ...] = ()
    """Words, in any case, and with any space between them."""
    on: tuple[Side, ...] = ("request", "answer")
    action: GuardAction = "observe"
    countries: tuple[Country, ...] = ()
    """Whose national ids are meant (none: all), and whose telephone numbers are also found as they are written at home."""
    injection_score: float = 1.0
    """From which on a text is an injection."""
    moderation: Moderation | None = None
    """Of requests."""

    @property
    def fingerprint(self) -> list[object]:
        """What it does to answers depends on this."""
        judge = self.moderation
        judged_by = None if judge is None else [judge.provider.base_url, judge.model]
        return [self.name, self.kinds, self.deny, self.on, self.action, self.countries, self.injection_score, judged_by]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One of the ways in which an experiment has calls answered."""

    name: str
    weight: float = 1.0
    """Its share among the arms."""
    model: str | None = None
    """Another model, whose routes answer; None: those of the model that has the experiment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """Has a share of a model's calls answered in another way, so that both can be compared."""

    name: str
    arms: tuple[Arm, ...]
    """The first is the control, which the others are compared with: the model's own routes."""
    sticky_by: StickyBy = "key"
    header: str = "x-skep-subject"
    """In lower case; counts where ``sticky_by`` is ``header``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A name that clients use, and the routes behind it, in the order in which they are tried unless its strategy says another."""

    name: str
    routes: tuple[Route, ...]
    deadline_seconds: float = 600.0
    """For all attempts together, from the arrival of the request."""
    retries: int = 2
    """Further attempts on one route."""
    strategy: Strategy = "ordered"
    stop_when: StopWhen | None = None
    """When its streams are ended before their end, unless the call says otherwise."""
    cache_seconds: int = 0
    """For how long an answer may be given again; 0: not at all."""
    semantic_cache: SemanticCache | None = None
    """Whether it is also given to the same question in other words; None: it is not."""
    falls_back_on: frozenset[str] = frozenset()
    """The kinds of failures after which the next route is tried; see `failures.FAILURES`."""
    guards: tuple[Guard, ...] = ()
    """Those that look through its calls."""
    apology: str | None = None
    """What a client is answered when every route has failed, with ``{trace_id}`` where that shall stand; None: an error."""
    experiment: Experiment | None = None
    is_forced: bool = False
    """Whether it is asked by one route alone, to see whether that works: then also by one that is left alone."""
    tier: str | None = None
    """What clients ask for as ``tier:NAME``: the first of its models that their key is for, and that has an open route."""

    windows_differ: bool = field(init=False, repr=False)
    """Whether a long request may fit some of its routes and not others."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "windows_differ", len({route.context_window for route in self.routes}) > 1)

    @property
    def context_window(self) -> int | None:
        """The largest of its routes' windows; None when one is unknown."""
        windows = [route.context_window for route in self.routes]
        known = [window for window in windows if window is not None]
        return max(known) if known and len(known) == len(windows) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """What is said for those clients that name it, where they say nothing themselves. None: nothing."""

    name: str
    model: str
    """A model's name, or ``tier:NAME``; for those that ask for the model ``role``."""
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    """Of one choice."""
    system: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """The providers, models, roles and services of an installation, by name."""

    providers: Mapping[str, Provider]
    models: Mapping[str, Model]
    roles: Mapping[str, Role] = field(default_factory=dict)
    services: Mapping[str, Service] = field(default_factory=dict)

    def routes(self) -> Iterator[Route]:
        """Every way out of the house, those of services at the end; what several models share comes several times."""
        for model in self.models.values():
            yield from model.routes
        for service in self.services.values():
            yield service.route
