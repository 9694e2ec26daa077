"""Budgets, limits and projects over HTTP. Here for the same reason as the keys."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from http import HTTPStatus
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.types import ASGIApp

from skep.access import (
    KeyNotFoundError,
    Project,
    ProjectExistsError,
    ProjectNameError,
    ProjectNotFoundError,
    ProjectsForeignError,
)
from skep.server.key_routes import Administer
from skep.spend import (
    AddressLimitError,
    AddressWindow,
    LimitState,
    Mode,
    Period,
    Rule,
    RuleExistsError,
    RuleInvalidError,
    RuleKind,
    RuleNotFoundError,
    RuleView,
    Subject,
    usd_to_nusd,
)
from skep.web import Call, Endpoint, json_answer

_ALERT_PERCENTS = [80, 90, 95]


class _Body(BaseModel):
    # A misspelt bound must not be no bound.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class _RuleBody(_Body):
    name: str = Field(description="1 to 100 characters that can be shown.")
    subject: Subject = Field("project", description="Whose calls it counts.")
    value: str = Field("", description="Which one, a key by its name or id; * for each by itself. Not for project.")
    mode: Mode = Field("hard", description="hard refuses, soft warns, shadow only notes.")
    alert_percents: list[int] = Field(_ALERT_PERCENTS, max_length=20, description="Tell when so much is used.")
    fallback_model: str | None = Field(None, description="Ask this model instead of refusing.")


class BudgetBody(_RuleBody):
    """A new budget."""

    usd: Decimal = Field(ge=0, description="What calls may cost.")
    period: Period = Field(description="When it starts anew (UTC); total never does.")
    allow_unpriced: bool = Field(default=False, description="Let calls pass whose price is not known.")

    @property
    def rule(self) -> Rule:
        """The rule that says so. Raises RuleInvalidError."""
        return Rule(
            rule_id=0,
            project_id=0,
            name=self.name,
            metric="cost",
            subject=self.subject,
            value=self.value,
            period=self.period,
            amount=usd_to_nusd(self.usd),
            mode=self.mode,
            alert_percents=tuple(sorted(set(self.alert_percents))),
            fallback_model=self.fallback_model,
            allow_unpriced=self.allow_unpriced,
        )


class LimitBody(_RuleBody):
    """A new limit."""

    metric: Literal["requests", "tokens", "concurrent"] = Field(description="What it counts.")
    amount: int = Field(ge=0, description="How much of it there may be.")
    period: Period | None = Field(None, description="When it starts anew (UTC); not for concurrent.")

    @property
    def rule(self) -> Rule:
        """The rule that says so."""
        return Rule(
            rule_id=0,
            project_id=0,
            name=self.name,
            metric=self.metric,
            subject=self.subject,
            value=self.value,
            period=self.period,
            amount=self.amount,
            mode=self.mode,
            alert_percents=tuple(sorted(set(self.alert_percents))),
            fallback_model=self.fallback_model,
        )


class _ChangeBody(_Body):
    mode: Mode | None = None
    alert_percents: list[int] | None = Field(None, max_length=20)
    fallback_model: str | None = Field(None, description="null: refuse instead.")

    @property
    def changes(self) -> dict[str, Any]:
        """What was said, by the rule's fields."""
        said: dict[str, Any] = {field: getattr(self, field) for field in self.model_fields_set}
        if said.get("alert_percents") is not None:
            said["alert_percents"] = tuple(sorted(set(said["alert_percents"])))
        if "usd" in said:
            said["amount"] = None if said["usd"] is None else usd_to_nusd(said["usd"])
            del said["usd"]
        empty = sorted(field for field, value in said.items() if value is None and field != "fallback_model")
        if empty:
            raise RuleInvalidError(reason=f"{', '.join(empty)} cannot be null")
        return said


class BudgetChangeBody(_ChangeBody):
    """What to change of a budget; what is left out stays."""

    usd: Decimal | None = Field(None, ge=0)
    allow_unpriced: bool | None = None


class LimitChangeBody(_ChangeBody):
    """What to change of a limit; what is left out stays."""

    amount: int | None = Field(None, ge=0)


