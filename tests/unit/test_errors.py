"""Errors that cross a socket."""

from __future__ import annotations

from wardian.errors import CommandFailed, NotFound, ProtocolError, SetupError, WardianError, revived


def test_an_error_that_crossed_a_socket_is_what_it_was() -> None:
    again = revived("NotFound", "no such fern", "water it")
    assert type(again) is NotFound
    assert (again.what, again.hint) == ("no such fern", "water it")
    failed = revived("CommandFailed", "no such program", exit_code=127)
    assert isinstance(failed, CommandFailed)
    assert failed.exit_code == 127


def test_an_error_of_the_kernel_s_is_a_setup_error_elsewhere() -> None:
    assert type(revived("KernelRefused", "mount: no")) is SetupError


def test_a_name_of_no_error_makes_none_that_was_not_meant() -> None:
    assert type(revived("Fern", "who?")) is WardianError
    for name in ("os", "annotations", "revived", "__builtins__"):
        assert type(revived(name, "who?")) is ProtocolError
