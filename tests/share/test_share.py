"""Sharing an environment from the command line, end to end, on a real Docker Engine."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from effort import soaked

from .conftest import (
    Leftovers,
    Outcome,
    Person,
    Project,
    awkward_data,
    running,
    small_project,
    somebody,
)

pytestmark = pytest.mark.docker


def fetch(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read()


def api(url: str, path: str) -> str:
    """The address of a Jupyter REST path beside a tokened ``…/lab?token=…`` URL."""
    base, token = url.split("/lab", 1)
    return f"{base}{path}{token}"


def in_container(engine_objects: Leftovers, name: str, *command: str) -> str:
    code, output = engine_objects.client.containers.get(name).exec_run(list(command), user="0")
    assert code == 0, output
    return output.decode("utf-8", "surrogateescape")


class TestAShare:
    """What one share is, seen from many sides."""

    @pytest.fixture(scope="class")
    @classmethod
    def folder(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return tmp_path_factory.mktemp("shared")

    @pytest.fixture(scope="class")
    @classmethod
    def person(cls, folder: Path) -> Iterator[Person]:
        with somebody(folder) as made:
            yield made

    @pytest.fixture(scope="class")
    @classmethod
    def source(cls, folder: Path, lab_image: str) -> Project:
        """The project that was shared; it was changed since."""
        return small_project(folder, lab_image)

    @pytest.fixture(scope="class")
    @classmethod
    def numbers(cls, folder: Path) -> Path:
        """The data that were shared."""
        return awkward_data(folder / "domains")

    @pytest.fixture(scope="class")
    @classmethod
    def told(cls, person: Person, source: Project, numbers: Path) -> Outcome:
        """What a person is told who shares project and data."""
        asked = ("--data", str(numbers), "--cpu", "0.5", "--memory", "512M")
        done = person.run("share", str(source.path), *asked)
        assert done.code == 0, done.err
        source.write("train.py", "print('changed here')\n")
        return done

    @pytest.fixture(scope="class")
    @classmethod
    def shared(cls, person: Person, told: Outcome) -> Any:
        (row,) = person.ok("list")
        return person.ok("show", row["id"])

    def test_tells_a_person_what_it_does(self, told: Outcome) -> None:
        said = told.out + told.err
        for word in ("Copied", "Not copied", "0 differences", "http://127.0.0.1:"):
            assert word in said, said

    def test_makes_a_second_proven_environment(
        self, shared: Any, numbers: Path, engine_objects: Leftovers
    ) -> None:
        assert shared["state"] == "succeeded"
        result = shared["result"]
        listing = json.loads(fetch(api(result["url"], "/api/contents/")))
        assert {"train.py", "notebooks", "Dockerfile"} <= {e["name"] for e in listing["content"]}

        assert [(v["role"], v["mount"]) for v in result["volumes"]] == [
            ("code", "/home/jovyan/detector"),
            ("data", "/data/domains"),
        ]
        assert result["evidence"]["differences"] == 0
        assert result["evidence"]["image_built"] == result["evidence"]["image_running"]
        assert len(result["evidence"]["observations"]) == 2
        assert result["volumes"][1]["files"] == 204

        name = result["place"]["name"]
        assert engine_objects.containers(shared["id"]) == [name]
        assert len(engine_objects.volumes(shared["id"])) == 2
        there = in_container(engine_objects, name, "sha256sum", "/data/domains/0/000.csv").split()[
            0
        ]
        here = subprocess.run(
            ["sha256sum", str(numbers / "0" / "000.csv")],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()[0]
        assert there == here
        assert (
            in_container(engine_objects, name, "readlink", "/data/domains/link").strip()
            == "/etc/shadow"
        )

    def test_is_independent_of_its_source(self, shared: Any, engine_objects: Leftovers) -> None:
        name, mount = shared["result"]["place"]["name"], shared["result"]["volumes"][0]["mount"]
        assert "training" in in_container(engine_objects, name, "cat", f"{mount}/train.py")

    def test_hands_the_files_to_the_images_user(
        self, shared: Any, engine_objects: Leftovers
    ) -> None:
        name, mount = shared["result"]["place"]["name"], shared["result"]["volumes"][0]["mount"]
        assert (
            in_container(engine_objects, name, "stat", "-c", "%u:%g", f"{mount}/train.py").strip()
            == "1000:1000"
        )
        assert shared["result"]["evidence"]["owner_map"]

    def test_answers_only_with_its_token(self, shared: Any) -> None:
        with pytest.raises(urllib.error.HTTPError) as denied:
            fetch(api(shared["result"]["url"], "/api/contents/").split("?")[0])
        denied.value.close()
        assert denied.value.code == 403

    def test_has_no_privileges(self, shared: Any, engine_objects: Leftovers) -> None:
        inspected = engine_objects.client.api.inspect_container(shared["result"]["place"]["name"])
        host = inspected["HostConfig"]
        assert host["CapDrop"] == ["ALL"] and not host["CapAdd"] and not host["Privileged"]
        assert any(o.startswith("no-new-privileges") for o in host["SecurityOpt"])
        assert host["Memory"] == 512 * 1024**2 and host["NanoCpus"] == 500_000_000
        token = shared["result"]["url"].split("token=")[1]
        assert token not in json.dumps(inspected)

    def test_of_the_copy_adds_no_layer(
        self, shared: Any, person: Person, tmp_path: Path, engine_objects: Leftovers
    ) -> None:
        name, mount = shared["result"]["place"]["name"], shared["result"]["volumes"][0]["mount"]
        copy = tmp_path / "again" / "detector"
        copy.parent.mkdir()
        stream, _ = engine_objects.client.containers.get(name).get_archive(mount)
        subprocess.run(["tar", "-x", "-C", str(copy.parent)], input=b"".join(stream), check=True)

        again = person.ok("share", str(copy))

        assert again["result"]["image"]["digest"] == shared["result"]["image"]["digest"]

    def test_finds_data_where_the_code_looks_for_it_and_as_root_reads_what_others_own(
        self, person: Person, project: Project, engine_objects: Leftovers
    ) -> None:
        project.write("Dockerfile", f"{(project.path / 'Dockerfile').read_text()}USER root\n")
        project.write("data/raw/x.csv", "1\n")
        theirs = project.write("theirs.txt", "2\n")
        theirs.chmod(0o600)
        os.chown(theirs, 33, 33)
        inner = project.path / "data" / "raw"

        shared = person.ok("share", str(project.path), "--data", str(inner), "--keep-owners")

        name = shared["result"]["place"]["name"]
        read = in_container(engine_objects, name, "cat", "data/raw/x.csv", "theirs.txt")
        assert read == "1\n2\n"
        assert in_container(engine_objects, name, "stat", "-c", "%u", "theirs.txt") == "33\n"
        status = in_container(engine_objects, name, "cat", "/proc/1/status")
        (allowed,) = (line.split()[1] for line in status.splitlines() if "CapBnd" in line)
        assert int(allowed, 16) & (1 << 13 | 1 << 27 | 1 << 31 | 1 << 18 | 1 << 29) == 0

    def test_of_an_earlier_version_takes_its_dockerfile_and_files(
        self, person: Person, project: Project, engine_objects: Leftovers
    ) -> None:
        project.git("init", "-q", "-b", "main")
        project.git("remote", "add", "origin", "https://me:hunter2@git.example.org/x.git")
        project.git("add", "-A")
        project.git("commit", "-q", "-m", "first")
        project.git("tag", "v1")
        project.write("train.py", "print('second')\n")
        (project.path / "Dockerfile").unlink()
        project.git("add", "-A")
        project.git("commit", "-q", "-m", "second")

        shared = person.ok("share", str(project.path), "--version", "v1")

        name, mount = shared["result"]["place"]["name"], shared["result"]["volumes"][0]["mount"]
        assert "training" in in_container(engine_objects, name, "cat", f"{mount}/train.py")
        assert "hunter2" not in in_container(engine_objects, name, "cat", f"{mount}/.git/config")
        status = in_container(
            engine_objects,
            name,
            "git",
            "-c",
            "safe.directory=*",
            "-C",
            mount,
            "status",
            "--porcelain",
        )
        assert status == ""


class TestAPlan:
    @pytest.fixture(scope="class")
    @classmethod
    def person(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
        with somebody(tmp_path_factory.mktemp("person")) as made:
            yield made

    def test_touches_nothing(
        self, person: Person, project: Project, data: Path, engine_objects: Leftovers
    ) -> None:
        before = engine_objects.client.volumes.list(filters={"label": "secxops.io/owner"})

        plan = person.ok("plan", str(project.path), "--data", str(data))

        assert plan["route"] == "stay" and plan["reasons"] and not plan["refusals"]
        assert {c["role"] for c in plan["copied"]} == {"code", "data", "packages"}
        after = engine_objects.client.volumes.list(filters={"label": "secxops.io/owner"})
        assert {v.name for v in after} <= {v.name for v in before}

    def test_warns_of_project_files_in_the_image(self, person: Person, project: Project) -> None:
        dockerfile = (project.path / "Dockerfile").read_text()
        project.write("Dockerfile", dockerfile + "COPY . /opt/detector\n")

        plan = person.ok("plan", str(project.path))

        warned = {w["code"]: w for w in plan["warnings"]}
        assert warned["image_holds_project"]["params"]["line"] == 4

    @pytest.mark.parametrize(
        ("options", "code"),
        [
            (["--memory", "900G"], "memory_short"),
            (["--gpu", "1"], "gpu_missing"),
            (["--cpu", "4000"], "cpu_short"),
        ],
    )
    def test_refuses_what_does_not_fit(
        self, person: Person, project: Project, options: list[str], code: str
    ) -> None:
        done = person.run("share", str(project.path), *options, "--json")

        assert done.code == 3, done.err
        assert done.json["error"]["code"] == "refused"
        assert [r["code"] for r in done.json["plan"]["refusals"]] == [code]


class TestBadInput:
    @pytest.fixture(scope="class")
    @classmethod
    def person(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
        with somebody(tmp_path_factory.mktemp("person")) as made:
            yield made

    def left_nothing(self, engine_objects: Leftovers, shared: Any) -> bool:
        return engine_objects.of(shared["id"]) == []

    def test_no_dockerfile(
        self, person: Person, project: Project, engine_objects: Leftovers
    ) -> None:
        (project.path / "Dockerfile").unlink()

        done = person.run("share", str(project.path), "--json")

        assert done.code == 3, done.err
        assert done.json["error"]["code"] == "refused"
        refusal = done.json["plan"]["refusals"][0]
        assert refusal["code"] == "no_dockerfile" and "FROM" in refusal["hint"]
        assert self.left_nothing(engine_objects, done.json)

    def test_a_dockerfile_that_fails_at_line_7(
        self, person: Person, project: Project, engine_objects: Leftovers
    ) -> None:
        first = (project.path / "Dockerfile").read_text().splitlines()[0]
        project.write(
            "Dockerfile",
            f"{first}\n# two\n\nCOPY train.py \\\n  /secret\n# six\nRUN cat /no/such/file\nRUN true\n",
        )
        unnamed = engine_objects.unnamed()

        done = person.run("share", str(project.path), "--json")

        assert done.code == 1, done.err
        error = done.json["error"]
        assert error["code"] == "build_failed" and error["params"]["line"] == 7
        assert "cat /no/such/file" in error["message"] and error["hint"]
        assert engine_objects.unnamed() <= unnamed  # its COPY is nowhere
        log = person.run("logs", done.json["id"]).out
        assert "No such file or directory" in log
        assert self.left_nothing(engine_objects, done.json)

    def test_a_dockerfile_for_buildkit_is_built(self, person: Person, project: Project) -> None:
        dockerfile = (project.path / "Dockerfile").read_text()
        project.write("Dockerfile", f"{dockerfile}\nRUN --mount=type=cache,target=/c true\n")

        shared = person.ok("share", str(project.path))

        log = person.run("logs", shared["id"]).out
        assert "RUN --mount=type=cache,target=/c true" in log
        assert shared["result"]["evidence"]["differences"] == 0

    def test_an_image_without_jupyter(
        self, person: Person, project: Project, engine_objects: Leftovers, bare_image: str
    ) -> None:
        project.write("Dockerfile", f"FROM {bare_image}\n")

        done = person.run("share", str(project.path), "--json")

        assert done.code == 1, done.err
        assert done.json["error"]["code"] == "image_without_jupyter"
        assert "pip install jupyterlab" in done.json["error"]["hint"]
        assert self.left_nothing(engine_objects, done.json)

    @pytest.mark.parametrize(
        "name",
        [
            "$(touch x)",
            *(soaked(n) for n in ("--privileged", "`touch x`; touch x", "a'b\"c", "-v")),
        ],
    )
    def test_a_hostile_project_name(
        self, person: Person, project: Project, name: str, tmp_path: Path
    ) -> None:
        hostile = tmp_path / name
        project.path.rename(hostile)

        done = person.run("share", "--json", "--", f"./{name}", cwd=tmp_path)

        assert done.code == 0, done.err
        assert done.json["state"] == "succeeded"
        assert not list(tmp_path.rglob("x"))

    @pytest.mark.parametrize(
        "ref", ["--upload-pack=touch x", "--help", "main; touch x", "no-such-branch"]
    )
    def test_a_hostile_ref(self, person: Person, project: Project, ref: str) -> None:
        project.git("init", "-q", "-b", "main")
        project.git("add", "-A")
        project.git("commit", "-q", "-m", "first")

        done = person.run("share", str(project.path), f"--version={ref}", "--json")

        assert (done.code, done.json["code"]) == (2, "no_such_version"), done.out
        assert not list(project.path.rglob("x"))

    def test_files_that_come_and_go_while_they_are_copied(
        self, person: Person, project: Project, data: Path
    ) -> None:
        churn = subprocess.Popen(
            [
                "sh",
                "-c",
                'while :; do for i in 1 2 3 4 5 6 7 8 9; do : > "$0/v$i"; done; rm -f "$0"/v*; done',
                str(data),
            ]
        )
        try:
            done = person.run("share", str(project.path), "--data", str(data), "--json")
        finally:
            churn.kill()
            churn.wait()

        if done.code:
            assert done.json["error"]["code"] == "file_changing", done.out
        else:
            assert done.json["result"]["evidence"]["differences"] == 0


class TestNoEngine:
    def test_is_said_with_what_to_do(
        self, person: Person, project: Project, tmp_path: Path
    ) -> None:
        person.env["DOCKER_HOST"] = f"unix://{tmp_path}/nothing.sock"

        done = person.run("share", str(project.path), "--json")

        assert done.code == 1, done.out
        assert done.json["error"]["code"] == "engine_unavailable"
        assert "Start Docker" in done.json["error"]["hint"]
        doctor = person.run("doctor", "--json")
        assert doctor.code == 1
        checks = {c["name"]: c["state"] for c in doctor.json["checks"]}
        assert checks["engine"] == "failed"


class TestTwoAtOnce:
    def test_shares_of_one_project_are_independent(
        self, person: Person, project: Project, engine_objects: Leftovers
    ) -> None:
        both = [person.start("share", str(project.path), "--json") for _ in range(2)]
        results = [json.loads(p.communicate(timeout=180)[0]) for p in both]

        assert [r["state"] for r in results] == ["succeeded", "succeeded"]
        assert results[0]["id"] != results[1]["id"] and results[0]["name"] != results[1]["name"]
        assert {len(engine_objects.volumes(r["id"])) for r in results} == {1}


class TestSurvival:
    """The service is killed without warning; the next call finishes the share."""

    def slow(self, project: Project) -> None:
        dockerfile = (project.path / "Dockerfile").read_text()
        project.write(
            "Dockerfile",
            f"{dockerfile}COPY train.py /secret\nRUN sleep 5 && echo {os.urandom(8).hex()} > /tmp/unique\n",
        )

    @pytest.mark.parametrize("step", [soaked("build"), "copy"])
    def test_of_a_kill(
        self, step: str, person: Person, project: Project, data: Path, engine_objects: Leftovers
    ) -> None:
        if step == "build":
            self.slow(project)
        else:
            for n in range(40):
                (data / f"big{n}").write_bytes(os.urandom(16 * 1024 * 1024))
        unnamed = engine_objects.unnamed()
        queued = person.ok("share", str(project.path), "--data", str(data), "--no-wait")
        person.wait_for(queued["id"], running(step))
        person.kill_service()

        ended = person.wait_until_final(queued["id"])

        assert ended["state"] == "succeeded", json.dumps(ended, indent=1)
        assert ended["result"]["evidence"]["differences"] == 0
        assert engine_objects.containers(queued["id"]) == [ended["result"]["place"]["name"]]
        assert len(engine_objects.volumes(queued["id"])) == 2
        assert person.ok("sweep") == []
        person.run("delete", queued["id"], "--yes")
        assert engine_objects.unnamed() <= unnamed

    @pytest.mark.parametrize("step", ["build", soaked("copy")])
    def test_cancelling_ends_everything(
        self, step: str, person: Person, project: Project, data: Path, engine_objects: Leftovers
    ) -> None:
        if step == "build":
            self.slow(project)
        else:
            for n in range(60):
                (data / f"big{n}").write_bytes(os.urandom(16 * 1024 * 1024))
        before, unnamed = engine_objects.dangling(), engine_objects.unnamed()
        queued = person.ok("share", str(project.path), "--data", str(data), "--no-wait")
        person.wait_for(queued["id"], running(step))

        said = person.ok("cancel", queued["id"])
        assert said["state"] in ("cancelling", "cancelled")
        ended = person.wait_until_final(queued["id"], 20)  # what it does takes minutes

        assert ended["state"] == "cancelled"
        assert engine_objects.of(queued["id"]) == []
        assert engine_objects.dangling() <= before
        assert engine_objects.unnamed() <= unnamed


class TestLifeAfter:
    def test_list_stop_start_delete(
        self, person: Person, project: Project, engine_objects: Leftovers
    ) -> None:
        shared = person.ok("share", str(project.path), "--name", "mine")
        id_ = shared["id"]
        assert [m["id"] for m in person.ok("list")] == [id_]
        assert "token" not in json.dumps(person.ok("list"))

        assert person.ok("stop", id_)["environment"]["status"] == "stopped"
        person.ok("start", id_)
        url = person.wait_for(id_, lambda m: m["environment"]["status"] == "running")["result"][
            "url"
        ]
        assert json.loads(fetch(api(url, "/api/status")))["started"]

        image = shared["result"]["image"]["reference"]
        person.run("delete", "mine", "--yes", "--json")
        assert engine_objects.of(id_) == []
        assert not engine_objects.client.images.list(name=image)
        assert person.ok("list") == []
        assert person.run("show", id_).code == 1

    def test_retry_after_the_cause_is_gone(self, person: Person, project: Project) -> None:
        good = (project.path / "Dockerfile").read_text()
        project.write("Dockerfile", good + "RUN false\n")
        failed = person.run("share", str(project.path), "--json").json
        assert failed["state"] == "failed"
        project.write("Dockerfile", good)

        person.ok("retry", failed["id"])
        ended = person.wait_until_final(failed["id"])

        assert (ended["state"], ended["attempt"]) == ("succeeded", 2)

    def test_sweep_finds_and_removes_orphans(
        self, person: Person, project: Project, engine_objects: Leftovers
    ) -> None:
        shared = person.ok("share", str(project.path))
        image = shared["result"]["image"]["reference"]
        stray = f"{image.rpartition(':')[0]}:lost"
        engine_objects.client.images.get(image).tag(stray)
        volume = engine_objects.client.volumes.get(engine_objects.volumes(shared["id"])[0])
        labels = {**volume.attrs["Labels"], "secxops.io/migration": "mlost00000"}
        lost = engine_objects.client.volumes.create(name="secxops-mlost00000-code", labels=labels)
        try:
            assert {o["name"] for o in person.ok("sweep")} == {lost.name, stray}
            removed = person.ok("sweep", "--remove")
            assert {o["name"] for o in removed} == {lost.name, stray}
            assert person.ok("sweep") == []
            assert engine_objects.client.images.get(image).tags == [image]
            assert engine_objects.volumes("mlost00000") == []
            assert len(engine_objects.volumes(shared["id"])) == 1
        finally:
            for volume in engine_objects.client.volumes.list(
                filters={"label": "secxops.io/migration=mlost00000"}
            ):
                volume.remove()
