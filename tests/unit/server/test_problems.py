from __future__ import annotations

import json

import pytest

from skep.access import KeyInvalidError, KeyMissingError, RoleTooLowError
from skep.errors import SkepError
from skep.knowledge import CollectionNotFoundError, TopKOutOfRangeError
from skep.server.interfaces import HostRefusedError, MethodNotAllowedError, NotReadyError, UnforeseenError
from skep.server.problems import problem, problem_bytes, problem_headers
from skep.web import BodyInvalidError, BodyTooLargeError

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize(
    ("error", "status", "code", "headers"),
    [
        (KeyMissingError(path="x"), 401, "key_missing", {"www-authenticate": 'Bearer realm="skep"'}),
        (
            KeyInvalidError(reason="x"),
            401,
            "key_invalid",
            {"www-authenticate": 'Bearer realm="skep", error="invalid_token"'},
        ),
        (RoleTooLowError(key_name="a", role="reader", needed="admin"), 403, "role_too_low", {}),
        (HostRefusedError(host="evil"), 403, "host_refused", {}),
        (CollectionNotFoundError(name="a", known="b"), 404, "collection_not_found", {}),
        (
            MethodNotAllowedError(path="/x", method="PUT", allowed="GET, POST"),
            405,
            "method_not_allowed",
            {"allow": "GET, POST"},
        ),
        (BodyTooLargeError(limit_bytes=5), 413, "body_too_large", {}),
        (TopKOutOfRangeError(top_k=0, limit=5), 422, "top_k_out_of_range", {}),
        (UnforeseenError(trace_id=TRACE), 500, "unforeseen", {}),
        (NotReadyError(reason="no database"), 503, "not_ready", {"retry-after": "1"}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, SkepError) else "",
)
def test_each_error_becomes_a_problem(error: SkepError, status: int, code: str, headers: dict[str, str]) -> None:
    found = problem(error, TRACE)
    assert found["status"] == status
    assert found["code"] == code
    assert found["type"] == f"urn:skep:error:{code}"
    assert found["detail"] == str(error)
    assert found["fix"] == error.fix_text
    assert found["trace_id"] == TRACE
    assert problem_headers(error) == headers


def test_fields_stay_inside() -> None:
    found = problem(CollectionNotFoundError(name="a", known="b", password="hunter2"), TRACE)
    assert "hunter2" not in json.dumps(found)


def test_wrong_fields_are_listed() -> None:
    wrong = ({"field": "top_k", "reason": "Input should be a valid integer"},)
    assert problem(BodyInvalidError(reason="x", problems=wrong), TRACE)["problems"] == wrong


def test_a_name_that_is_no_utf8_can_be_said() -> None:
    body = json.loads(problem_bytes(CollectionNotFoundError(name="caf\udce9", known=""), TRACE))
    assert "caf\\udce9" in body["detail"]
