"""The images of the cluster, made without any registry's help, and kept as OCI layouts.

A layer is what a script did to the layers below it (in a chroot over an overlay), or files put there.
Each is kept under the hash of its recipe, so that a change makes only what lies above it, and all
images share the layers that they have in common. Change what is in them in `recipes`.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shlex
import stat
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from steps import ROOT, Stop, run, step

from . import control
from .api import wait
from .certificates import pki
from .components import KEPT, Programs
from .site import Site

RELEASE = "bookworm"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PAUSE = "localhost/pause:1"
PACKAGE = ROOT / "jupyter_secxops_migrate"
# What a chroot needs to know to reach a package index as this machine does.
HANDED_ON = (
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST"),
)

_BASE = "python3,python3-pip,python3-venv,ca-certificates,git,rsync"
_PIP = "pip install --no-cache-dir --break-system-packages --root-user-action=ignore"
_BUILDKIT = """
apt-get update -q
apt-get install -q -y --no-install-recommends rootlesskit uidmap runc libcap2-bin \\
    containernetworking-plugins iptables
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin
useradd --uid 1000 --create-home user
echo user:100000:65536 > /etc/subuid
echo user:100000:65536 > /etc/subgid
# Setuid root they would need CAP_SYS_ADMIN, which no pod has.
chmod u-s /usr/bin/newuidmap /usr/bin/newgidmap
setcap cap_setuid=ep /usr/bin/newuidmap
setcap cap_setgid=ep /usr/bin/newgidmap
# Where BuildKit looks for what makes networks, unless it has its own as its published images do.
mkdir -p /opt/cni
ln -s /usr/lib/cni /opt/cni/bin
# /run is empty in an image, and a volume in a pod.
su user -c 'mkdir -p -m 700 ~/run ~/.local/tmp ~/.local/share/buildkit'
"""
_JUPYTER = f"""
{_PIP} 'jupyterlab>=4.6'
useradd --uid 1000 --create-home --shell /bin/bash jovyan
"""


_PRODUCT = "/usr/local/share/product"


@dataclass(frozen=True)
class Layer:
    """What one layer adds: a script's doing, or files (path in the image → file or folder here)."""

    below: Layer | None = None
    script: str = ""
    files: Mapping[str, Path] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """The hash of all that the layer is made from."""
        told = hashlib.sha256((self.below.key if self.below else "").encode())
        told.update(self.script.encode())
        for target, source in self.files.items():
            for name, path in _tree(target, source):
                told.update(f"{name} {path.stat().st_mode:o} {path.stat().st_size}\n".encode())
                told.update(path.read_bytes())
        if self.below is None and self.script:
            told.update(f"{RELEASE} {Path(CERTIFICATES).read_text()}".encode())
        return told.hexdigest()[:32]

    def chain(self) -> list[Layer]:
        """This layer and those below it, the lowest first."""
        return [*(self.below.chain() if self.below else []), self]


@dataclass(frozen=True)
class Image:
    """Layers and how a container of them starts (the ``config`` of an OCI image)."""

    layer: Layer
    config: Mapping[str, object]


@dataclass(frozen=True)
class Made:
    """Where each image's layout is, by its name."""

    layouts: Mapping[str, Path]

    def digest(self, name: str) -> str:
        index = json.loads((self.layouts[name] / "index.json").read_text())
        return str(index["manifests"][0]["digest"])


