"""What the doctor found: values, JSON-able, that the command line and the kernel show."""

from __future__ import annotations

import enum

import msgspec


class Area(enum.Enum):
    """What a probe is about, as a heading."""

    HOST = "this machine"
    NAMESPACES = "namespaces"
    FILES = "file systems"
    LIMITS = "limits"
    CONFINEMENT = "confinement"
    NETWORK = "network"
    OBSERVATION = "observation"
    IMAGES = "embedded images"


class Weight(enum.Enum):
    """What is lost without it: containers at all, a promise of theirs, a convenience."""

    ESSENTIAL = "essential"
    PROMISE = "promise"
    EXTRA = "extra"


class Outcome(enum.Enum):
    """What came of trying it."""

    WORKS = "works"
    PARTLY = "partly"
    MISSING = "missing"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was tried. ``errno`` is that of the system call that was refused.

    ``needs`` names the finding that failed before, so that this was not tried.
    """

    name: str
    outcome: Outcome
    detail: str = ""
    errno: int | None = None
    needs: str = ""

    @property
    def works(self) -> bool:
        """Whether it works, wholly or partly."""
        return self.outcome is not Outcome.MISSING


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """What explains a refusal: settings, filters and surroundings. Unknown settings are None.

    ``surroundings`` is ``host``, ``docker``, ``podman``, ``kubernetes`` or ``container``;
    ``cgroup`` our own group of v2; ``covered_proc`` are mounts that hide parts of /proc;
    ``owns_ids``: whether containers can have ranges of ids that nobody else has;
    ``capabilities``: our effective ones, as a bit mask.
    """

    release: str
    machine: str
    uid: int
    login: str
    root: str
    root_filesystem: str
    surroundings: str
    is_chrooted: bool
    has_seccomp_filter: bool
    has_no_new_privs: bool
    max_user_namespaces: int | None
    unprivileged_userns_clone: int | None
    apparmor_restrict_userns: int | None
    covered_proc: tuple[str, ...]
    cgroup_version: str
    cgroup_why_not: str
    cgroup: str
    owns_ids: bool
    capabilities: int
    package_manager: str

    @property
    def is_root(self) -> bool:
        """Whether we are root here (perhaps only in a user namespace)."""
        return self.uid == 0

    @property
    def kernel(self) -> tuple[int, int]:
        """The kernel's version, for comparing."""
        numbers = [part for part in self.release.replace("-", ".").split(".") if part.isdigit()]
        return (int(numbers[0]), int(numbers[1])) if len(numbers) > 1 else (0, 0)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the probes' process tells."""

    host: Host
    findings: tuple[Finding, ...]
