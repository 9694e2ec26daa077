"""Calls without a key, before the gate: who is let in, what counts, what is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import httpx
import pytest
from starlette.types import ASGIApp

from skep.access import KeyInvalidError, Principal
from skep.server.gate import Gate
from skep.server.keyless import Keyless, with_window
from skep.server.origins import policy_of
from skep.server.routing import Router
from skep.settings import GatewaySettings, Secret
from skep.spend import AddressLimitError, AddressWindow
from skep.web import Call, Endpoint, json_answer

BASE = "http://127.0.0.1:7117"
WINDOW = AddressWindow("198.51.100.7", 20, 3, 17, 42.2)
LEFT = b"x-ratelimit-remaining-requests"


class Windows:
    """Counts in memory."""

    def __init__(self) -> None:
        self.counted: dict[str, int] = {}

    async def count(self, address: str, most: int) -> AddressWindow:
        number = self.counted[address] = self.counted.get(address, 0) + 1
        if number > most:
            raise AddressLimitError(
                address=address, amount=most, used=most, metric="requests", seconds=7, retry_after_seconds=7.0
            )
        return AddressWindow(address, most, number, most - number, 7.0)


async def authenticate(key: str) -> Principal:
    if key not in ("public", "mine"):
        raise KeyInvalidError(reason="unknown")
    return Principal(1, "default", key, key, "member")


async def who(call: Call) -> ASGIApp:
    return json_answer({"key": call.principal.key_id, "window": call.window})


def client_of(windows: Windows, *, key: str | None, proxies: Sequence[str] = ("127.0.0.1",)) -> httpx.AsyncClient:
    endpoint = Endpoint(method="GET", path="/v1/x", caller="member", handle=who, summary="x")
    settings = GatewaySettings(keyless_key=None if key is None else Secret(key), keyless_requests_per_minute=2)
    gate = Gate(
        Router([replace(endpoint, takes_keyless=True), replace(endpoint, path="/v1/keyed")]),
        policy_of("127.0.0.1", (), (), tuple(proxies)),
        authenticate,
        keyless=Keyless(lambda: settings, lambda: windows, authenticate).admit,  # type: ignore[arg-type,return-value]
        max_body_bytes=1000,
    )
    return httpx.AsyncClient(transport=httpx.ASGITransport(gate), base_url=BASE)


async def test_each_address_has_so_many_calls_and_keys_have_their_own() -> None:
    windows = Windows()
    async with client_of(windows, key="public") as client:
        here = {"x-forwarded-for": "198.51.100.7"}
        first, second, third = [await client.get("/v1/x", headers=here) for _ in range(3)]
        assert first.json() == {
            "key": "public",
            "window": {"address": "198.51.100.7", "amount": 2, "used": 1, "remaining": 1, "reset_seconds": 7.0},
        }
        assert [answer.headers[LEFT.decode()] for answer in (first, second, third)] == ["1", "0", "0"]
        assert third.status_code == 429
        assert third.headers["retry-after"] == "7"
        assert third.headers["x-ratelimit-reset-requests"] == "7s"
        assert third.json()["error"]["code"] == "address_limit"
        assert third.json()["error"]["type"] == "rate_limit_error"
        assert (await client.get("/v1/x", headers={"x-forwarded-for": "198.51.100.8"})).status_code == 200
        keyed = await client.get("/v1/x", headers=here | {"authorization": "Bearer mine"})
        assert (keyed.json(), keyed.headers.get(LEFT.decode())) == ({"key": "mine", "window": None}, None)
        wrong = await client.get("/v1/x", headers={"x-api-key": "nobodys"})
        assert wrong.status_code == 401
        assert (await client.get("/v1/keyed", headers=here)).status_code == 401
        # Pages of other sites do not call with their visitors' addresses.
        assert (await client.get("/v1/x", headers={"origin": "https://evil.example"})).status_code == 403
    assert windows.counted == {"198.51.100.7": 3, "198.51.100.8": 1}


@pytest.mark.parametrize("key", [None, "revoked"])
async def test_without_a_good_key_for_them_there_are_none(key: str | None) -> None:
    windows = Windows()
    async with client_of(windows, key=key) as client:
        answer = await client.get("/v1/x")
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
    assert "none was sent" in answer.json()["error"]["message"]
    assert windows.counted == {}


async def test_a_client_that_no_trusted_proxy_speaks_for_is_itself() -> None:
    windows = Windows()
    async with client_of(windows, key="public", proxies=()) as client:
        await client.get("/v1/x", headers={"x-forwarded-for": "198.51.100.7"})
    assert windows.counted == {"127.0.0.1": 1}


def test_the_tighter_limit_is_told() -> None:
    others = [(b"x-ratelimit-limit-tokens", b"9"), (b"x-skep-model", b"m")]
    tight = [(b"x-ratelimit-limit-requests", b"60"), (LEFT, b"2"), (b"x-ratelimit-reset-requests", b"1s")]
    assert with_window([*others, *tight], WINDOW) == [*others, *tight]
    told = [(b"x-ratelimit-limit-requests", b"20"), (LEFT, b"17"), (b"x-ratelimit-reset-requests", b"43s")]
    wide = [(b"x-ratelimit-limit-requests", b"60"), (LEFT, b"18"), (b"x-ratelimit-reset-requests", b"1s")]
    assert with_window([*others, *wide], WINDOW) == [*others, *told]
    assert with_window(others, WINDOW) == [*others, *told]
