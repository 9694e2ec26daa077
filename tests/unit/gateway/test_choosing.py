"""Which model serves a call, by its name, its tier, the key's list and what must stay in the house."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from skep.access import ModelNotAllowedError, Principal
from skep.gateway.choosing import Choice, Choices
from skep.gateway.interfaces import LocalOnlyError, ModelNotFoundError, TierNotFoundError
from skep.gateway.models import Arm, Experiment, GatewayConfig, Model, Provider, Route
from skep.gateway.profiles import PROFILES, Face, profiles_by_kind
from skep.gateway.requests import read_request

KINDS = profiles_by_kind(PROFILES)
EXPERIMENT = Experiment(name="x", arms=(Arm(name="control", weight=0), Arm(name="canary", model="small")))


def a_model(name: str, *kinds: str, **more: object) -> Model:
    """``kinds`` of its routes' providers; vLLM is local."""
    routes = tuple(
        Route(
            provider=Provider(name=f"{name}{kind}", profile=KINDS[kind], base_url="x", is_local=kind == "vllm"),
            model="m",
        )
        for kind in kinds or ("openai",)
    )
    return Model(name=name, routes=routes, **more)  # type: ignore[arg-type]


MODELS = (
    a_model("small", tier="fast"),
    a_model("other", "vllm", tier="fast"),
    a_model("claude", "anthropic", tier="fast"),
    a_model("smart", "openai", "vllm", tier="smart", experiment=EXPERIMENT),
    a_model("plain"),
)
HOUSE = {"x-skep-privacy": "local_only"}


def choose(
    name: str, *allowed: str, face: Face = "messages", closed: Sequence[str] = (), headers: dict[str, str] | None = None
) -> Choice:
    config = GatewayConfig(providers={}, models={model.name: model for model in MODELS})
    choices = Choices(
        config, has_local=True, has_open=lambda routes: any(route.provider.name not in closed for route in routes)
    )
    principal = Principal(1, "p", "k", "ci", "member", models=allowed or None)
    body = b'{"model":"%b","messages":[],"input":"x","prompt":"x","max_tokens":5}' % name.encode()
    sent = [(key.encode(), value.encode()) for key, value in (headers or {}).items()]
    return choices.choose(read_request(face, body), principal, sent, sent)


def chosen(name: str, *allowed: str, **more: object) -> str:
    served = choose(name, *allowed, **more).served  # type: ignore[arg-type]
    return "local" if served is None else served.model.name


def test_a_name_is_a_model() -> None:
    assert chosen("plain") == chosen("plain", "pl*") == "plain"
    assert chosen("local", face="embeddings") == "local"
    with pytest.raises(ModelNotFoundError):
        choose("nonesuch")
    with pytest.raises(ModelNotAllowedError):
        choose("nonesuch", "plain")
    with pytest.raises(ModelNotAllowedError):
        choose("plain", "small")
    assert choose("plain").steps == ()


def test_what_is_remembered_of_a_key_ends_with_it() -> None:
    choices = Choices(
        GatewayConfig(providers={}, models={model.name: model for model in MODELS}), has_local=True, has_open=bool
    )
    ann = Principal(1, "p", "k", "ann", "member")

    def ask(who: Principal, user: str = "", **headers: str) -> Choice:
        told = b'"user":"%b",' % user.encode() if user else b""
        known = read_request("chat.completions", b'{%b"model":"other","messages":[]}' % told)
        sent = [(f"x-skep-{name}".encode(), value.encode()) for name, value in headers.items()]
        return choices.choose(known, who, sent, sent)

    first = ask(ann)
    assert ask(ann) is first
    assert (first.caller.user, first.caller.tags, first.caller.session) == (None, (), None)
    # What a call says of itself counts for it alone.
    assert ask(ann, "eve").caller.user == "eve"
    assert ask(ann, tags="a").caller.tags == ("a",)
    assert ask(ann, privacy="local_only").whose
    assert ask(ann) is first
    # The key was changed.
    with pytest.raises(ModelNotAllowedError):
        ask(replace(ann, models=("small",)))
    assert ask(replace(ann, user="bob")).caller.user == "bob"
    assert ask(replace(ann, local_only=True)).whose


