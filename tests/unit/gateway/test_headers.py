"""Which headers of a client a provider gets."""

from __future__ import annotations

import pytest

from skep.gateway.headers import to_client, to_provider


def test_what_is_not_about_us_passes_as_it_came() -> None:
    sent = [(b"x-custom", b"kept"), (b"openai-beta", b"y"), (b"user-agent", b"a"), (b"x-custom", b"twice")]
    assert to_provider(sent) == sent


@pytest.mark.parametrize(
    "name",
    [
        "authorization",
        "x-api-key",
        "api-key",
        "cookie",
        "x-portkey-virtual-key",
        "proxy-authorization",
        "transfer-encoding",
        "content-length",
        "x-forwarded-access-token",
        "x-auth-request-access-token",
        "x-auth-token",
        "x-amzn-oidc-data",
        "x-goog-iap-jwt-assertion",
        "x-goog-api-key",
        "x-goog-user-project",
        "x-ms-token-aad-access-token",
        "tailscale-user-login",
        "x-http-method-override",
        "true-client-ip",
    ],
)
def test_credentials_and_what_tells_who_the_client_is_stay_here(name: str) -> None:
    assert to_provider([(name.encode(), b"secret")]) == []


@pytest.mark.parametrize("said", [b"x-hop", b"close, X-Hop", b"Keep-Alive,x-hop , x-other"])
def test_what_the_connection_header_names_is_of_one_connection_only(said: bytes) -> None:
    sent = [(b"connection", said), (b"x-hop", b"1"), (b"x-kept", b"2")]
    assert to_provider(sent) == [(b"x-kept", b"2")]
    told = [(name.decode(), value.decode()) for name, value in sent]
    assert to_client(told) == [(b"x-kept", b"2")]


@pytest.mark.parametrize(
    "name", ["set-cookie", "openai-organization", "openai-project", "x-ratelimit-remaining-tokens", "www-authenticate"]
)
def test_what_tells_of_our_account_is_not_returned(name: str) -> None:
    assert to_client([(name, "x"), ("x-request-id", "r")]) == [(b"x-request-id", b"r")]
