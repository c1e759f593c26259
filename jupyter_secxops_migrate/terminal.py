"""How a terminal shows plans, progress and proof: the words of the sidebar, in text.

Knows the nouns and nothing else: no client, no service, no arguments. All text that comes from a
project (names, paths, log lines) goes through `printable` first.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from .model import (
    Check,
    Environment,
    EnvironmentStatus,
    Finding,
    Folder,
    Migration,
    MigrationResult,
    MigrationState,
    NodeCapacity,
    NotCopiedItem,
    Orphan,
    Plan,
    ServiceReport,
    SourceChanges,
    Step,
    StepName,
    StepState,
    utcnow,
)
from .printable import counted, printable
from .units import human_duration, human_size

REASONS_SHOWN = 3
"""Reasons that a line of proof has room for; `show_migration` lists each file."""

_STATE_WORDS = {
    MigrationState.QUEUED: ("○", "Waiting", "dim"),
    MigrationState.RUNNING: ("●", "Sharing", "cyan"),
    MigrationState.CANCELLING: ("●", "Cancelling", "yellow"),
    MigrationState.CANCELLED: ("✕", "Cancelled", "dim"),
    MigrationState.FAILED: ("✕", "Failed", "red"),
    MigrationState.SUCCEEDED: ("✓", "Done", "green"),
}
_STATUS_WORDS = {
    EnvironmentStatus.STARTING: ("●", "Starting", "cyan"),
    EnvironmentStatus.RUNNING: ("✓", "Running", "green"),
    EnvironmentStatus.STOPPING: ("●", "Stopping", "cyan"),
    EnvironmentStatus.STOPPED: ("■", "Stopped", "dim"),
    EnvironmentStatus.GONE: ("✕", "Gone", "red"),
}
_STEP_WORDS: dict[str, str] = {
    StepName.CHECK: "Check",
    StepName.BUILD: "Build",
    StepName.PUSH: "Push",
    StepName.COPY: "Copy",
    StepName.LAUNCH: "Launch",
    StepName.VERIFY: "Verify",
}
ENTRYPOINT_NOT_RUN = ("its entrypoint was not run", "it did not start what it was given")
COMMAND_NOT_RUN = ("its command was not run", "it did not answer when it was tried")
_CHECK_SIGNS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "failed": ("✕", "red")}


def plain(text: str, style: str = "") -> Text:
    """Return hostile text as something that rich prints as it is, without markup."""
    return Text(printable(text), style=style)


def when(moment: datetime) -> str:
    """Return a time in the reader's own zone, to the minute."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")


def amount(files: int | None, size: int | None) -> str:
    """Return ``48 MB · 312 files``, as far as known."""
    parts = []
    if size is not None:
        parts.append(human_size(size))
    if files is not None:
        parts.append(counted(files, "file", "files"))
    return " · ".join(parts)


def short_digest(digest: str) -> str:
    """Return ``sha256:3f…9c``."""
    algorithm, _, digits = digest.rpartition(":")
    cut = digits if len(digits) <= 8 else f"{digits[:2]}…{digits[-2:]}"
    return f"{algorithm}:{cut}" if algorithm else cut


def state_of(migration: Migration) -> tuple[str, str, str]:
    """Return sign, words and style of what became of a share; green only if all arrived as it was."""
    if migration.state is MigrationState.SUCCEEDED:
        sign, word, style = _STATE_WORDS[migration.state]
        if migration.environment is not None:
            sign, word, style = _STATUS_WORDS[migration.environment.status]
        less = _less(migration.result) if migration.result else []
        if migration.adopted:
            less = [("proof lost", "")]
        if sign == "✓" and less:
            return "●", " · ".join([word, *(words for words, _ in less)]), "yellow"
        return sign, word, style
    if migration.error is not None and migration.error.code == "refused":
        return "✕", "Refused", "red"
    return _STATE_WORDS[migration.state]


