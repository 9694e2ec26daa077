from __future__ import annotations

import json
import os
import pickle
import re
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from skep.settings import (
    CommandLine,
    InvalidSettingsError,
    NoCurrentFolderError,
    NoHomeFolderError,
    Secret,
    Settings,
    SettingsFileMissingError,
    SettingsFileUnreadableError,
    all_rows,
    load_settings,
    with_overrides,
)
from tests.unit.settings_reading import PASSWORD, dig, load


class TestTable:
    def test_every_row_says_what_it_is(self) -> None:
        for row in all_rows():
            assert row.facts.sentence.endswith("."), row.name
            assert bool(row.facts.none) == row.optional, f"{row.name}: None needs words exactly where it may stand"
            if row.kind == "integer":
                assert row.facts.minimum is not None, row.name
                assert row.facts.maximum is not None, row.name
                assert (row.facts.minimum == 0) == bool(row.facts.zero), f"{row.name}: 0 needs words where it may stand"

    def test_names_and_variables_are_unique(self) -> None:
        names = [row.name for row in all_rows()]
        variables = [variable for row in all_rows() for variable in row.variables]
        assert len(set(names)) == len(names)
        assert len(set(variables)) == len(variables)

    def test_defaults_are_those_of_the_typed_object(self, tmp_path: Path) -> None:
        settings = Settings(data_folder=tmp_path)
        assert {row.name: dig(settings, row.name) for row in all_rows()} == {
            row.name: tmp_path if row.name == "data_folder" else row.default for row in all_rows()
        }
        assert settings.server.port == 7117
        assert settings.database.pool_max_connections == 10
        assert settings.index.max_file_bytes == 1_048_576

    def test_settings_cannot_change_and_can_be_sent_to_another_process(self, tmp_path: Path) -> None:
        settings = load(tmp_path, "server:\n  port: 8000\nkey: abc\n")
        with pytest.raises(FrozenInstanceError):
            settings.server.port = 1  # type: ignore[misc]
        copy = pickle.loads(pickle.dumps(settings))
        assert copy == settings
        assert copy.origin("server.port") == settings.origin("server.port")


class TestSecret:
    def test_never_prints(self) -> None:
        secret = Secret(PASSWORD)
        for text in (str(secret), repr(secret), f"{secret}", f"{secret!r}", "%s" % secret, str([secret])):  # noqa: UP031
            assert PASSWORD not in text
        assert secret.reveal() == PASSWORD

    def test_equality(self) -> None:
        assert Secret("a") == Secret("a")
        assert Secret("a") != Secret("b")
        assert Secret("a") != "a"
        assert len({Secret("a"), Secret("a"), Secret("\udcff")}) == 2


