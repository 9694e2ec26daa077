"""What a meter does, and the errors of spending.

RefusedError
├── BudgetExceededError       a money rule has no room for the call (402)
├── LimitExceededError        another rule has none (429)
├── AddressLimitError         an address has made all the calls without a key that it may make in this minute (429)
├── ReleaseForeignError       only the first project's administrators release what a dead process held
└── UnpricedError             the call has no known price, and a money rule applies (402)
    └── DearFieldError        it asks for something that the price does not know of
UnavailableError
├── ForeignDatabaseError      the database is not the one that this process began with
├── MeterUnavailableError     room for the call must be asked from the database, which does not answer
└── JournalUnwritableError    the call cannot be written down before it leaves
NotFoundError
├── RuleNotFoundError         no such budget or limit in this project
├── CallNotFoundError         no such call in this project's ledger
├── ContentNotKeptError       nothing is kept of what was said in a call
└── ExperimentNotFoundError   no model has such an experiment, and no call of the project was in one
ConflictError
├── RuleExistsError           the project has a rule of this name
└── ProcessNotReleasableError its leases are still its own
UsageError
└── RuleInvalidError          what was said about a rule does not fit together
"""

from __future__ import annotations

from typing import Protocol

from skep.errors import ConflictError, NotFoundError, RefusedError, UnavailableError, UsageError
from skep.spend.limiting import Room
from skep.spend.models import Ask, Caller, Charge, Settlement, Standing, Ticket


class BudgetExceededError(RefusedError):
    """The budget {rule} ({whose}) has no room for this call: {numbers}; {reset}"""

    http_status = 402
    fix = "{saving}, wait until it resets, or let an administrator raise it: skep budget set {rule} --usd AMOUNT"


class LimitExceededError(RefusedError):
    """The limit {rule} ({whose}) has no room for this call: {numbers}; {reset}"""

    http_status = 429
    fix = "Wait as long as Retry-After says, or let an administrator raise the limit {rule}."


class AddressLimitError(RefusedError):
    """Calls without a key from {address} are limited to {amount} a minute, and they are used up; the next minute begins in {seconds} s."""

    http_status = 429
    fix = "Wait as long as Retry-After says, or send a key; an administrator makes one: skep key create"


class UnpricedError(RefusedError):
    """The model {model} has no known price, and the budget {rule} ({whose}) counts money."""

    http_status = 402
    fix = "Set models.{model}.price in the settings (of pictures that are paid by the piece image_usd, of a service its cost_usd), or let the budget allow unpriced calls: skep budget set {rule} --allow-unpriced"


class DearFieldError(UnpricedError):
    """With {param} the call costs other than the price of the model {model} says, and the budget {rule} ({whose}) counts money."""

    fix = "{saving}; or let the budget allow unpriced calls: skep budget set {rule} --allow-unpriced"


class MeterUnavailableError(UnavailableError):
    """The call cannot be admitted now, because the rules that apply must be asked from the database: {reason}"""

    fix = "Try again in a moment; `skep status` says whether the database answers."


class ForeignDatabaseError(UnavailableError):
    """The database at {where} is not the one whose calls are written down here."""

    fix = "Let SKEP_DATABASE_URL lead to the old one again, or start Skep anew: its journal stays for that database."


class JournalUnwritableError(UnavailableError):
    """The call cannot be written down before it leaves, in {path}: {reason}"""

    fix = "Free disk space there, or look at the rights of that folder; no call leaves unrecorded."


class RuleNotFoundError(NotFoundError):
    """There is no budget or limit named {name} in this project."""

    fix = "List them: skep budget list"


class CallNotFoundError(NotFoundError):
    """There is no call {call_id} in this project's ledger."""

    fix = "Take the id from the header x-skep-call-id; a call is in the ledger about a second after it ended, and for `spend.retention_days`."


class ExperimentNotFoundError(NotFoundError):
    """There is no experiment named {name}, and no call of this project was in one."""

    fix = "Set it up under models.MODEL.experiment in the settings; a call is in the ledger about a second after it ended."


