from __future__ import annotations

import pytest

from skep.server.origins import (
    Asked,
    Policy,
    host_is_ours,
    is_from_here,
    is_loopback,
    is_wildcard,
    origin_is_allowed,
    policy_of,
)

PLAIN = policy_of("127.0.0.1", (), ())
NAMED = policy_of("0.0.0.0", ("Skep.Example.com.",), ("https://App.example.com/",))


def asked(
    host: str | None = "127.0.0.1:7117",
    origin: str | None = None,
    *,
    scheme: str = "http",
    site: str | None = None,
    mode: str | None = None,
    local: str | None = "127.0.0.1",
) -> Asked:
    return Asked(host, origin, scheme, site, mode, local)


@pytest.mark.parametrize(
    ("host", "policy", "ours"),
    [
        ("127.0.0.1:7117", PLAIN, True),
        ("127.0.0.1", PLAIN, True),
        ("127.8.9.1:1", PLAIN, True),
        ("localhost:7117", PLAIN, True),
        ("LOCALHOST", PLAIN, True),
        ("localhost.", PLAIN, True),
        ("app.localhost:7117", PLAIN, True),
        ("[::1]:7117", PLAIN, True),
        ("[::ffff:127.0.0.1]", PLAIN, True),
        ("skep.example.com", NAMED, True),
        ("SKEP.example.com:443", NAMED, True),
        ("skep.example.com.", NAMED, True),
        (None, PLAIN, False),
        ("", PLAIN, False),
        ("evil.example", PLAIN, False),
        ("127.0.0.1.evil.example", PLAIN, False),
        ("localhost.evil.example", PLAIN, False),
        ("evil.localhost.example", PLAIN, False),
        ("notlocalhost", PLAIN, False),
        ("127.0.0.1@evil.example", PLAIN, False),
        ("127.0.0.1:7117, evil.example", PLAIN, False),
        ("127.0.0.1:7117 ", PLAIN, False),
        ("127.0.0.1:port", PLAIN, False),
        ("evil.example/127.0.0.1", PLAIN, False),
        ("10.0.0.5", PLAIN, False),
        ("0.0.0.0", NAMED, False),
        ("sub.skep.example.com", NAMED, False),
        ("skep.example.com.evil.example", NAMED, False),
    ],
)
def test_hosts(host: str | None, policy: Policy, ours: bool) -> None:
    assert host_is_ours(asked(host), policy) is ours


def test_the_address_that_was_reached_is_ours_and_a_name_for_it_is_not() -> None:
    assert host_is_ours(asked("10.0.0.5:7117", local="10.0.0.5"), NAMED)
    assert host_is_ours(asked("[FE80::1]", local="fe80::1%eth0"), NAMED)
    assert not host_is_ours(asked("10.0.0.6", local="10.0.0.5"), NAMED)
    assert not host_is_ours(asked("evil.example", local="10.0.0.5"), NAMED)
    assert not host_is_ours(asked("evil.example", local=None), NAMED)


def test_the_bound_name_is_ours() -> None:
    assert host_is_ours(asked("skep.lan:7117"), policy_of("skep.lan", (), ()))


@pytest.mark.parametrize(
    ("request_", "policy", "allowed"),
    [
        (asked(), PLAIN, True),
        (asked(origin="http://127.0.0.1:7117"), PLAIN, True),
        (asked("localhost", "http://localhost"), PLAIN, True),
        (asked("localhost:80", "http://localhost"), PLAIN, True),
        (asked("[::1]:7117", "http://[::1]:7117"), PLAIN, True),
        (asked("skep.example.com", "https://skep.example.com", scheme="https"), NAMED, True),
        (asked(origin="https://app.example.com"), NAMED, True),
        (asked(origin="HTTPS://APP.example.com"), NAMED, True),
        (asked(origin="https://app.example.com"), PLAIN, False),
        (asked(origin="http://evil.example"), PLAIN, False),
        (asked(origin="http://127.0.0.1:8000"), PLAIN, False),
        (asked(origin="http://localhost:7117"), PLAIN, False),
        (asked(origin="https://127.0.0.1:7117"), PLAIN, False),
        (asked(origin="null"), PLAIN, False),
        (asked(origin=""), PLAIN, False),
        (asked(origin="http://127.0.0.1:7117.evil.example"), PLAIN, False),
        (asked(origin="http://[::1"), PLAIN, False),
        (asked(origin="http://127.0.0.1:99999"), PLAIN, False),
        (asked(origin="file://"), PLAIN, False),
        (asked(site="same-origin"), PLAIN, True),
        (asked(site="none", mode="navigate"), PLAIN, True),
        (asked(site="cross-site", mode="navigate"), PLAIN, True),
        (asked(site="cross-site", mode="no-cors"), PLAIN, False),
        (asked(site="same-site", mode="no-cors"), PLAIN, False),
    ],
)
def test_origins(request_: Asked, policy: Policy, allowed: bool) -> None:
    assert origin_is_allowed(request_, policy) is allowed


@pytest.mark.parametrize(
    ("host", "loopback", "wildcard"),
    [
        ("127.0.0.1", True, False),
        ("127.1.2.3", True, False),
        ("::1", True, False),
        ("[::1]", True, False),
        ("localhost", True, False),
        ("0.0.0.0", False, True),
        ("::", False, True),
        ("", False, True),
        ("192.168.1.5", False, False),
        ("skep.lan", False, False),
        ("localhost.example.com", False, False),
    ],
)
def test_bind_addresses(host: str, loopback: bool, wildcard: bool) -> None:
    assert (is_loopback(host), is_wildcard(host)) == (loopback, wildcard)


@pytest.mark.parametrize(
    ("host", "peer", "header", "here"),
    [
        ("127.0.0.1:7117", "127.0.0.1", "accept", True),
        ("localhost:7117", "127.0.0.1", "accept", True),
        ("[::1]:7117", "::1", "accept", True),
        ("127.0.0.1:7117", "10.0.0.5", "accept", False),
        ("127.0.0.1:7117", None, "accept", False),
        ("skep.example.com", "127.0.0.1", "accept", False),
        (None, "127.0.0.1", "accept", False),
        ("127.0.0.1:7117", "127.0.0.1", "x-forwarded-for", False),
        ("127.0.0.1:7117", "127.0.0.1", "forwarded", False),
        ("127.0.0.1:7117", "127.0.0.1", "via", False),
        ("127.0.0.1:7117", "127.0.0.1", "x-real-ip", False),
    ],
)
def test_only_who_asks_from_this_machine_for_itself_is_from_here(
    host: str | None, peer: str | None, header: str, here: bool
) -> None:
    assert is_from_here(asked(host), peer, {b"host", header.encode()}) is here
