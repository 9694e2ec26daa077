"""Asks the running server of the data folder, for commands about what only a server knows."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
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
    server = next((running for running in find_running(settings.data_folder) if running.role == "server"), None)
    if server is None:
        raise ServerMissingError(folder=settings.data_folder)
    key = settings.key.reveal() if settings.key is not None else read_key_file(settings.data_folder / KEY_FILE)
    headers = {"authorization": f"Bearer {key or ''}", "content-type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    # The address is our own server's, from its run file.
    request = urllib.request.Request(f"{server.url}{path}", data, headers, method=method)  # noqa: S310
    # Without the proxies of the environment: it is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_SECONDS) as answer:
            found: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            raise ServerAnswerError(url=server.url, reason=_reason(error)) from error
    except (OSError, ValueError) as error:
        raise ServerAnswerError(url=server.url, reason=str(error)) from error
    return found


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["detail"])
    except (OSError, ValueError, KeyError, TypeError):
        return f"it answered {error.code}"
