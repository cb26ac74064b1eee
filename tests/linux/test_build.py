"""``wardian build`` by the real program: images from Dockerfiles, run afterwards."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.archives import archive
from tests.linux.program import IMAGE, PROGRAM, Done, Wardian, out, refused
from wardian.images.store import ImageStore
from wardian.observe import content
from wardian.observe.folder import of_layer
from wardian.runtime.spec import DEFAULT_PATH
from wardian.storage import foreign

Events = list[dict[str, object]]


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "leaf").write_text("green\n")
    return folder


def write(context: Path, text: str) -> str:
    (context / "Dockerfile").write_text(text)
    return str(context)


def built(wardian: Wardian, *arguments: str, **environment: str) -> Events:
    done = wardian("build", "--progress=rawjson", *arguments, **environment)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stderr.splitlines()]


def done_steps(events: Events) -> Events:
    return [event for event in events if event["kind"] == "done"]


def config(wardian: Wardian, name: str) -> dict[str, object]:
    [described] = json.loads(out(wardian("image", "inspect", name)))
    found = described["Config"]
    assert isinstance(found, dict)
    return found


def test_the_lectures_dockerfile_builds_and_runs(wardian: Wardian, context: Path) -> None:
    (context / "Makefile").write_text("/app: FORCE\n\techo made > /app/made\nFORCE:\n")
    (context / "app.py").write_text("print(open('/app/made').read(), end='')\n")
    write(
        context,
        "FROM wardian/base\nCOPY . /app\nENV MAKEFILES=/app/Makefile\nRUN make /app\n"
        "CMD python /app/app.py\n",
    )
    events = built(wardian, "-t", "lecture", str(context))
    assert out(wardian("run", "--rm", "lecture")) == "made\n"
    assert ["A", "app/made", 5] in done_steps(events)[3]["changes"]  # type: ignore[operator]


def test_what_did_not_change_is_cached_and_gives_the_same_image(
    wardian: Wardian, context: Path
) -> None:
    path = write(context, f"FROM {IMAGE}\nCOPY leaf /leaf\nRUN cat /leaf > /copy\n")
    built(wardian, "-t", "one", path)
    first = out(wardian("images", "-q", "--no-trunc"))
    os.utime(context / "leaf", (1, 1))  # times do not count
    events = built(wardian, "-t", "one", path)
    assert all(event["cached"] for event in done_steps(events))
    assert out(wardian("images", "-q", "--no-trunc")) == first


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("COPY leaf /leaf", "COPY leaf /leaf2"), "the instruction changed"),
        (("leaf", "leaf"), "changed: leaf"),
    ],
)
def test_miss_has_a_reason(
    wardian: Wardian, context: Path, change: tuple[str, str], reason: str
) -> None:
    text = f"FROM {IMAGE}\nCOPY leaf /leaf\nRUN true\n"
    built(wardian, write(context, text))
    if change[0] == change[1]:
        (context / "leaf").write_text("red\n")
    _, copy, run = done_steps(built(wardian, write(context, text.replace(*change))))
    assert reason in str(copy["why"])
    assert run["why"] == "an instruction above was run again"


def test_argument_counts_from_its_first_use(wardian: Wardian, context: Path) -> None:
    path = write(context, f"FROM {IMAGE}\nRUN true\nARG v=1\nRUN echo $v > /v\n")
    built(wardian, "-t", "args", path)
    steps = done_steps(built(wardian, "-t", "args", "--build-arg", "v=2", path))
    assert [step.get("cached", False) for step in steps] == [True, True, True, False]
    assert steps[-1]["why"] == "another value of v"
    assert out(wardian("run", "--rm", "args", "cat", "/v")) == "2\n"


def test_configuration_is_what_the_instructions_say(wardian: Wardian, context: Path) -> None:
    path = write(
        context,
        f"FROM {IMAGE}\nARG where=/srv\nENV A=1 B='two words'\nENV C=${{A:-x}}${{B}}\n"
        "WORKDIR $where\nWORKDIR sub\nUSER 7:8\nLABEL k=v\nEXPOSE 80 53/udp\nVOLUME /data\n"
        'STOPSIGNAL SIGUSR1\nSHELL ["/bin/sh","-ec"]\nHEALTHCHECK --interval=1m30s CMD true\n'
        'ENTRYPOINT ["pwd"]\nCMD ["-P"]\nONBUILD RUN true\n',
    )
    built(wardian, "-t", "conf", "--label", "more=1", path)
    found = config(wardian, "conf")
    assert "C=1two words" in found["Env"]  # type: ignore[operator]
    assert found["WorkingDir"] == "/srv/sub"
    assert found["User"] == "7:8"
    assert found["ExposedPorts"] == {"80/tcp": {}, "53/udp": {}}
    assert found["Labels"]["k"] == "v"  # type: ignore[index]
    assert found["Labels"]["more"] == "1"  # type: ignore[index]
    assert found["Healthcheck"] == {"Test": ["CMD-SHELL", "true"], "Interval": 90 * 10**9}
    assert out(wardian("run", "--rm", "conf")) == "/srv/sub\n"
    onbuild = done_steps(built(wardian, write(context, "FROM conf\n")))
    assert onbuild[1]["instruction"] == "RUN true"


def test_stages_share_files(wardian: Wardian, context: Path) -> None:
    path = write(
        context,
        f"FROM {IMAGE} AS make\nRUN mkdir /o; echo made > /o/a; chown 5:6 /o/a; ln -s a /o/b\n"
        f"FROM {IMAGE} AS unused\nRUN false\n"
        "FROM scratch\nCOPY --from=make /o /out\nCOPY --from=make --chown=9:9 --chmod=600 /o/a /c\n"
        f"COPY --from={IMAGE} /bin /bin\n",
    )
    events = built(wardian, "-t", "stages", path)
    assert not any("false" in str(event.get("instruction")) for event in events)
    listed = out(wardian("run", "--rm", "stages", "/bin/ls", "-ln", "/out/a", "/out/b", "/c"))
    rows = [line.split() for line in listed.splitlines()]
    assert {row[8]: (row[0], row[2], row[3]) for row in rows} == {
        "/out/a": ("-rw-r--r--", "5", "6"),
        "/out/b": ("lrwxrwxrwx", "0", "0"),
        "/c": ("-rw-------", "9", "9"),
    }
    built(wardian, "-t", "first", "--target", "make", path)
    assert out(wardian("run", "--rm", "first", "cat", "/o/a")) == "made\n"


def test_copy_obeys_patterns(wardian: Wardian, context: Path) -> None:
    for name in ("a.txt", "b.txt", "c.log", "d/e.txt", "d/f.tmp", "d/keep.log"):
        (context / name).parent.mkdir(exist_ok=True)
        (context / name).write_text(name)
    (context / ".dockerignore").write_text("# no\n**/*.log\n!d/keep.log\nDockerfile\n")
    path = write(
        context,
        f"FROM {IMAGE}\nCOPY *.txt /glob/\nCOPY . /all\nCOPY --exclude=*.tmp d /some\n"
        "COPY --parents d/e.txt /parents/\nRUN find /glob /all /some /parents -type f | sort\n",
    )
    events = built(wardian, path)
    found = "".join(str(event["text"]) for event in events if event["kind"] == "output")
    assert found.split() == [
        "/all/.dockerignore",
        "/all/a.txt",
        "/all/b.txt",
        "/all/d/e.txt",
        "/all/d/f.tmp",
        "/all/d/keep.log",
        "/all/leaf",
        "/glob/a.txt",
        "/glob/b.txt",
        "/parents/d/e.txt",
        "/some/e.txt",
        "/some/keep.log",
    ]
    (context / "gone").mkdir()
    (context / ".dockerignore").write_text("gone\n!d/keep.log\n")
    path = write(context, f"FROM {IMAGE}\nCOPY gone /gone\n")
    assert 'Dockerfile:2: "/gone": not found' in wardian("build", path).stderr


def test_wildcard_may_match_nothing(wardian: Wardian, context: Path) -> None:
    text = f"FROM {IMAGE}\nCOPY leaf leaf.lock* /a/\nCOPY *.lock /b/\nRUN ls /a\n"
    events = built(wardian, write(context, text))
    assert "leaf" in [str(event["text"]).strip() for event in events if event["kind"] == "output"]


def test_heredocs_and_mounts(wardian: Wardian, context: Path, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret")
    path = write(
        context,
        f"FROM {IMAGE}\nARG who=you\nCOPY <<A <<'B' /h/\nhello $who\nA\nhello $who\nB\n"
        "RUN <<X\ncat /h/A /h/B\nX\n"
        "RUN --mount=type=secret,id=key --mount=type=cache,target=/cache "
        "--mount=type=bind,target=/ctx --mount=type=tmpfs,target=/t "
        "cat /run/secrets/key /ctx/leaf && echo x >> /cache/n && wc -l < /cache/n && touch /t/x\n"
        "RUN --mount=type=cache,target=/cache echo y >> /cache/n; wc -l < /cache/n\n",
    )
    events = built(wardian, "-t", "mounts", "--secret", f"id=key,src={tmp_path / 'key'}", path)
    text = "".join(str(event["text"]) for event in events if event["kind"] == "output")
    assert text == "hello you\nhello $who\nsecretgreen\n1\n2\n"
    left = done_steps(events)[4]
    assert "changes" not in left, left  # nor is there a trace of what was mounted


def test_mounts_are_what_their_words_say(wardian: Wardian, context: Path, tmp_path: Path) -> None:
    """As the Dockerfile reference has them: what is written to a bind is gone afterwards."""
    (tmp_path / "key").write_text("secret")
    (context / ".dockerignore").write_text("ignored\n")
    (context / "ignored").touch()
    path = write(
        context,
        f"FROM {IMAGE} AS one\nRUN mkdir /d && echo staged > /d/f\n"
        f"FROM {IMAGE}\nARG at=/m\n"
        "RUN --mount=target=$at,rw,source=. echo x > /m/new; ls /m\n"
        "RUN --mount=type=bind,from=one,source=/d,dst=/m,ro=false echo x >> /m/f; cat /m/f\n"
        "RUN --mount=type=secret,id=key,uid=5,gid=6 stat -c '%a %u:%g' /run/secrets/key\n"
        "RUN --mount=type=cache,id=c,target=/c,from=one,source=/d,sharing=private cat /c/f\n"
        "RUN --mount=type=cache,id=c,target=/c,sharing=locked "
        "--mount=type=cache,id=c,target=/again,sharing=locked touch /c/x; ls /again\n",
    )
    arguments = ("-t", "mounts", "--secret", f"id=key,src={tmp_path / 'key'}", path)
    events = built(wardian, *arguments)
    text = "".join(str(event["text"]) for event in events if event["kind"] == "output")
    assert text == "Dockerfile\nleaf\nnew\nstaged\nx\n400 5:6\nstaged\nx\n"
    assert sorted(os.listdir(context)) == [".dockerignore", "Dockerfile", "ignored", "leaf"]
    (context / "ignored").write_text("does not count")
    assert all(step.get("cached") for step in done_steps(built(wardian, *arguments)))
    (context / "leaf").write_text("red\n")
    again = done_steps(built(wardian, *arguments))
    missed = next(step for step in again if not step.get("cached"))
    assert (missed["line"], missed["why"]) == (5, "its files are others (changed: leaf)")


def test_add_unpacks_an_archive_and_copy_does_not(wardian: Wardian, context: Path) -> None:
    with tarfile.open(context / "a.tar.gz", "w:gz") as archive:
        archive.add(context / "leaf", "inside/leaf")
    path = write(
        context,
        f"FROM {IMAGE}\nADD a.tar.gz /add\nCOPY a.tar.gz /copy/\nRUN find /add /copy -type f\n",
    )
    text = "".join(str(event["text"]) for event in built(wardian, path) if "text" in event)
    assert text.split() == ["/add/inside/leaf", "/copy/a.tar.gz"]


def test_same_epoch_gives_the_same_digest_without_the_cache(
    wardian: Wardian, context: Path
) -> None:
    path = write(context, f"FROM {IMAGE}\nCOPY leaf /a/leaf\nRUN date > /dev/null; touch /b\n")
    flags = ("build", "-q", "--no-cache", "--rewrite-timestamp", path)
    digests = set()
    for moment in (5, 9_999_999_999):
        os.utime(context / "leaf", (moment, moment) if moment == 5 else None)
        os.utime(context / "leaf")
        digests.add(out(wardian(*flags, SOURCE_DATE_EPOCH="1000")))
    assert len(digests) == 1


def test_context_can_come_by_stdin(wardian: Wardian, state: Path, context: Path) -> None:
    out_digest = out(wardian("build", "-q", "-", stdin=f"FROM {IMAGE}\nRUN true > /x\n"))
    assert out_digest.startswith("sha256:")
    write(context, f"FROM {IMAGE}\nCOPY leaf /\n")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as file:
        file.add(context, ".")
    done = subprocess.run(
        [*PROGRAM, "build", "-q", "-t", "piped", "-"],
        input=archive.getvalue(),
        env={**os.environ, "WARDIAN_ROOT": str(state)},
        capture_output=True,
        check=True,
    )
    assert done.stdout
    assert out(wardian("run", "--rm", "piped", "cat", "/leaf")) == "green\n"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("FROM {}\nCOPY nothing /\n", 'Dockerfile:2: "/nothing": not found'),
        ("FROM {}\nCOPY ../x /\n", "forbidden path outside the build context"),
        ("FROM {} AS a\nCOPY --from=b /x /\nFROM a AS b\n", "circular dependency"),
        ("FROM {}\nRUNN x\n", "unknown instruction: RUNN"),
        ("FROM {}\nRUN exit 3\n", 'Dockerfile:2: process "/bin/sh -c exit 3" did not complete'),
        ("FROM {}\nCOPY --form=x leaf /\n", "unknown flag: --form"),
        ("FROM {}\nCOPY leaf\n", "at least two arguments"),
        ("# check=error=true\nFROM {}\nCMD a\n", "found for rules: JSONArgsRecommended"),
        ("# check=skip=all;eror=1\nFROM {}\n", "Dockerfile:1: invalid check option 'eror=1'"),
        ("FROM {}\nSTOPSIGNAL SIGHUB\n", "Dockerfile:2: not a signal: 'SIGHUB'"),
        ("FROM wardian/none\n", "Dockerfile:1: no such image"),
        ("FROM {}\nENV x=${{y?}}\n", "is not allowed to be unset"),
    ],
)
def test_refusal_is_one_error_and_leaves_nothing(
    wardian: Wardian, context: Path, state: Path, text: str, part: str
) -> None:
    before = sorted(os.listdir(state / "layers"))
    write(context, text.format(IMAGE))
    file = (context / "Dockerfile").rename(context / "leaf.file")
    done = wardian("build", "--progress=quiet", "-f", str(file), "-t", "x", str(context))
    assert done.returncode == 1
    assert part.replace("Dockerfile", str(file)) in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(os.listdir(state / "layers")) == before
    assert out(wardian("ps", "-aq")) == ""
    refused_done: Done = wardian("history", "x")
    refused(refused_done, 1)


def test_files_keep_their_owners_for_whom_the_host_may_not_look(
    wardian: Wardian, state: Path, context: Path
) -> None:
    if os.geteuid() != 0 and not foreign.has_own_ids():
        pytest.skip("only who has subordinate ids keeps owners; add some to /etc/subuid")
    text = f"FROM {IMAGE}\nRUN mkdir -m 700 /app && chown 5:6 /app\nUSER 5:6\nRUN echo x > /app/x\n"
    built(wardian, "-t", "made", write(context, text))
    said = out(wardian("run", "--rm", "made", "stat", "-c", "%u:%g %a", "/app", "/app/x"))
    assert said == "5:6 700\n5:6 644\n"
    assert "app/x" in out(wardian("image", "diff", IMAGE, "made"))
    upper, *lowers = ImageStore(state).get("made").layer_directories
    assert content.read("lower 2", upper, "app/x").content.text == "x\n"
    found = of_layer([upper, *lowers], f"lower {len(lowers)}", "app")
    assert [row.path for row in found.rows] == ["/app/x"]
    out(wardian("system", "check"))
    out(wardian("rmi", "made"))
    wardian("system", "prune", "--all", "--force")
    assert os.listdir(state / "layers") == []


def test_path_is_there_to_be_added_to(wardian: Wardian, context: Path) -> None:
    (context / "tree.tar").write_bytes(archive(("leaf", b"green")))
    out(wardian("import", str(context / "tree.tar"), "pathless"))
    built(wardian, "-t", "made", write(context, "FROM pathless\nENV PATH=/own:$PATH\n"))
    (image,) = json.loads(out(wardian("image", "inspect", "made")))
    assert image["Config"]["Env"] == [f"PATH=/own:{DEFAULT_PATH}"]


CACHE = "RUN --mount=type=cache,target=/c"
UNTIL = "until [ -e /c/{} ]; do sleep 0.01; done"


def test_stages_that_need_not_each_other_are_built_at_once(wardian: Wardian, context: Path) -> None:
    path = write(
        context,
        f"FROM {IMAGE} AS a\n{CACHE} touch /c/a; {UNTIL.format('b')}; echo a > /a\n"
        f"FROM {IMAGE} AS b\n{CACHE} touch /c/b; {UNTIL.format('a')}; echo b > /b\n"
        f"FROM {IMAGE}\nCOPY --from=a /a /\nCOPY --from=b /b /\n",
    )
    done = wardian("build", "--jobs=2", "-t", "both", path)
    assert done.returncode == 0, done.stderr
    assert out(wardian("run", "--rm", "both", "cat", "/a", "/b")) == "a\nb\n"
    # A step that was broken off is named again where it goes on.
    assert "[a 2/2] RUN" in done.stderr
    assert "[b 2/2] RUN" in done.stderr
    assert " ...\n" in done.stderr


def test_command_that_finds_no_network_is_told_how_to_get_one(
    wardian: Wardian, context: Path
) -> None:
    path = write(context, f"FROM {IMAGE}\nRUN wget -q http://example.org/\n")
    done = wardian("build", "--progress=quiet", path)
    assert done.returncode == 1
    assert "hint: RUN has loopback only with --network=none; leave that out" in done.stderr


def test_run_goes_on_without_a_network_where_none_can_be_made_and_says_why(
    wardian: Wardian, context: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (state / "switch.sock").mkdir()  # so that no switch starts
    monkeypatch.setenv("WARDIAN_BUILD_NETWORK", "default")
    path = write(context, f"FROM {IMAGE}\nRUN ls /sys/class/net\nRUN wget -q http://example.org\n")
    done = wardian("build", "--progress=plain", path)
    assert done.returncode == 1
    # Said once, and once more as the remedy of the RUN that fails.
    assert done.stderr.count("RUN has loopback only: the switch does not start") == 1 + 1
    assert "--network=host gives it the host's network" in done.stderr


def test_error_in_one_stage_ends_the_others(wardian: Wardian, context: Path) -> None:
    path = write(
        context,
        f"FROM {IMAGE} AS a\n{CACHE} touch /c/e; sleep 1000\n"
        f"FROM {IMAGE} AS b\n{CACHE} {UNTIL.format('e')}; exit 3\n"
        f"FROM {IMAGE}\nCOPY --from=a / /\nCOPY --from=b / /\n",
    )
    done = wardian("build", "--jobs=2", "--progress=quiet", path)
    assert done.returncode == 1
    assert "did not complete successfully: exit code: 3" in done.stderr
    assert "stopped" not in done.stderr
    assert out(wardian("ps", "-aq")) == ""


def layers(wardian: Wardian, name: str) -> list[str]:
    [described] = json.loads(out(wardian("image", "inspect", name)))
    return [str(layer) for layer in described["RootFS"]["Layers"]]


def test_linked_layer_is_independent_of_what_is_below(wardian: Wardian, context: Path) -> None:
    text = (
        f"FROM {IMAGE}\nRUN {{}}\nCOPY --link --chmod=640 leaf /etc/x/leaf\nRUN cat /etc/x/leaf\n"
    )
    built(wardian, "-t", "one", write(context, text.format("true > /a")))
    path = write(context, text.format("ln -s /root /etc/x"))
    steps = done_steps(built(wardian, "-t", "two", path))
    assert [step.get("cached", False) for step in steps] == [True, False, True, False]
    one, two = layers(wardian, "one"), layers(wardian, "two")
    assert (one[2], one[1] == two[1]) == (two[2], False)
    # The link that was below is replaced, not followed; nothing else of /etc is.
    command = "stat -c '%F %a' /etc/x /etc/x/leaf; ls /root; test -e /etc/passwd && echo kept"
    said = out(wardian("run", "--rm", "two", "sh", "-c", command))
    assert said.splitlines() == ["directory 755", "regular file 640", "kept"]


def test_copy_of_what_came_out_the_same_of_another_stage_is_cached(
    wardian: Wardian, context: Path
) -> None:
    text = (
        f"FROM {IMAGE} AS make\nRUN echo same > /o; echo {{}} > /other\n"
        f"FROM {IMAGE}\nCOPY --from=make /o /o\nRUN cat /o\n"
    )
    built(wardian, write(context, text.format("a")))
    for _ in range(2):  # by the files, and then by the stage that is known by now
        steps = done_steps(built(wardian, "--jobs=1", write(context, text.format("b"))))
        assert [step.get("cached", False) for step in steps[2:]] == [True, True, True]


def test_here_document_counts_with_its_variables(wardian: Wardian, context: Path) -> None:
    path = write(context, f"FROM {IMAGE}\nARG who=you\nCOPY <<A /a\nhello $who\nA\n")
    built(wardian, "-t", "who", path)
    built(wardian, "-t", "who", "--build-arg", "who=me", path)
    assert out(wardian("run", "--rm", "who", "cat", "/a")) == "hello me\n"


def test_stage_of_several_layers_can_be_mounted(wardian: Wardian, context: Path) -> None:
    path = write(
        context,
        f"FROM {IMAGE} AS make\nRUN mkdir -p /o/d; echo a > /o/a; echo b > /o/d/b\nRUN rm /o/a\n"
        f"FROM {IMAGE}\nRUN --mount=from=make,source=/o,target=/m find /m | sort; ! touch /m/x\n"
        "RUN --mount=from=make,source=/o/d/b,target=/b cat /b\n",
    )
    text = "".join(str(event["text"]) for event in built(wardian, path) if "text" in event)
    assert text.splitlines()[:3] == ["/m", "/m/d", "/m/d/b"]
    assert text.splitlines()[-1] == "b"


def test_copy_of_a_whole_stage_replaces_what_the_runtime_mounts(
    wardian: Wardian, state: Path, context: Path
) -> None:
    path = write(
        context,
        f"FROM {IMAGE} AS make\nRUN mkdir -p /etc\nCOPY leaf /etc/hostname\n"
        "FROM scratch\nCOPY --from=make / /\n",
    )
    built(wardian, "-t", "flat", path)
    [layer] = ImageStore(state).get("flat").layer_directories
    assert (layer / "etc/hostname").read_text() == "green\n"
    assert not (layer / "proc/self").exists()


ODDITIES = """\
import array, os, socket
os.chdir("/odd")
open("plain", "w").write("x")
os.link("plain", "other")
for name, mode in (("set-id", 0o6755), ("closed", 0)):
    open(name, "w").close()
    os.chmod(name, mode)
