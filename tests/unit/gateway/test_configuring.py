"""The sections providers and models: what they mean, and that every mistake is named with its place."""

from __future__ import annotations

import textwrap
from decimal import Decimal
from pathlib import Path
from typing import get_args

import pytest

from skep.gateway.addresses import stays_in_the_house
from skep.gateway.configuring import USUAL_FALLBACKS, read_config
from skep.gateway.media import MEDIA
from skep.gateway.models import GatewayConfig, SemanticCache, path_of
from skep.gateway.profiles import PROFILES, Face, Profile, profiles_by_kind
from skep.settings import InvalidSettingsError, load_settings
from skep.spend import Price, Rates, make_price

GOOD = """
providers:
  openai: {kind: openai, api_key: "${KEY}"}
  mine:
    base_url: http://127.0.0.1:9000/v1/
    headers: {X-Team: red}
    connect_timeout_seconds: 0.5
    health_check_seconds: 30
models:
  smart:
    routes:
      - {provider: openai, model: gpt-x, timeout_seconds: 30}
      - {provider: mine, model: llama, price: {input_usd_per_mtok: 1, output_usd_per_mtok: 2.5, request_usd: 0.000000001}, max_output_tokens: 5}
    price: {input_usd_per_mtok: 0.15, output_usd_per_mtok: 0.60, cached_input_usd_per_mtok: 0.075, cache_write_1h_usd_per_mtok: 0.3}
    max_output_tokens: 4096
    falls_back_on: [timeout, content_filter]
  free: {routes: [{provider: mine, model: "1.5"}], retries: 0, timeout_seconds: 5}
"""


def read(folder: Path, text: str) -> GatewayConfig:
    (folder / "skep.yaml").write_text(textwrap.dedent(text))
    settings = load_settings(None, {"KEY": "sk-secret"}, folder)
    listed = {("openai", "gpt-y"): make_price(Rates(7, 8))}

    class Listed:
        def price(self, provider: str, model: str) -> Price | None:
            return listed.get((provider, model))

        def context_window(self, provider: str, model: str) -> int | None:
            return 128_000 if (provider, model) in listed else None

    return read_config(settings.open_sections, catalogue=Listed())


def test_what_the_sections_mean(tmp_path: Path) -> None:
    config = read(tmp_path, GOOD)
    openai, mine = config.providers["openai"], config.providers["mine"]
    assert openai.base_url == "https://api.openai.com/v1"
    assert openai.api_key is not None
    assert openai.api_key.reveal() == "sk-secret"
    assert "sk-secret" not in repr(config)
    assert (mine.profile.kind, mine.base_url) == ("openai_compatible", "http://127.0.0.1:9000/v1")
    assert (mine.headers, mine.connect_timeout_seconds, mine.health_check_seconds) == ((("x-team", "red"),), 0.5, 30.0)
    smart = config.models["smart"]
    assert smart.falls_back_on == {"timeout", "content_filter"}
    assert [route.name for route in smart.routes] == ["openai/gpt-x", "mine/llama"]
    assert [route.max_output_tokens for route in smart.routes] == [4096, 5]
    first, second = (route.price for route in smart.routes)
    assert first == make_price(Rates(150_000_000, 600_000_000, 75_000_000, cache_write_1h_nusd_per_mtok=300_000_000))
    assert second == make_price(Rates(1_000_000_000, 2_500_000_000), request_nusd=1)
    free = config.models["free"]
    assert (free.retries, free.deadline_seconds, free.falls_back_on) == (0, 5.0, USUAL_FALLBACKS)
    assert free.routes[0].price is None


def test_a_price_that_is_not_said_comes_from_the_list(tmp_path: Path) -> None:
    text = "providers: {o: {kind: openai, api_key: k}}\nmodels: {m: {routes: [{provider: o, model: gpt-y}]}}\n"
    route = read(tmp_path, text).models["m"].routes[0]
    assert (route.price, route.context_window) == (make_price(Rates(7, 8)), 128_000)


