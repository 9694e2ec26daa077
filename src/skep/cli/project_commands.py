"""``skep project``: teams that share a Skep and nothing else."""

from __future__ import annotations

from typing import Annotated

import typer

from skep.access import Project
from skep.cli.opening import ConfigOption, DataDirOption, JsonOption, settings_for, with_skep
from skep.spend import administer
from skep.terminal import Terminal

CREATE_EXAMPLES = """\
\b
Examples:
  skep project create research
  skep project create research --json
"""
SET_EXAMPLES = """\
\b
Examples:
  skep project set research --local-only
  skep project set research --no-local-only
"""
LIST_EXAMPLES = """\
\b
Examples:
  skep project list
"""

project_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Make, show and change projects: teams that share a Skep and nothing else.",
)
app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
app.add_typer(project_app, name="project")


@project_app.command("create", epilog=CREATE_EXAMPLES)
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it.")],
    local_only: Annotated[
        bool,
        typer.Option("--local-only", help="Calls of models with its keys stay with local providers, or are refused."),
    ] = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Make a project, with its first administrator's key, whose secret is shown this once."""
    terminal = Terminal(json=json)
    project, key = with_skep(
        settings_for(context, terminal, config, data_dir),
        terminal,
        lambda skep, who: administer(skep.database, skep.access.key_file).projects.create(
            who, name, local_only=local_only
        ),
    )
    terminal.result({"project": project, "id": key.key.id, "key": key.secret}, key.secret)
    if not terminal.json:
        terminal.say(f"made {project.name}; set SKEP_KEY to its key to work in it. It is shown only this time.")


@project_app.command("set", epilog=SET_EXAMPLES)
def set_(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is called.")],
    local_only: Annotated[
        bool,
        typer.Option(
            "--local-only/--no-local-only", help="Whether calls of models with its keys stay with local providers."
        ),
    ],
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Change a project; servers go by it at once."""
    terminal = Terminal(json=json)
    project = with_skep(
        settings_for(context, terminal, config, data_dir),
        terminal,
        lambda skep, who: administer(skep.database, skep.access.key_file).projects.change(
            who, name, local_only=local_only
        ),
    )
    terminal.result({"project": project}, lambda: _line(project))


@project_app.command("list", epilog=LIST_EXAMPLES)
def list_(
    context: typer.Context, config: ConfigOption = None, data_dir: DataDirOption = None, json: JsonOption = False
) -> None:
    """Show the projects: all for an administrator of the first one, else their own."""
    terminal = Terminal(json=json)
    projects = with_skep(
        settings_for(context, terminal, config, data_dir),
        terminal,
        lambda skep, who: administer(skep.database, skep.access.key_file).projects.all(who),
    )
    terminal.result(
        {"projects": projects},
        lambda: "\n".join(map(_line, projects)),
    )


def _line(project: Project) -> str:
    house = ", local providers only" if project.local_only else ""
    return f"{project.name} ({project.id}): {project.keys} active keys{house}"
