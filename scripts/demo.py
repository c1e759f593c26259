"""Share the sample project on this machine, from nothing to two running environments and a button.

``demo.py start`` gets an engine and a base image, makes the sample's data, starts its environment
(JupyterLab in a container of the sample's own image, project and data mounted from a working
folder), shares it with ``jupyter secxops share``, starts a JupyterLab with the sidebar on the same
folder, and prints the proof and all addresses. ``demo.py clean`` removes everything that this made,
here and in the engine, and nothing else.

All of it lies under ``.cache/demo``, the service's store included, so a person's own shares are not
touched. What was made in the engine is noted there as it is made.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import background
import engine
from steps import CACHE, ROOT, Stop, is_root, need, run, say, step

DEMO = CACHE / "demo"
STATE = DEMO / "state.json"
VENV = DEMO / "venv" / "bin"
SAMPLE = ROOT / "examples" / "dga-detector"
PROJECT = DEMO / "work" / "dga-detector"
DATA = DEMO / "work" / "domains"
TOKEN = DEMO / "token"
LAB = DEMO / "lab"
SERVICE = DEMO / "service"
LABEL = "secxops.io/demo"
# Two clones on one machine are two demos.
MARK = hashlib.sha256(str(DEMO).encode()).hexdigest()[:12]
SOURCE = f"secxops-demo-{MARK}"
SAMPLE_USER = 1000
SAMPLE_HOME = "/home/analyst"


def start() -> None:
    """Do the whole demo."""
    began = time.monotonic()
    state = _state()
    need({"git": "git"})
    engine.start()
    import docker

    client = docker.from_env()
    state["tools_before"] = state.get("tools_before", _tools(client))
    found = json.loads(_own_python("base_image.py"))
    state["base"] = found["base"] if found["made"] else state.get("base")
    _keep(state)
    _make_project(found["base"])
    url = _start_source(client, found["base"], found["network"])
    shared = _share(found["base"], found["network"])
    state["tools"] = sorted(set(_tools(client)) - set(state["tools_before"]))
    _keep(state)
    button = _start_lab(found["base"], found["network"])

    from jupyter_secxops_migrate.model import Migration
    from jupyter_secxops_migrate.sharing.terminal import evidence_line

    migration = Migration.model_validate(shared)
    assert migration.result is not None and migration.result.url is not None
    _answers(migration.result.url, "The share")
    print()
    print(f"The source   {url}")
    print(f"Its share    {migration.result.url}")
    print(f"The proof    {evidence_line(migration)}")
    print(f"The button   {button}")
    print(
        "             Open it, click the Share environment icon at the far left, Share environment…,"
    )
    print(f"             add {DATA}, Share; then Open.")
    print(f"All in {time.monotonic() - began:.0f} s. `make demo-clean` removes what was made.")


def _state() -> dict[str, Any]:
    return dict(json.loads(STATE.read_text())) if STATE.exists() else {}


def _keep(state: dict[str, Any]) -> None:
    STATE.parent.mkdir(parents=True, exist_ok=True)
    STATE.write_text(json.dumps(state, indent=2))


def _own_python(script: str) -> str:
    """Run a script beside this one with the demo's Python; what it says is seen."""
    done = subprocess.run(
        [VENV / "python", Path(__file__).with_name(script)], stdout=subprocess.PIPE, check=False
    )
    if done.returncode:
        raise SystemExit(done.returncode)
    return done.stdout.decode()


def _tools(client: Any) -> list[str]:
    """Return the names of the images that the service makes for its own Jobs."""
    names = (tag for image in client.images.list() for tag in image.tags)
    return sorted(name for name in names if name.startswith("secxops-tools"))


