"""The build context: the files of the project that an image build may see, as a tar stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path


class BuildContext:
    """The build context of a project.

    Parameters
    ----------
    project
        The project's folder.
    dockerfile
        The Dockerfile's bytes; they are sent as ``Dockerfile`` whatever the project holds there.
    commit
        Full id of a local git commit whose files to send instead of the folder's.
    extra
        Files to add: path to content.
    buildkit
        The builder is BuildKit: ``Dockerfile.dockerignore`` goes before ``.dockerignore``.
    everything
        Send all that ``.dockerignore`` leaves, not only what COPY and ADD can reach.

    Attributes
    ----------
    digests
        Path to BLAKE3 hex digest of each file sent; complete once `chunks` is exhausted.
    digest
        BLAKE3 hex digest over everything sent, equal for equal contexts.
    """

    digests: dict[str, str]
    digest: str

    def __init__(
        self,
        project: Path,
        dockerfile: bytes,
        commit: str | None = None,
        extra: Mapping[str, bytes] | None = None,
        *,
        buildkit: bool = False,
        everything: bool = False,
    ) -> None:
        raise NotImplementedError

    @classmethod
    def from_tar(
        cls,
        source: Callable[[], Iterator[bytes]] | Iterator[bytes],
        dockerfile: bytes,
        extra: Mapping[str, bytes] | None = None,
        *,
        buildkit: bool = False,
        everything: bool = False,
    ) -> BuildContext:
        """Make the same context from a tar stream of the copied code (entries ``./path``)."""
        raise NotImplementedError

    def chunks(self) -> Iterator[bytes]:
        """Yield the context as an uncompressed tar; may be called again."""
        raise NotImplementedError
