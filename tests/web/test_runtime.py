"""Where the service keeps its things: safe, short enough, on this machine."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jupyter_secxops_migrate import runtime as module
from jupyter_secxops_migrate.client import ensure_service
from jupyter_secxops_migrate.hosts.errors import ServiceElsewhere, ServiceUnavailable, StoreLocked
from jupyter_secxops_migrate.runtime import (
    NETWORK,
    Runtime,
    file_system,
    lasting_name,
    lost_with,
    own_folder,
)

MOUNTS = r"""22 1 8:1 / / rw - ext4 /dev/sda1 rw
23 22 0:30 / /home rw shared:1 - nfs4 server:/home rw
24 23 8:2 / /home/ada/local\040disk rw - xfs /dev/sdb rw
25 22 0:31 / /mnt/far rw - fuse.sshfs far: rw
26 22 8:3 / /mnt/far rw - ext4 /dev/sdc rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/x", "ext4"),
        ("/home/ada/.local/share/jupyter", "nfs4"),
        ("/home/ada/local disk/x", "xfs"),
        ("/home/ada/local", "nfs4"),
        ("/homework", "ext4"),
        ("/mnt/far/x", "ext4"),
    ],
)
def test_a_path_lies_on_the_innermost_mount_made_last(path: str, kind: str) -> None:
    assert file_system(Path(path), MOUNTS) == kind


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "lustre", "fuse.sshfs"])
def test_network_file_systems_are_known(kind: str) -> None:
    assert NETWORK.fullmatch(kind)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "overlay", "tmpfs", "fuseblk", ""])
def test_local_file_systems_are_local(kind: str) -> None:
    assert not NETWORK.fullmatch(kind)


def test_the_data_folder_is_in_jupyters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SECXOPS_DATA_DIR", raising=False)
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    assert Runtime.find().data == tmp_path / "secxops"
    monkeypatch.setenv("SECXOPS_DATA_DIR", str(tmp_path / "named"))
    assert Runtime.find().data == tmp_path / "named"


def test_where_jupyters_data_is_on_a_network_the_folder_is_local_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SECXOPS_DATA_DIR", raising=False)
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "far"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "near"))
    far = [tmp_path / "far"]
    monkeypatch.setattr(
        module, "on_network", lambda path: any(path.is_relative_to(one) for one in far)
    )
    assert Runtime.find().data == tmp_path / "near" / "jupyter-secxops"
    far.append(tmp_path / "near")
    assert Runtime.find().data == Path(f"/var/tmp/secxops-{os.geteuid()}")


def test_each_notebook_of_a_home_has_a_record_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SECXOPS_DATA_DIR", raising=False)
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    pod = "jupyter-ada"
    monkeypatch.setattr(module, "pod_name", lambda: pod)
    first = Runtime.find()
    pod = "jupyter-ada--gpu"
    assert Runtime.find().data != first.data
    # What a Deployment makes anew has the record of the one before.
    pod = "ada-6b7f9d5c4d-x2x7z"
    before = Runtime.find()
    pod = "ada-7f8c6d9b5-kq4wd"
    assert Runtime.find() == before
    # The record of an earlier version stays in use.
    (tmp_path / "secxops").mkdir(exist_ok=True)
    (tmp_path / "secxops" / "store.sqlite").touch()
    assert Runtime.find().data == tmp_path / "secxops"


@pytest.mark.parametrize(
    ("pod", "name"),
    [
        ("notebook-0", "notebook-0"),
        ("jupyter-ada--gpu", "jupyter-ada--gpu"),
        ("ada-6b7f9d5c4d-x2x7z", "ada"),
        ("ada-x2x7z", "ada"),
        ("jupyter-lovelace", "jupyter-lovelace"),
        ("x2x7z", "x2x7z"),
    ],
)
def test_a_pods_name_lasts_without_what_its_controller_added(pod: str, name: str) -> None:
    assert lasting_name(pod) == name


