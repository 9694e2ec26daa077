"""``skep jobs``: what runs in the background, and the queues it stands in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from skep.access import Principal, require_role
from skep.app import Skep
from skep.cli.opening import ConfigOption, DataDirOption, JsonOption, settings_for, with_skep
from skep.jobs import FLEET_QUEUES, FOLDERS, MAX_LISTED, Job, JobState, QueueState, WorkerState
from skep.terminal import Terminal

LIST_EXAMPLES = """\
\b
Examples:
  skep jobs list
  skep jobs list --state failed --queue ingest --json
"""
SHOW_EXAMPLES = """\
\b
Examples:
  skep jobs show job_01kaf3w2x9c0v6m1t8b4qz7h5n
"""
RETRY_EXAMPLES = """\
\b
Examples:
  skep jobs retry job_01kaf3w2x9c0v6m1t8b4qz7h5n
"""
CANCEL_EXAMPLES = """\
\b
Examples:
  skep jobs cancel job_01kaf3w2x9c0v6m1t8b4qz7h5n
"""
QUEUES_EXAMPLES = """\
\b
Examples:
  skep jobs queues
  skep jobs queues --json
"""
PAUSE_EXAMPLES = """\
\b
Examples:
  skep jobs pause ingest
"""
RESUME_EXAMPLES = """\
\b
Examples:
  skep jobs resume ingest
"""
DRAIN_EXAMPLES = """\
\b
Examples:
  skep jobs drain ingest
  skep jobs drain folders --timeout 600
"""

JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="Its id, as `skep jobs list` shows it.")]
QueueArgument = Annotated[
    str, typer.Argument(metavar="QUEUE", help=f"{', '.join(FLEET_QUEUES)}, or {FOLDERS}: this machine's own.")
]

job_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Look at background jobs and steer them.")
app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
app.add_typer(job_app, name="jobs")


@job_app.command("list", epilog=LIST_EXAMPLES)
def list_(
    context: typer.Context,
    state: Annotated[JobState | None, typer.Option("--state", help="Only those of this state.")] = None,
    queue: Annotated[str | None, typer.Option("--queue", metavar="QUEUE", help="Only those of this queue.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=MAX_LISTED, help="Most jobs to show.")] = 20,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Show the newest jobs of the project."""
    terminal = Terminal(json=json)
    jobs = with_skep(
        settings_for(context, terminal, config, data_dir),
        terminal,
        lambda skep, who: skep.jobs.recent(who.project_id, limit=limit, state=state, queue=queue),
    )
    terminal.result({"jobs": jobs}, lambda: "\n".join(_line(job) for job in jobs) or "no jobs")


