"""``wardian build``: an image from a Dockerfile; ``--print`` shows how the file is understood."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import click

from wardian.cli import words
from wardian.cli.program import Command
from wardian.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from wardian.build.builder import Options
    from wardian.build.outputs import Output
    from wardian.build.progress import Event
    from wardian.images.store import Image

STDIN = "-"
MAX_JOBS = 8
F = TypeVar("F", bound=Callable[..., Any])


def _options(function: F) -> F:
    options = (
        click.option("-t", "--tag", "tags", metavar="NAME[:TAG]", help="Its name.", multiple=True),
        click.option("-f", "--file", "name", metavar="FILE", help="The Dockerfile (or -)."),
        click.option("--target", default="", metavar="STAGE", help="Build up to this stage."),
        click.option("--build-arg", metavar="NAME[=VALUE]", help="Set an ARG.", multiple=True),
        click.option("--build-context", metavar="NAME=VALUE", multiple=True,
                     help="A directory, URL, docker-image://IMAGE or oci-layout://DIRECTORY[:TAG]."),
        click.option("--label", metavar="KEY=VALUE", help="Note something.", multiple=True),
        click.option("--secret", metavar="id=ID[,src=FILE|,env=NAME]", help="Show RUN a secret.",
                     multiple=True),
        click.option("--ssh", metavar="ID[=SOCKET|KEY,…]", multiple=True,
                     help="Let RUN use the keys of an ssh-agent ($SSH_AUTH_SOCK)."),
        click.option("--network", default="default",
                     type=click.Choice(["none", "default", "host"]),
                     envvar="WARDIAN_BUILD_NETWORK", help="The network of RUN."),
        click.option("--no-cache", is_flag=True, help="Run everything again."),
        click.option("--no-cache-filter", metavar="STAGE", multiple=True,
                     help="Run everything of this stage again."),
        click.option("--add-host", metavar="NAME:ADDRESS", multiple=True,
                     help="A line for the /etc/hosts that RUN sees."),
        click.option("--pull", is_flag=True, help="Get base images even if they are here."),
        click.option("--jobs", type=click.IntRange(0), default=0, metavar="N",
                     help="Build so many stages at once (as many as there are CPUs)."),
        click.option("-q", "--quiet", is_flag=True, help="Print only the image's id."),
        click.option("--progress", default="auto",
                     type=click.Choice(["auto", "plain", "rawjson", "quiet"]),
                     help="How to tell what happens (on stderr)."),
        click.option("--iidfile", metavar="FILE", help="Write the image's id to a file."),
        click.option("--metadata-file", metavar="FILE", help="Write what was built, as JSON."),
        click.option("-o", "--output", "outputs", metavar="DIRECTORY|type=TYPE,…", multiple=True,
                     help="Where the result goes: its files to a directory (type=local,dest=) or an"
                     " archive (type=tar), the image to an archive (type=oci, type=docker) or to a"
                     " registry (type=image,push=true)."),
        click.option("--push", is_flag=True, help="The same as --output=type=image,push=true."),
        click.option("--load", is_flag=True, help="Keep the image here, as is done anyway."),
        click.option("--check", is_flag=True,
                     help="Build nothing: say only what a Dockerfile is warned of."),
        click.option("--rewrite-timestamp", is_flag=True,
                     help="No file is newer than SOURCE_DATE_EPOCH."),
        click.option("--print", "what", metavar="ast|outline[,format=json|sexpr]",
                     help="Only show how the Dockerfile is understood."),
        click.argument("context", metavar="PATH|URL|-"),
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


@click.command(cls=Command)
@_options
def build(*, what: str | None, context: str, name: str | None, target: str, **flags: Any) -> None:
    """Build an image from a Dockerfile.

    \b
    wardian build -t web .
    wardian build -t web --build-arg VERSION=3 -f docker/Dockerfile --target test .
    wardian build -t web https://git.example.org/web.git#v3:server

    What was built before is taken from the cache as long as the instruction, the files that it
    brings (their content, not their times) and everything above it are the same; otherwise the
    reason is told.
    """  # noqa: D301
    if what is not None:
        with _named(name):
            click.echo(_shown(_dockerfile(context, name), what, target))
        return
    if flags["check"]:
        with _named(name):
            _check(_dockerfile(context, name))
        return
    quiet, outputs = flags["quiet"], _outputs(flags["outputs"], push=flags["push"])
    if any(output.push for output in outputs) and not flags["tags"]:
        raise InvalidInput("what is pushed needs a name", hint="add --tag HOST/NAME:TAG")
    with tempfile.TemporaryDirectory() as private:
        say = teller("quiet" if quiet else flags["progress"])
        with _agents(flags["ssh"], Path(private)) as sockets:
            options = _chosen(flags, target, Path(private), sockets)
            image = run_build(context, name, options, say)
    if flags["iidfile"]:
        with _writing(flags["iidfile"]) as path:
            path.write_text(image.digest)
    if flags["metadata_file"]:
        with _writing(flags["metadata_file"]) as path:
            path.write_text(_metadata(image, options.tags))
    for output in outputs:
        _put(image, output, options.tags, quiet=quiet)
    if (quiet or not options.tags) and all(output.target != STDIN for output in outputs):
        click.echo(image.digest)


def _outputs(given: tuple[str, ...], *, push: bool) -> list[Output]:
    from wardian.build.outputs import Kind, Output

    found = [Output.parse(word) for word in given]
    return [*found, Output(Kind.IMAGE, push=True)] if push else found


def _put(image: Image, output: Output, tags: tuple[str, ...], *, quiet: bool) -> None:
    """Write one output. Raises WardianError."""
    from wardian.build import outputs
    from wardian.build.outputs import Kind
    from wardian.cli.image import writing
    from wardian.cli.images import image_store
    from wardian.cli.progress import shown
    from wardian.images import archive
    from wardian.images.registry.push import push

    store = image_store()
    if output.kind is Kind.LOCAL:
        outputs.unpack(store, image, Path(output.target))
    elif output.kind is Kind.IMAGE:
        for tag in tags if output.push else ():
            with shown(quiet=quiet) as progress:
                push(store, tag, progress=progress)
    else:
        with writing(None if output.target == STDIN else output.target) as stream:
            if output.kind is Kind.TAR:
                outputs.pack(store, image, stream)
            else:
                names = tags or (image.digest,)
                archive.save(store, names, stream, for_docker=output.kind is Kind.DOCKER)


def _metadata(image: Image, tags: tuple[str, ...]) -> str:
    """In the fields of buildx' metadata file."""
    import json

    from wardian.images.reference import Reference

    names = ",".join(str(Reference.parse(tag)) for tag in tags)
    found = {"containerimage.digest": image.digest}
    return json.dumps(found | ({"image.name": names} if names else {}), indent=2)