os.mkdir("shared")
os.chmod("shared", 0o3777)
os.chown("shared", 7, 8)
os.symlink("nowhere", "link")
os.chown("link", 9, 9, follow_symlinks=False)
os.mkfifo("pipe")
os.mkdir("with-socket")
socket.socket(socket.AF_UNIX).bind("with-socket/gone")
os.utime("with-socket", (5, 5))
os.setxattr("plain", "user.colour", b"green")
net_raw = "0100000200200000" + "00" * 12  # struct vfs_cap_data, linux/capability.h
os.setxattr("set-id", "security.capability", bytes.fromhex(net_raw))
os.utime("link", (7, 7), follow_symlinks=False)
"""


def test_layer_in_place_is_what_its_archive_holds(wardian: Wardian, context: Path) -> None:
    """`system check` unpacks each archive once more and compares."""
    (context / "odd.py").write_text(ODDITIES)
    path = write(
        context,
        "FROM wardian/base\nRUN mkdir -p /odd /old/sub && touch /old/sub/file\nCOPY odd.py /\n"
        "RUN python3 /odd.py && rm -r /old && mkdir /old && touch /old/new && rm /etc/profile\n"
        "RUN (sleep 1000 &) ; echo left running > /odd/late\n",
    )
    built(wardian, "-t", "odd", path)
    done = wardian("system", "check")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    command = "cd /odd; stat -c '%n %a %u:%g %h' *; getcap set-id; ls /old; test -e /etc/profile"
    said = out(wardian("run", "--rm", "odd", "sh", "-c", f"{command} || echo gone")).splitlines()
    assert {"plain 644 0:0 2", "set-id 6755 0:0 1", "shared 3777 7:8 2", "link 777 9:9 1"} <= {
        *said
    }
    assert "new" in said
    assert said[-1] == "gone"
    assert "gone" not in out(wardian("run", "--rm", "odd", "ls", "/odd/with-socket"))
    assert out(wardian("run", "--rm", "odd", "stat", "-c", "%Y", "/odd/with-socket")) == "5\n"
