"""``--security-opt``, ``--privileged``, ``--device``, ``--sysctl``: from words to the spec."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click
from msgspec.structs import replace

from wardian.cgroups.devices import DEFAULT, DeviceKind, DeviceRule
from wardian.cli import words
from wardian.errors import InvalidInput
from wardian.linux.security_module import SecurityModule, is_active
from wardian.runtime.spec import Bind, LandlockRule

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")
SECURITY_NAMES = ("privileged", "device", "device_cgroup_rule", "sysctl", "domainname")
_DEVICE_HINT = "write it like /dev/fuse or /dev/fuse:/dev/other:rw"


def security_options(function: F) -> F:
    """``--privileged``, ``--device``, ``--sysctl`` and ``--domainname``."""
    options = (
        click.option(
            "--privileged",
            is_flag=True,
            help="All capabilities, no filter, nothing hidden; --userns=host: all devices, too.",
        ),
        click.option(
            "--device", multiple=True, metavar="HOST[:CTR[:rwm]]", help="Show a device node."
        ),
        click.option(
            "--device-cgroup-rule",
            multiple=True,
            metavar="RULE",
            help="Let it use devices, like 'c 10:200 rwm'; each --device is one already.",
        ),
        click.option(
            "--sysctl", multiple=True, metavar="NAME=VALUE", help="Like net.ipv4.ip_forward=1."
        ),
        click.option("--domainname", default="", help="Its NIS domain name."),
    )
    for option in reversed(options):
        function = option(function)
    return function


def options(security_opt: Iterable[str], flags: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of the spec that these flags decide. Raises InvalidInput."""
    kept, hides_paths, rules, profile = [], True, [], ""
    for word in security_opt:
        key, _, value = (word if "=" in word else word.replace(":", "=", 1)).partition("=")
        if key == "systempaths":
            if value != "unconfined":
                raise InvalidInput(
                    f"not a choice for systempaths: {value[:40]!r}", hint="use unconfined"
                )
            hides_paths = False
        elif key == "landlock":
            rules.append(_landlock_rule(value))
        elif key == "apparmor":
            profile = _profile(value)
        elif key == "label":
            _check_label(value)
        else:
            kept.append(word)
    if flags.get("privileged"):
        kept.insert(0, "seccomp=unconfined")
        hides_paths = False
    return {
        "seccomp": words.seccomp(kept),
        "apparmor": profile,
        "hides_paths": hides_paths,
        "landlock": tuple(rules),
        "sysctls": sysctls(flags.get("sysctl", ())),
        "domainname": _domainname(flags.get("domainname", "")),
    }


def _landlock_rule(value: str) -> LandlockRule:
    """``landlock=/path:rwx``: only what such rules name may be reached."""
    path, _, access = value.rpartition(":")
    is_whole = path.startswith("/") and os.path.normpath(path) == path
    if not is_whole or not access or not set(access) <= set("rwx"):
        raise InvalidInput(
            f"not a Landlock rule: {value[:80]!r}", hint="write it like landlock=/usr:rx"
        )
    return LandlockRule(path=path, access=access)


def _check_label(value: str) -> None:
    """What docker takes for "none of it" is what is in force here."""
    if value != "disable":
        why = "needs SELinux, which is not active"
        if is_active(SecurityModule.SELINUX):
            why = "is not supported by Wardian yet"
        raise InvalidInput(
            f"--security-opt label={value[:40]} {why}",
            hint="leave it out, or write label=disable",
        )


def _profile(value: str) -> str:
    """The AppArmor profile that is asked for; "" is none."""
    if value == "unconfined":
        return ""
    if not re.fullmatch(r"[^\s\0]{1,255}", value):
        raise InvalidInput(
            f"not an AppArmor profile: {value[:40]!r}", hint="write its name, without blanks"
        )
    if not is_active(SecurityModule.APPARMOR):
        raise InvalidInput(
            f"--security-opt apparmor={value[:40]} needs AppArmor, which is not active",
            hint="leave it out, or write apparmor=unconfined",
        )
    return value