class ProjectBody(_Body):
    """A new project."""

    name: str = Field(description="1 to 60 letters, digits, dots, dashes, underscores or @.")
    local_only: bool = Field(
        default=False, description="Calls of models with its keys stay with local providers, or are refused."
    )


class ProjectChangeBody(_Body):
    """What to change of a project."""

    local_only: bool = Field(description="Whether calls of models with its keys stay with local providers.")


@dataclass(frozen=True, slots=True)
class NewProject:
    """A project with its first administrator's key, whose secret is told this once."""

    project: Project
    id: str
    """Of the key."""
    key: str


@dataclass(frozen=True, slots=True)
class RateLimitStatus:
    """Where everything stands that counts whoever asks."""

    limits: list[LimitState]
    address: AddressWindow | None
    """Of an address that sent no key, where that is allowed; then there are no limits beside it."""


def rule_endpoints(administer: Administer) -> tuple[Endpoint, ...]:
    """The routes."""
    return (
        *_kind(administer, "budget", BudgetBody, BudgetChangeBody, _BUDGET),
        *_kind(administer, "limit", LimitBody, LimitChangeBody, _LIMIT),
        _states(administer),
        *_projects(administer),
    )


def _states(administer: Administer) -> Endpoint:
    async def states(call: Call) -> ASGIApp:
        if call.window is not None:
            # Where the key stands that keyless calls are made as is not everybody's to know.
            return json_answer(RateLimitStatus([], call.window))
        return json_answer(RateLimitStatus(await administer().rulebook.states(call.principal), None))

    return Endpoint(
        method="GET",
        path="/api/v1/rate-limit/status",
        caller="reader",
        takes_keyless=True,
        handle=states,
        summary="Where the budgets and limits stand that count the calls of the key that asks",
        description="Those of single sessions, models and tags are not among them. Answers of /v1 say the same of limits of requests and tokens in"
        " x-ratelimit-* headers. Without a key, where that is allowed: what the address has left; the question counts.",
        answer=RateLimitStatus,
        errors=(AddressLimitError,),
    )


def _kind(
    administer: Administer,
    kind: RuleKind,
    body: type[BudgetBody | LimitBody],
    change_body: type[BudgetChangeBody | LimitChangeBody],
    example: dict[str, object],
) -> tuple[Endpoint, ...]:
    async def rules(call: Call) -> ASGIApp:
        return json_answer({f"{kind}s": await administer().rulebook.all(call.principal, kind)})

    async def create(call: Call) -> ASGIApp:
        rule = (await call.body(body)).rule
        return json_answer(await administer().rulebook.create(call.principal, kind, rule), HTTPStatus.CREATED)

    return (
        Endpoint(
            method="GET",
            path=f"/api/v1/{kind}s",
            caller="reader",
            handle=rules,
            summary=f"List the project's {kind}s and where they stand",
            answer=dict[str, list[RuleView]],
            answer_example={f"{kind}s": [example]},
        ),
        Endpoint(
            method="POST",
            path=f"/api/v1/{kind}s",
            caller="admin",
            handle=create,
            summary=f"Make a {kind}; it is in force at once, in every process",
            body=body,
            answer=RuleView,
            status=HTTPStatus.CREATED,
            body_example=_BODIES[kind],
            answer_example=example,
            errors=(RuleInvalidError, RuleExistsError, KeyNotFoundError),
        ),
        *_one(administer, kind, change_body, example),
    )