def evidence_line(migration: Migration) -> str | None:
    """Return the proof in one line, None before the end.

    ``6,522 files equal · image sha256:3f…9c · 0 differences``, or where something was left out
    ``5,024 of 5,031 files equal · 7 left out (keys of its owner) · image sha256:3f…9c``.
    """
    result = migration.result
    if migration.state is not MigrationState.SUCCEEDED or result is None:
        return None
    if migration.adopted:
        return "Its record was lost and is taken back from the cluster. What was proven is not known any more."
    evidence = result.evidence
    differences = evidence.differences
    equal = evidence.files_equal
    less = _less(result)
    if less:
        left = evidence.files_left or equal  # an earlier version did not count what left
        parts = [f"{equal:,} of {left:,} {'file' if left == 1 else 'files'} equal"]
        parts += [f"{words} ({printable(why)})" for words, why in less]
    else:
        parts = [f"{counted(equal, 'file', 'files')} equal"]
    digest = evidence.image_running or (result.image.digest if result.image else None)
    if digest:
        parts.append(f"image {short_digest(digest)}")
    if not less:
        parts.append(counted(differences, "difference", "differences"))
    return " · ".join(parts)


def _less(result: MigrationResult) -> list[tuple[str, str]]:
    """Return what lacks for *all arrived as it was*: what or how many, and why."""
    found, evidence = [], result.evidence
    if count := evidence.files_left_out:
        found.append((f"{count:,} left out", _why(evidence.left_out)))
    if count := evidence.files_changed:
        found.append((f"{count:,} changed", _why(evidence.changed)))
    if result.image is not None and result.image.entrypoint == "bypassed":
        found.append(ENTRYPOINT_NOT_RUN)
    if result.image is not None and result.image.command == "replaced":
        found.append(COMMAND_NOT_RUN)
    return found


def _why(rows: Sequence[NotCopiedItem]) -> str:
    """Return the most frequent reasons."""
    reasons = [row.reason for row in rows[:REASONS_SHOWN]]
    return "; ".join(reasons if len(rows) <= REASONS_SHOWN else [*reasons, "…"])


# --------------------------------------------------------------------------- tables


def _rows(*styles: str) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for index, style in enumerate(styles):
        table.add_column(style=style, overflow="fold", no_wrap=index == 0)
    return table


def _finding(console: Console, sign: str, style: str, finding: Finding) -> None:
    line = Text.assemble((f"{sign} ", style), printable(finding.message))
    console.print(line)
    if finding.hint:
        console.print(plain(f"  {finding.hint}", "dim"))


def show_error(console: Console, message: str, hint: str) -> None:
    """Say what happened and what to do now."""
    _finding(console, "✕", "bold red", Finding(code="", message=message, hint=hint))


def _version(label: str) -> str:
    return "" if label == "no git" else label


def show_plan(console: Console, plan: Plan) -> None:
    """Print what will happen: where, why, *Copied*, *Not copied*, warnings and refusals."""
    heading = Text.assemble((printable(plan.name), "bold"), "  ")
    heading.append(printable(_version(plan.version.label)), "dim")
    console.print(heading)
    for reason in plan.reasons:
        console.print(plain(f"  {reason.message}"))
    if plan.copied:
        console.print("Copied", style="bold")
        table = _rows("", "", "", "dim")
        for row in plan.copied:
            target = f"→ {row.mount}" if row.mount else ""
            table.add_row(
                f"  {row.role}", plain(row.name), amount(row.files, row.bytes), plain(target)
            )
        console.print(table)
    for title, items in (("Not copied", plan.not_copied), ("Copied, but changed", plan.changed)):
        if not items:
            continue
        console.print(title, style="bold")
        table = _rows("", "", "dim")
        for item in items:
            table.add_row(
                plain(f"  {item.name}"), plain(item.reason), amount(item.files, item.bytes)
            )
        console.print(table)
    for warning in plan.warnings:
        _finding(console, "!", "yellow", warning)
    for refusal in plan.refusals:
        _finding(console, "✕", "bold red", refusal)


def _node(node: NodeCapacity) -> str:
    if node.unseen == "node":
        return "its room can't be seen"
    if node.unseen == "pods":
        parts = [f"{node.cpu:g} CPU", f"{human_size(node.memory)} memory"]
        parts.append(f"{node.gpu} GPU" if node.gpu else "no GPU")
        return " · ".join([*parts, "what is free can't be seen"])
    memory = node.memory - node.memory_requested
    if node.memory_available is not None:
        memory = min(memory, node.memory_available)
    parts = [
        f"{max(node.cpu - node.cpu_requested, 0):g} of {node.cpu:g} CPU free",
        f"{human_size(max(memory, 0))} of {human_size(node.memory)} memory free",
    ]
    if node.disk_available is not None:
        parts.append(f"{human_size(node.disk_available)} of disk free")
    gpus = node.gpu - node.gpu_requested
    parts.append(f"{gpus} of {node.gpu} GPU free" if node.gpu else "no GPU")
    return " · ".join(parts)


