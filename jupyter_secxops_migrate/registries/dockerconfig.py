"""Who we are to a registry, as a Docker configuration (``config.json``) says it.

Read as the docker program and kubelets read it. Credential helpers are programs of the machine
that the configuration is from, and are not run: `helper` says where one would be asked.

https://github.com/docker/cli/tree/master/cli/config,
https://kubernetes.io/docs/concepts/containers/images/#config-json
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

IDENTITY_TOKEN = "<token>"  # noqa: S105 - a user's name
"""The user's name where the password is an identity token, as Docker's credential helpers write it."""

_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class UnusableConfig(ValueError):
    """Says what is wrong with a Docker configuration, and nothing of its content."""


_HUB = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})


def credentials(dockerconfig: object, address: str) -> tuple[str, str]:
    """Return user and password for a registry; both empty without, `IDENTITY_TOKEN` and one if it is that.

    Parameters
    ----------
    dockerconfig
        The JSON values of a Docker configuration.
    address
        The registry's host, with its port and path if it has them.

    Raises
    ------
    UnusableConfig
        It is none, or what it holds for this registry can't be read.
    """
    auths = _auths(dockerconfig)
    host, _, path = address.partition("/")
    fitting = []
    for key, row in auths.items():
        key_host, key_path = _place(str(key))
        exact = key_host == host or {key_host, host} <= _HUB
        if (exact or _matches(key_host, host)) and f"{path}/".startswith(key_path):
            fitting.append((exact, len(key_path), row))
    if not fitting:
        return "", ""
    # The most specific goes first, whatever the order in the file.
    return _entry(max(fitting, key=lambda found: found[:2])[2])


def insist_usable(dockerconfig: object) -> None:
    """Judge all of a configuration, whichever registry is asked for.

    Raises
    ------
    UnusableConfig
        It is none, or something in it can't be read.
    """
    for row in _auths(dockerconfig).values():
        _entry(row)
    assert isinstance(dockerconfig, dict)
    if not isinstance(dockerconfig.get("credsStore") or "", str):
        raise UnusableConfig("its credsStore is not text")
    if not isinstance(dockerconfig.get("credHelpers") or {}, dict):
        raise UnusableConfig("its credHelpers are not a JSON object")


def _auths(dockerconfig: object) -> Mapping[str, object]:
    if not isinstance(dockerconfig, dict):
        raise UnusableConfig("it is not a JSON object")
    auths = dockerconfig.get("auths")
    if auths is not None and not isinstance(auths, dict):
        raise UnusableConfig("its auths are not a JSON object")
    return auths or {}


def helper(dockerconfig: object, address: str) -> str:
    """Return the credential helper that the docker program would ask for a registry; empty without one.

    Parameters
    ----------
    dockerconfig, address
        As of `credentials`.
    """
    if not isinstance(dockerconfig, dict):
        return ""
    host, found = address.partition("/")[0], dockerconfig.get("credsStore")
    helpers = dockerconfig.get("credHelpers")
    for key, name in helpers.items() if isinstance(helpers, dict) else ():
        key_host = _place(str(key))[0]
        if key_host == host or {key_host, host} <= _HUB:
            found = name
    return found if isinstance(found, str) and _HELPER.fullmatch(found) else ""


def _place(key: str) -> tuple[str, str]:
    """Return host and path of a key; old keys are URLs, with the version of an API in their end."""
    host, _, path = key.removeprefix("https://").removeprefix("http://").partition("/")
    path = path.strip("/")
    return host, "" if path in ("", "v1", "v2") else f"{path}/"


def _matches(pattern: str, host: str) -> bool:
    """Whether a host is one of a key with ``*``, which stands for no dot, and for no port."""
    name, _, port = pattern.partition(":")
    own, _, own_port = host.partition(":")
    parts, own_parts = name.split("."), own.split(".")
    return (
        "*" in name
        and port == own_port
        and len(parts) == len(own_parts)
        and all(map(fnmatchcase, own_parts, parts))
    )


def _entry(row: object) -> tuple[str, str]:
    if not isinstance(row, Mapping):
        raise UnusableConfig("its entry for the registry is not a JSON object")
    if token := row.get("identitytoken"):
        # Docker takes it before a password.
        if not isinstance(token, str):
            raise UnusableConfig("the identitytoken of its entry for the registry is not text")
        return IDENTITY_TOKEN, token
    if row.get("auth"):
        return _decoded(row["auth"])
    return str(row.get("username") or ""), str(row.get("password") or "")


def _decoded(auth: Any) -> tuple[str, str]:
    """Read ``user:password`` in base64, whose padding and line breaks nobody minds."""
    try:
        packed = "".join(auth.split()).rstrip("=")
        text = base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True).decode()
    except (AttributeError, TypeError, binascii.Error, UnicodeDecodeError):
        raise UnusableConfig("the auth of its entry for the registry is not base64 text") from None
    user, colon, password = text.partition(":")
    if not colon or not user:
        raise UnusableConfig("the auth of its entry for the registry holds no user and password")
    return user, password.strip("\0")
