"""Keys over HTTP. Here and not in the rooms of access and spending, which lie below the one that knows routes."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from http import HTTPStatus
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.types import ASGIApp

from skep.access import (
    DEFAULT_OVERLAP_HOURS,
    Key,
    KeyExistsError,
    KeyNotFoundError,
    KeyUnusableError,
    KeyWish,
    KeyWishInvalidError,
    LastAdminKeyError,
    OverlapInvalidError,
    Role,
)
from skep.spend import (
    Administration,
    IssuedKey,
    KeyLimits,
    MeteredKey,
    Period,
    RuleInvalidError,
    usd_to_nusd,
)
from skep.web import Call, Endpoint, json_answer

Administer = Callable[[], Administration]
"""The services; may raise an UnavailableError."""


class _Body(BaseModel):
    # A misspelt limit must not be no limit.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class KeyBody(_Body):
    """A new key with its rules. What is left out bounds nothing."""

    name: str = Field(description="1 to 60 letters, digits, dots, dashes, underscores or @.")
    role: Role = Field("member", description="What it may do in the project.")
    models: list[str] | None = Field(None, description="Models it may ask for; * at the end of one matches all.")
    faces: list[str] | None = Field(None, description="Faces it may use, such as chat.completions.")
    addresses: list[str] | None = Field(None, description="Addresses and networks it may be used from.")
    expires_at: AwareDatetime | None = Field(None, description="When it ends by itself.")
    user: str | None = Field(None, description="Whose key it is: its calls count as theirs.")
    tier: str | None = Field(None, description="For rules that count by tier.")
    local_only: bool = Field(
        default=False, description="Its calls of models stay with local providers, or are refused."
    )
    budget_usd: Decimal | None = Field(None, ge=0, description="What its calls may cost.")
    per: Period | None = Field(None, description="When the budget starts anew (UTC); left out: never.")
    requests_per_minute: int | None = Field(None, ge=0)
    tokens_per_minute: int | None = Field(None, ge=0, description="In and out.")
    concurrent: int | None = Field(None, ge=0, description="Calls at once.")

    @property
    def wish(self) -> KeyWish:
        """The key without its rules."""
        return KeyWish(
            name=self.name,
            role=self.role,
            models=_tuple(self.models),
            faces=_tuple(self.faces),
            addresses=_tuple(self.addresses),
            expires_at=self.expires_at,
            user=self.user,
            tier=self.tier,
            local_only=self.local_only,
        )

    @property
    def limits(self) -> KeyLimits:
        """Its rules. Raises RuleInvalidError."""
        return KeyLimits(
            budget_nusd=None if self.budget_usd is None else usd_to_nusd(self.budget_usd),
            budget_period=self.per,
            requests_per_minute=self.requests_per_minute,
            tokens_per_minute=self.tokens_per_minute,
            concurrent=self.concurrent,
        )


class RotateBody(_Body):
    """How a key gets another secret."""

    overlap_hours: float = Field(DEFAULT_OVERLAP_HOURS, description="How long the old secret is good as well.")


class KeysQuery(_Body):
    """Which keys to list."""

    revoked: bool = Field(default=False, description="Revoked ones too.")


def key_endpoints(administer: Administer) -> tuple[Endpoint, ...]:
    """The routes."""
    return (*_many(administer), *_one(administer))


def _many(administer: Administer) -> tuple[Endpoint, ...]:
    async def create(call: Call) -> ASGIApp:
        body = await call.body(KeyBody)
        made = await administer().keys.create(call.principal, body.wish, body.limits)
        return json_answer(made, HTTPStatus.CREATED)

    async def keys(call: Call) -> ASGIApp:
        query = call.query(KeysQuery)
        return json_answer({"keys": await administer().keys.all(call.principal, revoked=query.revoked)})

    return (
        Endpoint(
            method="GET",
            path="/api/v1/keys",
            caller="admin",
            handle=keys,
            summary="List the project's keys, without their secrets",
            query=KeysQuery,
            answer=dict[Literal["keys"], list[MeteredKey]],
            answer_example={"keys": [_EXAMPLE]},
        ),
        Endpoint(
            method="POST",
            path="/api/v1/keys",
            caller="admin",
            handle=create,
            summary="Make a key with its budget and limits; its secret is shown this once",
            body=KeyBody,
            answer=IssuedKey,
            status=HTTPStatus.CREATED,
            body_example={"name": "ci", "models": ["smart"], "budget_usd": 5, "per": "day", "requests_per_minute": 60},
            answer_example=_EXAMPLE | {"key": _SECRET},
            errors=(KeyWishInvalidError, KeyExistsError, RuleInvalidError),
        ),
    )


def _one(administer: Administer) -> tuple[Endpoint, ...]:
    async def show(call: Call) -> ASGIApp:
        return json_answer(await administer().keys.get(call.principal, call.path("key")))

    async def revoke(call: Call) -> ASGIApp:
        return json_answer(await administer().keys.revoke(call.principal, call.path("key")))

    async def rotate(call: Call) -> ASGIApp:
        body = await call.body(RotateBody)
        keys = administer().keys
        return json_answer(await keys.rotate(call.principal, call.path("key"), overlap_hours=body.overlap_hours))

    return (
        Endpoint(
            method="GET",
            path="/api/v1/keys/{key}",
            caller="admin",
            handle=show,
            summary="Show a key, by its id or name, with its rules and where they stand",
            answer=MeteredKey,
            answer_example=_EXAMPLE,
            errors=(KeyNotFoundError,),
        ),
        Endpoint(
            method="DELETE",
            path="/api/v1/keys/{key}",
            caller="admin",
            handle=revoke,
            summary="Revoke a key for good, with its rules; every process refuses it within a second",
            answer=Key,
            answer_example=_SHOWN | {"state": "revoked", "revoked_at": "2026-11-21T08:00:00+00:00"},
            errors=(KeyNotFoundError, LastAdminKeyError),
        ),
        Endpoint(
            method="POST",
            path="/api/v1/keys/{key}/rotate",
            caller="admin",
            handle=rotate,
            summary="Give a key another secret, shown this once; the old one works for a while",
            body=RotateBody,
            answer=IssuedKey,
            body_example={"overlap_hours": 24},
            answer_example=_EXAMPLE | {"key": _SECRET},
            errors=(KeyNotFoundError, KeyUnusableError, OverlapInvalidError),
        ),
    )


def _tuple(entries: list[str] | None) -> tuple[str, ...] | None:
    return None if entries is None else tuple(entries)


_SECRET = "skep_4k1v0q8z2m7c_..."  # noqa: S105 -- an example that opens nothing
_SHOWN: dict[str, object] = {
    "id": "4k1v0q8z2m7c",
    "name": "ci",
    "role": "member",
    "state": "active",
    "models": ["smart"],
    "faces": None,
    "addresses": None,
    "user": None,
    "tier": None,
    "local_only": False,
    "created_at": "2026-11-20T10:13:00.120000+00:00",
    "expires_at": None,
    "rotated_at": None,
    "previous_until": None,
    "revoked_at": None,
}
_EXAMPLE: dict[str, object] = _SHOWN | {
    "rules": [
        {
            "name": "ci-4k1v0q8z2m7c-cost-day",
            "metric": "cost",
            "subject": "key",
            "value": "4k1v0q8z2m7c",
            "period": "day",
            "amount": 5_000_000_000,
            "amount_usd": "5.00",
            "mode": "hard",
            "alert_percents": [80, 90, 95],
            "fallback_model": None,
            "allow_unpriced": False,
            "windows": [],
        }
    ]
}
