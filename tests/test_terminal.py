"""What a terminal shows: bars, lines, and never a command of a hostile project."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from rich.console import Console

from jupyter_secxops_migrate.model import (
    Check,
    Environment,
    EnvironmentStatus,
    Evidence,
    Finding,
    Folder,
    ImageResult,
    LaunchedEnvironment,
    Migration,
    MigrationResult,
    MigrationState,
    NodeCapacity,
    Plan,
    ProjectVersion,
    Route,
    ServiceReport,
    ShareRequest,
    Step,
    StepName,
    StepState,
    utcnow,
)
from jupyter_secxops_migrate.sharing.terminal import (
    evidence_line,
    short_digest,
    show_environment,
    show_list,
    show_migration,
    show_plan,
    state_of,
)
from jupyter_secxops_migrate.terminal import Watch, show_report, step_line

GB = 1024**3


def console(terminal: bool = False) -> tuple[Console, io.StringIO]:
    shown = io.StringIO()
    return Console(file=shown, force_terminal=terminal, width=120, highlight=False), shown


def test_a_digest_is_shortened_to_be_recognised() -> None:
    assert short_digest("sha256:3f" + "0" * 60 + "9c") == "sha256:3f…9c"
    assert short_digest("abcd") == "abcd"


def test_a_running_step_says_its_own_measure() -> None:
    step = Step(name=StepName.BUILD, state=StepState.RUNNING, message="step 4/9 RUN pip install")
    assert step_line(step) == "Build  step 4/9 RUN pip install"
    step = Step(name=StepName.COPY, state=StepState.RUNNING, percent=62.4, done=GB, unit="bytes")
    assert step_line(step) == "Copy  62 %  1 GB"


def test_a_finished_step_says_how_long_it_took() -> None:
    now = utcnow()
    step = Step(
        name=StepName.COPY,
        state=StepState.DONE,
        started=now - timedelta(seconds=20),
        finished=now,
        done=2 * GB,
        unit="bytes",
        files=6210,
    )
    assert step_line(step) == "Copy  done in 20 s  2 GB · 6,210 files"


def test_bars_show_each_step_that_is_needed() -> None:
    screen, shown = console(terminal=True)
    with Watch(screen, verbose=True) as watch:
        watch.step(Step(name=StepName.BUILD, state=StepState.RUNNING, done=4, total=9))
        watch.step(Step(name=StepName.PUSH, state=StepState.SKIPPED))
        watch.log("Collecting \x1b[31mnumpy")
        watch.step(Step(name=StepName.BUILD, state=StepState.DONE))
        watch.step(Step(name=StepName.COPY, state=StepState.RUNNING, percent=62))
    text = shown.getvalue()
    assert "Build" in text and "100 %" in text and " 62 %" in text
    assert "Push" not in text
    assert "Collecting \\x1b[31mnumpy" in text


def test_a_pipe_gets_one_line_a_change() -> None:
    screen, shown = console()
    with Watch(screen, interval=3600) as watch:
        for percent in range(100):
            watch.step(Step(name=StepName.COPY, state=StepState.RUNNING, percent=percent))
            watch.log("not shown")
        watch.step(Step(name=StepName.COPY, state=StepState.FAILED))
    assert shown.getvalue().splitlines() == ["Copy  0 %", "Copy  failed"]


def test_a_plan_shows_a_hostile_message_as_it_is() -> None:
    screen, shown = console()
    plan = Plan(
        name="[bold]x",
        route=Route.STAY,
        node="n",
        warnings=[
            Finding(code="w", message="the file [link=x]a[/link]\x1b[2J is big", hint="look")
        ],
    )
    show_plan(screen, plan)
    text = shown.getvalue()
    assert "[bold]x" in text and "! the file [link=x]a[/link]\\x1b[2J is big" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("gpu", "said"), [(0, "no GPU"), (2, "1 of 2 GPU free")], ids=["none", "some"]
)
def test_the_node_is_shown_by_what_is_free(gpu: int, said: str) -> None:
    screen, shown = console()
    node = NodeCapacity(
        node="lab-3",
        cpu=8,
        cpu_requested=4.9,
        memory=32 * GB,
        memory_requested=10 * GB,
        memory_available=9 * GB,
        gpu=gpu,
        gpu_requested=1,
    )
    folder = Folder(path="/p", name="p")
    show_environment(screen, Environment(project=folder, version=ProjectVersion(), node=node))
    text = shown.getvalue()
    assert "3.1 of 8 CPU free · 9 GB of 32 GB memory free" in text and said in text
    assert "✕ missing" in text


@pytest.mark.parametrize(
    ("unseen", "said"),
    [
        ("node", "its room can't be seen"),
        ("pods", "8 CPU · 32 GB memory · 1 GPU · what is free can't be seen"),
    ],
)
def test_what_cant_be_seen_of_a_node_is_not_said_to_be_free(unseen: str, said: str) -> None:
    screen, shown = console()
    node = NodeCapacity(node="n", cpu=8, memory=32 * GB, gpu=1, unseen=unseen)
    folder = Folder(path="/p", name="p")
    show_environment(screen, Environment(project=folder, version=ProjectVersion(), node=node))
    [line] = [line for line in shown.getvalue().splitlines() if "This node" in line]
    assert line.endswith(said)


def test_a_report_gives_hints_only_where_something_is_wrong() -> None:
    screen, shown = console()
    checks = [
        Check(name="engine", state="ok", message="answers", hint="unneeded"),
        Check(name="disk", state="warning", message="nearly full", hint="free some"),
    ]
    show_report(screen, ServiceReport(service={"pid": 7}, checks=checks))
    assert "unneeded" not in shown.getvalue()
    assert "! disk  nearly full\n  free some" in shown.getvalue()


def running(**evidence: object) -> Migration:
    return Migration(
        id="m1",
        owner="o",
        name="dga",
        state=MigrationState.SUCCEEDED,
        created=utcnow(),
        request=ShareRequest(project="/p"),
        environment=LaunchedEnvironment(status=EnvironmentStatus.RUNNING),
        result=MigrationResult(
            evidence=Evidence.model_validate({"image_running": "sha256:3f00000009c", **evidence})
        ),
    )


@pytest.mark.parametrize("status", EnvironmentStatus)
def test_only_one_that_runs_has_the_sign_of_it(status: EnvironmentStatus) -> None:
    migration = running(files_left=1, files_equal=1)
    migration.environment = LaunchedEnvironment(status=status)
    sign, word, _ = state_of(migration)
    assert word.lower() == status.value
    assert (sign == "✓") == (status is EnvironmentStatus.RUNNING)


KEYS = {"name": ".ssh", "reason": "keys of its owner", "code": "owner_keys", "files": 5}
SOCKET = {"name": "s", "reason": "socket\x1b[2J", "code": "socket", "files": 2}
SETUID = {"name": "run.py", "reason": "its bit does not travel", "code": "setuid", "files": 1}


@pytest.mark.parametrize(
    ("evidence", "state", "proof"),
    [
        (
            {"files_left": 5031, "files_equal": 5031},
            ("✓", "Running", "green"),
            "5,031 files equal · image sha256:3f…9c · 0 differences",
        ),
        (
            {"files_left": 5031, "files_equal": 5024, "left_out": [KEYS, SOCKET]},
            ("●", "Running · 7 left out", "yellow"),
            "5,024 of 5,031 files equal · 7 left out (keys of its owner; socket\\x1b[2J) · image sha256:3f…9c",
        ),
        (
            {"files_left": 7, "files_equal": 7, "changed": [SETUID]},
            ("●", "Running · 1 changed", "yellow"),
            "7 of 7 files equal · 1 changed (its bit does not travel) · image sha256:3f…9c",
        ),
        # Made by a version that did not count what left.
        (
            {"files_equal": 3},
            ("✓", "Running", "green"),
            "3 files equal · image sha256:3f…9c · 0 differences",
        ),
    ],
)
def test_only_what_arrived_whole_is_green(
    evidence: dict[str, object], state: tuple[str, str, str], proof: str
) -> None:
    share = running(**evidence)
    assert state_of(share) == state
    assert evidence_line(share) == proof
    to, shown = console()
    show_list(to, [share])
    assert state[1] in shown.getvalue()
    to, shown = console()
    show_migration(to, share)
    assert proof in shown.getvalue()


def test_an_entrypoint_that_was_not_run_is_not_green() -> None:
    share = running(files_left=7, files_equal=7)
    assert share.result is not None
    image = ImageResult(reference="r:1", digest="sha256:3f00000009c", size=1, entrypoint="bypassed")
    share.result.image = image
    assert state_of(share) == ("●", "Running · its entrypoint was not run", "yellow")
    assert evidence_line(share) == (
        "7 of 7 files equal · its entrypoint was not run (it did not start what it was given) "
        "· image sha256:3f…9c"
    )
    for other in ("runs", "jupyter", "none", ""):
        image.entrypoint = other
        assert state_of(share)[0] == "✓"
    image.command = "replaced"
    assert state_of(share) == ("●", "Running · its command was not run", "yellow")
