"""A registry of the OCI distribution protocol: what it has, and what is forgotten there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from jupyter_secxops_migrate.registries import OciRegistry
from jupyter_secxops_migrate.registries.challenge import challenges
from jupyter_secxops_migrate.registries.dockerconfig import IDENTITY_TOKEN
from jupyter_secxops_migrate.registries.errors import RegistryFailed
from jupyter_secxops_migrate.registries.oci import split

from .registry import Registry, digest_of, serving

NAME = "shares/secxops/a/project"
Scene = Callable[[Registry, OciRegistry], Awaitable[None]]


def play(
    folder: Path, scene: Scene, server: Registry | None = None, password: str = "secret"
) -> None:
    async def go() -> None:
        async with serving(server or Registry(), folder) as there:
            registry = OciRegistry(f"{there.address}/shares", "me", password, there.ca)
            try:
                await asyncio.wait_for(scene(there, registry), 20)
            finally:
                await registry.close()

    asyncio.run(go())


@pytest.mark.parametrize("bearer", [False, True], ids=["password", "token"])
def test_an_image_is_found_by_tag_and_digest(tmp_path: Path, bearer: bool) -> None:
    async def scene(there: Registry, registry: OciRegistry) -> None:
        digest = there.put(NAME, "1")
        repository = registry.reference("secxops/a/project")

        for name in (":1", f"@{digest}"):
            found = await registry.find(f"{repository}{name}")
            assert found is not None
            assert (found.digest, found.size, found.layers) == (digest, 123, 2)
            assert found.config["config"]["User"] == "jovyan"
        assert await registry.find(f"{repository}:2") is None

    play(tmp_path, scene, Registry(bearer=bearer))


def test_the_tags_of_a_repository_come_in_pages(tmp_path: Path) -> None:
    async def scene(there: Registry, registry: OciRegistry) -> None:
        for tag in "abcde":
            there.put(NAME, tag)
        there.page = 2

        assert await registry.tags(registry.reference("secxops/a/project")) == [*"abcde"]

    play(tmp_path, scene)


def test_a_repository_that_is_not_there_has_no_tags(tmp_path: Path) -> None:
    async def scene(there: Registry, registry: OciRegistry) -> None:
        assert await registry.tags(registry.reference("secxops/a/project")) == []

    play(tmp_path, scene)


@pytest.mark.parametrize("bearer", [False, True], ids=["password", "token"])
def test_an_image_is_deleted_by_its_digest_and_absent_is_success(
    tmp_path: Path, bearer: bool
) -> None:
    async def scene(there: Registry, registry: OciRegistry) -> None:
        digest = there.put(NAME, "1")
        there.put(NAME, "2")
        repository = registry.reference("secxops/a/project")

        await registry.delete(f"{repository}:1")

        deleted = [path for method, path, given in there.asked if method == "DELETE" and given]
        assert set(deleted) == {f"/v2/{NAME}/manifests/{digest}"}
        assert there.tags(NAME) == ["2"]
        await registry.delete(f"{repository}:1")
        await registry.delete(f"{repository}@{digest_of(b'')}")
        await registry.delete(f"{repository}:2")
        assert await registry.tags(repository) == []

    play(tmp_path, scene, Registry(bearer=bearer))


@pytest.mark.parametrize("bearer", [False, True], ids=["password", "token"])
def test_a_wrong_password_is_told(tmp_path: Path, bearer: bool) -> None:
    async def scene(there: Registry, registry: OciRegistry) -> None:
        with pytest.raises(RegistryFailed, match="it answered 401"):
            await registry.find(f"{registry.reference('secxops/a/project')}:1")
        with pytest.raises(RegistryFailed, match="could not let us push: it answered 401"):
            await registry.try_push(registry.reference("secxops/a/project"))

    play(tmp_path, scene, Registry(bearer=bearer), password="wrong")


@pytest.mark.parametrize("bearer", [False, True], ids=["password", "token"])
def test_a_push_that_is_tried_leaves_nothing(tmp_path: Path, bearer: bool) -> None:
    async def scene(there: Registry, registry: OciRegistry) -> None:
        await registry.try_push(registry.reference("secxops/a/project"))

        assert ("DELETE", f"/v2/{NAME}/blobs/uploads/1") in [row[:2] for row in there.asked]
        assert there.uploads == set()

    play(tmp_path, scene, Registry(bearer=bearer))


def test_that_all_may_read_says_nothing_of_a_push(tmp_path: Path) -> None:
    async def scene(there: Registry, registry: OciRegistry) -> None:
        there.readable = True
        there.put(NAME, "1")

        assert await registry.find(f"{registry.reference('secxops/a/project')}:1")
        with pytest.raises(RegistryFailed, match="let us push"):
            await registry.try_push(registry.reference("secxops/a/project"))

    play(tmp_path, scene, password="wrong")


@pytest.mark.parametrize("bearer", [False, True], ids=["password", "token"])
def test_a_password_that_was_changed_is_asked_for_once(tmp_path: Path, bearer: bool) -> None:
    async def go() -> None:
        asked = 0

        async def renew() -> tuple[str, str]:
            nonlocal asked
            asked += 1
            return "me", there.password

        async with serving(Registry(bearer=bearer), tmp_path) as there:
            registry = OciRegistry(there.address, "me", there.password, there.ca, renew)
            there.put(NAME, "1")
            there.password = "changed"
            wanted = [registry.find(f"{registry.reference(NAME)}:1") for _ in range(2)]
            assert None not in await asyncio.gather(*wanted)
            before = asked
            await registry.delete(f"{registry.reference(NAME)}:1")
            await registry.close()
            assert (there.tags(NAME), asked) == ([], before)

    asyncio.run(go())


def test_a_registry_that_deletes_nothing_is_left_to_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(there: Registry, registry: OciRegistry) -> None:
        there.put(NAME, "1")
        there.deletes = False

        await registry.delete(f"{registry.reference('secxops/a/project')}:1")

        assert there.tags(NAME) == ["1"]

    play(tmp_path, scene)
    assert "deletes no images" in caplog.text


def test_no_other_host_is_told_the_password(tmp_path: Path) -> None:
    async def go() -> None:
        async with serving(Registry(bearer=True), tmp_path / "other") as other:
            registry = OciRegistry("registry.example.org/shares", "me", "secret", other.ca)
            with pytest.raises(RegistryFailed, match="it answered 401"):
                await registry.find(f"{other.address}/{NAME}:1")
            await registry.close()
            assert {given for _, _, given in other.asked} == {""}
            assert "/token" not in [path for _, path, _ in other.asked]

    asyncio.run(go())


@pytest.mark.parametrize("bearer", [False, True], ids=["password", "token"])
def test_nor_is_where_it_keeps_its_blobs(tmp_path: Path, bearer: bool) -> None:
    async def go() -> None:
        async with (
            serving(Registry(), tmp_path / "storage") as storage,
            serving(Registry(bearer=bearer), tmp_path / "registry") as there,
        ):
            there.put(NAME, "1")
            storage.put(NAME, "1")
            there.storage, storage.readable = storage.address, True
            registry = OciRegistry(there.address, "me", "secret", there.ca + storage.ca)
            assert await registry.find(f"{registry.reference(NAME)}:1")
            await registry.close()
            assert {given for _, _, given in storage.asked} == {""}

    asyncio.run(go())


def test_who_it_sends_us_to_is_not_signed_in_to(tmp_path: Path) -> None:
    async def go() -> None:
        async with (
            serving(Registry(bearer=True), tmp_path / "storage") as storage,
            serving(Registry(), tmp_path / "registry") as there,
        ):
            there.put(NAME, "1")
            there.storage = storage.address
            registry = OciRegistry(there.address, "me", "secret", there.ca + storage.ca)
            with pytest.raises(RegistryFailed, match="it answered 401"):
                await registry.find(f"{registry.reference(NAME)}:1")
            await registry.close()
            assert storage.asked and {given for _, _, given in storage.asked} == {""}
            assert "/token" not in [path for _, path, _ in storage.asked]

    asyncio.run(go())


def test_an_identity_token_is_exchanged(tmp_path: Path) -> None:
    async def go() -> None:
        async with serving(Registry(bearer=True), tmp_path) as there:
            there.put(NAME, "1")
            there.identity = "eyJ"
            registry = OciRegistry(there.address, IDENTITY_TOKEN, "eyJ", there.ca)
            assert await registry.find(f"{registry.reference(NAME)}:1")
            await registry.close()
            assert {form["service"] for form in there.forms} == {"r"}
            assert there.forms[0]["scope"] == f"repository:{NAME}:pull,push"
            # It is no password, and in no address.
            assert not [given for _, _, given in there.asked if given.startswith("Basic")]

    asyncio.run(go())


def test_a_wrong_identity_token_is_told_and_not_shown(tmp_path: Path) -> None:
    async def go() -> None:
        async with serving(Registry(bearer=True), tmp_path) as there:
            registry = OciRegistry(there.address, IDENTITY_TOKEN, "eyJ", there.ca)
            with pytest.raises(RegistryFailed, match="it answered 401") as caught:
                await registry.try_push(registry.reference(NAME))
            await registry.close()
            assert "eyJ" not in str(caught.value)

    asyncio.run(go())


@pytest.mark.parametrize("ca", ["none", "-----BEGIN CERTIFICATE-----\nx\n", "ö"])
def test_an_authority_without_certificates_is_told(ca: str) -> None:
    with pytest.raises(RegistryFailed, match="PEM"):
        OciRegistry("registry.example.org", ca=ca)


@pytest.mark.parametrize("body", [b"<html>", b"[]"])
def test_an_answer_of_something_else_is_told(tmp_path: Path, body: bytes) -> None:
    async def scene(there: Registry, registry: OciRegistry) -> None:
        there.put(NAME, "1")
        there.body = body

        with pytest.raises(RegistryFailed, match="JSON"):
            await registry.tags(registry.reference("secxops/a/project"))
        with pytest.raises(RegistryFailed, match="JSON"):
            await registry.find(f"{registry.reference('secxops/a/project')}:1")

    play(tmp_path, scene)


def test_a_reference_is_taken_apart() -> None:
    assert split("r:5000/a/b:1") == ("r:5000", "a/b", "1")
    assert split("r:5000/a/b") == ("r:5000", "a/b", "latest")
    assert split("r/a@sha256:0") == ("r", "a", "sha256:0")
    assert split("r/a:1@sha256:0") == ("r", "a", "sha256:0")
    assert split("[::1]:5000/a:1") == ("[::1]:5000", "a", "1")
    assert split("[2001:db8::1]/a") == ("[2001:db8::1]", "a", "latest")


@pytest.mark.parametrize(
    "challenge",
    [
        'Basic realm="x"\nBearer {}',
        'Bearer {}\nBasic realm="x"',
        'Bearer {}, Basic realm="x"',
        'Basic realm="x, y", Bearer {}',
    ],
)
@pytest.mark.parametrize(
    "parameters",
    [
        'realm="https://{0}/token",service="r",scope="{1}"',
        'REALM="https://{0}/token" , Service="r", scope="{1}"',
        'realm=https://{0}/token,service=r,scope="{1}"',
        'realm="https://{0}/token?service=r",scope="{1}",error="insufficient_scope"',
        'realm="https://{0}/token",service="\\r",scope="{1}",empty=""',
    ],
)
def test_a_token_is_asked_for_however_the_challenge_is_written(
    tmp_path: Path, challenge: str, parameters: str
) -> None:
    async def scene(there: Registry, registry: OciRegistry) -> None:
        there.challenge = challenge.format(parameters)
        digest = there.put(NAME, "1")

        found = await registry.find(f"{registry.reference('secxops/a/project')}:1")

        assert found is not None and found.digest == digest

    play(tmp_path, scene, Registry(bearer=True))


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "header", ["", "Bearer", 'Basic realm="x', "Bearer realm", "a" * 60_000 + '"', '"' * 60_000]
)
def test_a_challenge_that_makes_no_sense_is_none(header: str) -> None:
    assert not any(parameters.get("realm") for _, parameters in challenges([header]))
