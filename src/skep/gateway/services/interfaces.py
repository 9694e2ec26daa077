"""The errors of services.

NotFoundError
└── ServiceNotFoundError       the settings name no such service (404)
UsageError
├── ServicePathError           the path could lead out of the service's address (400)
└── ServiceMethodError         the settings do not allow the method (405)
RefusedError
└── ServiceLeavesError         what must stay in the house would go to it (403)
UnavailableError
├── ServiceClosedError         its breaker is open (503)
├── ServiceFailedError         it gave no answer that can be passed on (502)
└── ServiceTimeoutError        it took too long (504)
"""

from __future__ import annotations

from skep.errors import NotFoundError, RefusedError, UnavailableError, UsageError


class ServiceNotFoundError(NotFoundError):
    """There is no service named {name} here."""

    fix = "An administrator adds one under services: in the settings; there are: {known}."


class ServicePathError(UsageError):
    """The path {path} leads out of the service {service}, or is not a path."""

    http_status = 400
    fix = "Send the path without ., .. or backslashes, however they are written."


class ServiceMethodError(UsageError):
    """The service {service} does not take {method} here."""

    http_status = 405
    fix = "Its setting methods says which: {allowed}."


class ServiceLeavesError(RefusedError):
    """The service {service} is not local, and {whose} must stay in the house."""

    fix = "Use a key that may send things out, or set local: true for a service that is yours."


class ServiceClosedError(UnavailableError):
    """The service {service} is not asked for now: {reason}"""

    fix = "Try again after Retry-After; `skep gateway status` shows whose breakers are open and why."


class ServiceFailedError(UnavailableError):
    """The service {service} gave no answer that can be passed on: {reason}"""

    http_status = 502
    fix = "`skep gateway status` shows how it fares; its address and credentials stand under services: in the settings."


class ServiceTimeoutError(UnavailableError):
    """The service {service} took too long: {reason}"""

    http_status = 504
    fix = "Ask for less at a time, or let an administrator raise its timeout_seconds in the settings."
