"""``build``: how a service's image is made, as it is described and as it is done."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path

from wardian.build.reach import Reach
from wardian.build.remote import is_remote
from wardian.compose.project import OF_SERVICE, Build, FileEntry
from wardian.compose.section import Section
from wardian.errors import NotFound

_NETWORKS = tuple(reach.value for reach in Reach)


# --- as it is described --------------------------------------------------------------------------


def described(build: Section, secrets: Mapping[str, FileEntry]) -> Build:
    """What a section in canonical form says; ``secrets`` are the project's. InvalidInput."""
    if "dockerfile" in build and "dockerfile_inline" in build:
        raise build.fault("dockerfile and dockerfile_inline exclude each other", "leave one out")
    network = build.text("network") or "default"
    if network not in _NETWORKS:
        what = f"it is none for a build: {network[:40]!r}"
        raise build.fault(what, f"use {', '.join(_NETWORKS)}", "network")
    found = Build(
        context=build.text("context"),
        dockerfile=build.text("dockerfile") or None,
        inline=build.text("dockerfile_inline"),
        target=build.text("target"),
        arguments=_texts(build, "args"),
        labels=_texts(build, "labels"),
        contexts=_contexts(build),
        tags=tuple(build.words("tags")),
        network=network,
        ssh=tuple(build.words("ssh")),
        no_cache=build.switch("no_cache"),
        pull=build.switch("pull"),
        secrets=_secrets(build, secrets),
    )
    build.done()
    return found


def _texts(build: Section, name: str) -> dict[str, str]:
    return {key: value or "" for key, value in build.pairs(name).items()}


def _contexts(build: Section) -> dict[str, str]:
    found = _texts(build, "additional_contexts")
    for name, word in found.items():
        if word.startswith(OF_SERVICE):
            what = "another service's image is no context here"
            hint = "build it with tags:, and write docker-image://TAG"
            raise build.fault(what, hint, "additional_contexts", name)
    return found


def _secrets(build: Section, known: Mapping[str, FileEntry]) -> dict[str, FileEntry]:
    """By the id that RUN --mount=type=secret asks for."""
    found = {}
    for number, value in enumerate(build.items("secrets")):
        one = build.below(value, "secrets", str(number))
        key = one.text("source")
        if key not in known:
            raise one.fault(f"there is none called {key[:80]!r} below secrets:")
        found[one.text("target") or key] = known[key]
        one.done()
    return found


# --- as it is done -------------------------------------------------------------------------------


def build_image(build: Build, name: str) -> None:
    """Build a service's image. Raises WardianError."""
    from wardian.build.builder import Options
    from wardian.build.ssh import agents
    from wardian.cli.build import hidden, jobs, run_build, teller

    with ExitStack() as stack:
        private = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        secrets = {
            key: hidden(_content(key, entry), private / f"secret{number}")
            for number, (key, entry) in enumerate(build.secrets.items())
        }
        options = Options(
            tags=(name, *build.tags),
            target=build.target,
            arguments=build.arguments,
            labels=build.labels,
            contexts=build.contexts,
            secrets=secrets,
            agents=stack.enter_context(agents(build.ssh, private)) if build.ssh else {},
            network=build.network,
            use_cache=not build.no_cache,
            pull=build.pull,
            jobs=jobs(),
        )
        inline = BytesIO(build.inline.encode())
        run_build(build.context, _dockerfile(build), options, teller("auto"), inline)


def _content(key: str, entry: FileEntry) -> bytes:
    if not entry.path:
        return entry.content
    try:
        return Path(entry.path).read_bytes()
    except OSError as error:
        what = f"cannot read the secret {key}: {entry.path}: {error.strerror}"
        raise NotFound(what, hint="make it, or name another") from error


def _dockerfile(build: Build) -> str | None:
    """A path in the context, wherever we are; that of a fetched one is found there."""
    if build.inline:
        return "-"
    if build.dockerfile is None or is_remote(build.context):
        return build.dockerfile
    return os.path.join(build.context, build.dockerfile)
