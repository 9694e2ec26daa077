"""Azure's addresses: the path names a deployment, which is the model, and the query the version of the interface.

https://learn.microsoft.com/azure/foundry/openai/reference
"""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import parse_qs

from skep.fakes.models import Request

_DEPLOYMENT = re.compile(r"/openai/deployments/([^/]+)(/.+)")


def is_deployment(request: Request) -> bool:
    """Whether a request came by such an address, rightly or not."""
    return request.path.startswith("/openai/")


def undeployed(request: Request) -> Request:
    """The request as it would be at OpenAI's address; as it came where nothing is there, or no version is named."""
    found = _DEPLOYMENT.fullmatch(request.path)
    if not parse_qs(request.query).get("api-version"):
        return request
    if request.path == "/openai/models":
        return replace(request, path="/v1/models")
    if found is None or request.json is None:
        return request
    return replace(request, path=f"/v1{found[2]}", json={**request.json, "model": found[1]})
