"""Images in the Docker host's own store: look at them, build them, take them away.

Plays the role `Images`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any

import docker
from docker.utils import version_gte, version_lt

from ... import errors
from ...threads import ended
from ..errors import DockerConfigUnusable, ToolsImageMissing
from ..orders import (
    ALWAYS_BUILDKIT,
    BuildOrder,
    BuildResult,
    BuildTrace,
    ImageInfo,
    ImageProbe,
    LogLine,
    Progress,
)
from ..output import without_passwords
from . import accounts, leftovers, tools
from .build import run_build
from .buildkit import run_buildkit
from .certificates import trusting
from .connection import Connection
from .probe import look_into
from .settings import DockerSettings

_ASK_SECONDS = 2.0
"""How long a plan waits for what a registry says of an image."""
_KEPT_SECONDS = 60.0
_NO_SUCH_ROUTE = ("", "Not Found", "404 page not found")


class Images:
    """The images of one Docker host, and what builds them."""

    def __init__(self, connection: Connection, settings: DockerSettings) -> None:
        self._connection = connection
        self._settings = settings
        self._tools_lock = asyncio.Lock()
        self._tools = ""
        self._asked: dict[str, tuple[float, str]] = {}

    @property
    def tools(self) -> str:
        """The tools image; empty until it was made or found."""
        return self._settings.tools_image or self._tools

    async def features(self) -> frozenset[str]:
        """Say what the builder can do."""
        found, usual = await self._buildkit()
        if not found or self._settings.builder == "classic":
            return frozenset()
        # What ``docker build`` uses there has the layer cache; else what can build at all.
        always = usual or self._settings.builder == "buildkit"
        return found | {ALWAYS_BUILDKIT} if always else found

    async def _buildkit(self) -> tuple[frozenset[str], bool]:
        """What the engine's BuildKit can do, and whether ``docker build`` uses it there."""

        def ask(api: docker.APIClient) -> tuple[frozenset[str], bool]:
            parts = api.version().get("Components") or ()
            docker_itself = any(part.get("Name") == "Engine" for part in parts)
            if not docker_itself or version_lt(api.api_version, "1.39"):
                return frozenset(), False
            # Docker 23 was the first with the Dockerfile syntax 1.4 built in.
            new = version_gte(api.api_version, "1.42")
            usual = api.get(f"{api.base_url}/_ping").headers.get("Builder-Version") == "2"
            return frozenset({"buildkit", "syntax-1.4"} if new else {"buildkit"}), usual

        return await self._connection.call("say what it builds with", ask)

    def arguments(self) -> Mapping[str, str]:
        """Return the build arguments of every build."""
        return self._settings.arguments()

    async def image(self, reference: str) -> ImageInfo | None:
        """Inspect an image; None when it is not there."""

        def look(api: docker.APIClient) -> ImageInfo | None:
            try:
                return info_of(_inspect(api, reference))
            except docker.errors.NotFound:
                return None
            except docker.errors.APIError as error:
                if error.status_code == HTTPStatus.BAD_REQUEST:
                    return None  # no name that an image can have: the builder will say so
                raise

        return await self._connection.call("inspect an image", look)

    async def build(self, order: BuildOrder) -> AsyncIterator[Progress | BuildResult]:
        """Build, then tag."""
        if (problem := await self.accounts_refused()) is not None:
            raise problem
        built = ""
        if self._settings.ca_bundle:
            order = trusting(order, self._settings.certificates())
        features = await self.features()
        wanted = ALWAYS_BUILDKIT in features or order.buildkit
        build = run_buildkit if wanted and "buildkit" in features else run_build
        items = self._connection.stream(
            "build",
            lambda client: build(
                client,
                order,
                arguments=self._settings.arguments(),
                network=self._settings.build_network or None,
            ),
        )
        async with contextlib.aclosing(items):
            async for item in items:
                if isinstance(item, str):
                    built = item
                elif isinstance(item, LogLine):
                    yield LogLine(without_passwords(item.text))
                else:
                    yield item

        name = order.tag.format(digest=order.digest())
        reference = f"{order.repository}:{name}"
        await ended(asyncio.to_thread(order.named, reference, False))

        def tag(api: docker.APIClient) -> BuildResult:
            api.tag(built, order.repository, name, force=True)
            return BuildResult(reference, info_of(_inspect(api, built)))

        yield await self._connection.call("tag the image", tag)

    async def probe(
        self,
        migration: str,
        owner: str,
        image: ImageInfo,
        reference: str,
        terms: Mapping[str, Any],
        *,
        pushed: bool = True,
    ) -> ImageProbe:
        """Run the image once, without network or rights, to learn its user and its JupyterLab."""
        info = await self.image(image.digest)
        if info is None:
            raise errors.EngineFailed(action="run the image", reason=f"{reference} is not there")
        seconds = self._settings.probe_timeout
        return await look_into(self._connection, migration, owner, info, seconds=seconds)

    async def remove_image(
        self, reference: str, *, pushed: bool = True, layers: bool = True
    ) -> None:
        """Take the name off an image, which goes with its last name if nothing uses it."""
        await self._connection.call(
            "remove the image", lambda api: remove_unused(api, reference, layers), long=True
        )

    async def clear_build(self, trace: BuildTrace, spare: Collection[str] = ()) -> None:
        """Remove the layers and the container that a build of the classic builder left."""
        await self._connection.call(
            "remove what a build left", lambda api: leftovers.clear(api, trace, spare), long=True
        )

    async def prepare(self) -> str:
        """Return the tools image, made on first use.

        Raises
        ------
        ToolsImageMissing
            It can't be made.
        """
        if self._settings.tools_image:
            return self._settings.tools_image
        async with self._tools_lock:
            if self._tools and await self.image(self._tools) is not None:
                return self._tools
            order = tools.order(self._settings.tools_base)
            reference = f"{order.repository}:{order.tag}"
            if await self.image(reference) is None:
                await self._build_tools(order)
            self._tools = reference
            return reference

    async def accounts_refused(self) -> DockerConfigUnusable | None:
        """Return why the user's accounts at registries can't be read; None if they can."""
        return await self._connection.call("find your accounts", lambda _: accounts.problem())

    async def tools_refused(self) -> ToolsImageMissing | None:
        """Return why the tools image can't be had, before it is made; None if it can, or nobody knows."""
        if image := self._settings.tools_image:
            if await self.image(image) is not None:
                return None
            return ToolsImageMissing(reason=f"{image} is not on this engine")
        base = self._settings.tools_base
        order = tools.order(base)
        for image in (f"{order.repository}:{order.tag}", base):
            if await self.image(image) is not None:
                return None
        now = asyncio.get_running_loop().time()
        if base not in self._asked or now - self._asked[base][0] > _KEPT_SECONDS:
            self._asked[base] = (now, await self._against_pull(base))
        said = self._asked[base][1]
        return ToolsImageMissing(reason=said) if said else None

    async def _against_pull(self, image: str) -> str:
        """Return what the image's registry says against a pull; empty where it says nothing in time."""

        def ask(api: docker.APIClient) -> str:
            try:
                api.inspect_distribution(image)
            except docker.errors.APIError as error:
                said = without_passwords(str(error.explanation or "")).strip().rstrip(".")
                # Podman has no way to ask.
                unknown = error.status_code == HTTPStatus.NOT_FOUND and said in _NO_SUCH_ROUTE
                return "" if unknown else f"{image} is not here, and can't be pulled ({said[:300]})"
            return ""

        try:
            call = self._connection.call("ask a registry", ask, long=True)
            return await asyncio.wait_for(call, _ASK_SECONDS)
        except (asyncio.TimeoutError, TimeoutError, errors.EngineFailed):
            return ""

    async def _build_tools(self, order: BuildOrder) -> None:
        traces = [BuildTrace()]
        last = ""
        try:
            async for item in self.build(replace(order, traced=traces.append)):
                last = getattr(item, "text", last)
        except BaseException as error:
            with contextlib.suppress(errors.SecxopsError):
                await self.clear_build(traces[-1])
            if not isinstance(error, errors.SecxopsError):
                raise
            raise ToolsImageMissing(reason=f"{error.message} {last}".strip()) from error


def _inspect(api: docker.APIClient, reference: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = api.inspect_image(reference)
    return found


def info_of(found: Mapping[str, Any]) -> ImageInfo:
    """Return what Docker's description of an image says."""
    config = found.get("Config") or {}
    return ImageInfo(
        digest=found["Id"],
        size=found["Size"],
        user=config.get("User") or "",
        workdir=config.get("WorkingDir") or "",
        env=dict(e.split("=", 1) for e in config.get("Env") or () if "=" in e),
        entrypoint=tuple(config.get("Entrypoint") or ()),
        command=tuple(config.get("Cmd") or ()),
        volumes=tuple(config.get("Volumes") or ()),
        layers=len((found.get("RootFS") or {}).get("Layers") or ()),
    )


def remove_unused(api: docker.APIClient, reference: str, layers: bool = True) -> None:
    """Take the name off; Docker removes the image itself when it has no other and nothing runs it.

    With ``layers``, so it does with the untagged ones that only this one was made of.
    """
    with contextlib.suppress(docker.errors.NotFound):
        try:
            api.remove_image(reference, force=False, noprune=not layers)
        except docker.errors.APIError as error:
            if error.response is None or error.response.status_code != 409:
                raise