class ContentNotKeptError(NotFoundError):
    """Nothing is kept of what was said in a call {call_id} of this project."""

    fix = "Set `gateway.content` to errors or all for calls to come; it is kept for `spend.content_retention_days`."


class ProcessNotReleasableError(ConflictError):
    """The process {process_id} may still live, or is gone: its leases cannot be released."""

    fix = "Wait until its time is over; `skep gateway leases` says when it was last seen."


class ReleaseForeignError(RefusedError):
    """What a process holds of all projects is released with an administrator's key of the project {home}; this one is of {project_name}."""

    fix = "Set SKEP_KEY to an administrator's key of the project {home}."


class RuleExistsError(ConflictError):
    """This project already has a budget or limit named {name}."""

    fix = "Choose another name, or change that one."


class RuleInvalidError(UsageError):
    """The budget or limit cannot be made: {reason}"""

    fix = "Say metric, subject, period and amount so that they fit together; the reference of budgets shows examples."


class Meter(Protocol):
    """Admits calls, reserves their worst case, and settles them. Belongs to one event loop; call it from nowhere else.

    The order for each call::

        ticket = meter.try_admit(ask) or await meter.admit(ask)
        meter.begin(ticket)        # the last thing before the first byte leaves for a provider
        ...                        # all attempts of the call, with `extend` after one that may be billed
        meter.settle(ticket, ...)  # in a `finally`; or `cancel`, when nothing ever left

    ``BudgetExceededError`` and ``LimitExceededError`` carry these fields: ``rule`` (name), ``rule_id``, ``metric``, ``subject``,
    ``value``, ``period``, ``amount``, ``used``, ``reserved``, ``asked``, ``resets_at`` (aware datetime, or None when it never does),
    ``retry_after_seconds`` (None when waiting is of no use), ``fallback_model`` (the gateway asks again with it, or None).
    """

    def try_admit(self, ask: Ask) -> Ticket | None:
        """Reserve the call's worst case from what this process holds, at once and without the database.

        None when that is not possible: then `admit` decides. Never refuses.
        """

    async def admit(self, ask: Ask) -> Ticket:
        """The same, asking the database and waiting for room as long as it makes sense (a setting, 2 s by default).

        Cancelling the caller leaves nothing reserved.

        Raises BudgetExceededError, LimitExceededError, UnpricedError, MeterUnavailableError.
        """

    def begin(self, ticket: Ticket) -> None:
        """Write down that the call leaves now. Raises JournalUnwritableError; everything was given back then."""

    def enter(self, ticket: Ticket, settlement: Settlement) -> Charge:
        """Write down a call that never leaves, because it is answered from here: `begin` and `settle` in one.

        Raises JournalUnwritableError; everything was given back then. Of a process that is killed, such calls of its last
        turn of the loop are not in the ledger, unless the journal is synced: no provider has billed them.
        """

    async def extend(self, ticket: Ticket) -> bool:
        """Reserve money and tokens for one attempt more, because the one before may be billed although it failed.

        False, and nothing changes, when there is no room for it now: then no other attempt may be made. In windows that have
        ended meanwhile nothing is reserved; what the attempt costs them is `overage`.
        """

    def settle(self, ticket: Ticket, settlement: Settlement) -> Charge:
        """Charge what was used, give back the rest, and write down the call. Never raises on account of disk or database.

        A second call for the same ticket changes nothing and returns an empty charge.
        """

    def cancel(self, ticket: Ticket) -> None:
        """Give everything back: the call was admitted but never left. No row is written."""

    def rooms(self, ticket: Ticket) -> tuple[Room, ...]:
        """What the limits that a call stands under have left, for the headers of its answer. Asks nobody."""

    def standing(self, caller: Caller, model: str) -> tuple[Standing, ...]:
        """Where the rules that apply to this caller and model stand; those this process has not met yet are left out."""