def sysctls(given: Iterable[str]) -> dict[str, str]:
    """``--sysctl name=value``."""
    found = {}
    for word in given:
        name, equals, value = word.partition("=")
        if not equals or not name or not value:
            raise InvalidInput(
                f"not a kernel parameter: {word[:80]!r}", hint="write it like net.core.somaxconn=99"
            )
        found[name.strip()] = value
    return found


def _domainname(word: str) -> str:
    if len(word) > 64 or any(not (char.isalnum() or char in "-.") for char in word):
        raise InvalidInput(f"not a domain name: {word[:70]!r}", hint="up to 64 letters, digits, -.")
    return word


def devices(flags: Mapping[str, Any], userns: str) -> list[Bind]:
    """The nodes of ``--device``, and of ``--privileged`` where root is the host's root."""
    found = [device(word) for word in flags.get("device", ())]
    if flags.get("privileged") and userns == "host":
        found += [_node(entry.path, entry.path) for entry in os.scandir("/dev") if _is_rare(entry)]
    return found


def device_rules(flags: Mapping[str, Any], nodes: Iterable[Bind]) -> tuple[DeviceRule, ...]:
    """What the cgroup must let through: all of ``--privileged``, else rules and nodes named."""
    if flags.get("privileged"):
        return (DeviceRule(),)
    rules = [DeviceRule.parse(word) for word in flags.get("device_cgroup_rule", ())]
    for node in nodes:
        found = os.stat(node.source)
        kind = DeviceKind.BLOCK if stat.S_ISBLK(found.st_mode) else DeviceKind.CHARACTER
        rule = DeviceRule(
            kind=kind,
            major=os.major(found.st_rdev),
            minor=os.minor(found.st_rdev),
            access=node.device_access,
        )
        rules += _rules(rule, node.source)
    return tuple(rules)


def _rules(rule: DeviceRule, path: str) -> Iterator[DeviceRule]:
    """What is let through, and what is not: that it is not has to be in force, or is an error."""
    yield rule
    if withheld := "".join(letter for letter in "rw" if letter not in rule.access):
        if any(_covers(usual, rule) for usual in DEFAULT if "r" in usual.access):
            raise InvalidInput(
                f"cannot enforce {rule.access!r} on {path}: every container has it",
                hint="leave the device out",
            )
        yield replace(rule, access=withheld, allow=False)


def _covers(usual: DeviceRule, rule: DeviceRule) -> bool:
    is_major = usual.major in (None, rule.major)
    return usual.kind is rule.kind and is_major and usual.minor in (None, rule.minor)


def _is_rare(entry: os.DirEntry[str]) -> bool:
    usual = ("console", "null", "zero", "full", "random", "urandom", "tty", "ptmx")
    return entry.name not in usual and _is_node(entry.path)


def _is_node(path: str) -> bool:
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return False
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)


def device(word: str) -> Bind:
    """``/dev/x``, ``/dev/x:rwm`` or ``/dev/x:/in/the/container[:rwm]``."""
    source, *rest = word.split(":")
    target, permissions = source, "rwm"
    if rest and rest[0].startswith("/"):
        target = rest.pop(0)
    if rest:
        permissions = rest.pop(0)
    if rest or not target.startswith("/") or os.path.normpath(target) == "/":
        raise InvalidInput(f"not a device: {word[:80]!r}", hint=_DEVICE_HINT)
    if not permissions or not set(permissions) <= set("rwm"):
        raise InvalidInput(
            f"not an access to a device: {permissions[:20]!r}", hint="use letters of rwm"
        )
    real = os.path.realpath(source)
    if not _is_node(real):
        raise InvalidInput(f"not a device of this host: {source[:80]}", hint=_DEVICE_HINT)
    return _node(real, target, permissions)


def _node(source: str, target: str, access: str = "rwm") -> Bind:
    return Bind(
        source=source,
        target=os.path.normpath(target),
        read_only=False,
        no_exec=True,
        is_device=True,
        device_access="".join(letter for letter in "rwm" if letter in access),
    )
