"""Where ``wardian build`` puts its result, by the real program."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.linux.program import IMAGE, PROGRAM, Wardian, out, refused
from tests.linux.test_build import built, context, done_steps, write
from wardian.images.manifest import digest_of

__all__ = ["context"]

TREE = (
    f"FROM {IMAGE} AS work\nRUN mkdir -p /made/in && echo b > /made/in/b && chown 5:6 /made/in/b"
    " && ln -s in/b /made/link && chmod 6755 /made/in/b && echo gone > /made/gone\n"
    "FROM scratch\nCOPY --from=work /made /\nCOPY leaf /in/\n"
)


def test_files_go_to_a_directory_as_the_caller_s_and_nobody_s_setuid(
    wardian: Wardian, context: Path, tmp_path: Path
) -> None:
    there = tmp_path / "out"
    (there / "in").mkdir(parents=True)
    (there / "in/kept").write_text("old")
    out(wardian("build", "-q", "-t", "made", "-o", str(there), write(context, TREE)))
    found = {str(path.relative_to(there)) for path in there.rglob("*")}
    assert found == {"gone", "in", "in/b", "in/kept", "in/leaf", "link"}
    status = (there / "in/b").lstat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (os.geteuid(), 0o755)
    assert (there / "link").read_text() == "b\n"


def test_files_go_into_an_archive_as_they_are(wardian: Wardian, state: Path, context: Path) -> None:
    command = [*PROGRAM, "build", "-q", "-t", "made", "-o", "-", write(context, TREE)]
    environment = {**os.environ, "WARDIAN_ROOT": str(state)}
    done = subprocess.run(command, capture_output=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        entries = {entry.name: entry for entry in archive}
    assert set(entries) == {"gone", "in", "in/b", "in/leaf", "link"}
    made = entries["in/b"]
    assert (made.uid, made.gid, made.mode) == (5, 6, 0o6755)
    assert out(wardian("images", "-q", "made"))


def test_image_goes_into_an_archive_and_what_was_built_is_told(
    wardian: Wardian, context: Path, tmp_path: Path
) -> None:
    archive, told = tmp_path / "made.tar", tmp_path / "told.json"
    flags = ("-o", f"type=oci,dest={archive}", "--metadata-file", str(told))
    digest = out(wardian("build", "-q", "-t", "made:1", *flags, write(context, TREE))).strip()
    assert json.loads(told.read_text()) == {
        "containerimage.digest": digest,
        "image.name": "docker.io/library/made:1",
    }
    with tarfile.open(archive) as found:
        manifest = found.extractfile(f"blobs/sha256/{digest.removeprefix('sha256:')}")
        assert manifest is not None and digest_of(manifest.read()) == digest


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["-o", "type=moon"], "not an output: 'type=moon'"),
        (["-o", "type=local"], "which directory?"),
        (["-o", "type=tar,dest=x,push=true"], "not an output"),
        (["--push"], "what is pushed needs a name"),
        (["--add-host", "alone"], "alone"),
    ],
)
def test_output_that_cannot_be_is_refused_before_anything_is_built(
    wardian: Wardian, context: Path, flags: list[str], said: str
) -> None:
    assert said in refused(wardian("build", *flags, write(context, f"FROM {IMAGE}\n")), 1)


def test_check_builds_nothing_and_fails_if_there_is_something_to_say(
    wardian: Wardian, context: Path
) -> None:
    path = write(context, f"FROM {IMAGE}\nRUN false\nCMD a\n")
    done = wardian("build", "--check", path)
    assert (done.returncode, done.stderr) == (1, "")
    first, last = done.stdout.splitlines()
    assert first.startswith("WARN: JSONArgsRecommended: ") and first.endswith("(line 3)")
    assert last == "Check complete, 1 warning has been found!"
    path = write(context, f"FROM {IMAGE}\nRUN false\n")
    assert out(wardian("build", "--check", path)) == "Check complete, no warnings found.\n"


def test_one_stage_alone_is_run_again(wardian: Wardian, context: Path) -> None:
    path = write(context, f"FROM {IMAGE} AS One\nRUN true\nFROM {IMAGE} AS two\nRUN :\n")
    text = f"{(context / 'Dockerfile').read_text()}COPY --from=one /bin/sh /sh\n"
    path = write(context, text)
    built(wardian, path)
    steps = done_steps(built(wardian, "--no-cache-filter=One", path))
    why = {str(step["instruction"]): step.get("why", "") for step in steps}
    assert why["RUN true"] == "--no-cache"
    assert why["RUN :"] == ""


def test_command_sees_the_hosts_that_are_added(wardian: Wardian, context: Path) -> None:
    path = write(context, f"FROM {IMAGE}\nRUN grep garden /etc/hosts\n")
    steps = built(wardian, "--add-host=garden:192.0.2.7", path)
    assert "192.0.2.7" in "".join(str(event.get("text", "")) for event in steps)
    # With another address it is another step.
    steps = done_steps(built(wardian, "--add-host=garden:192.0.2.8", path))
    assert "cached" not in steps[-1] or not steps[-1]["cached"]
