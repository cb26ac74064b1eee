"""Widgets and other comms: the user's in the container, ours on the host, one page for both."""

from __future__ import annotations

import uuid
from typing import Any

from tests.kernel.page import Outcome, Page

WIDGET = "jupyter.widget"
SLIDER = "import ipywidgets\nslider = ipywidgets.IntSlider(3)\nseen = []\n"
WATCHED = SLIDER + "slider.observe(lambda change: seen.append(change['new']), 'value')"


def _slider_id(outcome: Outcome) -> str:
    (found,) = [
        str(one["comm_id"])
        for one in outcome.of("comm_open")
        if one["data"]["state"].get("_model_name") == "IntSliderModel"
    ]
    return found


def _set(page: Page, comm_id: str, value: int) -> str:
    data = {"method": "update", "state": {"value": value}, "buffer_paths": []}
    return page.comm("comm_msg", comm_id, data)


def _wait_idle(page: Page, sent: str) -> None:
    while page.iopub("status", parent=sent)["content"]["execution_state"] != "idle":
        pass


def test_widget_of_the_container_follows_the_page(page: Page) -> None:
    comm_id = _slider_id(page.run(WATCHED))
    _wait_idle(page, _set(page, comm_id, 77))
    assert page.run("slider.value, seen").result == "(77, [77])"


def test_change_in_the_container_reaches_the_page(page: Page) -> None:
    comm_id = _slider_id(page.run(SLIDER))
    outcome = page.run("slider.value = 5")
    (update,) = outcome.of("comm_msg")
    assert update["comm_id"] == comm_id
    assert update["data"]["state"] == {"value": 5}


def test_binary_buffers_pass_both_ways(page: Page) -> None:
    outcome = page.run(
        "import ipywidgets, traitlets\n"
        "class Holder(ipywidgets.Widget):\n"
        "    blob = traitlets.Bytes(b'abc').tag(sync=True, from_json=lambda it, _: bytes(it))\n"
        "holder = Holder()"
    )
    opened = next(one for one in outcome.messages if one["msg_type"] == "comm_open")
    assert [bytes(buffer) for buffer in opened["buffers"]] == [b"abc"]
    message = page.client.session.msg(
        "comm_msg",
        {
            "comm_id": opened["content"]["comm_id"],
            "data": {"method": "update", "state": {}, "buffer_paths": [["blob"]]},
        },
    )
    page.client.session.send(page.client.shell_channel.socket, message, buffers=[b"xyz"])
    _wait_idle(page, message["header"]["msg_id"])
    assert page.run("bytes(holder.blob)").result == "b'xyz'"


def test_output_of_a_callback_belongs_to_the_comm_message(page: Page) -> None:
    comm_id = _slider_id(
        page.run(SLIDER + "slider.observe(lambda change: print('moved'), 'value')")
    )
    sent = _set(page, comm_id, 9)
    assert page.iopub("stream", parent=sent)["content"]["text"] == "moved\n"


def test_output_widget_of_the_container_captures(page: Page) -> None:
    outcome = page.run(
        "import ipywidgets\nbox = ipywidgets.Output()\nwith box: print('inside')\nbox"
    )
    ids = [one["data"]["state"].get("msg_id") for one in outcome.of("comm_msg")]
    assert ids[0] == outcome.reply["parent_header"]["msg_id"]
    assert ids[-1] == ""


def test_comm_without_widgets_can_be_opened_by_the_page(page: Page) -> None:
    page.run(
        "from comm import get_comm_manager\n"
        "def echo(comm, message):\n"
        "    comm.on_msg(lambda message: comm.send({'back': message['content']['data']}))\n"
        "get_comm_manager().register_target('echo', echo)"
    )
    comm_id = uuid.uuid4().hex
    page.comm("comm_open", comm_id, {}, target_name="echo")
    page.comm("comm_msg", comm_id, {"a": 1})
    answer = page.iopub("comm_msg")["content"]
    assert answer["comm_id"] == comm_id
    assert answer["data"] == {"back": {"a": 1}}


