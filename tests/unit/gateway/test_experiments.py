"""Which arm of an experiment a call is in: always the same, in the shares of the weights, and moved only by what changed."""

from __future__ import annotations

import textwrap
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.gateway.configuring import read_config
from skep.gateway.experiments import assigned, subject_of
from skep.gateway.headers import told_by_caller
from skep.gateway.models import Arm, Experiment
from skep.settings import InvalidSettingsError, load_settings
from skep.spend import Caller

SUBJECTS = [f"subject-{number}" for number in range(20_000)]


def experiment(*weights: float, name: str = "cheaper") -> Experiment:
    return Experiment(name=name, arms=tuple(Arm(name=f"arm{index}", weight=each) for index, each in enumerate(weights)))


def assignments(found: Experiment) -> list[str]:
    return [assigned(found, subject).name for subject in SUBJECTS]


def test_the_assignment_is_the_same_wherever_it_is_made() -> None:
    # Written down once: another version or machine must come to the same, or everybody would change arms with an upgrade.
    found = [assigned(experiment(50, 30, 20), subject).name for subject in ("ann", "bob", "carl", "dora", "é", "")]
    assert found == PINNED


PINNED = ["arm0", "arm1", "arm1", "arm2", "arm2", "arm1"]


@pytest.mark.parametrize("weights", [(95, 5), (50, 50), (6, 3, 1), (1, 0), (0.5, 0.25, 0.25)])
def test_arms_have_the_shares_of_their_weights(weights: tuple[float, ...]) -> None:
    counts = Counter(assignments(experiment(*weights)))
    for index, weight in enumerate(weights):
        share = weight / sum(weights)
        # Four standard deviations of 20,000 draws, which are the same in every run.
        assert counts[f"arm{index}"] / len(SUBJECTS) == pytest.approx(
            share, abs=4 * (share * (1 - share) / 20_000) ** 0.5
        )


def test_experiments_divide_subjects_independently() -> None:
    one, other = assignments(experiment(50, 50)), assignments(experiment(50, 50, name="other"))
    same = sum(first == second for first, second in zip(one, other, strict=True)) / len(SUBJECTS)
    assert same == pytest.approx(0.5, abs=0.015)


@given(st.lists(st.floats(0.01, 1000), min_size=2, max_size=5), st.data())
def test_a_raised_weight_only_moves_subjects_into_its_arm(weights: list[float], data: st.DataObject) -> None:
    raised = data.draw(st.integers(0, len(weights) - 1))
    before = experiment(*weights)
    arms = list(before.arms)
    arms[raised] = replace(arms[raised], weight=arms[raised].weight * data.draw(st.floats(1, 1000)))
    after = replace(before, arms=tuple(arms))
    for subject in SUBJECTS[:300]:
        one, other = assigned(before, subject).name, assigned(after, subject).name
        assert other in (one, arms[raised].name)


@given(st.lists(st.floats(0.01, 1000), min_size=2, max_size=5), st.randoms())
def test_the_order_of_arms_and_others_that_are_added_move_nobody_else(weights: list[float], chance: object) -> None:
    before = experiment(*weights)
    arms = [*before.arms, Arm(name="new", weight=1)]
    chance.shuffle(arms)  # type: ignore[attr-defined]  # the strategy gives a random.Random
    after = replace(before, arms=tuple(arms))
    for subject in SUBJECTS[:300]:
        assert assigned(after, subject).name in (assigned(before, subject).name, "new")


def test_what_stays_in_one_arm() -> None:
    headers = [(b"x-other", b"1"), (b"x-skep-subject", b" dora ")]
    caller = Caller(1, "k1", user="ann")

    def subject(sticky_by: str, whose: Caller = caller) -> str:
        return subject_of(replace(experiment(1, 1), sticky_by=sticky_by), whose, headers, lambda: 0.25)  # type: ignore[arg-type]

    assert [subject(by) for by in ("key", "user", "header", "none")] == ["k1", "ann", "dora", "0.25"]
    assert subject("user", Caller(1, "k1")) == "k1"
    named = replace(experiment(1, 1), sticky_by="header", header="x-missing")
    assert subject_of(named, caller, headers, lambda: 0.25) == "k1"