class TestEnvironment:
    @pytest.mark.parametrize(
        ("variable", "text", "name", "expected"),
        [
            ("SKEP_SERVER_PORT", " 99 ", "server.port", 99),
            ("SKEP_INDEX_INCLUDE_SECRETS", "On", "index.include_secrets", True),
            ("SKEP_INDEX_INCLUDE_SECRETS", "0", "index.include_secrets", False),
            ("SKEP_INDEX_IGNORE", "*.log, build/,", "index.ignore", ("*.log", "build/")),
            ("SKEP_INDEX_IGNORE", '["a,b"]', "index.ignore", ("a,b",)),
            ("SKEP_DATABASE_URL", "postgresql:///x", "database.url", Secret("postgresql:///x")),
            ("SKEP_DATABASE_RUN_AS", "null", "database.run_as", None),
            ("SKEP_KEY", "k", "key", Secret("k")),
            ("SKEP_HOME", "/data", "data_folder", Path("/data")),
            ("SKEP_DATA_FOLDER", "/data", "data_folder", Path("/data")),
            ("SKEP_SERVER_PORT", "", "server.port", 5),
            ("METRICS_BACKEND", "noop", "metrics.backend", "noop"),
            ("SKEP_METRICS_BACKEND", "prometheus", "metrics.backend", "prometheus"),
        ],
    )
    def test_overrides_the_file(self, tmp_path: Path, variable: str, text: str, name: str, expected: object) -> None:
        settings = load(tmp_path, "server:\n  port: 5\n", **{variable: text})
        assert dig(settings, name) == expected
        if text:
            assert str(settings.origin(name)) == f"environment variable {variable}"

    def test_relative_paths_start_from_the_current_folder(self, tmp_path: Path) -> None:
        assert load(tmp_path, SKEP_HOME="data").data_folder == tmp_path / "data"

    def test_wrong_values_name_the_variable(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidSettingsError) as caught:
            load(tmp_path, SKEP_SERVER_PORT="http")
        assert str(caught.value.problems[0]) == (
            "environment variable SKEP_SERVER_PORT: server.port: expected a whole number from 0 to 65535, got 'http'"
        )

    def test_unknown_variables_are_warnings_with_the_nearest_name(self, tmp_path: Path) -> None:
        settings = load(tmp_path, SKEP_SERVER_PROT="1", SKEP_ZZ="1", SKEPTIC="1", OTHER="1")
        assert [(each.where.variable, each.nearest) for each in settings.warnings] == [
            ("SKEP_SERVER_PROT", "SKEP_SERVER_PORT"),
            ("SKEP_ZZ", ""),
        ]

    def test_variables_that_the_file_refers_to_are_known(self, tmp_path: Path) -> None:
        settings = load(tmp_path, "server:\n  host: ${SKEP_MINE}\n", SKEP_MINE="h")
        assert settings.server.host == "h"
        assert settings.warnings == ()

    def test_both_names_of_the_data_folder_must_agree(self, tmp_path: Path) -> None:
        assert load(tmp_path, SKEP_HOME="/a", SKEP_DATA_FOLDER="/a").data_folder == Path("/a")
        with pytest.raises(
            InvalidSettingsError, match="SKEP_HOME and SKEP_DATA_FOLDER mean the same setting but differ"
        ):
            load(tmp_path, SKEP_HOME="/a", SKEP_DATA_FOLDER="/b")

    def test_a_back_end_that_is_not_there_is_named_with_those_that_are(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidSettingsError) as caught:
            load(tmp_path, METRICS_BACKEND="graphite")
        assert str(caught.value.problems[0]) == (
            "environment variable METRICS_BACKEND: metrics.backend:"
            " expected auto, prometheus, opentelemetry, datadog or noop, got 'graphite'"
        )

    def test_variables_of_other_programs_count_where_nothing_of_ours_says_it(self, tmp_path: Path) -> None:
        base, whole = "http://base:4318", "http://whole/v1/metrics"
        both = {"OTEL_EXPORTER_OTLP_ENDPOINT": base, "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": whole}
        assert load(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=base).metrics.otlp_endpoint == base
        found = load(tmp_path, **both, OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="DELTA")
        assert (found.metrics.otlp_endpoint, found.metrics.otlp_temporality) == (whole, "delta")
        assert found.origin("metrics.otlp_endpoint").variable == "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"
        assert load(tmp_path, **both, SKEP_METRICS_OTLP_ENDPOINT="http://ours").metrics.otlp_endpoint == "http://ours"
        assert load(tmp_path, "metrics:\n  otlp_endpoint: null\n", **both).metrics.otlp_endpoint is None
        agent = load(tmp_path, DD_AGENT_HOST="10.0.0.7", DD_DOGSTATSD_PORT="99", DD_TAGS="a:1,b:2").metrics
        assert (agent.dogstatsd_address, agent.dogstatsd_port, agent.dogstatsd_tags) == ("10.0.0.7", 99, ("a:1", "b:2"))

    def test_a_variable_of_another_program_that_does_not_fit_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidSettingsError, match=r"DD_DOGSTATSD_PORT: metrics\.dogstatsd_port: expected a whole"):
            load(tmp_path, DD_DOGSTATSD_PORT="tcp://10.0.0.1:8125")


class TestCommandLine:
    def test_wins_over_everything(self, tmp_path: Path) -> None:
        overrides: dict[str, object] = {"server.port": 3, "data_folder": Path("d"), "server.host": None}
        (tmp_path / "skep.yaml").write_text("server:\n  port: 1\n  host: h\n")
        settings = load_settings(CommandLine(overrides=overrides), {"SKEP_SERVER_PORT": "2"}, tmp_path)
        assert settings.server.port == 3
        assert settings.server.host == "h"
        assert settings.data_folder == tmp_path / "d"
        assert str(settings.origin("server.port")) == "command line"
        assert str(settings.origin("server.host")) == f"{tmp_path}/skep.yaml:3"
        assert str(settings.origin("log.level")) == "default"

    @pytest.mark.parametrize(
        ("value", "reason"), [(70_000, "got 70000"), ("x", "got 'x'"), (True, "got bool"), (("a",), "got tuple")]
    )
    def test_is_checked(self, tmp_path: Path, value: object, reason: str) -> None:
        with pytest.raises(InvalidSettingsError, match=f"command line: server.port: .* {re.escape(reason)}"):
            load_settings(CommandLine(overrides={"server.port": value}), {}, tmp_path)

    def test_later_overrides(self, tmp_path: Path) -> None:
        settings = load(tmp_path, "server:\n  port: 1\n  host: h\n")
        later = with_overrides(settings, {"server.port": 2, "index.ignore": ["a"], "index.include_secrets": True})
        assert (later.server.port, later.server.host, later.index.ignore) == (2, "h", ("a",))
        assert later.index.include_secrets is True
        assert str(later.origin("server.port")) == "command line"
        assert later.origin("server.host") == settings.origin("server.host")
        assert (later.file, settings.server.port) == (settings.file, 1)
        with pytest.raises(InvalidSettingsError, match="tls_certificate: needs"):
            with_overrides(settings, {"server.tls_certificate": "a"})


