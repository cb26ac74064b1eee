"""One repository of a registry: its manifests, tags and blobs (OCI distribution-spec)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urljoin, urlsplit

import msgspec
from urllib3.exceptions import HTTPError

from wardian.errors import NotFound, RegistryFailed
from wardian.images.manifest import (
    DOCKER_INDEX_TYPE,
    DOCKER_MANIFEST_TYPE,
    INDEX_TYPE,
    MANIFEST_TYPE,
    MAX_DOCUMENT_BYTES,
    Descriptor,
    digest_of,
)
from wardian.images.reference import Reference
from wardian.images.registry.credentials import Credentials, Logins
from wardian.images.registry.settings import Endpoint, Settings
from wardian.images.registry.transport import Answer, NoTls, Patience, Transport, is_final

ACCEPT = f"{MANIFEST_TYPE}, {INDEX_TYPE}, {DOCKER_MANIFEST_TYPE}, {DOCKER_INDEX_TYPE}"
MAX_TAGS = 100_000
_NEXT = re.compile(r'<([^>]+)>\s*;\s*rel="?next"?')


class _Tags(msgspec.Struct, frozen=True):
    tags: list[str] | None = None


class Document(msgspec.Struct, frozen=True):
    """A manifest or an index as it was sent, with its descriptor."""

    data: bytes
    descriptor: Descriptor


class Repository:
    """Where the images of one name are, by one endpoint. Threads share it."""

    def __init__(self, transport: Transport, path: str) -> None:
        self.transport = transport
        self.path = path
        self._base = f"{transport.endpoint.url}/v2/{path}"

    @property
    def pull_scope(self) -> str:
        """What a token must allow."""
        return f"repository:{self.path}:pull"

    @property
    def push_scope(self) -> str:
        """What a token must allow."""
        return f"repository:{self.path}:pull,push"

    # --- manifests -----------------------------------------------------------------------

    def manifest(self, reference: str) -> Document:
        """What a tag or digest means; NotFound, RegistryFailed if it is not of that digest."""
        what = f"{self.path}{'@' if ':' in reference else ':'}{reference}"

        def ask() -> Document:
            with self.transport.send(
                "GET",
                f"{self._base}/manifests/{reference}",
                scope=self.pull_scope,
                headers={"Accept": ACCEPT},
                what=what,
            ) as answer:
                data = answer.read(MAX_DOCUMENT_BYTES)
                kind = answer.headers.get("Content-Type", "").partition(";")[0].strip()
                return Document(data, _describe(data, kind, reference, what))

        return self.transport.patiently(ask, what)

    def has_manifest(self, reference: str, digest: str, scope: str) -> bool:
        """Whether a tag means this digest already."""
        with self.transport.send(
            "HEAD",
            f"{self._base}/manifests/{reference}",
            scope=scope,
            headers={"Accept": ACCEPT},
            accept=(200, 404),
            what=self.path,
        ) as answer:
            return answer.headers.get("Docker-Content-Digest") == digest

    def put_manifest(self, reference: str, data: bytes, media_type: str) -> None:
        """Give a manifest to the registry under a tag."""
        self.transport.send(
            "PUT",
            f"{self._base}/manifests/{reference}",
            scope=self.push_scope,
            headers={"Content-Type": media_type},
            body=data,
            accept=(201, 200, 202),
            what=f"{self.path}:{reference}",
        ).done()

    def tags(self) -> list[str]:
        """Every tag, page by page."""
        found: list[str] = []
        url = f"{self._base}/tags/list"
        while url:
            with self.transport.send("GET", url, scope=self.pull_scope, what=self.path) as answer:
                data = answer.read(MAX_DOCUMENT_BYTES)
            try:
                found += msgspec.json.decode(data, type=_Tags).tags or []
            except msgspec.MsgspecError as error:
                raise RegistryFailed(f"the list of tags is malformed: {self.path}") from error
            following = _NEXT.search(answer.headers.get("Link", ""))
            url = urljoin(url, following[1]) if following else ""
            if url and (len(found) > MAX_TAGS or urlsplit(url)[:2] != urlsplit(self._base)[:2]):
                raise RegistryFailed(f"the list of tags leads nowhere: {self.path}")
        return found

    # --- blobs ---------------------------------------------------------------------------

    def open_blob(self, blob: Descriptor, offset: int) -> Answer:
        """A blob from a byte on: 206, or 200 if the registry starts from the beginning."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        try:
            return self.transport.once(
                "GET",
                f"{self._base}/blobs/{blob.digest}",
                scope=self.pull_scope,
                headers=headers,
                accept=(200, 206, 416),
                what=f"a layer of {self.path}",
            )
        except NotFound as error:
            raise NotFound(
                error.what, hint="the registry has lost it: push the image again"
            ) from error

    def has_blob(self, blob: Descriptor) -> bool:
        """Whether the registry has it, in this repository."""
        with self.transport.send(
            "HEAD",
            f"{self._base}/blobs/{blob.digest}",
            scope=self.push_scope,
            accept=(200, 404),
            what=self.path,
        ) as answer:
            return answer.status == 200

    def start_upload(self, blob: Descriptor, mount_from: str = "") -> str:
        """Where to send a blob; "" if it was mounted from another repository."""
        query = f"?mount={blob.digest}&from={mount_from}" if mount_from else ""
        scope = self.push_scope
        if mount_from:
            scope += f" repository:{mount_from}:pull"
        answer = self.transport.send(
            "POST",
            f"{self._base}/blobs/uploads/{query}",
            scope=scope,
            headers={"Content-Length": "0"},
            accept=(201, 202),
            what=self.path,
        )
        answer.done()
        return "" if answer.status == 201 else location(answer)


