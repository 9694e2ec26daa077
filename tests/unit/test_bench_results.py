"""What the comparison of benchmark runs calls better, worse and noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.results import Better, Figure, Machine, compare, load, markdown, merge, save

HERE = Machine(cores=2, memory_gb=24, processor="some processor", python="3.11.7")
THERE = replace(HERE, cores=8)


def figure(*samples: float, better: Better = "less", machine: Machine = HERE, peer: float | None = None) -> Figure:
    return Figure(
        "searching.p50", "p50", "ms", better, samples, peer=peer, peer_name="semble", machine=machine, date="2026-11-20"
    )


@pytest.mark.parametrize(
    ("old", "new", "factor"),
    [
        pytest.param(figure(10.0), figure(10.9), None, id="within the tolerance"),
        pytest.param(figure(10.0), figure(12.0), 1.2, id="slower"),
        pytest.param(figure(12.0), figure(10.0), 10 / 12, id="faster"),
        pytest.param(figure(10.0, better="more"), figure(8.0, better="more"), 1.25, id="less of what should be more"),
        pytest.param(figure(8.0, better="more"), figure(10.0, better="more"), 0.8, id="more of what should be more"),
        pytest.param(figure(8.0, 10.0, 14.0), figure(11.0, 12.0, 13.0), None, id="within the noise of the old run"),
        pytest.param(figure(9.9, 10.0, 10.1), figure(9.0, 12.0, 14.0), None, id="within the noise of the new run"),
        pytest.param(figure(9.9, 10.0, 10.1), figure(11.9, 12.0, 12.1), 1.2, id="beyond both noises"),
        pytest.param(figure(0.0), figure(3.0), float("inf"), id="errors where none were"),
        pytest.param(figure(0.0), figure(0.0), None, id="still none"),
    ],
)
def test_a_change_is_beyond_tolerance_and_noise(old: Figure, new: Figure, factor: float | None) -> None:
    changes = compare([old], [new])
    if factor is None:
        assert changes == []
    else:
        (change,) = changes
        assert change.factor == pytest.approx(factor)
        assert change.is_worse == (factor > 1)


@pytest.mark.parametrize(
    ("old", "new", "worse"),
    [
        pytest.param(
            figure(10.0, peer=20.0), figure(5.0, peer=10.0, machine=THERE), None, id="twice as fast a machine"
        ),
        pytest.param(figure(10.0, peer=20.0), figure(8.0, peer=10.0, machine=THERE), True, id="the lead has shrunk"),
        pytest.param(figure(10.0, peer=20.0), figure(5.0, peer=20.0, machine=THERE), False, id="the lead has grown"),
        pytest.param(figure(10.0), figure(99.0, machine=THERE), None, id="no peer, nothing to compare"),
    ],
)
def test_on_another_machine_only_ratios_count(old: Figure, new: Figure, worse: bool | None) -> None:
    assert [change.is_worse for change in compare([old], [new])] == ([] if worse is None else [worse])


def test_the_worst_change_comes_first_and_new_figures_are_no_change() -> None:
    old = [replace(figure(10.0), name=name) for name in ("a.better", "a.worse", "a.worst", "a.gone")]
    new = [
        replace(figure(samples), name=name)
        for name, samples in {"a.better": 5.0, "a.worse": 15.0, "a.worst": 30.0, "a.new": 1.0}.items()
    ]
    assert [change.name for change in compare(old, new)] == ["a.worst", "a.worse", "a.better"]


@pytest.mark.parametrize(
    ("measured", "reached"),
    [
        (replace(figure(3.0), goal=3.0), True),
        (replace(figure(3.1), goal=3.0), False),
        (replace(figure(3.1, better="more"), goal=3.0), True),
        (replace(figure(2.9, better="more"), goal=3.0), False),
        (replace(figure(8.0, better="more", peer=10.0), goal=0.8, goal_is_ratio=True), True),
        (replace(figure(7.0, better="more", peer=10.0), goal=0.8, goal_is_ratio=True), False),
        (replace(figure(7.0, better="more"), goal=0.8, goal_is_ratio=True), False),
        (figure(3.0), None),
    ],
)
def test_a_goal_is_a_bound_from_the_right_side(measured: Figure, reached: bool | None) -> None:
    assert measured.reaches_goal is reached


def test_a_ratio_above_one_is_always_good() -> None:
    assert figure(5.0, peer=10.0).ratio == 2.0
    assert figure(5.0, peer=10.0, better="more").ratio == 0.5
    assert figure(5.0).ratio is None


def test_what_was_kept_comes_back_and_one_script_keeps_the_others_figures(tmp_path: Path) -> None:
    json_path, md_path = tmp_path / "results.json", tmp_path / "RESULTS.md"
    first = [
        replace(figure(1.0, 2.0, 3.0, peer=4.0), goal=2.5, note="a note"),
        replace(figure(7.0), name="indexing.cold"),
    ]
    save(first, json_path, md_path)
    assert load(json_path) == first
    save(merge(load(json_path), [replace(first[0], samples=(9.0,))]), json_path, md_path)
    assert {kept.name: kept.value for kept in load(json_path)} == {"searching.p50": 9.0, "indexing.cold": 7.0}
    assert load(tmp_path / "nothing.json") == []


def test_the_page_shows_value_goal_and_ratio() -> None:
    page = markdown([replace(figure(1.0, 2.0, 3.0, peer=4.0), goal=1.5)])
    assert "| p50 | 2 ms | 1 to 3 | <= 1.5 | **missed** | semble: 4 | 2.00 |" in page
    assert "2026-11-20, 2 cores (some processor), 24 GB, Python 3.11.7" in page