def test_a_deployment_is_listed_under_what_it_deploys(tmp_path: Path) -> None:
    """Azure's addresses name the deployment, and the version of the interface."""
    text = """
    providers:
      here: {kind: azure, base_url: "https://x.openai.azure.com", api_key: k}
      there: {kind: azure, base_url: "https://y.openai.azure.com/", api_key: k, api_version: 2099-01-01-preview}
      v1: {kind: openai, api_key: k}
    models:
      m:
        routes:
          - {provider: here, model: team a/chat}
          - {provider: there, model: chat, context_window: 7}
          - {provider: v1, model: mine, listed_as: gpt-y}
          - {provider: v1, model: mine}
        context_window: 9
    """
    here, there, listed, _ = (config := read(tmp_path, text)).models["m"].routes
    assert (
        here.paths["chat.completions"] == "/openai/deployments/team%20a%2Fchat/chat/completions?api-version=2024-10-21"
    )
    assert there.paths["embeddings"] == "/openai/deployments/chat/embeddings?api-version=2099-01-01-preview"
    assert (
        path_of(there.provider, there.provider.profile.health_path) == "/openai/models?api-version=2099-01-01-preview"
    )
    assert listed.paths["chat.completions"] == "/chat/completions"
    assert [route.context_window for route in config.models["m"].routes] == [9, 7, 9, 9]
    assert [route.price for route in (here, listed)] == [None, make_price(Rates(7, 8))]
    assert config.models["m"].context_window == 9
    assert config.models["m"].windows_differ


def test_what_a_model_is_for_is_said_or_told_by_its_name(tmp_path: Path) -> None:
    text = """
        providers: {o: {kind: openai, api_key: k}}
        models:
          m:
            purpose: text
            routes: [{provider: o, model: gpt-image-1}, {provider: o, model: gpt-y, purpose: ranking}]
          n: {routes: [{provider: o, model: mine, listed_as: tts-1}, {provider: o, model: gpt-y}, {provider: o, model: x, image_usd: 1}]}
    """
    models = read(tmp_path, text).models
    assert [route.purpose for route in models["m"].routes] == ["text", "ranking"]
    assert [route.purpose for route in models["n"].routes] == ["speech", None, "picture"]


def test_terms_that_cost_other_than_the_price(tmp_path: Path) -> None:
    text = """
        providers: {o: {kind: openai, api_key: k}, p: {kind: vllm}, g: {kind: groq, api_key: k}}
        models:
          m:
            service_tiers: {priority: 2, scale: 0}
            search_usd: 0.01
            routes: [{provider: o, model: gpt-y, service_tiers: {priority: 1.7}}, {provider: p, model: x, search_usd: 0}]
          n: {routes: [{provider: o, model: gpt-y, service_tiers: {flex: 0.6}}, {provider: g, model: x}]}
    """
    config = read(tmp_path, text)
    first, second = config.models["m"].routes
    assert dict(first.service_tiers) == {"flex": Decimal("0.5"), "priority": Decimal("1.7"), "scale": 0}
    assert dict(second.service_tiers) == {"priority": 2, "scale": 0}
    assert (first.search_nusd, second.search_nusd) == (10_000_000, 0)
    own, known = config.models["n"].routes
    assert (dict(own.service_tiers), own.search_nusd) == ({"flex": Decimal("0.6")}, None)
    assert dict(known.service_tiers) == {"flex": 1}, "the list price, says the provider"


def test_formats_of_a_route_are_those_that_chats_are_asked_in(tmp_path: Path) -> None:
    text = """
        providers: {o: {kind: openai, api_key: k}, p: {kind: vllm}, a: {kind: anthropic, api_key: k}}
        models:
          m:
            routes:
              - {provider: o, model: x}
              - {provider: o, model: y, formats: [responses]}
              - {provider: p, model: x, formats: [chat, messages]}
              - {provider: a, model: x, formats: [messages]}
              - {provider: a, model: y, formats: []}
    """
    usual, responses, both, messages, none = read(tmp_path, text).models["m"].routes
    assert usual.paths == usual.provider.profile.paths
    others = [face for face in get_args(Face) if face not in MEDIA]
    assert [usual.face_for(face) for face in others] == [
        *("chat.completions", "completions", "embeddings", "chat.completions", None, "responses", "chat.completions"),
        *(None, "moderations", None),
    ]
    assert [responses.face_for(face) for face in others] == [
        *("responses", "completions", "embeddings", "responses", None, "responses", "responses"),
        *(None, "moderations", None),
    ]
    assert all(usual.face_for(face) == responses.face_for(face) == face for face in MEDIA)
    assert (both.face_for("messages"), both.paths["messages"]) == ("messages", "/messages")
    assert (both.face_for("responses"), both.face_for("rerank")) == ("chat.completions", "rerank")
    assert messages.paths == messages.provider.profile.paths
    assert none.paths == {}


