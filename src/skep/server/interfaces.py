"""Errors of the server.

NotFoundError
└── RouteNotFoundError         no such address
UsageError
├── MethodNotAllowedError      the address knows other methods (405)
├── ReloadRefusedError         the settings as they stand now are wrong; the old ones go on
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
├── ServerStoppingError        the server takes nothing new, because it stops
├── AddressUnusableError       this machine cannot listen on that address
├── ServerFailedError          a process of the server does not start
└── StopFailedError            a process does not end
"""

from __future__ import annotations

from skep.errors import ConflictError, NotFoundError, RefusedError, SkepError, UnavailableError, UsageError


class RouteNotFoundError(NotFoundError):
    """There is nothing at {path}."""

    fix = "See the routes in /api/docs."


class MethodNotAllowedError(UsageError):
    """{path} does not take {method}; it takes {allowed}."""

    http_status = 405
    fix = "See the routes in /api/docs."


class TlsFilesError(UsageError):
    """The certificate {certificate} with the key {key} cannot be used: {reason}"""

    fix = "Name a PEM file with the certificate chain and one with its unencrypted private key, readable by Skep."


class ReloadRefusedError(UsageError):
    """The settings were read again and are not valid; the old ones go on: {reason}"""

    fix = "Correct what is named, try `skep config check`, then reload again."


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


class ServerStoppingError(UnavailableError):
    """This server stops, and takes no new requests."""

    fix = "Send it again after Retry-After; another server, or this one started anew, answers then."


class AddressUnusableError(UnavailableError):
    """This machine cannot listen on {host}:{port}: {reason}"""

    fix = "Name an address of this machine with --host; 127.0.0.1 always is one."


class ServerFailedError(UnavailableError):
    """The {role} process ended while starting (exit code {code})."""

    fix = "Its last words stand above; `skep doctor` looks closer."


class RunFolderError(UnavailableError):
    """The folder {path} cannot be used: {reason}"""

    fix = "Give yourself the right to write there, or name another data folder with --data-dir or SKEP_HOME."


class DatabaseStopError(UnavailableError):
    """The embedded database was not stopped: {reason}"""

    fix = "{advice} `skep doctor` looks closer."


class StopFailedError(UnavailableError):
    """These processes did not end: {pids}"""

    fix = "Run `skep down` as the account that started them."


class UnforeseenError(SkepError):
    """Something went wrong that Skep did not foresee."""

    fix = "Look in the server's log for the trace {trace_id}; please report it."
