"""For every test: in CI a skip is a failure unless its reason is one of the accepted ones."""

from __future__ import annotations

import gc
import os
import re
import signal
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.reports import FIRST_TRY

pytest_plugins = ["tests.vm.guest"]
ACCEPTED_SKIPS = Path(__file__).with_name("accepted-skips.txt")
MOST_SECOND_TRIES = 3
IS_CI = os.environ.get("CI") == "true"
AS_A_USER = "tests/user/test_as_an_ordinary_user.py"


def accepted_reasons(text: str) -> list[re.Pattern[str]]:
    """One regular expression per line; ``#`` lines and empty ones are remarks."""
    lines = (line.strip() for line in text.splitlines())
    return [re.compile(line) for line in lines if line and not line.startswith("#")]


def reason_of(report: pytest.TestReport | pytest.CollectReport) -> str:
    """What the test said when it skipped."""
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return str(report.longrepr)


def fail_unless_accepted(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip without an accepted reason into a failure."""
    if not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = reason_of(report)
    if any(one.search(reason) for one in accepted_reasons(ACCEPTED_SKIPS.read_text())):
        return
    report.outcome = "failed"
    report.longrepr = f"skipped in CI, which is to run everything: {reason}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where workers share the tests, a file's stay together: what is dear to make is made once."""
    if not config.pluginmanager.hasplugin("xdist"):
        return
    # The longest that stays together comes first: at the end one worker would wait for it.
    items.sort(key=lambda item: item.location[0] != AS_A_USER)
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.location[0]))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: Sequence[str]) -> None:
    """Refuse to go on where groups are asked for and not made: nothing else would tell."""
    if node.config.option.dist == "loadgroup" and not all("@" in node_id for node_id in ids):
        raise pytest.UsageError("pytest-xdist makes no groups under this pytest; install < 9.2")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run in which more than a few tests needed a second try: that is no chance."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and len(second_tries(reporter)) > MOST_SECOND_TRIES:
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the tests that needed a second try: each is to be mended, or what it tests is."""
    again = second_tries(terminalreporter)
    if again:
        terminalreporter.section("needed a second try")
    for node_id, report in again.items():
        terminalreporter.line(f"AGAIN {node_id}")
        terminalreporter.line(report.longreprtext)
    if len(again) > MOST_SECOND_TRIES:
        terminalreporter.line(f"more than {MOST_SECOND_TRIES}: this run fails", red=True)


def second_tries(reporter: pytest.TerminalReporter) -> dict[str, pytest.TestReport]:
    """The tests that failed and were tried again, with how they failed (pytest-rerunfailures)."""
    return {report.nodeid: report for report in reporter.stats.get("rerun", [])}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI, judge a skip. Keep how a first try failed: the junit report tells of the second."""
    report = yield
    if IS_CI:
        fail_unless_accepted(report)
    if report.failed and getattr(item, "execution_count", 0) == 1:
        item.user_properties.append((FIRST_TRY, report.longreprtext))
    return report


def pytest_collection_finish(session: pytest.Session) -> None:
    """What was collected stays: no look for garbage need go through ten thousand tests again."""
    del session
    gc.collect()
    gc.freeze()


def pytest_configure(config: pytest.Config) -> None:
    """Make no test fail for how and where pytest was started.

    Who starts it in a shell's background makes it ignore SIGINT, and all that it starts. How long
    one of Hypothesis' examples takes is the machine's affair, which other tests keep busy.
    """
    if config.pluginmanager.hasplugin("hypothesispytest"):
        from hypothesis import settings

        settings.register_profile("wardian", deadline=None)
        settings.load_profile("wardian")
    # A network for each RUN is a third of a second of processor time: one test asks for it.
    os.environ.setdefault("WARDIAN_BUILD_NETWORK", "none")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


if IS_CI:

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        collector: pytest.Collector,
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Judge the skip of a whole module."""
        del collector
        report = yield
        fail_unless_accepted(report)
        return report
