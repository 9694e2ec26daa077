"""Which headers pass, in both directions. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from skep.spend import EXPERIMENT_TAGS, Exceeded, Room
from skep.web import span_text

_CONNECTION = frozenset(
    b"connection keep-alive proxy-connection proxy-authenticate proxy-authorization te trailer transfer-encoding"
    b" upgrade expect content-length content-encoding".split()
)
"""Of one connection only (RFC 9110, section 7.6.1), or about the bytes on it."""

_USUAL = (b"keep-alive", b"close", b"Keep-Alive", b"Close")

_OURS = frozenset(
    b"host authorization x-api-key api-key content-type accept-encoding cookie origin referer forwarded x-real-ip via"
    b" openai-organization openai-project x-auth-token x-http-method-override true-client-ip x-client-ip".split()
)
"""For us, or about the client: providers get our key, and an organisation of the client's would not belong to it."""

_SIGN_ON_PREFIXES = (
    b"x-auth-request-",
    b"x-amzn-oidc-",
    b"x-goog-",
    b"x-ms-client-principal",
    b"x-ms-token-",
    b"tailscale-",
)
"""Who the client is, with its tokens, as proxies before us say it (oauth2-proxy, the sign-on of the clouds, Tailscale). To
Google ``x-goog-`` is a key or a project to bill, too: a client's own would be refused, and close the route for everybody."""

_HELD_BACK = _CONNECTION | _OURS
_OUR_PREFIXES = (b"x-skep-", b"x-forwarded-", b"sec-", b"cf-", b"x-portkey-", *_SIGN_ON_PREFIXES)
"""``x-portkey-`` chooses provider and account behind a Portkey: what a client may ask for, the settings say."""

_NOT_RETURNED = frozenset(name.decode() for name in _CONNECTION) | frozenset(
    (
        *("set-cookie", "set-cookie2", "server", "date", "alt-svc", "strict-transport-security", "nel", "report-to"),
        *("content-type", "www-authenticate", "openai-organization", "openai-project", "anthropic-organization-id"),
    )
)
"""About the provider's own address and connection, or about the account that calls it; what comes after names them anew."""

_LONGEST = 200
_MOST_TAGS = 20

_NOT_RETURNED_PREFIXES = ("access-control-", "cf-", "x-skep-", "x-ratelimit-", "anthropic-ratelimit-")
"""The provider's limits are those of our account, not of who calls."""


def to_provider(headers: Iterable[tuple[bytes, bytes]], content_type: bytes | None = None) -> list[tuple[bytes, bytes]]:
    """The client's headers that a provider gets, as they came; names are in lower case. ``content_type``: where it is not the usual one."""
    headers = list(headers)
    passed = [pair for pair in headers if pair[0] not in _HELD_BACK and not pair[0].startswith(_OUR_PREFIXES)]
    for name, value in headers:
        if name == b"connection" and value not in _USUAL:
            # What it names is of this connection only, too (RFC 9110, section 7.6.1).
            named = {each.strip() for each in value.lower().split(b",")}
            passed = [pair for pair in passed if pair[0] not in named]
    return passed if content_type is None else [*passed, (b"content-type", content_type)]


_ANOTHER_WAY = (b"x-original-", b"x-rewrite-", b"x-http-method", b"x-method-override")
"""By these some servers go to another path, or do something else, than the request says."""


def to_service(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The client's headers that a service gets: what a provider gets, and what its body is.

    A name with an underscore is to some servers that of a header with a hyphen, which may be the service's own credential.
    """
    headers = list(headers)
    passed = [pair for pair in to_provider(headers) if b"_" not in pair[0] and not pair[0].startswith(_ANOTHER_WAY)]
    return [*passed, *(pair for pair in headers if pair[0] == b"content-type")]


def said_to_us(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Those of a client's headers that are about its call here; most calls have none, and then nothing more is looked for."""
    return [pair for pair in headers if pair[0].startswith(b"x-skep-")]


def told_by_caller(headers: Iterable[tuple[bytes, bytes]]) -> tuple[str | None, tuple[str, ...]]:
    """The session and the tags that a client names for its call: ``x-skep-session``, and ``x-skep-tags`` with commas between.

    Longer ones than budgets can have are cut; of many tags the first count. Which arm of an experiment a call is in, we say.
    """
    session: str | None = None
    tags: list[str] = []
    for name, value in headers:
        if name == b"x-skep-session":
            session = value.decode("latin-1").strip()[:_LONGEST] or None
        elif name == b"x-skep-tags":
            tags += [tag.strip()[:_LONGEST] for tag in value.decode("latin-1").split(",") if tag.strip()]
    if tags:
        tags = [tag for tag in tags if not tag.startswith(EXPERIMENT_TAGS)]
    return session, tuple(dict.fromkeys(tags[:_MOST_TAGS]))


def privacy_of(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """What a client says in ``x-skep-privacy``; None when it says nothing."""
    for name, value in headers:
        if name == b"x-skep-privacy":
            return value.decode("latin-1").strip().lower()
    return None


def route_named(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """By which route alone a call shall be made, as ``x-skep-route`` says; None when it says nothing."""
    for name, value in headers:
        if name == b"x-skep-route":
            return value.decode("latin-1").encode("latin-1").decode("utf-8", "replace").strip()
    return None


def to_client(headers: Sequence[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """A provider's headers that the client gets; names are in lower case."""
    named = {each.strip() for name, value in headers if name == "connection" for each in value.lower().split(",")}
    return [
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in headers
        if name not in _NOT_RETURNED and name not in named and not name.startswith(_NOT_RETURNED_PREFIXES)
    ]


def header(headers: Sequence[tuple[str, str]], name: str) -> str:
    """The first value of a header; empty when it is not there."""
    for found, value in headers:
        if found == name:
            return value
    return ""


def limit_headers(rooms: Iterable[Room]) -> list[tuple[bytes, bytes]]:
    """What limits have left, under OpenAI's names (https://platform.openai.com/docs/guides/rate-limits)."""
    found = []
    for room in rooms:
        kind = room.metric.encode()
        found.append((b"x-ratelimit-limit-" + kind, b"%d" % room.limit))
        found.append((b"x-ratelimit-remaining-" + kind, b"%d" % room.remaining))
        if room.reset_seconds is not None:
            found.append((b"x-ratelimit-reset-" + kind, span_text(room.reset_seconds).encode()))
    return found


def exceeded_headers(exceeded: Iterable[Exceeded]) -> list[tuple[bytes, bytes]]:
    """Names the soft rules that had no room for a call and let it pass. Shadow rules are nobody's business who calls."""
    names = ", ".join(each.rule.name for each in exceeded if each.rule.mode == "soft")
    return [(b"x-skep-exceeded", names.encode("utf-8"))] if names else []


def dollars(nusd: int) -> str:
    """Nano-dollars as dollars: ``0.000021``, without an exponent and without zeros at the end."""
    whole, rest = divmod(nusd, 1_000_000_000)
    return f"{whole}.{rest:09d}".rstrip("0").rstrip(".") if rest else str(whole)


def to_other_format(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Those that a provider of another format gets: what is about the client's own format means nothing there."""
    return [pair for pair in headers if not pair[0].startswith(_FORMAT_PREFIXES)]


_FORMAT_PREFIXES = (b"anthropic-", b"openai-", b"x-stainless-")