def test_a_tier_is_its_first_model_that_can_be_asked() -> None:
    assert chosen("tier:fast") == "small"
    assert chosen("tier:fast", closed=["smallopenai"]) == "other"
    assert chosen("tier:fast", closed=["smallopenai", "othervllm"]) == "claude"
    # Where all are closed, the first one says so.
    assert chosen("tier:fast", closed=["smallopenai", "othervllm", "claudeanthropic"]) == "small"
    choice = choose("tier:fast")
    assert (choice.caller.model_tier, choice.steps[0].what, choice.steps[0].outcome) == ("fast", "tier:fast", "tier")


def test_a_tier_goes_by_the_keys_list() -> None:
    assert chosen("tier:fast", "claude", "other") == "other"
    assert chosen("tier:fast", "tier:fast") == "small"
    assert chosen("tier:fast", "tier:*") == chosen("tier:fast", "*") == "small"
    # Who may ask for the tier may ask for its models.
    assert chosen("claude", "tier:fast") == "claude"
    with pytest.raises(ModelNotAllowedError, match="its list of models has: plain"):
        choose("tier:fast", "plain")
    with pytest.raises(ModelNotAllowedError):
        choose("plain", "tier:fast")


def test_how_names_begin_says_nothing_of_tiers() -> None:
    with pytest.raises(ModelNotAllowedError):
        choose("tier:fast", "t*")
    with pytest.raises(ModelNotAllowedError):
        choose("small", "t*")


def test_a_tier_that_must_stay_in_the_house() -> None:
    assert chosen("tier:fast", headers=HOUSE) == "other"
    with pytest.raises(LocalOnlyError, match="No route of tier:fast is local"):
        choose("tier:fast", "small", headers=HOUSE)


def test_a_tier_has_the_address_that_was_asked() -> None:
    assert chosen("tier:fast", "claude", "other", face="completions") == "other"
    # Only the one that has it not: it is refused by name later.
    assert chosen("tier:fast", "claude", face="completions") == "claude"


def test_an_unknown_tier_is_refused_with_those_there_are() -> None:
    with pytest.raises(TierNotFoundError, match=r"No model is of the tier quick here. Tiers: fast, smart\."):
        choose("tier:quick")


def test_an_experiment_goes_on_from_a_tier() -> None:
    choice = choose("tier:smart")
    assert choice.served is not None
    assert (choice.served.model.name, choice.arm) == ("small", "x=canary")
    assert choice.caller.tags == ("experiment:x=canary",)
    # The tier is that of the model that is asked.
    assert choice.caller.model_tier == "fast"
    assert [(step.what, step.outcome) for step in choice.steps] == [("tier:smart", "tier"), ("smart", "experiment")]


@pytest.mark.parametrize(
    ("allowed", "more"),
    [
        (("smart",), {}),
        (("tier:smart",), {}),
        ((), {"headers": HOUSE}),
        ((), {"face": "embeddings"}),
    ],
)
def test_who_cannot_be_in_every_arm_takes_no_part(allowed: tuple[str, ...], more: dict[str, object]) -> None:
    choice = choose("smart", *allowed, **more)  # type: ignore[arg-type]
    assert choice.served is not None
    assert (choice.served.model.name, choice.arm, choice.caller.tags, choice.told) == ("smart", "", (), ())


def test_arms_do_not_share_kept_answers() -> None:
    inside, outside = choose("smart"), choose("small")
    assert inside.served == outside.served
    assert inside.seed != outside.seed


def test_what_clients_may_ask_for_is_what_they_are_let_ask_for() -> None:
    config = GatewayConfig(providers={}, models={model.name: model for model in MODELS})
    choices = Choices(config, has_local=True, has_open=lambda _: True)
    everybody = Principal(1, "p", "k", "ci", "member")
    for allowed in (None, ("small",), ("tier:fast",), ("t*", "local"), ("tier:smart", "plain")):
        names = set(choices.names(replace(everybody, models=allowed)))
        for name in choices.names():
            try:
                chosen(name, *(allowed or ()), face="embeddings")
            except ModelNotAllowedError:
                assert name not in names
            else:
                assert name in names
    assert list(choices.names()) == ["small", "other", "claude", "smart", "plain", "tier:fast", "tier:smart", "local"]
