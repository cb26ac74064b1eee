"""Every reply has the shape that Jupyter's message specification wants (`page` checks each)."""

from __future__ import annotations

import pytest

from tests.kernel.page import Page


@pytest.fixture(params=["wardian-python", "wardian-shell"], scope="module")
def any_page(request: pytest.FixtureRequest) -> Page:
    name = "page" if request.param == "wardian-python" else "shell_page"
    page: Page = request.getfixturevalue(name)
    return page


def test_kernel_info_promises_only_what_works(any_page: Page) -> None:
    info = any_page.ask("kernel_info_request", {})
    assert info["implementation"] == "wardian"
    assert info["protocol_version"] == "5.5"
    assert "kernel subshells" not in info["supported_features"]


def test_connect_reply_names_the_ports(any_page: Page) -> None:
    reply = any_page.ask("connect_request", {})
    info = any_page.manager.get_connection_info()
    assert reply["shell_port"] == info["shell_port"]
    assert reply["iopub_port"] == info["iopub_port"]


def test_status_is_busy_then_idle_around_every_request(any_page: Page) -> None:
    for kind, content in [
        ("kernel_info_request", {}),
        ("comm_info_request", {}),
        ("complete_request", {"code": "", "cursor_pos": 0}),
        ("is_complete_request", {"code": "1"}),
        ("history_request", {"hist_access_type": "tail", "n": 1, "raw": True, "output": False}),
    ]:
        message = any_page.client.session.msg(kind, content)
        any_page.client.shell_channel.send(message)
        outcome = any_page.wait(message["header"]["msg_id"])
        states = [one["execution_state"] for one in outcome.of("status")]
        assert states == ["busy", "idle"], kind


def test_unknown_request_is_survived(any_page: Page) -> None:
    message = any_page.client.session.msg("nonsense_request", {})
    any_page.client.shell_channel.send(message)
    assert any_page.iopub("status", parent=message["header"]["msg_id"])
    assert any_page.ask("kernel_info_request", {})["status"] == "ok"


def test_request_whose_type_is_no_word_is_survived(any_page: Page) -> None:
    message = any_page.client.session.msg("kernel_info_request", {})
    message["header"]["msg_type"] = ["no", "word"]
    any_page.client.shell_channel.send(message)
    assert any_page.ask("kernel_info_request", {})["status"] == "ok"


def test_message_with_a_wrong_signature_is_dropped(any_page: Page) -> None:
    session = any_page.client.session.clone()
    session.key = b"not the key"
    forged = session.msg("execute_request", {"code": "print('forged')"})
    session.send(any_page.client.shell_channel.socket, forged)
    assert all(
        message["parent_header"].get("msg_id") != forged["header"]["msg_id"]
        for message in any_page.drain()
    )
    assert any_page.ask("kernel_info_request", {})["status"] == "ok"


def test_reply_carries_when_it_started_and_how_it_ended(any_page: Page) -> None:
    metadata = any_page.run("cd .").reply["metadata"]
    assert metadata["started"]
    assert metadata["status"] in ("ok", "error")


def test_interrupt_reply_comes_also_when_nothing_runs(any_page: Page) -> None:
    assert any_page.control("interrupt_request") == {"status": "ok"}


def test_kernel_info_is_answered_on_the_control_channel(any_page: Page) -> None:
    assert any_page.control("kernel_info_request")["status"] == "ok"


def test_empty_cell_is_ok(any_page: Page) -> None:
    assert any_page.run("").status == "ok"
    assert any_page.run("  \n ").status == "ok"
