"""Roles: what a client leaves out of a request, said by the settings under one name. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

import orjson

from skep.gateway.generate_requests import with_defaults
from skep.gateway.interfaces import RequestInvalidError, RoleNotFoundError
from skep.gateway.large_bodies import Unread, values_in
from skep.gateway.models import ROLE, TIER, Role
from skep.gateway.profiles import COUNTING, GENERATION_COUNTING, Face
from skep.gateway.requests import Known, read_again, read_request
from skep.gateway.splicing import DuplicateKeyError, NestedTooDeepError, Span, splice, top_level_spans
from skep.gateway.tables import Table

MOST_VALUES = 100_000
"""Of messages that are looked through for a system text: reading so many objects would hold up everybody else."""

_NAME = re.compile(r"[A-Za-z0-9._-]{1,40}")
_LONGEST_NAME = 100

_NUMBERS: Mapping[Face, tuple[str, ...]] = {
    "chat.completions": ("temperature", "top_p"),
    "completions": ("temperature", "top_p"),
    "messages": ("temperature", "top_p"),
    COUNTING: (),
    "responses": ("temperature", "top_p"),
    "generate_content": ("temperature", "top_p"),
    GENERATION_COUNTING: (),
}
"""The faces that roles are for, and which of their numbers a request by them can have."""

_SYSTEM: Mapping[Face, str] = {"messages": "system", COUNTING: "system", "responses": "instructions"}
"""Where a system text has a field of its own. In a chat it is the first message; a completion has none."""

_TURNS: Mapping[Face, str] = {"chat.completions": "messages", "responses": "input"}
"""Where a client's own can stand among what is said."""


def role_of(model: str, headers: Iterable[tuple[bytes, bytes]], roles: Mapping[str, Role]) -> Role | None:
    """The role that a request names, by ``x-skep-role`` or as its model; None when it names none.

    Raises RoleNotFoundError, and RequestInvalidError where the two differ.
    """
    said = ""
    for header, value in headers:
        if header == b"x-skep-role":
            said = value.decode("latin-1").strip()
            break
    name = said
    if model.startswith(f"{ROLE}:"):
        name = model.removeprefix(f"{ROLE}:")
        if said not in ("", name):
            reason = f"x-skep-role says {said[:_LONGEST_NAME]}, and model {name[:_LONGEST_NAME]}"
            raise RequestInvalidError(reason=reason, param="model")
    elif model == ROLE and not said:
        raise RequestInvalidError(
            reason="the model role is that of the role in the header x-skep-role, which is missing", param="model"
        )
    elif not said:
        return None
    role = roles.get(name)
    if role is None:
        raise RoleNotFoundError(
            name=name[:_LONGEST_NAME], roles=", ".join(sorted(roles)) or "there are none", param="model"
        )
    return role


def in_role(known: Known, role: Role) -> Known:
    """The request with what the role says and the client left out, every other byte as it came.

    In a thread, unless the body is quick. Raises RequestInvalidError.
    """
    face = known.face
    if face not in _NUMBERS:
        raise RequestInvalidError(reason="a role is for texts, and this address makes none", param=None)
    try:
        said = _with_defaults(known, role) if known.named is None else _generation(known, role)
    except DuplicateKeyError as error:
        raise RequestInvalidError(reason=f"the body says {error.key} twice", param=error.key) from error
    except NestedTooDeepError as error:
        raise RequestInvalidError(reason="the body is nested too deep", param=None) from error
    if role.max_tokens is not None and said.output_tokens is None:
        # Not put into the body: each provider has a word of its own for it, and `adapted` says it.
        said = replace(said, output_tokens=role.max_tokens * said.choices)
    return replace(said, asked=known.model) if _asks_for_role(known) else said


def _asks_for_role(known: Known) -> bool:
    return known.model == ROLE or known.model.startswith(f"{ROLE}:")


def _with_defaults(known: Known, role: Role) -> Known:
    changes: dict[str, bytes] = {}
    if _asks_for_role(known):
        changes["model"] = orjson.dumps(role.model)
    for name in _NUMBERS[known.face]:
        value = getattr(role, name)
        if value is not None and known.values.get(name) is None:
            changes[name] = orjson.dumps(value)
    if role.system is not None:
        changes |= _system(known, role.name, role.system)
    if not changes:
        return known
    return read_request(known.face, splice(known.body, changes, known.values, _spans(known, changes)))


def _generation(known: Known, role: Role) -> Known:
    """The same for a request of Gemini's format."""
    told = {name: getattr(role, name) for name in _NUMBERS[known.face]}
    numbers = {name: value for name, value in told.items() if value is not None}
    body = with_defaults(known.body, known.values, numbers, role.system)
    return read_again(known, body, model=role.model if _asks_for_role(known) else None)


def _spans(known: Known, changes: Collection[str]) -> Mapping[str, Span] | None:
    """Where the values to change stand, if all of that was found out."""
    spans = known.spans
    return spans if spans is not None and all(name in spans for name in changes if name in known.values) else None


def _system(known: Known, role: str, text: str) -> dict[str, bytes]:
    """The change that puts a system text before everything; none where the client has one."""
    field, turns = _SYSTEM.get(known.face), _TURNS.get(known.face)
    if field is None and turns is None:
        reason = f"the role {role} has a system text, and this address has no place for one"
        raise RequestInvalidError(reason=reason, param=None)
    said = None if turns is None else known.values.get(turns)
    if field is not None and known.values.get(field):
        return {}
    if turns is None or not isinstance(said, list | Unread):
        # A chat without a list of messages is the provider's to refuse.
        return {} if field is None else {field: orjson.dumps(text)}
    span = (known.spans or {}).get(turns) or top_level_spans(known.body, (turns,))[turns]
    inner = known.body[span.start : span.end]
    if isinstance(said, Unread):
        said = _read(inner, turns)
    if any(isinstance(each, dict) and each.get("role") in ("system", "developer") for each in said):
        return {}
    if field is not None:
        return {field: orjson.dumps(text)}
    first = orjson.dumps({"role": "system", "content": text})
    return {turns: b"[" + first + (b"," if said else b"") + inner[1:]}


def _read(turns: bytes, name: str) -> list[object]:
    # An object, because that is what is counted in.
    if values_in(b'{"turns":' + turns + b"}") > MOST_VALUES:
        reason = f"{name} has more than {MOST_VALUES} values; with a role that has a system text that is too many"
        raise RequestInvalidError(reason=reason, param=name)
    try:
        found = orjson.loads(turns)
    except orjson.JSONDecodeError as error:
        raise RequestInvalidError(reason=f"{name} is not JSON ({error})", param=name) from error
    return found if isinstance(found, list) else []


def read_role(name: str, table: Table, models: Collection[str], tiers: Collection[str]) -> Role | None:
    """A role of the settings; None when it is wrong. ``models`` and ``tiers``: those that there are."""
    if _NAME.fullmatch(name) is None:
        table.problem("", "a role's name is 1 to 40 letters, digits, dots, dashes and underscores")
    model = table.choice("model", [*models, *(f"{TIER}{tier}" for tier in tiers)])
    temperature = table.number("temperature", -1.0, least=0.0, most=2.0)
    top_p = table.number("top_p", -1.0, least=0.0, most=1.0)
    max_tokens = table.whole("max_tokens", None, least=1, most=100_000_000)
    system = table.text("system", has_lines=True)
    if model is None:
        return None
    return Role(
        name=name,
        model=model,
        temperature=None if temperature < 0 else temperature,
        top_p=None if top_p < 0 else top_p,
        max_tokens=max_tokens,
        system=system,
    )
