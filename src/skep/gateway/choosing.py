"""Which model serves a call: the one that it names, if its key is for that and it need not leave the house; or one that a rule names instead."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from skep.access import ModelNotAllowedError, Principal, allows_model, may_call, require_role
from skep.errors import SkepError
from skep.gateway.caching import Headers
from skep.gateway.experiments import assigned, subject_of
from skep.gateway.headers import privacy_of, route_named, told_by_caller
from skep.gateway.interfaces import LocalOnlyError, ModelNotFoundError, RequestInvalidError, TierNotFoundError
from skep.gateway.models import LOCAL_MODEL, ROLE, TIER, Arm, Experiment, GatewayConfig, Model, Role, Route
from skep.gateway.profiles import Face
from skep.gateway.requests import Known
from skep.gateway.serving import Served, asking_for, serve
from skep.spend import Caller, Step, experiment_tag
from skep.web import Notes

_random = random.Random()  # noqa: S311 -- spreads calls; nothing depends on nobody guessing it


_MOST_PLAIN = 10_000
"""Choices that are remembered; of more all are made anew."""


@dataclass(slots=True)
class Choice:
    """What was chosen for a call. Never changed; not frozen, because making a frozen one takes three times as long."""

    served: Served | None
    """None: the model that is part of Skep."""
    caller: Caller
    whose: str
    """Who says that the call must stay with local providers; empty: nobody does."""
    arm: str = ""
    """The experiment and its arm that the call is in, as ``cheaper=canary``; empty: none."""
    steps: tuple[Step, ...] = ()
    """How what the client asked for came to stand for this model."""
    outside: Choice | None = None
    """What it would be without the experiment; None where there is none."""

    @property
    def told(self) -> Sequence[tuple[bytes, bytes]]:
        """The headers that tell the client of it."""
        return ((b"x-skep-experiment", self.arm.encode()),) if self.arm else ()

    @property
    def asked(self) -> Served | None:
        """The model that the client named, where an experiment has another one answer; None: it is the one that serves."""
        return None if self.outside is None else self.outside.served

    @property
    def seed(self) -> bytes:
        """See `caching.seed_of`: the arms of an experiment do not share answers."""
        assert self.served is not None, "what is part of Skep has no cache"
        asked = b"" if self.asked is None else self.asked.cache_seed
        return asked + self.served.cache_seed + self.arm.encode()


class Choices:
    """The models that the settings name.

    ``has_local``: whether the one that is part of Skep can be asked; ``has_open``: whether a call may take one of some routes now.
    """

    def __init__(self, config: GatewayConfig, *, has_local: bool, has_open: Callable[[Sequence[Route]], bool]) -> None:
        self._served = {name: serve(model) for name, model in config.models.items()}
        self._tiers: dict[str, list[Served]] = {}
        for served in self._served.values():
            if served.model.tier is not None:
                self._tiers.setdefault(served.model.tier, []).append(served)
        self._roles = config.roles
        self._plain: dict[tuple[str, str], tuple[Principal, Choice]] = {}
        self._has_local = has_local
        self._has_open = has_open

    def names(self, principal: Principal | None = None) -> Iterator[str]:
        """What clients may ask for, whose key is the principal's; None: any."""
        yield from (
            name for name, served in self._served.items() if principal is None or is_for(principal, served.model)
        )
        for tier, models in self._tiers.items():
            if principal is None or any(is_for(principal, served.model) for served in models):
                yield f"{TIER}{tier}"
        yield from (
            f"{ROLE}:{role.name}" for role in self._roles.values() if principal is None or self._may_be(role, principal)
        )
        allowed = None if principal is None else principal.models
        if self._has_local and (allowed is None or allows_model(allowed, LOCAL_MODEL)):
            yield LOCAL_MODEL

    def choose(self, known: Known, principal: Principal, ours: Headers, headers: Headers) -> Choice:
        """Who serves a call. ``ours`` are those of its headers that begin with ``x-skep-``.

        Raises ModelNotAllowedError, ModelNotFoundError, TierNotFoundError, LocalOnlyError, RequestInvalidError, RoleTooLowError.
        """
        name = known.model
        # Most calls say nothing but their model: then it is always the same for a key, until that or the settings change.
        is_plain = not ours and known.user is None and known.asked is None
        if is_plain:
            plain = self._plain.get((principal.key_id, name))
            if plain is not None and plain[0] is principal:
                return plain[1]
        steps: tuple[Step, ...] = () if known.asked is None else (Step(known.asked, "role", name),)
        caller = caller_of(principal, known.user, *told_by_caller(ours))
        served: Served | None
        if name.startswith(TIER):
            whose = local_only(principal, ours)
            served = self._of_tier(name, known.face, principal, whose)
            steps = (*steps, Step(name, "tier", served.model.name))
        else:
            served = self._named(name, principal)
            whose = local_only(principal, ours)
            if served is not None and whose:
                served = served.in_house
                if served is None:
                    raise LocalOnlyError(model=name, whose=whose, param="model")
        wanted = route_named(ours)
        if served is not None and wanted is not None:
            require_role(principal, "admin")
            served = by_one_route(served.model, wanted)
        if served is not None:
            caller = asking_for(served.model, caller)
        choice = Choice(served, caller, whose, steps=steps)
        if served is not None and served.model.experiment is not None and known.face != "embeddings":
            return self._within(choice, served.model.experiment, known.face, principal, headers)
        if is_plain and served is not None and not steps and served.model.experiment is None:
            if len(self._plain) >= _MOST_PLAIN:
                self._plain.clear()
            self._plain[principal.key_id, name] = principal, choice
        return choice

    def _named(self, name: str, principal: Principal) -> Served | None:
        """A model by its name; None: the one that is part of Skep."""
        served = self._served.get(name)
        if served is None or not is_for(principal, served.model):
            may_call(principal, model=name)
        if served is None and not (self._has_local and name == LOCAL_MODEL):
            raise ModelNotFoundError(name=name, param="model")
        return served

    def _of_tier(self, name: str, face: Face, principal: Principal, whose: str) -> Served:
        """The first model of a tier that can be asked; where all its routes are closed, the one that says so."""
        models = self._tiers.get(name.removeprefix(TIER))
        if models is None:
            tiers = ", ".join(sorted(self._tiers)) or "there are none"
            raise TierNotFoundError(name=name.removeprefix(TIER)[:200], tiers=tiers, param="model")
        models = [served for served in models if is_for(principal, served.model)]
        if not models:
            allowed = ", ".join((principal.models or ())[:10])
            raise ModelNotAllowedError(key_name=principal.key_name, model=name, allowed=allowed)
        if whose:
            models = [served.in_house for served in models if served.in_house is not None]
            if not models:
                raise LocalOnlyError(model=name, whose=whose, param="model")
        models = [served for served in models if _has_face(served.model, face)] or models
        return next((served for served in models if self._has_open(served.model.routes)), models[0])

    def _may_be(self, role: Role, principal: Principal) -> bool:
        """Whether a key is for the model of a role."""
        served = self._served.get(role.model)
        models = self._tiers[role.model.removeprefix(TIER)] if served is None else [served]
        return any(is_for(principal, each.model) for each in models)

    def _within(
        self, choice: Choice, experiment: Experiment, face: Face, principal: Principal, headers: Headers
    ) -> Choice:
        """The arm of an experiment. Who could not be in every one of its arms takes no part: the others would be compared with others."""
        own = choice.served
        assert own is not None, "an experiment is a model's"
        served_by: dict[str, Served] = {}
        for each in experiment.arms:
            found = self._of_arm(own, each, choice.whose)
            if found is None or not is_for(principal, found.model) or not _has_face(found.model, face):
                return choice
            served_by[each.name] = found
        arm = assigned(experiment, subject_of(experiment, choice.caller, headers, _random.random))
        served = served_by[arm.name]
        said = f"{experiment.name}={arm.name}"
        tags = (*choice.caller.tags, experiment_tag(experiment.name, arm.name))
        return Choice(
            served=served,
            caller=replace(asking_for(served.model, choice.caller), tags=tags),
            whose=choice.whose,
            arm=said,
            steps=(*choice.steps, Step(own.model.name, "experiment", said)) if arm.model is not None else choice.steps,
            outside=choice,
        )

    def _of_arm(self, own: Served, arm: Arm, whose: str) -> Served | None:
        if arm.model is None:
            return own
        served = self._served.get(arm.model)
        return served.in_house if served is not None and whose else served

    def instead(
        self, error: SkepError, tried: Collection[str], principal: Principal, notes: Notes, *, in_house: bool
    ) -> Served | None:
        """Which model a refusal names instead; None when it names none, or one that cannot be."""
        name = error.fields.get("fallback_model")
        if not isinstance(name, str):
            return None
        fallback = self._served.get(name)
        if fallback is not None and in_house:
            fallback = fallback.in_house
        if fallback is None:
            notes.log["no_fallback"] = f"{name} is not served" + (" by a local route" if in_house else "")
        elif name in tried or not is_for(principal, fallback.model):
            notes.log["no_fallback"] = f"not by {name} either"
            fallback = None
        return fallback