def test_pictures_and_sound_have_prices_of_their_own(tmp_path: Path) -> None:
    text = """
        providers: {o: {kind: openai, api_key: k}}
        models:
          m:
            routes: [{provider: o, model: x, image_usd_by: {hd 1024x1024: 0.08, hd: 0.1, 512x512: 0.02}}, {provider: o, model: y}]
            image_usd: 0.05
            price: {input_usd_per_mchar: 15, audio_usd_per_hour: 0.36}
    """
    own, usual = read(tmp_path, text).models["m"].routes
    assert dict(own.image_prices) == {"hd 1024x1024": 80_000_000, "hd": 100_000_000, "512x512": 20_000_000}
    assert (dict(usual.image_prices), own.price) == ({"*": 50_000_000}, usual.price)
    assert usual.price == make_price(Rates(0, 0, input_nusd_per_mchar=15 * 10**9, audio_nusd_per_hour=360_000_000))
    for wrong in (
        "image_usd_by: {auto: 1}",
        "image_usd_by: {1024: 1}",
        "image_usd_by: {hd: x}",
        "price: {request_usd: 1}",
    ):
        with pytest.raises(InvalidSettingsError):
            read(tmp_path, text.replace("image_usd: 0.05", wrong))


def test_nothing_said_is_nothing_configured(tmp_path: Path) -> None:
    for text in ("", "providers:\nmodels:\n"):
        config = read(tmp_path, text)
        assert (config.providers, config.models) == ({}, {})


PROVIDER = "providers:\n  p: {base_url: 'http://x/v1'}\n"