def recipes(programs: Programs) -> dict[str, Image]:
    """Say what is in each image; the one place to change it."""
    base = Layer(script=_BASE)
    environment = [PATH, f"PIP_CERT={CERTIFICATES}", "LANG=C.UTF-8"]
    buildkit = Layer(
        Layer(base, script=_BUILDKIT),
        files={f"/usr/local/bin/{n}": programs[n] for n in ("buildkitd", "buildctl")},
    )
    tools = Layer(
        Layer(
            Layer(
                Layer(base, script=f"{_PIP} blake3 pathspec pydantic pygit2"),
                files={"/usr/local/bin/buildctl": programs["buildctl"]},
            ),
            files={f"/opt/secxops/{PACKAGE.name}": PACKAGE},
        ),
        # As pip does at an installation: a Job can't keep what it compiles.
        script="python3 -m compileall -q --invalidation-mode unchecked-hash /opt/secxops",
    )
    pause = Layer(files={"/pause": Path("/usr/bin/catatonit")})
    return {
        "pause": Image(pause, {"Entrypoint": ["/pause", "-P"], "Env": [PATH]}),
        "base": Image(base, {"Cmd": ["bash"], "Env": environment}),
        "buildkit": Image(
            buildkit,
            {
                "User": "1000:1000",
                "WorkingDir": "/home/user",
                "Entrypoint": ["rootlesskit", "buildkitd"],
                "Env": [
                    *environment,
                    "HOME=/home/user",
                    "USER=user",
                    "XDG_RUNTIME_DIR=/home/user/run",
                    "TMPDIR=/home/user/.local/tmp",
                    "BUILDKIT_HOST=unix:///home/user/run/buildkit/buildkitd.sock",
                ],
            },
        ),
        "jupyter": Image(
            Layer(base, script=_JUPYTER),
            {
                "User": "1000",
                "WorkingDir": "/home/jovyan",
                "Cmd": ["jupyter", "lab", "--ip=0.0.0.0", "--no-browser"],
                "Env": [*environment, "HOME=/home/jovyan", "SHELL=/bin/bash"],
            },
        ),
        "tools": Image(tools, {"Cmd": ["bash"], "Env": [*environment, "PYTHONPATH=/opt/secxops"]}),
    }


def notebook() -> Image:
    """Say what is in a notebook's image with the product: its wheel, with what the lock names."""
    wheel = _wheel()
    # In two steps: the lock changes seldom, the product all the time.
    needed = f"{_PIP} {' '.join(_pins())}"
    install = f"{_PIP} --no-deps {_PRODUCT}/{wheel.name}"
    jupyter = Layer(Layer(script=_BASE), script=_JUPYTER)
    product = Layer(Layer(jupyter, script=needed), files={f"{_PRODUCT}/{wheel.name}": wheel})
    environment = [PATH, f"PIP_CERT={CERTIFICATES}", "LANG=C.UTF-8", "HOME=/home/jovyan"]
    return Image(
        Layer(product, script=install),
        {
            "User": "1000",
            "WorkingDir": "/home/jovyan",
            "Cmd": ["jupyter", "lab", "--ip=0.0.0.0", "--no-browser"],
            "Env": [*environment, "SHELL=/bin/bash"],
        },
    )


def _pins() -> list[str]:
    """The product's dependencies, exactly as locked, as far as they are for this Python."""
    lock = (ROOT / "requirements" / "dev.txt").read_text().splitlines()
    wanted = {
        line.split("==")[0] for line in (ROOT / "requirements" / "run.txt").read_text().splitlines()
    } | {"aiohttp", "kubernetes"}
    rows = [line.removesuffix("\\").strip() for line in lock if "==" in line]
    return [shlex.quote(row) for row in rows if row.split("==")[0] in wanted]


def _wheel() -> Path:
    """Build the product's wheel, unless nothing changed since the last time."""
    told = hashlib.sha256()
    for path in sorted([ROOT / "pyproject.toml", *PACKAGE.rglob("*")]):
        if path.is_file() and "__pycache__" not in path.parts:
            told.update(f"{path.relative_to(ROOT)} ".encode() + path.read_bytes())
    folder = _folder() / f"wheel-{told.hexdigest()[:32]}"
    if not folder.exists():
        with (
            step("Building the product's wheel"),
            tempfile.TemporaryDirectory(dir=_folder(), prefix="making-") as temporary,
        ):
            python = ROOT / ".venv" / "bin" / "python"
            run(
                [
                    *(python if python.exists() else sys.executable, "-m", "pip", "wheel"),
                    *("--quiet", "--no-deps", "--wheel-dir", f"{temporary}/wheel", ROOT),
                ]
            )
            Path(temporary, "wheel").rename(folder)
    (found,) = folder.glob("*.whl")
    return found


def make_notebook(site: Site) -> str:
    """Make the notebook's image with the product, push it, and return its reference."""
    with _alone():
        made = Made({"notebook": _layout("notebook", notebook())})
    return push(site, made)["notebook"]


