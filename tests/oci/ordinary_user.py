"""The command line of an ordinary user, who may reach our interpreter though it lie in /root."""

from __future__ import annotations

import os
import sys
from pathlib import Path

UID = 1234
# Each place is mounted where it is, below a directory that everybody may pass through.
SCRIPT = """
set -e
kept=$(mktemp -d /tmp/wardian-user-XXXXXX)
trap 'rmdir "$kept"' EXIT
mount -t tmpfs none "$kept"
chmod 755 "$kept"
for place in $PLACES; do mkdir -p "$kept$place"; mount --rbind "$place" "$kept$place"; done
mount -t tmpfs -o mode=755 none /root
for place in $PLACES; do mkdir -p "$place"; mount --rbind "$kept$place" "$place"; done
umount -l "$kept"; rmdir "$kept"; trap - EXIT
exec setpriv --reuid UID --regid UID --clear-groups "$@"
""".replace("UID", str(UID))


def as_user(*command: str) -> list[str]:
    """The command as that user's, in a mount namespace of its own."""
    wanted = {sys.prefix, sys.base_prefix, str(Path(__file__).parents[2])}
    places = " ".join(sorted(place for place in wanted if place.startswith("/root/")))
    script = SCRIPT if places else SCRIPT.splitlines()[-1]
    shell = ["sh", "-c", script, "sh", *command]
    return ["unshare", "--mount", "--propagation", "private", "env", f"PLACES={places}", *shell]


def own(*paths: Path) -> None:
    """Give trees to the user, and the way to them to everybody."""
    for top in paths:
        for folder, _, names in os.walk(top):
            for name in ("", *names):
                os.chown(os.path.join(folder, name), UID, UID, follow_symlinks=False)
        for above in top.parents:
            if above != Path("/"):
                above.chmod(above.stat().st_mode | 0o011)
