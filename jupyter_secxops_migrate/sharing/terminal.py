"""How a terminal shows what is shared: environment, plan, share and proof, in the words of the sidebar.

Its tables, errors and steps are those of every kind of operation (`terminal`). It decides nothing and asks nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..model import (
    Environment,
    EnvironmentStatus,
    Folder,
    Migration,
    MigrationResult,
    MigrationState,
    NodeCapacity,
    NotCopiedItem,
    Plan,
    SourceChanges,
    StepState,
)
from ..printable import counted, printable
from ..terminal import amount, plain, rows, show_finding, step_line, when
from ..units import human_duration, human_size

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
ENTRYPOINT_NOT_RUN = ("its entrypoint was not run", "it did not start what it was given")
COMMAND_NOT_RUN = ("its command was not run", "it did not answer when it was tried")


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
        return "Its record was lost and made anew from the cluster, so what was proven is no longer known."
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
        table = rows("", "", "", "dim")
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
        table = rows("", "", "dim")
        for item in items:
            table.add_row(
                plain(f"  {item.name}"), plain(item.reason), amount(item.files, item.bytes)
            )
        console.print(table)
    for warning in plan.warnings:
        show_finding(console, "!", "yellow", warning)
    for refusal in plan.refusals:
        show_finding(console, "✕", "bold red", refusal)


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
    table = rows("", "", "dim")
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
        show_finding(console, "!", "yellow", problem)


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


def show_adopted(console: Console, migrations: Sequence[Migration]) -> None:
    """Print the shares that were taken back."""
    if not migrations:
        console.print("No share was found that could be taken back.")
        return
    console.print("Taken back", style="bold")
    show_list(console, migrations)


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
    table = rows("", "", "dim", "dim")
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
            console.print("  Run this where your browser is, and leave it running:")
            console.print(plain(f"  {migration.result.connect}"), soft_wrap=True)
        if migration.result and migration.result.url:
            console.print(plain(f"  {migration.result.url}", "bold"), soft_wrap=True)
    elif migration.error is not None:
        refusals = migration.plan.refusals if migration.plan else []
        if migration.error.code == "refused" and refusals:
            for refusal in refusals:
                show_finding(console, "✕", "bold red", refusal)
        else:
            show_finding(console, "✕", "bold red", migration.error)