def test_host_widget_follows_the_page_while_a_cell_runs(page: Page) -> None:
    comm_id = _slider_id(page.run("%%host\n" + WATCHED))
    sent = page.send("print(1)\nimport time; time.sleep(60)")
    page.iopub("stream", parent=sent)
    for value in (11, 12, 13):
        _wait_idle(page, _set(page, comm_id, value))
    assert page.control("interrupt_request") == {"status": "ok"}
    page.wait(sent)
    assert page.run("%%host\nslider.value, seen").result == "(13, [11, 12, 13])"


def test_host_widget_updates_the_page_while_a_cell_runs(page: Page) -> None:
    page.run(
        "%%host\nimport ipywidgets, threading\nmeter = ipywidgets.IntProgress(max=1000)\n"
        "stop = threading.Event()\n"
        "def beat():\n"
        "    while not stop.wait(0.02): meter.value += 1\n"
        "threading.Thread(target=beat, daemon=True).start()"
    )
    sent = page.send("print(1)\nimport time; time.sleep(60)")
    page.iopub("stream", parent=sent)
    values = [page.iopub("comm_msg")["content"]["data"]["state"]["value"] for _ in range(10)]
    assert values == sorted(values)
    assert page.control("interrupt_request") == {"status": "ok"}
    page.wait(sent)
    page.run("%%host\nstop.set()")


def test_every_comm_message_of_an_async_cell_is_between_busy_and_idle(page: Page) -> None:
    comm_id = _slider_id(page.run("%%host\n" + WATCHED))
    sent = page.send("print(1)\nimport asyncio; await asyncio.sleep(60)")
    page.iopub("stream", parent=sent)
    moved = _set(page, comm_id, 21)
    states = [page.iopub("status", parent=moved)["content"]["execution_state"] for _ in range(2)]
    assert states == ["busy", "idle"]
    assert page.control("interrupt_request") == {"status": "ok"}
    page.wait(sent)


def test_comm_info_has_the_comms_of_both_sides(page: Page) -> None:
    guest = _slider_id(page.run(SLIDER))
    host = _slider_id(page.run("%%host\n" + SLIDER))
    comms = page.ask("comm_info_request", {"target_name": WIDGET})["comms"]
    assert comms[guest] == comms[host] == {"target_name": WIDGET}
    assert page.ask("comm_info_request", {"target_name": "nobody"})["comms"] == {}


def test_reloaded_page_gets_the_widgets_of_both_sides_in_one_answer(page: Page) -> None:
    guest = _slider_id(page.run(SLIDER + "slider.value = 31"))
    host = _slider_id(page.run("%%host\n" + SLIDER + "slider.value = 32"))
    states = _request_states(page)["data"]["states"]
    assert states[guest]["state"]["value"] == 31
    assert states[host]["state"]["value"] == 32


def _request_states(page: Page) -> dict[str, Any]:
    control = uuid.uuid4().hex
    message = page.client.session.msg(
        "comm_open",
        {"comm_id": control, "target_name": "jupyter.widget.control", "data": {}},
        metadata={"version": "1.0.0"},
    )
    page.client.shell_channel.send(message)
    page.comm("comm_msg", control, {"method": "request_states"})
    while True:
        content: dict[str, Any] = page.iopub("comm_msg")["content"]
        if content["comm_id"] == control:
            assert content["data"]["method"] == "update_states"
            page.comm("comm_close", control, {})
            return content


def test_container_cannot_take_over_a_comm_of_the_host(page: Page) -> None:
    host = _slider_id(page.run("%%host\n" + WATCHED))
    outcome = page.run(
        f"from comm import create_comm\nthief = create_comm('stolen', comm_id={host!r})\n"
        "thief.send({'method': 'update', 'state': {'value': 99}})\nthief.close()"
    )
    assert not [one for one in outcome.messages if one["msg_type"].startswith("comm_")]
    _wait_idle(page, _set(page, host, 5))
    assert page.run("%%host\nslider.value").result == "5"


def test_comm_message_to_nobody_is_survived(page: Page) -> None:
    _wait_idle(page, page.comm("comm_msg", "no-such-comm", {}))
    _wait_idle(page, page.comm("comm_close", "no-such-comm", {}))
    assert page.run("1").status == "ok"
