"""Which devices a group may open and make: a list on v1 (devices.allow), eBPF on v2."""

from __future__ import annotations

import enum
import errno
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from wardian.cgroups.delegation import why_not_v1
from wardian.cgroups.files import read, write
from wardian.errors import InvalidInput, KernelRefused
from wardian.linux import bpf

_RULE = re.compile(r"([abc]) (\*|[0-9]{1,7}):(\*|[0-9]{1,7}) ([rwm]{1,3})")
_ACCESS = {"m": 1, "r": 2, "w": 4}  # BPF_DEVCG_ACC_* in <linux/bpf.h>


class DeviceKind(enum.Enum):
    """The kernel's letters."""

    ALL = "a"
    BLOCK = "b"
    CHARACTER = "c"


class DeviceRule(msgspec.Struct, frozen=True, kw_only=True):
    """One line of docker's ``--device-cgroup-rule`` or of linux.resources.devices; None is any."""

    kind: DeviceKind = DeviceKind.ALL
    major: int | None = None
    minor: int | None = None
    access: str = "rwm"
    allow: bool = True

    def __post_init__(self) -> None:
        if not self.access or set(self.access) - set(_ACCESS):
            raise InvalidInput(
                f"not an access to a device: {self.access[:40]!r}", hint="use letters of rwm"
            )
        numbers = (self.major, self.minor)
        if any(number is not None and not 0 <= number < 1 << 31 for number in numbers):
            raise InvalidInput("not a device number", hint="use numbers from 0 to 2147483647")

    def __str__(self) -> str:
        return _line((self.kind, self.major, self.minor), self.access)

    @classmethod
    def parse(cls, word: str) -> DeviceRule:
        """``c 10:200 rwm``, ``b 8:* r``, ``a *:* rwm``. Raises InvalidInput."""
        found = _RULE.fullmatch(word.strip())
        if not found:
            raise InvalidInput(
                f"not a device rule: {word[:80]!r}", hint="write it like 'c 10:200 rwm'"
            )
        kind, major, minor, access = found.groups()
        return cls(
            kind=DeviceKind(kind),
            major=None if major == "*" else int(major),
            minor=None if minor == "*" else int(minor),
            access=access,
        )


Key = tuple[DeviceKind, int | None, int | None]


class DevicePolicy(msgspec.Struct):
    """What v1 makes of rules in their order: everything or nothing, and the exceptions from that.

    As devcgroup_update_access of security/device_cgroup.c has it; v2 gets a program with the same
    effect.
    """

    allows: bool = False
    exceptions: dict[Key, frozenset[str]] = msgspec.field(default_factory=dict)

    @classmethod
    def of(cls, rules: Iterable[DeviceRule]) -> DevicePolicy:
        """Docker's defaults, and these rules after them."""
        policy = cls()
        for rule in (*DEFAULT, *rules):
            policy.add(rule)
        return policy

    def add(self, rule: DeviceRule) -> None:
        """One rule more."""
        if rule.kind is DeviceKind.ALL:
            self.allows, self.exceptions = rule.allow, {}
            return
        key = (rule.kind, rule.major, rule.minor)
        access = self.exceptions.get(key, frozenset())
        if rule.allow is self.allows:
            access -= set(rule.access)
        else:
            access |= set(rule.access)
        if access:
            self.exceptions[key] = access
        else:
            self.exceptions.pop(key, None)

    def lines(self) -> list[str]:
        """The exceptions as v1 writes them."""
        return [
            _line(key, "".join(letter for letter in "rwm" if letter in access))
            for key, access in self.exceptions.items()
        ]

    def program(self) -> bytes:
        """The eBPF program: 1 lets the access pass, 0 refuses it (BPF_PROG_TYPE_CGROUP_DEVICE).

        r2 is the kind of device, r3 the access that is asked for, r4 and r5 the numbers.
        """
        op = bpf.instruction
        code = [
            op(bpf.LOAD_WORD, to=2, source=1, offset=0),
            op(bpf.MOVE, to=3, source=2),
            op(bpf.AND_NUMBER, to=2, number=0xFFFF),
            op(bpf.SHIFT_RIGHT, to=3, number=16),
            op(bpf.LOAD_WORD, to=4, source=1, offset=4),
            op(bpf.LOAD_WORD, to=5, source=1, offset=8),
        ]
        for key, access in self.exceptions.items():
            code += self._exception(key, access)
        code += [op(bpf.MOVE_NUMBER, to=0, number=int(self.allows)), op(bpf.EXIT)]
        return b"".join(code)

    def _exception(self, key: Key, access: frozenset[str]) -> list[bytes]:
        op = bpf.instruction
        kind, major, minor = key
        mask = sum(_ACCESS[letter] for letter in access)
        # Nothing that is asked for may be beyond an exception that allows; one that refuses needs
        # only a part of it.
        tested = mask if self.allows else 7 & ~mask
        past = bpf.JUMP_IF_EQUAL if self.allows else bpf.JUMP_UNLESS_EQUAL
        rest = [
            op(bpf.MOVE, to=1, source=3),
            op(bpf.AND_NUMBER, to=1, number=tested),
            op(past, to=1, number=0, offset=2),
            op(bpf.MOVE_NUMBER, to=0, number=int(not self.allows)),
            op(bpf.EXIT),
        ]
        tests = [(2, 1 if kind is DeviceKind.BLOCK else 2), (4, major), (5, minor)]
        for register, number in reversed(tests):
            if number is not None:
                jump = op(bpf.JUMP_UNLESS_EQUAL, to=register, number=number, offset=len(rest))
                rest.insert(0, jump)
        return rest