def _check(data: bytes) -> None:
    """Say what is warned of before anything is built; exit code 1 if there is something."""
    from wardian.build.checks import Checks
    from wardian.build.lint import warnings
    from wardian.build.parser import parse
    from wardian.build.progress import Event, Plain
    from wardian.build.stages import recipe

    file = parse(data)
    found = Checks.of(file).kept(warnings(file, recipe(file)))
    plain = Plain()
    for one in found:
        event = Event(kind="warning", why=one.rule, text=one.text, line=one.line)
        click.echo(plain.text(event), nl=False)
    if found:
        many = "1 warning has" if len(found) == 1 else f"{len(found)} warnings have"
        click.echo(f"Check complete, {many} been found!")
        raise SystemExit(1)
    click.echo("Check complete, no warnings found.")


def _agents(words: tuple[str, ...], private: Path) -> AbstractContextManager[dict[str, Path]]:
    if not words:
        return nullcontext({})
    from wardian.build.ssh import agents

    return agents(words, private)


def run_build(
    context: str,
    name: str | None,
    options: Options,
    say: Callable[[Event], None],
    stdin: BinaryIO | None = None,
) -> Image:
    """Build; the image. Raises WardianError, after which nothing half-made is left."""
    from wardian.build.builder import Builder
    from wardian.build.context import opened
    from wardian.build.remote import Remotes, notes_of
    from wardian.images.store import ImageStore
    from wardian.runtime.paths import state_root

    store = ImageStore(state_root())
    with store.ingest() as ingest, _named(name):
        remotes = Remotes(ingest.work, notes_of(store), options.agents)
        found = opened(ingest, context, name, stdin or sys.stdin.buffer, remotes)
        return Builder(store, ingest, found, options, say, remotes.fetched).build()


@contextmanager
def _named(name: str | None) -> Iterator[None]:
    """Let what is wrong with a Dockerfile say its name, where that is not the usual one."""
    from wardian.build.faults import DockerfileError

    try:
        yield
    except DockerfileError as error:
        if name is None or name == STDIN:
            raise
        raise error.of(name) from error


