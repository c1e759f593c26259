"""A PostgreSQL server of the distribution, for as long as tests or benchmarks need it."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import socket
import subprocess
from pathlib import Path

ACCOUNT = "nobody"
"""Whose it is where the tests are root's: the server refuses to run as root."""


def found() -> Path | None:
    """Return the folder of the newest server's programs, None where there is none."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=_version)
    if places:
        return places[-1].parent
    program = shutil.which("initdb")
    return Path(program).resolve().parent if program else None


def _version(program: Path) -> int:
    name = program.parts[-3]
    return int(name) if name.isdigit() else 0


class Postgres:
    """One server in a folder of its own, on a port of loopback; its data need not survive."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._data = folder / "data"
        self._names = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        # pytest's folders are its own account's alone, and the server's is another.
        self._account = ACCOUNT if os.geteuid() == 0 else None
        if self._account:
            self._data = Path(f"/tmp/secxops-postgres-{os.getpid()}-{self.port}/data")
            self._data.parent.mkdir(mode=0o700)
            shutil.chown(self._data.parent, self._account)

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [self._programs / program, *words],
            user=self._account,
            group=pwd.getpwnam(self._account).pw_gid if self._account else None,
            cwd="/",
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        """Make the server's data, and have it answer."""
        self._run("initdb", "-D", str(self._data), "-U", "secxops", "-A", "trust", "-N")
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self._data),
            "fsync": "off",
        }
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        log = str(self._data.parent / "log")
        self._run("pg_ctl", "-D", str(self._data), "-w", "-l", log, "-o", options, "start")

    def stop(self) -> None:
        """End it, and remove its data."""
        self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "stop")
        shutil.rmtree(self._data.parent)

    def database(self, port: int | None = None) -> str:
        """Return the URL of a new, empty database; through ``port`` if there is a proxy."""
        import psycopg

        name = f"db{next(self._names)}"
        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="secxops", dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://secxops@127.0.0.1:{port or self.port}/{name}"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])
