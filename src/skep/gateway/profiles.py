"""What is known of the kinds of providers, as data: a new kind is a row, never a branch in the code."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

Face = Literal[
    "chat.completions",
    "completions",
    "embeddings",
    "messages",
    "messages.count_tokens",
    "responses",
    "generate_content",
    "generate_content.count_tokens",
    "moderations",
    "rerank",
    "images.generations",
    "images.edits",
    "images.variations",
    "audio.speech",
    "audio.transcriptions",
    "audio.translations",
]
"""A way of calling models, named as in its address: OpenAI's, Anthropic's messages, Gemini's, and what ranks documents."""

COUNTING: Face = "messages.count_tokens"
GENERATION_COUNTING: Face = "generate_content.count_tokens"
COUNTINGS: Mapping[Face, str] = {COUNTING: "messages", GENERATION_COUNTING: "gemini"}
"""Faces that ask how many tokens a request would have, for which nobody charges, with their formats."""

_CHATS: tuple[Face, ...] = ("chat.completions", "messages", "responses", "generate_content")
"""Faces that can be translated into each other; of several that a provider has, the first is taken."""

MESSAGES_CAP = 8_192
"""Anthropic's format must have a bound of the output. Where nobody named any: what each of its models since Claude 3.5 can put out."""

_CHAT_PATHS: Mapping[Face, str] = {
    "chat.completions": "/chat/completions",
    "messages": "/messages",
    "responses": "/responses",
    "generate_content": "/models/{model}:generateContent",
}
STREAM_ENDINGS: Mapping[str, str] = {":generateContent": ":streamGenerateContent?alt=sse"}
"""How the path of a face ends when a stream is wanted, by how it ends else; where it is not here, the body says so."""

FORMAT_FACES: Mapping[str, Face] = {
    "chat": "chat.completions",
    "responses": "responses",
    "messages": "messages",
    "gemini": "generate_content",
}
"""The faces of chats, by what the settings call them."""

_PATHS: Mapping[Face, str] = {
    "chat.completions": "/chat/completions",
    "completions": "/completions",
    "embeddings": "/embeddings",
}

_WITH_RESPONSES: Mapping[Face, str] = {**_PATHS, "responses": "/responses"}