MISTAKES = {
    "providers: [a]": "skep.yaml:1:1: providers: expected names with values, indented below it",
    "providers: {a: b}": "skep.yaml:1:16: providers.a: expected names with values",
    "providers:\n  a: {kind: opnai}": "skep.yaml:2:13: providers.a.kind: expected openai, anthropic, azure_openai,*; did you mean openai?",
    "providers:\n  a: {kind: openai}": "skep.yaml:2:6: providers.a.api_key: the kind openai needs a key, such as ${A_API_KEY}",
    "providers:\n  a: {kind: azure_openai, api_key: k}": "skep.yaml:2:6: providers.a.base_url: the kind azure_openai has no address*",
    "providers:\n  a: {}": "skep.yaml:2:6: providers.a.kind: is missing; expected openai,*",
    "providers:\n  a: {kind: openai, api_key: k, base_rul: x}": "skep.yaml:2:43: providers.a.base_rul: there is no such setting; did you mean base_url?",
    "providers:\n  a: {base_url: 'ftp://x'}": "skep.yaml:2:17: providers.a.base_url: expected an address such as *",
    "providers:\n  a: {base_url: 'http://u:p@x'}": "skep.yaml:2:17: providers.a.base_url: must have no user, *",
    "providers:\n  a: {base_url: 'http://x:99999'}": "skep.yaml:2:17: providers.a.base_url: expected an address such as *",
    "providers:\n  a: {base_url: 'http://x', headers: {Host: y}}": "*providers.a.headers.Host: this header is set for each call",
    'providers:\n  a: {base_url: "http://x", headers: {X-A: "a\\nb"}}': "*providers.a.headers.X-A: expected text",
    "providers:\n  a: {base_url: 'http://x', connect_timeout_seconds: never}": "*connect_timeout_seconds: expected a number of seconds from 0.05 to 300",
    "models:\n  m: {routes: []}": "skep.yaml:2:15: models.m.routes: expected a list with at least one entry, such as *",
    "models:\n  m: {}": "skep.yaml:2:6: models.m.routes: expected a list with at least one entry, *",
    f"{PROVIDER}models:\n  m: {{routes: [{{provider: q, model: x}}]}}": "skep.yaml:4:27: models.m.routes.0.provider: expected p, got 'q'",
    f"{PROVIDER}models:\n  m: {{routes: [{{provider: p}}]}}": "skep.yaml:4:16: models.m.routes.0.model: is missing",
    f"{PROVIDER}models:\n  m: {{routes: [{{provider: p, model: 4.1}}]}}": "*models.m.routes.0.model: expected text, got a number; put it in quotes",
    f"{PROVIDER}models:\n  m: {{routes: [p]}}": "*models.m.routes.0: expected names with values, *",
    f"{PROVIDER}models:\n  local: {{routes: [{{provider: p, model: x}}]}}": "*models.local: this is the name of the model that is part of Skep; *",
    f"{PROVIDER}models:\n  m: {{routes: [{{provider: p, model: x}}], price: {{input_usd_per_mtok: 1}}}}": "*models.m.price.output_usd_per_mtok: is missing",
    f"{PROVIDER}models:\n  m: {{routes: [{{provider: p, model: x}}], price: {{input_usd_per_mtok: -1, output_usd_per_mtok: 1}}}}": "*input_usd_per_mtok: expected an amount in US dollars *",
    f"{PROVIDER}models:\n  m: {{routes: [{{provider: p, model: x}}], price: {{input_usd_per_mtok: 1, output_usd_per_mtok: 0.0000000001}}}}": "*output_usd_per_mtok: has more than nine digits after the point",
    f"{PROVIDER}models:\n  m: {{routes: [{{provider: p, model: x}}], service_tiers: {{flex: -1}}}}": "*models.m.service_tiers.flex: expected a multiple such as 0.5 or 2, from 0 to 100",
    f"{PROVIDER}models:\n  m: {{routes: [{{provider: p, model: x}}], service_tiers: {{default: 2}}}}": "*models.m.service_tiers.default: costs what price says; *",
    f"{PROVIDER}models:\n  m: {{routes: [{{provider: p, model: x, service_tiers: 2}}]}}": "*models.m.routes.0.service_tiers: expected names with values",
    f"{PROVIDER}models:\n  m: {{routes: [{{provider: p, model: x, formats: [response]}}]}}": "*models.m.routes.0.formats.0: expected chat, *; did you mean responses?",
    f"{PROVIDER}models:\n  m: {{routes: [{{provider: p, model: x, formats: [chat, gemini]}}]}}": "*models.m.routes.0.formats: the kind openai_compatible cannot be asked in gemini, only in chat, responses, messages",
    "providers:\n  p: {kind: anthropic, api_key: k}\nmodels:\n  m: {routes: [{provider: p, model: x, formats: [chat]}]}": "*models.m.routes.0.formats: the kind anthropic cannot be asked in chat, only in messages",
    "providers:\n  p: {kind: jina, api_key: k}\nmodels:\n  m: {routes: [{provider: p, model: x, formats: [chat]}]}": "*models.m.routes.0.formats: the kind jina cannot be asked in chat, in none",
    f"{PROVIDER}models:\n  m: {{routes: [{{provider: p, model: x}}], cache_seconds: 9, semantic_cache: true}}": "*models.m.semantic_cache: expected names with values, such as {similarity: 0.85}, or {} for what is usual",
    f"{PROVIDER}models:\n  m: {{routes: [{{provider: p, model: x}}], stop_when: json}}": "*models.m.stop_when: expected names with values, such as {json: true}, {pattern: TEXT} or {cost_usd: 0.05}",
    f"{PROVIDER}models:\n  m: {{routes: [{{provider: p, model: x}}], tier: a b}}": "*models.m.tier: a tier's name is 1 to 40 letters, *",
    f"{PROVIDER}models:\n  'tier:m': {{routes: [{{provider: p, model: x}}]}}": "*models.tier:m: names that begin with tier: stand for tiers; *",
    f"{PROVIDER}models:\n  m: {{routes: [{{provider: p, model: x}}], apology: 'Sorry, {{name}}'}}": "*models.m.apology: in braces only {trace_id} can stand in it",
    f"{PROVIDER}models:\n  m: {{routes: [{{provider: p, model: x}}], semantic_cache: {{}}}}": "*models.m.semantic_cache: needs cache_seconds, *",
    f"{PROVIDER}models:\n  m: {{routes: [{{provider: p, model: x}}], cache_seconds: 9, semantic_cache: {{similarity: 0.5}}}}": "*models.m.semantic_cache.similarity: expected a number from 0.85 to 1",
    f"{PROVIDER}models:\n  m: {{routes: [{{provider: p, model: x}}], retries: 1.5}}": "*models.m.retries: expected a whole number from 0 to 10",
    f"{PROVIDER}models:\n  m: {{routes: [{{provider: p, model: x}}], falls_back_on: [time_out]}}": "*models.m.falls_back_on.0: expected unreachable, *; did you mean timeout?",
    f"{PROVIDER}models:\n  m: {{routes: [{{provider: p, model: x}}], falls_back_on: timeout}}": "*models.m.falls_back_on: expected a list of *",
}


