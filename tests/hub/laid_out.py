"""Run as a program: the build context that repo2docker makes of a repository, without building it.

python laid_out.py REPOSITORY CONTEXT
"""

from __future__ import annotations

import sys
import tarfile
from typing import IO, Any

from repo2docker.app import Repo2Docker
from repo2docker.engine import ContainerEngine


class Unpacks(ContainerEngine):  # type: ignore[misc]  # of unknown type
    """An engine that lays out what it is to build."""

    def build(self, *, fileobj: IO[bytes], **_: Any) -> list[str]:
        with tarfile.open(fileobj=fileobj) as archive:
            # Python 3.11.4 has filters; it is a tree of our own that is laid out.
            archive.extraction_filter = getattr(tarfile, "data_filter", None)
            archive.extractall(sys.argv[2])  # noqa: S202
        return []

    def inspect_image(self, _image: str) -> None:
        """There is none yet."""


if __name__ == "__main__":
    program = Repo2Docker(platform="linux/amd64", run=False)
    program.get_engine = lambda: Unpacks(parent=program)
    program.repo, program.output_image_spec, program.user_id = sys.argv[1], "binder", 1000
    program.build()
