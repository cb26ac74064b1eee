"""What ``wardian build`` warns of, by the real program."""

from __future__ import annotations

import json
from pathlib import Path

from tests.archives import archive
from tests.linux.program import IMAGE, Done, Wardian, out, refused
from tests.linux.test_build import Events, built, context, write
from wardian.images.platform import host_platform, show

__all__ = ["context"]


def test_warnings_are_buildkits(wardian: Wardian, context: Path) -> None:
    path = write(
        context,
        f"ARG tag\nFROM --platform=$TARGETPLATFORM {IMAGE} as One\nMAINTAINER me\nENV a b\n"
        "ARG api_key\nrun echo $nothing\nCMD a\nCMD b\nWORKDIR x\nLABEL x=$PTAH$api_key\n"
        f"EXPOSE 80/TCP 127.0.0.1:1:81\nFROM --platform=linux/amd64 {IMAGE}${{tga}}\n"
        'SHELL ["/bin/sh", "-c"]\nCMD not warned of\nFROM One\n',
    )
    arguments = [f"--build-arg={name}=x" for name in ("api_key", "NO_PROXY", "lost", "TARGETARCH")]
    events = built(wardian, *arguments, path)
    texts = [event["text"] for event in events if event["kind"] == "warning"]
    assert "One or more build-args [lost] were not consumed" in texts
    assert "Usage of undefined variable '$PTAH' (did you mean $PATH?)" in texts
    assert "FROM argument 'tga' is not declared (did you mean tag?)" in texts
    assert len([text for text in texts if str(text).startswith(("JSON", "Usage"))]) == 3
    assert {event["why"] for event in events if event["kind"] == "warning"} == {
        "ConsistentInstructionCasing",
        "ExposeInvalidFormat",
        "ExposeProtoCasing",
        "FromAsCasing",
        "FromPlatformFlagConstDisallowed",
        "JSONArgsRecommended",
        "LegacyKeyValueFormat",
        "MaintainerDeprecated",
        "MultipleInstructionsDisallowed",
        "RedundantTargetPlatform",
        "SecretsUsedInArgOrEnv",
        "StageNameCasing",
        "UndefinedArgInFrom",
        "UndefinedVar",
        "UnusedBuildArgs",
        "WorkdirRelativePath",
    }


def told(done: Done) -> Events:
    events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    return [event for event in events if event["kind"] == "warning"]


def test_rules_of_context_and_base_and_experimental_ones(wardian: Wardian, context: Path) -> None:
    here, pulled = show(host_platform()), "Base image foreign was pulled with platform"
    (context / "tree.tar").write_bytes(archive(("leaf", b"green")))
    out(wardian("import", "--platform=linux/s390x", str(context / "tree.tar"), "foreign"))
    text = (
        f"{{}}ARG none\n# what comes\nARG tag={IMAGE}\nFROM foreign AS one\nENV PUBLIC_KEY=1\n"
        "FROM $none AS two\nFROM $tag\nCOPY --from=one leaf /\nCOPY leaf* lost* /\n"
    )
    (context / ".dockerignore").write_text("lost*\n")
    built(wardian, write(context, text.format("")))
    directive = "# check=experimental=all\n"
    warnings = told(wardian("build", "--progress=rawjson", write(context, text.format(directive))))
    assert {event["why"]: (event["line"], event["text"]) for event in warnings} == {
        "InvalidDefinitionDescription": (
            4,
            "Comment for ARG should follow the format: `# tag <description>`",
        ),
        "InvalidDefaultArgInFrom": (
            7,
            "Default value for ARG $none results in empty or invalid base image name",
        ),
        "InvalidBaseImagePlatform": (
            5,
            f'{pulled} "linux/s390x", expected "{here}" for current build',
        ),
        "CopyIgnoredFile": (
            10,
            'Attempting to Copy file "lost*" that is excluded by .dockerignore',
        ),
    }


def test_what_is_warned_of_late_ends_the_build_where_warnings_are_errors(
    wardian: Wardian, context: Path
) -> None:
    path = write(context, f"# check=error=true\nFROM {IMAGE}\nLABEL a=$nothing\n")
    done = wardian("build", "--progress=rawjson", "-t", "made", path)
    assert done.returncode == 1
    assert [event["why"] for event in told(done)] == ["UndefinedVar"]
    assert "Dockerfile:3: lint violation found for rules: UndefinedVar" in done.stderr
    refused(wardian("image", "inspect", "made"), 1)
