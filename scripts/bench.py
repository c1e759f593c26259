"""Run the benchmarks: what people feel of it, the verified copy alone, and the whole share.

Run by the Python of ``.venv``, as root where all of it is wanted: the script that the share is
compared with copies into the engine's volumes, and the copy on XFS mounts a file system.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import docker
import engine
from steps import ROOT, is_root, need, run, say, step

IMAGE = "secxops-bench-base"


def main() -> int:
    """Run them one after the other; the status says whether every target was met."""
    if is_root():
        need({"rsync": "rsync", "mkfs.xfs": "xfsprogs", "pg_lsclusters": "postgresql"})
    engine.start()
    found = json.loads(run([sys.executable, ROOT / "scripts" / "base_image.py"], seconds=1800))
    runs = [
        ["benchmarks.light"],
        ["benchmarks.placement"],
        *([["benchmarks.faraway"]] if shutil.which("pg_lsclusters") else []),
        ["benchmarks.watched"],
        ["benchmarks.copy"],
        ["benchmarks.copy", "--memory"],
        ["benchmarks.copy", "--inside", "--megabytes", "300"],
    ]
    if is_root():
        runs += [["benchmarks.copy", "--xfs"], ["benchmarks.share", "--base", IMAGE]]
        if shutil.which("go"):
            runs += [["benchmarks.cluster"]]
        with step("Building an image with JupyterLab for the whole share"):
            docker.from_env().images.build(
                path=str(ROOT / "examples" / "dga-detector"),
                tag=IMAGE,
                buildargs={"BASE_IMAGE": found["base"]},
                network_mode=found["network"],
                rm=True,
            )
    else:
        say("▸ Not root: without the copy on XFS and the whole share")
    settings = {"SECXOPS_TOOLS_BASE": found["base"], "SECXOPS_BUILD_NETWORK": found["network"]}
    worst = 0
    for words in runs:
        say(f"▸ python -m {' '.join(words)}")
        command = [sys.executable, "-m", *words]
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, **settings}, check=False)
        worst = max(worst, done.returncode)
    return 1 if worst else 0


if __name__ == "__main__":
    sys.exit(main())
