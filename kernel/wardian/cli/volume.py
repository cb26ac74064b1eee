"""``wardian volume …``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

import click

from wardian.cli.mounted import complete_volume, describe_volume, names_in_use
from wardian.cli.params import format_option
from wardian.cli.program import Command, Entry, LazyGroup, Sections, each_name
from wardian.errors import InvalidInput, NotFound, SetupError, WardianError

if TYPE_CHECKING:
    from wardian.cli.words import Filter
    from wardian.runtime.client import Client
    from wardian.storage.volume import Volume
    from wardian.storage.volumes import Volumes

COLUMNS = {"Driver": "DRIVER", "Name": "VOLUME NAME"}
PRUNE_KEYS = ("all", "label", "label!")
STREAM = "-"


class VolumeGroup(LazyGroup):
    """Docker's commands about volumes, and backup and restore."""

    sections: ClassVar[Sections] = {
        "Commands": {
            "create": Entry("volume:create", "Make a volume."),
            "ls": Entry("volume:ls", "List volumes."),
            "inspect": Entry("volume:inspect", "Show volumes, as JSON."),
            "export": Entry("volume:export", "Write a volume's files to an archive."),
            "import": Entry("volume:import_", "Fill a volume from an archive."),
            "rm": Entry("volume:rm", "Remove volumes that no container has."),
            "prune": Entry("volume:prune", "Remove anonymous volumes that no container has."),
        }
    }


@click.command(cls=VolumeGroup)
def volume() -> None:
    """Volumes: files that outlive containers, and are shared by them."""


def volumes_argument(function: Any) -> Any:
    """``VOLUME...``."""
    return click.argument(
        "names", metavar="VOLUME...", nargs=-1, required=True, shell_complete=complete_volume
    )(function)


@click.command(cls=Command)
@click.option("-d", "--driver", type=click.Choice(["local"]), default="local", help="local.")
@click.option("--label", multiple=True, metavar="KEY=VALUE", help="Note something.")
@click.option(
    *("-o", "--opt"),
    multiple=True,
    metavar="KEY=VALUE",
    help="type=tmpfs or type=none, o=… as mount(8), device=…",
)
@click.argument("name", metavar="[VOLUME]", required=False)
def create(
    *,
    name: str | None,
    driver: str,  # noqa: ARG001  # there is one
    label: tuple[str, ...],
    opt: tuple[str, ...],
) -> None:
    """Make a volume, and print its name; one that is there already is left as it is.

    \b
    wardian volume create data
    wardian volume create --opt type=tmpfs --opt o=size=64m,uid=1000 scratch
    wardian volume create --opt type=none --opt o=bind --opt device=/srv/site site
    """  # noqa: D301
    from wardian.cli import words
    from wardian.cli.mounts import pairs
    from wardian.runtime import volume_messages as v
    from wardian.runtime.client import Client
    from wardian.storage.volume import VolumeRequest

    request = VolumeRequest(name=name or "", labels=words.labels(label, ()), options=pairs(opt))
    with Client.connect() as client:
        made, _ = client.call("create_volume", v.CreateVolumeCall(request), v.VolumeInfo)
    click.echo(made.volume.name)


@click.command(cls=Command)
@click.option("-q", "--quiet", is_flag=True, help="Only names.")
@click.option(
    *("-f", "--filter", "filter_words"),
    multiple=True,
    metavar="KEY=VALUE",
    help="name=, label=, driver=, dangling=true (no container has it).",
)
@format_option
def ls(*, quiet: bool, filter_words: tuple[str, ...], style: str | None) -> None:
    """List volumes by name."""
    from wardian.cli.format import emit
    from wardian.cli.words import filters, fits, has_label, is_true

    in_use = cache(_in_use)
    tests: dict[str, Callable[[Volume, str], bool]] = {
        "name": lambda one, value: value in one.name,
        "label": lambda one, value: has_label(one.labels, value),
        "driver": lambda _, value: value == "local",
        "dangling": lambda one, value: is_true(value) is (one.name not in in_use()),
    }
    wanted = filters(filter_words, tests)
    rows = [_row(one) for one in _volumes().list() if fits(one, wanted, tests)]
    emit(rows, COLUMNS, style=style, quiet_field="Name" if quiet else None)


def _row(one: Volume) -> dict[str, Any]:
    from wardian.cli.format import labels_in_brief

    return {
        **describe_volume(one),
        "Labels": labels_in_brief(one.labels),
        "Label": lambda key: one.labels.get(key, ""),
        "Links": "N/A",
        "Size": "N/A",
    }


def _volumes() -> Volumes:
    from wardian.runtime.paths import state_root
    from wardian.storage.volumes import Volumes

    return Volumes(state_root())


def _in_use() -> Collection[str]:
    from wardian.runtime.client import Client

    with Client.connect() as client:
        return names_in_use(client.list())


@click.command(cls=Command)
@click.option("-f", "--format", "style", metavar="TEMPLATE", help="Like '{{.Mountpoint}}'.")
@volumes_argument
def inspect(*, names: tuple[str, ...], style: str | None) -> int:
    """Show volumes, as JSON in docker's fields."""
    from wardian.cli.inspection import show_each

    return show_each(names, lambda name: describe_volume(_volumes().get(name)), style=style)


# --- backup and restore --------------------------------------------------------------------------


