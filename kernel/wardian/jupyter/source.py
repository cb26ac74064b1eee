"""Where a kernel gets its containers from: the runtime, by names that belong to the notebook."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from wardian.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidInput,
    KernelRefused,
    NotFound,
    SetupError,
    WardianError,
)
from wardian.jupyter.settings import Settings
from wardian.runtime.paths import state_root
from wardian.runtime.probes.finding import Area

if TYPE_CHECKING:
    from wardian.images.store import Image
    from wardian.network.definition import Attachment, Port
    from wardian.runtime.client import Client
    from wardian.runtime.container import Container
    from wardian.runtime.doctor import Diagnosis, Probe
    from wardian.runtime.messages import ContainerInfo
    from wardian.runtime.spec import Bind
    from wardian.storage.volume import VolumeMount

MAIN = "main"
START_LABEL = "wardian.start"
STOP_TIMEOUT_S = 2.0


class NoContainers(SetupError):
    """The host allows no container at all (the rung *bare*); ``hint`` is what would lift that."""

    def __init__(self, cause: Probe) -> None:
        """What is missing, and what would lift that."""
        super().__init__(f"{cause.name}: {cause.detail or cause.loss}", hint=cause.lift)
        self.is_of_namespaces = cause.area is Area.NAMESPACES

    def refusing(self, word: str) -> FailedPrecondition:
        """What somebody hears who asked for a thing that a container has."""
        return FailedPrecondition(
            f"{word} needs a container, and this host allows none ({self.what}): "
            "cells run as plain processes here",
            hint=f"{self.hint} (`wardian doctor` says more)",
        )


class ContainerSource(msgspec.Struct):
    """The containers of one notebook (or of one kernel that has no notebook).

    ``owner`` names it on this host. A notebook's containers are kept when the kernel goes, their
    processes ended; those of a kernel without a notebook are removed. All methods block.
    """

    owner: str
    is_notebook: bool
    label: str
    _client: Client | None = msgspec.field(default=None)

    @property
    def client(self) -> Client:
        """The connection to the keeper, which holds the containers as long as it is open."""
        if self._client is None:
            from wardian.runtime.client import Client

            self._client = Client.connect()
        return self._client

    def host_name(self, name: str) -> str:
        """The name on this host of the notebook's container ``name``."""
        return f"{self.owner}.{name}"

    def obtain(self, name: str, settings: Settings) -> Container:
        """The running container of this name: found again, started again, or new.

        Raises NoContainers. That this host gives no namespaces is found out before the first use of
        a state directory, so that no image is made for nothing; all else is tried.
        """
        is_first_use = not (state_root() / "toolbox").is_dir()
        if is_first_use and (refused := no_containers()) and refused.is_of_namespaces:
            raise refused
        try:
            return self._obtain(name, settings)
        except (OSError, SetupError, KernelRefused) as error:
            raise explain(error) from error

    def _obtain(self, name: str, settings: Settings) -> Container:
        container = self.find(name)
        if container is None:
            container = self._create(name, settings)
        elif container.info.host_pid is None:
            container.start()
        self._hold(container)
        return container

    def find(self, name: str) -> Container | None:
        """The container of this name, running or not; None if there is none."""
        with suppress(NotFound):
            return self.client.container(self.host_name(name))
        return None

    def list(self) -> list[ContainerInfo]:
        """The notebook's containers, oldest first."""
        from wardian.observe.subject import NOTEBOOK_LABEL

        return [
            info
            for info in self.client.list()
            if info.spec.labels.get(NOTEBOOK_LABEL) == self.label
        ]

    def forget(self) -> None:
        """Let go of all: what becomes of each is as it was attached."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def prepare_restart(self, container: Container) -> None:
        """The next kernel shall find it as it is: nothing is ended for a few seconds."""
        from wardian.runtime.spec import Keep

        if container.info.spec.keep is Keep.NEVER:
            container.attach(Keep.STOP)

    def keep_always(self, container: Container) -> None:
        """Let it run on when the kernel goes."""
        from wardian.runtime.spec import Keep

        container.attach(Keep.ALWAYS)

    def stop(self, container: Container) -> None:
        """The kernel ends for good: end the processes unless the container is to be kept."""
        from wardian.runtime.spec import Keep

        keep = container.info.spec.keep
        if keep is Keep.NEVER:
            container.remove(force=True)
        elif keep is Keep.STOP:
            container.stop(timeout_s=STOP_TIMEOUT_S)

    def discard(self, name: str) -> None:
        """Remove the container of this name, if there is one, running or not.

        Volumes that somebody has named stay.
        """
        if (container := self.find(name)) is not None:
            container.remove(force=True, volumes=True)

    def _hold(self, container: Container) -> None:
        from wardian.runtime.spec import Keep

        usual = Keep.STOP if self.is_notebook else Keep.NEVER
        kept = container.info.spec.keep
        container.attach(Keep.ALWAYS if kept is Keep.ALWAYS and self.is_notebook else usual)

    def _create(self, name: str, settings: Settings) -> Container:
        from wardian.cells.toolbox import toolbox_binds
        from wardian.images.resolve import resolve
        from wardian.images.store import ImageStore
        from wardian.observe.subject import NAME_LABEL, NOTEBOOK_LABEL
        from wardian.runtime.spec import Bind, ContainerSpec, Keep
        from wardian.storage.volume import VolumeMount

        store = ImageStore(self.client.root)
        image = resolve(store, settings.image)
        start = StartConfig.of(image)
        mounts = _mounts(settings, image)
        attachments, ports = _networking(settings)
        spec = ContainerSpec(
            name=self.host_name(name),
            image=settings.image,
            lowers=tuple(map(str, image.layer_directories)),
            hostname=name,
            limits=settings.limits,
            binds=(
                *toolbox_binds(self.client.root),
                *(one for one in mounts if isinstance(one, Bind)),
            ),
            volumes=tuple(one for one in mounts if isinstance(one, VolumeMount)),
            attachments=attachments,
            ports=ports,
            best_effort=True,  # where a limit cannot be had the notebook runs, and is told so
            labels={
                NOTEBOOK_LABEL: self.label,
                NAME_LABEL: name,
                START_LABEL: msgspec.json.encode(start).decode(),
            },
            keep=Keep.STOP if self.is_notebook else Keep.NEVER,
            **settings.privileges,
        )
        try:
            return self.client.run(spec)
        except AlreadyExists:  # another kernel of this notebook was a moment faster
            return self.client.container(spec.name)


class StartConfig(msgspec.Struct, frozen=True):
    """How the image wants programs to start; kept with the container, as images may change."""

    env: dict[str, str] = msgspec.field(default_factory=dict)
    workdir: str = "/"
    user: str = "0:0"

    @classmethod
    def of(cls, image: Image) -> StartConfig:
        """From the image's configuration; an image without a word on it starts in /root."""
        workdir = image.workdir
        if workdir == "/" and any(map(_has_root_home, image.layer_directories)):
            workdir = "/root"
        return cls(image.env, workdir, image.user)

    @classmethod
    def of_container(cls, info: ContainerInfo) -> StartConfig:
        """As it was when the container was made."""
        label = info.spec.labels.get(START_LABEL)
        return msgspec.json.decode(label, type=cls) if label else cls()


