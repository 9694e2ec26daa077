"""Asks the running server of the data folder, for commands about what only a server knows."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skep.access import read_key_file
from skep.app import KEY_FILE
from skep.cli.interfaces import ServerAnswerError, ServerMissingError
from skep.server import find_running
from skep.settings import Settings

_SECONDS = 10.0


def ask_server(settings: Settings, path: str, *, method: str = "GET", body: object = None) -> dict[str, Any]:
    """What the server answers to a request, as an object. ``body`` is sent as JSON; None: there is none.

    Raises ServerMissingError when none runs, ServerAnswerError when it refuses or does not answer, and what
    `read_key_file` raises.
    """
    server, opener, headers = _way(settings)
    data = None if body is None else json.dumps(body).encode()
    # The address is our own server's, from its run file.
    request = urllib.request.Request(f"{server}{path}", data, headers, method=method)  # noqa: S310
    try:
        with opener.open(request, timeout=_SECONDS) as answer:
            found: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            raise ServerAnswerError(url=server, reason=_reason(error)) from error
    except (OSError, ValueError) as error:
        raise ServerAnswerError(url=server, reason=str(error)) from error
    return found


@dataclass(frozen=True, slots=True)
class Called:
    """How the server answered a call of a model."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: dict[str, Any]


def call_model(settings: Settings, path: str, body: object, headers: Mapping[str, str], *, seconds: float) -> Called:
    """Make a call of a model at the running server; errors of providers are answers, too.

    Raises ServerMissingError when none runs, ServerAnswerError when it does not answer, and what `read_key_file` raises.
    """
    server, opener, own = _way(settings)
    request = urllib.request.Request(f"{server}{path}", json.dumps(body).encode(), {**own, **headers})  # noqa: S310
    try:
        with opener.open(request, timeout=seconds) as answer:
            return Called(answer.status, _lower(answer.headers), json.load(answer))
    except urllib.error.HTTPError as error:
        with error:
            try:
                return Called(error.code, _lower(error.headers), json.load(error))
            except ValueError:
                return Called(error.code, _lower(error.headers), {})
    except (OSError, ValueError) as error:
        raise ServerAnswerError(url=server, reason=str(error)) from error


def _lower(headers: Any) -> dict[str, str]:  # noqa: ANN401 -- the library's own mapping
    return {name.lower(): value for name, value in headers.items()}


def _way(settings: Settings) -> tuple[str, urllib.request.OpenerDirector, dict[str, str]]:
    """The running server's address, who asks it, and with which headers."""
    server = next((running for running in find_running(settings.data_folder) if running.role == "server"), None)
    if server is None:
        raise ServerMissingError(folder=settings.data_folder)
    key = settings.key.reveal() if settings.key is not None else read_key_file(settings.data_folder / KEY_FILE)
    headers = {"authorization": f"Bearer {key or ''}", "content-type": "application/json"}
    # Without the proxies of the environment: it is on this machine.
    return server.url, urllib.request.build_opener(urllib.request.ProxyHandler({})), headers


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        told = json.load(error)
        return f"{told['detail']} {told['fix']}" if told.get("fix") else str(told["detail"])
    except (OSError, ValueError, KeyError, TypeError):
        return f"it answered {error.code}"
