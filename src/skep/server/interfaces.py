"""Errors of the server.

NotFoundError
└── RouteNotFoundError         no such address
UsageError
├── MethodNotAllowedError      the address knows other methods (405)
└── EventIdInvalidError        Last-Event-ID is none of ours
RefusedError
├── HostRefusedError           the request was meant for another host (DNS rebinding)
├── OriginRefusedError         a page of another site asks
└── RemoteBindRefusedError     listening beyond this machine needs TLS or a setting
ConflictError
├── PortTakenError             something else listens there
└── ServerRunningError         a server of this data folder runs already
UnavailableError
├── NotReadyError              the server runs, but what it needs does not
├── AddressUnusableError       this machine cannot listen on that address
├── ServerFailedError          a process of the server does not start
└── StopFailedError            a process does not end
"""

from __future__ import annotations

from skep.errors import ConflictError, NotFoundError, RefusedError, UnavailableError, UsageError


class RouteNotFoundError(NotFoundError):
    """There is nothing at {path}."""

    fix = "See the routes in /api/docs."


class MethodNotAllowedError(UsageError):
    """{path} does not take {method}; it takes {allowed}."""

    http_status = 405
    fix = "See the routes in /api/docs."


class EventIdInvalidError(UsageError):
    """Last-Event-ID must be a number that an earlier event of this job had, and was {value}."""

    fix = "Leave the header out to get the present state first."


class HostRefusedError(RefusedError):
    """This server does not answer for the host {host}."""

    fix = "Use the address that `skep up` prints, or add the name to server.allow_hosts."


class OriginRefusedError(RefusedError):
    """Pages of {origin} may not call this server."""

    fix = "Add the origin to server.allow_origins if you trust that site."


class RemoteBindRefusedError(RefusedError):
    """Listening on {host} would let other machines in without encryption."""

    fix = "Set server.tls_certificate and server.tls_key, or server.allow_remote: true behind a proxy that does TLS."


class PortTakenError(ConflictError):
    """Another program already listens on {host}:{port}."""

    fix = "Choose another port with --port (0 takes any free one), or end the other program."


class ServerRunningError(ConflictError):
    """A server of this data folder already runs: {url} (process {pid})."""

    fix = "Use it, or stop it with `skep down`."


class NotReadyError(UnavailableError):
    """Skep is not ready: {reason}"""

    fix = "It goes on trying by itself; /readyz says when it is ready, and `skep doctor` looks closer."


class AddressUnusableError(UnavailableError):
    """This machine cannot listen on {host}:{port}: {reason}"""

    fix = "Name an address of this machine with --host; 127.0.0.1 always is one."


class ServerFailedError(UnavailableError):
    """The {role} process ended while starting (exit code {code})."""

    fix = "Its last words stand above; `skep doctor` looks closer."


class StopFailedError(UnavailableError):
    """These processes did not end: {pids}"""

    fix = "Run `skep down` as the account that started them."
