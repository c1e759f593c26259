"""How a terminal shows what every kind of operation has: errors, tables, steps under way, leftovers, a report.

How a kind's own things look is in its room (`sharing.terminal`). Knows the nouns and nothing else: no client, no
service, no arguments. All text that comes from a project (names, paths, log lines) goes through `printable` first.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
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

from .model import Check, Finding, Orphan, ServiceReport, Step, StepName, StepState, utcnow
from .printable import counted, printable
from .units import human_duration, human_size

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


# --------------------------------------------------------------------------- tables


def rows(*styles: str) -> Table:
    """Return a table of aligned columns without lines around them."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for index, style in enumerate(styles):
        table.add_column(style=style, overflow="fold", no_wrap=index == 0)
    return table


def show_finding(console: Console, sign: str, style: str, finding: Finding) -> None:
    """Print a sentence behind its sign, and what to do about it below."""
    line = Text.assemble((f"{sign} ", style), printable(finding.message))
    console.print(line)
    if finding.hint:
        console.print(plain(f"  {finding.hint}", "dim"))


def show_error(console: Console, message: str, hint: str) -> None:
    """Say what happened and what to do now."""
    show_finding(console, "✕", "bold red", Finding(code="", message=message, hint=hint))


def show_orphans(console: Console, orphans: Sequence[Orphan], removed: bool) -> None:
    """Print the leftovers that a sweep found or removed."""
    table = rows("", "", "dim", "dim")
    lost = {orphan.migration for orphan in orphans if orphan.adoptable}
    for orphan in orphans:
        if orphan.adoptable:
            continue
        size = human_size(orphan.bytes) if orphan.bytes is not None else ""
        made = when(orphan.created) if orphan.created else ""
        table.add_row(orphan.kind, plain(orphan.name), size, made)
    if lost:
        shares = "1 share is" if len(lost) == 1 else f"{len(lost)} shares are"
        console.print(f"{shares} not on record any more, but still there.", style="bold")
        console.print("`jupyter secxops sweep --adopt` takes them back, to be used or deleted.")
    if not table.row_count:
        if not lost:
            console.print("Nothing is left over.")
        return
    console.print("Removed" if removed else "Left over, belonging to no share", style="bold")
    console.print(table)
    if not removed:
        console.print("`jupyter secxops sweep --remove` removes them.", style="dim")


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
    """Return what a step is called, which is its name in its kind of operation."""
    name = step.name.value if isinstance(step.name, StepName) else step.name
    return printable(name).capitalize()


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
