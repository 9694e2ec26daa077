"""Addresses of providers and services: as the settings name them, and where they lead."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from skep.gateway.tables import Table

_OUR_HEADERS = ("host", "content-length", "transfer-encoding", "connection", "accept-encoding")


_INSIDE = tuple(map(IPv6Network, ("::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48")))
"""IPv4 addresses in forms that are given up (RFC 4291), of translators (RFC 2765), and of one's own translator (RFC 8215)."""

_PROTOCOLS = IPv4Network("192.0.0.0/24")
"""For protocols themselves (RFC 6890)."""


class PrivateAddressError(OSError):
    """A name leads to an address that is not of the public internet."""


async def public_address(host: str, port: int) -> str:
    """An address of a host, which is one of the public internet; to be connected to as it is, since the next look-up may say another.

    Raises PrivateAddressError when any of its addresses is of this machine, of a private network, or of nobody; OSError when it has none.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    for address in addresses:
        if not is_public(address):
            raise PrivateAddressError(f"its address {address} is private, and private: true is not set")
    return addresses[0]


def is_public(address: str) -> bool:
    """Whether an IP address is of the public internet, also one that stands in another (IPv4 in IPv6, RFC 4291, RFC 3056, RFC 6052)."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or _translated(found)
        if inner is not None:
            found = inner
    if isinstance(found, IPv6Address) and (found.is_site_local or any(found in network for network in _INSIDE)):
        return False
    return found.is_global and not (found.is_multicast or found.is_reserved or found in _PROTOCOLS)


def _translated(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address behind a translator's (NAT64)."""
    prefix, last = int(address) >> 32, int(address) & 0xFFFFFFFF
    return IPv4Address(last) if prefix == 0x0064FF9B << 64 else None


def stays_in_the_house(address: str) -> bool:
    """Whether an address is of this machine or of a private network, as far as it says so itself: a name that is looked up may be anybody's."""
    host = urlsplit(address).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        found = ip_address(host)
    except ValueError:
        return False
    return found.is_loopback or (found.is_private and not found.is_unspecified)


def is_private(address: str) -> bool:
    """Whether an address says by its number that it is not of the public internet; of a name that shows when it is looked up."""
    host = urlsplit(address).hostname or ""
    try:
        return not is_public(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def read_address(table: Table) -> str | None:
    """The table's ``base_url``, without the slash at its end; None where there is none, or a wrong one."""
    text = table.text("base_url")
    if text is None:
        return None
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    else:
        if good and (parts.username or parts.password or parts.query or parts.fragment):
            table.problem("base_url", "must have no user, password, query or fragment; a key belongs into api_key")
            return None
    if not good:
        table.problem("base_url", "expected an address such as https://api.example.com/v1")
        return None
    return text.rstrip("/")


def read_headers(table: Table) -> tuple[tuple[str, str], ...]:
    """The table's ``headers``, names in lower case."""
    inner = table.table("headers")
    if inner is None:
        return ()
    found = []
    for name in inner.names():
        value = inner.text(name)
        if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
            inner.problem(name, "a header's name has letters, digits and hyphens")
        elif name.lower() in _OUR_HEADERS:
            inner.problem(name, "this header is set for each call")
        elif value is not None and not (value.isascii() and value.isprintable()):
            inner.problem(name, "a header's value is one line of ASCII characters")
        elif value is not None:
            found.append((name.lower(), value))
    return tuple(found)
