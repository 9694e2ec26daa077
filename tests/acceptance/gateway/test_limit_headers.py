"""Whoever stands under a limit is told what is left of it, whatever becomes of the call."""

from __future__ import annotations

import re

from tests.acceptance.gateway.conftest import Served
from tests.acceptance.gateway.test_status_command import run

LEFT, RESET = "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"


def test_every_answer_says_what_is_left(served: Served) -> None:
    with served.client() as client:
        wish = {"name": "limited", "requests_per_minute": 4, "tokens_per_minute": 10**9}
        key = client.post("/api/v1/keys", json=wish).json()["key"]
    with served.client(authorization=f"Bearer {key}") as theirs:

        def ask(model: str, **more: object) -> tuple[int, dict[str, str]]:
            body = {"model": model, "messages": [], "max_tokens": 10, **more}
            answer = theirs.post("/v1/chat/completions", json=body)
            return answer.status_code, dict(answer.headers)

        answers = [ask("ok"), ask("stream_ok", stream=True), ask("wrong"), ask("ok"), ask("ok")]
        if [status for status, _ in answers] != [200, 200, 400, 200, 429]:
            # A minute began in the middle.
            answers = [ask("ok"), ask("stream_ok", stream=True), ask("wrong"), ask("ok"), ask("ok")]
        assert [status for status, _ in answers][-1] == 429
        for _, headers in answers:
            assert headers["x-ratelimit-limit-requests"] == "4"
            assert re.fullmatch(r"\d+(ms|s)|1m0s", headers[RESET])
        assert [int(headers[LEFT]) for _, headers in answers] == sorted(
            (int(headers[LEFT]) for _, headers in answers), reverse=True
        )
        assert answers[-1][1][LEFT] == "0"
        assert 1 <= int(answers[-1][1]["retry-after"]) <= 60
        assert answers[0][1]["x-ratelimit-limit-tokens"] == "1000000000"
        told = {state["metric"]: state for state in theirs.get("/api/v1/rate-limit/status").json()["limits"]}
        assert (told["requests"]["amount"], told["tokens"]["mode"]) == (4, "hard")
    assert LEFT not in served.ask("ok").headers
    code, out, err = run(served.data, "status", "--key", "limited", group="limit", database=served.database)
    assert (code, err) == (0, "")
    assert re.search(r"of 4 requests per minute left \(hard\)", out)
