"""What ``wardian run`` and ``create`` are asked for, and the runtime's spec that it comes to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from wardian.cgroups.limits import Limits, Words, changes
from wardian.cgroups.machine import ensure_possible
from wardian.cli import health, mounts, networking, security, sharing, words
from wardian.errors import InvalidInput
from wardian.linux.signal_names import signal_number
from wardian.runtime.logs import LogPolicy
from wardian.runtime.restart_policy import RestartPolicy, When
from wardian.runtime.spec import (
    Bind,
    ContainerSpec,
    Keep,
    ProcessSpec,
    UserNamespace,
)
from wardian.storage.volume import VolumeMount

if TYPE_CHECKING:
    from wardian.images.store import Image


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """The flags, as they were written; ``borrowed`` is what ``volumes_from`` come to."""

    image: str
    command: tuple[str, ...] = ()
    name: str | None = None
    env: tuple[str, ...] = ()
    env_file: tuple[str, ...] = ()
    workdir: str | None = None
    user: str | None = None
    entrypoint: str | None = None
    hostname: str = ""
    volume: tuple[str, ...] = ()
    mount: tuple[str, ...] = ()
    tmpfs: tuple[str, ...] = ()
    volumes_from: tuple[str, ...] = ()
    borrowed: tuple[Bind | VolumeMount, ...] = ()
    read_only: bool = False
    network: tuple[str, ...] = ()
    publish: tuple[str, ...] = ()
    publish_all: bool = False
    expose: tuple[str, ...] = ()
    ip: str = ""
    ip6: str = ""
    mac_address: str = ""
    network_alias: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_option: tuple[str, ...] = ()
    userns: str = ""
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()
    label: tuple[str, ...] = ()
    label_file: tuple[str, ...] = ()
    ulimit: tuple[str, ...] = ()
    group_add: tuple[str, ...] = ()
    oom_score_adj: int = 0
    stop_signal: str | None = None
    stop_timeout: float | None = None
    init: bool = True
    cidfile: str | None = None
    shm_size: str | None = None
    add_host: tuple[str, ...] = ()
    annotation: tuple[str, ...] = ()
    cgroup_parent: str = ""
    best_effort: bool = False
    restart: str = "no"
    interactive: bool = False
    tty: bool = False
    log_driver: str = "json-file"
    log_opt: tuple[str, ...] = ()
    limits: Mapping[str, Words] = msgspec.field(default_factory=dict)
    pulling: Mapping[str, Any] = msgspec.field(default_factory=dict)
    sharing: Mapping[str, str] = msgspec.field(default_factory=dict)
    security: Mapping[str, Any] = msgspec.field(default_factory=dict)
    health: Mapping[str, Any] = msgspec.field(default_factory=dict)

    def spec(self, image: Image, lowers: tuple[str, ...], name: str, **life: Any) -> ContainerSpec:
        """The container that is asked for. Raises InvalidInput."""
        mounted = mounts.wishes(self, image_config(image))
        shm = () if self.shm_size is None else (mounts.shm(self.shm_size),)
        devices = security.devices(self.security, self.userns)
        devices += sharing.shared_memory(self.sharing)
        return ContainerSpec(
            name=name,
            image=self.image,
            lowers=lowers,
            process=self._process(image),
            hostname=_hostname(self.hostname),
            limits=replace(
                parse_limits(self.limits),
                device_rules=security.device_rules(self.security, devices),
            ),
            binds=(*mounted["binds"], *devices),
            tmpfs=(*mounted["tmpfs"], *shm),
            volumes=mounted["volumes"],
            **networking.wishes(self, image_config(image)),
            healthcheck=health.check(self.health, image_config(image)),
            user_namespace=_user_namespace(self.userns),
            read_only=self.read_only,
            cap_add=("ALL",) if self.security.get("privileged") else self.cap_add,
            cap_drop=self.cap_drop,
            **security.options(self.security_opt, self.security),
            cgroup_parent=self.cgroup_parent,
            annotations=words.labels(self.annotation),
            best_effort=self.best_effort,
            restart=_restart(self.restart, **life),
            sharing=sharing.parse(self.sharing, self.network, self.hostname),
            extra_hosts=tuple(words.host(word) for word in self.add_host),
            tty=self.tty,
            log=LogPolicy.parse(self.log_driver, self.log_opt),
            open_stdin=self.interactive,
            stop_signal=_stop_signal(self.stop_signal, image),
            stop_timeout_s=10.0 if self.stop_timeout is None else self.stop_timeout,
            labels={**image_labels(image), **words.labels(self.label, self.label_file)},
            **life,
        )

    def _process(self, image: Image) -> ProcessSpec:
        config = image_config(image)
        argv = self._argv(config)
        if not argv:
            raise InvalidInput(
                f"image {self.image} has no default command",
                hint=f"name one: wardian run {self.image} COMMAND",
            )
        workdir = self.workdir or config.get("WorkingDir") or "/"
        if not workdir.startswith("/"):
            raise InvalidInput(
                f"the working directory is not absolute: {workdir[:80]}", hint="begin it with /"
            )
        own = words.environment(config.get("Env") or ())
        return ProcessSpec(
            argv=argv,
            env={**own, **words.environment(self.env, self.env_file)},
            workdir=workdir,
            user=self.user if self.user is not None else config.get("User") or "0:0",
            groups=self.group_add,
            ulimits=words.ulimits(self.ulimit),
            oom_score_adj=self.oom_score_adj,
        )

    def _argv(self, config: Mapping[str, Any]) -> tuple[str, ...]:
        """Docker's rule: our command replaces Cmd, and an entrypoint of ours forgets both."""
        if self.entrypoint is not None:
            return (*filter(None, (self.entrypoint,)), *self.command)
        entrypoint = tuple(config.get("Entrypoint") or ())
        return (*entrypoint, *(self.command or tuple(config.get("Cmd") or ())))


