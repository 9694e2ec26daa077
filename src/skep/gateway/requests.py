"""What the gateway must know of a request: read once, from the bytes that came. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from skep.gateway.forms import with_values
from skep.gateway.generate_requests import (
    GENERATION_KEYS,
    Named,
    bounded,
    generation_terms,
    media_tokens,
)
from skep.gateway.interfaces import RequestInvalidError
from skep.gateway.large_bodies import BodyUnreadableError, Unread, is_quick, read_top_level
from skep.gateway.media import MEDIA, MEDIA_KEYS, Media
from skep.gateway.naming import Names, unescaped
from skep.gateway.pricing import LISTED_TIERS
from skep.gateway.profiles import COUNTING, COUNTINGS, GENERATION_COUNTING, Face
from skep.gateway.ranking import ranking_bounds
from skep.gateway.response_requests import PLAIN, RESPONSE_KEYS, STORED_TOKENS, response_terms, response_user
from skep.gateway.splicing import DuplicateKeyError, Keys, NestedTooDeepError, Span, check_keys, quoted, splice
from skep.gateway.usage import counted

PICTURE_TOKENS = 20_000
"""A picture that is only named (by its address) has more tokens than bytes; no provider counts more for one."""

FILE_TOKENS = 1_000_000
"""The same for a file or a recording that is named by its id."""

TOOLS_TOKENS = 1_000
"""What a provider puts before the tools, in its own words, and counts: Anthropic's table has up to 530
(https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview#pricing)."""

_WITHOUT_OUTPUT = ("embeddings", "moderations", "rerank", *COUNTINGS)
_TELLING = ("messages", "responses", "generate_content", *MEDIA)
"""Their streams tell the usage unasked."""

_COUNTED: Mapping[Face, tuple[str, ...]] = {
    "embeddings": ("input",),
    "rerank": ("documents",),
    "images.edits": ("images",),
}
"""The lists of which it matters how many elements they have."""

_MOST_TOKENS = 1 << 40
_BOUNDS = ("max_completion_tokens", "max_tokens", "max_output_tokens", "max_new_tokens", "n_predict")
"""What some provider takes as the bound of its output (``n_predict``: llama.cpp, where it counts more than ``max_tokens``)."""

_UNBOUNDED = (-1, -2)
"""What llama.cpp takes for no bound in ``n_predict``."""

_OTHER_MODELS = ("models", "fallbacks")
"""Lets a provider choose other models than the one that is asked for, allowed and priced (OpenRouter, LiteLLM)."""

_DEAR = ("plugins", "provider")
"""Costs more than tokens, or has tokens at a price that nobody here knows: plugins and other providers (OpenRouter)."""

_DEAR_IN_MESSAGES: Mapping[str, tuple[object, ...]] = {
    "container": (None,),
    "inference_geo": (None, "global"),
    "speed": (None, "standard"),
}
"""The same in Anthropic's requests, with what costs nothing more (https://platform.claude.com/docs/en/about-claude/pricing)."""

_PAID_TOOLS = (b'"web_search_2', b'"code_execution_2')
"""Begins the types of Anthropic's own tools that cost more than tokens."""

_KEYS = quoted(
    (
        *("model", "stream", "stream_options", *_BOUNDS, "n", "best_of", "user", "prompt", *_OTHER_MODELS),
        *("service_tier", "web_search_options", *_DEAR),
    )
)
"""What we go by. Some providers (those in Go) read ``Max_Tokens`` as ``max_tokens`` too, and the last one counts there."""

_KEYS_OF: Mapping[Face, Keys] = {
    "responses": quoted((*_KEYS, *RESPONSE_KEYS)),
    "rerank": quoted((*_KEYS, "query", "documents")),
    "generate_content": quoted(("model", *GENERATION_KEYS)),
    GENERATION_COUNTING: quoted(("model", *GENERATION_KEYS)),
    **dict.fromkeys(MEDIA, quoted((*_KEYS, *MEDIA_KEYS))),
}
"""The same where it is more."""


@dataclass(slots=True)
class Known:
    """A request that can be passed on."""

    face: Face
    body: bytes
    values: dict[str, Any]
    """What the body says, read; of large bodies the long values are `Unread`."""
    model: str
    stream: bool
    output_tokens: int | None
    """The bound the client named, over all its choices; None: it named none."""
    choices: int
    """How many answers it asks for; each may have as many tokens as the bound says."""
    user: str | None
    wants_usage: bool
    """Whether the client itself asked for the event with the usage at the end of the stream."""
    input_tokens_at_most: int
    has_audio: bool
    keeps_an_hour: bool
    """Whether it may have the provider keep input for an hour (``cache_control: {ttl: 1h}``)."""
    service_tier: str | None
    """The tier it asks for; None for those that cost what the price says."""
    searches: bool
    """Whether it has the web searched."""
    dear_field: str | None
    """The field because of which nobody here knows what the call costs; None: there is none."""
    searches_at_most: int
    """How many searches it may be billed as, where documents are ranked; else 0."""
    does_more: bool
    """Whether the provider does more than to answer what the request says: it has tools of its own, or goes on from what it has stored."""
    spans: Mapping[str, Span] | None
    """Where values stand, as far as that was found out."""
    asked: str | None = None
    """The model that the client named, where a role put another one in its place."""
    named: Named | None = None
    """What its address says; None: the body says all."""
    media: Media | None = None
    """What it asks for, where it is about pictures or sound."""

    @property
    def input_tokens_reckoned(self) -> int:
        """About what goes in, where no provider says it: a token for four bytes, and what is only named as the most that it may be."""
        if self.media is not None:
            return self.media.input_tokens
        named = self.input_tokens_at_most - len(self.body) - (TOOLS_TOKENS if self.values.get("tools") else 0)
        return (counted(len(self.body), 0).input_tokens or 0) + max(0, named)

    @property
    def form_type(self) -> bytes | None:
        """The content type of a form; None: it is JSON."""
        return None if self.media is None or self.media.form is None else self.media.form.content_type

    @property
    def is_free(self) -> bool:
        """Whether no provider charges for it."""
        return self.face in COUNTINGS


def read_request(face: Face, body: bytes, *, quick: bool | None = None, named: Named | None = None) -> Known:
    """Read a request's body. Raises RequestInvalidError, which names the field. In a thread, unless the body is ``quick``.

    That is what `is_quick` says of it; None: it was not asked yet. ``named`` is what the address says, where that names the model.
    """
    names = Names(body)
    quick = is_quick(body) if quick is None else quick
    keys = _KEYS_OF.get(face, _KEYS)
    try:
        values, spans = _whole_body(body, keys, names) if quick else _large_body(face, body, keys)
    except DuplicateKeyError as error:
        raise RequestInvalidError(reason=f"the body says {error.key} twice", param=error.key) from error
    except NestedTooDeepError as error:
        raise RequestInvalidError(reason="the body is nested too deep", param=None) from error
    for key in values:
        if key not in keys and not (key.isascii() and key.islower()) and key.casefold() in keys:
            raise RequestInvalidError(reason=f"the body writes {key.casefold()} in another case", param=key.casefold())
    if named is not None:
        return _generation(face, body, values, spans, named)
    model = values.get("model")
    if not isinstance(model, str) or not model:
        raise RequestInvalidError(reason="model must name a model", param="model")
    for name in _OTHER_MODELS:
        if values.get(name):
            reason = f"{name} names other models than model does; an administrator sets routes to fall back on"
            raise RequestInvalidError(reason=reason, param=name)
    stream = _stream(face, values)
    plain = unescaped(body)
    words = names if plain is body else Names(plain)
    choices, output = _output(face, values)
    terms = response_terms(values, body, plain, words) if face == "responses" else PLAIN
    bound, searches = 0 if face == COUNTING else _input_tokens(face, words, values, len(body)), 0
    if face == "rerank":
        bound, searches = ranking_bounds(values, len(body))
        bound += PICTURE_TOKENS * words.count(b'"image"')
    return Known(
        face=face,
        body=body,
        values=values,
        model=model,
        stream=stream,
        output_tokens=output,
        choices=choices,
        user=_user(_USERS[face](values) if face in _USERS else values),
        wants_usage=stream and _wants_usage(values),
        input_tokens_at_most=bound if terms.stored_field is None else bound + STORED_TOKENS,
        keeps_an_hour=words.count(b'"1h"') > 0,
        has_audio="audio" in values or words.count(b'"input_audio"') > 0,
        service_tier=_service_tier(values),
        searches=values.get("web_search_options") is not None,
        dear_field=_dear_in_messages(values, words) if face == "messages" else _dear(values) or terms.dear_field,
        searches_at_most=searches,
        does_more=terms is not PLAIN and terms != PLAIN,
        spans=spans,
    )


def read_again(known: Known, body: bytes, *, model: str | None = None) -> Known:
    """The same request with another body, and for another model, where that is named. Raises as `read_request` does."""
    named = known.named
    if named is not None and model is not None:
        named = Named(model, named.streams)
    return read_request(known.face, body, named=named)


def _generation(
    face: Face, body: bytes, values: dict[str, Any], spans: Mapping[str, Span] | None, named: Named
) -> Known:
    """A request in Gemini's format."""
    names = Names(unescaped(body))
    terms = generation_terms(values, body, names)
    counts = face == GENERATION_COUNTING
    bound = len(body) + (TOOLS_TOKENS if values.get("tools") else 0) + media_tokens(names, PICTURE_TOKENS, FILE_TOKENS)
    output = None if terms.bound is None else min(terms.bound * terms.choices, _MOST_TOKENS)
    return Known(
        face=face,
        body=body,
        values=values,
        model=named.model,
        stream=named.streams,
        output_tokens=0 if counts else output,
        choices=1 if counts else terms.choices,
        user=None,
        wants_usage=named.streams,
        input_tokens_at_most=0 if counts else bound + (STORED_TOKENS if terms.is_stored else 0),
        keeps_an_hour=False,
        has_audio=terms.has_audio,
        service_tier=terms.service_tier,
        searches=False,
        dear_field=terms.dear_field,
        searches_at_most=0,
        does_more=terms.dear_field is not None or terms.is_stored,
        spans=spans,
        named=named,
    )


def _whole_body(body: bytes, keys: Keys, names: Names) -> tuple[dict[str, Any], Mapping[str, Span] | None]:
    try:
        values = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestInvalidError(reason=f"the body is not JSON ({error})", param=None) from error
    if not isinstance(values, dict):
        raise RequestInvalidError(reason="the body must be a JSON object", param=None)
    return values, check_keys(body, values, keys, names)


def _large_body(face: Face, body: bytes, keys: Keys) -> tuple[dict[str, Any], Mapping[str, Span] | None]:
    try:
        found = read_top_level(body, keys, count_of=_COUNTED.get(face, ("prompt",)))
    except BodyUnreadableError as error:
        raise RequestInvalidError(
            reason=f"the body is not a JSON object that can be read ({error})", param=None
        ) from error
    return found.values, found.spans


def adapted(known: Known, *, model: str, include_usage: bool, cap_fields: Sequence[str], cap: int | None) -> bytes:
    """The body as a provider gets it: its own name of the model, a bound if one is needed, the question for usage.

    ``cap`` is for all choices together; None leaves the bound to the client, whose own is said again where the provider heeds only
    another name for it (``cap_fields``). Every byte that need not change is as it came.
    """
    if known.media is not None and known.media.form is not None:
        # There is nothing else to change in a form.
        return (
            known.body
            if model == known.model
            else with_values(known.body, {(known.spans or {})["model"]: model.encode()})
        )
    changes: dict[str, bytes] = {}
    if known.face == "generate_content":
        # Its model stands in the address.
        bounds = cap is not None or known.output_tokens is not None
        return bounded(known.body, known.values, _bound_for(known, cap)) if bounds else known.body
    if model != known.model:
        changes["model"] = orjson.dumps(model)
    if known.stream and include_usage and not known.wants_usage and known.face not in _TELLING:
        options = known.values.get("stream_options")
        if isinstance(options, dict):
            # The client's own options stay, in their order; this small object alone is written anew.
            changes["stream_options"] = orjson.dumps({**options, "include_usage": True})
        else:
            changes["stream_options"] = b'{"include_usage":true}'
    if known.face not in MEDIA and (
        cap is not None or (known.output_tokens is not None and known.face not in _WITHOUT_OUTPUT)
    ):
        _bound(known, cap_fields, cap, changes)
    return splice(known.body, changes, known.values, known.spans) if changes else known.body


def _bound(known: Known, cap_fields: Sequence[str], cap: int | None, changes: dict[str, bytes]) -> None:
    """See that the provider knows the bound that was reserved for."""
    values = known.values
    if cap is None and values.get("n_predict") not in _UNBOUNDED:
        # The client's own bound: mostly it stands there under a name that the provider heeds.
        for name in cap_fields:
            if values.get(name) is not None:
                return
    named = [name for name in _BOUNDS if name in values and (cap is not None or values[name] is not None)]
    bound = _bound_for(known, cap)
    # Where the bound is a role's, a word of the client's for no bound (llama.cpp) must not stay.
    changes.update((name, b"%d" % bound) for name in named if cap is not None or values[name] in _UNBOUNDED)
    if not any(name in cap_fields for name in named):
        changes[cap_fields[0]] = b"%d" % bound


def _bound_for(known: Known, cap: int | None) -> int:
    """That of one choice."""
    return max(1, cap // known.choices) if cap is not None else (known.output_tokens or 0) // known.choices


def _stream(face: Face, values: Mapping[str, Any]) -> bool:
    stream = values.get("stream")
    if stream is None or stream is False:
        return False
    if stream is not True:
        raise RequestInvalidError(reason="stream must be true or false", param="stream")
    if face in _WITHOUT_OUTPUT:
        raise RequestInvalidError(reason="there is no stream at this address", param="stream")
    return True


def _metadata(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Where Anthropic's requests name the user."""
    metadata = values.get("metadata")
    return {"user": metadata.get("user_id")} if isinstance(metadata, dict) else {}


_USERS: Mapping[Face, Callable[[Mapping[str, Any]], Mapping[str, Any]]] = {
    "messages": _metadata,
    COUNTING: _metadata,
    "responses": response_user,
}
"""Where a face names the user, if not under that name."""


def _dear(values: Mapping[str, Any]) -> str | None:
    for name in _DEAR:
        if values.get(name) is not None:
            return name
    return None


def _dear_in_messages(values: Mapping[str, Any], names: Names) -> str | None:
    for name, neutral in _DEAR_IN_MESSAGES.items():
        if values.get(name) not in neutral:
            return name
    return "tools" if values.get("tools") and any(names.count(word) for word in _PAID_TOOLS) else None


def _user(values: Mapping[str, Any]) -> str | None:
    user = values.get("user")
    if user is None or user == "":
        return None
    if not isinstance(user, str) or len(user) > 512:
        raise RequestInvalidError(reason="user must be a text of at most 512 characters", param="user")
    return user


def _service_tier(values: Mapping[str, Any]) -> str | None:
    tier = values.get("service_tier")
    if tier is None:
        return None
    if not isinstance(tier, str) or len(tier) > 64 or not tier.isprintable():
        raise RequestInvalidError(reason="service_tier must be a word", param="service_tier")
    return None if tier in LISTED_TIERS else tier


def _wants_usage(values: Mapping[str, Any]) -> bool:
    options = values.get("stream_options")
    if options is None:
        return False
    if not isinstance(options, dict):
        raise RequestInvalidError(reason="stream_options must be an object", param="stream_options")
    wanted = options.get("include_usage")
    if wanted not in (None, True, False):
        raise RequestInvalidError(reason="include_usage must be true or false", param="stream_options.include_usage")
    return wanted is True


def _output(face: Face, values: Mapping[str, Any]) -> tuple[int, int | None]:
    """How many choices are asked for, and how many tokens they may have together; embeddings put out none."""
    if face in _WITHOUT_OUTPUT:
        return 1, 0
    if face == "messages" and values.get("max_tokens") == 0:
        # Only fills the provider's cache.
        return 1, 0
    choices = _whole(values, "n") or 1
    if face == "completions":
        choices = max(choices, _whole(values, "best_of") or 1) * _prompts(values.get("prompt"))
    # Of several bounds each provider heeds those that it knows: only the largest is one for all of them.
    bounds = [_bound_of(values, name) for name in _BOUNDS if values.get(name) is not None]
    if not bounds or None in bounds:
        return choices, None
    bound = bounds[0] if len(bounds) == 1 else max(bound or 0 for bound in bounds)
    return choices, min((bound or 0) * choices, _MOST_TOKENS)


def _bound_of(values: Mapping[str, Any], name: str) -> int | None:
    """A bound that the client named; None for llama.cpp's word for no bound. What is 0 here counts as absent there."""
    if name == "n_predict" and values[name] in _UNBOUNDED:
        return None
    bound = _whole(values, name)
    if not bound:
        raise RequestInvalidError(reason=f"{name} must be at least 1", param=name)
    return bound


def _prompts(prompt: object) -> int:
    """How many prompts a completion has: a list of texts, or of lists of tokens; a list of tokens is one."""
    if isinstance(prompt, Unread):
        return prompt.elements or 1
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], str | list):
        return len(prompt)
    return 1


def _whole(values: Mapping[str, Any], name: str) -> int | None:
    value = values.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_TOKENS:
        raise RequestInvalidError(reason=f"{name} must be a whole number", param=name)
    return value


def _input_tokens(face: Face, names: Names, values: Mapping[str, Any], size: int) -> int:
    """A bound: no tokenizer makes more tokens of a text than it has bytes, and the JSON around it outweighs the marks
    that models put between messages. What is only named, and not there, is counted by the most it may be; so are pictures that are
    there, as a small file can be a large picture. ``size`` is that of the body as it came.
    """
    bound = size + (TOOLS_TOKENS if values.get("tools") else 0)
    count = names.count
    for word in _NAMING:
        if count(word):
            bound += sum(tokens * count(name) for name, tokens in _NAMED)
            break
    if face == "messages":
        bound += PICTURE_TOKENS * _said(names, b'"image"')
        if names.count(b'"document"'):
            bound += FILE_TOKENS * _said(names, b'"url"')
    return bound


def _said(names: Names, word: bytes) -> int:
    """How often a word is a value, like the ``"image"`` of ``"type": "image"``, and not the name of a field."""
    return names.count(word) - names.count(word + b":")


_NAMED: tuple[tuple[bytes, int], ...] = (
    (b'"image_url"', PICTURE_TOKENS),
    (b'"input_image"', PICTURE_TOKENS),
    (b'"file_id"', FILE_TOKENS),
    (b'"file_url"', FILE_TOKENS),
    (b'"video_url"', FILE_TOKENS),
    (b'"audio_url"', FILE_TOKENS),
)
_NAMING = (b'_url"', b'"input_image"', b'"file_id"')
"""Each of those names has one of these in it."""
