"""What `skep gateway advice` says."""

from __future__ import annotations

from typing import Any

import pytest

from skep.cli.advice_command import advice_text


def option(verdict: str, **more: Any) -> dict[str, Any]:
    told = {"cost_usd": "1.00", "saves_share": 0.5, "verdict": verdict, "words": "so it is"}
    return {**told, "failure_rate": None, "difference": None, "to_try": None, **more}


def group(models: list[dict[str, Any]], routes: list[dict[str, Any]]) -> dict[str, Any]:
    facts = {"model": "dear", "face": "messages", "stayed": False, "calls": 40, "cost_usd": "2.00", "retried": 0}
    means = {
        "mean_input_tokens": 9.0,
        "mean_output_tokens": 1.0,
        "failure_rate": {"value": 0.0},
        "routes_used": ["p/d"],
    }
    return {**facts, **means, "models": models, "routes": routes}


VERDICTS = ("worse", "try", "try", "recommended", "try")
MODELS = [option(verdict, model=f"m{number}") for number, verdict in enumerate(VERDICTS)]
ROUTES = [option("try", route=f"p/{number}", relation="same tier") for number in range(3)]


@pytest.mark.parametrize(
    ("most", "models", "more"),
    [(3, ["m3", "m1", "m2"], ["  and 2 more: --all"]), (None, ["m3", "m1", "m2", "m4", "m0"], [])],
)
def test_the_best_are_shown_and_how_many_there_are_besides(
    most: int | None, models: list[str], more: list[str]
) -> None:
    lines = list(advice_text({"groups": [group(MODELS, ROUTES)], "limits": []}, most=most))
    assert [line.split()[1].rstrip(":") for line in lines if line.startswith("  model ")] == models
    assert [line.split()[1] for line in lines if line.startswith("  route ")] == ["p/0", "p/1", "p/2"]
    assert [line for line in lines if "more: " in line] == more


def test_how_often_another_failed_is_said() -> None:
    failing = option("worse", model="cheap", failure_rate={"value": 1.0, "low": 0.8, "high": 1.0})
    told = "\n".join(advice_text({"groups": [group([failing], [])], "limits": []}, most=3))
    assert "model cheap: 1.00 USD, 50.0 % less; worse: so it is; failed 100.0 %" in told
