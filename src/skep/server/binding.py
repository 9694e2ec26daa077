"""Where the server listens, and whether it may."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack

from skep.server.interfaces import AddressUnusableError, PortTakenError, RemoteBindRefusedError, TlsFilesError
from skep.server.origins import is_loopback
from skep.settings import ServerSettings

_BACKLOG = 2048
"""Connections that may wait while every process is busy; the kernel's own limit may be lower."""


def require_safe_bind(server: ServerSettings) -> None:
    """Raise RemoteBindRefusedError when other machines could listen in on keys and contents."""
    encrypted = server.tls_certificate is not None and server.tls_key is not None
    if not (is_loopback(server.host) or encrypted or server.allow_remote):
        raise RemoteBindRefusedError(reason="no TLS", host=server.host or "every address")


def require_usable_tls(server: ServerSettings) -> None:
    """Raise TlsFilesError when certificate and key, if there are any, cannot be used together."""
    if server.tls_certificate is None or server.tls_key is None:
        return
    import ssl  # lazy: only those who use TLS here pay for it

    try:
        # The empty password keeps OpenSSL from asking a terminal for the one of an encrypted key.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(server.tls_certificate, server.tls_key, password="")
    except (OSError, ValueError) as error:
        named = {"certificate": server.tls_certificate, "key": server.tls_key}
        raise TlsFilesError(reason=str(error), **named) from error


def bind(host: str, port: int) -> socket.socket:
    """A listening socket that child processes may inherit; port 0 takes any free one.

    Raises PortTakenError, AddressUnusableError.
    """
    named = {"host": host, "port": port}
    with ExitStack() as unless_kept:
        try:
            family, _, _, _, address = socket.getaddrinfo(
                host.strip("[]") or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            listener = unless_kept.enter_context(socket.socket(family, socket.SOCK_STREAM))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortTakenError(what="the port", reason="taken", **named) from error
            raise AddressUnusableError(what=host, reason=error.strerror or str(error), **named) from error
        listener.set_inheritable(True)
        unless_kept.pop_all()
        return listener


def url_of(server: ServerSettings, listener: socket.socket) -> str:
    """The address that people on this machine open."""
    scheme = "https" if server.tls_certificate is not None else "http"
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 -- compared, not bound
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"  # noqa: S104
    elif not is_loopback(server.host) or server.host == "localhost":
        host = server.host.strip("[]")
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
