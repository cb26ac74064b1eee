"""HTTP to one registry: patience with what passes, one clear error for what does not.

A redirect is followed here and not by urllib3, so that it never leads to another scheme than http
or https, never from https to http, and never takes a login to another host (CVE-2020-15157).
"""

from __future__ import annotations

import email.utils
import json
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Self, TypeVar
from urllib.parse import urljoin, urlsplit

import msgspec
import urllib3
from urllib3.exceptions import (
    HTTPError,
    InsecureRequestWarning,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
    SSLError,
    TimeoutError,  # noqa: A004
)

from wardian.errors import NotFound, RegistryFailed
from wardian.images.registry.authorization import Authorization, Challenge
from wardian.images.registry.certificates import tls

if TYPE_CHECKING:
    from wardian.images.registry.credentials import Credentials
    from wardian.images.registry.settings import Endpoint

Result = TypeVar("Result")
Body = bytes | Callable[[], Iterable[bytes]]
PASSING = frozenset({408, 429, 500, 502, 503, 504})
MAX_REDIRECTS = 5
MAX_COMPLAINT_BYTES = 64 << 10
CHUNK_BYTES = 1 << 18
AGENT = "wardian"


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long to put up with a registry; times in seconds.

    ``stall_s`` is for how long nothing may come or go, ``longest_wait_s`` the most that a
    Retry-After is obeyed for. ``tell`` hears of waits that one notices: why, and how long.
    """

    attempts: int = 5
    backoff_s: float = 0.5
    longest_wait_s: float = 60.0
    connect_s: float = 15.0
    stall_s: float = 30.0
    stop: threading.Event = msgspec.field(default_factory=threading.Event)
    noticed_s: float = 1.0
    tell: Callable[[str, float], None] = lambda _why, _wait_s: None

    def wait(self, attempt: int, why: str, retry_after: str = "") -> None:
        """Wait before the next attempt, at once over when everything is to stop."""
        wait_s = _seconds(retry_after)
        if wait_s is None:
            wait_s = self.backoff_s * 2**attempt * random.uniform(0.75, 1.25)  # noqa: S311
        wait_s = min(wait_s, self.longest_wait_s)
        if wait_s >= self.noticed_s:
            self.tell(why, wait_s)
        self.stop.wait(wait_s)
        self.check()

    def check(self) -> None:
        """Raise if everything is to stop."""
        if self.stop.is_set():
            raise RegistryFailed("the transfer was stopped")


def _seconds(retry_after: str) -> float | None:
    """RFC 9110, 10.2.3: seconds or a date."""
    if retry_after.strip().isdigit():
        return float(retry_after[:9])
    with suppress(ValueError, TypeError):
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    return None


class Answer:
    """A response whose body is still to be read."""

    def __init__(self, response: urllib3.BaseHTTPResponse, url: str, host: str) -> None:
        self.status = response.status
        self.url = url
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._host = host

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._response.length_remaining == 0:
            self.done()
        else:
            self.close()

    def chunks(self) -> Iterator[bytes]:
        """The body as it comes; urllib3's errors if it stalls or is cut."""
        yield from self._response.stream(CHUNK_BYTES, decode_content=False)

    def read(self, most: int) -> bytes:
        """A small body; RegistryFailed if it is bigger than it may be."""
        data = b""
        while len(data) <= most and (more := self._response.read(most + 1 - len(data))):
            data += more
        if len(data) > most:
            raise RegistryFailed(
                f"{self._host} sends a description of more than {most >> 20} MiB",
                hint="no image needs that; do not trust this registry",
            )
        return data

    def done(self) -> None:
        """Read what little is left, so that the connection can be used again."""
        with suppress(HTTPError):
            if self._response.read(MAX_COMPLAINT_BYTES + 1)[MAX_COMPLAINT_BYTES:]:
                self.close()
        self._response.release_conn()

    def interrupt(self) -> None:
        """Let a thread that waits for more wait no longer."""
        with suppress(ValueError, RuntimeError, OSError):
            self._response.shutdown()

    def close(self) -> None:
        """Hang up."""
        self._response.close()


