"""The errors of guards.

UsageError
├── GuardBlockedError       a guard forbids what a request or an answer has (400)
└── GuardUnreadableError    a guard cannot look into the request (400)
UnavailableError
└── ModerationFailedError   the call that judges the request gave no judgement (503)
"""

from __future__ import annotations

from skep.errors import UnavailableError, UsageError


class GuardBlockedError(UsageError):
    """The guard {guard} blocks this {side}: it has {kinds}."""

    http_status = 400
    fix = "Leave it out of the request; where it was the answer, ask for something else. What {guard} does stands under guards: in the settings."


class GuardUnreadableError(UsageError):
    """The guards of {model} cannot look into {param}: {reason}"""

    http_status = 400
    fix = "Send it as text, or ask for a model without guards."


class ModerationFailedError(UnavailableError):
    """The guard {guard} got no judgement of this request from {provider}: {reason}"""

    fix = "Try again after a moment; an administrator may let such calls pass (on_failure: open, under guards: in the settings)."