def show_environment(console: Console, environment: Environment) -> None:
    """Print what is running and what a share of it would take along."""
    heading = Text.assemble((printable(environment.project.name), "bold"), "  ")
    heading.append(printable(_version(environment.version.label)), "dim")
    console.print(heading)
    table = _rows("", "", "dim")
    found = "✓ found" if environment.dockerfile else "✕ missing"
    table.add_row("  Dockerfile", found, plain(environment.dockerfile or ""))

    def folder(title: str, it: Folder) -> None:
        table.add_row(f"  {title}", plain(it.mount or it.path), amount(it.files, it.bytes))

    folder("Code", environment.project)
    for data in environment.data:
        folder("Data", data)
    if environment.container:
        table.add_row("  Container", plain(environment.container), plain(environment.image or ""))
    if environment.node:
        table.add_row("  This node", plain(environment.node.node), _node(environment.node))
    console.print(table)
    for problem in environment.problems:
        _finding(console, "!", "yellow", problem)


def show_list(console: Console, migrations: Iterable[Migration]) -> None:
    """Print one line per share, or the sentence for none."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("", "Name", "State", "Created", "Id"):
        table.add_column(title, overflow="fold")
    for migration in migrations:
        sign, word, style = state_of(migration)
        table.add_row(
            Text(sign, style=style),
            plain(migration.name),
            Text(word, style=style),
            when(migration.created),
            migration.id,
        )
    if table.row_count:
        console.print(table)
    else:
        console.print("No shares yet. `jupyter secxops share PROJECT` makes the first.")


def show_migration(console: Console, migration: Migration) -> None:
    """Print everything of one share."""
    sign, word, style = state_of(migration)
    console.print(
        Text.assemble((f"{sign} ", style), (printable(migration.name), "bold"), f"  {word}")
    )
    took = ""
    if migration.finished:
        seconds = (migration.finished - (migration.started or migration.created)).total_seconds()
        took = f" · took {human_duration(max(seconds, 0))}"
    attempt = f" · attempt {migration.attempt}" if migration.attempt > 1 else ""
    console.print(f"  {migration.id} · {when(migration.created)}{took}{attempt}", style="dim")
    if migration.plan and not migration.state.final:
        show_plan(console, migration.plan)
    steps = [s for s in migration.steps if s.state not in (StepState.WAITING, StepState.SKIPPED)]
    for step in steps:
        console.print(plain(f"  {step_line(step)}"))
    show_outcome(console, migration)
    table = _rows("", "", "dim", "dim")
    _add_origin(table, migration)
    if migration.result is not None:
        _add_result(table, migration.result)
    if table.row_count:
        console.print(table)


def _add_origin(table: Table, migration: Migration) -> None:
    """Say of what it was made, and with what: also of one that is under way or failed."""
    plan, asked = migration.plan, migration.plan or migration.request
    if not migration.adopted:  # where that one came from is not known any more
        version = _version(plan.version.label) if plan else ""
        table.add_row("  Source", plain(migration.request.project), plain(version), "")
    room = [f"{asked.cpu:g} CPU"] if asked.cpu else []
    room += [f"{human_size(asked.memory)} of memory"] if asked.memory else []
    room += [f"{asked.gpu} GPU"] if asked.gpu else []
    if room:
        table.add_row("  Resources", " · ".join(room), "", "")


def _add_result(table: Table, result: MigrationResult) -> None:
    if result.place:
        table.add_row("  Place", plain(f"{result.place.name} on {result.place.node}"), "", "")
    if result.image:
        table.add_row(
            "  Image",
            plain(result.image.reference),
            human_size(result.image.size),
            plain(result.image.digest),
        )
    for volume in result.volumes:
        table.add_row(
            f"  {volume.role.capitalize()}",
            plain(volume.mount),
            amount(volume.files, volume.bytes),
            f"manifest {volume.manifest[:16]}",
        )
        for skipped in volume.skipped:
            table.add_row("", plain(f"without {skipped.name}"), plain(skipped.reason), "")
        for changed in volume.changed:
            table.add_row("", plain(f"changed {changed.name}"), plain(changed.reason), "")


def changes_line(changes: SourceChanges) -> str | None:
    """Return a sentence on what changed at the source; None if nothing did."""
    if not changes.files:
        return None
    least = "" if changes.complete else "at least "
    count = "1 file," if changes.files == 1 else f"{changes.files:,} files, such as"
    return f"The source has changed since: {least}{count} {changes.first[0]}"


def show_outcome(console: Console, migration: Migration) -> None:
    """Print how a share ended: the proof and its address, or what went wrong."""
    if line := evidence_line(migration):
        console.print(plain(f"  {line}"), soft_wrap=True)
        if migration.changes is not None and (said := changes_line(migration.changes)):
            console.print(plain(f"  ● {said}", "yellow"), soft_wrap=True)
        if migration.result and migration.result.connect:
            console.print("  Keep this running where your browser is:")
            console.print(plain(f"  {migration.result.connect}"), soft_wrap=True)
        if migration.result and migration.result.url:
            console.print(plain(f"  {migration.result.url}", "bold"), soft_wrap=True)
    elif migration.error is not None:
        refusals = migration.plan.refusals if migration.plan else []
        if migration.error.code == "refused" and refusals:
            for refusal in refusals:
                _finding(console, "✕", "bold red", refusal)
        else:
            _finding(console, "✕", "bold red", migration.error)


def show_orphans(console: Console, orphans: Sequence[Orphan], removed: bool) -> None:
    """Print the leftovers that a sweep found or removed."""
    table = _rows("", "", "dim", "dim")
    lost = {orphan.migration for orphan in orphans if orphan.adoptable}
    for orphan in orphans:
        if orphan.adoptable:
            continue
        size = human_size(orphan.bytes) if orphan.bytes is not None else ""
        made = when(orphan.created) if orphan.created else ""
        table.add_row(orphan.kind, plain(orphan.name), size, made)
    if lost:
        shares = "1 share is" if len(lost) == 1 else f"{len(lost)} shares are"
        console.print(f"{shares} not on record any more, and still there.", style="bold")
        console.print("`jupyter secxops sweep --adopt` takes them back, to be used or deleted.")
    if not table.row_count:
        if not lost:
            console.print("Nothing is left over.")
        return
    console.print("Removed" if removed else "Left over, belonging to no share", style="bold")
    console.print(table)
    if not removed:
        console.print("`jupyter secxops sweep --remove` removes them.", style="dim")


def show_adopted(console: Console, migrations: Sequence[Migration]) -> None:
    """Print the shares that were taken back."""
    if not migrations:
        console.print("No share was found that is not on record.")
        return
    console.print("Taken back", style="bold")
    show_list(console, migrations)


def show_report(console: Console, report: ServiceReport) -> None:
    """Print what ``doctor`` found."""
    service = " · ".join(f"{key} {value}" for key, value in report.service.items())
    console.print(plain(f"Service  {service}", "dim"), soft_wrap=True)
    for check in report.checks:
        _check(console, check)


def _check(console: Console, check: Check) -> None:
    sign, style = _CHECK_SIGNS[check.state]
    console.print(
        Text.assemble((f"{sign} ", style), (printable(check.name), "bold"), "  ")
        + plain(check.message),
        soft_wrap=not console.is_terminal,
    )
    if check.hint and check.state != "ok":
        console.print(plain(f"  {check.hint}", "dim"))


# --------------------------------------------------------------------------- progress


def _step_word(step: Step) -> str:
    """Return what a step is called; that of a newer service by its own name."""
    return _STEP_WORDS.get(step.name) or printable(str(step.name)).capitalize()


def step_line(step: Step) -> str:
    """Return one step as a line: ``Copy  62 %  1.2 of 1.9 GB``."""
    parts = [_step_word(step)]
    if step.state is StepState.RUNNING:
        if step.percent is not None:
            parts.append(f"{step.percent:.0f} %")
        if step.message:
            parts.append(step.message)
        elif step.done is not None and step.unit == "bytes":
            parts.append(human_size(step.done))
        if len(parts) == 1:
            parts.append("…")
    elif step.state is StepState.DONE:
        seconds = (
            (step.finished - step.started).total_seconds()
            if step.started and step.finished
            else None
        )
        parts.append("done" if seconds is None else f"done in {human_duration(max(seconds, 0))}")
        if measure := amount(step.files, step.done if step.unit == "bytes" else None):
            parts.append(measure)
    elif step.state is StepState.SKIPPED:
        parts.append("not needed")
    else:
        parts.append(step.state.value)
    return "  ".join(parts)


def progress_line(step: Step) -> str:
    """Return a running step as a line with a bar, its rate and the time left.

    ``Copy  ━━━━━━━━────  62 %  1.2 of 1.9 GB  180 MB/s  4 s left``
    """
    parts = [f"{_step_word(step):<6}"]
    if step.percent is not None:
        filled = round(step.percent / 5)
        parts += ["━" * filled + "─" * (20 - filled), f"{step.percent:3.0f} %"]
    if step.unit == "bytes" and step.done is not None:
        size = human_size(step.done)
        parts.append(f"{size} of {human_size(step.total)}" if step.total else size)
        seconds = (utcnow() - step.started).total_seconds() if step.started else 0.0
        if seconds > 1 and step.done:
            rate = step.done / seconds
            parts.append(f"{human_size(rate)}/s")
            if step.total and step.total > step.done:
                parts.append(f"{human_duration((step.total - step.done) / rate)} left")
    elif step.message:
        parts.append(step.message)
    return "  ".join(parts) if len(parts) > 1 else f"{parts[0]}  …"


class _RateColumn(ProgressColumn):
    """Bytes per second and time left, or the step's own message."""

    def render(self, task: Task) -> Text:
        message = str(task.fields.get("message") or "")
        if task.finished or task.fields.get("unit") != "bytes" or not task.speed:
            return plain(message[:60], "dim")
        parts = [f"{human_size(task.speed)}/s"]
        if task.time_remaining:
            parts.append(f"{human_duration(task.time_remaining)} left")
        return Text(" · ".join(parts), style="dim")


