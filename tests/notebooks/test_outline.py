"""Every line of the lecture's outline is taught: where, and by which words."""

from __future__ import annotations

from pathlib import Path

import msgspec
import nbformat
import pytest

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


class Line(msgspec.Struct, frozen=True):
    """What the lecture says, the lesson that shows it, and what stands there in both languages.

    The words are names and commands, which are not translated, or one of each language.
    """

    lecture: str
    lesson: str
    words: tuple[str | tuple[str, str], ...]


OUTLINE = (
    Line("a container is a standard box, and closed", "00", (("of a ship", "배에 싣는"),)),
    Line("the standard box, once more", "01", (("*standardised*", "규격"), ("*closed*", "격리"))),
    Line("five advantages", "01", (("reuse", "재사용"), ("light virt", "가벼운"), "CaaS")),
    Line("works in A, not in B", "01", (("Works on A, fails on B", "A에서는"),)),
    Line("a document, followed step by step", "01", (("step by step", "단계"),)),
    Line("images made beforehand", "01", (("Norton Ghost", "노턴 고스트"), "AMI", "docker commit")),
    Line("run it, change it, save it again", "01", ("shop:snapshot-2", ("hard to", "어렵"))),
    Line("images as code", "01", ("Ansible", "SaltStack", "Chef", "CloudFormation")),
    Line("Dockerfile, image, registry, container", "01", (("**registry**", "저장소"),)),
    Line("virtualisation by Linux, in five", "00", (("**storage**", "**스토리지**"), "**cgroup")),
    Line("two containers of one image", "02", ("%container new second",)),
    Line("ordinary processes of the host", "02", (("ordinary process", "평범한 프로세스"),)),
    Line("each is PID 1 inside", "02", ("NSpid", ("number 1", "1번"))),
    Line("they cannot see each other", "02", (("cannot be named", "이름"),)),
    Line("the parent sees all", "02", (("it sees all", "모두"),)),
    Line("the parent's death", "02", (("parent's death", "부모의 죽음"), ("orphan", "고아"))),
    Line("systemd, dockerd, containerd, shim", "02", ("systemd", "dockerd", "containerd-shim")),
    Line("a file system of one's own", "03", ("pivot_root", ("Two roots", "루트가 둘"))),
    Line("the Dockerfile makes it", "05", ("COPY . /app", ("layer", "레이어"))),
    Line("read-only layers, one an instruction", "05", (("read-only", "읽기 전용"),)),
    Line("a thin writable layer takes all changes", "04", (("writable layer", "쓰기 레이어"),)),
    Line("new, changed, deleted", "04", ("%diff", ("whiteout", "화이트아웃"))),
    Line("a union file system", "04", (("union file system", "유니언 파일 시스템"),)),
    Line("the lecture's Dockerfile", "05", ("RUN make /app", "CMD python /app/app.py")),
    Line("joining by &&", "05", ("&&", "three-steps")),
    Line("base images", "05", ("ubuntu", "centos", "alpine", ("base image", "베이스 이미지"))),
    Line("docker inspect and the directories", "04", ("docker inspect", "LowerDir", "UpperDir")),
    Line("the other two", "04", ("MergedDir", "WorkDir")),
    Line("a captured worker shows all", "04", (("captured", "탈취"),)),
    Line("netshoot", "08", ("netshoot",)),
    Line("removal removes the files", "06", (("is lost", "lost"), ("deleted", "지워"))),
    Line("volumes, and where they lie", "06", ("VOLUME /data", "/var/lib/docker/volumes")),
    Line("interfaces, addresses, routes, ports", "07", (("routes", "라우트"), ("ports", "포트"))),
    Line("lo, eth0, docker0 and pairs", "07", ("`lo`", "`eth0`", "`docker0`", "veth-red@if12")),
    Line("the host's routes lead in", "07", ("ip route", ("gateway", "게이트웨이"))),
    Line("port forwarding by iptables", "08", ("iptables -t nat -S", "DNAT")),
    Line("traffic from inside gets out", "08", ("MASQUERADE", ("comes out", "외부로"))),
    Line(
        "a virtual machine has its own kernel", "11", (("virtual machine", "가상 머신"), "boot_id")
    ),
    Line("CentOS on an Ubuntu host", "12", ("CentOS", "Ubuntu")),
    Line("the kernel, not the distribution", "12", (("distribution", "배포판"), "kernels:")),
    Line("code, dependencies, runtime as a unit", "12", (("as one unit", "하나의 단위"),)),
    Line("works here, fails in production", "12", (("in production", "프로덕션"),)),
    Line(
        "AUFS, on Ubuntu, before 18.06", "13", ("AUFS", "18.06", "overlay2", ("Ubuntu", "우분투"))
    ),
    Line("overlay2 where it is supported", "13", (("supports overlay2", "overlay2를 지원하는"),)),
    Line("physical servers waste", "11", (("*physical* servers", "*물리* 서버"),)),
    Line("containers share, within limits", "11", ("--memory 256m --cpus 0.5",)),
    Line("limits by cgroups", "09", ("%limits", ("Control groups", "컨트롤 그룹"))),
    Line("everybody reads the Dockerfile", "01", (("everybody can read", "누구나"),)),
    Line("CaaS and the community", "01", ("CaaS", ("community", "커뮤니티"))),
    Line("scaling out under load", "16", (("under load", "부하"), "scale()")),
    Line("orchestration", "16", ("ECS", "EKS", "OpenShift")),
    Line("compute", "16", ("EC2", "Fargate")),
    Line("registry", "14", ("ECR", "get-authorization-token")),
)


@pytest.mark.parametrize("line", OUTLINE, ids=lambda line: line.lecture)
def test_the_lecture_s_line_is_taught(line: Line) -> None:
    for place, language in enumerate(("en", "ko")):
        (path,) = (NOTEBOOKS / language).glob(f"{line.lesson}-*.ipynb")
        text = "\n".join(cell.source for cell in nbformat.read(path, 4).cells)
        for words in line.words:
            wanted = words if isinstance(words, str) else words[place]
            assert wanted.lower() in text.lower(), (path.name, wanted)