def _mounts(settings: Settings, image: Image) -> list[Bind | VolumeMount]:
    """What the settings ask for, and the volumes of the image elsewhere. Raises InvalidInput."""
    from wardian.runtime.mount_words import of_image, volume_of

    config = image.config.get("config")
    found = {one.target: one for one in map(volume_of, settings.volumes)}
    for one in of_image(config if isinstance(config, Mapping) else {}):
        found.setdefault(one.target, one)
    return [*found.values()]


def _networking(settings: Settings) -> tuple[tuple[Attachment, ...], tuple[Port, ...]]:
    """Its place in a network, and what it publishes, which asks for one. Raises InvalidInput."""
    from wardian.network.definition import DEFAULT, Attachment
    from wardian.network.ports import check, parse

    ports = check([port for word in settings.publish for port in parse(word)])
    name = settings.network or (DEFAULT if ports else "")
    if settings.ip and not name:
        raise InvalidInput("--ip needs a network", hint="add --network NAME")
    return (Attachment(network=name, ip=settings.ip),) if name else (), ports


def _has_root_home(layer: Path) -> bool:
    with suppress(OSError):
        return stat.S_ISDIR(os.lstat(layer / "root").st_mode)
    return False


def local_name(info: ContainerInfo) -> str:
    """What the notebook calls the container."""
    from wardian.observe.subject import NAME_LABEL

    return info.spec.labels.get(NAME_LABEL, info.name)


def no_containers(diagnosis: Diagnosis | None = None) -> NoContainers | None:
    """Why this host allows no container; None if it does. Looks for half a second; blocks."""
    from wardian.runtime.doctor import Rung, diagnose

    try:
        found = diagnosis or diagnose(state_root())
    except SetupError:  # then trying it must tell
        return None
    if found.rung is not Rung.BARE:
        return None
    order = sorted(found.blocking, key=lambda probe: probe.area is not Area.NAMESPACES)
    return NoContainers(order[0])


def ensure_rung(required: str) -> None:
    """Raise SetupError if this host is on a lower rung than a notebook requires; blocks."""
    from wardian.runtime.doctor import Rung, diagnose

    found = diagnose(state_root())
    ladder = list(Rung)
    if ladder.index(found.rung) > ladder.index(Rung(required)):
        raise SetupError(
            f"this notebook requires the rung {required}, and this host is on {found.rung.value}: "
            f"{found.meaning}",
            hint=f"{found.lift_to(Rung(required))} (`wardian doctor` says more)",
        )


def explain(error: OSError | SetupError | KernelRefused) -> WardianError:
    """A failure to get a container, in words that tell what to do.

    This machine is the likely cause, so that is looked at, which takes half a second. Where it can
    have containers, an error that says itself what to do is left as it is.
    """
    with suppress(WardianError):
        from wardian.runtime.doctor import diagnose

        found = diagnose(state_root())
        if (refused := no_containers(found)) is not None:
            return refused
        if isinstance(error, WardianError) and error.hint and "keeper.log" not in error.hint:
            return error
        if found.blocking:
            first = found.blocking[0]
            what = f"no container can be started here: {first.name}: {first.detail or first.loss}"
            return SetupError(what, hint=f"{first.lift} (`wardian doctor` says more)")
    if isinstance(error, WardianError):
        return error
    where = f" ({Path(os.fsdecode(error.filename)).name})" if error.filename else ""
    return SetupError(
        f"cannot get a container: {error.strerror or error}{where}", hint="run `wardian doctor`"
    )