@job_app.command("show", epilog=SHOW_EXAMPLES)
def show(
    context: typer.Context,
    job: JobArgument,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Show one job: how far it is, or why it failed."""
    _about_job(context, config, data_dir, Terminal(json=json), lambda skep, who: skep.jobs.fetch(who.project_id, job))


@job_app.command("retry", epilog=RETRY_EXAMPLES)
def retry(
    context: typer.Context,
    job: JobArgument,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Let a job that failed or was cancelled run again, under its own id."""

    def ask(skep: Skep, who: Principal) -> Awaitable[Job]:
        require_role(who, "member")
        return skep.jobs.retry(who.project_id, job)

    _about_job(context, config, data_dir, Terminal(json=json), ask)


@job_app.command("cancel", epilog=CANCEL_EXAMPLES)
def cancel(
    context: typer.Context,
    job: JobArgument,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Call a job off: one that waits ends now, one that runs as soon as it looks."""

    def ask(skep: Skep, who: Principal) -> Awaitable[Job]:
        require_role(who, "member")
        return skep.jobs.cancel(who.project_id, job)

    _about_job(context, config, data_dir, Terminal(json=json), ask)


@job_app.command("queues", epilog=QUEUES_EXAMPLES)
def queues(
    context: typer.Context, config: ConfigOption = None, data_dir: DataDirOption = None, json: JsonOption = False
) -> None:
    """Show the queues with the jobs of every project, and the workers of every machine."""
    terminal = Terminal(json=json)

    async def ask(skep: Skep, who: Principal) -> tuple[tuple[QueueState, ...], tuple[WorkerState, ...]]:
        require_role(who, "admin")
        return await skep.jobs.queues(), await skep.jobs.workers()

    found, workers = with_skep(settings_for(context, terminal, config, data_dir), terminal, ask)
    lines = [*map(_queue_line, found), *map(_worker_line, workers)]
    terminal.result({"queues": found, "workers": workers}, lambda: "\n".join(lines))


@job_app.command("pause", epilog=PAUSE_EXAMPLES)
def pause(
    context: typer.Context,
    queue: QueueArgument,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Let nothing of a queue begin, on any machine; what runs goes on."""
    _about_queue(context, config, data_dir, Terminal(json=json), lambda skep: skep.jobs.pause(queue))


@job_app.command("resume", epilog=RESUME_EXAMPLES)
def resume(
    context: typer.Context,
    queue: QueueArgument,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Let a queue go on that was paused or drained."""
    _about_queue(context, config, data_dir, Terminal(json=json), lambda skep: skep.jobs.resume(queue))


@job_app.command("drain", epilog=DRAIN_EXAMPLES)
def drain(
    context: typer.Context,
    queue: QueueArgument,
    timeout: Annotated[float, typer.Option("--timeout", min=0, metavar="SECONDS", help="How long to wait.")] = 60.0,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json: JsonOption = False,
) -> None:
    """Pause a queue and wait until nothing of it runs, before an update for example."""
    _about_queue(
        context, config, data_dir, Terminal(json=json), lambda skep: skep.jobs.drain(queue, timeout_seconds=timeout)
    )


def _about_job(
    context: typer.Context,
    config: Path | None,
    data_dir: Path | None,
    terminal: Terminal,
    ask: Callable[[Skep, Principal], Awaitable[Job]],
) -> None:
    job = with_skep(settings_for(context, terminal, config, data_dir), terminal, ask)
    terminal.result(job, lambda: "\n".join(_lines(job)))


def _about_queue(
    context: typer.Context,
    config: Path | None,
    data_dir: Path | None,
    terminal: Terminal,
    ask: Callable[[Skep], Awaitable[QueueState]],
) -> None:
    async def ask_as_admin(skep: Skep, who: Principal) -> QueueState:
        require_role(who, "admin")
        return await ask(skep)

    state = with_skep(settings_for(context, terminal, config, data_dir), terminal, ask_as_admin)
    terminal.result(state, lambda: _queue_line(state))


def _line(job: Job) -> str:
    progress = job.progress
    far = f", {progress.phase} {progress.done}/{progress.total or '?'}" if progress.phase else ""
    return f"{job.job_id}  {job.state}  {job.queue}  {job.kind} {job.subject}{far}"


def _lines(job: Job) -> Iterator[str]:
    yield _line(job)
    yield f"  asked for {job.created_at:%Y-%m-%d %H:%M:%S} UTC, begun {job.attempts} times, priority {job.priority}"
    if job.error is not None:
        yield f"  {job.error.detail}"
        yield f"  fix: {job.error.fix}"


def _queue_line(state: QueueState) -> str:
    paused = "" if state.paused_at is None else f", paused since {state.paused_at:%Y-%m-%d %H:%M:%S} UTC"
    oldest = f" (the oldest for {state.oldest_seconds:.0f} s)" if state.depth else ""
    return f"{state.queue}: {state.depth} wait{oldest}, {state.active} run, {state.failed} failed{paused}"


def _worker_line(worker: WorkerState) -> str:
    state = "works" if worker.online else f"silent since {worker.seen_at:%Y-%m-%d %H:%M:%S} UTC"
    return (
        f"worker {worker.process_id} on {worker.node}: {state}; {', '.join(worker.queues)};"
        f" {worker.active} of {worker.concurrency} at once"
    )