def _has_face(model: Model, face: Face) -> bool:
    return any(route.face_for(face) is not None for route in model.routes)


def is_for(principal: Principal, model: Model) -> bool:
    """Whether a key is for a model: its list has it, or its tier."""
    allowed = principal.models
    if allowed is None or allows_model(allowed, model.name):
        return True
    # What a list says of how names of models begin is not said of tiers, but for ``tier:...*``.
    tiers = [entry for entry in allowed if entry.startswith(TIER)]
    return model.tier is not None and allows_model(tiers, f"{TIER}{model.tier}")


def caller_of(principal: Principal, user: str | None, session: str | None, tags: tuple[str, ...]) -> Caller:
    """Who makes the call, as the rules see it. A key that is somebody's counts as theirs, whoever the client names."""
    return Caller(
        project_id=principal.project_id,
        key_id=principal.key_id,
        key_name=principal.key_name,
        user=user if principal.user is None else principal.user,
        session=session,
        tier=principal.tier,
        tags=tags,
    )


def by_one_route(model: Model, name: str) -> Served:
    """A model as it is asked by one of its routes alone, once, for whoever tries whether that works. Raises RequestInvalidError."""
    for route in model.routes:
        if route.name == name:
            return serve(
                replace(
                    model,
                    routes=(route,),
                    strategy="ordered",
                    retries=0,
                    cache_seconds=0,
                    stop_when=None,
                    apology=None,
                    experiment=None,
                    is_forced=True,
                )
            )
    routes = ", ".join(route.name for route in model.routes)
    raise RequestInvalidError(reason=f"{model.name} has no route {name[:200]}; it has {routes}", param=None)


def local_only(principal: Principal, headers: Headers) -> str:
    """Who says that a call must stay with local providers; empty when nobody does. Raises RequestInvalidError."""
    said = privacy_of(headers)
    if said not in (None, "local_only"):
        raise RequestInvalidError(reason="x-skep-privacy must be local_only", param=None)
    if principal.local_only:
        return f"the key {principal.key_name}"
    return "this call (x-skep-privacy)" if said else ""