def location(answer: Answer) -> str:
    """Where an upload goes on."""
    if not (where := answer.headers.get("Location")):
        raise RegistryFailed("the registry does not say where an upload goes on")
    target = urljoin(answer.url, where)
    if answer.url.startswith("https://") and not target.startswith("https://"):
        raise RegistryFailed(f"the registry leads an upload away from https: {target[:80]!a}")
    return target


def _describe(data: bytes, kind: str, reference: str, what: str) -> Descriptor:
    digest = digest_of(data)
    if reference.startswith("sha256:") and digest != reference:
        raise RegistryFailed(
            f"the registry sent another image than asked for: {what}",
            hint="do not trust this registry, or what is between it and here",
        )
    try:
        said = msgspec.json.decode(data, type=dict[str, object]).get("mediaType")
    except (msgspec.MsgspecError, RecursionError) as error:
        raise RegistryFailed(f"the registry sent no manifest: {what}") from error
    return Descriptor(mediaType=str(said or kind), digest=digest, size=len(data))


@contextmanager
def repositories(
    reference: Reference, patience: Patience, *, for_push: bool = False
) -> Iterator[Iterator[Repository]]:
    """The ways to a name's repository that answer, best first: mirrors, then the registry.

    The iterator raises RegistryFailed at its end if there was none.
    """
    if reference.is_ours:
        raise NotFound(
            f"made here and in no registry: {reference}",
            hint="give it a registry's name first: `wardian tag`",
        )
    logins = Logins()
    made: list[Transport] = []

    def answering() -> Iterator[Repository]:
        error: RegistryFailed | None = None
        is_telling = False  # it says what is wrong with the registry itself
        has_any = False
        endpoints = Settings.read().endpoints(reference.domain, for_push=for_push)
        for endpoint in endpoints:
            transport = Transport(endpoint, _login(logins, endpoint, reference), patience)
            made.append(transport)
            try:
                ping(transport, is_only=endpoint is endpoints[-1])
            except RegistryFailed as failed:
                error = error if is_telling else failed
                is_telling = not endpoint.is_mirror and not isinstance(error, NoTls)
                continue
            has_any = True
            yield Repository(transport, reference.path)
            if not endpoint.is_mirror:
                return
        if not has_any and error is not None:
            raise error

    try:
        yield answering()
    finally:
        for transport in made:
            transport.close()


def _login(
    logins: Logins, endpoint: Endpoint, reference: Reference
) -> Callable[[], Credentials | None]:
    domain = endpoint.host if endpoint.is_mirror else reference.domain
    return lambda: logins.get(domain)


def ping(transport: Transport, *, is_only: bool) -> None:
    """See whether anything answers (distribution-spec, end-1); RegistryFailed.

    ``is_only`` tells that there is no other way to the registry: then it is tried once more.
    """
    for is_last in (not is_only, True):
        try:
            return transport.probe()
        except HTTPError as error:
            explained = transport.explain(error, "")
            if is_last or is_final(error):
                raise explained from error
            transport.patience.wait(0, explained.what)
    return None
