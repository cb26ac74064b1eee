"""From a service to the container that it is: image, name, labels."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from msgspec.structs import replace

from wardian.cli import images
from wardian.cli.request import Request
from wardian.compose import granting
from wardian.compose.project import Project, Service
from wardian.runtime.spec import ContainerSpec, Keep
from wardian.storage.volume import VolumeMount

if TYPE_CHECKING:
    from pathlib import Path

    from wardian.runtime.client import Client
    from wardian.runtime.messages import ContainerInfo

# Docker's labels.
PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
NUMBER = "com.docker.compose.container-number"
CONFIG_HASH = "com.docker.compose.config-hash"
IMAGE = "com.docker.compose.image"
DIRECTORY = "com.docker.compose.project.working_dir"
FILES = "com.docker.compose.project.config_files"
ONE_OFF = "com.docker.compose.oneoff"
DEPENDS_ON = "com.docker.compose.depends_on"
NETWORK = "com.docker.compose.network"
VOLUME = "com.docker.compose.volume"


def container_name(project: Project, service: Service, number: int = 1) -> str:
    """``project-service-1``, unless the file says another."""
    return service.container_name or f"{project.name}-{service.name}-{number}"


def folder_of(client: Client, project_name: str) -> Path:
    """Where the project's secrets and configs lie that are no files of their own."""
    return client.root / "compose" / project_name


def request_of(client: Client, project: Project, service: Service) -> Request:
    """A service in the words of ``wardian run``. Raises NotFound for a file that is not there."""
    granted = granting.mounts(service, folder_of(client, project.name))
    flags = {**service.flags, "mount": (*service.flags["mount"], *granted)}
    if service.lender:
        lender = container_name(project, project.service(service.lender))
        flags["network"] = (f"container:{lender}",)
    return Request(**flags)


def spec_of(client: Client, project: Project, service: Service) -> ContainerSpec:
    """Its first container to be; its image is got if it is not here. Raises WardianError."""
    request = request_of(client, project, service)
    image, lowers = images.obtain(client.root, service.image, **request.pulling)
    name = container_name(project, service)
    spec = request.spec(image, lowers, name, keep=Keep.ALWAYS)
    return described(spec, project, service, image.digest)


def described(
    spec: ContainerSpec, project: Project, service: Service, digest: str
) -> ContainerSpec:
    """The spec with all that the words of ``run`` cannot say: labels, test, networks."""
    if service.test and spec.healthcheck is not None:
        spec = replace(spec, healthcheck=replace(spec.healthcheck, test=service.test))
    needs = (f"{one.service}:{one.condition}:false" for one in service.depends_on)
    labels = {
        PROJECT: project.name,
        SERVICE: service.name,
        NUMBER: "1",
        ONE_OFF: "False",
        CONFIG_HASH: hashlib.sha256(service.described.encode()).hexdigest(),
        IMAGE: digest,
        DIRECTORY: str(project.directory),
        FILES: ",".join(map(str, project.files)),
        DEPENDS_ON: ",".join(needs),
    }
    attachments = service.attachments or spec.attachments
    return replace(spec, attachments=attachments, labels={**spec.labels, **labels})


def numbered(spec: ContainerSpec, project: Project, service: Service, number: int) -> ContainerSpec:
    """The same for another of the service's containers."""
    name = container_name(project, service, number)
    return replace(spec, name=name, labels={**spec.labels, NUMBER: str(number)})


def is_as_described(info: ContainerInfo, spec: ContainerSpec) -> bool:
    """Whether a container is what the file says now, on the image as it is now."""
    return all(info.spec.labels.get(key) == spec.labels[key] for key in (CONFIG_HASH, IMAGE))


def with_volumes_of(spec: ContainerSpec, info: ContainerInfo) -> ContainerSpec:
    """Its successor has the anonymous volumes that it had."""
    old = {mount.target: mount for mount in info.spec.volumes if mount.is_anonymous}

    def kept(mount: VolumeMount) -> VolumeMount:
        if mount.name or mount.target not in old:
            return mount
        return replace(mount, name=old[mount.target].name, is_anonymous=True)

    return replace(spec, volumes=tuple(map(kept, spec.volumes)))