class Watch:
    """Shows the steps of one share while they happen.

    A context manager. On a terminal a bar per step; in a pipe one plain line per change, and for a
    long step one every ``interval`` seconds.

    Parameters
    ----------
    console
        Where to write; what else is said meanwhile goes there, too, or it breaks the bars.
    verbose
        Whether every log line is shown too.
    interval
        Seconds between two plain lines of one step.
    """

    def __init__(self, console: Console, *, verbose: bool = False, interval: float = 10) -> None:
        self.console = console
        self._verbose = verbose
        self._interval = interval
        self._tasks: dict[str, TaskID] = {}
        self._said: dict[str, tuple[StepState, float]] = {}
        self._bars: Progress | None = None

    def __enter__(self) -> Watch:
        """Start drawing, on a terminal."""
        if self.console.is_terminal:
            self._bars = Progress(
                SpinnerColumn(finished_text="[green]✓[/]"),
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                TaskProgressColumn("{task.percentage:>3.0f} %", text_format_no_percentage="     "),
                TimeElapsedColumn(),
                _RateColumn(),
                console=self.console,
                refresh_per_second=5,
            )
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last picture on the terminal."""
        if self._bars is not None:
            self._bars.stop()

    def log(self, line: str) -> None:
        """Show one line of the build's or a Job's log, where that was asked for."""
        if self._verbose:
            self.console.print(plain(f"  {line}", "dim"), soft_wrap=True)

    def step(self, step: Step) -> None:
        """Show a step as it is now."""
        if step.state in (StepState.WAITING, StepState.SKIPPED):
            return
        if self._bars is None:
            self._line(step)
        else:
            self._bar(self._bars, step)

    def _line(self, step: Step) -> None:
        now = time.monotonic()
        state, last = self._said.get(step.name, (None, 0.0))
        if state is step.state and now - last < self._interval:
            return
        self._said[step.name] = (step.state, now)
        self.console.print(plain(step_line(step)), soft_wrap=True)

    def _bar(self, bars: Progress, step: Step) -> None:
        task = self._tasks.get(step.name)
        if task is None:
            task = bars.add_task(_step_word(step), total=None)
            self._tasks[step.name] = task
        if step.state is StepState.RUNNING:
            total, done = step.total, step.done
            if not total and step.percent is not None:
                total, done = 100, round(step.percent)
            bars.update(
                task, total=total or None, completed=done or 0, message=step.message, unit=step.unit
            )
            return
        message = amount(step.files, step.done if step.unit == "bytes" else None)
        if step.state is StepState.DONE:
            bars.update(task, total=1, completed=1, message=message)
        else:
            bars.update(task, message="failed")
        bars.stop_task(task)
