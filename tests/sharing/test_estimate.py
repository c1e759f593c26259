"""How long a share will take: by what earlier ones took."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from jupyter_secxops_migrate.environment.survey import Survey
from jupyter_secxops_migrate.model import (
    Folder,
    Migration,
    MigrationResult,
    MigrationState,
    ProjectVersion,
    ShareRequest,
    Step,
    StepName,
    StepState,
    VolumeResult,
)
from jupyter_secxops_migrate.sharing.estimate import estimate, guess

from .world import World

GB = 1024**3
BEGAN = datetime(2026, 11, 26, tzinfo=timezone.utc)


def surveyed(size: int = GB, disk: int | None = None) -> Survey:
    folder = Folder(path="/p", name="p", files=10, bytes=size, disk=disk)
    return Survey(project=folder, data=[], version=ProjectVersion())


def took(size: int = GB, **seconds: float) -> Migration:
    steps = [
        Step(
            name=name,
            state=StepState.DONE if name.value in seconds else StepState.SKIPPED,
            started=BEGAN,
            finished=BEGAN + timedelta(seconds=seconds.get(name.value, 0)),
        )
        for name in StepName
    ]
    volume = VolumeResult(
        role="code", name="v", mount="/w", files=10, bytes=size, manifest="0" * 64, source="/p"
    )
    return Migration(
        id="m",
        owner="o",
        name="n",
        state=MigrationState.SUCCEEDED,
        created=BEGAN,
        request=ShareRequest(project="/p"),
        steps=steps,
        result=MigrationResult(volumes=[volume]),
    )


def test_without_an_earlier_share_there_is_only_a_guess():
    assert estimate(surveyed(), []) is None
    assert guess(surveyed()) == 28


def test_a_cached_build_is_expected_as_fast_as_it_was():
    first = took(build=70, copy=10, launch=4, verify=1)
    again = took(build=2, copy=10, launch=4, verify=1)
    assert estimate(surveyed(), [again, first]) == 15
    assert estimate(surveyed(), [first]) == 75


@pytest.mark.parametrize(("size", "seconds"), [(10 * GB, 61), (GB // 100, 5.3)])
def test_a_copy_is_expected_by_its_size(size, seconds):
    found = estimate(surveyed(size), [took(build=1, copy=10, launch=2)])
    assert found == pytest.approx(seconds, rel=0.3)


def test_a_sparse_file_is_expected_by_what_is_there():
    assert guess(surveyed(1024 * GB, disk=4096)) == 28


def test_the_plan_of_a_second_share_names_no_first_build(world: World) -> None:
    first = world.ended(world.share().id)
    assert first.state is MigrationState.SUCCEEDED, first.error
    assert first.plan is not None
    assert "estimate" in [reason.code for reason in first.plan.reasons]
    second = world.ended(world.share(name="again").id)
    assert second.plan is not None
    codes = [reason.code for reason in second.plan.reasons]
    assert "estimate_measured" in codes and "estimate" not in codes
