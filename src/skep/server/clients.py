"""Where a request comes from. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network

FORWARDED_FOR = b"x-forwarded-for"

_WITH_PORT = re.compile(r"\[(?P<six>[^\]]+)\](:\d{1,5})?|(?P<four>\d+\.\d+\.\d+\.\d+):\d{1,5}")
"""Some proxies add the port of the client."""


def client_address(peer: str, headers: Iterable[tuple[bytes, bytes]], trusted: Sequence[Network]) -> str:
    """Whose request it is: ``peer``, or whom the trusted proxies say that they ask for, in ``X-Forwarded-For``.

    Each proxy adds whom it was asked by at the end, and what stands before that may be invented by anybody. So it is read from its
    end, up to the first address that is no trusted proxy. What cannot be read ends it as well: then the proxy itself counts.
    """
    if not _is_trusted(peer, trusted):
        return peer
    hops = [hop for name, value in headers if name == FORWARDED_FOR for hop in value.decode("latin-1").split(",")]
    found = peer
    for hop in reversed(hops):
        address = _address(hop.strip())
        if address is None:
            break
        found = str(address)
        if not _is_trusted(found, trusted):
            break
    return found


def _is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    found = _address(address)
    return found is not None and any(found in network for network in trusted)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    match = _WITH_PORT.fullmatch(text)
    if match is not None:
        text = match["six"] or match["four"]
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    # A server that listens on both families sees IPv4 clients in this clothing.
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found
