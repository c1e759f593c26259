"""What a cluster itself knows of shares: whose they are, and what was launched.

A pod that lost its container lost the record in it. What its shares made has labels and annotations, by
which it is found again; they are anybody's who may write in the namespace, so they are read with care.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from ...runtime import lasting_name
from ..names import MIGRATION, Names
from ..orders import Launched, VolumeMount
from . import objects
from .pods import own_container

Json = Mapping[str, Any]
log = logging.getLogger(__name__)

_ID = re.compile(r"m[a-z2-7]{9}")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{20,128}")


def identity_of(namespace: str, name: str, home: str) -> str:
    """Return 16 hex digits that stand for a notebook, also when its pod is made anew.

    ``home`` says which volume its home folder is: another notebook of that name has another.
    """
    told = "\n".join([namespace, name, home])
    return hashlib.sha256(told.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def is_twin(pod: Json, own: Json) -> bool:
    """Whether a pod is another one of the same notebook, and at work as well."""
    a, b = pod["metadata"], own["metadata"]
    return (
        a["name"] != b["name"]
        and not a.get("deletionTimestamp")
        and (pod.get("status") or {}).get("phase") in ("Pending", "Running")
        and lasting_name(a["name"]) == lasting_name(b["name"])
    )


def launched_of(service: Json, pod: Json | None, repositories: str) -> Launched | None:
    """Read what an environment's Service says of its share; None where that is none of ours.

    ``pod`` is its pod as it is now, None where it is stopped. ``repositories`` is in the name of each image
    of the owner's: no other is deleted with the share, whatever the Service says.
    """
    metadata = service["metadata"]
    migration = str((metadata.get("labels") or {}).get(MIGRATION))
    name = Names(migration).environment
    if not _ID.fullmatch(migration) or metadata["name"] != name:
        return None
    try:
        kept = json.loads(metadata["annotations"][objects.POD])
        found = _read(migration, metadata, kept, pod)
    except (AttributeError, KeyError, TypeError, ValueError):
        log.warning("%s keeps no pod that can be read", name)
        return None
    if f"/{repositories}/" not in found.image["reference"]:
        return replace(found, image={**found.image, "pushed": False})
    return found


def _read(migration: str, metadata: Json, kept: Json, pod: Json | None) -> Launched:
    spec = kept["spec"]
    main = own_container(kept)
    container = next(row for row in spec["containers"] if row["name"] == main)
    claims = {
        volume["name"]: str(volume["persistentVolumeClaim"]["claimName"])
        for volume in spec["volumes"]
        if "persistentVolumeClaim" in volume
    }
    reference = str(container["image"])
    return Launched(
        migration,
        str(metadata["annotations"][objects.TITLE]),
        datetime.fromisoformat(metadata["creationTimestamp"].replace("Z", "+00:00")),
        str(container["workingDir"]),
        {
            "reference": reference,
            "digest": reference.rpartition("@")[2],
            "size": 0,
            "pushed": container["imagePullPolicy"] != objects.pull_policy(False),
        },
        [
            VolumeMount(claims[mount["name"]], str(mount["mountPath"]))
            for mount in container["volumeMounts"]
            # One with a path in it is a part of a volume that is there as a whole, too.
            if mount["name"] in claims and "subPath" not in mount
        ],
        node=str(((pod or {}).get("spec") or {}).get("nodeName") or ""),
    )


def token_of(said: bytes) -> str:
    """Return the token that an environment told; empty where that is none."""
    found = said.decode("ascii", "replace").strip()
    return found if _TOKEN.fullmatch(found) else ""
