"""Environments of a real Docker Engine: tokens, extensions, volumes, entrypoints."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path

import docker
import pytest

from jupyter_secxops_migrate.engines.docker import DockerEngine
from jupyter_secxops_migrate.engines.errors import LaunchFailed
from jupyter_secxops_migrate.engines.names import Names, labels
from jupyter_secxops_migrate.engines.orders import (
    BuildResult,
    ImageProbe,
    LaunchOrder,
    Observation,
    VolumeMount,
    result_of,
)

from .bench import (
    OWNER,
    Work,
    build_order,
    extension,
    extensions_of,
    status,
)

pytestmark = pytest.mark.docker


class TestLaunch:
    def launch(
        self, work: Work[Observation], migration: str, tmp_path: Path, text: str
    ) -> tuple[Observation, str]:
        token = secrets.token_urlsafe(16)

        async def go(engine: DockerEngine) -> Observation:
            built = await result_of(
                engine.build(build_order(migration, tmp_path, text)), BuildResult
            )
            probe = await engine.probe(migration, OWNER, built.info, built.reference, {})
            volume = Names(migration).volume("code")
            marks = labels(OWNER, "code", migration)
            await engine._connection.call(
                "make a volume", lambda api: api.create_volume(volume, labels=marks)
            )
            return await engine.launch(
                LaunchOrder(
                    migration,
                    OWNER,
                    "test",
                    built.info.digest,
                    built.reference,
                    probe,
                    [VolumeMount(volume, "/home/jovyan/code")],
                    "/home/jovyan",
                    token,
                    extensions={
                        f"@a/ours/{name}": content for name, content in extension("@a/ours").items()
                    },
                )
            )

        return work(go), token

    def test_goes_by_its_own_token_though_the_image_names_one(
        self, work: Work[Observation], migration: str, tmp_path: Path, lab_image: str
    ) -> None:
        text = f"FROM {lab_image}\nENV JUPYTER_TOKEN=easy\n"
        # What else the image has for JupyterLab stays, beside what comes with the environment.
        text += "ENV JUPYTER_PATH=/home/jovyan/lab\n"
        for name, content in extension("theirs").items():
            file = f"/home/jovyan/lab/labextensions/theirs/{name}"
            text += f"RUN mkdir -p {os.path.dirname(file)} && echo '{content.decode()}' > {file}\n"

        seen, token = self.launch(work, migration, tmp_path, text)
        assert {"@a/ours", "theirs"} <= extensions_of(seen, token)

        assert status(seen, token) == 200
        assert status(seen, "easy") == 403
        assert status(seen) == 403

    @pytest.mark.parametrize("chosen", ["", "easy"])
    def test_refuses_an_image_whose_configuration_sets_the_token(
        self,
        work: Work[Observation],
        migration: str,
        tmp_path: Path,
        lab_image: str,
        chosen: str,
    ) -> None:
        text = (
            f"FROM {lab_image}\n"
            "RUN mkdir -p ~/.jupyter && "
            f"echo \"c.IdentityProvider.token = '{chosen}'\" > ~/.jupyter/jupyter_server_config.py\n"
        )

        with pytest.raises(LaunchFailed, match="own token"):
            self.launch(work, migration, tmp_path, text)

    def test_says_that_the_image_has_its_jupyterlab_elsewhere(
        self, work: Work[Observation], migration: str, tmp_path: Path, lab_image: str
    ) -> None:
        text = (
            f"FROM {lab_image}\n"
            "RUN mkdir -p ~/.jupyter && "
            "echo \"c.ServerApp.base_url = '/x/'\" > ~/.jupyter/jupyter_server_config.py\n"
        )

        with pytest.raises(LaunchFailed, match=r"sets base_url \(/x/\)") as failed:
            self.launch(work, migration, tmp_path, text)
        assert any("is running at" in line for line in failed.value.said)

    def test_mounts_are_ours_whatever_volumes_the_image_declares(
        self, work: Work[Observation], migration: str, tmp_path: Path, lab_image: str
    ) -> None:
        text = f"FROM {lab_image}\nVOLUME /home/jovyan/cache\n"

        seen, _ = self.launch(work, migration, tmp_path, text)

        assert seen.mounts == {"/home/jovyan/code": Names(migration).volume("code")}


class TestEntrypoint:
    """An image's own entrypoint runs where it runs what it is given, as with `docker run`."""

    def launch(
        self, work: Work[Observation], migration: str, tmp_path: Path, text: str
    ) -> tuple[Observation, str]:
        return TestLaunch().launch(work, migration, tmp_path, text)

    def test_activates_what_only_it_knows(
        self,
        work: Work[Observation],
        migration: str,
        tmp_path: Path,
        lab_image: str,
        docker_client: docker.DockerClient,
    ) -> None:
        script = '#!/bin/sh\\nexport PATH=/opt/venv/bin:$PATH ACTIVATED=yes\\nexec "$@"\\n'
        text = (
            f"FROM {lab_image}\nUSER root\n"
            f"RUN printf '{script}' > /entry && chmod 755 /entry\n"
            'USER jovyan\nENV PATH=/usr/bin:/bin\nENTRYPOINT ["/entry"]\n'
        )

        seen, token = self.launch(work, migration, tmp_path, text)

        assert status(seen, token) == 200
        container = docker_client.containers.get(seen.name)
        _, environment = container.exec_run(["sh", "-c", "cat /proc/[0-9]*/environ"])
        assert b"ACTIVATED=yes" in environment
        assert container.attrs["HostConfig"]["LogConfig"]["Config"]["max-size"] == "10m"

    @pytest.mark.parametrize("entry", ['["/bin/echo"]', '["/no/such"]', '["/usr/bin/yes"]'])
    def test_is_left_out_where_it_does_something_else(
        self,
        work: Work[ImageProbe],
        migration: str,
        tmp_path: Path,
        lab_image: str,
        entry: str,
    ) -> None:
        async def go(engine: DockerEngine) -> ImageProbe:
            text = f"FROM {lab_image}\nENTRYPOINT {entry}\n"
            built = await result_of(
                engine.build(build_order(migration, tmp_path, text)), BuildResult
            )
            return await engine.probe(migration, OWNER, built.info, built.reference, {})

        began = time.monotonic()
        found = work(go)

        assert (found.uid, found.entrypoint) == (1000, "bypassed")
        assert found.jupyter == ["/opt/venv/bin/jupyter-lab"]
        assert time.monotonic() - began < 30
