"""The verified copy against what people use to copy without proof.

Makes a tree of 1.5 GB in 20,000 files and copies it in turn with `cp -a`, with `rsync -aHAX` and with
ours (whole processes, with their start), so that a machine that slows down slows all; the table has
medians and the ratio to each. ``--xfs`` does the same on a loop-mounted XFS with reflinks against
``cp -a --reflink=never`` (root); ``--memory`` copies 500,000 files and tells the largest resident
size of all processes together; ``--inside`` compares the look from inside, which follows a copy once it
is mounted, with that copy.

What is copied is in the page cache, and nothing is forced to disk: so it is for all three.
"""

from __future__ import annotations

import argparse
import atexit
import functools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).parents[1]
TARGETS = {"cp -a": 0.9, "rsync -aHAX": 0.45, "cp -a --reflink=never": 0.5}
INSIDE = 0.15
LOOK = (
    "import sys; from jupyter_secxops_migrate.copying import inside; mount = sys.argv[1].encode(); "
    "found = inside.look(mount, open(sys.argv[2], 'rb'), [mount], writes=True); "
    "sys.exit(found.counts['hidden'] or not found.paths)"
)
"""As `inside.main` does it; a benchmark's copy is no mount."""


def make_tree(root: Path, megabytes: int, files: int) -> None:
    """Make ``files`` files of random content in 200 folders: most small, a few of many megabytes."""
    block = os.urandom(8 << 20)
    size = megabytes * 1_000_000 // files
    large = max(1, files // 2000)
    for number in range(files):
        folder = root / f"{number % 200:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        # A tenth of the bytes in a few large files, the rest spread from half to one and a half.
        length = (
            size * files // 10 // large
            if number < large
            else int(size * 0.9 * (0.5 + number % 101 / 100))
        )
        with (folder / f"{number:06d}.bin").open("wb") as file:
            file.write(number.to_bytes(8, "big"))
            while length > 0:
                start = number * 7919 % (len(block) // 2)
                file.write(block[start : start + min(length, len(block) // 2)])
                length -= len(block) // 2


class Measured(NamedTuple):
    """Seconds by the clock, and of all CPUs together (of which a loaded machine takes none away)."""

    clock: float
    cpu: float


@functools.cache
def compiled() -> str:
    """Return a folder for compiled modules, which the tools image has too; filled by the first round."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    return folder.name


def timed(*command: str) -> Measured:
    """Run a command to its end."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONPYCACHEPREFIX": compiled()}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    before = os.times()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    after = os.times()
    cpu = (
        after.children_user + after.children_system - before.children_user - before.children_system
    )
    return Measured(after.elapsed - before.elapsed, cpu)


def ours(source: Path, destination: Path) -> Measured:
    return timed(
        sys.executable,
        "-m",
        "jupyter_secxops_migrate.copying",
        str(source),
        str(destination),
        "--manifest",
        f"{destination}.manifest",
    )


def warm(megabytes: int) -> None:
    """Touch as much memory as a copy will fill and free it again.

    A virtual machine gives freed memory back to its host; getting it again costs several times what
    a copy does, at a moment that nobody chose.
    """
    subprocess.run(
        [
            sys.executable,
            "-c",
            f"b = bytearray({megabytes} << 20); b[::4096] = b'x' * len(b[::4096])",
        ],
        check=True,
    )


def put_away(destination: Path, aside: Path) -> None:
    """Give a copy's blocks back, and keep its names until the end.

    An ext4 without a journal does not use a deleted file's inode again for a minute, and looks at
    all of them each time that it makes a file: who copies next would pay for that.
    """
    destination.rename(aside)
    empty(aside)


def empty(folder: Path) -> None:
    """Cut all files of a folder to nothing."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            os.truncate(path, 0)


def compare(
    place: Path,
    rounds: int,
    megabytes: int,
    ways: dict[str, Callable[[Path, Path], Measured]],
    source: Path,
) -> bool:
    """Time each way in turn and print the table; return whether the targets hold."""
    times: dict[str, list[Measured]] = {name: [] for name in ways}
    subprocess.run(["tar", "-C", str(source), "-cf", "/dev/null", "."], check=True)
    for round_ in range(rounds + 1):
        for name, way in ways.items():
            destination = place / "destination"
            destination.mkdir()
            # What the last one left to the kernel (freeing blocks, writing back) is not this one's.
            os.sync()
            time.sleep(1.5)
            warm(2 * megabytes)
            seconds = way(source, destination)
            if round_:  # the first round only warms up
                times[name].append(seconds)
            put_away(destination, place / f"done-{name.split()[0]}-{round_}")
    mine = statistics.median(measured.clock for measured in times["ours"])
    print(
        f"{'':24} {'median s':>9} {'min':>7} {'max':>7} {'CPU s':>7} {'ours / it':>10} {'target':>7}"
    )
    good = True
    for name, measured in times.items():
        clock = [one.clock for one in measured]
        median = statistics.median(clock)
        cpu = statistics.median(one.cpu for one in measured)
        target = TARGETS.get(name)
        good = good and (target is None or mine / median <= target)
        print(
            f"{name:24} {median:9.2f} {min(clock):7.2f} {max(clock):7.2f} {cpu:7.2f} "
            + (f"{mine / median:10.2f} {target:7.2f}" if target else "")
        )
    return good


def look_inside(place: Path, rounds: int, source: Path) -> bool:
    """Copy, look at the copy, and print how long the second takes of the first."""
    copies: list[Measured] = []
    looks: list[Measured] = []
    for round_ in range(rounds + 1):
        destination = place / "destination"
        destination.mkdir()
        os.sync()
        copied = ours(source, destination)
        looked = timed(sys.executable, "-c", LOOK, str(destination), f"{destination}.manifest.meta")
        if round_:  # the first round only warms up
            copies.append(copied)
            looks.append(looked)
        put_away(destination, place / f"done-{round_}")
    ratio = statistics.median(
        look.clock / copy.clock for look, copy in zip(looks, copies, strict=True)
    )
    for name, measured in (("copy", copies), ("look from inside", looks)):
        clock = statistics.median(one.clock for one in measured)
        print(f"{name:24} {clock:9.2f} s, CPU {statistics.median(m.cpu for m in measured):.2f} s")
    print(f"look / copy {ratio:.2f} (target {INSIDE})")
    return ratio <= INSIDE


@contextmanager
def xfs(place: Path, gigabytes: int) -> Iterator[Path]:
    """Mount an XFS with reflinks from a file."""
    image, mount = place / "xfs.img", place / "xfs"
    with image.open("wb") as file:
        file.truncate(gigabytes << 30)
    subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", str(image)], check=True)
    mount.mkdir()
    subprocess.run(["mount", "-o", "loop", str(image), str(mount)], check=True)
    try:
        yield mount
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def resident(pid: int) -> int:
    """Return the resident size of a process and its children, bytes."""
    total = 0
    waiting = [pid]
    while waiting:
        process = waiting.pop()
        try:
            fields = dict(
                line.split(":", 1)
                for line in Path(f"/proc/{process}/status").read_text().splitlines()
            )
            total += int(fields.get("VmRSS", "0").split()[0]) * 1024
            waiting += map(
                int, Path(f"/proc/{process}/task/{process}/children").read_text().split()
            )
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total


def make_many(source: Path, first: int, last: int) -> None:
    """Make tiny files with long names, 500 in a folder: those of these numbers."""
    for number in range(first, last):
        folder = source / f"a-folder-with-a-longer-name-{number // 500:07d}"
        if number % 500 == 0:
            folder.mkdir(parents=True)
        (folder / f"a-file-with-a-longer-name-{number:09d}.json").write_bytes(b"%d" % number)


def peak(source: Path, destination: Path) -> int:
    """Copy a folder; return the largest resident size of all processes together, bytes.

    Raises
    ------
    subprocess.CalledProcessError
        The copy failed.
    """
    command = [
        sys.executable,
        "-m",
        "jupyter_secxops_migrate.copying",
        str(source),
        str(destination),
    ]
    process = subprocess.Popen(
        [*command, "--manifest", f"{destination}.manifest"],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    found = 0
    while process.poll() is None:
        found = max(found, resident(process.pid))
        time.sleep(0.02)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return found


def memory(place: Path, files: int) -> bool:
    """Copy very many files; print the largest resident size."""
    make_many(place / "source", 0, files)
    start = time.perf_counter()
    found = peak(place / "source", place / "destination")
    seconds = time.perf_counter() - start
    print(f"{files} files: {found / 1e6:.0f} MB resident at most (target 200), {seconds:.1f} s")
    return found <= 200e6


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=1500)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--folder", type=Path, help="where to work; by default the temporary folder"
    )
    parser.add_argument("--xfs", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--inside", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as temporary:
        place = Path(temporary)
        if given.memory:
            return 0 if memory(place, 500_000) else 1
        if given.xfs:
            with xfs(place, 8) as mount:
                source = mount / "source"
                make_tree(source, given.megabytes, given.files)
                ways = {
                    "ours": ours,
                    "cp -a --reflink=never": lambda s, d: timed(
                        "cp", "-a", "--reflink=never", f"{s}/.", f"{d}/"
                    ),
                }
                return 0 if compare(mount, given.rounds, given.megabytes, ways, source) else 1
        source = place / "source"
        make_tree(source, given.megabytes, given.files)
        if given.inside:
            return 0 if look_inside(place, given.rounds, source) else 1
        ways = {
            "ours": ours,
            "cp -a": lambda s, d: timed("cp", "-a", f"{s}/.", f"{d}/"),
            "rsync -aHAX": lambda s, d: timed("rsync", "-aHAX", f"{s}/", f"{d}/"),
        }
        return 0 if compare(place, given.rounds, given.megabytes, ways, source) else 1


if __name__ == "__main__":
    sys.exit(main())
