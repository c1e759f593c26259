"""A small working service that shows the panel what it can look like: each state, and a full list.

Which scene is on stands in the file ``scene`` of the service's data folder. Names and paths are as
long and as strange as they may be. A project named ``refused`` is refused, one named ``broken`` can't
be looked at; everything else is the memory service's.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from web.memory import MemoryApi, MemoryService

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.building.errors import (
    BuildFailed,
    ImageHoldsProject,
    NeedsBuildKit,
    NoDockerfile,
)
from jupyter_secxops_migrate.copying.errors import FileUnreadable
from jupyter_secxops_migrate.copying.reasons import REASONS
from jupyter_secxops_migrate.engines.errors import ContainerLayer, EngineForbidden
from jupyter_secxops_migrate.hosts.application import HostedService
from jupyter_secxops_migrate.hosts.user import SecxopsService
from jupyter_secxops_migrate.model import (
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
    NodeCapacity,
    NotCopiedItem,
    Place,
    Plan,
    PodSource,
    ProjectVersion,
    Route,
    ShareRequest,
    Step,
    StepName,
    StepState,
    VolumeResult,
    utcnow,
)
from jupyter_secxops_migrate.operations.record import finding
from jupyter_secxops_migrate.placement.errors import CpuOvercommitted, TooLittleMemory
from jupyter_secxops_migrate.project.errors import DataOutsidePolicy
from jupyter_secxops_migrate.sharing.errors import AlreadySharing, Refused
from jupyter_secxops_migrate.sharing.reasons import reason

GB = 1024**3
MANY = 1000
NODE = "gpu-worker-17.cluster.analytics.internal.example.org"
LONG = "a-name-without-a-single-blank-that-is-as-long-as-a-name-may-be-" + "x" * 37
DATA = "/srv/datasets/threat-intelligence/domains-generated-by-algorithms/2026/raw"
BASE = "registry.example.org/analytics/base-images/jupyter-scientific:2026.11-cuda12"
STARTED = datetime(2026, 11, 23, 9, 30, tzinfo=timezone.utc)
CAPACITY = NodeCapacity(
    node=NODE, cpu=64, cpu_requested=58.5, memory=256 * GB, memory_requested=190 * GB, gpu=4
)
VERSION = ProjectVersion(
    commit="3f2c1a9" + "0" * 33, branch="feature/" + "long-" * 8 + "branch", dirty_count=1204
)
ALL_BUT_PUSH = [name for name in StepName if name is not StepName.PUSH]


def not_copied() -> list[NotCopiedItem]:
    """One row of each kind."""
    rows = [
        NotCopiedItem(
            name=f"folder/of/{code}",
            reason=sentence,
            code=code,
            keep=f"/folder/of/{code}" if code == "settings_file" else None,
        )
        for code, sentence in REASONS.items()
    ]
    rows += [
        NotCopiedItem(name=name, reason=why, code=code, files=files)
        for name, why, code, files in (
            (".bashrc", "its attribute user.x can't be read", "attribute_lost", None),
            ("…", "and 12 more, which the metadata file lists", "more_listed", None),
            ("7 more", "never copied", "never_copied", 7),
            ("a, b", "devices, sockets and pipes have no content to copy", "no_content", 2),
            ("git history", "it lies outside the project's folder", "git_history", None),
            ("running kernels", "memory does not travel; notebooks do", "running_kernels", None),
            (
                "packages installed by hand",
                "only what the Dockerfile installs is rebuilt",
                "packages_by_hand",
                None,
            ),
            (
                "the rest of your home folder",
                "credentials, settings and shell history stay yours",
                "home_folder",
                None,
            ),
        )
    ]
    return rows


def plan(name: str, project: str, refusals: Sequence[Finding] = ()) -> Plan:
    """A plan in which everything happens that can."""
    return Plan(
        name=name,
        route=Route.STAY,
        node=NODE,
        reasons=[
            reason("stays_here", node=NODE, cpu="5.5", memory="66 GB"),
            reason(
                "version_as_is",
                label=VERSION.label,
                branch=VERSION.branch,
                commit=VERSION.commit,
                changed=VERSION.dirty_count,
            ),
            reason("defaults_used", cpu="2", memory="4 GB"),
            reason("shares_no_data"),
            reason("base_not_here", image=BASE, node=NODE),
            reason("data_moves", source=f"{project}/data", mount="/data/data"),
            reason("estimate", duration="2 min", seconds=121.0),
        ],
        copied=[
            CopiedItem(
                role="code",
                name="detector",
                source=project,
                mount="/home/jovyan/detector",
                files=312,
                bytes=48 * 1024**2,
            ),
            CopiedItem(
                role="data", name="raw", source=DATA, mount="/data/raw", files=6210, bytes=GB
            ),
            CopiedItem(role="packages", name="packages of the Dockerfile", source="Dockerfile"),
        ],
        not_copied=not_copied(),
        warnings=[
            finding(ImageHoldsProject(line=12, files=312, size="48 MB")),
            finding(CpuOvercommitted(node=NODE, free="5.5", asked="8")),
            reason("remote_add", line=9, url="https://example.org/" + "models/" * 8 + "v3.bin"),
            reason("whole_home", path="/home/jovyan"),
            reason(
                "unsaved_documents",
                count=2,
                first="detector/explore.ipynb",
                paths=["detector/explore.ipynb", "detector/train.py"],
                which=[],
            ),
            reason(
                "links_dangle",
                folder="detector",
                count=3,
                first="models",
                target=DATA,
                paths=["models"],
                take=f"--data {DATA}",
                data=[DATA],
                mounts={},
            ),
            reason("owners_kept", folder="raw", count=7, first="a.csv", paths=["a.csv"]),
        ],
        refusals=list(refusals),
        version=VERSION,
        cpu=2,
        memory=4 * GB,
        observation=CAPACITY,
        estimate_seconds=121.0,
    )


def refusals(project: str) -> list[Finding]:
    return [
        finding(error)
        for error in (
            NoDockerfile(project=project),
            NeedsBuildKit(line=4, instruction="RUN", feature="--mount=type=cache"),
            TooLittleMemory(node=NODE, free="66 GB", asked="128 GB"),
            DataOutsidePolicy(path="/proc", reason="it belongs to the system"),
            AlreadySharing(name="copy", id="m1"),
            ContainerLayer(path=project, mounts=["/home/jovyan/work", DATA]),
        )
    ]


def steps(**known: Any) -> list[Step]:
    """The steps of a share: those not named are done."""
    found = []
    for number, name in enumerate(ALL_BUT_PUSH):
        begun = STARTED + timedelta(seconds=20 * number)
        fields: dict[str, Any] = {
            "state": StepState.DONE,
            "started": begun,
            "finished": begun + timedelta(seconds=17),
            "percent": 100,
        }
        fields |= known.get(name.value, {})
        if fields["state"] is StepState.WAITING:
            fields |= {"started": None, "finished": None, "percent": None}
        elif fields["state"] is StepState.RUNNING:
            fields |= {"finished": None, "percent": fields["percent"]}
        found.append(Step(name=name, **fields))
    return found


WAITING: dict[str, Any] = {"state": StepState.WAITING}
PROOF = MigrationResult(
    url="http://127.0.0.1:49153/lab",
    place=Place(engine="docker", node=NODE, name="secxops-0123456789abcdef-environment"),
    image=ImageResult(
        reference="secxops/detector:1", digest="sha256:3f" + "0" * 60 + "9c", size=GB
    ),
    volumes=[
        VolumeResult(
            role="code",
            name="secxops-code",
            mount="/home/jovyan/detector",
            files=312,
            bytes=48 * 1024**2,
            manifest="0" * 64,
            skipped=not_copied(),
        ),
        VolumeResult(
            role="data", name="secxops-data", mount=DATA, files=6210, bytes=GB, manifest="1" * 64
        ),
    ],
    evidence=Evidence(files_equal=6522, image_running="sha256:3f" + "0" * 60 + "9c"),
)


PARTIAL = PROOF.model_copy(
    update={
        "evidence": Evidence(
            files_left=6531,
            files_equal=6522,
            left_out=[
                NotCopiedItem(name=".ssh", reason=REASONS[code], code=code, files=files)
                for code, files in (("owner_keys", 7), ("socket", 2))
            ],
            changed=[
                NotCopiedItem(name="run.py", reason=REASONS["setuid"], code="setuid", files=1204)
            ],
            image_running="sha256:3f" + "0" * 60 + "9c",
        )
    }
)


def share(number: int, name: str, state: MigrationState, owner: str, **fields: Any) -> Migration:
    return Migration(
        id=f"m{number}",
        owner=owner,
        name=name,
        state=state,
        created=STARTED - timedelta(minutes=number),
        started=STARTED,
        finished=STARTED + timedelta(seconds=90) if state.final else None,
        request=ShareRequest(project="/home/jovyan/detector"),
        **{"steps": steps(), **fields},
    )


def lived(status: EnvironmentStatus) -> dict[str, Any]:
    return {"result": PROOF, "environment": LaunchedEnvironment(status=status)}


def failed(error: errors.SecxopsError, step: str) -> dict[str, Any]:
    return {
        "error": finding(error),
        "steps": steps(
            **{step: {"state": StepState.FAILED, "percent": None}},
            launch=WAITING,
            verify=WAITING,
        ),
    }


def busy_share(owner: str) -> Migration:
    """Build and copy side by side, with all that can be said about them."""
    return share(
        1,
        "under-way",
        MigrationState.RUNNING,
        owner,
        steps=steps(
            build={
                "state": StepState.RUNNING,
                "percent": 44.4,
                "done": 4,
                "total": 9,
                "unit": "instructions",
                "message": "step 4/9 RUN pip install --no-cache-dir --requirement requirements.txt",
            },
            copy={
                "state": StepState.RUNNING,
                "percent": 62,
                "done": int(0.62 * GB),
                "total": GB,
                "unit": "bytes",
                "files": 4210,
            },
            launch=WAITING,
            verify=WAITING,
        ),
    )


def of_each(owner: str) -> list[Migration]:
    """A share in each of its states, newest first."""
    refused = refusals("/home/jovyan/detector")
    summary = Refused(
        reasons=" ".join(one.message for one in refused),
        hints=" ".join(one.hint for one in refused),
        codes=[one.code for one in refused],
    )
    build = BuildFailed(line=7, instruction="RUN pip install no-such", id="m5")
    memory = FileUnreadable(count=3, path="/home/jovyan/detector", first="models/a.bin")
    return [
        busy_share(owner),
        share(2, "in-the-queue", MigrationState.QUEUED, owner, steps=steps(**_all_waiting())),
        share(3, "being-cancelled", MigrationState.CANCELLING, owner),
        share(4, LONG, MigrationState.SUCCEEDED, owner, **lived(EnvironmentStatus.RUNNING)),
        share(5, "build-failed", MigrationState.FAILED, owner, **failed(build, "build")),
        share(6, "copy-failed", MigrationState.FAILED, owner, **failed(memory, "copy")),
        share(
            7,
            "refused",
            MigrationState.FAILED,
            owner,
            error=finding(summary),
            plan=plan("refused", "/home/jovyan/detector", refused),
        ),
        share(8, "cancelled", MigrationState.CANCELLED, owner),
        share(
            9,
            "some-left-out",
            MigrationState.SUCCEEDED,
            owner,
            result=PARTIAL,
            environment=LaunchedEnvironment(status=EnvironmentStatus.RUNNING),
        ),
        share(
            10,
            "starting-up",
            MigrationState.SUCCEEDED,
            owner,
            **lived(EnvironmentStatus.STARTING),
        ),
        share(
            11,
            "being-stopped",
            MigrationState.SUCCEEDED,
            owner,
            **lived(EnvironmentStatus.STOPPING),
        ),
        share(12, "stopped", MigrationState.SUCCEEDED, owner, **lived(EnvironmentStatus.STOPPED)),
        share(13, "gone", MigrationState.SUCCEEDED, owner, **lived(EnvironmentStatus.GONE)),
    ]


def _all_waiting() -> dict[str, Any]:
    return {name.value: WAITING for name in ALL_BUT_PUSH}


def many(owner: str) -> list[Migration]:
    """As many shares as a diligent person has after years, of every kind, and one under way."""
    kinds = of_each(owner)[3:]
    return [busy_share(owner)] + [
        kinds[number % len(kinds)].model_copy(
            update={
                "id": f"n{number}",
                "name": f"share-{number:04}",
                "created": STARTED - timedelta(hours=number),
            }
        )
        for number in range(1, MANY)
    ]


class SceneService(MemoryService):
    """The memory service, with what the scene puts into it."""

    def __init__(self, scene: Path) -> None:
        super().__init__()
        self.scene = scene
        self.shown: tuple[str, int] | None = None

    def set_scene(self, owner: str) -> None:
        """Put the shares of the scene into the memory, once for each time that one is chosen."""
        chosen = self.scene.stat().st_mtime_ns
        name = self.scene.read_text()
        if self.shown != (name, chosen):
            self.shown = (name, chosen)
            shares = {"empty": list, "each": lambda: of_each(owner), "many": lambda: many(owner)}
            self.migrations = {one.id: one for one in reversed(shares[name]())}

    def busy(self) -> bool:
        return False

    def for_owner(self, owner: str, room: str = "sharing") -> SceneApi:
        return SceneApi(self, owner)


class SceneApi(MemoryApi):
    """One owner's view of the scene."""

    def __init__(self, service: SceneService, owner: str) -> None:
        super().__init__(service, owner)
        self.scenes = service

    async def environment(
        self, project: str, data: Sequence[str] = (), source: PodSource | None = None
    ) -> Environment:
        name = Path(project).name
        if name == "broken":
            raise EngineForbidden(endpoint="unix:///var/run/docker.sock")
        refused = name == "refused"
        return Environment(
            project=Folder(path=project, name=name, files=312, bytes=48 * 1024**2),
            version=VERSION,
            dockerfile=None if refused else "Dockerfile",
            data=[
                Folder(path=path, name=Path(path).name, files=6210, bytes=GB)
                for path in (DATA, *data)
            ],
            node=CAPACITY,
            problems=refusals(project)[:1] if refused else [],
        )

    async def plan(self, request: ShareRequest) -> Plan:
        refused = Path(request.project).name == "refused"
        return plan(
            request.name or "detector-2026-11-23",
            request.project,
            refusals(request.project) if refused else (),
        )

    async def list(
        self, limit: int | None = None, before: str | None = None
    ) -> Sequence[Migration]:
        self.scenes.set_scene(self.owner)
        return await super().list(limit, before)

    async def events(
        self, migration_id: str | None = None, after: int | None = None
    ) -> AsyncIterator[Event]:
        """In the full list, tell how far the one under way is, twenty times a second."""
        for number in itertools.count():
            await asyncio.sleep(0.05)
            self.scenes.set_scene(self.owner)
            if self.scenes.shown and self.scenes.shown[0] == "many":
                step = next(s for s in busy_share(self.owner).steps if s.name is StepName.COPY)
                step.percent, step.done = number % 1000 / 10, number % 1000 * GB // 1000
                yield Event(id=number + 1, time=utcnow(), migration="m1", kind="step", step=step)

    async def log(self, migration_id: str) -> str:
        return await super().log(migration_id) + "".join(
            f"line {number} of the builder, which is {'long ' * 20}\n" for number in range(60)
        )


class SceneHost(SecxopsService):
    """As the real one, but for what it hosts."""

    def make_service(self, folder: Path) -> HostedService:
        return SceneService(folder / "scene")
