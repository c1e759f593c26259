"""A whole share against the script that a person would otherwise write by hand.

The script: ``docker build``, two volumes, ``cp -a`` into each, ``docker run``, wait until
JupyterLab answers. Ours: ``jupyter secxops share`` of the same project, which besides proves
what it copied. Both run in turn, so that a machine that slows down slows both; the table shows
medians and the ratio of each pair. Before each turn as much memory as it will fill is touched and
freed, and what was copied is emptied but not removed until the end, for the reasons that
`benchmarks.copy` gives.

Needs root (the script copies into the volumes' folders) and a Docker engine. Run by ``make bench``.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from .copy import empty, warm

DOCKERFILE = """\
FROM {base}
COPY requirements.txt /tmp/requirements.txt
RUN python3 -m compileall -q -f /usr/lib/python3/dist-packages /usr/lib/python3.11 || true
RUN cp /tmp/requirements.txt /tmp/installed.txt
WORKDIR /home/jovyan/project
"""


def run(*command: str, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    if done.returncode:
        sys.exit(f"{command[:4]} failed ({done.returncode}):\n{done.stdout}\n{done.stderr}")
    return done.stdout


def us(*words: str, env: dict[str, str]) -> str:
    return run(sys.executable, "-m", "jupyter_secxops_migrate", *words, env=env)


def make_source(root: Path, base: str, megabytes: int, files: int) -> tuple[Path, Path]:
    """Make a project of 300 files and a data folder of ``megabytes`` MB in ``files`` files."""
    project, data = root / "project", root / "domains"
    project.mkdir()
    (project / "Dockerfile").write_text(DOCKERFILE.format(base=base))
    (project / ".dockerignore").write_text("**\n!requirements.txt\n")
    (project / "requirements.txt").write_text("numpy\n")
    for n in range(300):
        (project / f"module_{n}.py").write_text(f"# {n}\n" * 200)
    block = os.urandom(1024 * 1024)
    size = megabytes * 1024 * 1024 // files
    for n in range(files):
        folder = data / f"{n % 200:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        offset = (n * 7919) % (len(block) // 2)
        body = block[offset : offset + size] if size < len(block) // 2 else os.urandom(size)
        (folder / f"{n:06d}.bin").write_bytes(n.to_bytes(8, "big") + body)
    for path in [root, *root.rglob("*")]:
        os.chown(path, 1000, 1000, follow_symlinks=False)
    root.chmod(0o755)
    return project, data


def wait_until_answers(url: str, token: str) -> None:
    request = urllib.request.Request(url, headers={"Authorization": f"token {token}"})
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(request, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.05)
    sys.exit(f"{url} did not answer")


def by_hand(project: Path, data: Path, tag: str) -> float:
    """Do it as a careful person's script would; return seconds."""
    name, token = f"bench-{tag}", secrets.token_hex(16)
    start = time.perf_counter()
    run("docker", "build", "-q", "-t", f"bench:{tag}", "--", str(project))
    for source, volume in ((project, f"{name}-code"), (data, f"{name}-data")):
        run("docker", "volume", "create", volume)
        mountpoint = run("docker", "volume", "inspect", "-f", "{{.Mountpoint}}", volume).strip()
        run("cp", "-a", "--", f"{source}/.", mountpoint)
    run(
        *("docker", "run", "-d", "--name", name, "-p", "127.0.0.1::8888"),
        *("-v", f"{name}-code:/home/jovyan/project", "-v", f"{name}-data:/data/domains"),
        *("-e", f"JUPYTER_TOKEN={token}", "--user", "1000", f"bench:{tag}"),
        *("jupyter", "lab", "--ip=0.0.0.0", "--no-browser"),
    )
    port = run("docker", "port", name, "8888/tcp").strip().rsplit(":", 1)[1]
    wait_until_answers(f"http://127.0.0.1:{port}/api/status", token)
    return time.perf_counter() - start


def remove_by_hand(tag: str) -> None:
    name = f"bench-{tag}"
    for command in (
        ["docker", "rm", "-f", name],
        ["docker", "volume", "rm", f"{name}-code", f"{name}-data"],
        ["docker", "rmi", f"bench:{tag}"],
    ):
        subprocess.run(command, capture_output=True, check=False)