def make(programs: Programs, *only: str) -> Made:
    """Make what is not there yet, of all images or of some."""
    (_folder() / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
    with _alone():
        return Made(
            {
                name: _layout(name, image)
                for name, image in recipes(programs).items()
                if not only or name in only
            }
        )


@contextmanager
def _alone() -> Iterator[None]:
    """Make images while nobody else on this machine does."""
    with (_folder() / "making.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def references(site: Site, made: Made) -> dict[str, str]:
    """Name the images as the registry has them, by digest; the nodes' own is not among them."""
    return {
        name: f"{site.registry}/secxops/{name}@{made.digest(name)}"
        for name in made.layouts
        if name != "pause"
    }


def push(site: Site, made: Made) -> dict[str, str]:
    """Push all but the nodes' own into the registry; return their references."""
    wait(
        "the registry answers",
        lambda: control.registry_answers(site),
        20,
        lambda: control.dead(site),
    )
    pushed = references(site, made)
    for name in pushed:
        run(
            [
                *("skopeo", "copy", "--quiet", "--preserve-digests"),
                *("--src-shared-blob-dir", _folder() / "blobs"),
                *("--dest-cert-dir", _trusted(site), "--dest-authfile", control.pull_secret(site)),
                *(f"oci:{made.layouts[name]}", f"docker://{site.registry}/secxops/{name}:1"),
            ]
        )
    return pushed


def import_pause(site: Site, node: str, holder: int, made: Made) -> None:
    """Put the image that every pod begins with into a node's containerd."""
    layout = made.layouts["pause"]
    archive = site.node_folder(node) / "pause.tar"
    run(
        [
            "tar",
            "-cf",
            archive,
            "-C",
            layout,
            "oci-layout",
            "index.json",
            "-C",
            _folder(),
            *_blobs(layout),
        ]
    )
    enter = ["nsenter", "-t", str(holder), "-m", "-n"]
    control.patiently([*enter, "ctr", "-n", "k8s.io", "images", "import", archive])


def _folder() -> Path:
    return KEPT / "images"


def _trusted(site: Site) -> Path:
    """The registry's authority as skopeo wants it: a folder of .crt files."""
    folder = site.folder / "registry" / "trusted"
    folder.mkdir(exist_ok=True)
    (folder / "ca.crt").write_bytes((pki(site) / "ca.crt").read_bytes())
    return folder


def _layout(name: str, image: Image) -> Path:
    told = hashlib.sha256(f"{image.layer.key} {json.dumps(image.config)}".encode())
    folder = _folder() / f"{name}-{told.hexdigest()[:16]}"
    if folder.exists():
        return folder
    layers = [_layer(name, layer) for layer in image.layer.chain()]
    configuration = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, "amd64"),
        "os": "linux",
        "config": image.config,
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
    }
    oci = "application/vnd.oci.image"
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{oci}.manifest.v1+json",
        "config": {"mediaType": f"{oci}.config.v1+json", **_keep(configuration)},
        "layers": [{"mediaType": f"{oci}.layer.v1.tar", **layer} for layer in layers],
    }
    names = {"io.containerd.image.name": PAUSE} if name == "pause" else {}
    described = {
        "mediaType": f"{oci}.manifest.v1+json",
        **_keep(manifest),
        "annotations": {"org.opencontainers.image.ref.name": "1", **names},
    }
    with tempfile.TemporaryDirectory(dir=_folder(), prefix="making-") as temporary:
        made = Path(temporary) / "layout"
        made.mkdir()
        (made / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        index = {"schemaVersion": 2, "manifests": [described]}
        (made / "index.json").write_text(json.dumps(index))
        made.rename(folder)
    return folder


def _blobs(layout: Path) -> list[str]:
    """The paths of an image's blobs: its manifest, its configuration, its layers."""
    manifest = json.loads((layout / "index.json").read_text())["manifests"][0]
    inside = json.loads(_blob(manifest["digest"]).read_text())
    parts = [manifest, inside["config"], *inside["layers"]]
    return [f"blobs/sha256/{_blob(part['digest']).name}" for part in parts]


def _blob(digest: str) -> Path:
    return _folder() / "blobs" / "sha256" / digest.partition(":")[2]


def _keep(document: object) -> dict[str, object]:
    """Put JSON among the blobs and return what describes it."""
    data = json.dumps(document).encode()
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    _blob(digest).write_bytes(data)
    return {"digest": digest, "size": len(data)}


def _layer(image: str, layer: Layer) -> dict[str, object]:
    """Make a layer unless it is there, and return its digest and its size in bytes."""
    record = _folder() / f"layer-{layer.key}.json"
    if record.exists():
        return dict(json.loads(record.read_text()))
    with tempfile.TemporaryDirectory(dir=_folder(), prefix="making-") as temporary:
        tar = Path(temporary) / "layer.tar"
        if layer.files:
            _put(layer, tar)
        elif layer.below is None:
            with step(f"Making the image {image}: Debian {RELEASE} with mmdebstrap"):
                _debian(layer.script, tar)
        else:
            with step(f"Making the image {image}: {layer.script.split()[0]} …"):
                _run_script(layer, Path(temporary), tar)
        told = hashlib.sha256()
        with tar.open("rb") as data:
            while piece := data.read(1 << 20):
                told.update(piece)
        described = {"digest": f"sha256:{told.hexdigest()}", "size": tar.stat().st_size}
        tar.rename(_blob(str(described["digest"])))
        record.write_text(json.dumps(described))
    return described


def _debian(packages: str, tar: Path) -> None:
    run(
        [
            *("mmdebstrap", "--variant=minbase", f"--include={packages}"),
            # So that pip works behind a proxy which this machine trusts.
            f"--customize-hook=upload {CERTIFICATES} {CERTIFICATES}",
            *("--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*"),
            *(RELEASE, tar),
        ]
    )


def _put(layer: Layer, tar: Path) -> None:
    """Write files into a layer: owned by root, without a time, so that the same files are the same."""
    with tarfile.open(tar, "w") as archive:
        for target, source in layer.files.items():
            for name, path in _tree(target, source):
                entry = tarfile.TarInfo(name.lstrip("/"))
                entry.size = path.stat().st_size
                entry.mode = 0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644
                with path.open("rb") as data:
                    archive.addfile(entry, data)


def _tree(target: str, source: Path) -> Iterator[tuple[str, Path]]:
    """The files of a folder (or the one file) with their paths in the image."""
    if source.is_file():
        yield target, source
        return
    for path in sorted(source.rglob("*")):
        inside = path.relative_to(source)
        # The Lab extension is built, and for a browser.
        if path.is_file() and not {"__pycache__", "labextension"} & set(inside.parts):
            yield f"{target}/{inside}", path


_CHROOT = """
mount -t overlay -o "lowerdir=$1/below,upperdir=$1/upper,workdir=$1/work,redirect_dir=off,metacopy=off" layer "$1/merged"
mount -t proc proc "$1/merged/proc"
mount --rbind /dev "$1/merged/dev"
cp -L /etc/resolv.conf "$1/merged/etc/resolv.conf"
exec chroot "$1/merged" /bin/sh -ec "$2"
"""


def _run_script(layer: Layer, temporary: Path, tar: Path) -> None:
    """Run a layer's script over the layers below, in mounts of its own, and keep what it changed."""
    for name in ("below", "upper", "work", "merged"):
        (temporary / name).mkdir()
    assert layer.below is not None
    for lower in layer.below.chain():
        blob = _blob(str(_layer("", lower)["digest"]))
        run(["tar", "-xpf", blob, "--xattrs", "--xattrs-include=*", "-C", temporary / "below"])
    env = {name: os.environ[name] for name in HANDED_ON if name in os.environ}
    env |= {"PIP_CERT": CERTIFICATES, "DEBIAN_FRONTEND": "noninteractive", "LANG": "C.UTF-8"}
    clean = ["env", "-i", PATH, "HOME=/root", *(f"{key}={value}" for key, value in env.items())]
    own = ["unshare", "--mount", "--propagation", "private"]
    try:
        run([*clean, *own, "sh", "-ec", _CHROOT, "sh", temporary, layer.script], seconds=1800)
    except subprocess.SubprocessError as error:
        raise Stop(str(error)) from None
    upper = temporary / "upper"
    _whiteouts(upper)
    run(
        [
            *("tar", "-cf", tar, "--sort=name", "--numeric-owner", "--xattrs"),
            # File capabilities, not the overlay's own marks.
            *("--xattrs-include=security.*", "--exclude=./etc/resolv.conf", "-C", upper, "."),
        ]
    )


def _whiteouts(upper: Path) -> None:
    """Tell deletions as image layers do (``.wh.NAME``), not as overlayfs does (a device 0, 0)."""
    for folder, folders, files in os.walk(upper):
        for name in [*files, *folders]:
            path = Path(folder) / name
            found = path.lstat()
            if stat.S_ISCHR(found.st_mode) and found.st_rdev == 0:
                path.unlink()
                path.with_name(f".wh.{name}").touch()
        if "trusted.overlay.opaque" in os.listxattr(folder, follow_symlinks=False):
            (Path(folder) / ".wh..wh..opq").touch()
