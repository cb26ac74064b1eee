"""Containers whose keeper, init or client is about to be killed."""

from __future__ import annotations

from tests.linux.conftest import busybox_layer, spec, state  # fixtures, for the tests here

__all__ = ["busybox_layer", "spec", "state"]