def test_a_client_cannot_say_in_which_arm_it_is() -> None:
    headers = [(b"x-skep-tags", b"red, experiment:cheaper=canary"), (b"x-skep-tags", b"experiment:x=y,blue")]
    assert told_by_caller(headers) == (None, ("red", "blue"))


SETTINGS = """
providers: {p: {kind: vllm}}
models:
  smart:
    routes: [{provider: p, model: big}]
    experiment: EXPERIMENT
  small: {routes: [{provider: p, model: small}]}
  other: {routes: [{provider: p, model: x}], experiment: {name: taken, arms: {a: {}, b: {model: small}}}}
"""
GOOD = "{name: cheaper, sticky_by: header, header: X-Team, arms: {control: {weight: 95}, canary: {weight: 5, model: small}}}"


def read(folder: Path, said: str) -> Experiment | None:
    (folder / "skep.yaml").write_text(textwrap.dedent(SETTINGS.replace("EXPERIMENT", said)))
    config = read_config(load_settings(None, {}, folder).open_sections)
    assert config.models["small"].experiment is None
    return config.models["smart"].experiment


def test_what_the_settings_mean(tmp_path: Path) -> None:
    arms = (Arm(name="control", weight=95), Arm(name="canary", weight=5, model="small"))
    assert read(tmp_path, GOOD) == Experiment(name="cheaper", arms=arms, sticky_by="header", header="x-team")
    plain = read(tmp_path, "{name: a-a, arms: {one: {}, two: {}}}")
    assert plain == Experiment(name="a-a", arms=(Arm(name="one"), Arm(name="two")))


@pytest.mark.parametrize(
    ("said", "place", "told"),
    [
        ("{arms: {a: {}, b: {}}}", "name", "is missing"),
        ("{name: a b, arms: {a: {}, b: {}}}", "name", "1 to 40 letters"),
        ("{name: taken, arms: {a: {}, b: {}}}", "", "has an experiment of the name taken already"),
        ("{name: x, arms: {a: {}}}", "arms", "at least two"),
        ("{name: x}", "arms", "at least two"),
        ("{name: x, arms: {a: {}, b=c: {}}}", "arms.b=c", "1 to 40 letters"),
        ("{name: x, arms: {a: {}, b: 5}}", "arms.b", "expected names with values"),
        ("{name: x, arms: {a: {}, b: }}", "arms.b", "expected names with values"),
        ("{name: x, arms: {a: {weight: -1}, b: {}}}", "arms.a.weight", "from 0 to 1000"),
        ("{name: x, arms: {a: {weight: 0}, b: {weight: 0}}}", "arms", "a weight above 0"),
        ("{name: x, arms: {a: {}, b: {wait: 1}}}", "arms.b.wait", "there is no such setting"),
        ("{name: x, arms: {a: {model: small}, b: {}}}", "arms.a.model", "the first arm is the control"),
        ("{name: x, arms: {a: {}, b: {model: tiny}}}", "arms.b.model", "expected small or other"),
        ("{name: x, arms: {a: {}, b: {model: smart}}}", "arms.b.model", "expected small or other"),
        ("{name: x, arms: {a: {}, b: {model: other}}}", "arms.b.model", "other has an experiment itself"),
        ("{name: x, sticky_by: day, arms: {a: {}, b: {}}}", "sticky_by", "expected key, user, header or none"),
        ("{name: x, header: x-a, arms: {a: {}, b: {}}}", "header", "only where sticky_by is header"),
        ("{name: x, sticky_by: header, header: a b, arms: {a: {}, b: {}}}", "header", "letters, digits and hyphens"),
        ("{name: x, sticky_by: header, header: Authorization, arms: {a: {}, b: {}}}", "header", "has a secret"),
        ("5", "", "expected names with values"),
    ],
)
def test_every_mistake_is_named_with_its_place(tmp_path: Path, said: str, place: str, told: str) -> None:
    with pytest.raises(InvalidSettingsError) as caught:
        read(tmp_path, said)
    found = {problem.field: problem.reason for problem in caught.value.problems}
    field = ".".join(filter(None, ("models", "other" if "taken" in said else "smart", "experiment", place)))
    assert told in found[field]
    assert all(problem.where.line is not None for problem in caught.value.problems)
