from __future__ import annotations

from ipaddress import ip_network

import pytest

from skep.server.clients import client_address

PROXIES = (ip_network("127.0.0.1"), ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.9", ["198.51.100.7"], "203.0.113.9"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        # What the client invents stands before what the proxy adds.
        ("127.0.0.1", ["1.1.1.1, 198.51.100.7"], "198.51.100.7"),
        ("127.0.0.1", ["1.1.1.1", "198.51.100.7, 10.2.3.4"], "198.51.100.7"),
        ("10.0.0.1", ["10.0.0.9, 10.0.0.8"], "10.0.0.9"),
        ("::ffff:10.0.0.1", ["198.51.100.7:4711"], "198.51.100.7"),
        ("fd00::1", ["[2001:db8::7]:80"], "2001:db8::7"),
        ("fd00::1", ["::ffff:198.51.100.7"], "198.51.100.7"),
        # What cannot be read says nothing: whoever sent it counts with the proxy.
        ("127.0.0.1", ["198.51.100.7, unknown"], "127.0.0.1"),
        ("127.0.0.1", ["198.51.100.7, , 10.0.0.1"], "10.0.0.1"),
        ("", ["198.51.100.7"], ""),
    ],
)
def test_only_trusted_proxies_say_whose_request_it_is(peer: str, forwarded: list[str], expected: str) -> None:
    headers = [(b"host", b"x"), *((b"x-forwarded-for", value.encode()) for value in forwarded)]
    assert client_address(peer, headers, PROXIES) == expected


def test_without_trusted_proxies_the_header_says_nothing() -> None:
    assert client_address("127.0.0.1", [(b"x-forwarded-for", b"198.51.100.7")], ()) == "127.0.0.1"
