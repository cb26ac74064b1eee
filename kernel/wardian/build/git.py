"""ADD of a git repository: the files of one commit, fetched by the host's git.

The repository is hostile. No hook, filter or setting of it runs: git reads no configuration but
the one that is made here; it speaks no protocol but those below, also for submodules (one of
another, such as a file of this host, is refused); it asks nobody for a password.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, Self
from urllib.parse import urlsplit, urlunsplit

import msgspec
from msgspec.structs import replace

from wardian.build.stop import Stop
from wardian.build.transfer import Order, send_from
from wardian.errors import InvalidInput, KernelRefused, NotFound, SetupError
from wardian.linux.openat2 import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2
from wardian.storage import tree

PROTOCOLS = "http:https:git:ssh"
_SCP = re.compile(r"[A-Za-z0-9_-]+@[A-Za-z0-9.-]+:[^#]+")
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./@+-]{0,254}")
_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "credential.helper=",
    "gc.auto=0",
    "init.defaultBranch=main",
    "protocol.file.allow=never",
    "protocol.ext.allow=never",
)
_PASSED = ("PATH", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO")


class Repository(msgspec.Struct, frozen=True):
    """Where it is, the branch, tag or commit ("" for the usual one), and the directory in it."""

    url: str
    ref: str = ""
    directory: str = ""

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """``https://HOST/NAME.git#REF:DIRECTORY``, ``git@HOST:NAME``; None if it is no repository.

        Raises InvalidInput for a REF that none can be.
        """
        url, _, fragment = text.partition("#")
        parts = urlsplit(url)
        is_one = (
            parts.scheme in ("git", "ssh")
            or (parts.scheme in ("http", "https") and parts.path.endswith(".git"))
            or _SCP.fullmatch(url) is not None
        )
        if not is_one:
            return None
        ref, _, directory = fragment.partition(":")
        if ref and (not _REF.fullmatch(ref) or ".." in ref):
            raise InvalidInput(f"not a branch, tag or commit: {ref[:80]!a}")
        return cls(url, ref, directory)

    @property
    def public_url(self) -> str:
        """The address without a login."""
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https"):
            return self.url
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


class Checkout:
    """One repository of one build. ``agent`` is an ssh-agent's socket, for ssh."""

    def __init__(
        self,
        repository: Repository,
        *,
        checksum: str = "",
        keeps_git: bool = False,
        work: Path,
        agent: Path | None = None,
        stop: Stop,
    ) -> None:
        self._repository = repository
        self._checksum = checksum
        self._keeps_git = keeps_git
        self._stop = stop
        self._home = work / f"git-{os.urandom(8).hex()}"
        self._files = self._home / "files"
        self._agent = agent
        self._commit = ""
        self._is_whole = False

    def key(self) -> str:
        """The commit's name, for the cache; without asking anybody if REF is one."""
        if not self._commit:
            ref = self._repository.ref
            self._commit = ref if _COMMIT.fullmatch(ref) else self._resolved(ref)
            if not self._commit.startswith(self._checksum):
                raise InvalidInput(
                    f"expected checksum to match {self._checksum[:80]}, got {self._commit}",
                    hint=f"see what {self._repository.public_url[:200]} has there",
                )
        return f"{self._commit} {self._repository.directory} {self._keeps_git}"

    def pack(self, order: Order, output: BinaryIO) -> None:
        """As an archive of the directory that is meant, its files as old as the commit."""
        fd = self._opened()
        try:
            whole = replace(order, sources=("/",), into_directory=True)
            send_from(Path(f"/proc/self/fd/{fd}"), whole, output)
        finally:
            os.close(fd)

    def file(self) -> None:
        """It is more than one."""

    def directory(self) -> Path:
        """The directory that is meant, its files as old as the commit. No link leads out of it."""
        fd = self._opened()
        try:
            return Path(os.readlink(f"/proc/self/fd/{fd}"))
        finally:
            os.close(fd)

    def _opened(self) -> int:
        self.key()
        if not self._is_whole:
            self._fetch()
            self._tidy()
            self._is_whole = True
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        fd = os.open(self._files, flags)
        try:
            path = self._repository.directory.strip("/") or "."
            return openat2(fd, path, flags, resolve=RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
        except KernelRefused as error:
            raise NotFound(
                f"no directory {self._repository.directory[:80]!r} in the repository"
            ) from error
        finally:
            os.close(fd)

    # --- what git does -------------------------------------------------------------------

    def _resolved(self, ref: str) -> str:
        """The commit of a branch or tag, in the order of gitrevisions(7)."""
        wanted = ref or "HEAD"
        listed = self._git("ls-remote", "--", self._repository.url, wanted, f"{wanted}^{{}}")
        found = dict(line.split("\t")[::-1] for line in listed.splitlines() if "\t" in line)
        for place in ("{}", "refs/{}", "refs/tags/{}", "refs/heads/{}"):
            name = place.format(wanted)
            if commit := found.get(f"{name}^{{}}") or found.get(name):
                if not _COMMIT.fullmatch(commit):
                    break
                return commit
        raise NotFound(
            f"no branch or tag {wanted[:80]!r} in {self._repository.public_url[:200]}",
            hint="a commit is given by its whole name",
        )

    def _fetch(self) -> None:
        url = self._repository.url
        self._files.mkdir(parents=True)
        self._git("init", "-q", "--template=")
        self._git("config", "remote.origin.url", url)
        try:
            wanted = self._repository.ref or self._commit
            self._git("fetch", "-q", "--depth=1", "--no-tags", "origin", wanted)
            self._check_out()
        except InvalidInput:  # a server that gives no single commits, or a branch that went on
            everything = ("+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")
            self._git("fetch", "-q", "origin", *everything)
            self._check_out()
        if (self._files / ".gitmodules").is_file():
            self._git("submodule", "-q", "update", "--init", "--recursive", "--depth=1")
        self._git("config", "remote.origin.url", self._repository.public_url)

    def _check_out(self) -> None:
        self._git("checkout", "-q", "--force", "--detach", self._commit)

    def _tidy(self) -> None:
        """What a checkout leaves is of this moment, and differs from the next one's."""
        time_s = int(self._git("show", "-s", "--format=%ct", "HEAD").split()[-1])
        fd = os.open(self._files, tree.OPEN_DIRECTORY)
        try:
            if not self._keeps_git:
                for folder, _, name in list(tree.walk(fd)):
                    if name == ".git":
                        _remove(fd, folder)
            for _, folder_fd, name in tree.walk(fd):
                os.utime(name, (time_s, time_s), dir_fd=folder_fd, follow_symlinks=False)
            os.utime(fd, (time_s, time_s))
        finally:
            os.close(fd)

    def _git(self, *words: str) -> str:
        self._home.mkdir(exist_ok=True)
        settings = [part for setting in _SETTINGS for part in ("-c", setting)]
        try:
            process = subprocess.Popen(
                ["git", *settings, *words],
                cwd=self._files if self._files.exists() else self._home,
                env=self._environment(os.environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                umask=0o022,
                start_new_session=True,
            )
        except FileNotFoundError:
            raise SetupError("this host has no git", hint="install the package git") from None
        with process, self._stop.ending(partial(_kill, process)):
            try:
                output, said = process.communicate()
            except BaseException:  # Ctrl-C, which git in its own session does not see
                _kill(process)
                raise
        if process.returncode:
            lines = said.strip().splitlines() or ["it gives no reason"]
            first = next((line for line in lines if line.startswith("fatal: ")), lines[-1])
            raise InvalidInput(
                f"git cannot fetch {self._repository.public_url[:200]}: {first[:200]}",
                hint="see whether the address is right, and of http, https, git or ssh",
            )
        return output

    def _environment(self, host: Mapping[str, str]) -> dict[str, str]:
        passed = {name: host[name] for name in (*_PASSED, *_CERTIFICATES) if name in host}
        known_hosts = Path("~/.ssh/known_hosts").expanduser()
        ssh = f"ssh -F none -o BatchMode=yes -o UserKnownHostsFile='{known_hosts}'"
        if self._agent is not None:
            passed["SSH_AUTH_SOCK"] = str(self._agent)
        return {
            **passed,
            "HOME": str(self._home),
            "LC_ALL": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "true",
            "GIT_ALLOW_PROTOCOL": PROTOCOLS,
            "GIT_LFS_SKIP_SMUDGE": "1",
            "GIT_SSH_COMMAND": ssh,
        }


def _kill(process: subprocess.Popen[str]) -> None:
    """Git and the programs that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _remove(root_fd: int, folder: str) -> None:
    """The ``.git`` of a directory, one of a submodule may be gone with that above it."""
    with suppress(FileNotFoundError):
        fd = tree.open_below(root_fd, folder, tree.OPEN_DIRECTORY)
        try:
            tree.remove(fd, ".git")
        finally:
            os.close(fd)
