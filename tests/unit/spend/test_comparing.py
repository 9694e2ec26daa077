"""Intervals against published examples, and what is said of arms."""

from __future__ import annotations

import math
import random
import statistics
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.spend.comparing import LEAST_CALLS, ArmRow, Estimate, Moments, compared, newcombe, wilson


def row(arm: str, calls: int, failed: int = 0, mean: float = 100.0, deviation: float = 10.0) -> ArmRow:
    # Sums as whole numbers, of so many values with just this mean and about this deviation.
    total = round(calls * mean)
    squares = round(calls * mean * mean + max(0, calls - 1) * deviation * deviation)
    return ArmRow(arm, calls, 3, failed=failed, output_tokens=10 * calls, cost_nusd=Moments(calls, total, squares))


def test_wilson_is_as_published() -> None:
    # Newcombe, Two-sided confidence intervals for the single proportion, Statistics in Medicine 17 (1998), table I, method 3.
    for hits, calls, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        found = wilson(hits, calls)
        assert found is not None
        assert (round(found.low, 4), round(found.high, 4)) == (low, high)
        assert found.value == hits / calls
    assert wilson(0, 0) is None


def test_newcombe_is_as_published() -> None:
    # Newcombe, Interval estimation for the difference between independent proportions, the same volume, table II, method 10.
    for one, other, low, high in (
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((0, 20), (0, 10), -0.2775, 0.1611),
    ):
        first, second = wilson(*one), wilson(*other)
        assert first is not None
        assert second is not None
        found = newcombe(first, second)
        assert (round(found.low, 4), round(found.high, 4)) == (low, high)


@given(st.integers(0, 500), st.integers(0, 500), st.integers(1, 500), st.integers(1, 500))
def test_intervals_hold_what_they_are_about(hits: int, other: int, calls: int, others: int) -> None:
    one, two = wilson(min(hits, calls), calls), wilson(min(other, others), others)
    assert one is not None
    assert two is not None
    assert 0 <= one.low <= one.value <= one.high <= 1
    found = newcombe(one, two)
    assert -1 <= found.low <= found.value <= found.high <= 1


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    chance = random.Random(5)
    held = 0
    for _ in range(2_000):
        hits = sum(chance.random() < 0.1 for _ in range(80))
        found = wilson(hits, 80)
        assert found is not None
        held += found.low <= 0.1 <= found.high
    assert held / 2_000 == pytest.approx(0.95, abs=0.02)


def test_costs_have_the_interval_of_their_mean() -> None:
    arms, differences = compared(
        [row("a", 400, mean=100, deviation=10), row("b", 100, mean=97, deviation=20)], ["a", "b"]
    )
    one, other = (arm.mean_cost_nusd for arm in arms)
    assert one is not None
    assert other is not None
    assert one.high - one.value == pytest.approx(1.96 * 10 / 20, rel=1e-4)
    found = differences[0].mean_cost_nusd
    assert found is not None
    assert found.value == pytest.approx(-3)
    assert found.high - found.value == pytest.approx(1.96 * math.sqrt(100 / 400 + 400 / 100), rel=1e-4)


@pytest.mark.parametrize(
    ("arms", "words"),
    [
        ((row("a", 1000, 10), row("b", 1000, 100)), "fails more often, no difference in cost can be seen"),
        ((row("a", 1000, 100), row("b", 1000, 10, mean=50)), "fails less often, costs less"),
        ((row("a", 1000, 10), row("b", 1000, 12, mean=150)), "no difference in failures can be seen, costs more"),
        (
            (row("a", 1000), row("b", LEAST_CALLS - 1, LEAST_CALLS - 1)),
            "too few calls to say anything: 29 and 1000, and each arm needs 30",
        ),
        ((row("a", 0), row("b", 0)), "too few calls to say anything: 0 and 0, and each arm needs 30"),
    ],
)
def test_what_is_said(arms: tuple[ArmRow, ArmRow], words: str) -> None:
    _, (difference,) = compared(arms, ["a", "b"])
    assert difference.words == words


def test_costs_that_are_not_known_are_no_costs() -> None:
    def unpriced(arm: str) -> ArmRow:
        return ArmRow(arm, 100, 1, duration_us=Moments(100, 200_000, 500_000_000))

    arms, (difference,) = compared([unpriced("a"), unpriced("b")], ["a", "b"])
    assert difference.words == "no difference in failures can be seen, the cost is known of too few calls"
    assert difference.mean_cost_nusd is None
    assert [arm.mean_cost_nusd for arm in arms] == [None, None]
    assert arms[0].mean_duration_ms is not None
    assert arms[0].mean_duration_ms.value == 2
    assert difference.mean_duration_ms is not None
    assert difference.mean_duration_ms.low < difference.mean_duration_ms.value == 0
    assert difference.mean_ttft_ms is None


@given(st.lists(st.integers(0, 10**18), min_size=2, max_size=50))
def test_sums_tell_what_the_numbers_themselves_do(numbers: list[int]) -> None:
    found = Moments(len(numbers), sum(numbers), sum(each * each for each in numbers)).mean
    assert found is not None
    assert found.value == pytest.approx(statistics.fmean(numbers))
    # By fractions, which lose nothing.
    half = 1.959964 * math.sqrt(statistics.variance(map(Fraction, numbers)) / len(numbers))
    assert found.high - found.value == pytest.approx(half, rel=1e-6, abs=2e-16 * found.value)


def test_a_small_scatter_far_from_nought_is_not_lost() -> None:
    # With floats the squares would leave nothing of it.
    numbers = [10**12 + each for each in (0, 1, 2, 3)]
    found = Moments(4, sum(numbers), sum(each * each for each in numbers)).mean
    assert found is not None
    assert found.high - found.value == pytest.approx(1.959964 * math.sqrt(5 / 3 / 4), rel=1e-3)


def test_one_number_has_no_interval() -> None:
    assert Moments(1, 5, 25).mean is None
    assert Moments().mean is None


def test_arms_stand_as_the_settings_say_and_those_that_are_gone_after_them() -> None:
    arms, differences = compared([row("gone", 3), row("b", 2), row("also", 1)], ["a", "b"])
    assert [(arm.arm, arm.calls) for arm in arms] == [("a", 0), ("b", 2), ("also", 1), ("gone", 3)]
    assert [(each.arm, each.to) for each in differences] == [("b", "a"), ("also", "a"), ("gone", "a")]
    assert arms[0].failure_rate is None
    assert isinstance(arms[1].failure_rate, Estimate)