def _rules(*words: str) -> tuple[DeviceRule, ...]:
    return tuple(DeviceRule.parse(word) for word in words)


# Docker's: any node may be made, and null, zero, full, random, urandom, tty, console, ptmx and the
# terminals may be used (config-linux.md, "Default Devices").
DEFAULT = _rules(
    *("c *:* m", "b *:* m"),
    *(f"c {numbers} rwm" for numbers in ("1:3", "1:5", "1:7", "1:8", "1:9", "5:0", "5:1", "5:2")),
    "c 136:* rwm",
)


def restrict(paths: Mapping[str, Path], rules: Iterable[DeviceRule]) -> bool:
    """Let a group have docker's devices and those of the rules; False where that cannot be."""
    policy = DevicePolicy.of(rules)
    if folder := paths.get("devices"):
        try:
            _restrict_v1(folder, policy)
        except KernelRefused as error:
            if error.errno != errno.EPERM:  # without the right to, as in a user namespace
                raise
            return False
        return True
    unified = paths.get("unified")
    if unified is None or os.geteuid() != 0:
        return False
    fd = os.open(unified, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(KernelRefused):
            bpf.put_device_program(fd, policy.program())
            return True
    finally:
        os.close(fd)
    return False


def refuses(rules: Iterable[DeviceRule]) -> bool:
    """Whether there is a rule that is not in force where nothing is restricted."""
    return any(not rule.allow for rule in rules)


def why_not(paths: Mapping[str, Path]) -> str | None:
    """What is missing for device rules here; None if nothing is."""
    if folder := paths.get("devices"):
        return None if _may_restrict(folder) else "only root of the machine may keep devices back"
    if "unified" not in paths:
        return why_not_v1("devices")
    return None if bpf.can_load() else "the kernel lets us load no eBPF program"


def _may_restrict(folder: Path) -> bool:
    """Whether the kernel would take a rule, asked by a word that is none.

    It asks for CAP_SYS_ADMIN of the first user namespace first (devcgroup_access_write in
    security/device_cgroup.c).
    """
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        write(folder / "devices.deny", "none")
    except KernelRefused as error:
        return error.errno == errno.EINVAL
    return True


def _restrict_v1(folder: Path, policy: DevicePolicy) -> None:
    before = set(read(folder / "devices.list").splitlines())
    wanted = set(policy.lines()) or ({"a *:* rwm"} if policy.allows else set())
    if before == wanted:  # that it need not close for a moment to what runs in it
        return
    write(folder / ("devices.allow" if policy.allows else "devices.deny"), "a")
    for line in policy.lines():
        write(folder / ("devices.deny" if policy.allows else "devices.allow"), line)


def _line(key: Key, access: str) -> str:
    """A rule in the kernel's words, and docker's."""
    kind, *numbers = key
    major, minor = ("*" if number is None else number for number in numbers)
    return f"{kind.value} {major}:{minor} {access}"
