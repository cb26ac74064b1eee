"""Logins as docker keeps them: ``config.json`` and the programs ``docker-credential-…``.

https://docs.docker.com/reference/cli/docker/login/ and, for the helpers' protocol,
https://github.com/docker/docker-credential-helpers: ``get``, ``store`` or ``erase`` as argument,
the server (or a JSON object) on standard input, a JSON object on standard output.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import msgspec

from wardian.errors import InvalidInput, SetupError
from wardian.images.reference import DEFAULT_DOMAIN
from wardian.linux.whole import write_whole

HUB_KEY = "https://index.docker.io/v1/"  # what docker calls Docker Hub in its file
TOKEN_USER = "<token>"  # noqa: S105  # a helper's word for: the secret is an identity token
HELPER_TIMEOUT_S = 60
_NOT_FOUND = "credentials not found"


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """A user and password; or a token to get tokens with; or the registry's own token."""

    user: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""

    def __repr__(self) -> str:
        """Without secrets: it may end up in a log."""
        return f"Credentials(user={self.user!r})"

    @property
    def basic(self) -> str:
        """The value of a header (RFC 7617)."""
        pair = f"{self.user}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"


def server_key(domain: str) -> str:
    """What a registry is called in the file."""
    return HUB_KEY if domain in (DEFAULT_DOMAIN, "index.docker.io") else domain


class Logins:
    """The file ``config.json`` below $DOCKER_CONFIG or ~/.docker; other keys stay as they are."""

    def __init__(self, directory: Path | None = None) -> None:
        place = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
        self.path = (directory or Path(place)) / "config.json"

    def get(self, domain: str) -> Credentials | None:
        """The login for a registry, None if there is none. InvalidInput, SetupError."""
        key = server_key(domain)
        fields = self._read()
        if helper := _helper(fields, key):
            return _ask(helper, key)
        for name, entry in _object(fields, "auths").items():
            if isinstance(entry, dict) and (name == key or _plain(name) == _plain(key)):
                return _decode(entry, self.path)
        return None

    def put(self, domain: str, credentials: Credentials) -> str:
        """Keep a login; the helper that keeps it, "" if it is the file itself."""
        key = server_key(domain)
        fields = self._read()
        helper = _helper(fields, key)
        entry: dict[str, str] = {}
        if helper:
            secret = credentials.identity_token or credentials.password
            user = TOKEN_USER if credentials.identity_token else credentials.user
            _run(
                helper, "store", json.dumps({"ServerURL": key, "Username": user, "Secret": secret})
            )
        elif credentials.identity_token:
            pair = f"{credentials.user}:".encode()
            entry = {"auth": base64.b64encode(pair).decode()}
            entry["identitytoken"] = credentials.identity_token
        else:
            entry = {"auth": credentials.basic.removeprefix("Basic ")}
        self._write({**fields, "auths": {**_object(fields, "auths"), key: entry}})
        return helper

    def remove(self, domain: str) -> bool:
        """Forget a login; whether there was one."""
        key = server_key(domain)
        fields = self._read()
        auths = _object(fields, "auths")
        had = bool([name for name in auths if _plain(name) == _plain(key)])
        if helper := _helper(fields, key):
            had = had or _ask(helper, key) is not None
            _run(helper, "erase", key)
        left = {name: entry for name, entry in auths.items() if _plain(name) != _plain(key)}
        if left != auths:
            self._write({**fields, "auths": left})
        return had

    def _read(self) -> dict[str, Any]:
        try:
            fields = json.loads(self.path.read_bytes() or b"{}")
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise SetupError(f"cannot read {self.path}: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"malformed: {self.path}: {error}") from error
        if not isinstance(fields, dict):
            raise InvalidInput(f"malformed: {self.path}: not a JSON object")
        return fields

    def _write(self, fields: dict[str, Any]) -> None:
        """Replace the file, or what it is a link to; it is its owner's alone to read."""
        path = Path(os.path.realpath(self.path))
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(path, json.dumps(fields, indent="\t").encode())
        except OSError as error:
            raise SetupError(f"cannot write {self.path}: {error.strerror}") from error


def _object(fields: dict[str, Any], name: str) -> dict[str, Any]:
    value = fields.get(name)
    return value if isinstance(value, dict) else {}


def _plain(server: str) -> str:
    """Host and port: the file of older dockers has whole addresses."""
    return server.removeprefix("https://").removeprefix("http://").partition("/")[0]


def _helper(fields: dict[str, Any], key: str) -> str:
    """The helper for a server: its own, or the one for all."""
    own = _object(fields, "credHelpers")
    word = own.get(key, own.get(_plain(key), fields.get("credsStore", "")))
    if not isinstance(word, str) or "/" in word:
        raise InvalidInput(f"not the name of a credential helper: {str(word)[:80]!a}")
    return word


def _decode(entry: dict[str, Any], path: Path) -> Credentials | None:
    user, password = str(entry.get("username", "")), str(entry.get("password", ""))
    if auth := entry.get("auth"):
        try:
            user, _, password = base64.b64decode(str(auth)).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise InvalidInput(f"malformed: {path}: an auth that is not base64") from error
    found = Credentials(
        user=user,
        password=password.rstrip("\0"),
        identity_token=str(entry.get("identitytoken", "")),
        registry_token=str(entry.get("registrytoken", "")),
    )
    return found if found != Credentials() else None


def _ask(helper: str, key: str) -> Credentials | None:
    answer = _run(helper, "get", key)
    if answer is None:
        return None
    try:
        found = json.loads(answer)
        user, secret = str(found["Username"]), str(found["Secret"])
    except (ValueError, KeyError, TypeError) as error:
        raise SetupError(f"docker-credential-{helper} answered nonsense") from error
    if user == TOKEN_USER:
        return Credentials(identity_token=secret)
    return Credentials(user=user, password=secret)


def _run(helper: str, action: str, text: str) -> str | None:
    """What the helper answers; None if it knows no such login. SetupError if it fails."""
    name = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [name, action],
            input=text,
            capture_output=True,
            text=True,
            timeout=HELPER_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        raise SetupError(
            f"no such program: {name}", hint="config.json names it; install it or take that out"
        ) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SetupError(f"{name} {action} failed: {error}") from error
    if done.returncode == 0:
        return done.stdout
    said = " ".join((done.stdout or done.stderr).split())
    if _NOT_FOUND in said and action != "store":
        return None
    raise SetupError(f"{name} {action} failed: {said[:200]}")