def put_away(container: str) -> None:
    """Stop an environment and give its volumes' blocks back; their names stay until the end."""
    run("docker", "stop", "-t", "1", container)
    for mount in json.loads(run("docker", "inspect", "-f", "{{json .Mounts}}", container)):
        empty(Path(mount["Source"]))


def by_us(project: Path, data: Path, env: dict[str, str]) -> tuple[float, dict[str, Any]]:
    """Share it; return seconds and the Migration."""
    start = time.perf_counter()
    out = us("share", str(project), "--data", str(data), "--json", env=env)
    return time.perf_counter() - start, json.loads(out)


def step_seconds(migration: dict[str, Any]) -> dict[str, float]:
    from datetime import datetime

    found = {}
    for step in migration["steps"]:
        if step["started"] and step["finished"]:
            begin, end = (
                datetime.fromisoformat(step[k].replace("Z", "+00:00"))
                for k in ("started", "finished")
            )
            found[step["name"]] = round((end - begin).total_seconds(), 2)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=int, default=1500)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--base", required=True, help="an image with JupyterLab and a user 1000")
    parser.add_argument("--folder", type=Path, default=None, help="where to make the source")
    args = parser.parse_args()
    if os.geteuid():
        sys.exit("The script that is compared with copies into the volumes' folders: run as root.")

    root = Path(tempfile.mkdtemp(prefix="secxops-bench-", dir=args.folder))
    state = Path(tempfile.mkdtemp(prefix="secxops-bench-state-"))
    env = {**os.environ, "SECXOPS_DATA_DIR": str(state)}
    by_hand_made: list[str] = []
    ours_made: list[str] = []
    first: list[tuple[float, float]] = []
    again: list[tuple[float, float]] = []
    try:
        project, data = make_source(root, args.base, args.megabytes, args.files)
        us("doctor", "--json", env=env)
        for round_ in range(-1, args.rounds):  # round -1 warms the page cache and the tools image
            pair: dict[str, list[float]] = {"hand": [], "us": []}
            for side in ("hand", "us") if round_ % 2 else ("us", "hand"):
                # a new requirements file: the build's layers after it are made anew
                (project / "requirements.txt").write_text(f"# {secrets.token_hex(8)}\nnumpy\n")
                for turn in range(2):
                    os.sync()
                    warm(2 * args.megabytes)
                    if side == "hand":
                        tag = secrets.token_hex(4)
                        by_hand_made.append(tag)
                        pair[side].append(by_hand(project, data, tag))
                        put_away(f"bench-{tag}")
                        continue
                    seconds, migration = by_us(project, data, env)
                    ours_made.append(migration["id"])
                    pair[side].append(seconds)
                    put_away(migration["result"]["place"]["name"])
                    print(
                        f"    ours, turn {turn + 1}: {seconds:.2f} s {step_seconds(migration)}",
                        flush=True,
                    )
            if round_ >= 0:
                first.append((pair["us"][0], pair["hand"][0]))
                again.append((pair["us"][1], pair["hand"][1]))
                print(
                    f"  round {round_ + 1}: ours {pair['us']}, by hand {pair['hand']}", flush=True
                )
    finally:
        for tag in by_hand_made:
            remove_by_hand(tag)
        for made in ours_made:
            us("delete", made, "--yes", env=env)
        report = json.loads(us("doctor", "--json", env=env))
        os.kill(report["service"]["pid"], 15)
        shutil.rmtree(root)
        shutil.rmtree(state, ignore_errors=True)

    print(
        f"\nWhole share, {args.megabytes / 1000:.1f} GB in {args.files:,} files, median of {args.rounds}"
    )
    print(f"{'':24}{'ours':>10}{'by hand':>10}{'ratio':>8}   target")
    ours, hand = (statistics.median(s) for s in zip(*first, strict=True))
    ratio = statistics.median(a / b for a, b in first)
    print(
        f"{'first share':24}{ours:>8.2f} s{hand:>8.2f} s{ratio:>8.2f}   <= 1.10  {'met' if ratio <= 1.10 else 'MISSED'}"
    )
    ours, hand = (statistics.median(s) for s in zip(*again, strict=True))
    over = statistics.median(a - 1.05 * b for a, b in again)
    verdict = "met" if over <= 3 else "MISSED"
    print(
        f"{'unchanged, again':24}{ours:>8.2f} s{hand:>8.2f} s{ours / hand:>8.2f}   <= 1.05 x + 3 s ({over:+.2f} s)  {verdict}"
    )


if __name__ == "__main__":
    main()