POD_MOUNTS = r"""22 1 0:50 / / rw - overlay overlay rw
23 22 8:1 /var/lib/kubelet/pods/u/volumes/kubernetes.io~empty-dir/cache /cache rw - ext4 /dev/sda1 rw
24 22 8:2 / /home/ada rw - ext4 /dev/sdb rw
25 22 0:60 / /dev/shm rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("path", "contained", "lost"),
    [
        ("/var/tmp/secxops-1000", True, "container"),
        ("/var/tmp/secxops-1000", False, ""),
        ("/cache/secxops", True, "pod"),
        ("/dev/shm/secxops", False, "memory"),
        ("/home/ada/.local/share/jupyter/secxops", True, ""),
    ],
)
def test_where_a_record_is_lost_is_known(path: str, contained: bool, lost: str) -> None:
    assert lost_with(Path(path), POD_MOUNTS, contained) == lost


def test_a_long_path_has_its_socket_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1")
    monkeypatch.setenv("SECXOPS_DATA_DIR", str(tmp_path / ("x" * 90)))
    long = Runtime.find().socket
    assert long.parent == Path("/run/user/1/jupyter-secxops")
    monkeypatch.setenv("SECXOPS_DATA_DIR", str(tmp_path / ("y" * 90)))
    assert Runtime.find().socket != long
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / ("z" * 100)))
    assert Runtime.find().socket.parent == Path(f"/tmp/secxops-{os.geteuid()}")
    assert len(os.fsencode(Runtime.find().socket)) <= 107


def test_a_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    own_folder(tmp_path / "a" / "b")
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    open_one = tmp_path / "open"
    open_one.mkdir(mode=0o755)
    own_folder(open_one)
    assert stat.S_IMODE(open_one.stat().st_mode) == 0o700


def test_a_link_or_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "file").touch()
    for name in ("link", "file"):
        with pytest.raises(OSError, match="link or no folder"):
            own_folder(tmp_path / name)
        with pytest.raises(ServiceUnavailable, match="link or no folder"):
            Runtime(tmp_path / name, tmp_path / "s").make()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="gives a folder away")
def test_somebody_elses_folder_is_not_used(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    with pytest.raises(PermissionError, match="another account"):
        own_folder(theirs)


def test_the_store_is_locked_once(tmp_path: Path) -> None:
    runtime = Runtime(tmp_path, tmp_path / "s")
    with runtime.store_lock():
        with pytest.raises(StoreLocked) as locked, runtime.store_lock():
            pass
        assert locked.value.params["pid"] == os.getpid()
    with runtime.store_lock():
        pass


def test_what_is_written_about_the_service_may_be_anything(tmp_path: Path) -> None:
    runtime = Runtime(tmp_path, tmp_path / "s")
    assert runtime.described() == {}
    for text in ("", "[]", "{", '{"socket": 3}'):
        runtime.description.write_text(text)
        assert runtime.address() == tmp_path / "s"
        assert runtime.listener() is None


HOLD = """
import socket, sys
from pathlib import Path
from jupyter_secxops_migrate.runtime import Runtime
from jupyter_secxops_migrate.hosts.user import Host
runtime = Runtime(Path(sys.argv[1]), Path(sys.argv[1]) / "s")
with runtime.store_lock(), socket.socket(socket.AF_UNIX) as listening:
    listening.bind(str(runtime.socket))
    listening.listen()
    Host(runtime, None, 1)._describe()
    print("holds", flush=True)
    sys.stdin.read()
"""


@contextmanager
def in_another_container(folder: Path) -> Iterator[None]:
    """Hold lock and socket of a folder as the service of another container does that has it too."""
    command = ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-c", HOLD, folder]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"holds\n"
        yield
        holder.communicate()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="makes a process namespace")
def test_the_service_of_another_container_is_not_ones_own(tmp_path: Path) -> None:
    runtime = Runtime(tmp_path, tmp_path / "s")
    with in_another_container(tmp_path):
        with pytest.raises(ServiceElsewhere, match=os.uname().nodename):
            runtime.listener()
        with pytest.raises(ServiceElsewhere), runtime.store_lock():
            pass
        # Where its socket can't be reached, its lock says so, and nobody waits for it.
        runtime.socket.unlink()
        locked = [sys.executable, "-c", "raise SystemExit(75)"]
        with pytest.raises(ServiceElsewhere):
            ensure_service(runtime, locked)
    # What it left behind when it was killed is nobody's.
    assert runtime.listener() is None
    with runtime.store_lock():
        pass