def _make_project(base: str) -> None:
    """Copy the sample to the working folder, as a git repository with data beside it."""
    with step(f"Copying the sample project to {PROJECT}"):
        shutil.rmtree(PROJECT, ignore_errors=True)
        shutil.copytree(SAMPLE, PROJECT, ignore=shutil.ignore_patterns("__pycache__", "results"))
        recipe = PROJECT / "Dockerfile"
        text = recipe.read_text()
        recipe.write_text(text.replace("BASE_IMAGE=python:3.12-slim", f"BASE_IMAGE={base}"))
        git = ["git", "-C", PROJECT]
        run([*git, "init", "--quiet", "--initial-branch=main"])
        run([*git, "add", "--all"])
        who = ["-c", "user.name=Demo", "-c", "user.email=demo@localhost"]
        run([*git, *who, "commit", "--quiet", "--no-gpg-sign", "--message=The sample"])
    if not DATA.exists():
        with step("Making its data: DNS logs, about 190 MB in 5,000 files"):
            partial = DATA.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            run([sys.executable, SAMPLE / "make_data.py", partial])
            partial.rename(DATA)
    if is_root():
        # In the container the sample's user works on these files.
        for folder, _, files in os.walk(PROJECT.parent):
            for name in (".", *files):
                os.chown(Path(folder) / name, SAMPLE_USER, SAMPLE_USER, follow_symlinks=False)


def _start_source(client: Any, base: str, network: str) -> str:
    """Build the sample's image, start its JupyterLab in a container, and return its address."""
    with step("Building the sample's image from its Dockerfile"):
        try:
            client.images.build(
                path=str(PROJECT), tag=SOURCE, network_mode=network, rm=True, labels={LABEL: MARK}
            )
        except Exception as error:
            for line in list(getattr(error, "build_log", []))[-20:]:
                say(f"    {str(line.get('stream') or line.get('error') or '').rstrip()}")
            raise Stop(f"The sample's image could not be built: {error}") from None
    with step("Starting its environment: JupyterLab with project and data mounted"):
        _remove_source(client)
        token = secrets.token_hex(24)
        TOKEN.write_text(token)
        owner = SAMPLE_USER if is_root() else os.getuid()
        if is_root():
            os.chown(TOKEN, owner, owner)
        TOKEN.chmod(0o400)
        work = f"{SAMPLE_HOME}/dga-detector"
        container = client.containers.run(
            SOURCE,
            ["jupyter", "lab", "--ip=0.0.0.0", "--port=8888", "--no-browser"],
            name=SOURCE,
            detach=True,
            init=True,
            user=f"{owner}:{owner if is_root() else os.getgid()}",
            environment={
                "JUPYTER_TOKEN_FILE": "/run/jupyter-token",
                "HOME": SAMPLE_HOME if owner == SAMPLE_USER else work,
            },
            labels={LABEL: MARK},
            ports={"8888/tcp": ("127.0.0.1", None)},
            volumes={
                str(PROJECT): {"bind": work, "mode": "rw"},
                str(DATA): {"bind": "/data/domains", "mode": "rw"},
                str(TOKEN): {"bind": "/run/jupyter-token", "mode": "ro"},
            },
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
        )
        container.reload()
        port = container.ports["8888/tcp"][0]["HostPort"]
        url = f"http://127.0.0.1:{port}/lab?token={token}"
        try:
            _answers(url, "The source")
        except Stop:
            for line in container.logs(tail=15).decode(errors="replace").splitlines():
                say(f"    {line}")
            raise
    return url


