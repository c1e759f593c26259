"""The accounts that a user's Docker configuration has at registries, by its credential helpers too.

docker-py runs a helper as the docker program does: ``docker-credential-NAME get``, without a shell, the
registry on standard input. But it waits for it for ever, and lets one that is broken or gone end
a build that needs no password. Here such a helper has none, as for ``docker build``. A configuration
that is malformed docker-py takes for an empty one, or fails on; `problem` says what is wrong with it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import docker
from docker.auth import AuthConfig
from docker.credentials.errors import CredentialsNotFound
from docker.credentials.store import Store
from docker.utils.config import find_config_file

from ...printable import printable
from ...registries.dockerconfig import UnusableConfig, insist_usable
from ..errors import DockerConfigUnusable

SECONDS = 30.0
"""How long a helper may take: some ask a service in the network."""

LONGEST = 1024 * 1024
"""Bytes that a helper may say."""

_NO_ACCOUNT = b"credentials not found in native keychain"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
log = logging.getLogger(__name__)


class Accounts(AuthConfig):
    """What docker-py asks for the account at a registry."""

    # docker-py has no other way to say which helpers there are; looked at in docker 7.2.
    def _get_store_instance(self, name: str) -> Store:
        return _Helper(name)


def with_accounts(client: docker.APIClient) -> docker.APIClient:
    """Let a client find its accounts in this way; returns it."""
    # The only place where docker-py (7.2) keeps accounts; types-docker does not know it.
    client._auth_configs = Accounts(client._auth_configs)  # type: ignore[attr-defined]
    return client


def problem() -> DockerConfigUnusable | None:
    """Return what is wrong with the user's Docker configuration, by its path; None if nothing is.

    There may be none, or an empty one; the old ``.dockercfg`` is not judged.
    """
    path = Path(str(find_config_file() or ""))
    if path.name != "config.json":
        return None
    try:
        content = path.read_bytes()
        if content.strip():
            insist_usable(json.loads(content))
        return None
    except OSError as error:
        reason = f"it can't be read ({error.strerror})"
    except UnusableConfig as error:
        reason = str(error)
    except (ValueError, RecursionError):
        reason = "it is not JSON"
    return DockerConfigUnusable(path=printable(str(path)), reason=reason)


def missing_helpers(client: docker.APIClient) -> list[str]:
    """Return the programs of the helpers that the configuration names and that are not here."""
    accounts = client._auth_configs  # type: ignore[attr-defined]  # see `with_accounts`
    names = {accounts.creds_store, *accounts.cred_helpers.values()}
    helpers = (_Helper(str(name)) for name in names if name)
    return sorted(helper.program for helper in helpers if helper.exe is None)


class _Helper(Store):
    """A program that keeps passwords; one that does not work has none."""

    def __init__(self, name: str) -> None:
        known = _NAME.fullmatch(name) is not None
        self.program = f"docker-credential-{name if known else '…'}"
        self.exe = shutil.which(self.program) if known else None

    def get(self, server: str | bytes) -> Mapping[str, Any]:
        """Return the account at a registry.

        Raises
        ------
        CredentialsNotFound
            There is none.
        """
        try:
            return dict(super().get(server))  # type: ignore[no-untyped-call]  # untyped there
        except CredentialsNotFound:
            raise
        except (ValueError, KeyError, TypeError, AttributeError):
            log.warning("%s did not answer with an account", self.program)
        raise CredentialsNotFound(self.program)

    def list(self) -> Mapping[str, Any]:
        """Return the registries at which there are accounts."""
        with contextlib.suppress(CredentialsNotFound, ValueError, TypeError):
            return dict(super().list())  # type: ignore[no-untyped-call]  # untyped there
        return {}

    def _execute(self, subcmd: str, data_input: bytes | None) -> bytes:
        if self.exe is None:
            log.warning("%s is named in the Docker configuration and is not here", self.program)
            raise CredentialsNotFound(self.program)
        try:
            return _said([self.exe, subcmd], data_input or b"")
        except (OSError, ValueError):
            # Not with its words: what it printed may be a password.
            log.warning(
                "%s failed, took longer than %.0f s, or said too much", self.program, SECONDS
            )
            raise CredentialsNotFound(self.program) from None


def _said(command: list[str], told: bytes) -> bytes:
    """Run a program and return what it prints, within `SECONDS` and `LONGEST`.

    Raises
    ------
    ValueError
        It fails, takes longer, or prints more.
    CredentialsNotFound
        It says that it has no such account.
    OSError
        It can't be started.
    """
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None

        def end() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

        timer = threading.Timer(SECONDS, end)
        timer.start()
        try:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(told)
                process.stdin.close()
            said = process.stdout.read(LONGEST + 1)
            if len(said) > LONGEST:
                end()
            status = process.wait()
        finally:
            timer.cancel()
    if status and said.strip() == _NO_ACCOUNT:
        raise CredentialsNotFound(command[0])
    if status or len(said) > LONGEST:
        raise ValueError("it failed")
    return said
