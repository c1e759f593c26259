"""The command line against a small desk that works: it copies folders and keeps records."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from web.host import ALICE, serving
from web.service import command, end, wait_until

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.building.errors import BuildFailed, NoDockerfile
from jupyter_secxops_migrate.cli import run
from jupyter_secxops_migrate.client import MigrationClient
from jupyter_secxops_migrate.commands import Exit
from jupyter_secxops_migrate.hosts.errors import ServiceUnavailable
from jupyter_secxops_migrate.model import (
    Check,
    CopiedItem,
    Environment,
    EnvironmentStatus,
    Event,
    Evidence,
    Finding,
    Folder,
    ImageResult,
    LaunchedEnvironment,
    Migration,
    MigrationResult,
    MigrationState,
    NotCopiedItem,
    Orphan,
    Place,
    Plan,
    PodSource,
    ProjectVersion,
    Route,
    ServiceReport,
    ShareRequest,
    SourceChanges,
    Step,
    StepName,
    StepState,
    VolumeResult,
    utcnow,
)
from jupyter_secxops_migrate.printable import printable
from jupyter_secxops_migrate.runtime import Runtime

IMAGE = "sha256:" + "3f" + "0" * 60 + "9c"
COMMANDS = (
    *("check", "plan", "share", "list", "show", "logs", "cancel", "retry"),
    *("stop", "start", "delete", "sweep", "doctor", "completion", "serve"),
)


def files_of(folder: str) -> list[Path]:
    return [path for path in Path(folder).rglob("*") if path.is_file()]


@dataclass
class Desk:
    """A `MigrationApi` whose shares are folders: whoever reads the events does the work.

    ``fails_at`` ends a share with a build error; ``before_step`` is called as a step begins; ``says`` are the build's lines.
    """

    store: Path
    fails_at: StepName | None = None
    says: Sequence[str] = ("Step 1/2 : FROM base", "Step 2/2 : RUN true")
    before_step: Callable[[StepName], None] | None = None
    shares: dict[str, Migration] = field(default_factory=dict)
    history: list[Event] = field(default_factory=list)
    orphaned: list[Orphan] = field(default_factory=list)
    lost: list[Migration] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Desk]:
        yield self

    def _find(self, migration_id: str) -> Migration:
        try:
            return self.shares[migration_id]
        except KeyError:
            raise errors.NotFound(id=migration_id) from None

    def _tell(self, migration: Migration, **what: Any) -> Event:
        kind = "log" if "line" in what else "step" if "step" in what else "state"
        event = Event(
            id=len(self.history) + 1, time=utcnow(), migration=migration.id, kind=kind, **what
        )
        self.history.append(event)
        return event

    async def environment(
        self, project: str, data: Sequence[str] = (), source: PodSource | None = None
    ) -> Environment:
        for folder in (project, *data):
            if not os.path.isdir(folder):  # noqa: ASYNC240 - a test's folder
                raise errors.NoSuchPath(path=folder, problem="does not exist")
        found = files_of(project)
        return Environment(
            project=Folder(
                path=project,
                name=Path(project).name,
                files=len(found),
                bytes=sum(p.stat().st_size for p in found),
            ),
            version=ProjectVersion(commit="3f2c1a9" + "0" * 33, branch="main", dirty_count=2),
            dockerfile="Dockerfile" if (Path(project) / "Dockerfile").exists() else None,
            data=[Folder(path=p, name=Path(p).name) for p in data],
        )

    async def plan(self, request: ShareRequest) -> Plan:
        environment = await self.environment(request.project, request.data)
        plan = Plan(
            name=request.name or f"{environment.project.name}-2026-11-23",
            route=Route.STAY,
            node="lab-3",
            reasons=[Finding(code="fits", message="Here, on node lab-3: 2 CPU are free.")],
            copied=[
                CopiedItem(
                    role="code",
                    name=environment.project.name,
                    source=request.project,
                    mount="/home/analyst/project",
                    files=environment.project.files,
                    bytes=environment.project.bytes,
                )
            ],
            not_copied=[NotCopiedItem(name=".ssh", reason="keys stay where they are")],
            version=environment.version,
            cpu=request.cpu or 2,
            memory=request.memory or 2 * 1024**3,
        )
        if environment.dockerfile is None:
            error = NoDockerfile(project=environment.project.name)
            plan.refusals.append(Finding(code=error.code, message=error.message, hint=error.hint))
        return plan

    async def share(self, request: ShareRequest, idempotency_key: str | None = None) -> Migration:
        self.keys.append(idempotency_key)
        migration = Migration(
            id=f"m{len(self.shares) + 1:03}x",
            owner="me",
            name=request.name or Path(request.project).name,
            state=MigrationState.QUEUED,
            created=utcnow(),
            request=request,
        )
        self.shares[migration.id] = migration
        return migration

    async def get(
        self, migration_id: str, *, token: bool = False, changes: bool = False
    ) -> Migration:
        migration = self._find(migration_id).model_copy(deep=True)
        if token and migration.result and migration.result.url:
            migration.result.url += "?token=t0ken"
        if changes:
            migration.changes = SourceChanges(files=1, first=["project/train.py"])
        return migration

    async def list(
        self, limit: int | None = None, before: str | None = None
    ) -> Sequence[Migration]:
        return list(reversed(self.shares.values()))

    async def events(
        self, migration_id: str | None = None, after: int | None = None
    ) -> AsyncIterator[Event]:
        assert migration_id is not None
        for event in [e for e in self.history if e.migration == migration_id]:
            if event.id > (after or 0):
                yield event
        migration = self._find(migration_id)
        if not migration.state.final:
            async for event in self._work(migration):
                yield event

    async def _work(self, migration: Migration) -> AsyncIterator[Event]:
        if migration.state is MigrationState.CANCELLING:
            migration.state = MigrationState.CANCELLED
            yield self._tell(migration, state=migration.state)
            return
        migration.plan = await self.plan(migration.request)
        if migration.plan.refusals:
            migration.state = MigrationState.FAILED
            migration.error = Finding(code="refused", message="The share was refused.")
            yield self._tell(migration, state=migration.state)
            return
        migration.state = MigrationState.RUNNING
        for name in (StepName.CHECK, StepName.BUILD, StepName.COPY, StepName.LAUNCH):
            if self.before_step:
                self.before_step(name)
                await asyncio.sleep(0)
            step = Step(name=name, state=StepState.RUNNING, started=utcnow(), percent=0)
            yield self._tell(migration, step=step)
            if name is StepName.BUILD:
                for line in self.says:
                    yield self._tell(migration, line=line)
            if name is self.fails_at:
                migration.state = MigrationState.FAILED
                error = BuildFailed(line=7, instruction="RUN false", id=migration.id)
                migration.error = Finding(code=error.code, message=error.message, hint=error.hint)
                yield self._tell(
                    migration, step=step.model_copy(update={"state": StepState.FAILED})
                )
                yield self._tell(migration, state=migration.state)
                return
            if name is StepName.COPY:
                volume = self.store / migration.id
                shutil.copytree(migration.request.project, volume, dirs_exist_ok=True)
            done = step.model_copy(update={"state": StepState.DONE, "finished": utcnow()})
            migration.steps.append(done)
            yield self._tell(migration, step=done)
        copied = len(files_of(str(self.store / migration.id)))
        migration.state = MigrationState.SUCCEEDED
        migration.finished = utcnow()
        migration.environment = LaunchedEnvironment(status=EnvironmentStatus.RUNNING)
        migration.result = MigrationResult(
            url="http://127.0.0.1:49153/lab",
            place=Place(engine="docker", node="lab-3", name=f"secxops-{migration.id}"),
            image=ImageResult(reference="p:1", digest=IMAGE, size=10),
            volumes=[
                VolumeResult(
                    role="code", name="v", mount="/home", files=copied, bytes=1, manifest="ab" * 32
                )
            ],
            evidence=Evidence(files_equal=copied, image_running=IMAGE, image_built=IMAGE),
        )
        yield self._tell(migration, state=migration.state)

    async def log(self, migration_id: str) -> str:
        self._find(migration_id)
        lines = [e.line for e in self.history if e.migration == migration_id and e.line is not None]
        return "".join(f"{line}\n" for line in lines)

    async def cancel(self, migration_id: str) -> Migration:
        migration = self._find(migration_id)
        if migration.state in (MigrationState.SUCCEEDED, MigrationState.FAILED):
            raise errors.WrongState(state=migration.state.value, wanted="running")
        migration.state = MigrationState.CANCELLING
        return migration

    async def retry(self, migration_id: str) -> Migration:
        migration = self._find(migration_id)
        migration.state, migration.error = MigrationState.QUEUED, None
        migration.attempt += 1
        return migration

    async def stop(self, migration_id: str) -> Migration:
        migration = self._find(migration_id)
        migration.environment = LaunchedEnvironment(status=EnvironmentStatus.STOPPED)
        return migration

    async def start(self, migration_id: str) -> Migration:
        migration = self._find(migration_id)
        migration.environment = LaunchedEnvironment(status=EnvironmentStatus.RUNNING)
        return migration

    async def delete(self, migration_id: str) -> None:
        self.shares.pop(migration_id, None)
        shutil.rmtree(self.store / migration_id, ignore_errors=True)

    async def orphans(self) -> Sequence[Orphan]:
        return list(self.orphaned)

    async def adopt(self) -> Sequence[Migration]:
        found, self.lost = self.lost, []
        return found

    async def sweep(self) -> Sequence[Orphan]:
        found, self.orphaned = self.orphaned, []
        return found

    async def doctor(self) -> ServiceReport:
        return ServiceReport(service={"pid": 1, "version": "0.1.0"}, checks=self.checks)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    store = tmp_path / "store"
    store.mkdir()
    return Desk(store)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "dga-detector"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM base\n")
    (folder / "code.py").write_text("print(1)\n")
    return folder


@dataclass
class Said:
    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def secxops(desk: Desk, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def call(*words: str | Path) -> Said:
        status = run([str(word) for word in words], connect=desk.connect)
        return Said(status, *capsys.readouterr())

    return call


Secxops = Callable[..., Said]


# --------------------------------------------------------------------------- starting


def test_help_names_every_command(secxops: Secxops) -> None:
    said = secxops("--help")
    assert said.status == Exit.DONE
    listed = [
        line.split()[0] for line in said.out.split("Commands:")[1].splitlines() if line.strip()
    ]
    assert sorted(listed) == sorted(COMMANDS)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in ("completion", "serve")])
def test_every_command_speaks_json(command: str, secxops: Secxops) -> None:
    assert "--json" in secxops(command, "--help").out


def test_help_imports_nothing_slow() -> None:
    program = (
        "import sys\nfrom jupyter_secxops_migrate.cli import run\nrun(['--help'])\n"
        "slow = {'pydantic', 'httpx', 'rich', 'tornado', 'docker', 'sqlalchemy', 'dbos'}\n"
        "print(sorted(slow & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "[]\n")


# --------------------------------------------------------------------------- share


def test_a_share_ends_with_the_proof_and_the_address(secxops: Secxops, project: Path) -> None:
    said = secxops("share", project)
    assert said.status == Exit.DONE
    assert "2 files equal · image sha256:3f…9c · 0 differences" in said.out
    assert "http://127.0.0.1:49153/lab?token=t0ken" in said.out
    assert "Copied" in said.err and "Not copied" in said.err and ".ssh" in said.err


def test_a_pipe_gets_plain_lines(secxops: Secxops, project: Path) -> None:
    said = secxops("share", project)
    assert "\x1b" not in said.out + said.err
    steps = [
        line.split()[0]
        for line in said.err.splitlines()
        if line.split("  ")[0] in ("Check", "Build", "Copy", "Launch") and "done" in line
    ]
    assert steps == ["Check", "Build", "Copy", "Launch"]


def test_json_is_one_document_with_the_token(secxops: Secxops, project: Path) -> None:
    said = secxops("share", project, "--json")
    assert said.status == Exit.DONE
    assert said.document["state"] == "succeeded"
    assert said.document["result"]["url"].endswith("?token=t0ken")
    assert "t0ken" not in said.err


def test_no_wait_returns_the_queued_share(secxops: Secxops, project: Path, desk: Desk) -> None:
    said = secxops("share", project, "--no-wait", "--json")
    assert (said.status, said.document["state"]) == (Exit.DONE, "queued")
    assert not any(desk.store.iterdir())


def test_options_reach_the_request(
    secxops: Secxops, project: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.parent)
    said = secxops(
        *("share", project.name, "--data", "a", "--data", "../b", "--cpu", "0.5", "--memory", "2G"),
        *("--keep-owners", "--gpu", "1", "--name", "n", "--version", "v1", "--no-wait"),
    )
    assert said.status == Exit.DONE
    (made,) = desk.shares.values()
    request = made.request
    assert request.project == str(project)
    assert request.data == [str(project.parent / "a"), str(project.parent.parent / "b")]
    assert (request.cpu, request.memory, request.gpu) == (0.5, 2 * 1024**3, 1)
    assert (request.name, request.version, request.keep_owners) == ("n", "v1", True)


@pytest.mark.parametrize(
    ("words", "mounts"),
    [
        (["--mount", "p=/srv/p"], {"p": "/srv/p"}),
        (["--mount", "./a=/b=c", "--mount", "p/=/w"], {"a": "/b=c", "p": "/w"}),
        (["--mount", "x=1=/sets"], {"x=1": "/sets"}),
    ],
)
def test_a_mount_is_named_by_the_path_that_was_given(
    secxops: Secxops,
    tmp_path: Path,
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    mounts: dict[str, str],
) -> None:
    monkeypatch.chdir(tmp_path)
    said = secxops("share", "p", "--data", "a", "--data", "x=1", *words, "--no-wait")
    assert said.status == Exit.DONE
    (made,) = desk.shares.values()
    assert made.request.mounts == {str(tmp_path / path): mount for path, mount in mounts.items()}


@pytest.mark.parametrize("word", ["p", "other=/x", "=/x", "x=/sets"])
def test_a_mount_of_something_else_is_no_command(secxops: Secxops, desk: Desk, word: str) -> None:
    said = secxops("share", "p", "--data", "x=1", "--mount", word)
    assert said.status == 2
    assert "PATH=MOUNT" in said.err
    assert not desk.shares


def test_each_share_has_a_key_of_its_own(secxops: Secxops, project: Path, desk: Desk) -> None:
    for _ in range(2):
        secxops("share", project, "--no-wait")
    assert None not in desk.keys and len(set(desk.keys)) == 2


@pytest.mark.parametrize("name", ["--privileged", "$(touch x)", "a\nb", "[red]x"])
def test_a_hostile_project_name_is_only_a_name(
    name: str, secxops: Secxops, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.parent)
    project.rename(project.parent / name)
    said = secxops("share", "--", name)
    assert said.status == Exit.DONE
    assert printable(name) in said.out
    assert not (project.parent / "x").exists()


def test_a_refusal_is_status_3_and_says_what_to_do(secxops: Secxops, project: Path) -> None:
    (project / "Dockerfile").unlink()
    said = secxops("share", project)
    assert said.status == Exit.REFUSED
    assert "has no Dockerfile" in said.err and "Write a file named Dockerfile" in said.err
    assert said.out == ""


def test_a_refusal_in_json_is_the_migration(secxops: Secxops, project: Path) -> None:
    (project / "Dockerfile").unlink()
    said = secxops("share", project, "--json")
    assert (said.status, said.document["error"]["code"]) == (Exit.REFUSED, "refused")


def test_a_failure_shows_the_last_lines(secxops: Secxops, project: Path, desk: Desk) -> None:
    desk.fails_at = StepName.BUILD
    desk.says = [f"line {i} of the build" for i in range(50)]
    said = secxops("share", project)
    assert said.status == Exit.FAILED
    assert "failed at line 7 of the Dockerfile" in said.err
    shown = [line for line in said.err.splitlines() if "of the build" in line]
    assert (len(shown), shown[-1].strip()) == (20, "line 49 of the build")


def test_verbose_shows_every_line_once(secxops: Secxops, project: Path, desk: Desk) -> None:
    desk.fails_at = StepName.BUILD
    desk.says = [f"line {i} of the build" for i in range(50)]
    said = secxops("share", project, "--verbose")
    assert len([line for line in said.err.splitlines() if "of the build" in line]) == 50


def test_a_service_that_stays_away_is_an_error(secxops: Secxops, project: Path, desk: Desk) -> None:
    @asynccontextmanager
    async def nobody() -> AsyncIterator[Desk]:
        raise ServiceUnavailable(log="service.log")
        yield desk

    desk.connect = nobody  # type: ignore[method-assign]
    said = secxops("share", project, "--json")
    assert (said.status, said.document["code"]) == (Exit.FAILED, "service_unavailable")
    assert "service.log" in said.err


def test_interrupting_ends_only_the_watching(secxops: Secxops, project: Path, desk: Desk) -> None:
    def interrupt(step: StepName) -> None:
        if step is StepName.COPY:
            signal.raise_signal(signal.SIGINT)  # to this thread, before the next line

    desk.before_step = interrupt
    # As in a process of its own; a server that another test ran here may have left its handler.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        said = secxops("share", project)
    finally:
        signal.signal(signal.SIGINT, before)
    assert said.status == Exit.INTERRUPTED
    assert "the share goes on" in said.err and "jupyter secxops cancel m001x" in said.err
    assert desk.shares["m001x"].state is MigrationState.RUNNING


@pytest.mark.parametrize(
    "words",
    [
        ["share"],
        ["share", ".", "--memory", "much"],
        ["share", ".", "--cpu", "0"],
        ["share", ".", "--gpu", "-1"],
        ["share", ".", "--name", "a\nb"],
        ["share", ".", "--unknown"],
        ["share", ".", "--pod", "alice"],
        ["share", "/p", "--pod", "alice", "--data", "d"],
        ["share", "/p", "--pod", "../secrets/x"],
        ["share", "/p", "--pod", "alice/"],
        ["check", "--pod", "alice"],
        ["nonsense"],
    ],
)
def test_wrong_usage_is_status_2(words: list[str], secxops: Secxops, desk: Desk) -> None:
    said = secxops(*words)
    assert (said.status, said.out, desk.shares) == (Exit.USAGE, "", {})
    assert "Error" in said.err


def test_a_path_that_is_not_there_is_wrong_usage(secxops: Secxops, tmp_path: Path) -> None:
    said = secxops("plan", tmp_path / "none", "--json")
    assert (said.status, said.document["code"]) == (Exit.USAGE, "no_such_path")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--cpu", "nan"), "--cpu has to be a number of CPUs from 0.01 to 4096, such as 2 or 0.5."),
        (("--cpu", "two"), "--cpu has to be a number of CPUs from 0.01 to 4096, such as 2 or 0.5."),
        (("--memory", "-5"), "--memory has to be a size from 64M to 1024T, such as 512M or 2G."),
        (("--memory", "5"), "--memory has to be a size from 64M to 1024T, such as 512M or 2G."),
        (("--gpu", "1.5"), "--gpu has to be a whole number of GPUs from 0 to 64."),
        (("--name", "a\nb"), "--name has to be a name of at most 100 characters in one line."),
        (("--data", "\0"), "--data has to be paths of folders, at most 32."),
    ],
)
def test_a_wrong_option_is_told_what_it_has_to_be(
    words: tuple[str, ...], said: str, secxops: Secxops, project: Path
) -> None:
    assert f"Error: {said}\n" in secxops("plan", project, *words).err


def test_a_wrong_folder_is_named_as_it_was_typed(
    secxops: Secxops, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    for verb in ("plan", "check"):
        said = secxops(verb, ".", "--data", "../none")
        assert f"✕ --data: {project.parent / 'none'} does not exist.\n" in said.err
        assert f"Check the path; a relative one starts at the folder {project}." in said.err
        assert "✕ PROJECT: " in secxops(verb, "nowhere").err


# --------------------------------------------------------------------------- looking


def test_check_shows_what_is_there(secxops: Secxops, project: Path) -> None:
    said = secxops("check", project)
    assert "main @ 3f2c1a9 · 2 files changed" in said.out
    assert "✓ found" in said.out and "2 files" in said.out


def test_folders_of_a_pod_are_not_looked_for_here(
    secxops: Secxops, desk: Desk, monkeypatch: pytest.MonkeyPatch, project: Path
) -> None:
    monkeypatch.chdir(project)
    words = ("--pod", "alice/notebook", "/p/a//../b", "--data", "/d", "--no-wait")
    assert secxops("share", *words).status == Exit.DONE
    (share,) = desk.shares.values()
    assert (share.request.project, share.request.data) == ("/p/b", ["/d"])
    assert share.request.source == PodSource(pod="alice", container="notebook")


def test_check_is_for_here_by_default(
    secxops: Secxops, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    assert secxops("check", "--json").document["project"]["path"] == str(project)


def test_plan_shows_both_tables_and_touches_nothing(
    secxops: Secxops, project: Path, desk: Desk
) -> None:
    said = secxops("plan", project)
    assert said.status == Exit.DONE
    assert "/home/analyst/project" in said.out and "keys stay where they are" in said.out
    assert "2 CPU are free" in said.out
    assert desk.shares == {}


def test_a_plan_that_refuses_is_status_3(secxops: Secxops, project: Path) -> None:
    (project / "Dockerfile").unlink()
    said = secxops("plan", project, "--json")
    assert (said.status, said.document["refusals"][0]["code"]) == (Exit.REFUSED, "no_dockerfile")


def test_list_is_an_array_newest_first(secxops: Secxops, project: Path) -> None:
    assert secxops("list", "--json").document == []
    secxops("share", project, "--name", "one", "--no-wait")
    secxops("share", project, "--name", "two", "--no-wait")
    assert [m["name"] for m in secxops("list", "--json").document] == ["two", "one"]
    shown = secxops("list").out
    assert shown.index("two") < shown.index("one") and "Waiting" in shown


def test_an_empty_list_says_what_to_do(secxops: Secxops) -> None:
    assert "No shares yet" in secxops("list").out


@pytest.mark.parametrize("wanted", ["m001x", "m001", "first"])
def test_a_share_is_named_by_id_prefix_or_name(
    wanted: str, secxops: Secxops, project: Path
) -> None:
    secxops("share", project, "--name", "first", "--no-wait")
    secxops("share", project, "--name", "second", "--no-wait")
    assert secxops("show", wanted, "--json").document["id"] == "m001x"


def test_an_ambiguous_prefix_names_the_candidates(secxops: Secxops, project: Path) -> None:
    for _ in range(2):
        secxops("share", project, "--no-wait")
    said = secxops("show", "m00")
    assert said.status == Exit.USAGE
    assert "m001x" in said.err and "m002x" in said.err


def test_an_unknown_share_is_an_error_document(secxops: Secxops) -> None:
    said = secxops("show", "nothing", "--json")
    assert (said.status, said.document["code"]) == (Exit.FAILED, "not_found")


def test_show_prints_place_image_and_manifest(secxops: Secxops, project: Path) -> None:
    secxops("share", project)
    said = secxops("show", "m001x")
    for part in ("secxops-m001x on lab-3", IMAGE, "abababab", "0 differences", "?token=t0ken"):
        assert part in said.out
    for part in (str(project), "main @ 3f2c1a9", "2 CPU", "2 GB of memory"):
        assert part in said.out
    assert "The source has changed since: 1 file, project/train.py" in said.out


@pytest.mark.parametrize("state", ["failed", "under way"])
def test_show_says_of_what_also_without_a_result(
    secxops: Secxops, project: Path, desk: Desk, state: str
) -> None:
    desk.fails_at = StepName.BUILD
    secxops("share", project)
    if state == "under way":
        desk.shares["m001x"].state, desk.shares["m001x"].error = MigrationState.RUNNING, None
    said = secxops("show", "m001x")
    for part in (f"Source     {project}", "main @ 3f2c1a9", "2 CPU · 2 GB of memory"):
        assert part in said.out


def test_logs_never_command_the_terminal(secxops: Secxops, project: Path, desk: Desk) -> None:
    desk.says = ["\x1b]0;owned\x07\x1b[2Jhello\x9b31m\u202e", "plain"]
    secxops("share", project)
    assert secxops("logs", "m001x").out == "\\x1b]0;owned\\x07\\x1b[2Jhello\\x9b31m\\u202e\nplain\n"
    assert secxops("logs", "m001x", "--json").document == {"id": "m001x", "lines": desk.says}


def test_logs_can_be_followed_to_the_end(secxops: Secxops, project: Path) -> None:
    secxops("share", project, "--no-wait")
    said = secxops("logs", "--follow", "m001x")
    assert said.out == "Step 1/2 : FROM base\nStep 2/2 : RUN true\n"


# --------------------------------------------------------------------------- life after


def test_cancel_waits_until_it_has_ended(secxops: Secxops, project: Path) -> None:
    secxops("share", project, "--no-wait")
    said = secxops("cancel", "m001x", "--json")
    assert (said.status, said.document["state"]) == (Exit.DONE, "cancelled")


def test_what_has_ended_cannot_be_cancelled(secxops: Secxops, project: Path) -> None:
    secxops("share", project)
    said = secxops("cancel", "m001x", "--json")
    assert (said.status, said.document["code"]) == (Exit.FAILED, "wrong_state")


def test_retry_shows_only_the_new_attempt(secxops: Secxops, project: Path, desk: Desk) -> None:
    desk.fails_at = StepName.BUILD
    desk.says = ["from the first attempt"]
    assert secxops("share", project).status == Exit.FAILED
    desk.fails_at, desk.says = None, ["from the second"]
    said = secxops("retry", "m001x", "--verbose")
    assert said.status == Exit.DONE
    assert "from the second" in said.err and "from the first attempt" not in said.err


def test_stop_and_start(secxops: Secxops, project: Path) -> None:
    secxops("share", project)
    assert secxops("stop", "m001x", "--json").document["environment"] == {"status": "stopped"}
    assert "Running" in secxops("start", "m001x").out


def test_delete_needs_yes_where_nobody_can_be_asked(
    secxops: Secxops, project: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    secxops("share", project)
    with open(os.devnull) as nobody:
        monkeypatch.setattr(sys, "stdin", nobody)
        said = secxops("delete", "m001x")
    assert (said.status, list(desk.shares)) == (Exit.USAGE, ["m001x"])


@pytest.mark.parametrize(("answer", "left"), [("n", ["m001x"]), ("y", [])])
def test_delete_asks_once_with_the_name(
    answer: str,
    left: list[str],
    secxops: Secxops,
    project: Path,
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secxops("share", project, "--name", "mine")
    person, terminal = pty.openpty()
    os.write(person, f"{answer}\n".encode())
    with open(terminal) as keyboard:
        monkeypatch.setattr(sys, "stdin", keyboard)
        said = secxops("delete", "mine")
    os.close(person)
    assert said.err.count("Delete mine (m001x)") == 1
    assert list(desk.shares) == left


def test_delete_removes_the_copy(secxops: Secxops, project: Path, desk: Desk) -> None:
    secxops("share", project)
    said = secxops("delete", "m001x", "--yes", "--json")
    assert (said.status, said.document["deleted"]) == (Exit.DONE, True)
    assert not any(desk.store.iterdir())


def test_sweep_takes_lost_shares_back_and_never_shows_them_as_proven(
    secxops: Secxops, project: Path, desk: Desk
) -> None:
    secxops("share", project)
    desk.shares["m001x"].adopted = True
    desk.lost = [desk.shares["m001x"]]
    mine = Orphan(kind="pod", name="secxops-m001x", role="environment", migration="m001x")
    desk.orphaned = [mine.model_copy(update={"adoptable": True})]
    said = secxops("sweep")
    assert "1 share is not on record" in said.out and "--adopt" in said.out
    assert "secxops-m001x" not in said.out
    said = secxops("sweep", "--adopt")
    assert "Taken back" in said.out and "● dga-detector" in " ".join(said.out.split())
    assert "proof lost" in said.out and "✓" not in said.out
    assert "not known any more" in secxops("show", "m001x").out
    assert secxops("sweep", "--adopt", "--remove").status == Exit.USAGE
    assert "No share was found" in secxops("sweep", "--adopt").out


def test_sweep_lists_and_removes_on_request(secxops: Secxops, desk: Desk) -> None:
    desk.orphaned = [Orphan(kind="volume", name="secxops-old-code", role="code", bytes=10)]
    said = secxops("sweep")
    assert "secxops-old-code" in said.out and "--remove" in said.out
    assert [o["name"] for o in secxops("sweep", "--remove", "--json").document] == [
        "secxops-old-code"
    ]
    assert "Nothing is left over" in secxops("sweep").out


def test_doctor_fails_with_a_failed_check(secxops: Secxops, desk: Desk) -> None:
    desk.checks = [Check(name="engine", state="ok", message="Docker answers")]
    assert secxops("doctor").status == Exit.DONE
    desk.checks.append(Check(name="disk", state="failed", message="full", hint="free some"))
    said = secxops("doctor")
    assert said.status == Exit.FAILED and "free some" in said.out


def test_an_unforeseen_error_is_a_sentence(capsys: pytest.CaptureFixture[str], desk: Desk) -> None:
    @asynccontextmanager
    async def broken() -> AsyncIterator[Desk]:
        raise ZeroDivisionError("deep inside")
        yield desk

    assert run(["list"], connect=broken) == Exit.FAILED
    err = capsys.readouterr().err
    assert "deep inside" in err and "Traceback" not in err and "doctor" in err


# --------------------------------------------------------------------------- over HTTP


@pytest.fixture
def over_http(capsys: pytest.CaptureFixture[str]) -> Iterator[Secxops]:
    """The command line on a real connection to the real routes."""
    with serving() as host:

        def call(*words: str | Path) -> Said:
            status = run(
                [str(word) for word in words],
                connect=lambda: MigrationClient(host.url, ALICE),
            )
            return Said(status, *capsys.readouterr())

        yield call


def test_a_share_over_http_from_first_to_last(over_http: Secxops, project: Path) -> None:
    said = over_http("share", project, "--name", "mine", "--json")
    assert (said.status, said.document["state"]) == (Exit.DONE, "succeeded")
    assert "?token=" in said.document["result"]["url"]
    assert "Verify  done" in said.err
    lines = over_http("logs", "mine", "--json").document["lines"]
    assert [line for line in lines if line.startswith("build:")] == ["build: Zeile \u2028 één"]
    assert over_http("stop", "mine", "--json").document["environment"]["status"] == "stopped"
    assert over_http("delete", "mine", "--yes").status == Exit.DONE
    assert over_http("list", "--json").document == []


def test_cancelling_over_http(over_http: Secxops, project: Path) -> None:
    over_http("share", project, "--name", "slow-one", "--no-wait")
    said = over_http("cancel", "slow-one", "--json")
    assert (said.status, said.document["state"]) == (Exit.DONE, "cancelled")


def test_a_failure_over_http_and_its_retry(over_http: Secxops, project: Path) -> None:
    assert over_http("share", project, "--name", "fail-here").status == Exit.FAILED
    said = over_http("retry", "fail-here", "--json")
    assert (said.status, said.document["attempt"]) == (Exit.FAILED, 2)
    assert said.document["error"]["code"] == "build_failed"


def test_an_answer_of_the_service_is_the_same_error_here(over_http: Secxops) -> None:
    said = over_http("check", "/missing", "--json")
    assert (said.status, said.document["code"]) == (Exit.USAGE, "no_such_path")


class TestCompletion:
    @pytest.fixture(autouse=True)
    def program(self, tmp_path: Path) -> None:
        self.executable = tmp_path / "jupyter-secxops"
        self.executable.write_text(
            f'#!/bin/sh\nexec {sys.executable} -m jupyter_secxops_migrate "$@"\n'
        )
        self.executable.chmod(0o755)

    def complete(self, *words: str) -> list[str]:
        """What bash offers after these words, the last one being typed."""
        asked = subprocess.run(
            [self.executable, "completion", "bash"], capture_output=True, text=True, check=True
        )
        script = (
            asked.stdout
            + 'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))\n'
            + f'_jupyter_secxops_completion "{self.executable}"\n'
            + 'printf "%s\\n" "${COMPREPLY[@]}"\n'
        )
        done = subprocess.run(
            ["bash", "-c", script, "bash", "jupyter-secxops", *words],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.split()

    def test_bash_offers_commands_and_options(self) -> None:
        assert self.complete("sh") == ["share", "show"]
        assert "--memory" in self.complete("share", "--m")

    def test_ids_come_from_a_service_that_runs_and_starts_none(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SECXOPS_DATA_DIR", str(tmp_path / "secxops"))
        runtime = Runtime.find()
        assert self.complete("show", "") == []
        assert runtime.listener() is None

        runtime.make()
        service = subprocess.Popen(command(), start_new_session=True, cwd=tmp_path)
        try:
            wait_until(lambda: runtime.listener() is not None)
            assert run(["share", str(tmp_path), "--name", "one", "--json"]) == Exit.DONE
            assert self.complete("show", "m") == ["m1"]
            assert self.complete("show", "x") == []
        finally:
            end(runtime)
            service.wait(15)
