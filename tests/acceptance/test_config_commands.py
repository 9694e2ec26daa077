from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer

from skep.cli.config_group import register
from skep.errors import SkepError
from skep.settings import CommandLine, all_rows
from skep.terminal import Terminal

PASSWORD = "hunter2-correct-horse"


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def skep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in an empty folder, as the command line does, with nothing of this machine's own settings."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("SKEP_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    app = typer.Typer()

    @app.callback()
    def outer(context: typer.Context, config: Path | None = None, data_dir: Path | None = None) -> None:
        context.obj = CommandLine(config, {"data_folder": data_dir})

    register(app)

    def run(*arguments: str) -> Done:
        try:
            code = app(list(arguments), standalone_mode=False) or 0
        except SkepError as exc:
            code = Terminal(json="--json" in arguments).show_error(exc)
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return run


def test_check_without_a_file(skep: Run) -> None:
    done = skep("config", "check")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("no skep.yaml was found (0 of ")


def test_check_a_valid_file(skep: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKEP_SERVER_PROT", "1")
    (tmp_path / "skep.yaml").write_text("server:\n  port: 8000\n")
    done = skep("config", "check")
    assert (done.code, done.out) == (
        0,
        f"{tmp_path}/skep.yaml is valid (1 of {len(all_rows())} settings are set, the others have their defaults)\n",
    )
    warning = "environment variable SKEP_SERVER_PROT: no setting has this name; it has no effect; did you mean SKEP_SERVER_PORT?"
    assert done.err == f"warning: {warning}\n"
    answer = json.loads(skep("config", "check", "--json").out)
    assert (answer["valid"], answer["file"]) == (True, f"{tmp_path}/skep.yaml")
    assert answer["warnings"][0]["nearest"] == "SKEP_SERVER_PORT"


def test_check_tells_what_is_doubtful(skep: Run, tmp_path: Path) -> None:
    (tmp_path / "skep.yaml").write_text(
        """\
embedding: {enabled: false}
providers: {p: {base_url: 'http://127.0.0.1:9/v1'}}
models:
  chat: {routes: [{provider: p, model: x}], cache_seconds: 9, semantic_cache: {}}
  draw: {routes: [{provider: p, model: y, image_usd_by: {hd: 0.08}}, {provider: p, model: z}], image_usd: 0.04}
"""
    )
    done = skep("config", "check")
    assert done.code == 0
    first, second = done.err.splitlines()
    assert "skep.yaml:4:" in first
    assert "models.chat.semantic_cache: does nothing while embedding.enabled is false" in first
    assert (
        "models.draw.routes.0.image_usd_by: counts alone by this route, without what the model says: image_usd"
        in second
    )
    assert len(json.loads(skep("config", "check", "--json").out)["warnings"]) == 2


def test_check_tells_every_problem(skep: Run, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(f"server:\n  prot: 1\n  host: [1]\nkey: [{PASSWORD}]\n")
    done = skep("config", "check", "other.yaml")
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines() == [
        "error: The settings are not valid: 3 problems",
        f"  {tmp_path}/other.yaml:2:3: server.prot: there is no such setting; did you mean server.port?",
        f"  {tmp_path}/other.yaml:3:9: server.host: expected text, got a list",
        f"  {tmp_path}/other.yaml:4:6: key: expected text, got a list",
        "fix: Correct what is named, then try `skep config check`.",
    ]
    done = skep("config", "check", "other.yaml", "--json")
    error = json.loads(done.out)["error"]
    assert (done.code, done.err, error["code"]) == (2, "", "invalid_settings")
    assert error["fields"]["problems"][0] == {
        "where": {"kind": "file", "file": f"{tmp_path}/other.yaml", "line": 2, "column": 3, "variable": ""},
        "field": "server.prot",
        "reason": "there is no such setting",
        "nearest": "server.port",
    }
    assert PASSWORD not in done.out


def test_check_a_file_that_is_not_there(skep: Run, tmp_path: Path) -> None:
    done = skep("config", "check", "nope.yaml")
    assert done.code == 2
    assert f"There is no settings file at {tmp_path}/nope.yaml." in done.err
    assert "fix: " in done.err


def test_show_says_where_values_come_from(skep: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "skep.yaml").write_text(f"server:\n  port: 8000\ndatabase:\n  url: postgresql://u:{PASSWORD}@h/d\n")
    monkeypatch.setenv("SKEP_LOG_LEVEL", "debug")
    done = skep("config", "show", "--origin", "--data-dir", "data")
    lines = dict(line.split("#") for line in done.out.splitlines())
    shown = {key.strip(): origin.strip() for key, origin in lines.items()}
    assert len(shown) == len(all_rows())
    assert shown["server.port: 8000"] == f"{tmp_path}/skep.yaml:2"
    assert shown["log.level: debug"] == "environment variable SKEP_LOG_LEVEL"
    assert shown["log.format: text"] == "default"
    assert shown[f"data_folder: {tmp_path}/data"] == "command line"
    assert shown["database.url: **********"] == f"{tmp_path}/skep.yaml:4"
    assert PASSWORD not in done.out
    assert "#" not in skep("config", "show").out


def test_show_as_json(skep: Run, tmp_path: Path) -> None:
    (tmp_path / "skep.yaml").write_text(f"index: {{ignore: [a, b]}}\nkey: {PASSWORD}\n")
    done = skep("config", "show", "--json", "--origin")
    settings = json.loads(done.out)["settings"]
    assert settings["index.ignore"]["value"] == ["a", "b"]
    assert settings["index.ignore"]["origin"]["line"] == 1
    assert settings["key"]["value"] == "**********"
    assert settings["server.port"] == {
        "value": 7117,
        "origin": {"kind": "default", "file": None, "line": None, "column": None, "variable": ""},
    }
    assert PASSWORD not in done.out
    assert json.loads(skep("config", "show", "--json").out)["settings"]["server.port"] == {"value": 7117}


def test_options_before_and_after_the_command(skep: Run, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("server: {port: 1}")
    (tmp_path / "b.yaml").write_text("server: {port: 2}")
    assert "server.port: 1\n" in skep("--config", "a.yaml", "--data-dir", "/x", "config", "show").out
    both = skep(
        "--config", "a.yaml", "--data-dir", "/x", "config", "show", "--config", "b.yaml", "--data-dir", "/y"
    ).out
    assert "server.port: 2\n" in both
    assert "data_folder: /y\n" in both


def test_init_then_check(skep: Run, tmp_path: Path) -> None:
    assert skep("init").out == f"wrote {tmp_path}/skep.yaml\n"
    assert skep("config", "check").code == 0
    (tmp_path / "skep.yaml").write_text("server: {}")
    again = skep("init")
    assert (again.code, again.out) == (1, "")
    assert (
        again.err
        == f"error: There is already a file at {tmp_path}/skep.yaml.\nfix: Add --force to replace it, or name another path.\n"
    )
    assert json.loads(skep("init", "--json").out)["error"]["code"] == "settings_file_exists"
    assert json.loads(skep("init", "--force", "--json").out) == {"file": f"{tmp_path}/skep.yaml"}
    assert skep("config", "check", str(tmp_path)).code == 0


def test_init_to_a_file_of_another_name(skep: Run, tmp_path: Path) -> None:
    assert skep("init", "team.yaml").code == 0
    assert skep("config", "check", "team.yaml").code == 0
    assert skep("init", "no/such/team.yaml").code == 1


@pytest.mark.parametrize("command", [("config", "check"), ("config", "show"), ("init",)])
def test_help_has_examples(skep: Run, command: tuple[str, ...]) -> None:
    done = skep(*command, "--help")
    assert done.code == 0
    assert "Examples:" in done.out
    assert f"  skep {' '.join(command)}\n" in "\n".join(line.rstrip() for line in done.out.splitlines()) + "\n"


def test_check_reads_providers_and_models_too(skep: Run, tmp_path: Path) -> None:
    (tmp_path / "skep.yaml").write_text("providers:\n  a: {kind: opnai}\n")
    done = skep("config", "check")
    assert done.code == 2
    assert "skep.yaml:2:13: providers.a.kind: expected openai," in done.err
    assert "did you mean openai?" in done.err
