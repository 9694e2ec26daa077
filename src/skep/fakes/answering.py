"""From a request to its answer: which rule, which content, what it costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from hashlib import blake2b
from typing import Any

import orjson

from skep.fakes import content, generation_wire, messages_wire, responses_wire, wire
from skep.fakes.composing import WITHOUT_CONTENT, Reply, compose, compressed
from skep.fakes.deployments import is_deployment, undeployed
from skep.fakes.matching import Matcher
from skep.fakes.media_wire import MEDIA_PATHS, Asked
from skep.fakes.models import Answer, Behaviour, Price, Request, Rule, Script, Span, ToolCall, Usage

_CHAT, _COMPLETIONS, _EMBEDDINGS, _MODELS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/models"
_MESSAGES, _RESPONSES = "/v1/messages", "/v1/responses"
_INPUT_OF = {
    _CHAT: "messages",
    _MESSAGES: "messages",
    _COMPLETIONS: "prompt",
    _EMBEDDINGS: "input",
    _RESPONSES: "input",
    **{path: needed for path, (needed, _) in MEDIA_PATHS.items()},
}
_BOUNDS_OF = {_RESPONSES: ("max_output_tokens",)}
_USUAL_BOUNDS = ("max_completion_tokens", "max_tokens")
_DEFAULT_WORDS = 12
_MAX_CHOICES, _MAX_DIMENSIONS = 128, 65_536
_TIERS = ("flex", "priority")
"""Tiers of service that are had for the asking, as the answer says."""

_ERRORS: dict[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", None, "The request cannot be understood."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    403: (
        "invalid_request_error",
        "unsupported_country_region_territory",
        "Country, region, or territory not supported.",
    ),
    404: ("invalid_request_error", "model_not_found", "The model does not exist or you do not have access to it."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached. Please try again later."),
    500: ("server_error", None, "The server had an error while processing your request. Sorry about that!"),
    503: ("service_unavailable", None, "The engine is currently overloaded, please try again later."),
}
"""Type, code and words of OpenAI's errors by their status."""


