"""A small registry over TLS: manifests by tag and digest, uploads, both ways to sign in; told to fail, it does."""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web


class Registry:
    """Has images, and lets in who knows its password.

    Parameters
    ----------
    bearer
        Whether it asks for a token of its own instead of the password.
    """

    def __init__(self, user: str = "me", password: str = "secret", *, bearer: bool = False) -> None:
        self.user = user
        self.password = password
        self.bearer = bearer
        self.address = ""
        self.ca = ""
        self.deletes = True
        """Whether images can be deleted."""
        self.readable = False
        """Whether anybody may read."""
        self.identity = ""
        """The identity token that it takes for a token of its own, besides the password."""
        self.forms: list[dict[str, str]] = []
        """What was sent to it for a token."""
        self.storage = ""
        """Another address, to which it sends whoever wants a blob."""
        self.challenge = ""
        """What it says instead of its own challenge, a header a line, if not empty."""
        self.body = b""
        """What it answers with instead of all else, if not empty."""
        self.page = 100
        """How many tags it tells at once."""
        self.asked: list[tuple[str, str, str]] = []
        """Method, path and Authorization of each request."""
        self._tags: dict[str, dict[str, str]] = {}
        self._manifests: dict[str, bytes] = {}
        self._blobs: dict[str, bytes] = {}
        self.uploads: set[str] = set()
        """The uploads that were begun and not ended."""

    def put(self, repository: str, tag: str) -> str:
        """Keep an image; return its digest."""
        config = json.dumps({"config": {"User": "jovyan", "Labels": {"tag": tag}}}).encode()
        self._blobs[digest_of(config)] = config
        layers = [{"digest": "sha256:1", "size": 100}, {"digest": "sha256:2", "size": 23}]
        body = json.dumps({"config": {"digest": digest_of(config)}, "layers": layers}).encode()
        self._manifests[digest_of(body)] = body
        self._tags.setdefault(repository, {})[tag] = digest_of(body)
        return digest_of(body)

    def tags(self, repository: str) -> list[str]:
        return sorted(self._tags.get(repository, ()))

    # ------------------------------------------------------------------ answers

    async def answer(self, request: web.Request) -> web.Response:
        given = request.headers.get("Authorization", "")
        self.asked.append((request.method, request.path, given))
        if request.path == "/token" and request.method == "POST":
            return self._exchanged({k: str(v) for k, v in (await request.post()).items()})
        if request.path == "/token":
            return self._token(request, given)
        if self.readable and request.method == "GET":
            return self._inside(request)
        scope = f"repository:{request.match_info['name']}:pull,push"
        if self.bearer and given != f"Bearer {scope}":
            written = self.challenge or 'Bearer realm="https://{0}/token",service="r",scope="{1}"'
            refused = web.Response(status=401)
            for challenge in written.format(self.address, scope).split("\n"):
                refused.headers.add("WWW-Authenticate", challenge)
            return refused
        if not self.bearer and given != self._basic():
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="r"'})
        return self._inside(request)

    def _token(self, request: web.Request, given: str) -> web.Response:
        if given != self._basic() or request.query["service"] != "r":
            return web.Response(status=401)
        return web.json_response({"token": request.query["scope"]})

    def _exchanged(self, form: dict[str, str]) -> web.Response:
        self.forms.append(form)
        if (form.get("grant_type"), form.get("refresh_token")) != ("refresh_token", self.identity):
            return web.Response(status=401)
        return web.json_response({"access_token": form["scope"], "expires_in": 300})

    def _basic(self) -> str:
        return f"Basic {base64.b64encode(f'{self.user}:{self.password}'.encode()).decode()}"

    def _inside(self, request: web.Request) -> web.Response:
        if self.body:
            return web.Response(body=self.body)
        name, kind, rest = (request.match_info[key] for key in ("name", "kind", "rest"))
        if kind == "tags":
            return self._listed(request, name)
        if kind == "uploads":
            return self._upload(request, name, rest)
        if kind == "blobs" and self.storage:
            location = f"https://{self.storage}{request.path}"
            return web.Response(status=307, headers={"Location": location})
        if kind == "blobs":
            return web.Response(body=self._blobs[rest])
        digest = self._tags.get(name, {}).get(rest, rest)
        if request.method == "DELETE":
            return self._delete(name, digest)
        if digest not in self._tags.get(name, {}).values():
            return web.Response(status=404)
        return web.Response(body=self._manifests[digest])

    def _listed(self, request: web.Request, name: str) -> web.Response:
        if name not in self._tags:
            return web.Response(status=404)
        rest = [tag for tag in self.tags(name) if tag > request.query.get("last", "")]
        page = rest[: self.page]
        headers = {}
        if len(rest) > len(page):
            headers["Link"] = f'</v2/{name}/tags/list?last={page[-1]}>; rel="next"'
        # As the distribution says it of a repository without any.
        return web.json_response({"name": name, "tags": page or None}, headers=headers)

    def _delete(self, name: str, digest: str) -> web.Response:
        if not self.deletes:
            return web.json_response({"errors": [{"code": "UNSUPPORTED"}]}, status=405)
        tags = self._tags.get(name, {})
        if digest not in tags.values():
            return web.Response(status=404)
        self._tags[name] = {tag: found for tag, found in tags.items() if found != digest}
        return web.Response(status=202)

    def _upload(self, request: web.Request, name: str, rest: str) -> web.Response:
        if request.method == "POST":
            self.uploads.add(name)
            return web.Response(
                status=202, headers={"Location": f"/v2/{name}/blobs/uploads/1?state=x"}
            )
        self.uploads.remove(name)
        return web.Response(status=204)


def digest_of(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def _certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate that signs itself; return it and its key."""
    folder.mkdir(exist_ok=True)
    certificate, key = folder / "tls.crt", folder / "tls.key"
    subprocess.run(
        (
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-keyout", str(key), "-out", str(certificate), "-days", "2"),
            *("-subj", "/CN=registry", "-addext", "subjectAltName=IP:127.0.0.1"),
        ),
        check=True,
        capture_output=True,
    )
    return certificate, key


@asynccontextmanager
async def serving(registry: Registry, folder: Path) -> AsyncIterator[Registry]:
    """Serve on loopback, with a certificate of its own."""
    certificate, key = _certificate(folder)
    registry.ca = certificate.read_text()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    application = web.Application()
    application.router.add_route("*", "/token", registry.answer)
    for path in (
        "/v2/{name:.+}/{kind:tags}/{rest:list}",
        "/v2/{name:.+}/blobs/{kind:uploads}/{rest:.*}",
        "/v2/{name:.+}/{kind:manifests|blobs}/{rest:.+}",
    ):
        application.router.add_route("*", path, registry.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    assert site._server is not None
    registry.address = f"127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    try:
        yield registry
    finally:
        await runner.cleanup()