class Transport:
    """Requests to one endpoint. Threads share it."""

    def __init__(
        self,
        endpoint: Endpoint,
        login: Callable[[], Credentials | None],
        patience: Patience,
    ) -> None:
        self.endpoint = endpoint
        self.patience = patience
        self.authorization = Authorization(self, login)
        self.was_answered = False
        self._challenge: Challenge | None = None
        self._pools: dict[str, urllib3.PoolManager] = {}
        self._lock = threading.Lock()
        self._open: weakref.WeakSet[Answer] = weakref.WeakSet()

    def interrupt(self) -> None:
        """End what other threads wait for, when everything is to stop."""
        with self._lock:
            answers = list(self._open)
        for answer in answers:
            answer.interrupt()

    def close(self) -> None:
        """End every connection."""
        for pool in self._pools.values():
            pool.clear()

    # --- requests ------------------------------------------------------------------------

    def document(
        self,
        method: str,
        url: str,
        *,
        most: int,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> bytes:
        """A small body of some address, sent without a login of ours unless in ``headers``."""

        def ask() -> bytes:
            with self._follow(method, url, headers or {}, body, is_ours=False) as answer:
                return self._accepted(answer, (200,), "a token").read(most)

        return self.patiently(ask, _host(url))

    def send(
        self,
        method: str,
        url: str,
        *,
        scope: str = "",
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        accept: tuple[int, ...] = (200,),
        what: str = "",
    ) -> Answer:
        """One request with our login, tried again if what hinders it may pass.

        Raises RegistryFailed; NotFound for a 404. ``what`` is what was asked for.
        """

        def ask() -> Answer:
            return self._accepted(
                self._authorized(method, url, scope, headers or {}, body), accept, what
            )

        return self.patiently(ask, what)

    def once(
        self,
        method: str,
        url: str,
        *,
        scope: str,
        headers: Mapping[str, str],
        body: Body | None = None,
        accept: tuple[int, ...],
        what: str,
    ) -> Answer:
        """The same, tried once; raises `Passing` for what may pass."""
        try:
            answer = self._authorized(method, url, scope, headers, body)
            return self._accepted(answer, accept, what)
        except HTTPError as error:
            raise Passing(self.explain(error, what)) from error

    def probe(self) -> None:
        """Learn what the registry asks of us, whatever it answers. HTTPError, RegistryFailed."""
        with self._follow("GET", f"{self.endpoint.url}/v2/", {}, None, is_ours=True) as answer:
            if answer.status == HTTPStatus.UNAUTHORIZED and self._is_same(answer.url):
                self._challenge = Challenge.parse(answer.headers.get("WWW-Authenticate", ""))

    def patiently(self, ask: Callable[[], Result], what: str) -> Result:
        """Try until it works, or until what hinders it is no passing thing."""
        for attempt in range(self.patience.attempts):
            self.patience.check()
            is_last = attempt == self.patience.attempts - 1
            try:
                return ask()
            except Passing as passing:
                if is_last:
                    raise passing.error from passing
                self.patience.wait(attempt, passing.error.what, passing.retry_after)
            except HTTPError as error:
                explained = self.explain(error, what)
                if is_last or is_final(error):
                    raise explained from error
                self.patience.wait(attempt, explained.what)
        raise AssertionError

    def _authorized(
        self, method: str, url: str, scope: str, headers: Mapping[str, str], body: Body | None
    ) -> Answer:
        """Send it, and once more if the registry asks who we are (or our token has expired)."""
        url = urljoin(f"{self.endpoint.url}/", url)
        header = self.authorization.header(scope)
        if header is None and self._challenge is not None:  # as for the scope before
            self.authorization.answer(self._challenge, scope, refused=None)
            header = self.authorization.header(scope)
        for _ in range(2):
            sent = {**headers, "Authorization": header} if header else headers
            answer = self._follow(method, url, sent, body, is_ours=True)
            if answer.status != HTTPStatus.UNAUTHORIZED or not self._is_same(answer.url):
                return answer
            challenge = Challenge.parse(answer.headers.get("WWW-Authenticate", ""))
            if challenge is None:
                return answer
            if not self.authorization.answer(challenge, scope, refused=header):
                return answer
            answer.done()
            self._challenge = challenge
            header = self.authorization.header(scope)
        return answer

    def _follow(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Body | None,
        *,
        is_ours: bool,
    ) -> Answer:
        """Send it where redirects lead, the login to our own registry only."""
        for _ in range(MAX_REDIRECTS):
            self._check_address(url)
            sent = {"User-Agent": AGENT, **headers}
            if is_ours and not self._is_same(url):
                sent.pop("Authorization", None)
            data = body() if callable(body) else body
            response = self._pool(url).request(
                method,
                url,
                body=data,
                headers=sent,
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
            )
            self.was_answered = True
            answer = Answer(response, url, _host(url))
            with self._lock:
                self._open.add(answer)
            location = response.headers.get("Location")
            is_redirect = response.status in {301, 302, 303, 307, 308} and location
            if not is_redirect or method not in {"GET", "HEAD"}:
                return answer
            answer.done()
            target = urljoin(url, location)
            if url.startswith("https://") and not target.startswith("https://"):
                raise RegistryFailed(f"{_host(url)} redirects away from https: {target[:80]!a}")
            url = target
        raise RegistryFailed(f"{self.endpoint.host} redirects without end")

    def _check_address(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise RegistryFailed(
                f"{self.endpoint.host} leads to what is no address of a registry: {url[:80]!a}",
                hint="do not trust this registry",
            )

    def _is_same(self, url: str) -> bool:
        """Whether an address is our registry's: scheme, host and port."""
        parts = urlsplit(url)
        own = urlsplit(self.endpoint.url)
        return (parts.scheme, parts.netloc) == (own.scheme, own.netloc)

    # --- connections ---------------------------------------------------------------------

    def _pool(self, url: str) -> urllib3.PoolManager:
        """Connections of one kind: our registry's own certificates are for it alone."""
        kind = "ours" if self._is_same(url) else "others"
        proxy = _proxy(url)
        with self._lock:
            key = f"{kind} {proxy}"
            if key not in self._pools:
                self._pools[key] = self._make_pool(is_ours=kind == "ours", proxy=proxy)
            return self._pools[key]

    def _make_pool(self, *, is_ours: bool, proxy: str) -> urllib3.PoolManager:
        import ssl

        if not self.endpoint.is_verified:  # so it was asked for, by name
            urllib3.disable_warnings(InsecureRequestWarning)
        context = tls(self.endpoint) if is_ours else ssl.create_default_context()
        timeout = urllib3.Timeout(connect=self.patience.connect_s, read=self.patience.stall_s)
        if proxy:
            return urllib3.ProxyManager(proxy, timeout=timeout, maxsize=8, ssl_context=context)
        return urllib3.PoolManager(timeout=timeout, maxsize=8, ssl_context=context)

    # --- errors --------------------------------------------------------------------------

    def _accepted(self, answer: Answer, accept: tuple[int, ...], what: str) -> Answer:
        """The answer, if it is one of those that were hoped for."""
        if answer.status in accept:
            return answer
        retry_after = answer.headers.get("Retry-After", "")
        said = _complaint(answer)
        answer.close()
        host, status = self.endpoint.host, answer.status
        if status == HTTPStatus.NOT_FOUND:
            raise NotFound(f"not found at {host}: {what}{said}", hint=_LOGIN_OR_NAME)
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise RegistryFailed(
                f"{host} denies access to {what}{said}", hint=f"`wardian login {host}` first"
            )
        if status in PASSING:
            word = "is asked too often" if status == HTTPStatus.TOO_MANY_REQUESTS else "has failed"
            error = RegistryFailed(f"{host} {word} ({status}): {what}{said}", hint=_LATER)
            raise Passing(error, retry_after)
        raise RegistryFailed(f"{host} answers {status}{_meaning(status)}: {what}{said}")

    def explain(self, error: HTTPError, what: str) -> RegistryFailed:
        """What an error on the way is to the user."""
        host = self.endpoint.host
        about = f": {what}" if what else ""
        if isinstance(error, NameResolutionError):
            return Unreachable(f"no such host: {host}", hint="see how the name is written")
        if isinstance(error, NewConnectionError):
            return Unreachable(f"cannot connect to {host}: {_reason(error)}", hint=_LATER)
        if isinstance(error, SSLError) and not self.endpoint.is_verified:
            return NoTls(f"{host} speaks no TLS: {_reason(error)}")
        if isinstance(error, SSLError):
            return RegistryFailed(
                f"{host} cannot be trusted: {_reason(error)}",
                hint=f"put its authority into /etc/docker/certs.d/{host}/ca.crt",
            )
        if isinstance(error, TimeoutError):
            return RegistryFailed(f"{host} has stalled{about}", hint=_LATER)
        if isinstance(error, LocationParseError):
            return RegistryFailed(f"not the address of a registry: {host}")
        return RegistryFailed(f"{host} cut the line{about}", hint=_LATER)


_LATER = "try again later: what has been transferred is kept"
_LOGIN_OR_NAME = "see how the name is written; a private one needs `wardian login`"


class Unreachable(RegistryFailed):
    """There is no such registry, or nothing listens there."""


class NoTls(RegistryFailed):
    """It need not be trusted, and yet TLS failed: it may be there without."""


class Passing(Exception):
    """Something that may pass, with the error it is if it does not."""

    def __init__(self, error: RegistryFailed, retry_after: str = "") -> None:
        super().__init__(error.what)
        self.error = error
        self.retry_after = retry_after


def is_final(error: HTTPError) -> bool:
    """Nothing listens there, or it is not whom we trust: that does not pass in seconds."""
    return isinstance(error, NewConnectionError | SSLError | LocationParseError)


def _reason(error: Exception) -> str:
    text = str(getattr(error, "reason", "") or error)
    return " ".join(text.rpartition("Errno")[2].rpartition("] ")[2].split())[:120]


def _meaning(status: int) -> str:
    with suppress(ValueError):
        return f" {HTTPStatus(status).phrase}"
    return ""


def _complaint(answer: Answer) -> str:
    """What the registry says for itself (distribution-spec, error codes), on one line."""
    with suppress(HTTPError, RegistryFailed, ValueError, KeyError, IndexError, TypeError):
        first = json.loads(answer.read(MAX_COMPLAINT_BYTES))["errors"][0]
        said = str(first.get("message") or first["code"])
        return f" ({''.join(c if c.isprintable() else ' ' for c in said)[:200]})"
    return ""


def _host(url: str) -> str:
    return urlsplit(url).netloc


def _proxy(url: str) -> str:
    """The proxy of the environment, which the loopback never goes through."""
    from urllib.request import getproxies, proxy_bypass

    from wardian.images.registry.settings import is_loopback

    parts = urlsplit(url)
    if is_loopback(parts.hostname or "") or proxy_bypass(parts.netloc):
        return ""
    return getproxies().get(parts.scheme, "")