def _answers(url: str, what: str) -> None:
    """Wait until a JupyterLab answers."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    raise Stop(f"{what} did not answer within 60 s.")


def _settings(base: str = "", network: str = "") -> dict[str, str]:
    """Return the variables that give the demo a service of its own."""
    found = {**os.environ, "SECXOPS_DATA_DIR": str(SERVICE)}
    if base:
        found |= {"SECXOPS_TOOLS_BASE": base, "SECXOPS_BUILD_NETWORK": network}
    return found


def _share(base: str, network: str) -> dict[str, Any]:
    """Share the project and its data; return the migration."""
    words = ["share", str(PROJECT), "--data", str(DATA), "--cpu", "1", "--memory", "1G"]
    with step(f"jupyter secxops {' '.join(words)}"):
        done = subprocess.run(
            [VENV / "jupyter-secxops", *words, "--json"],
            env=_settings(base, network),
            stdout=subprocess.PIPE,
            check=False,
        )
    if done.returncode:
        raise Stop(f"The share ended with status {done.returncode}.")
    return dict(json.loads(done.stdout))


def _start_lab(base: str, network: str) -> str:
    """Start a JupyterLab with the sidebar, here and not in a container; return its address.

    What it writes for itself lies in the demo's folder, and no setting of the person's is read.
    """
    background.stop(LAB / "process.json", "the demo's JupyterLab")
    token = secrets.token_hex(24)
    with step("Starting JupyterLab with the sidebar"):
        LAB.mkdir(parents=True, exist_ok=True)
        LAB.chmod(0o700)
        (LAB / "token").write_text(token)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        own = {
            f"JUPYTER_{kind}_DIR": str(LAB / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")
        }
        background.start(
            [
                VENV / "jupyter-lab",
                *("--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1"),
                *(f"--ServerApp.port={port}", "--ServerApp.port_retries=0"),
                f"--ServerApp.root_dir={PROJECT.parent}",
            ],
            LAB / "process.json",
            LAB / "log",
            {
                **_settings(base, network),
                **own,
                "IPYTHONDIR": str(LAB / "ipython"),
                "JUPYTER_TOKEN_FILE": str(LAB / "token"),
                "DGA_DATA": str(DATA),
            },
        )
        url = f"http://127.0.0.1:{port}/lab/tree/{PROJECT.name}/detector.ipynb?token={token}"
        try:
            _answers(url, "JupyterLab")
        except Stop:
            for line in (LAB / "log").read_text(errors="replace").splitlines()[-15:]:
                say(f"    {line}")
            raise
    return url


# --------------------------------------------------------------------------- cleaning


def clean() -> None:
    """Remove what `start` made."""
    # First, because its panel would have the service started again.
    background.stop(LAB / "process.json", "the demo's JupyterLab")
    if (VENV / "python").exists():
        if Path(sys.prefix).resolve() != (DEMO / "venv").resolve():
            os.execv(VENV / "python", [str(VENV / "python"), __file__, "clean"])
        if engine.version():
            _clean_engine()
        _stop_service()
    engine.stop()
    with step(f"Removing {DEMO}"):
        shutil.rmtree(DEMO, ignore_errors=True)
        shutil.rmtree(CACHE / "engine", ignore_errors=True)
    say("Distribution packages that were installed for the demo stay (docker.io, mmdebstrap).")


def _clean_engine() -> None:
    import docker

    client = docker.from_env()
    if SERVICE.exists():
        with step("Deleting the demo's shares"):
            for share in json.loads(_ask("list") or "[]"):
                _ask("delete", share["id"], "--yes")
            _ask("sweep", "--remove")
    state = _state()
    with step("Removing the source's container and the images that were made"):
        _remove_source(client)
        for name in (SOURCE, *state.get("tools", []), state.get("base")):
            if name:
                _remove_image(client, name)


def _ask(*words: str) -> str:
    done = subprocess.run(
        [VENV / "jupyter-secxops", *words, "--json"],
        env=_settings(),
        stdout=subprocess.PIPE,
        check=False,
    )
    return done.stdout.decode() if done.returncode == 0 else ""


def _remove_source(client: Any) -> None:
    for container in client.containers.list(all=True, filters={"label": f"{LABEL}={MARK}"}):
        container.remove(force=True, v=True)


def _remove_image(client: Any, name: str) -> None:
    from docker.errors import APIError, ImageNotFound

    try:
        client.images.remove(name)
    except ImageNotFound:
        pass
    except APIError as error:
        say(f"  {name} stays: {error.explanation}")


def _stop_service() -> None:
    """End the demo's own service; it would end by itself when idle."""
    if not SERVICE.exists():
        return
    report = json.loads(_ask("doctor") or "{}")
    pid = report.get("service", {}).get("pid")
    if not isinstance(pid, int):
        return
    with step(f"Stopping the demo's service (process {pid})"):
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 15
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            time.sleep(0.1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("start", "clean"))
    {"start": start, "clean": clean}[parser.parse_args().what]()