@pytest.mark.parametrize(("text", "told"), MISTAKES.items(), ids=[told.strip("*")[:60] for told in MISTAKES.values()])
def test_every_mistake_is_named_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InvalidSettingsError) as caught:
        read(tmp_path, text)
    (problem,) = caught.value.problems
    shown = str(problem).removeprefix(f"{tmp_path}/")
    at = 0
    for part in told.split("*"):
        assert part in shown[at:], shown
        at = shown.index(part, at) + len(part)
    assert told.endswith("*") or at == len(shown)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettingsError) as caught:
        read(tmp_path, "providers:\n  a: {kind: x, y: 1}\nmodels:\n  m: {routes: [{provider: a, model: ''}], z: 1}\n")
    assert [problem.field for problem in caught.value.problems] == [
        "providers.a.kind",
        "providers.a.y",
        "models.m.routes.0.model",
        "models.m.z",
    ]


_USUAL = {"chat.completions", "completions", "embeddings"}
_WITH_RESPONSES = ("azure_openai", "groq", "xai", "openrouter", "ollama", "lm_studio", "portkey")
_WITH_BOTH = ("together", "fireworks", "vllm", "llama_cpp")
_LISTENING = {"audio.transcriptions", "audio.translations"}
_MEDIA = {"images.generations", "images.edits", "audio.speech", *_LISTENING}
_ALL_MEDIA = {*_MEDIA, "images.variations"}
_MORE = {
    **{kind: {"responses"} for kind in _WITH_RESPONSES},
    **{kind: {"responses", "rerank"} for kind in _WITH_BOTH},
    "openai": {"responses", "moderations", *_ALL_MEDIA},
    "azure_openai": {"responses", *_MEDIA},
    "azure": _MEDIA,
    "gemini_openai": {"images.generations"},
    "groq": {"responses", "audio.speech", *_LISTENING},
    "mistral": {"moderations", "audio.transcriptions"},
    "xai": {"responses", "images.generations", "images.edits"},
    "together": {"responses", "rerank", "images.generations", "audio.speech", *_LISTENING},
    "vllm": {"responses", "rerank", *_LISTENING},
    "portkey": {"responses", *_ALL_MEDIA},
    "openai_compatible": {"moderations", "rerank", *_ALL_MEDIA},
}
_FACES = {
    "anthropic": {"messages", "messages.count_tokens"},
    "gemini": {"generate_content", "generate_content.count_tokens"},
    "gpt4all": {"chat.completions", "completions"},
    "cohere": {"rerank"},
    "jina": {"embeddings", "rerank"},
    "voyage": {"embeddings", "rerank"},
}


def test_profiles_are_complete_and_different() -> None:
    by_kind = profiles_by_kind()
    assert len(by_kind) == len(PROFILES)
    for profile in PROFILES:
        assert profile.base_url is None or (profile.base_url.startswith("http") and not profile.base_url.endswith("/"))
        assert set(profile.paths) == _FACES.get(profile.kind, _USUAL | _MORE.get(profile.kind, set()))
    with pytest.raises(ValueError, match="same kind"):
        profiles_by_kind((Profile(kind="a", summary="", base_url=None), Profile(kind="a", summary="", base_url=None)))


@pytest.mark.parametrize(
    ("address", "stays"),
    [
        ("http://127.0.0.1:11434/v1", True),
        ("http://localhost:8000/v1", True),
        ("http://gpu.localhost/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://10.1.2.3/v1", True),
        ("http://192.168.0.7:8080", True),
        ("http://[fd00::1]/v1", True),
        ("http://0.0.0.0/v1", False),
        ("http://8.8.8.8/v1", False),
        ("http://localhost.example.com/v1", False),
        ("http://gpu.internal/v1", False),
        ("https://api.openai.com/v1", False),
    ],
)
def test_which_addresses_stay_in_the_house(address: str, stays: bool) -> None:
    assert stays_in_the_house(address) is stays


def test_semantic_hits_are_asked_for(tmp_path: Path) -> None:
    text = f"{PROVIDER}models:\n  m: {{routes: [{{provider: p, model: x}}], cache_seconds: 9, semantic_cache: {{wait_seconds: 0.2}}}}"
    assert read(tmp_path, text).models["m"].semantic_cache == SemanticCache(similarity=0.85, wait_seconds=0.2)
    assert read(tmp_path, text.replace(", semantic_cache: {wait_seconds: 0.2}", "")).models["m"].semantic_cache is None
