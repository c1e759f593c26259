"""The record of a share made anew of what the engine says: what is known of it, and nothing else."""

from __future__ import annotations

from ..engines.names import Names
from ..engines.orders import Launched
from ..model import (
    ImageResult,
    Migration,
    MigrationResult,
    MigrationState,
    Place,
    ShareRequest,
    Step,
    StepName,
    StepState,
    VolumeResult,
)


def taken_back(found: Launched, owner: str, engine: str) -> Migration:
    """Return the record of a launched share; its proof and its source are not known any more."""
    names = Names(found.migration)
    volumes = [
        VolumeResult(
            role="code" if mount.volume == names.volume("code") else "data",
            name=mount.volume,
            mount=mount.path,
            files=0,
            bytes=0,
            manifest="",
        )
        for mount in sorted(found.mounts, key=lambda mount: mount.volume)
    ]
    image = ImageResult(
        reference=found.image["reference"], digest=found.image["digest"], size=found.image["size"]
    )
    return Migration(
        id=found.migration,
        owner=owner,
        name=found.name,
        state=MigrationState.SUCCEEDED,
        created=found.created,
        request=ShareRequest(project=found.root, name=found.name),
        steps=[Step(name=name, state=StepState.SKIPPED) for name in StepName],
        result=MigrationResult(
            place=Place(engine=engine, node=found.node, name=names.environment),
            image=image,
            volumes=volumes,
        ),
        adopted=True,
    )
