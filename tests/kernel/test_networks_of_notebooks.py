"""Networks, ports and capabilities of a notebook's containers, by the real kernel."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import pytest

from tests.kernel.page import Page
from tests.linux.conftest import wait_until

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="bridge networks need root; run as root"),
    pytest.mark.xdist_group("networks"),  # who looks at the host's links wants no other's there
]

SERVER = """\
%%python --on shed
import http.server, threading
server = http.server.ThreadingHTTPServer(("0.0.0.0", 80), http.server.SimpleHTTPRequestHandler)
threading.Thread(target=server.serve_forever, daemon=True).start()
"""


def wardian(*words: str) -> str:
    """What the command prints, in the state root of the tests."""
    command = [sys.executable, "-m", "wardian.cli", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def garden(page: Page) -> Iterator[Page]:
    """A network with a container of the notebook in it, which is published."""
    wardian("network", "create", "--subnet", "10.213.9.0/24", "garden")
    page.run("%container new shed --network garden --ip 10.213.9.2 -p 10.213.9.1:8076:80")
    yield page
    page.run("%container rm shed")
    wardian("network", "rm", "garden")


def test_container_has_its_address_name_and_published_port(garden: Page) -> None:
    garden.run(SERVER)

    def answers() -> bool:
        with urllib.request.urlopen("http://10.213.9.1:8076/", timeout=60) as page:
            return bool(page.status == 200)

    wait_until(answers)
    garden.run("%container new bed --network garden")
    try:
        ask = "%%python --on bed\nimport urllib.request as u; u.urlopen('http://shed/').status"
        assert garden.run(ask).result == "200"
    finally:
        garden.run("%container rm bed")


def test_net_names_both_ends_of_the_pair_and_no_notebook(garden: Page) -> None:
    text = garden.run("%net --text").text()
    assert text == garden.run("%net --text").text()
    assert "↔ shed eth0" in text
    assert "↔ host veth-shed" in text
    assert "10.213.9.1:8076  80/tcp" in text
    rule = next(line for line in text.splitlines() if "dnat" in line)
    assert rule.split("  ")[-1].strip() == (
        "ip daddr 10.213.9.1 tcp dport 8076 counter dnat ip to 10.213.9.2:80"
    )
    assert "fe80:" not in text


def test_what_cannot_be_given_is_refused(page: Page) -> None:
    no_network = page.run("%container new lone --ip 10.213.9.3")
    assert no_network.error == ("InvalidInput", "--ip needs a network")
    nowhere = page.run("%container new lone --network nowhere")
    assert nowhere.error is not None
    assert "no such network: nowhere" in nowhere.error[1]
    assert page.run("%container new lone --cap-add FLY").status == "error"
    in_metadata = page.run("1", metadata={"wardian": {"cap_add": ["ALL"]}})
    assert in_metadata.error is not None
    assert in_metadata.error[1].startswith("unknown setting in the metadata: cap_add")


def test_capability_is_given_to_one_container_alone(page: Page) -> None:
    cell = "%%sh --on {}\nip link add name one type veth peer name two && echo made"
    page.run("%container new bench --cap-add NET_ADMIN")
    try:
        assert page.run(cell.format("bench")).text() == "made\n"
        assert page.run(cell.format("main")).status == "error"
    finally:
        page.run("%container rm bench")