@click.command(cls=Command)
@click.option("-o", "--output", "target", metavar="FILE", help="Where to (instead of stdout).")
@click.argument("name", metavar="VOLUME", shell_complete=complete_volume)
def export(*, name: str, target: str | None) -> None:
    """Write a volume's files to an archive (tar), with their owners, modes and attributes.

    Containers may go on writing; stop or pause them for a backup of one moment.
    """
    from wardian.cli.image import writing
    from wardian.runtime.client import Client
    from wardian.runtime.filling import save

    with Client.connect() as client:
        _volumes().get(name)
        with writing(target) as output:
            try:
                save(client, name, output)
            except BrokenPipeError:
                raise
            except OSError as error:
                raise SetupError(
                    f"cannot write the archive: {error.strerror}", hint="write it to another disk"
                ) from error


@click.command("import", cls=Command)
@click.argument("name", metavar="VOLUME", shell_complete=complete_volume)
@click.argument("source", metavar="FILE|-")
def import_(*, name: str, source: str) -> None:
    """Fill a volume from an archive (tar, compressed or not), as `wardian volume export` writes it.

    The volume is made if there is none. It has all of the archive afterwards, or is as it was: one
    with files in it, or that a running container has, is refused.

    \b
    wardian volume export data | wardian volume import copy -
    """  # noqa: D301
    from wardian.runtime import volume_messages as v
    from wardian.runtime.client import Client
    from wardian.runtime.filling import restore
    from wardian.storage.volume import VolumeMount

    with Client.connect() as client, _reading(source) as stream:
        wish = VolumeMount(target="/", name=name, no_copy=True)
        made, _ = client.call("make_volumes", v.MakeVolumesCall((wish,)), v.MadeVolumes)
        try:
            restore(client, name, stream)
        except BaseException:
            client.call("drop_volumes", v.DropVolumesCall(made.new), type(None))
            raise


@contextmanager
def _reading(source: str) -> Iterator[BinaryIO]:
    if source == STREAM:
        yield sys.stdin.buffer
        return
    try:
        stream = open(source, "rb")  # noqa: SIM115  # closed below
    except OSError as error:
        raise InvalidInput(f"cannot read the archive {source}: {error.strerror}") from error
    with stream:
        yield stream


# --- removal -------------------------------------------------------------------------------------


@click.command(cls=Command)
@click.option("-f", "--force", is_flag=True, help="Do not mind one that is not there.")
@volumes_argument
def rm(*, names: tuple[str, ...], force: bool) -> int:
    """Remove volumes, files and all. One that a container has, running or not, is refused."""
    from wardian.runtime.client import Client

    with Client.connect() as client:
        return each_name(
            names, lambda name: remove(client, name), is_gone=(lambda _: None) if force else None
        )


def remove(client: Client, name: str) -> None:
    """Remove one; FailedPrecondition if a container has it, NotFound."""
    from wardian.runtime import messages as m

    client.call("remove_volume", m.NameCall(name), type(None))


@click.command(cls=Command)
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("-a", "--all", "all_volumes", is_flag=True, help="Those with names, too.")
@click.option(
    "--filter", "filter_words", multiple=True, metavar="KEY=VALUE", help="label=, label!=, all=."
)
def prune(*, force: bool, all_volumes: bool, filter_words: tuple[str, ...]) -> int:
    """Remove every anonymous volume that no container has; with --all every such volume."""
    from wardian.cli.words import filters, is_true
    from wardian.observe.quantities import decimal_size
    from wardian.runtime.client import Client

    wanted = filters(filter_words, PRUNE_KEYS)
    all_volumes |= any(one.key == "all" and is_true(one.value) for one in wanted)
    what = "every volume" if all_volumes else "every anonymous volume"
    if not force and not click.confirm(f"This removes {what} that no container has. Go on?"):
        return 1
    with Client.connect() as client:
        freed = remove_unused(client, all_volumes=all_volumes, wanted=wanted)
    click.echo(f"Total reclaimed space: {decimal_size(freed)}")
    return 0


def remove_unused(
    client: Client, *, all_volumes: bool, wanted: Sequence[Filter] = (), kind: str = ""
) -> int:
    """Remove volumes that no container has, and say which; how many bytes that frees."""
    from wardian.cli.words import has_label
    from wardian.storage.volumes import Volumes

    volumes = Volumes(client.root)
    freed = 0
    for one in volumes.list():
        is_wanted = all(
            has_label(one.labels, each.value) is (each.key == "label")
            for each in wanted
            if each.key in ("label", "label!")
        )
        if not is_wanted or not (all_volumes or one.is_anonymous):
            continue
        size = size_bytes(volumes, one)
        try:
            remove(client, one.name)
        except WardianError:  # a container has it, or somebody has removed it meanwhile
            continue
        freed += size
        click.echo(f"{kind}{one.name}")
    return freed


def size_bytes(volumes: Volumes, one: Volume) -> int:
    """What its files take on disk, as far as they may be looked at; none if they lie elsewhere."""
    from wardian.cli.disk import tree_bytes

    return 0 if one.kind else tree_bytes(volumes.files(one.name))


def problems(root: Path) -> Iterator[tuple[str, str]]:
    """What is wrong with stored volumes: their names, and what."""
    from wardian.storage.volumes import Volumes

    volumes = Volumes(root)
    for name in volumes.names():
        try:
            one = volumes.get(name)
        except NotFound:
            yield name, "has no record"
        except WardianError as error:
            yield name, error.what
        else:
            if one.name != name:
                yield name, f"its record is of {one.name}"
            elif not os.path.isdir(volumes.files(name)):
                yield name, "lacks its files"
