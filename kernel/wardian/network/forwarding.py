"""Forwarding between the host's links: on while there are networks, then as it was before."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from wardian.errors import SetupError

_SWITCHES = {
    4: Path("/proc/sys/net/ipv4/ip_forward"),
    6: Path("/proc/sys/net/ipv6/conf/all/forwarding"),
}


def may_forward() -> bool:
    """Whether IPv4 is forwarded here, or we can switch that on: a pod's /proc/sys is read-only."""
    switch = _SWITCHES[4]
    try:
        return switch.read_text().strip() != "0" or os.access(switch, os.W_OK, effective_ids=True)
    except OSError:
        return False


class Forwarding:
    """The host's two sysctls (ip-sysctl.rst); what they were is kept on disk, for a successor."""

    def __init__(self, root: Path) -> None:
        self._file = root / "forwarding.json"

    def enable(self, version: int) -> None:
        """Switch forwarding of an IP version on. Raises SetupError."""
        switch = _SWITCHES[version]
        try:
            if switch.read_text().strip() != "0":
                return
            before = self._before()
            before[str(version)] = "0"
            self._file.write_text(json.dumps(before))
            switch.write_text("1")
        except OSError as error:
            raise SetupError(
                f"cannot switch on forwarding: {switch}: {error.strerror}",
                hint=f"as root: sysctl -w {'.'.join(switch.parts[3:])}=1",
            ) from error

    def restore(self, *, is_needed: bool) -> None:
        """Put back what we changed, unless somebody else needs it now."""
        for version, value in self._before().items():
            if not is_needed and int(version) in _SWITCHES:
                with suppress(OSError):
                    _SWITCHES[int(version)].write_text(value)
        self._file.unlink(missing_ok=True)

    def _before(self) -> dict[str, str]:
        with suppress(OSError, ValueError):
            return dict(json.loads(self._file.read_text()))
        return {}