_DRAWING: Mapping[Face, str] = {"images.generations": "/images/generations", "images.edits": "/images/edits"}
_LISTENING: Mapping[Face, str] = {
    "audio.transcriptions": "/audio/transcriptions",
    "audio.translations": "/audio/translations",
}
_MEDIA: Mapping[Face, str] = {**_DRAWING, "audio.speech": "/audio/speech", **_LISTENING}
_ALL_MEDIA: Mapping[Face, str] = {**_MEDIA, "images.variations": "/images/variations"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The facts of one kind of provider. Addresses are without the slash at the end."""

    kind: str
    summary: str
    base_url: str | None
    """None: the settings must name one."""
    needs_key: bool = True
    key_header: str = "authorization"
    key_prefix: str = "Bearer "
    paths: Mapping[Face, str] = field(default_factory=lambda: _PATHS)
    """Which faces it has, and where; ``{model}`` stands for the route's model."""
    api_version: str | None = None
    """Its version where the settings name none; None: its addresses have none."""
    health_path: str = "/models"
    """What answers a GET quickly, for free."""
    takes_include_usage: bool = True
    """Whether a stream tells its usage when ``stream_options.include_usage`` asks for it. False: it tells unasked, or refuses
    fields it does not know."""
    cap_fields: tuple[str, ...] = ("max_tokens",)
    """The fields that bound the output of a chat; the first is the one to set. A field that is not here may be passed over."""
    text_cap_fields: tuple[str, ...] = ("max_tokens",)
    """The same for completions."""
    content_type: str | None = "application/json"
    """Of every request; None: what the client says."""
    response_cap_fields: tuple[str, ...] = ("max_output_tokens",)
    """The same for responses."""
    default_headers: tuple[tuple[bytes, bytes], ...] = ()
    """Sent where the client sends none of that name."""
    price_id: str | None = None
    """Its name in the price list; None when it has none there."""
    tells_cost: bool = False
    """Whether ``usage.cost`` says what it charged, in US dollars."""
    free_faces: tuple[Face, ...] = ()
    """Faces that it charges nothing for."""
    service_tiers: tuple[tuple[str, Decimal], ...] = ()
    """Tiers of service whose tokens cost the same multiple of the list price for every model."""
    trace_name: str = ""
    """Its name in OpenTelemetry's conventions (``gen_ai.provider.name``); empty: that of its kind."""

    def caps_of(self, face: Face) -> tuple[str, ...]:
        """The fields that bound the output of a face; the first is the one to set."""
        named: Mapping[Face, tuple[str, ...]] = {
            "messages": ("max_tokens",),
            "completions": self.text_cap_fields,
            "responses": self.response_cap_fields,
            "generate_content": ("generationConfig",),
        }
        return named.get(face, self.cap_fields)


def stream_path(path: str) -> str:
    """The path to ask for a stream by, of that to ask for a whole answer by."""
    for ending, streams in STREAM_ENDINGS.items():
        if path.endswith(ending):
            return path.removesuffix(ending) + streams
    return path


def paths_by(profile: Profile, formats: Collection[str] | None) -> Mapping[Face, str]:
    """Where a provider has which face, if chats are asked in some formats alone; None: in all that it has."""
    if formats is None:
        return profile.paths
    kept = {face: path for face, path in profile.paths.items() if face not in (*_CHATS, *COUNTINGS)}
    faces = [face for name, face in FORMAT_FACES.items() if name in formats]
    kept |= {face: profile.paths.get(face, _CHAT_PATHS[face]) for face in faces}
    counting = [face for face, name in COUNTINGS.items() if name in formats and face in profile.paths]
    return kept | {face: profile.paths[face] for face in counting}


def formats_of(profile: Profile) -> tuple[str, ...]:
    """The formats that chats can be asked in there: those that it is known for, and where it has OpenAI's chats at the usual
    address, those that servers have beside them. Gemini's has addresses and keys that no other kind has.
    """
    beside = (
        ("responses", "messages") if profile.paths.get("chat.completions") == _CHAT_PATHS["chat.completions"] else ()
    )
    return tuple(name for name, face in FORMAT_FACES.items() if face in profile.paths or name in beside)


def face_for(paths: Mapping[Face, str], face: Face) -> Face | None:
    """The face to call a provider by for a call that came by a face: the same, or one to translate into; None when it has neither."""
    if face in paths:
        return face
    return next((each for each in _CHATS if each in paths), None) if face in _CHATS else None


PROFILES: tuple[Profile, ...] = (
    Profile(
        kind="openai",
        summary="OpenAI",
        base_url="https://api.openai.com/v1",
        cap_fields=("max_completion_tokens", "max_tokens"),
        price_id="openai",
        # Flex processing costs as much as the Batch API, which is half: https://developers.openai.com/api/docs/guides/flex-processing
        service_tiers=(("flex", Decimal("0.5")),),
        paths={**_WITH_RESPONSES, **_ALL_MEDIA, "moderations": "/moderations"},
        # https://developers.openai.com/api/docs/guides/moderation
        free_faces=("moderations",),
    ),
    Profile(
        kind="anthropic",
        summary="Anthropic",
        base_url="https://api.anthropic.com/v1",
        key_header="x-api-key",
        key_prefix="",
        paths={"messages": "/messages", COUNTING: "/messages/count_tokens"},
        takes_include_usage=False,
        # https://platform.claude.com/docs/en/api/versioning
        default_headers=((b"anthropic-version", b"2023-06-01"),),
        price_id="anthropic",
    ),
    Profile(
        kind="azure_openai",
        summary="Azure OpenAI, with the address of a resource that ends in /openai/v1",
        base_url=None,
        key_header="api-key",
        key_prefix="",
        cap_fields=("max_completion_tokens", "max_tokens"),
        price_id="azure",
        # https://learn.microsoft.com/azure/foundry/openai/how-to/flex-processing
        service_tiers=(("flex", Decimal("0.5")),),
        trace_name="azure.ai.openai",
        # https://learn.microsoft.com/azure/foundry/openai/how-to/responses
        # https://learn.microsoft.com/azure/foundry/openai/latest
        paths={**_WITH_RESPONSES, **_MEDIA},
    ),
    # https://learn.microsoft.com/azure/foundry/openai/reference
    Profile(
        kind="azure",
        summary="Azure OpenAI by deployments, with the address of a resource; a route's `model` is the deployment, `listed_as` what it deploys",
        base_url=None,
        key_header="api-key",
        key_prefix="",
        paths={face: f"/openai/deployments/{{model}}{path}" for face, path in {**_PATHS, **_MEDIA}.items()},
        api_version="2024-10-21",
        health_path="/openai/models",
        cap_fields=("max_completion_tokens", "max_tokens"),
        price_id="azure",
        service_tiers=(("flex", Decimal("0.5")),),
        trace_name="azure.ai.openai",
    ),
    # https://ai.google.dev/api/generate-content
    Profile(
        kind="gemini",
        summary="Google Gemini",
        base_url="https://generativelanguage.googleapis.com/v1beta",
        key_header="x-goog-api-key",
        key_prefix="",
        paths={
            "generate_content": _CHAT_PATHS["generate_content"],
            GENERATION_COUNTING: "/models/{model}:countTokens",
        },
        takes_include_usage=False,
        price_id="google",
        trace_name="gcp.gemini",
    ),
    # https://ai.google.dev/gemini-api/docs/openai
    Profile(
        kind="gemini_openai",
        summary="Google Gemini, by its OpenAI-compatible address, which has embeddings, too",
        # https://ai.google.dev/gemini-api/docs/openai#generate-images
        paths={**_PATHS, "images.generations": "/images/generations"},
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        price_id="google",
        trace_name="gcp.gemini",
        cap_fields=("max_tokens", "max_completion_tokens"),
    ),
    Profile(
        kind="mistral",
        summary="Mistral",
        base_url="https://api.mistral.ai/v1",
        # https://docs.mistral.ai/api/endpoint/audio/transcriptions
        paths={**_PATHS, "moderations": "/moderations", "audio.transcriptions": "/audio/transcriptions"},
        takes_include_usage=False,
        price_id="mistral",
        trace_name="mistral_ai",
    ),
    Profile(
        kind="groq",
        summary="Groq",
        base_url="https://api.groq.com/openai/v1",
        price_id="groq",
        # There it has more room, and the usual price: https://console.groq.com/docs/flex-processing
        service_tiers=(("flex", Decimal(1)),),
        cap_fields=("max_tokens", "max_completion_tokens"),
        # https://console.groq.com/docs/responses-api
        # https://console.groq.com/docs/speech-to-text
        paths={**_WITH_RESPONSES, **_LISTENING, "audio.speech": "/audio/speech"},
    ),
    Profile(kind="deepseek", summary="DeepSeek", base_url="https://api.deepseek.com/v1", price_id="deepseek"),
    Profile(
        kind="xai",
        summary="xAI",
        base_url="https://api.x.ai/v1",
        price_id="x-ai",
        trace_name="x_ai",
        cap_fields=("max_tokens", "max_completion_tokens"),
        # https://docs.x.ai/developers/model-capabilities/text/generate-text
        # https://docs.x.ai/developers/model-capabilities/images/generation
        paths={**_WITH_RESPONSES, **_DRAWING},
    ),
    Profile(
        kind="openrouter",
        summary="OpenRouter",
        base_url="https://openrouter.ai/api/v1",
        price_id="openrouter",
        tells_cost=True,
        cap_fields=("max_tokens", "max_completion_tokens"),
        # https://openrouter.ai/docs/api/reference/responses/overview
        paths=_WITH_RESPONSES,
    ),
    Profile(
        kind="together",
        summary="Together AI",
        base_url="https://api.together.xyz/v1",
        price_id="together",
        # https://docs.together.ai/docs/inference/responses
        # https://docs.together.ai/reference/post-images-generations
        # https://docs.together.ai/reference/audio-transcriptions
        paths={
            **_WITH_RESPONSES,
            **_LISTENING,
            "images.generations": "/images/generations",
            "audio.speech": "/audio/speech",
            "rerank": "/rerank",
        },
    ),
    Profile(
        kind="fireworks",
        summary="Fireworks",
        base_url="https://api.fireworks.ai/inference/v1",
        price_id="fireworks",
        # https://docs.fireworks.ai/guides/response-api
        paths={**_WITH_RESPONSES, "rerank": "/rerank"},
    ),
    Profile(
        kind="cerebras",
        summary="Cerebras",
        base_url="https://api.cerebras.ai/v1",
        price_id="cerebras",
        cap_fields=("max_tokens", "max_completion_tokens"),
    ),
    Profile(
        kind="ollama",
        summary="Ollama on this machine",
        base_url="http://127.0.0.1:11434/v1",
        needs_key=False,
        # https://docs.ollama.com/api/openai-compatibility
        paths=_WITH_RESPONSES,
    ),
    Profile(
        kind="vllm",
        summary="vLLM on this machine",
        base_url="http://127.0.0.1:8000/v1",
        needs_key=False,
        cap_fields=("max_tokens", "max_completion_tokens"),
        # https://docs.vllm.ai/en/stable/serving/online_serving.html
        paths={**_WITH_RESPONSES, **_LISTENING, "rerank": "/rerank"},
    ),
    Profile(
        kind="llama_cpp",
        summary="llama.cpp's server on this machine",
        base_url="http://127.0.0.1:8080/v1",
        needs_key=False,
        cap_fields=("max_tokens", "n_predict"),
        text_cap_fields=("max_tokens", "n_predict"),
        # https://github.com/ggml-org/llama.cpp/tree/master/tools/server
        paths={**_WITH_RESPONSES, "rerank": "/rerank"},
    ),
    # https://lmstudio.ai/docs/api/openai-api
    Profile(
        kind="lm_studio",
        summary="LM Studio on this machine",
        base_url="http://127.0.0.1:1234/v1",
        needs_key=False,
        # https://lmstudio.ai/blog/lmstudio-v0.3.29
        paths=_WITH_RESPONSES,
    ),
    # https://jan.ai/docs/local-api
    Profile(kind="jan", summary="Jan on this machine", base_url="http://127.0.0.1:1337/v1"),
    # https://docs.gpt4all.io/gpt4all_api_server/home.html
    Profile(
        kind="gpt4all",
        summary="GPT4All on this machine; it has no embeddings",
        base_url="http://127.0.0.1:4891/v1",
        needs_key=False,
        paths={face: path for face, path in _PATHS.items() if face != "embeddings"},
    ),
    # https://portkey.ai/docs/api-reference/inference-api/headers
    Profile(
        kind="portkey",
        summary="Portkey; its headers say which provider: `x-portkey-virtual-key`, `x-portkey-config` or `x-portkey-provider`",
        base_url="https://api.portkey.ai/v1",
        key_header="x-portkey-api-key",
        key_prefix="",
        paths={**_WITH_RESPONSES, **_ALL_MEDIA},
    ),
    # https://docs.cohere.com/reference/rerank
    Profile(
        kind="cohere",
        summary="Cohere, which ranks documents",
        base_url="https://api.cohere.com/v2",
        paths={"rerank": "/rerank"},
    ),
    # https://api.jina.ai/redoc
    Profile(
        kind="jina",
        summary="Jina, which ranks documents and makes embeddings",
        base_url="https://api.jina.ai/v1",
        paths={"embeddings": "/embeddings", "rerank": "/rerank"},
    ),
    # https://docs.voyageai.com/reference/reranker-api
    Profile(
        kind="voyage",
        summary="Voyage, which ranks documents and makes embeddings",
        base_url="https://api.voyageai.com/v1",
        paths={"embeddings": "/embeddings", "rerank": "/rerank"},
    ),
    Profile(
        kind="openai_compatible",
        summary="anything else that speaks OpenAI's API, at the address in base_url",
        base_url=None,
        needs_key=False,
        paths={**_PATHS, **_ALL_MEDIA, "moderations": "/moderations", "rerank": "/rerank"},
    ),
)
"""Every kind of provider; the one list."""


def profiles_by_kind(profiles: tuple[Profile, ...] = PROFILES) -> dict[str, Profile]:
    """The profiles by name. Raises ValueError when two have the same."""
    by_kind = {profile.kind: profile for profile in profiles}
    if len(by_kind) < len(profiles):
        raise ValueError("two profiles have the same kind")
    return by_kind
