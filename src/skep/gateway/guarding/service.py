"""Guards one call: its request before anybody gets it, its answer before anybody keeps it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from starlette.types import Send
from typing_extensions import override

from skep.gateway.guarding.events import EventRewriter
from skep.gateway.guarding.form_texts import changed_form
from skep.gateway.guarding.injections import is_injection
from skep.gateway.guarding.interfaces import GuardBlockedError, GuardUnreadableError
from skep.gateway.guarding.json_texts import Place, Roles, changed
from skep.gateway.guarding.lumps import MOST_CHARACTERS, longest_run
from skep.gateway.guarding.models import Finding
from skep.gateway.guarding.moderation import judged
from skep.gateway.guarding.plans import BlockedError, Plan, Sink, plan_of
from skep.gateway.guarding.restoring import RestoringSend
from skep.gateway.guarding.vault import Findings, Vault, unnumbered
from skep.gateway.interfaces import Upstream
from skep.gateway.large_bodies import BodyUnreadableError, Unread, is_quick, values_in
from skep.gateway.media import SPEECH
from skep.gateway.media_requests import read_media
from skep.gateway.metrics import GUARD_FINDINGS
from skep.gateway.models import Guard, Side
from skep.gateway.profiles import Face
from skep.gateway.requests import Known, read_again
from skep.gateway.response_requests import stored_field
from skep.gateway.splicing import NestedTooDeepError
from skep.observe import Metrics

T = TypeVar("T")

MOST_VALUES = 500_000
"""A request with more is refused. A million tokens of a long conversation have a few thousand."""

MOST_RUN = 131_072
"""A text with more characters without a space is refused: the time to look through one grows with the square of it. Pictures and files in
base64 are not looked through."""

_QUICK_BYTES = 1_024
"""Looking through more than that takes milliseconds: a thread does it."""

_SAID_IN: Mapping[str, frozenset[str]] = {
    "messages": frozenset({"content", "text", "input", "output", "arguments"}),
    "input": frozenset({"input", "content", "text", "output"}),
    "prompt": frozenset({"prompt"}),
    "query": frozenset({"query"}),
    "documents": frozenset({"documents", "text"}),
    "contents": frozenset({"text", "output", "result", "content", "args"}),
}
"""Where what people and tools say stands, by the name at the top level: there injections are looked for."""

_TRUSTED_ROLES = frozenset({"system", "developer"})
_TOKENS = re.compile(rb"\[\s*(?:\[\s*)*-?\d")
_TOKEN_FIELDS: Mapping[Face, str] = {"embeddings": "input", "completions": "prompt"}
_LOGPROBS = frozenset({"logprobs", "logprobsResult"})


@dataclass(frozen=True, slots=True)
class Guards:
    """Those of a model, with what is reckoned once."""

    guards: tuple[Guard, ...]
    request: Plan | None
    answer: Plan | None


def guards_of(guards: tuple[Guard, ...]) -> Guards | None:
    """None where there is none: then nothing is looked at."""
    return Guards(guards, plan_of(guards, "request"), plan_of(guards, "answer")) if guards else None


@dataclass(slots=True, eq=False)
class CallGuard:
    """The guards of one call. ``log`` is that of its request: kinds and counts are noted there, and never a value."""

    guards: Guards
    face: Face
    model: str
    threads: Executor
    metrics: Metrics
    log: dict[str, object]
    vault: Vault = field(default_factory=Vault)
    noted: dict[str, int] = field(default_factory=dict)
    judged: set[str] = field(default_factory=set)
    """The guards whose moderation was asked."""
    has_left: bool = False
    """Whether it was sent to be judged outside of the house."""

    async def request(self, known: Known) -> Known:
        """The request as others may see it. Raises GuardBlockedError, GuardUnreadableError."""
        return await self._request(known, self.guards.request)

    async def request_too(self, known: Known, guards: Guards) -> Known:
        """The same for another model's guards, after this one's; from now on both look at the answer."""
        more = tuple(guard for guard in guards.guards if guard not in self.guards.guards)
        if more:
            known = await self._request(known, plan_of(more, "request"))
            both = (*self.guards.guards, *more)
            self.guards = Guards(both, plan_of(both, "request"), plan_of(both, "answer"))
        return known

    async def _request(self, known: Known, plan: Plan | None) -> Known:
        if plan is None:
            return known
        if plan.changes:
            _refuse_tokens(known, self.model)
            _refuse_stored(known, self.model)
        if known.form_type is None:
            await self._run(len(known.body), partial(_refuse_many, known, self.model))
        found = Findings("request", self.vault.name)
        self.vault.take_none_of(known.body)
        try:
            return await self._run(len(known.body), partial(_guarded, known, plan, found))
        except BlockedError as blocked:
            raise self.refusal(blocked, "request") from None
        finally:
            self.note(found)

    async def judge(self, known: Known, upstream: Upstream, *, in_house: bool) -> None:
        """Have those judge what is said whom the guards name. Raises GuardBlockedError, ModerationFailedError, GuardUnreadableError.

        ``known`` is what `request` returned: they get no value that was redacted.
        """
        asked = [
            guard for guard in self.guards.guards if guard.moderation is not None and guard.name not in self.judged
        ]
        if not asked:
            return
        if any(guard.action == "block" for guard in asked):
            _refuse_tokens(known, self.model)
        texts = await self._run(len(known.body), partial(_said, known))
        for guard in asked:
            assert guard.moderation is not None, "only those are asked"
            self.judged.add(guard.name)
            self.has_left = self.has_left or not (in_house or guard.moderation.provider.is_local)
            flagged = await judged(guard.name, guard.moderation, texts, upstream, in_house=in_house)
            if flagged:
                self._judge_found(guard, flagged)

    def _judge_found(self, guard: Guard, flagged: Collection[str]) -> None:
        found = Findings("request", self.vault.name)
        try:
            found.count(Finding(0, 0, "moderation", guard))
        except BlockedError as blocked:
            blocked.kinds = [f"moderation ({', '.join(flagged)})"]
            raise self.refusal(blocked, "request") from None
        finally:
            self.note(found)

    def restoring(self, send: Send) -> Send:
        """Sends to the client, with values in the place of what stood in for them."""
        # Sound has no texts that anything could stand in for.
        return RestoringSend(send, self.face, self.vault) if self.vault.values and self.face != SPEECH else send

    async def whole(self, body: bytes, *, is_json: bool = True) -> bytes:
        """A whole answer as others may see it. Raises BlockedError."""
        plan = self.guards.answer
        if plan is None:
            return body
        found = Findings("answer", unnumbered)
        work = _guarded_answer if is_json else _guarded_text
        try:
            return await self._run(len(body), partial(work, body, plan, found))
        finally:
            self.note(found)

    def stream(self) -> StreamGuard | None:
        """What looks through a stream; None when there is nothing to look for."""
        plan = self.guards.answer
        return None if plan is None or self.face == SPEECH else StreamGuard(self, plan)

    def refusal(self, blocked: BlockedError, side: Side) -> GuardBlockedError:
        """What the client is told."""
        return GuardBlockedError(guard=blocked.guard, side=side, kinds=", ".join(blocked.kinds))

    async def _run(self, size: int, work: Callable[[], T]) -> T:
        return work() if size <= _QUICK_BYTES else await asyncio.get_running_loop().run_in_executor(self.threads, work)

    def note(self, found: Findings) -> None:
        """Tell the log and the metrics of what was found, once."""
        for (guard, kind, action), count in found.counts.items():
            self.metrics.add(GUARD_FINDINGS, (kind, action, found.side), count)
            word = f"{guard} {action} {found.side} {kind}"
            self.noted[word] = self.noted.get(word, 0) + count
        found.counts.clear()
        if self.noted:
            self.log["guards"] = ", ".join(f"{word} {count}" for word, count in self.noted.items())


class StreamGuard:
    """Looks through a stream; what it holds back leaves as soon as nothing can be found in it."""

    def __init__(self, call: CallGuard, plan: Plan) -> None:
        self._call = call
        self._found = Findings("answer", unnumbered)
        self._rewriter = EventRewriter(call.face, _Guarded(plan, self._found))

    def feed(self, data: bytes) -> bytes:
        """What may leave of whole events, and of what was held back. Raises BlockedError."""
        try:
            return self._rewriter.feed(data)
        finally:
            self._call.note(self._found)

    def end(self) -> bytes:
        """What was held back last. Raises BlockedError."""
        try:
            return self._rewriter.end()
        finally:
            self._call.note(self._found)


_LONG_CHARACTERS = 1_024
_GROWTH = 8
"""A lump that is longer is looked at again when it has grown by such a part."""


class _GuardedText:
    """A text that comes in pieces; see `lumps` for what is held back of it."""

    __slots__ = ("_enough", "_held", "_plan", "_sink")

    def __init__(self, plan: Plan, sink: Sink) -> None:
        self._plan, self._sink = plan, sink
        self._held = ""
        self._enough = 0
        """So many characters are worth to be looked at."""

    def feed(self, piece: str) -> str:
        """See `Piecewise`. A long lump is not looked through for each word that it grows by: that takes 3 ms in the end.

        Where lumps end does not depend on when they are looked for, so this changes only when a text leaves.
        """
        text = self._held + piece
        if len(text) < self._enough:
            self._held = text
            return ""
        passed, length = self._plan.change(text, self._sink, is_whole=False)
        self._held = text[length:]
        held = len(self._held)
        self._enough = min(held + held // _GROWTH, MOST_CHARACTERS) if held > _LONG_CHARACTERS else 0
        return passed

    def finish(self) -> str:
        """See `Piecewise`."""
        text, self._held = self._held, ""
        return self._plan.change(text, self._sink)[0]


class _WatchedText(_GuardedText):
    """The same where nothing changes: it leaves as it comes, and is looked at behind."""

    __slots__ = ()

    @override
    def feed(self, piece: str) -> str:
        super().feed(piece)
        return piece

    @override
    def finish(self) -> str:
        super().finish()
        return ""


class _Guarded:
    """See `Texts`."""

    def __init__(self, plan: Plan, sink: Sink) -> None:
        self._plan, self._sink = plan, sink
        self.drops_unread = plan.changes
        self.only_looks = not plan.changes

    def begin(self) -> _GuardedText:
        """See `Texts`."""
        return (_GuardedText if self._plan.changes else _WatchedText)(self._plan, self._sink)

    def whole(self, text: str) -> str:
        """See `Texts`."""
        return self._plan.change(text, self._sink)[0]


def _guarded(known: Known, plan: Plan, found: Findings) -> Known:
    heard: list[tuple[tuple[str, int], str]] = []

    def change(text: str, place: Place) -> str:
        if len(text) > MOST_RUN and longest_run(text) > MOST_RUN:
            reason = f"a text in it has more than {MOST_RUN} characters without a space"
            raise GuardUnreadableError(model=known.model, param=place.top or "the body", reason=reason)
        if plan.injections and not place.is_name and place.key in _SAID_IN.get(place.top, ()):
            heard.append(((place.top, place.element), text))
        return plan.change(text, found)[0]

    roles: Roles = {}
    form = None if known.media is None else known.media.form
    body = changed(known.body, change, roles=roles) if form is None else changed_form(known.body, form, change)
    for guard in plan.injections:
        for place, text in heard:
            if roles.get(place) not in _TRUSTED_ROLES and is_injection(guard, text):
                found.count(Finding(0, len(text), "injection", guard))
    if body is known.body:
        return known
    # What was said about the request, and does not stand in it, stays.
    if known.media is not None:
        return replace(read_media(known.face, body, known.form_type or b""), asked=known.asked)
    return replace(read_again(known, body), asked=known.asked, output_tokens=known.output_tokens)


def _said(known: Known) -> list[str]:
    """What people and tools say in a request."""
    heard: list[tuple[tuple[str, int], str]] = []

    def hear(text: str, place: Place) -> str:
        if not place.is_name and place.key in _SAID_IN.get(place.top, ()):
            heard.append(((place.top, place.element), text))
        return text

    roles: Roles = {}
    form = None if known.media is None else known.media.form
    if form is None:
        changed(known.body, hear, roles=roles)
    else:
        changed_form(known.body, form, hear)
    return [text for place, text in heard if roles.get(place) not in _TRUSTED_ROLES]


def _guarded_answer(body: bytes, plan: Plan, found: Findings) -> bytes:
    # What an answer says is said once more in its log probabilities, in pieces too small to find anything in.
    drops = _LOGPROBS if plan.changes else frozenset()
    return changed(body, lambda text, _: plan.change(text, found)[0], drops=drops)


def _guarded_text(body: bytes, plan: Plan, found: Findings) -> bytes:
    """The same for an answer that is a text and no JSON, such as subtitles."""
    text = body.decode("utf-8", "replace")
    new = plan.change(text, found)[0]
    return body if new == text else new.encode()


def _refuse_many(known: Known, model: str) -> None:
    """Raises GuardUnreadableError for a body in which nearly everything is brackets and commas: looking at each value takes seconds."""
    if is_quick(known.body):
        return
    try:
        count = values_in(known.body)
    except (BodyUnreadableError, NestedTooDeepError) as error:
        raise GuardUnreadableError(model=model, param="the body", reason=str(error)) from error
    if count > MOST_VALUES:
        raise GuardUnreadableError(model=model, param="the body", reason=f"it has more than {MOST_VALUES} values")


def _refuse_stored(known: Known, model: str) -> None:
    """Raises GuardUnreadableError where a provider adds what it has stored: its placeholders are of other calls, and stand for others' values."""
    name = stored_field(known.values, known.body) if known.face == "responses" else None
    if name is not None:
        reason = "values that were redacted in an earlier call cannot be told from this one's"
        raise GuardUnreadableError(model=model, param=name, reason=reason)


def _refuse_tokens(known: Known, model: str) -> None:
    """Raises GuardUnreadableError for a prompt of tokens: nobody here knows what they say."""
    name = _TOKEN_FIELDS.get(known.face, "")
    value = known.values.get(name)
    if isinstance(value, Unread):
        is_tokens = _TOKENS.match(known.body, value.span.start) is not None
    else:
        is_tokens = isinstance(value, list) and any(not isinstance(each, str) for each in value)
    if is_tokens:
        raise GuardUnreadableError(model=model, param=name, reason="tokens are no text")
