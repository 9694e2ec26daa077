"""What a key is for, and how one may be made."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from skep.access import (
    AddressNotAllowedError,
    FaceNotAllowedError,
    KeyWish,
    KeyWishInvalidError,
    ModelNotAllowedError,
    Principal,
    may_call,
)
from skep.access.allowing import allows_model, check_wish, networks_of

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ANYBODY = Principal(1, "default", "k1", "ci", "member")


def test_a_key_without_lists_is_for_everything() -> None:
    may_call(ANYBODY, model="anything", face="chat.completions", address="203.0.113.9")


@pytest.mark.parametrize(
    ("allowed", "model", "fits"),
    [
        (("smart",), "smart", True),
        (("smart",), "smarter", False),
        (("smart",), "SMART", False),
        (("smart",), "", False),
        (("gpt-*", "local"), "gpt-x", True),
        (("gpt-*", "local"), "local", True),
        (("gpt-*",), "gpt", False),
        (("gpt-*",), "my-gpt-x", False),
        (("*",), "anything", True),
        ((), "smart", False),
    ],
)
def test_models_are_named_whole_or_by_how_they_begin(allowed: tuple[str, ...], model: str, fits: bool) -> None:
    assert allows_model(allowed, model) is fits
    principal = replace(ANYBODY, models=allowed)
    if fits:
        may_call(principal, model=model)
    else:
        with pytest.raises(ModelNotAllowedError):
            may_call(principal, model=model)


def test_a_refusal_names_the_rule_and_a_way_out() -> None:
    principal = replace(ANYBODY, models=("smart", "fast"), faces=("embeddings",))
    with pytest.raises(ModelNotAllowedError, match=r"key ci may not ask for the model big.*smart, fast") as model:
        may_call(principal, model="big")
    assert "--models big" in model.value.fix_text
    with pytest.raises(FaceNotAllowedError, match=r"may not use chat.completions.*embeddings") as face:
        may_call(principal, face="chat.completions", model="big")
    assert (face.value.http_status, face.value.exit_code) == (403, 3)
    may_call(principal, face="embeddings")


@pytest.mark.parametrize(
    ("networks", "address", "fits"),
    [
        (("10.0.0.0/8",), "10.200.1.1", True),
        (("10.0.0.0/8",), "11.0.0.1", False),
        (("10.0.0.0/8",), "::ffff:10.0.0.1", True),
        (("10.0.0.0/8",), "unix", False),
        (("10.0.0.0/8",), "", False),
        (("192.0.2.7",), "192.0.2.7", True),
        (("2001:db8::/32", "127.0.0.1"), "2001:db8::1", True),
        (("2001:db8::/32", "127.0.0.1"), "127.0.0.1", True),
        (("0.0.0.0/0",), "2001:db8::1", False),
    ],
)
def test_addresses_lie_within_networks(networks: tuple[str, ...], address: str, fits: bool) -> None:
    principal = replace(ANYBODY, networks=networks_of(networks))
    if fits:
        may_call(principal, address=address)
    else:
        with pytest.raises(AddressNotAllowedError):
            may_call(principal, address=address)


def test_a_whole_wish_is_right() -> None:
    lists = KeyWish("ci@team.example", "reader", ("gpt-*", "local"), ("chat.completions",), ("10.0.0.0/8", "::1"))
    check_wish(replace(lists, expires_at=NOW + timedelta(seconds=1), user="anna", tier="gold"), NOW)


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        (KeyWish(""), "name"),
        (KeyWish("-x"), "name"),
        (KeyWish("x" * 61), "name"),
        (KeyWish("a b"), "name"),
        (KeyWish("x", models=()), "list of models"),
        (KeyWish("x", models=("a*b",)), r"'a\*b' cannot be one of its models"),
        (KeyWish("x", models=("",)), "models"),
        (KeyWish("x", models=("m",) * 201), "list of models"),
        (KeyWish("x", faces=("chat",)), "'chat' cannot be one of its faces; there are chat.completions, "),
        (KeyWish("x", addresses=("10.0.0.1/8",)), "addresses"),
        (KeyWish("x", addresses=("localhost",)), "addresses"),
        (KeyWish("x", user=""), "user"),
        (KeyWish("x", tier="a\nb"), "tier"),
        (KeyWish("x", expires_at=NOW), "is over"),
        (KeyWish("x", expires_at=datetime(2030, 1, 1)), "time zone"),  # noqa: DTZ001
    ],
)
def test_wishes_that_cannot_be_granted(wish: KeyWish, reason: str) -> None:
    with pytest.raises(KeyWishInvalidError, match=reason):
        check_wish(wish, NOW)


def test_everything_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(KeyWishInvalidError, match=r"name.*models.*tier"):
        check_wish(KeyWish("", models=(" ",), tier=""), NOW)
