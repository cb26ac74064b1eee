"""How a registry wants to be convinced: the challenge of a 401, and tokens.

https://distribution.github.io/distribution/spec/auth/token/ (and oauth/, jwt/)
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import msgspec

from wardian.errors import RegistryFailed
from wardian.images.registry.credentials import Credentials

if TYPE_CHECKING:
    from wardian.images.registry.transport import Transport

CLIENT_ID = "wardian"
MAX_TOKEN_BYTES = 1 << 20
_PARAMETER = re.compile(r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')


class Challenge(msgspec.Struct, frozen=True):
    """``WWW-Authenticate`` (RFC 9110, 11.6.1). ``scheme`` is ``basic`` or ``bearer``."""

    scheme: str
    realm: str = ""
    service: str = ""

    @classmethod
    def parse(cls, header: str) -> Challenge | None:
        """The challenge that we can answer, Bearer before Basic; None if there is none."""
        for scheme in ("bearer", "basic"):
            found = re.search(rf"(?:^|,\s*){scheme}(?:\s+|$)", header, re.IGNORECASE)
            if found:
                words = dict[str, str]()
                for name, quoted, plain in _PARAMETER.findall(header[found.end() :]):
                    words.setdefault(name.lower(), quoted or plain)
                return cls(scheme, words.get("realm", ""), words.get("service", ""))
        return None


class _Token(msgspec.Struct, frozen=True):
    token: str = ""
    access_token: str = ""
    refresh_token: str = ""


class Authorization:
    """The headers that a registry accepts from us, by scope. Threads share it."""

    def __init__(self, transport: Transport, login: Callable[[], Credentials | None]) -> None:
        self._transport = transport
        self._login = login
        self._lock = threading.Lock()
        self._headers: dict[str, str] = {}
        self.refresh_token = ""

    def header(self, scope: str) -> str | None:
        """What to send for this scope; None before the first challenge."""
        return self._headers.get(scope)

    def answer(self, challenge: Challenge, scope: str, *, refused: str | None) -> bool:
        """Get a header for the scope in place of the ``refused`` one; whether there is one."""
        with self._lock:
            now = self._headers.get(scope)
            if now is not None and now != refused:
                return True  # another thread was here before
            header = self._obtain(challenge, scope)
            if header is None or (challenge.scheme == "basic" and header == refused):
                return False
            self._headers[scope] = header
            return True

    def _obtain(self, challenge: Challenge, scope: str) -> str | None:
        login = self._login()
        if login is not None and login.registry_token:
            return f"Bearer {login.registry_token}"
        if challenge.scheme == "basic":
            return login.basic if login is not None else None
        return f"Bearer {self._token(challenge, scope, login)}"

    def _token(self, challenge: Challenge, scope: str, login: Credentials | None) -> str:
        self._check(challenge.realm)
        parameters = [("service", challenge.service)] if challenge.service else []
        parameters += [("scope", one) for one in scope.split()]
        if login is not None and login.identity_token:
            answer = self._by_post(challenge.realm, [("scope", scope), *parameters[:1]], login)
        else:
            answer = self._by_get(challenge.realm, parameters, login)
        try:
            token = msgspec.json.decode(answer, type=_Token)
        except msgspec.MsgspecError as error:
            raise RegistryFailed(f"{_host(challenge.realm)} gave no token: {error}") from error
        self.refresh_token = token.refresh_token
        if not (said := token.token or token.access_token):
            raise RegistryFailed(f"{_host(challenge.realm)} gave no token")
        if not re.fullmatch(r"[\x21-\x7e]+", said):
            raise RegistryFailed(f"{_host(challenge.realm)} gave a token that no header can hold")
        return said

    def _by_get(
        self, realm: str, parameters: list[tuple[str, str]], login: Credentials | None
    ) -> bytes:
        headers = {}
        if login is not None and login.user:
            headers["Authorization"] = login.basic
            parameters = [*parameters, ("account", login.user)]
        glue = "&" if urlsplit(realm).query else "?"
        url = f"{realm}{glue}{urlencode(parameters)}"
        return self._transport.document("GET", url, headers=headers, most=MAX_TOKEN_BYTES)

    def _by_post(self, realm: str, parameters: list[tuple[str, str]], login: Any) -> bytes:
        form = [("grant_type", "refresh_token"), ("client_id", CLIENT_ID), *parameters]
        form.append(("refresh_token", login.identity_token))
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        body = urlencode(form).encode()
        return self._transport.document("POST", realm, headers=headers, body=body, most=1 << 20)

    def _check(self, realm: str) -> None:
        """A password goes over TLS, unless the registry itself has none."""
        scheme = urlsplit(realm).scheme
        is_plain = self._transport.endpoint.url.startswith("http://")
        if scheme != "https" and not (scheme == "http" and is_plain):
            raise RegistryFailed(
                f"{self._transport.endpoint.host} asks for a login at {realm[:80]!a}",
                hint="a login is sent over https only; tell whoever runs the registry",
            )


def _host(url: str) -> str:
    return urlsplit(url).netloc or url[:80]