def image_config(image: Image) -> Mapping[str, Any]:
    """The ``config`` object of the image's OCI configuration."""
    config = image.config.get("config") or {}
    return config if isinstance(config, Mapping) else {}


def image_labels(image: Image) -> dict[str, str]:
    """The image's own labels, which containers inherit."""
    return dict(image_config(image).get("Labels") or {})


def parse_limits(given: Mapping[str, Words]) -> Limits:
    """Limits from the flags of `params.limit_options`. Raises InvalidInput."""
    limits = Limits(**limit_changes(given))
    ensure_possible(limits)
    return limits


def limit_changes(given: Mapping[str, Words]) -> dict[str, Any]:
    """The fields of Limits that the flags set. Raises InvalidInput."""
    named = {name.replace("pids_limit", "pids"): word for name, word in given.items()}
    return changes({name: None if word == () else word for name, word in named.items()})


def _stop_signal(word: str | None, image: Image) -> int:
    if word is not None:
        return signal_number(word)
    try:
        return signal_number(str(image_config(image).get("StopSignal") or "SIGTERM"))
    except InvalidInput:  # a mistake of the image's
        return signal_number("SIGTERM")


def _restart(word: str, *, keep: Keep, remove_on_exit: bool = False) -> RestartPolicy:
    policy = RestartPolicy.parse(word)
    if policy.when is not When.NO and (remove_on_exit or keep is Keep.NEVER):
        raise InvalidInput(
            "--rm and --restart exclude each other: removed or started again when it ends",
            hint="leave out one of them",
        )
    return policy


def _user_namespace(word: str) -> UserNamespace:
    try:
        return UserNamespace(word or "auto")
    except ValueError:
        raise InvalidInput(f"unknown user namespace: {word[:40]}", hint="use host") from None


def _hostname(word: str) -> str:
    is_plain = all(char.isalnum() or char in "-." for char in word)
    if len(word) > 63 or not word.isascii() or not is_plain:
        raise InvalidInput(
            f"not a host name: {word[:70]!r}", hint="use up to 63 letters, digits, '-' and '.'"
        )
    return word


def keep_of(*, detach: bool, remove: bool) -> dict[str, Any]:
    """How long the container lives: what ``-d`` and ``--rm`` mean to the keeper.

    In the foreground the command itself removes it, after it has read the exit code; should the
    command be killed, the keeper does (Keep.NEVER).
    """
    if not remove:
        return {"keep": Keep.ALWAYS}
    if detach:
        return {"keep": Keep.ALWAYS, "remove_on_exit": True}
    return {"keep": Keep.NEVER}
