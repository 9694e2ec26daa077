"""Experiments: which arm a call is in, and what the settings say of them. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from typing import cast, get_args

from skep.gateway.models import Arm, Experiment, StickyBy
from skep.gateway.tables import Table
from skep.spend import Caller

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
"""Short enough that the tag of an arm is kept whole in the ledger."""

_HEADER = re.compile(r"[a-z0-9_-]{1,100}")
_SECRET_HEADERS = ("authorization", "x-api-key", "api-key", "cookie", "proxy-authorization")
_LONGEST_SUBJECT = 500


def assigned(experiment: Experiment, subject: str) -> Arm:
    """The arm of a subject: the same on every process and machine, each as often as its weight says.

    Weighted rendezvous hashing (Schindelhauer and Schomaker, Weighted distributed hash tables, 2005): every arm draws its own lot,
    from a hash keyed with the experiment's name, and the best one wins. So a weight that is raised only moves subjects into its arm, one
    that is lowered only out of it, whatever the order and the number of arms.
    """
    name, said = experiment.name.encode(), subject.encode("utf-8", "surrogatepass")
    return max(experiment.arms, key=lambda arm: arm.weight / -math.log(_lot(name, arm.name, said)))


def _lot(experiment: bytes, arm: str, subject: bytes) -> float:
    """Evenly between 0 and 1, without both."""
    digest = blake2b(b"%b=%b" % (arm.encode(), subject), key=experiment, digest_size=8).digest()
    # 52 bits and a half: a float holds each of these numbers exactly, and none is rounded to 1.
    return ((int.from_bytes(digest) >> 12) + 0.5) / 2**52


def subject_of(
    experiment: Experiment, caller: Caller, headers: Iterable[tuple[bytes, bytes]], chance: Callable[[], float]
) -> str:
    """What stays in one arm. A call without a user or without the header goes by its key. ``chance``: from 0 to 1."""
    if experiment.sticky_by == "none":
        return repr(chance())
    if experiment.sticky_by == "user":
        return caller.user or caller.key_id
    if experiment.sticky_by == "header":
        wanted = experiment.header.encode()
        said = next((value for name, value in headers if name == wanted), b"")
        return said.decode("latin-1").strip()[:_LONGEST_SUBJECT] or caller.key_id
    return caller.key_id


def read_experiment(own: str, table: Table, models: Mapping[str, Table]) -> Experiment | None:
    """The ``experiment`` of a model's table; None when there is none, or it is wrong. ``models``: the tables of all."""
    inner = table.table("experiment")
    if inner is None:
        return None
    name = _name(inner, "name")
    sticky_by = inner.choice("sticky_by", get_args(StickyBy), default="key")
    header = (inner.text("header") or "x-skep-subject").lower()
    if inner.has("header") and sticky_by != "header":
        inner.problem("header", "counts only where sticky_by is header")
    elif _HEADER.fullmatch(header) is None:
        inner.problem("header", "a header's name has letters, digits and hyphens")
    elif header in _SECRET_HEADERS:
        inner.problem("header", "this header has a secret; sticky_by: key goes by the key")
    arms = _read_arms(own, inner, models)
    inner.finish()
    if name is None or sticky_by is None or len(arms) < 2:
        return None
    return Experiment(name=name, arms=tuple(arms), sticky_by=cast("StickyBy", sticky_by), header=header)


def _read_arms(own: str, table: Table, models: Mapping[str, Table]) -> list[Arm]:
    inner = table.table("arms")
    names = [] if inner is None else inner.names()
    if inner is None or len(names) < 2:
        table.problem(
            "arms",
            "expected at least two names with weights, such as {control: {weight: 95}, canary: {weight: 5, model: small}}",
        )
        return []
    arms = []
    for name in names:
        if _NAME.fullmatch(name) is None:
            inner.problem(name, _NAME_RULE)
        said = inner.table(name)
        if said is None:
            if not inner.has(name):
                inner.problem(name, "expected names with values, such as {weight: 5}")
            continue
        arms.append(
            Arm(
                name=name,
                weight=said.number("weight", 1.0, least=0.0, most=1000.0),
                model=_arms_model(own, said, models),
            )
        )
        if not arms[1:] and said.has("model"):
            said.problem("model", f"the first arm is the control: the routes of {own} itself")
        said.finish()
    if arms and not any(arm.weight for arm in arms):
        table.problem("arms", "one of them needs a weight above 0")
    return arms


def _arms_model(own: str, table: Table, models: Mapping[str, Table]) -> str | None:
    if not table.has("model"):
        return None
    name = table.choice("model", [each for each in models if each != own])
    if name is not None and models[name].has("experiment"):
        table.problem("model", f"{name} has an experiment itself; an arm is a model without one")
    return name


_NAME_RULE = "a name is 1 to 40 letters, digits, dots, dashes and underscores, and a letter or digit first"


def _name(table: Table, field: str) -> str | None:
    name = table.text(field, required=True)
    if name is not None and _NAME.fullmatch(name) is None:
        table.problem(field, _NAME_RULE)
        return None
    return name