class _RefusedRequest(Exception):  # noqa: N818 -- an answer like others, not a failure
    """The request is answered with an error; inside this file only."""

    def __init__(self, status: int, message: str, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.body = wire.error_body(message, "invalid_request_error", code, param)


@dataclass(frozen=True, slots=True)
class _Made:
    """What was made for a request, before it meets a fault."""

    reply: Reply
    usage: Usage | None = None
    """What is charged."""


class Provider:
    """Answers requests as its script says. The nth request of a run gets the same answer in each run."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._matcher = Matcher(script)
        self._number = 0
        self._prices: dict[str, Price | None] = {}

    def answer(self, request: Request) -> Answer:
        """The answer to the next request."""
        self._number += 1
        number = self._number
        header = "x-api-key" if request.path.startswith(_MESSAGES) else "authorization"
        if request.path.startswith(generation_wire.PREFIX):
            header = generation_wire.KEY_HEADER
        if is_deployment(request):
            header, request = "api-key", undeployed(request)
        key = request.headers.get(header, "").removeprefix("Bearer ")
        if self._script.api_keys and key not in self._script.api_keys:
            made = self._error(number, Behaviour(status=401), request.path)
            return self._finish(number, Behaviour(), made, request, None)
        rule = self._matcher.choose(request)
        behaviour = self._script.otherwise if rule is None else rule.then
        try:
            if behaviour.status >= 400:
                made = self._error(number, behaviour, request.path)
            else:
                made = self._made(number, request, behaviour)
        except _RefusedRequest as refused:
            own = _own_error(request.path)
            body = refused.body if own is None else own(refused.status, refused.message, None)
            made = _Made(Reply(refused.status, self._headers(number, Behaviour()), orjson.dumps(body)))
        return self._finish(number, behaviour, made, request, rule)

    def _finish(self, number: int, behaviour: Behaviour, made: _Made, request: Request, rule: Rule | None) -> Answer:
        fault = behaviour.fault
        reply = compressed(made.reply) if behaviour.gzip else made.reply
        latency = self._drawn(behaviour.latency_ms, number) / 1000
        is_silent = fault is not None and fault.kind in WITHOUT_CONTENT
        usage = None if is_silent else made.usage
        price = self._price(request.model or "")
        return Answer(
            steps=compose(reply, fault, latency, behaviour.events_per_second),
            status=0 if is_silent and fault is not None and fault.kind != "wrong_content_type" else reply.status,
            rule=None if rule is None else rule.name,
            fault=None if fault is None else fault.kind,
            usage=usage,
            cost_nusd=None if usage is None or price is None else content.cost_nusd(usage, price),
        )

    def _made(self, number: int, request: Request, behaviour: Behaviour) -> _Made:
        """Content for a request that no status of the script refuses. Raises _RefusedRequest."""
        if request.path.startswith(generation_wire.PREFIX):
            return self._generation(number, request, behaviour)
        if request.path.startswith(_MODELS) and request.method == "GET":
            return _Made(self._json(number, behaviour, self._models(request.path)))
        if request.method == "POST" and request.path == f"{_MESSAGES}/count_tokens":
            return _Made(self._json(number, behaviour, {"input_tokens": content.tokens_of(len(request.body))}))
        if request.method != "POST" or request.path not in _INPUT_OF:
            raise _RefusedRequest(404, f"Invalid URL ({request.method} {request.path})")
        asked = self._asked(request)
        if request.path == _EMBEDDINGS:
            return self._embeddings(number, request, asked, behaviour)
        if request.path in MEDIA_PATHS:
            return self._media(number, request, asked, behaviour)
        said, usage = self._said(number, request, asked, behaviour)
        if request.path == _MESSAGES:
            return self._message(number, request, said, usage, behaviour)
        if request.path == _RESPONSES:
            return self._response(number, request, said, usage, behaviour)
        is_chat = request.path == _CHAT
        if not request.streams:
            body = wire.chat_body(said) if is_chat else wire.completion_body(said)
            return _Made(self._json(number, behaviour, body), usage)
        options = asked.get("stream_options")
        with_usage = isinstance(options, dict) and options.get("include_usage") is True
        events = (wire.chat_events if is_chat else wire.completion_events)(said, with_usage=with_usage)
        headers = self._headers(number, behaviour, "text/event-stream; charset=utf-8")
        return _Made(Reply(behaviour.status, headers, events=(*events, wire.DONE)), usage)

    def _generation(self, number: int, request: Request, behaviour: Behaviour) -> _Made:
        method = generation_wire.method_of(request.path)
        if method is None and request.method == "GET":
            return _Made(self._json(number, behaviour, self._models(request.path)))
        if method is None or request.method != "POST":
            raise _RefusedRequest(404, f"Invalid URL ({request.method} {request.path})")
        if method == "countTokens":
            return _Made(self._json(number, behaviour, {"totalTokens": content.tokens_of(len(request.body))}))
        asked = self._asked(request)
        said, usage = self._said(number, request, asked, behaviour)
        config = generation_wire.config_of(asked).get("thinkingConfig")
        thinks = isinstance(config, dict) and config.get("includeThoughts") is True and usage.reasoning_tokens > 0
        if not request.streams:
            return _Made(self._json(number, behaviour, generation_wire.generation_body(said, thinks=thinks)), usage)
        events = tuple(generation_wire.generation_events(said, thinks=thinks))
        if "alt=sse" not in request.query.split("&"):
            listed = b"[" + b",\n".join(each[6:-2] for each in events) + b"]"
            return _Made(Reply(behaviour.status, self._headers(number, behaviour), listed), usage)
        headers = self._headers(number, behaviour, "text/event-stream")
        error = generation_wire.generation_error_event
        return _Made(Reply(behaviour.status, headers, events=events, error_event=error), usage)

    def _message(self, number: int, request: Request, said: wire.Said, usage: Usage, behaviour: Behaviour) -> _Made:
        if not request.streams:
            return _Made(self._json(number, behaviour, messages_wire.message_body(said)), usage)
        headers = self._headers(number, behaviour, "text/event-stream; charset=utf-8")
        events = (*messages_wire.message_events(said), messages_wire.STOP)
        reply = Reply(behaviour.status, headers, events=events, error_event=messages_wire.message_error_event)
        return _Made(reply, usage)

    def _response(self, number: int, request: Request, said: wire.Said, usage: Usage, behaviour: Behaviour) -> _Made:
        asked = request.json or {}
        if not request.streams:
            return _Made(self._json(number, behaviour, responses_wire.response_body(said, asked)), usage)
        headers = self._headers(number, behaviour, "text/event-stream; charset=utf-8")
        events = tuple(responses_wire.response_events(said, asked))
        reply = Reply(behaviour.status, headers, events=events, error_event=responses_wire.response_error_event)
        return _Made(reply, usage)

    def _media(self, number: int, request: Request, asked: dict[str, Any], behaviour: Behaviour) -> _Made:
        text = self._words(request, asked, behaviour) or ""
        made = MEDIA_PATHS[request.path][1](
            Asked(
                values=asked,
                model=request.model or "",
                streams=request.streams,
                behaviour=behaviour,
                text=text,
                pieces=content.pieces_of(text, behaviour.events),
                created=wire.FIRST_SECOND + number,
                id=self._id(number),
                seed=self._script.seed,
                request_bytes=len(request.body),
            )
        )
        headers = self._headers(number, behaviour, made.content_type)
        return _Made(Reply(behaviour.status, headers, made.body, made.events), made.usage)

    def _asked(self, request: Request) -> dict[str, Any]:
        """The request's JSON, looked through as far as an answer depends on it. Raises _RefusedRequest."""
        if request.json is None:
            raise _RefusedRequest(
                400,
                "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library correctly.)",
            )
        if request.model is None:
            raise _RefusedRequest(400, "you must provide a model parameter")
        if self._script.models and request.model not in self._script.models:
            message = f"The model `{request.model}` does not exist or you do not have access to it."
            raise _RefusedRequest(404, message, "model_not_found")
        needed = _INPUT_OF.get(request.path, "contents")
        if not request.json.get(needed):
            raise _RefusedRequest(400, f"Missing required parameter: '{needed}'.", "missing_required_parameter", needed)
        if request.path == _MESSAGES and "max_tokens" not in request.json:
            raise _RefusedRequest(400, "max_tokens: Field required")
        for name, low, high in (
            ("n", 1, _MAX_CHOICES),
            ("max_tokens", 1, 2**31),
            ("max_completion_tokens", 1, 2**31),
            ("max_output_tokens", 16, 2**31),
            ("dimensions", 1, _MAX_DIMENSIONS),
        ):
            value = request.json.get(name)
            if value is not None and (
                isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high
            ):
                raise _RefusedRequest(
                    400, f"Invalid value for '{name}': expected an integer from {low} to {high}.", "invalid_value", name
                )
        return request.json

    def _said(
        self, number: int, request: Request, asked: dict[str, Any], behaviour: Behaviour
    ) -> tuple[wire.Said, Usage]:
        text, calls = self._words(request, asked, behaviour), self._tool_calls(number, behaviour)
        finish = behaviour.finish_reason
        bounds = _BOUNDS_OF.get(request.path, _USUAL_BOUNDS)
        most = next((asked[name] for name in bounds if asked.get(name)), None)
        if text is not None and most is not None and behaviour.usage.output_tokens is None:
            cut = content.cut_to_tokens(text, most)
            if cut != text:
                text, finish = cut, finish or "length"
        choices = asked.get("n") or 1
        size = len((text or "").encode()) + len((behaviour.refusal or "").encode())
        size += sum(len(call.name.encode()) + len(call.arguments.encode()) for call in calls)
        usage = content.charged(behaviour.usage, len(request.body), size * choices)
        said = wire.Said(
            model=request.model or "",
            id=self._id(number),
            created=wire.FIRST_SECOND + number,
            text=text,
            refusal=behaviour.refusal,
            tool_calls=calls,
            finish_reason=finish or ("tool_calls" if calls else "stop"),
            choices=choices,
            usage=usage if behaviour.usage.told else None,
            pieces=content.pieces_of(text or "", behaviour.events) if request.streams else (),
            tells_unasked=behaviour.usage.unasked,
            service_tier=asked["service_tier"] if asked.get("service_tier") in _TIERS else "default",
        )
        return said, usage

    def _words(self, request: Request, asked: dict[str, Any], behaviour: Behaviour) -> str | None:
        if behaviour.text is not None or behaviour.json_text is not None:
            return behaviour.text if behaviour.json_text is None else behaviour.json_text
        if behaviour.refusal is not None or (behaviour.tool_calls and behaviour.words is None):
            return None
        chance = content.chance_of(self._script.seed, content.digest_of(request.body))
        schema = _schema(asked)
        if behaviour.words is None and schema is not None:
            return orjson.dumps(content.fitting(schema, chance)).decode()
        return content.made_words(_DEFAULT_WORDS if behaviour.words is None else behaviour.words, chance)

    def _tool_calls(self, number: int, behaviour: Behaviour) -> list[ToolCall]:
        return [
            call if call.id else ToolCall(call.name, call.arguments, f"call_{self._id(number)}{index}")
            for index, call in enumerate(behaviour.tool_calls)
        ]

    def _embeddings(self, number: int, request: Request, asked: dict[str, Any], behaviour: Behaviour) -> _Made:
        dimensions = asked.get("dimensions") or behaviour.dimensions
        vectors = [content.vector_of(text, dimensions, self._script.seed) for text in _inputs(asked["input"])]
        usage = content.charged(behaviour.usage, len(request.body), 0)
        told = usage if behaviour.usage.told else None
        is_base64 = asked.get("encoding_format") == "base64"
        body = wire.embeddings_body(vectors, request.model or "", told, base64_=is_base64)
        return _Made(self._json(number, behaviour, body), usage)

    def _models(self, path: str) -> dict[str, Any]:
        known = self._script.models or tuple(name for name in self._script.prices if "*" not in name) or ("scripted",)
        if path == _MODELS:
            return wire.models_body(known)
        if path == f"{generation_wire.PREFIX}models":
            return generation_wire.models_body(known)
        is_googles = path.startswith(generation_wire.PREFIX)
        name = path.removeprefix(f"{generation_wire.PREFIX}models/" if is_googles else f"{_MODELS}/")
        if name not in known:
            raise _RefusedRequest(404, f"The model '{name}' does not exist", "model_not_found", "model")
        return generation_wire.model_object(name) if is_googles else wire.model_object(name)

    def _error(self, number: int, behaviour: Behaviour, path: str) -> _Made:
        status = behaviour.status
        usual = status if status in _ERRORS else 400 if status < 500 else 500
        kind, code, message = _ERRORS[usual]
        own = _own_error(path)
        if own is not None:
            error = own(
                status, message if behaviour.error_message is None else behaviour.error_message, behaviour.error_type
            )
            # Google answers what is wrong with a key with 400.
            behaviour = replace(behaviour, status=error.get("error", {}).get("code", status))
            return _Made(self._json(number, behaviour, error))
        body = wire.error_body(
            message if behaviour.error_message is None else behaviour.error_message,
            kind if behaviour.error_type is None else behaviour.error_type,
            code if behaviour.error_code is None else behaviour.error_code,
            behaviour.error_param,
        )
        return _Made(self._json(number, behaviour, body))

    def _json(self, number: int, behaviour: Behaviour, body: dict[str, Any]) -> Reply:
        return Reply(behaviour.status, self._headers(number, behaviour), orjson.dumps(body))

    def _headers(
        self, number: int, behaviour: Behaviour, content_type: str = "application/json"
    ) -> tuple[tuple[str, str], ...]:
        headers = {
            "content-type": content_type,
            "x-request-id": f"req_{self._id(number)}",
            "openai-version": "2020-10-01",
            "openai-processing-ms": str(int(self._drawn(behaviour.latency_ms, number))),
        }
        if behaviour.retry_after is not None:
            headers["retry-after"] = behaviour.retry_after
        headers.update(behaviour.headers)
        return tuple(headers.items())

    def _drawn(self, span: Span, number: int) -> float:
        if span.low == span.high:
            return span.low
        return content.chance_of(self._script.seed, "latency", number).uniform(span.low, span.high)

    def _id(self, number: int) -> str:
        return blake2b(b"%d/%d" % (self._script.seed, number), digest_size=12).hexdigest()

    def _price(self, model: str) -> Price | None:
        if model not in self._prices:
            if len(self._prices) > 10_000:  # models are named by strangers
                self._prices.clear()
            prices = self._script.prices
            fitting = (price for pattern, price in prices.items() if fnmatchcase(model, pattern))
            self._prices[model] = prices.get(model) or next(fitting, None)
        return self._prices[model]


def _own_error(path: str) -> Callable[[int, str, str | None], dict[str, Any]] | None:
    """What writes errors at an address from a status, words and a name; None: as OpenAI does."""
    if path.startswith(generation_wire.PREFIX):
        return generation_wire.generation_error
    return messages_wire.message_error if path.startswith(_MESSAGES) else None


def _schema(asked: dict[str, Any]) -> object:
    """What the answer must fit, as OpenAI's APIs are told, Anthropic's and Google's; None: anything."""
    form, config = asked.get("response_format"), asked.get("output_config") or asked.get("text")
    if isinstance(form, dict) and form.get("type") in ("json_schema", "json_object"):
        schema = form.get("json_schema")
        return schema.get("schema") if isinstance(schema, dict) else {"type": "object"}
    own = generation_wire.schema_of(asked)
    if own is not None:
        return own
    form = config.get("format") if isinstance(config, dict) else None
    return form.get("schema") if isinstance(form, dict) else None


def _inputs(asked: object) -> Iterator[str]:
    """The texts to embed; lists of token numbers stand for texts of their own."""
    if isinstance(asked, list) and asked and all(isinstance(one, str | list) for one in asked):
        yield from (one if isinstance(one, str) else str(one) for one in asked)
    else:
        yield str(asked)
