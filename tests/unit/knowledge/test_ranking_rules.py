from __future__ import annotations

import pytest

from skep.knowledge.models import Kind
from skep.knowledge.ranking import Passage, PassageKey, PathRole, Rule, Standing, analyze, rules
from skep.knowledge.ranking.paths import path_facts


def code(path: str, *defines: str) -> Passage:
    return Passage(path=path, language="python", kind="code", symbol="", defines=defines)


def other(path: str, kind: Kind) -> Passage:
    return Passage(path=path, language="text", kind=kind, symbol="", defines=())


def standing(query: str, *passages: Passage, scores: tuple[float, ...] = ()) -> Standing:
    candidates: dict[PassageKey, Passage] = {(number, 0): passage for number, passage in enumerate(passages)}
    given = scores or (1.0,) * len(passages)
    return Standing(analyze(query), candidates, dict(zip(candidates, given, strict=True)))


def amounts_of(rule: Rule, now: Standing) -> dict[int, float]:
    return {version_id: amount for (version_id, _), amount in rule.apply(now).items()}


COHERENCE, DEFINITION, MENTION, PATH_WORDS, PENALTIES, SATURATION = rules.RULES


def test_passages_gain_by_their_files_sum_the_best_most() -> None:
    now = standing("x", code("a.py"), code("a.py"), code("b.py"), scores=(0.5, 1.0, 0.75))
    assert amounts_of(COHERENCE, now) == {
        0: pytest.approx(rules.FILE_COHERENCE_REST),
        1: pytest.approx(rules.FILE_COHERENCE),
        2: pytest.approx(rules.FILE_COHERENCE / 2),
    }


def test_coherence_of_nothing_is_nothing() -> None:
    assert amounts_of(COHERENCE, standing("x")) == {}
    assert amounts_of(COHERENCE, standing("x", code("a.py"), scores=(0.0,))) == {}


@pytest.mark.parametrize(
    ("query", "passage", "factor"),
    [
        ("Session", code("a.py", "Session"), 1.0),
        ("Session", code("a.py", "net.Session"), 1.0),
        ("Session", code("session.py", "Session"), 1.5),
        ("Session", code("sessions.py", "Session"), 1.5),
        ("HTTPServer", code("http_server.go", "HTTPServer"), 1.5),
        ("Session.get", code("a.py", "Other.x", "Session.get"), 1.0),
        ("Session::get", code("a.cpp", "net.Session.get"), 1.0),
        ("Session", code("a.py", "session"), 0.5),
        ("Session()", code("a.py", "Session"), 1.0),
        ("Session", code("a.py", "SessionPool", "MySession", "Session.get"), None),
        ("Session", code("session.py"), None),
        ("Session.get", code("a.py", "Pool.get"), None),
        ("how does the session work", code("a.py", "session"), None),
    ],
)
def test_definition(query: str, passage: Passage, factor: float | None) -> None:
    expected = {} if factor is None else {0: rules.DEFINITION * factor}
    assert amounts_of(DEFINITION, standing(query, passage)) == expected


def test_mentioned_symbols_lift_their_definitions() -> None:
    now = standing("how does applyMiddleware wrap getState", code("a.ts", "applyMiddleware"), code("b.ts", "wrap"))
    assert amounts_of(MENTION, now) == {0: rules.MENTION}


def test_path_words_count_by_their_share_and_by_prefix() -> None:
    now = standing(
        "authentication of sessions", code("net/auth.py"), code("session/auth_store.py"), code("net/http.py")
    )
    assert amounts_of(PATH_WORDS, now) == {0: rules.PATH_WORDS / 2, 1: rules.PATH_WORDS}


def test_path_words_are_for_sentences_only() -> None:
    assert amounts_of(PATH_WORDS, standing("Session", code("session.py"))) == {}


@pytest.mark.parametrize(
    ("path", "roles"),
    [
        ("src/app.py", set()),
        ("src/testing.py", set()),
        ("src/latest.py", set()),
        ("src/contest_entry.py", set()),
        ("src/TestClient.java", set()),
        ("lib/spec_helper_factory.js", set()),
        ("test_app.py", {"test"}),
        ("pkg/app_test.go", {"test"}),
        ("src/AppTest.java", {"test"}),
        ("src/AppTests.kt", {"test"}),
        ("src/app.test.tsx", {"test"}),
        ("src/app.spec.ts", {"test"}),
        ("lib/app_spec.rb", {"test"}),
        ("src/AppSpec.scala", {"test"}),
        ("src/foo-test.cc", {"test"}),
        ("conftest.py", {"test"}),
        ("tests/helpers.py", {"test"}),
        ("web/__tests__/app.js", {"test"}),
        ("examples/app.py", {"example"}),
        ("docs_src/tutorial.py", {"example"}),
        ("benches/parse.rs", {"benchmark"}),
        ("src/compat/io.py", {"compat"}),
        ("pkg/deprecated/io.go", {"compat"}),
        ("src/app/__init__.py", {"reexport"}),
        ("types/app.d.ts", {"declaration"}),
        ("src/app.pyi", {"declaration"}),
        ("CHANGELOG.md", {"changelog"}),
        ("docs/changes.rst", {"changelog"}),
        ("tests/legacy/__init__.py", {"test", "compat", "reexport"}),
    ],
)
def test_roles_of_paths(path: str, roles: set[PathRole]) -> None:
    assert path_facts(path).roles == roles


def test_penalties_multiply_and_switch_off_when_asked_for() -> None:
    passages = (code("app.py"), code("tests/test_app.py"), code("tests/__init__.py"), code("examples/app.py"))
    assert amounts_of(PENALTIES, standing("login flow", *passages)) == {1: 0.3, 2: 0.3 * 0.5, 3: 0.3}
    assert amounts_of(PENALTIES, standing("how is the login flow tested", *passages)) == {2: 0.5, 3: 0.3}
    assert amounts_of(PENALTIES, standing("login example", *passages)) == {1: 0.3, 2: 0.3 * 0.5}


def test_prose_is_held_back_only_beside_code() -> None:
    prose, changes, settings = other("docs/tests.md", "docs"), other("CHANGES.md", "docs"), other("a.toml", "config")
    assert amounts_of(PENALTIES, standing("login", prose, changes)) == {1: 0.3}
    assert amounts_of(PENALTIES, standing("login", prose, changes, settings, code("app.py"))) == {
        0: 0.5,
        1: 0.3 * 0.5,
        2: 0.5,
    }
    assert amounts_of(PENALTIES, standing("login documentation", prose, settings, code("app.py"))) == {1: 0.5}


def test_rules_about_code_leave_prose_alone() -> None:
    assert amounts_of(PENALTIES, standing("login", other("tests/examples/readme.md", "docs"))) == {}


def test_all_passages_of_a_file_but_its_best_step_back() -> None:
    now = standing("x", code("a.py"), code("b.py"), code("a.py"), code("a.py"), scores=(0.4, 0.5, 0.9, 0.6))
    assert amounts_of(SATURATION, now) == {3: rules.SATURATION, 0: rules.SATURATION**2}