class TestFinding:
    def test_order(self, tmp_path: Path) -> None:
        folder = tmp_path / "a" / "b"
        folder.mkdir(parents=True)
        environ = {"HOME": str(tmp_path / "home")}
        places = [
            tmp_path / "home/.config/skep",
            tmp_path / "xdg/skep",
            tmp_path,
            folder,
            tmp_path / "v",
            tmp_path / "c",
        ]
        for number, place in enumerate(places, start=1):
            place.mkdir(parents=True, exist_ok=True)
            (place / "skep.yaml").write_text(f"server:\n  port: {number}\n")

        def port(config: Path | None = None, **more: str) -> int:
            return load_settings(CommandLine(config), {**environ, **more}, folder).server.port

        assert port(Path("../../c"), SKEP_CONFIG=str(tmp_path / "v/skep.yaml")) == 6
        assert port(SKEP_CONFIG="../../v") == 5
        assert port(SKEP_CONFIG="") == 4
        (folder / "skep.yaml").unlink()
        assert port() == 3
        (tmp_path / "skep.yaml").unlink()
        assert port(XDG_CONFIG_HOME=str(tmp_path / "xdg")) == 2
        assert port(XDG_CONFIG_HOME="relative") == 1
        (tmp_path / "home/.config/skep/skep.yaml").unlink()
        assert port() == 7117

    @pytest.mark.parametrize("named", ["nope.yaml", "no/such/folder.yaml", "file/skep.yaml"])
    def test_a_named_file_must_be_there(self, tmp_path: Path, named: str) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(SettingsFileMissingError) as caught:
            load_settings(CommandLine(Path(named)), {}, tmp_path)
        assert caught.value.fields["path"] == tmp_path / named
        with pytest.raises(SettingsFileMissingError):
            load(tmp_path, SKEP_CONFIG=named)

    def test_a_named_file_must_be_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "skep.yaml").mkdir()
        with pytest.raises(SettingsFileUnreadableError, match="Is a directory"):
            load_settings(CommandLine(tmp_path), {}, tmp_path)
        assert load(tmp_path).file is None

    def test_a_current_folder_that_was_deleted_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def gone() -> Path:
            raise FileNotFoundError

        monkeypatch.setattr(Path, "cwd", gone)
        with pytest.raises(NoCurrentFolderError):
            load_settings(None, {})

    def test_a_file_that_a_stranger_put_where_everyone_may_write_is_passed_over(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "shared"
        folder.mkdir()
        folder.chmod(0o1777)
        (folder / "skep.yaml").write_text("server:\n  port: 1\n")
        assert load(folder).server.port == 1
        owner = (folder / "skep.yaml").stat().st_uid
        monkeypatch.setattr("os.geteuid", lambda: owner + 1)
        if owner == 0:
            os.chown(folder / "skep.yaml", 12_345, -1)
        settings = load(folder)
        assert settings.server.port == 7117
        assert [str(each) for each in settings.warnings] == [
            f"{folder}/skep.yaml: passed over: it belongs to another user and everyone may write to its folder; "
            "name it with --config"
        ]
        assert load_settings(CommandLine(folder), {"HOME": "/"}, tmp_path).server.port == 1


class TestDataFolder:
    @pytest.mark.parametrize(
        ("user", "environ", "expected"),
        [
            (1000, {"HOME": "/home/ada"}, "/home/ada/.local/share/skep"),
            (1000, {"HOME": "/home/ada", "XDG_DATA_HOME": "/xdg"}, "/xdg/skep"),
            (1000, {"HOME": "/home/ada", "XDG_DATA_HOME": "relative"}, "/home/ada/.local/share/skep"),
            (0, {"HOME": "/ada", "XDG_DATA_HOME": "/xdg"}, "/var/lib/skep"),
            (0, {"HOME": "/ada", "SKEP_HOME": "~/x"}, "/ada/x"),
        ],
    )
    def test_default(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int, environ: dict[str, str], expected: str
    ) -> None:
        monkeypatch.setattr("os.geteuid", lambda: user)
        assert load_settings(None, environ, tmp_path).data_folder == Path(expected)

    def test_without_a_home_a_folder_must_be_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def unknown(_: int) -> None:
            raise KeyError

        monkeypatch.setattr("os.geteuid", lambda: 1000)
        monkeypatch.setattr("pwd.getpwuid", unknown)
        with pytest.raises(NoHomeFolderError):
            load_settings(None, {}, tmp_path)
        assert load_settings(None, {"SKEP_HOME": "d"}, tmp_path).data_folder == tmp_path / "d"
        with pytest.raises(InvalidSettingsError, match="no home folder that ~ could stand for"):
            load_settings(None, {"SKEP_HOME": "~/d"}, tmp_path)


def test_a_secret_appears_in_no_error(tmp_path: Path) -> None:
    text = f'database:\n  url: ["{PASSWORD}"]\nkey: {{a: {PASSWORD}}}\nserver: {PASSWORD}\n'
    with pytest.raises(InvalidSettingsError) as caught:
        load(tmp_path, text, SKEP_KEY=f"{PASSWORD}\n", SKEP_DATABASE_URL=f"{PASSWORD}\x00")
    assert len(caught.value.problems) == 5
    assert PASSWORD not in repr(caught.value.problems) + str(caught.value) + json.dumps(
        caught.value.fields, default=str
    )