def _one(
    administer: Administer,
    kind: RuleKind,
    change_body: type[BudgetChangeBody | LimitChangeBody],
    example: dict[str, object],
) -> tuple[Endpoint, ...]:
    async def show(call: Call) -> ASGIApp:
        return json_answer(await administer().rulebook.get(call.principal, kind, call.path("name")))

    async def change(call: Call) -> ASGIApp:
        changes = (await call.body(change_body)).changes
        book = administer().rulebook
        return json_answer(await book.change(call.principal, kind, call.path("name"), **changes))

    async def delete(call: Call) -> ASGIApp:
        return json_answer(await administer().rulebook.delete(call.principal, kind, call.path("name")))

    path = f"/api/v1/{kind}s/{{name}}"
    return (
        Endpoint(
            method="GET",
            path=path,
            caller="reader",
            handle=show,
            summary=f"Show a {kind} and where it stands",
            answer=RuleView,
            answer_example=example,
            errors=(RuleNotFoundError,),
        ),
        Endpoint(
            method="PUT",
            path=path,
            caller="admin",
            handle=change,
            summary=f"Change a {kind}; what was used of it stays used",
            body=change_body,
            answer=RuleView,
            body_example={"mode": "soft"},
            answer_example=example | {"mode": "soft"},
            errors=(RuleNotFoundError, RuleInvalidError),
        ),
        Endpoint(
            method="DELETE",
            path=path,
            caller="admin",
            handle=delete,
            summary=f"Delete a {kind}, with what was counted for it; calls stay in the ledger",
            answer=RuleView,
            answer_example=example,
            errors=(RuleNotFoundError,),
        ),
    )


def _projects(administer: Administer) -> tuple[Endpoint, ...]:
    async def projects(call: Call) -> ASGIApp:
        return json_answer({"projects": await administer().projects.all(call.principal)})

    async def create(call: Call) -> ASGIApp:
        body = await call.body(ProjectBody)
        projects = administer().projects
        project, key = await projects.create(call.principal, body.name, local_only=body.local_only)
        return json_answer(NewProject(project, key.key.id, key.secret), HTTPStatus.CREATED)

    async def change(call: Call) -> ASGIApp:
        body = await call.body(ProjectChangeBody)
        projects = administer().projects
        return json_answer(await projects.change(call.principal, call.path("project"), local_only=body.local_only))

    return (
        Endpoint(
            method="PATCH",
            path="/api/v1/projects/{project}",
            caller="admin",
            handle=change,
            summary="Change a project, by its name; servers go by it at once",
            body=ProjectChangeBody,
            answer=Project,
            body_example={"local_only": True},
            answer_example={**_PROJECT, "local_only": True},
            errors=(ProjectNotFoundError, ProjectsForeignError),
        ),
        Endpoint(
            method="GET",
            path="/api/v1/projects",
            caller="admin",
            handle=projects,
            summary="List the projects: all for administrators of the first one, else their own",
            answer=dict[Literal["projects"], list[Project]],
            answer_example={"projects": [_PROJECT]},
        ),
        Endpoint(
            method="POST",
            path="/api/v1/projects",
            caller="admin",
            handle=create,
            summary="Make a project, with its first administrator's key; its secret is shown this once",
            body=ProjectBody,
            answer=NewProject,
            status=HTTPStatus.CREATED,
            body_example={"name": "research"},
            answer_example={"project": _PROJECT, "id": "4k1v0q8z2m7c", "key": "skep_4k1v0q8z2m7c_..."},
            errors=(ProjectNameError, ProjectExistsError, ProjectsForeignError),
        ),
    )


_PROJECT: dict[str, object] = {
    "id": 2,
    "name": "research",
    "created_at": "2026-11-20T10:13:00.120000+00:00",
    "keys": 1,
    "local_only": False,
}
_BODIES: dict[RuleKind, dict[str, object]] = {
    "budget": {"name": "team", "usd": 500, "period": "month"},
    "limit": {
        "name": "calls",
        "metric": "requests",
        "amount": 600,
        "period": "minute",
        "subject": "user",
        "value": "*",
    },
}
_BUDGET: dict[str, object] = {
    "name": "team",
    "metric": "cost",
    "subject": "project",
    "value": "",
    "period": "month",
    "amount": 500_000_000_000,
    "amount_usd": "500.00",
    "mode": "hard",
    "alert_percents": [80, 90, 95],
    "fallback_model": None,
    "allow_unpriced": False,
    "windows": [],
}
_LIMIT: dict[str, object] = _BUDGET | {
    "name": "calls",
    "metric": "requests",
    "subject": "user",
    "value": "*",
    "period": "minute",
    "amount": 600,
    "amount_usd": None,
}
