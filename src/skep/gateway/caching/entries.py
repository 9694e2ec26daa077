"""Answers that may be given again: what makes two questions the same, and what is kept of an answer. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import orjson

from skep.gateway.caching.wordings import Likeness, Wording
from skep.gateway.models import Model

MOST_REQUEST_BYTES = 1_048_576
"""A larger question is not looked up: it is seldom asked twice, and takes a millisecond to hash."""

MOST_ANSWER_BYTES = 1_048_576

WHOLE_PROJECT = "*"
"""The name under which everything of a project is cleared."""

_FORM = 1
"""Of keys and of what is packed: answers of another form are not found."""

_LONGEST_TAG = 100
_MOST_TAGS = 20

_MAX_AGE = re.compile(r"max-age=\"?(\d{1,9})\"?\Z")
_SILENT_HEADERS = frozenset(
    b"user-agent accept accept-language cache-control pragma priority idempotency-key traceparent tracestate baggage"
    b" x-request-id dnt".split()
)
"""Of the client's headers that pass to the provider, those that say nothing about the answer."""

_SILENT_PREFIXES = (b"x-stainless-",)
"""What OpenAI's and Anthropic's clients tell about themselves."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client says of the cache for one call: ``cache-control`` (RFC 9111, section 5.2.1) and ``x-skep-cache-tags``."""

    reads: bool = True
    """``no-cache``: the answer is to be made anew, and is kept then."""
    keeps: bool = True
    """``no-store``: it is neither looked up nor kept."""
    max_age_seconds: int | None = None
    """Older answers are not wanted."""
    tags: tuple[str, ...] = ()
    """By which it can be cleared."""


_USUAL_WISH = Wish()


def read_wish(headers: Iterable[tuple[bytes, bytes]]) -> Wish:
    """The wish in a request's headers; names are in lower case. What is not understood is passed over, as RFC 9111 says."""
    directives: list[str] = []
    tags: list[str] = []
    for name, value in headers:
        if name == b"cache-control":
            directives += [part.strip().lower() for part in value.decode("latin-1").split(",")]
        elif name == b"x-skep-cache-tags":
            tags += [tag.strip()[:_LONGEST_TAG] for tag in value.decode("latin-1").split(",") if tag.strip()]
    if not directives and not tags:
        return _USUAL_WISH
    ages = [int(found.group(1)) for part in directives if (found := _MAX_AGE.match(part))]
    keeps = "no-store" not in directives
    return Wish(
        reads=keeps and "no-cache" not in directives,
        keeps=keeps,
        max_age_seconds=min(ages, default=None),
        tags=tuple(sorted(set(tags[:_MOST_TAGS]))),
    )


def seed_of(model: Model) -> bytes:
    """What all questions to a model have in common: its name, its routes, its guards and where its streams end: others have other answers."""
    routes = [
        [route.name, route.provider.base_url, route.provider.profile.kind, *(sorted(route.formats or ()))]
        for route in model.routes
    ]
    guards = [[guard.fingerprint for guard in model.guards]] if model.guards else []
    return hashlib.sha256(orjson.dumps([_FORM, model.name, routes, model.stop_when, *guards])).digest()


def question_key(
    seed: bytes, whose: tuple[str, int], face: str, headers: Iterable[tuple[bytes, bytes]], body: bytes
) -> bytes:
    """The SHA-256 of everything that the answer depends on: installation, project, model, routes, face, headers, and every byte of the body.

    ``headers`` are those that pass to the provider; ``whose`` is the installation and its project.
    """
    heard = sorted(
        pair for pair in headers if pair[0] not in _SILENT_HEADERS and not pair[0].startswith(_SILENT_PREFIXES)
    )
    said = hashlib.sha256(seed)
    # Each part with its length before it: no two questions are the same bytes.
    said.update(b"%b,%d,%b,%d" % (whose[0].encode(), whose[1], face.encode(), len(heard)))
    for name, value in heard:
        said.update(b";%d,%d;%b%b" % (len(name), len(value), name, value))
    said.update(b"|")
    said.update(body)
    return said.digest()


@dataclass(slots=True)
class Question:
    """A call whose answer may be in the cache, or may be kept there."""

    key: bytes
    project_id: int
    seconds: int
    """For how long its answer is good."""
    wish: Wish
    epochs: dict[str, int] = field(default_factory=dict)
    """By the names under which its answer can be cleared: how often that was done before it was asked."""
    wording: Wording | None = None
    """None: only the same bytes are the same question."""

    @property
    def likeness(self) -> Likeness | None:
        """To which question an answer was found that was put in other words."""
        return None if self.wording is None else self.wording.likeness


def clearing_names(model: str, tags: Iterable[str]) -> list[str]:
    """The names under which the answer to a question can be cleared."""
    return [WHOLE_PROJECT, f"model:{model}", *(f"tag:{tag}" for tag in tags)]


@dataclass(frozen=True, slots=True)
class Entry:
    """An answer that is kept."""

    body: bytes
    last: bytes
    """What ends a stream, before which its cost is told; empty for whole answers."""
    is_stream: bool
    content_type: bytes
    provider: str
    model_used: str
    cost_nusd: int | None
    """What the call cost that it is from; None: unknown."""
    stored_at: float
    """Seconds since 1970, UTC."""
    epochs: Mapping[str, int]
    """See `Question`."""

    @property
    def size(self) -> int:
        """Bytes, about."""
        return len(self.body) + len(self.last) + 500

    def answers(self, question: Question, now: float) -> bool:
        """Whether it may be given: not too old, cleared by nobody, and kept under every tag that the client names."""
        age = now - self.stored_at
        most = question.seconds
        if question.wish.max_age_seconds is not None:
            most = min(most, question.wish.max_age_seconds)
        if age > most:
            return False
        for name, epoch in question.epochs.items():  # noqa: SIM110 -- twice as fast as with all()
            if self.epochs.get(name) != epoch:
                return False
        return True


def packed(key: bytes, entry: Entry) -> bytes:
    """An entry as bytes, for a store outside of this process. Its key stands in it: see `unpacked`."""
    head = orjson.dumps(
        {
            "key": key.hex(),
            "body": len(entry.body),
            "stream": entry.is_stream,
            "type": entry.content_type.decode("latin-1"),
            "provider": entry.provider,
            "model": entry.model_used,
            "cost": entry.cost_nusd,
            "at": entry.stored_at,
            "epochs": dict(entry.epochs),
        }
    )
    return b"%d\n%b%b%b" % (len(head), head, entry.body, entry.last)


def unpacked(key: bytes, data: bytes) -> Entry:
    """The entry in such bytes. Raises ValueError for what is none, or another's: should a client ever mix up answers, nobody sees
    what somebody else was told.
    """
    try:
        return _unpacked(key, data)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is no entry: {error!r}") from error


def _unpacked(key: bytes, data: bytes) -> Entry:
    size, _, rest = data.partition(b"\n")
    head, rest = orjson.loads(rest[: int(size)]), rest[int(size) :]
    length = int(head["body"])
    if head["key"] != key.hex():
        raise ValueError("it is that of another key")
    if not 0 <= length <= len(rest):
        raise ValueError("it is cut off")
    return Entry(
        body=rest[:length],
        last=rest[length:],
        is_stream=bool(head["stream"]),
        content_type=str(head["type"]).encode("latin-1"),
        provider=str(head["provider"]),
        model_used=str(head["model"]),
        cost_nusd=None if head["cost"] is None else int(head["cost"]),
        stored_at=float(head["at"]),
        epochs={str(name): int(epoch) for name, epoch in head["epochs"].items()},
    )
