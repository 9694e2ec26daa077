"""Which hosts and which web pages the server answers. Pure.

A browser sends a page's requests to whatever address the page's own host name means at that moment (DNS rebinding), and
with the user's network position. So the name a request was sent to must be one of ours, and a page that asks must come
from here or from a site that was allowed.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from skep.server.clients import Network

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:(?P<port>\d{1,5}))?")
PASSED_ON = frozenset(
    {b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip"}
)
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Policy:
    """Who is answered. ``hosts`` are names without a port, lower case; ``origins`` as browsers write them."""

    hosts: frozenset[str]
    origins: frozenset[str]
    proxies: tuple[Network, ...] = ()
    """Those that are believed whom they ask for."""


@dataclass(slots=True)
class Asked:
    """What a request says about where it was sent, and by which page. None: the header is not there."""

    host: str | None
    origin: str | None
    scheme: str
    fetch_site: str | None = None
    fetch_mode: str | None = None
    local_address: str | None = None
    """The address of ours that the connection reached."""


def policy_of(
    bind_host: str,
    allow_hosts: tuple[str, ...],
    allow_origins: tuple[str, ...],
    trusted_proxies: tuple[str, ...] = (),
) -> Policy:
    """The policy that the settings describe. Listening on every address adds no name. Raises ValueError for what is no network."""
    names = {name.lower().rstrip(".") for name in allow_hosts}
    if not is_wildcard(bind_host):
        names.add(bind_host.lower().strip("[]"))
    origins = frozenset(origin.lower().rstrip("/") for origin in allow_origins)
    return Policy(frozenset(names), origins, tuple(ipaddress.ip_network(address) for address in trusted_proxies))


def host_is_ours(asked: Asked, policy: Policy) -> bool:
    """Whether the request was meant for us: a loopback name or address, the bound one, or an allowed one."""
    match = _HOST.fullmatch(asked.host or "")
    if match is None:
        return False
    name = match["name"].lower().strip("[]").rstrip(".")
    # Names below .localhost are loopback by definition (RFC 6761, section 6.3): nobody can point them elsewhere.
    if is_loopback(name) or name.endswith(".localhost") or name in policy.hosts:
        return True
    # An address, unlike a name, cannot be made to mean another machine.
    return asked.local_address is not None and _address(name) == _address(asked.local_address) is not None


def origin_is_allowed(asked: Asked, policy: Policy) -> bool:
    """Whether the page behind a request, if there is one, may ask. Expects a host that is ours."""
    if asked.origin is None:
        # Pages can send requests without Origin (an image, a script); following a link to us is no such request.
        return asked.fetch_site not in ("cross-site", "same-site") or asked.fetch_mode == "navigate"
    return is_cross_origin_allowed(asked.origin, policy) or is_same_origin(asked)


def is_cross_origin_allowed(origin: str, policy: Policy) -> bool:
    """Whether the origin is one that the settings allow."""
    return origin.lower() in policy.origins


def is_same_origin(asked: Asked) -> bool:
    """Whether the page came from the very server it asks: same scheme, name and port (RFC 6454, section 5)."""
    try:
        page = urlsplit(asked.origin or "")
        page_port = page.port
    except ValueError:
        return False
    match = _HOST.fullmatch(asked.host or "")
    if match is None or page.scheme not in _DEFAULT_PORTS or page.scheme != asked.scheme:
        return False
    default = _DEFAULT_PORTS[page.scheme]
    port = int(match["port"]) if match["port"] else default
    return page.hostname == match["name"].lower().strip("[]") and (page_port or default) == port


def is_from_here(asked: Asked, peer: str | None, headers: Collection[bytes]) -> bool:
    """Whether a program of this machine asks for itself: from a loopback address, for a loopback name, passed on by nobody.

    ``peer``: the address it asks from; ``headers``: the names of those it sent. A proxy on this machine that neither says
    that it is one nor hands on the name it was asked for cannot be told from that.
    """
    match = _HOST.fullmatch(asked.host or "")
    return (
        peer is not None
        and match is not None
        and is_loopback(peer)
        and is_loopback(match["name"])
        and PASSED_ON.isdisjoint(headers)
    )


def is_loopback(host: str) -> bool:
    """Whether a name or address can only mean this machine."""
    address = _address(host.strip("[]"))
    return host.lower() == "localhost" if address is None else address.is_loopback


def is_wildcard(host: str) -> bool:
    """Whether a bind address means every address of this machine."""
    address = _address(host.strip("[]"))
    return host == "" or (address is not None and address.is_unspecified)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