def teller(progress: str) -> Callable[[Event], None]:
    """Who tells on stderr what happens."""
    from wardian.build.progress import Plain

    plain = Plain()

    def tell(event: Event) -> None:
        if progress == "rawjson":
            click.echo(event.as_json(), err=True)
        elif progress != "quiet" and (text := plain.text(event)):
            click.echo(text, err=True, nl=False)

    return tell


def _chosen(
    flags: Mapping[str, Any], target: str, private: Path, sockets: Mapping[str, Path]
) -> Options:
    from wardian.build.builder import Options

    arguments = words.pairs(flags["build_arg"], "a --build-arg", or_ours=True)
    epoch = arguments.get("SOURCE_DATE_EPOCH", os.environ.get("SOURCE_DATE_EPOCH", ""))
    if epoch and not (epoch.isdecimal() and len(epoch) < 12):
        raise InvalidInput(
            f"SOURCE_DATE_EPOCH is no time: {epoch[:20]!r}", hint="seconds as digits"
        )
    if flags["rewrite_timestamp"] and not epoch:
        raise InvalidInput(
            "--rewrite-timestamp needs to know the time", hint="set SOURCE_DATE_EPOCH, such as 0"
        )
    return Options(
        tags=flags["tags"],
        target=target,
        arguments=arguments,
        labels=words.labels(flags["label"]),
        contexts=words.pairs(flags["build_context"], "a --build-context"),
        secrets=_secrets(flags["secret"], private),
        agents=sockets,
        network=flags["network"],
        use_cache=not flags["no_cache"],
        uncached=frozenset(name.lower() for name in flags["no_cache_filter"]),
        hosts=tuple(words.host(word) for word in flags["add_host"]),
        pull=flags["pull"],
        jobs=jobs(flags["jobs"]),
        epoch_s=int(epoch) if epoch else None,
        rewrite_timestamp=flags["rewrite_timestamp"],
    )


def _secrets(given: tuple[str, ...], private: Path) -> dict[str, Path]:
    """Each as a file of its own."""
    secrets = {}
    for number, word in enumerate(given):
        fields = dict(part.partition("=")[::2] for part in word.split(","))
        name = fields.get("id", "")
        if not name:
            raise InvalidInput(f"--secret {word[:40]!r} has no id", hint="--secret id=key,src=FILE")
        source = fields.get("src") or fields.get("source")
        variable = fields.get("env") or name
        try:
            if source is None and variable in os.environ:
                data = os.environ[variable].encode()
            else:
                data = Path(source or name).read_bytes()
        except OSError as error:
            raise NotFound(
                f"cannot read the secret {name}: {error.strerror}", hint="give src=FILE or env=NAME"
            ) from error
        secrets[name] = hidden(data, private / str(number))
    return secrets


def hidden(data: bytes, path: Path) -> Path:
    """A file of this that only its owner can read."""
    path.touch(mode=0o400)
    path.write_bytes(data)
    return path


def jobs(wanted: int = 0) -> int:
    """How many stages are built at once."""
    return wanted or min(len(os.sched_getaffinity(0)), MAX_JOBS)


@contextmanager
def _writing(path: str) -> Iterator[Path]:
    try:
        yield Path(path)
    except OSError as error:
        raise InvalidInput(f"cannot write {path}: {error.strerror}") from error


def _shown(data: bytes, what: str, target: str) -> str:
    """The Dockerfile as ``--print`` asks for it."""
    import json

    from wardian.build.expression import expression
    from wardian.build.parser import parse
    from wardian.build.stages import outline, recipe

    kind, _, options = what.partition(",")
    form = options.removeprefix("format=") or "json"
    if kind not in ("ast", "outline") or form not in ("json", "sexpr"):
        raise InvalidInput(
            f"not something to print: {what[:40]!r}",
            hint="use ast or outline, and after it ,format=json or ,format=sexpr",
        )
    file = parse(data)
    if kind == "outline":
        known = outline(recipe(file), target)
        return expression(kind, known) if form == "sexpr" else json.dumps(known, indent=2)
    if form == "sexpr":
        return file.root.dump()
    document = {
        "escape": file.escape,
        "directives": file.directives,
        "instructions": [child.document() for child in file.root.children],
        "warnings": [
            {"rule": one.rule, "text": one.text, "line": one.line} for one in file.warnings
        ],
    }
    return json.dumps(document, indent=2)


def _dockerfile(context: str, name: str | None) -> bytes:
    if STDIN in (context, name):
        return sys.stdin.buffer.read()
    path = name or os.path.join(context, "Dockerfile")
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise NotFound(
            f"cannot read the Dockerfile {path}: {error.strerror}",
            hint="name it with -f, or name the directory that has it",
        ) from error
