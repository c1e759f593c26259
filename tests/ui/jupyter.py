"""A person's JupyterLab, as a process of its own, with the extension as it was built."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import jupyter_secxops_migrate

TOKEN = "a-token-of-the-tests"
NOTEBOOK = {
    "cells": [],
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}


@dataclass
class Lab:
    """A JupyterLab of a person."""

    url: str
    root: Path
    process: subprocess.Popen[bytes]
    command: list[str]
    env: Mapping[str, str]
    log: Path

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=self.env, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        deadline = time.monotonic() + 60
        while True:
            try:
                self.ask("api")
                return
            except OSError:
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.1)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)

    def ask(self, path: str) -> bytes:
        """Return what the server answers to a GET."""
        with urllib.request.urlopen(f"{self.url}/{path}?token={TOKEN}", timeout=30) as answer:
            return bytes(answer.read())

    def choose(self, theme: str, language: str) -> None:
        """Choose theme and language, as a person does in JupyterLab's settings."""
        for plugin, values in (
            ("@jupyterlab/apputils-extension:themes", {"theme": theme}),
            ("@jupyterlab/translation-extension:plugin", {"locale": language}),
            # A tour or a question would stand in the way.
            ("@jupyterlab/apputils-extension:notification", {"fetchNews": "false"}),
        ):
            request = urllib.request.Request(
                f"{self.url}/lab/api/settings/{plugin}",
                data=json.dumps({"raw": json.dumps(values)}).encode(),
                method="PUT",
                headers={"Authorization": f"token {TOKEN}"},
            )
            urllib.request.urlopen(request, timeout=20).close()


@contextmanager
def jupyterlab(root: Path, env: Mapping[str, str], *options: str) -> Iterator[Lab]:
    """Run a JupyterLab whose files are below ``root``, until the end of the block."""
    built = Path(jupyter_secxops_migrate.__file__).parent / "labextension"
    assert (built / "package.json").exists(), "the Lab extension is not built; `pip install .`"
    extensions = root / "labextensions" / "@jupyter-secxops"
    extensions.mkdir(parents=True)
    (extensions / "migrate").symlink_to(built)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        *("-m", "jupyterlab", "--no-browser", "--allow-root"),
        *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"),
        f"--ServerApp.root_dir={root}",
        f"--IdentityProvider.token={TOKEN}",
        f"--LabApp.extra_labextensions_path={extensions.parent}",
        "--ServerApp.allow_remote_access=True",
        "--ServerApp.jpserver_extensions={'jupyter_secxops_migrate': True}",
        *options,
    ]
    made = Lab(
        f"http://127.0.0.1:{port}",
        root,
        None,  # type: ignore[arg-type]
        command,
        env,
        root / "lab.log",
    )
    made.start()
    try:
        yield made
    finally:
        made.stop()
