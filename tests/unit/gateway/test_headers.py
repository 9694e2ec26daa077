"""Which headers of a client a provider gets."""

from __future__ import annotations

import pytest

from skep.gateway.headers import to_provider


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
